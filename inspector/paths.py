"""The folders of the repository that the code reads from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODELS = ROOT / "models"
DOCS = ROOT / "docs"


def found_name(name: str) -> str:
    """The name of a data set, resolved so that the examples are found from any working folder."""
    shipped = ROOT / name
    return str(shipped) if name.startswith("examples/") and not Path(name).exists() and shipped.exists() else name
