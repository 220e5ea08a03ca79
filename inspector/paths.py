"""The folders of the repository that the code reads from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODELS = ROOT / "models"
DOCS = ROOT / "docs"
