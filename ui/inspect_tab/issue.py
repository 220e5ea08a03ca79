"""What the page asks for when an issue report is copied: versions, and the script that asks the trainer itself."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from inspector.errors import InspectorError
from inspector.exports.reproduction import Reproduction, reproduction
from inspector.setup import Setup
from ui.inspect_tab.links import LinkError, decode_link
from ui.wiring.conversation_json import ConversationJsonError, parse_object
from ui.wiring.models import LoadedSetup

_PACKAGES = {
    "TRL": "trl",
    "PyTorch": "torch",
    "Transformers": "transformers",
    "Accelerate": "accelerate",
    "Datasets": "datasets",
    "HF Hub": "huggingface_hub",
    "PEFT": "peft",
    "Tokenizers": "tokenizers",
    "Jinja2": "jinja2",
}


def about_issue(asked: Mapping[str, Any]) -> dict[str, Any]:
    """`link`: of what is shown; `strategy`, `options` (JSON text): of the trainer that is shown, "" for the link's."""
    return {"versions": _versions(), **_reproduction(asked).to_dict()}


def _reproduction(asked: Mapping[str, Any]) -> Reproduction:
    if not isinstance(asked, Mapping) or not asked.get("link"):
        return Reproduction(why="this view is too long for a link, from which the script is made")
    try:
        state = decode_link(str(asked["link"]))
        setup = state.setups()[state.row]
        if strategy := asked.get("strategy"):
            chosen = {"strategy": strategy, "options": parse_object(str(asked.get("options") or ""), "Options", "{}")}
            setup = Setup.from_dict({**setup.to_dict(), **chosen})
        return reproduction(LoadedSetup(setup).inspect())
    except (InspectorError, ConversationJsonError, LinkError) as error:
        return Reproduction(why=str(error).rstrip("."))


@cache
def _versions() -> list[tuple[str, str]]:
    """The machine, in the layout of `trl env`."""
    installed = [(f"{title} version", _version(package)) for title, package in _PACKAGES.items()]
    return [("Platform", platform.platform()), ("Python version", platform.python_version()), *installed]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
