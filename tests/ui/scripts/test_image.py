"""Where the texts of a picture of the tokens stand; a character is ten pixels wide here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.javascript import evaluated


def flow(texts: list[str], width: int = 60) -> list[tuple[str, int, int, int]]:
    """(text, x, line, which text it is of) of each piece."""
    given = json.dumps([[text, number] for number, text in enumerate(texts)])
    pieces = evaluated(f"ImageLayout.flow({given}, {width}, text => 10 * text.length)", "token_view/image.js")
    return [(piece["text"], piece["x"], piece["line"], piece["kind"]) for piece in pieces]


def test_a_text_that_does_not_fit_goes_to_the_next_line() -> None:
    """It stays whole where a line holds it."""
    assert flow(["abc", "de", "fg"]) == [("abc", 0, 0, 0), ("de", 30, 0, 1), ("fg", 0, 1, 2)]


def test_a_text_wider_than_a_line_is_parted() -> None:
    """What follows goes on behind its last part."""
    assert flow(["a", "bcdefghij", "k"]) == [("a", 0, 0, 0), ("bcdefg", 0, 1, 1), ("hij", 0, 2, 1), ("k", 30, 2, 2)]


def test_a_line_end_is_shown_and_ends_the_line() -> None:
    """Also one that is a token, or in the middle of one."""
    assert flow(["a", "\n", "b\nc\n\n"]) == [
        ("a", 0, 0, 0), ("⏎", 10, 0, 1), ("b⏎", 0, 1, 2), ("c⏎", 0, 2, 2), ("⏎", 0, 3, 2),
    ]  # fmt: skip


def test_what_hides_is_written_by_its_code() -> None:
    """As in the token view."""
    assert flow(["\u202e", "\t"], 90) == [("\\u202e", 0, 0, 0), ("⇥", 60, 0, 1)]


def test_a_long_text_is_laid_out_as_far_as_a_picture_goes() -> None:
    """Lines that nobody draws are not measured."""
    assert 300 <= max(line for _, _, line, _ in flow(["a\n"] * 5000)) + 1 <= 301


def test_a_sentence_is_wrapped_at_words() -> None:
    """One word wider than the line is parted."""
    lines = "ImageLayout.wrapped('ab cd efghijklm n', 60, text => 10 * text.length)"
    assert evaluated(lines, "token_view/image.js") == ["ab cd ", "efghij", "klm n"]


def test_blocks_stand_below_each_other_up_to_the_limit() -> None:
    """An empty one takes a line; of one that is cut the first lines stay."""
    block = [{"line": 0}, {"line": 1}]
    script = f"ImageLayout.stacked({json.dumps([block, [], block, block])}, 4)"
    assert evaluated(script, "token_view/image.js") == [
        {"pieces": block, "top": 0, "lines": 2},
        {"pieces": [], "top": 2, "lines": 1},
        {"pieces": block[:1], "top": 3, "lines": 1},
    ]


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"isSecureContext": False}, "Refused: copying needs https or localhost"),
        ({"isSecureContext": True}, "Refused: this browser cannot copy image/png"),
        ({"isSecureContext": True, "ClipboardItem": {}}, "Refused: allow this site to use the clipboard"),
    ],
)
def test_a_refusal_is_said_in_words(here: dict[str, Any], said: str) -> None:
    """What the browser lacks, or what its user can allow."""
    assert evaluated(f"(Object.assign(globalThis, {json.dumps(here)}), refusal('image/png'))") == said
