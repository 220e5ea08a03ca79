"""What the token view computes of an inspection before it draws."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.javascript import evaluated

VERDICT = {"level": "right", "trainer": "Exact", "setting": "", "sentence": "Exact: only the answer", "short": "exact"}
BARE = {
    "name": "bare", "options": "", "count": 3, "reasons": "01011", "remarks": [], "isKnown": True,
    "verdict": {"level": "wrong", "trainer": "Bare", "setting": "on", "sentence": "Bare: 1 token", "short": "1|2"},
}  # fmt: skip


def inspection(expression: str, *, chosen: Any = None, **changes: Any) -> Any:
    """The value of an expression in which `it` is an inspection of five tokens of two turns."""
    data = {
        "model": "tiny", "revision": None, "source": "hub", "template": "chat (ab12)", "strategy": "traced",
        "modifiers": "", "texts": ["<a>", "hi\n", "<b>", "yo", "</b>"], "whole": {"3": "y|`o"},
        "ids": [7, 8, 9, 10, 11], "starts": [0, 3, 6, 9, 11], "ends": [3, 6, 9, 11, 15], "classes": "20051",
        "turns": [None, 0, None, 1, 1], "reasons": [0, 0, 0, 1, 1], "truth": [0, 0, 0, 1, 1],
        "reasonTexts": ["prompt", "answer", "cut"], "verdict": VERDICT,
        "reasonTrains": [False, True, False], "cut": 2, "roles": ["user", "assistant"],
        "origins": [{"text": "template line 4", "line": 4}, {"text": "message 1", "line": None}],
        "tokenOrigins": [[0], [], [0, 1], [1], [1]], "findings": [], "link": "m=tiny", "selected": None,
    }  # fmt: skip
    given = f"Object.assign(new Inspection({json.dumps(data | changes)}), {{chosen: {json.dumps(chosen)}}})"
    return evaluated(f"(it => {expression})({given})", "token_view/inspection.js", "token_view/report.js")


def test_the_trainer_chosen_says_what_is_trained() -> None:
    """Without one the inspection's own answer."""
    trained = "[0, 1, 2, 3, 4].map(it.isTrained)"
    assert inspection(trained) == [False, False, False, True, True]
    assert inspection(trained, chosen=BARE) == [False, True, False, True, True]
    assert inspection("[0, 1, 2, 3, 4].map(it.isCut)", chosen=BARE | {"reasons": "00012"}) == [False] * 4 + [True]
    assert inspection("it.labels()", chosen=BARE) == [-100, 8, -100, 10, 11]
    assert inspection("it.verdict.trainer", chosen=BARE) == "Bare"


def test_what_is_trained_is_measured_by_what_should_be() -> None:
    """Whoever is shown: too much is wrong, too little is missing."""
    every = "[0, 1, 2, 3, 4]"
    assert inspection(f"{every}.map(it.isWrong)", chosen=BARE) == [False, True, False, False, False]
    assert inspection(f"{every}.map(it.isMissing)", chosen=BARE | {"reasons": "00010"}) == [False] * 4 + [True]
    assert inspection(f"{every}.map(it.differs)", reasons=[0, 1, 0, 1, 0]) == [False, True, False, False, True]
    assert inspection(f"{every}.map(it.differs)") == [False] * 5


def test_a_state_says_all_that_a_token_is_drawn_as() -> None:
    """A bit for each of its classes, whichever trainer is chosen."""
    apart = "[0, 1, 2, 3, 4].map(i => [it.isTrained, it.isWrong, it.isMissing, it.isCut].map(is => is(i)))"
    state = "[0, 1, 2, 3, 4].map(i => Inspection.STATES.map((_, k) => Boolean(it.state(i) >> k & 1)))"
    for reasons in ("01011", "00010", "00012", "22222", "11111"):
        chosen = BARE | {"reasons": reasons}
        assert inspection(state, chosen=chosen) == inspection(apart, chosen=chosen)
    assert inspection("Inspection.STATES") == ["trained", "wrong", "missing", "cut"]


def test_tokens_are_counted_by_what_they_are() -> None:
    """Specials by their bits, trained ones by the strategy."""
    assert inspection("it.count(i => it.bits(i) & SPECIAL)") == 1
    assert inspection("it.count(it.isTrained)", chosen=BARE) == 3


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
    assert inspection(move, chosen=BARE) == to


def test_buttons_go_back_from_the_end() -> None:
    """As long as no token is current."""
    assert inspection("[it.jump(-1, -1, it.startsSpan), it.jump(-1, 1, it.startsSpan)]", chosen=BARE) == [3, 1]
    assert inspection("it.jump(3, -1, it.startsSpan)", chosen=BARE) == 1


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
    assert dict(inspection("it.facts(3)", chosen=BARE)) == {
        "token": "3 of 5 · shared: spans template and message",
        "id": "10", "text": '"y|`o"', "characters": "9–11", "origin": "message 1",
        "training": "answer",
    }  # fmt: skip
    assert dict(inspection("it.facts(1)", chosen=BARE))["should be"] == "prompt"
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


