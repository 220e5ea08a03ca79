"""The JavaScript of a component: files that share one scope, the last of which starts it."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def script(*names: str) -> str:
    """The files' text in a row."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)
