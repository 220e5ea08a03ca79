"""The JavaScript of a component: files that share one scope, the last of which starts it."""

from __future__ import annotations

from pathlib import Path

_UI = Path(__file__).parents[1]


def script(*names: str) -> str:
    """The files' text in a row. `names`: their paths in ui/."""
    return "\n".join((_UI / name).read_text(encoding="utf-8") for name in names)
