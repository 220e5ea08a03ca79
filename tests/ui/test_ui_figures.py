"""What the Data tab draws of a report, and of a batch, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.data.source import DataSource
from inspector.errors import BatchError
from inspector.strategies import Modifiers, Rule
from ui.data_tab import figures
from ui.data_tab.batch_pane import BatchBoxes, batch_value, on_batch, row_numbers
from ui.data_tab.boxes import DataBoxes
from ui.data_tab.report import facts_table, summary_blocks
from ui.parts.report import report as packed
from ui.wiring.boxes import Boxes

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
BOXES = Boxes(model="tiny-chat")


def example(name: str) -> DataBoxes:
    return DataBoxes(data_example=name)


def report_of(name: str, **modifiers: Any) -> AuditReport:
    task = Task(model=inspector.load("tiny-chat"), rule=Rule(modifiers=Modifiers(**modifiers)))
    return audit(task, DataSource(name=str(EXAMPLES / name)), workers=1)


# --- figures


@pytest.mark.parametrize(
    ("lengths", "width", "count"),
    [({}, 1, 2), ({0: 1}, 1, 2), ({36: 3}, 1, 37), ({1000: 1, 30: 500}, 2, 31), ({4096: 10, 100: 10}, 200, 21)],
)
def test_bins_hold_every_row(lengths: dict[int, int], width: int, count: int) -> None:
    """Round widths; nothing is lost, and a lone long row does not flatten the others."""
    found, bins = figures.length_bins(lengths)
    assert (found, len(bins)) == (width, count)
    assert sum(bins) == sum(lengths.values())


def test_figures_show_what_their_words_say() -> None:
    """Every bar's number is the report's; max_length is a line; trained is filled, the rest hollow."""
    report = report_of("merged-boundaries.jsonl", max_length=30)
    lengths = figures.length_figure(report)
    assert sum(lengths.data[0].y) == report.inspected == 12
    assert lengths.layout.shapes[0].x0 == 30
    assert "max_length 30 cuts 2 of 12 rows" in figures.length_text(report)
    trained, rest = figures.role_figure(report).data
    assert sum(trained.x) == report.trained
    assert sum(trained.x) + sum(rest.x) == sum(tokens for _, tokens, _ in report.roles.values())
    assert rest.marker.color == "rgba(0,0,0,0)"
    assert "assistant" in figures.role_text(report)
    assert figures.turn_figure(report).data[0].y == ("answer 1",)


def test_nothing_is_drawn_of_nothing() -> None:
    """An audit without rows has words, and no empty charts."""
    empty = AuditReport(about={})
    for draw in (figures.length_figure, figures.role_figure, figures.turn_figure):
        assert draw(empty) is None
    for say in (figures.length_text, figures.role_text, figures.turn_text):
        assert say(empty).endswith(".")
    assert "None of the 0 rows" in packed(*summary_blocks(empty, "nothing"))
    assert "0 read" in packed(facts_table(empty))


# --- batches


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-3", [0, 1, 2, 3]), ("4, 2 2,0 - 1", [4, 2, 0, 1]), ("7", [7]), ("1–2", [1, 2])]
)
def test_row_numbers_are_read(text: str, numbers: list[int]) -> None:
    """Ranges and lists, each number once, in their order."""
    assert row_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "x", "-1", "0-99", "3-1", "1.5", ",".join(map(str, range(17)))])
def test_other_row_numbers_are_refused(text: str) -> None:
    """And more than are shown."""
    with pytest.raises(BatchError):
        row_numbers(text)


def batch(**fields: Any) -> dict[str, Any]:
    chosen = BatchBoxes(**{f"batch_{name}": value for name, value in fields.items()})
    return dict(json.loads(batch_value(chosen, example("messages.jsonl"), BOXES)))


def test_what_truncation_takes_is_shown_beside_what_is_left() -> None:
    """At the end that is cut, token for token."""
    whole = batch(rows="0")["rows"][0]["tokens"]
    start = batch(rows="0", length=20)["rows"][0]
    assert start["tokens"] + start["cutBehind"] == whole
    assert start["cutBefore"] == []
    end = batch(rows="0", length=20, truncation="keep_end")["rows"][0]
    assert end["cutBefore"] + end["tokens"] == whole
    own = BOXES.with_changes({"max_length": 22})
    both = json.loads(batch_value(BatchBoxes(batch_rows="0", batch_length=20), example("messages.jsonl"), own))
    assert len(both["rows"][0]["cutBehind"]) == both["cut"][0] == 4


def test_padding_is_the_token_that_was_asked_for() -> None:
    """By its text or its id; the tokenizer's own otherwise; an unknown one is refused."""
    ids = {name: batch(pad=name)["rows"][3]["ids"][-1] for name in ("", "<|im_end|>", "1096")}
    assert ids == {"": 1, "<|im_end|>": 3, "1096": 1096}
    changes = on_batch(BatchBoxes(batch_pad="<nope>"), example("messages.jsonl"), BOXES)
    assert "'<nope>' is not a token" in json.loads(changes["batch"])["failure"]


def test_rows_that_make_no_batch_say_why() -> None:
    """A row that is none, by its place; rows that are not there; packing without a size."""
    for data, fields, says in (
        (example("unknown-role.jsonl"), {}, "unknown-role.jsonl, line 2: "),
        (example("messages.jsonl"), {"batch_rows": "900"}, "none of these rows"),
        (example("messages.jsonl"), {"batch_packing": True}, "Packing needs max_length"),
        (example("messages.jsonl"), {"batch_length": -1}, "max_length is -1"),
    ):
        with pytest.raises(BatchError, match=says):
            batch_value(BatchBoxes(**fields), data, BOXES)
