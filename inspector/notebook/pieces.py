"""Blocks, tables and lists of a notebook's output; every value is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from inspector.findings.codes import SIGNS, Finding


@cache
def _style() -> Markup:
    return Markup((Path(__file__).parent / "style.css").read_text(encoding="utf-8"))


def block(title: str, *parts: Markup) -> str:
    """A whole output: its style, a heading, and what stands below it."""
    html = Markup('<div class="maskscope"><style>{}</style><p class="ms-title">{}</p>{}</div>')
    return str(html.format(_style(), title, Markup("").join(parts)))


def note(text: str) -> Markup:
    """A small line of text."""
    return Markup('<p class="ms-note">{}</p>').format(text)


def folded(title: str, *parts: Markup) -> Markup:
    """What is shown once its title is opened."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, Markup("").join(parts))


def point(title: str, shown: str, *notes: str) -> Markup:
    """Something that is wrong: in words, then where, then what is known of it."""
    below = Markup("").join(map(note, filter(None, notes)))
    return Markup('<p class="ms-point">{}</p><p><code>{}</code></p>{}').format(title, shown, below)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; each cell is a value, or HTML already."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(text) for text in heads)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(escape(cell)) for cell in row))
        for row in rows
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)


def finding_list(findings: Iterable[Finding]) -> Markup:
    """Findings, each folded below its heading."""
    items = (
        folded(f"{SIGNS[one.severity]} {one.code.heading}", note(one.detail), note(f"→ {one.remedy}"))
        for one in findings
    )
    return Markup("").join(items) or note("No findings.")
