"""Texts that are cut in an error or a finding say so."""

from __future__ import annotations

import re
from pathlib import Path

from inspector.errors import excerpt, quoted, short

ROOT = Path(__file__).parents[2]
_CUTS = re.compile(r"![rsa]:\.\d+\}|\[:\d\d+\]!|\[\w+ : \w+ \+ \d+\]!|str\(error\)\[:\d+\]|message\[:\d+\]")
"""Ways of cutting a value in a text that leave no mark."""


def test_what_is_cut_has_a_mark() -> None:
    """And what is short enough has none."""
    assert (short("a" * 60), short("a" * 61)) == ("a" * 60, "a" * 59 + "…")
    assert (quoted("ab"), quoted("a" * 80, 10)) == ("'ab'", "'aaaaaaaa…")
    assert (excerpt("abc", 1), excerpt("é" + "b" * 30, 0, 3)) == ("'bc'", "'\\xe9bb'…")


def test_no_text_is_cut_without_one() -> None:
    """By its source: whoever cuts a value takes one of the three."""
    cut = [
        f"{path.relative_to(ROOT)}: {found}"
        for folder in ("inspector", "training")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for found in _CUTS.findall(path.read_text(encoding="utf-8"))
    ]
    assert cut == []
