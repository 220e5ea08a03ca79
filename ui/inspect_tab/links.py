"""The state of the Inspect view as an address fragment, and back.

A fragment is `base64url(zlib(JSON))`. Browsers do not send fragments to servers, so a conversation in a link stays out
of every log. Fragments that are damaged, too long, or unpack to more than a page can hold are refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from inspector.errors import InspectorError
from inspector.setup import Setup
from inspector.strategies import EXACT

MAX_LINK_CHARS = 60_000
"""Longest fragment written: browsers and chat programs cut longer addresses."""
_MAX_JSON_BYTES = 1_000_000


class LinkError(ValueError):
    """The fragment is not one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewState:
    """The state in a link: the shown setup, as plain values.

    `template_source` only for a template without a name; `template_hash` is checked. `conversation`: JSON text.
    `compare`: from older links; the page now always compares. `rows`: if several setups are open, all of them in their
    JSON form; `row` is the shown one. `token`: the token to open at.
    """

    model: str
    revision: str = ""
    template_name: str = ""
    template_hash: str = ""
    template_source: str = ""
    special_tokens: Mapping[str, Any] = field(default_factory=dict)
    conversation: str = ""
    strategy: str = EXACT
    options: Mapping[str, Any] = field(default_factory=dict)
    modifiers: Mapping[str, Any] = field(default_factory=dict)
    compare: bool = False
    rows: list[Any] = field(default_factory=list)
    row: int = 0
    token: int | None = None

    def setups(self) -> list[Setup]:
        """All setups; number `row` is the shown one. Raises LinkError for invalid rows."""
        try:
            rows = [Setup.from_dict(row) for row in self.rows]
            shown = Setup(
                model=self.model,
                revision=self.revision,
                template=self.template_source or self.template_name,
                special_tokens=self.special_tokens,
                conversation=json.loads(self.conversation),
                strategy=self.strategy,
                options=self.options,
                modifiers=self.modifiers,
            )
        except (InspectorError, ValueError, RecursionError) as error:
            raise LinkError(f"The link does not hold a setup: {error}") from error
        if not rows:
            return [shown]
        if not 0 <= self.row < len(rows):
            raise LinkError(f"The link shows row {self.row + 1} of {len(rows)}.")
        return [*rows[: self.row], shown, *rows[self.row + 1 :]]


def encode_link(state: ViewState) -> str:
    """The fragment, without `#`.

    Without the other rows if they are too long for a link; empty if it is still too long.
    """
    values = {f.name: getattr(state, f.name) for f in fields(ViewState)}
    filled = {name: value for name, value in values.items() if value not in ("", False, None, 0, [], {})}
    data = json.dumps({"model": state.model, **filled}, ensure_ascii=True, separators=(",", ":")).encode()
    if len(data) < _MAX_JSON_BYTES:
        fragment = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")
        if len(fragment) <= MAX_LINK_CHARS:
            return fragment
    return encode_link(replace(state, rows=[], row=0)) if state.rows else ""


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
        json.dumps(values, ensure_ascii=False).encode()  # half of a surrogate pair breaks every answer of the server
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, LinkError):
            raise
        raise LinkError("The link is damaged: part of it is missing or changed. Copy it again, whole.") from error
    return _checked(values)


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "special_tokens": dict,
    "options": dict,
    "modifiers": dict,
    "compare": bool,
    "rows": list,
    "row": int,
    "token": (int, type(None)),
}


def _checked(values: Any) -> ViewState:
    if not isinstance(values, dict) or "model" not in values:
        raise LinkError("The link names no model.")
    if "policy" in values and "options" not in values:  # the name in older links for the options of traced
        values["options"] = values.pop("policy")
    known = [field.name for field in fields(ViewState)]
    for name, value in values.items():
        if name not in known or not isinstance(value, _KINDS.get(name, str)):
            raise LinkError(f"The link has a field {name[:40]!r} that this version does not read.")
    return ViewState(**values)
