"""What the views of tokens share, reports, files, and how the page is wired."""

from __future__ import annotations

import json

import pytest

from tests.support.javascript import evaluated
from ui.parts.tokens import Bit


def test_every_bit_is_a_class_of_its_own() -> None:
    """The page calls a bit as Python does; all of them together are all the classes."""
    names = evaluated(f"[{', '.join(f'className({bit.name})' for bit in Bit)}]")
    assert names == [f"tv-token {bit.name.lower()}" for bit in Bit]
    assert evaluated("className(0)") == "tv-token"
    assert evaluated(f"className({sum(Bit)})").split() == ["tv-token", *(bit.name.lower() for bit in Bit)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ä, 你好, 👍🏽\n\t ", "plain, ä, 你好, 👍🏽\n\t "),
        ("a\u202eb\u200b", "a\\u202eb\\u200b"),
        ("\x00\x1b[0m\x7f", "\\u0000\\u001b[0m\\u007f"),
        ("\U000e0041", "\\u{e0041}"),
    ],
)
def test_what_could_hide_text_is_written_by_its_code(text: str, shown: str) -> None:
    """Control, bidi and zero-width characters and tags; letters, line ends and emoji stay as they are."""
    assert evaluated(f"visible({json.dumps(text)})") == shown


def test_numbers_are_written_in_groups() -> None:
    """As everywhere else on the page."""
    assert evaluated("number(1234567)") == "1,234,567"
    assert evaluated("[moreTokens(1400, 400), moreTokens(400, 400)]") == ["… 1,000 more tokens", ""]


def test_equal_neighbours_are_a_run() -> None:
    """The template's own text, whose turn is null, too; and none of nothing."""
    assert evaluated("runsOf([null, 0, 0, null, null, 1])") == [[0, 1], [1, 3], [3, 5], [5, 6]]
    assert evaluated("[runsOf([]), runsOf([0])]") == [[], [[0, 1]]]
    assert evaluated("[roleOf(['user'], 0), roleOf(['user'], null)]") == ["user", "template"]


@pytest.mark.parametrize(
    ("line", "name"),
    [("+a", "rp-added"), ("-a", "rp-removed"), ("@@ -1 +1 @@", "rp-place"), ("+++ b", ""), ("--- a", ""), ("a", "")],
)  # fmt: skip
def test_lines_of_a_diff_are_told_apart(line: str, name: str) -> None:
    """By their signs; the names of the files have none."""
    assert evaluated(f"ReportView.diffClass({json.dumps(line)})", "parts/report_view.js") == name


def test_pieces_stand_on_one_line() -> None:
    """Spaces and line ends are seen, and so is what hides."""
    assert evaluated(r"ReportView.piece(' a\n\u200b')", "parts/report_view.js") == "␣a⏎\\u200b"


def test_a_saved_file_has_the_bytes_it_was_given() -> None:
    """Every byte, not only those of text."""
    assert evaluated("[...Saver.bytes('AP+A')]", "parts/saver.js") == [0, 255, 128]


def test_what_waits_for_a_model_waits_for_the_newest_question() -> None:
    """Until its own answer is shown, or it failed."""
    steps = [
        ("it.answer(['a', null])", False),
        ("it.ask('b', '')", True),
        ("it.answer(['a', ''])", True),
        ("it.answer(['b', null])", False),
        ("it.ask('c', null)", True),
        ("it.answer(null)", False),
        ("it.ask('b', 'main')", True),
        ("it.ask('b', '')", False),
    ]
    script = ", ".join(f"({step}, it.wanted !== null)" for step, _ in steps)
    assert evaluated(f"(it => [{script}])(new Loading())", "wiring/loading.js") == [waits for _, waits in steps]


def test_a_dropdown_left_as_it_was_found_was_not_chosen() -> None:
    """An option was picked, or the text is another one; what was heard already is not said again."""
    found = "[['yes', 'a', 'a'], [undefined, 'a', 'b'], [undefined, 'a', 'a'], ['heard', 'a', 'b']]"
    call = f"{found}.map(all => Dropdowns.isChosen(...all))"
    assert evaluated(call, "wiring/dropdowns.js") == [True, True, False, False]


def test_keys_that_are_not_for_a_dropdown_do_not_reach_it() -> None:
    """Those that move on, and Escape while it is closed."""
    keys = "[['Tab', false], ['Escape', true], ['Escape', false], ['ArrowDown', true]]"
    call = f"{keys}.map(all => Dropdowns.isForOthers(...all))"
    assert evaluated(call, "wiring/dropdowns.js") == [True, True, False, False]


@pytest.mark.parametrize(
    ("key", "at", "text", "to"),
    [
        ("ArrowRight", 0, None, 1), ("ArrowLeft", 1, None, 0), ("ArrowLeft", 0, None, None),
        ("ArrowRight", 2, None, None), ("Home", 2, None, 0), ("End", 0, None, 2), ("End", 2, None, None),
        ("ArrowDown", 0, None, None), ("Enter", 0, None, None),
        ("ArrowLeft", 1, "start", 0), ("ArrowRight", 1, "start", None), ("ArrowRight", 1, "end", 2),
        ("Home", 1, "start", None), ("ArrowLeft", 1, "middle", None), ("ArrowRight", 1, "middle", None),
    ],
)  # fmt: skip
def test_arrows_go_between_the_controls_of_a_row(key: str, at: int, text: str | None, to: int | None) -> None:
    """Of three; a text keeps them for its cursor, but for its ends."""
    where = None if text is None else {"isStart": text == "start", "isEnd": text == "end"}
    assert evaluated(f"Stops.next({json.dumps(key)}, {at}, 3, {json.dumps(where)})", "wiring/stops.js") == to


@pytest.mark.parametrize(
    ("key", "at", "cursor", "to"),
    [
        ("ArrowDown", [0, 1], "end", [1, 1]), ("ArrowDown", [0, 1], "start", None),
        ("ArrowUp", [1, 1], "start", [0, 1]), ("ArrowDown", [1, 1], "end", [1, 2]),
        ("ArrowDown", [1, 2], "end", [2, 0]), ("ArrowUp", [2, 0], None, [1, 2]), ("ArrowDown", [2, 0], None, None),
        ("ArrowUp", [0, 1], "start", [0, 0]), ("ArrowDown", [0, 0], None, None), ("ArrowRight", [0, 0], None, [0, 1]),
        ("ArrowRight", [1, 2], "end", None), ("End", [1, 0], None, [1, 2]),
    ],
)  # fmt: skip
def test_up_and_down_go_from_text_to_text(key: str, at: list[int], cursor: str | None, to: list[int] | None) -> None:
    """Through rows; a list keeps them to choose; past the last text comes the end."""
    where = None if cursor is None else {"isStart": cursor == "start", "isEnd": cursor == "end"}
    rows = [["list", "text"], ["list", "text", "text"], ["button"]]
    assert evaluated(f"roved({json.dumps(key)}, {json.dumps(rows)}, {at}, {json.dumps(where)})") == to


def test_a_column_is_gone_through_up_and_down() -> None:
    """Left and right are not for it; nor are up and down for a row."""
    calls = "[['ArrowDown', true], ['ArrowUp', true], ['ArrowLeft', true], ['ArrowDown', false]]"
    found = evaluated(f"{calls}.map(([key, isColumn]) => Stops.next(key, 1, 3, null, isColumn))", "wiring/stops.js")
    assert found == [2, 0, None, None]
