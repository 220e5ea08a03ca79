"""What the token view computes of an inspection before it draws."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.javascript import evaluated


def inspection(expression: str, **changes: Any) -> Any:
    """The value of an expression in which `it` is an inspection of five tokens of two turns."""
    data = {
        "model": "tiny", "revision": None, "source": "hub", "template": "chat (ab12)", "strategy": "traced",
        "modifiers": "", "texts": ["<a>", "hi\n", "<b>", "yo", "</b>"], "whole": {"3": "y|`o"},
        "ids": [7, 8, 9, 10, 11], "starts": [0, 3, 6, 9, 11], "ends": [3, 6, 9, 11, 15], "classes": "20051",
        "turns": [None, 0, None, 1, 1], "reasons": [0, 0, 0, 1, 1], "reasonTexts": ["prompt", "answer", "cut"],
        "reasonTrains": [False, True, False], "cut": 2, "roles": ["user", "assistant"],
        "origins": [{"text": "template line 4", "line": 4}, {"text": "message 1", "line": None}],
        "tokenOrigins": [[0], [], [0, 1], [1], [1]], "findings": [], "link": "m=tiny", "selected": None,
        "strategies": [
            {"name": "bare", "options": "", "reasons": "01011", "remarks": []},
            {"name": "refused", "options": "", "reasons": None, "remarks": []},
            {"name": "bare", "options": '{"n": 1}', "reasons": "00012", "remarks": []},
        ],
    }  # fmt: skip
    choice = json.dumps(changes.pop("choice", None))
    script = f"(it => {expression})(new Inspection({json.dumps(data | changes)}, {choice}))"
    return evaluated(script, "token_view/inspection.js")


def test_the_strategy_chosen_says_what_trains() -> None:
    """Without one the inspection's own answer."""
    trained = "[0, 1, 2, 3, 4].map(it.isTrained)"
    assert inspection(trained) == [False, False, False, True, True]
    assert inspection(trained, choice="bare") == [False, True, False, True, True]
    assert inspection("[0, 1, 2, 3, 4].map(it.isCut)", choice='bare{"n": 1}') == [False] * 4 + [True]
    assert inspection("it.labels()", choice="bare") == [-100, 8, -100, 10, 11]
    assert inspection("[0, 1, 3, 4].map(it.differs)", choice="bare") == [False, True, False, False]


def test_an_edit_keeps_the_strategy_chosen() -> None:
    """By name and options, where it is still there and not refused."""
    names = "[it.choice, it.strategy]"
    assert inspection(names, choice='bare{"n": 1}') == ['bare{"n": 1}', "bare"]
    assert inspection(names, choice="refused") == [None, "traced"]
    assert inspection(names, choice="gone") == [None, "traced"]
    assert inspection("it.baseName") == "traced (the truth)"
    assert inspection("it.baseName", strategy="bare") == "bare (as shown)"


def test_tokens_are_counted_by_what_they_are() -> None:
    """Specials by their bits, trained ones by the strategy."""
    assert inspection("it.count(i => it.bits(i) & SPECIAL)") == 1
    assert inspection("it.count(it.isTrained)", choice="bare") == 3


@pytest.mark.parametrize(
    ("key", "current", "to"),
    [
        ("ArrowRight", 2, 3), ("ArrowLeft", 2, 1), ("ArrowLeft", -1, 0), ("ArrowDown", 2, 12), ("ArrowUp", 2, 0),
        ("Home", 3, 0), ("End", 0, 4), ("Enter", 2, 2), ("n", -1, 1), ("n", 1, 3), ("n", 3, -1), ("p", 4, 3),
        ("p", 3, 1), ("p", -1, -1), ("s", -1, 3), ("s", 3, -1), ("d", -1, 1), ("d", 1, -1), ("x", 2, None),
        ("Tab", 2, None),
    ],
)  # fmt: skip
def test_keys_go_to_tokens(key: str, current: int, to: int | None) -> None:
    """n and p to where a trained span starts, s to a straddler, d to a difference; -1 where there is none left."""
    move = f"it.move({json.dumps(key)}, {current}, step => {current} + 10 * step)"
    assert inspection(move, choice="bare") == to


def test_buttons_go_back_from_the_end() -> None:
    """As long as no token is current."""
    assert inspection("[it.jump(-1, -1, it.startsSpan), it.jump(-1, 1, it.startsSpan)]", choice="bare") == [3, 1]
    assert inspection("it.jump(3, -1, it.startsSpan)", choice="bare") == 1


