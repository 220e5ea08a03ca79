"""The built-in examples: one for each finding, and a lesson on a response template that merges.

Each is a JSON file in `examples/`: `title`, `about`, `finding` (a code, or empty) and `setup`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inspector.errors import GalleryError
from inspector.findings.codes import Code
from inspector.paths import EXAMPLES
from inspector.setup import Setup

SECTIONS = ("findings", "lesson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One example. `about`: a sentence or two on what to look at; `code`: the finding that it triggers, or None."""

    name: str
    section: str
    title: str
    about: str
    setup: Setup
    code: Code | None


@lru_cache(maxsize=1)
def gallery() -> tuple[Entry, ...]:
    """Every entry, by section; findings in the order of their codes."""
    entries = [_entry(path, section) for section in SECTIONS for path in sorted((EXAMPLES / section).glob("*.json"))]
    order = list(Code)
    return tuple(sorted(entries, key=lambda e: (SECTIONS.index(e.section), order.index(e.code) if e.code else 0)))


def find_entry(name: str) -> Entry:
    """The entry with a name. Raises GalleryError."""
    found = next((entry for entry in gallery() if entry.name == name), None)
    if found is None:
        raise GalleryError(f"There is no example {name!r}; there are: {', '.join(e.name for e in gallery())}.")
    return found


def _entry(path: Path, section: str) -> Entry:
    value = json.loads(path.read_text(encoding="utf-8"))
    return Entry(
        name=path.stem,
        section=section,
        title=value["title"],
        about=value["about"],
        setup=Setup.from_dict(value["setup"]),
        code=Code(value["finding"]) if "finding" in value else None,
    )
