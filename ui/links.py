"""The state of the Inspect view as an address fragment, and back.

A fragment is `base64url(zlib(JSON))`. Browsers do not send fragments to servers, so a conversation in a link stays out
of every log. Refuses fragments that are damaged, too long, or unpack to more than a page's worth.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_LINK_CHARS = 60_000
"""Longest fragment written: browsers and chat programs cut longer addresses."""
_MAX_JSON_BYTES = 1_000_000


class LinkError(ValueError):
    """The fragment is not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """What a link reopens. `template_source` only for a template without a name; `template_hash` is checked."""

    model: str
    revision: str = ""
    template_name: str = ""
    template_hash: str = ""
    template_source: str = ""
    conversation: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    compare: bool = False


def encode_link(state: ViewState) -> str:
    """The fragment, without `#`; empty when the state is too long for a link."""
    data = json.dumps(asdict(state), ensure_ascii=True, separators=(",", ":")).encode()
    fragment = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")
    return fragment if len(fragment) <= MAX_LINK_CHARS else ""


def decode_link(fragment: str) -> ViewState:
    """The state in a fragment. Raises LinkError."""
    if len(fragment) > 2 * MAX_LINK_CHARS:
        raise LinkError(f"The link is {len(fragment):,} characters long; the limit is {2 * MAX_LINK_CHARS:,}.")
    try:
        packed = base64.b64decode(fragment + "=" * (-len(fragment) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, _MAX_JSON_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise LinkError("The link holds more than a page can show, or was cut short.")
        values = json.loads(data)
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, LinkError):
            raise
        raise LinkError("The link is damaged: part of it is missing or changed. Copy it again, whole.") from error
    return _checked(values)


def _checked(values: Any) -> ViewState:
    known = {name: {"policy": dict, "compare": bool}.get(name, str) for name in ViewState.__dataclass_fields__}
    if not isinstance(values, dict) or "model" not in values:
        raise LinkError("The link names no model.")
    for name, value in values.items():
        if name not in known or not isinstance(value, known[name]):
            raise LinkError(f"The link has a field {name[:40]!r} that this version does not read.")
    return ViewState(**values)
