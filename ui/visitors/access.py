"""Permissions on this page: everything on one's own machine, little on a page that is open to visitors.

MASKSCOPE_PUBLIC says whether the page is open (1) or not (0); without it, only a Space is open. On an open page no file
of the machine can be named, no token of its owner is used, uploads are limited, and training is off unless
MASKSCOPE_TRAINING turns it on: `1` for every visitor, in separate folders, `owner` only for the Space's owner.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inspector.errors import ModelNameError
from inspector.files.access import is_public as is_public
from inspector.model.hub import EMBEDDED
from inspector.model.model import Token
from inspector.paths import EXAMPLES
from training.errors import Problem, SpecError
from training.spec import RunSpec

UPLOAD_BYTES = 50_000_000
"""Largest file that visitors can upload, in bytes."""
KEPT_S = 3_600
"""Seconds after which a visitor's upload is removed."""
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1", "")


def who_trains() -> str:
    """ "all", "owner" or "nobody"."""
    if not is_public():
        return "all"
    return {"1": "all", "owner": "owner"}.get(os.environ.get("MASKSCOPE_TRAINING", "").strip().lower(), "nobody")


def is_owner(request: Any) -> bool:
    """Whether a request (gradio's, or None) comes from the signed-in owner of this Space."""
    owner = os.environ.get("SPACE_AUTHOR_NAME", "")
    try:
        user = request.session["oauth_info"]["userinfo"]["preferred_username"]
    except (AttributeError, AssertionError, KeyError, TypeError):  # no one is signed in, or signing in is not possible
        return False
    return bool(owner) and user == owner


def hub_token() -> Token:
    """Locally the token that this machine is logged in with; none for visitors, since it is not theirs."""
    return False if is_public() else None


def check_model_name(name: str) -> None:
    """Raise ModelNameError if visitors name something other than a model of the hub."""
    if is_public() and name.strip() not in EMBEDDED and _is_here(name):
        raise ModelNameError("Folders of this machine are not open to visitors. Type a hub id such as 'owner/name'.")


def check_spec(spec: RunSpec, folder: Path | None = None) -> None:
    """Raise SpecError for settings that visitors may not use: files of the machine, its tokens, other machines.

    `folder`: a folder with the visitor's own files.
    """
    if is_public() and (problems := list(_not_for_visitors(spec, folder))):
        raise SpecError(problems)


def _not_for_visitors(spec: RunSpec, folder: Path | None) -> Iterator[Problem]:
    data = [("data", spec.data.name)]
    data += [("evaluation.data", spec.evaluation.data.name)] if spec.evaluation.data is not None else []
    for field, name in data:
        if (
            _is_here(name)
            and not _is_example(name)
            and not (folder and Path(name).resolve().is_relative_to(folder.resolve()))
        ):
            yield _closed(field, "names a file of this machine", "Name a data set of the hub, or an example.")
    for field, name in (("model", spec.model), ("preference.reference", spec.preference.reference)):
        if name and name not in EMBEDDED and _is_here(name):
            yield _closed(field, "names a folder of this machine", "Name a model of the hub.")
    if spec.sampling.endpoint is not None:
        yield _closed("sampling.endpoint", "would be asked by this machine", "Leave it out.")
    if spec.publish is not None:
        yield _closed("publish", "would use this machine's token", "Download the adapter instead.")
    if spec.engine != type(spec.engine)():
        yield _closed("engine", "would use other machines", "Leave it out.")
    if spec.report:
        yield _closed("report", "would send the figures elsewhere", "Leave it out.")


def _closed(field: str, what: str, remedy: str) -> Problem:
    return Problem(field=field, severity="error", message=f"{what}, which is not open to visitors.", remedy=remedy)


def _is_here(name: str) -> bool:
    stripped = name.strip()
    return (
        stripped.startswith((".", "/", "~"))
        or ".." in stripped
        or "\\" in stripped
        or os.path.exists(os.path.expanduser(stripped))
    )


def _is_example(name: str) -> bool:
    examples = EXAMPLES.resolve()
    found = (examples.parent / name.strip()).resolve()
    return found.is_relative_to(examples) and found.is_file()


def warning_for(host: str, password: str) -> str:
    """A warning for the owner of a machine that serves others; "" if there is none."""
    if host in _LOCAL_HOSTS or password or is_public():
        return ""
    return (
        f"warning: anyone who can reach {host} can use this page, name files of this machine, and train on it. "
        "Set --password, or MASKSCOPE_PUBLIC=1 for a page with less."
    )
