"""The JavaScript of a component: files that share one scope, the last of which starts it."""

from __future__ import annotations

import json
from pathlib import Path

_UI = Path(__file__).parents[1]


def script(*names: str) -> str:
    """The files' text in a row. `names`: their paths in ui/."""
    return "\n".join((_UI / name).read_text(encoding="utf-8") for name in names)


def chosen(elem_id: str) -> str:
    """What an event of a dropdown sends, as JavaScript for its `js`: its first input is the dropdown's value, and None
    where that was left as it was found."""
    return f"(value, ...rest) => [window.chosenIn({json.dumps(elem_id)}, value), ...rest]"