def test_blocks_are_turns_in_pieces() -> None:
    """Only the first piece of a turn names its role."""
    assert inspection("it.blocks(2)", turns=[None, 0, 0, 0, 1]) == [
        {"start": 0, "end": 1, "isFirst": True},
        {"start": 1, "end": 3, "isFirst": True},
        {"start": 3, "end": 4, "isFirst": False},
        {"start": 4, "end": 5, "isFirst": True},
    ]


def test_lines_are_counted_for_the_scrollbar() -> None:
    """Line ends, and lines that are full."""
    assert inspection("[[0, 100], [3, 100], [3, 6], [3, 5]].map(([i, n]) => it.lines(i, 5, n))") == [2, 1, 1, 2]


def test_a_token_is_described() -> None:
    """Its whole text, where the piece shown is a part, and what both strategies say of it."""
    assert inspection("it.sentence(3)") == 'Token 3 of 5, id 10, "y|`o", characters 9 to 11, message 1, answer'
    assert dict(inspection("it.facts(3)", choice="bare")) == {
        "token": "3 of 5 · straddler", "id": "10", "text": '"y|`o"', "characters": "9–11", "origin": "message 1",
        "training": "answer", "traced": "answer",
    }  # fmt: skip
    assert "traced" not in dict(inspection("it.facts(0)"))
    assert dict(inspection("it.facts(0)"))["token"] == "0 of 5 · special"


def test_the_origins_of_a_token_are_named() -> None:
    """The lines of the template among them are marked in its source."""
    assert dict(inspection("it.facts(1)"))["origin"] == "no text"
    assert dict(inspection("it.facts(2)"))["origin"] == "template line 4 + message 1"
    assert inspection("[it.templateLines(2), it.templateLines(3)]") == [[4], []]


def test_addresses_and_sources_are_written() -> None:
    """The link takes the place of the fragment; a revision stands for its source."""
    address = "it.address('http://host/?a=1#old')"
    assert inspection(address) == "http://host/?a=1#m=tiny"
    assert inspection(address, link="") == "http://host/?a=1"
    assert inspection("it.source") == "tiny · hub · template chat (ab12)"
    changes = {"revision": "abc", "modifiers": "max_length 9"}
    assert inspection("it.source", **changes) == "tiny · abc · template chat (ab12) · max_length 9"


def test_the_issue_report_holds_every_token_and_finding() -> None:
    """As Markdown whose cells a text cannot break."""
    finding = {"severity": "error", "code": "merge", "token_span": [3, 4], "detail": "a\u200bb"}
    changes = {"findings": [finding], "texts": ["<a>", "a|b", "`c`", "\n", "é"]}
    lines = inspection("it.issueReport('http://host/#x')", choice="bare", **changes).split("\n")
    assert lines[0] == "**tiny** · hub · template chat (ab12) · strategy bare"
    assert "- **error merge** at token 3: a\\u200bb" in lines
    assert "| 1 | 8 | `a\\|b` | trained | user |" in lines
    assert "| 2 | 9 | `'c'` |  |  |" in lines
    assert "| 3 | 10 | `\\n` | trained | assistant |" in lines
    assert lines[-1] == "http://host/#m=tiny"
    assert "No findings." in inspection("it.issueReport('')")


def test_a_long_issue_report_is_cut() -> None:
    """And says how much is left out."""
    many = {"ids": list(range(1234)), "texts": ["x"] * 1234, "turns": [None] * 1234, "reasons": [0] * 1234}
    report = inspection("it.issueReport('')", **many)
    assert "… 834 more tokens" in report
    assert "| 399 | 399 |" in report
    assert "| 400 | 400 |" not in report


def test_a_strip_shows_every_token_that_trains() -> None:
    """More tokens than pixels: one is enough for the pixel. Fewer: a token fills all of its pixels."""
    pixels = "[...Comparison.pixels({}, {}, i => {})]"
    assert evaluated(pixels.format(10, 5, "i === 3"), "token_view/comparison.js") == [0, 1, 0, 0, 0]
    assert evaluated(pixels.format(10, 4, "i === 3"), "token_view/comparison.js") == [0, 1, 0, 0]
    assert evaluated(pixels.format(2, 6, "i === 1"), "token_view/comparison.js") == [0, 0, 0, 1, 1, 1]


def test_lines_of_the_template_are_bands() -> None:
    """Counted from 1, under the padding."""
    assert evaluated("TemplatePane.bands([1, 3], 8, 20)", "token_view/template_pane.js") == [[8, 28], [48, 68]]


def test_findings_are_counted_in_words() -> None:
    """None, one, many."""
    titles = evaluated("[0, 1, 2].map(Notes.title)", "token_view/notes.js")
    assert titles == ["No findings", "1 finding", "2 findings"]