def report(
    *, address: str = "https://somewhere.org/#x", compared: Any = (), about: Any = None, **inspected: Any
) -> list[str]:
    """The lines of an issue report. `about`: what Python knows for it."""
    known = {"versions": [["TRL version", "1.2"]], "script": "", "why": "", **(about or {})}
    script = f"new IssueReport(it, {json.dumps(list(compared))}, {json.dumps(known)}).text({json.dumps(address)})"
    return str(inspection(script, **inspected)).split("\n")


def test_the_issue_report_begins_with_the_verdict() -> None:
    """Then versions, what was inspected, the render with what is trained, the other trainers."""
    lines = report(chosen=BARE, compared=[BARE])
    assert lines[0] == "### Bare: 1 token"
    about = {"- TRL version: 1.2", "- Model: tiny (hub)", "- Chat template: chat (ab12)", "- Trainer: Bare, on"}
    assert about <= set(lines)
    start = lines.index("```text")
    assert lines[start + 1 : lines.index("```")] == ["<a>!!hi", "!!<b>«yo</b>»"]
    assert "| Bare | on | 3 | 1\\|2 |" in lines
    assert lines[-1] == "https://somewhere.org/#m=tiny"


def test_the_issue_report_holds_a_reproduction() -> None:
    """Or says why there is none; a script that is too long for an issue is left out."""
    lines = report(about={"script": "a = '```'\nassert a\n"})
    start = lines.index("Reproduction:")
    assert lines[start + 2 : start + 6] == ["````python", "a = '```'", "assert a", "````"]
    assert "No reproduction: it needs axolotl." in report(about={"why": "it needs axolotl"})
    long = report(about={"script": "a" * 25_001})
    assert "No reproduction: the conversation is too long for a script here." in long
    assert not [line for line in report() if "eproduction" in line]


def test_a_text_cannot_end_the_block_of_the_report() -> None:
    """Its fence is longer than any in it."""
    lines = report(texts=["```", "a", "b", "````", "c"])
    assert "`````text" in lines
    assert lines[lines.index("`````text") + 1] == "```ab«````c»"


def test_the_issue_report_lists_what_differs() -> None:
    """As Markdown whose cells a text cannot break; all tokens where nothing differs."""
    texts = ["<a>", "a|b", "`c`", "\n", "é"]
    lines = report(chosen=BARE, texts=texts)
    assert [line for line in lines if line.startswith("| 1 |")] == [
        "| 1 | 8 | `a\\|b` | trained, should not be | user |"
    ]
    assert "<details><summary>1 of 5 tokens differ</summary>" in lines
    lines = report(texts=texts)
    assert "| 2 | 9 | `'c'` |  |  |" in lines
    assert "| 3 | 10 | `\\n` | trained | assistant |" in lines


def test_the_issue_report_shows_the_place_of_a_finding() -> None:
    """The tokens around it; what hides is written by its code."""
    finding = {
        "severity": "error", "code": "merge", "heading": "One token", "token_span": [3, 4], "detail": "a\u200bb",
    }  # fmt: skip
    lines = report(findings=[finding])
    at = lines.index("- **error: One token** (`merge`, token 3): a\\u200bb")
    assert lines[at + 1] == "  `<a>hi\\n<b>⟦yo⟧</b>`"


def test_the_issue_report_has_no_link_to_this_machine() -> None:
    """Nobody else could open it."""
    for address in ("http://127.0.0.1:7860/", "http://localhost/"):
        assert not [line for line in report(address=address) if "m=tiny" in line]


def test_a_long_issue_report_is_cut() -> None:
    """And says how much is left out."""
    many = {name: [0] * 1234 for name in ("reasons", "truth")}
    many |= {"ids": list(range(1234)), "texts": ["word " * 2] * 1234, "turns": [None] * 1234, "classes": "0" * 1234}
    lines = report(**many)
    assert "… 1,034 more tokens" in lines
    assert any(line.startswith("| 199 | 199 |") for line in lines)
    assert not any(line.startswith("| 200 | 200 |") for line in lines)
    assert any(line.endswith(" …") for line in lines)


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
    assert titles == ["Nothing else to know about this row", "1 thing to know", "2 things to know"]


IMAGE = {"first": 1, "end": 4, "height": 56, "width": 84, "thumbnail": ""}


def test_the_tokens_of_an_image_are_one_step() -> None:
    """Arrows go to it and past it, whichever of its tokens is selected."""
    moves = "[0, 1, 2, 3, 4].map(i => it.move(key, i, step => i + step))"
    right, left = (f"(key => {moves})('{key}')" for key in ("ArrowRight", "ArrowLeft"))
    assert inspection(right, images=[IMAGE]) == [1, 4, 4, 4, 5]
    assert inspection(left, images=[IMAGE]) == [0, 0, 0, 0, 1]
    assert inspection(right, images=[]) == [1, 2, 3, 4, 5]
    assert inspection("[0, 1, 2, 3, 4].map(i => it.imageOf[i]?.height ?? null)", images=[IMAGE]) == [
        None,
        56,
        56,
        56,
        None,
    ]


def test_an_image_is_words_where_nothing_can_be_unfolded() -> None:
    """In the copied picture and the issue report."""
    assert inspection("[0, 1, 2, 3, 4].map(i => it.brief(i))", images=[IMAGE]) == [
        "<a>", "[Image 56 × 84 · 3 tokens]", "", "", "</b>",
    ]  # fmt: skip
