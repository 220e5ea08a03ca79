"""Opens rows of a data set on the Inspect tab; they are read from their source again by their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from inspector.data.layouts import Layout
from inspector.data.source import BadRow, DataSource, Row
from inspector.errors import InspectorError
from inspector.setup import Setup
from ui.data_tab.boxes import DataBoxes, mapping_of, shared_setup, source_of
from ui.data_tab.report import ExampleRow, example_rows, problem_of
from ui.data_tab.rows import SHOWN_ROWS, first_rows, row_setup, rows_at
from ui.data_tab.run import Audited
from ui.inspect_tab.open import show_rows
from ui.language import say
from ui.parts.report import report, text
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import LoadedSetup
from ui.wiring.open_setups import Rows
from ui.wiring.wires import Changes

INSPECT = "inspect"
"""The tab that rows open in."""


def on_open(event: Mapping[str, Any], audited: Audited | None, boxes: Boxes) -> Changes:
    """Open an example row of a finding, at the token in question.

    The other examples are the rows before and after it.
    """
    code, at = str(event.get("code")), event.get("at")
    listed = [] if audited is None else example_rows(audited.report, code)
    if audited is None or not isinstance(at, int) or not 0 <= at < len(listed):
        return {}
    rows = [row for row in listed if row.can_open]
    return _opened(
        audited.source, LoadedSetup(audited.setup), audited.layout, rows, listed[at].number,
        problem_of(audited.report, code),
    )  # fmt: skip


def on_open_first(event: Mapping[str, Any], data: DataBoxes, boxes: Boxes) -> Changes:
    """Open one of the first rows; the others are the rows before and after it."""
    try:
        source, shared = source_of(data), shared_setup(boxes)
        layout, head = first_rows(source, mapping_of(data))
    except (InspectorError, ConversationJsonError) as error:
        return _refused(str(error))
    rows = [ExampleRow(number=row.number, place=row.place, detail="") for row in head[:SHOWN_ROWS]]
    return _opened(source, shared, layout, rows, event.get("number"))


def on_change(_: Boxes) -> Changes:
    """Show the tab where model, template and training are chosen."""
    return {"tabs": gr.update(selected=INSPECT)}


def _opened(
    source: DataSource, shared: LoadedSetup, layout: Layout, rows: Sequence[ExampleRow], wanted: Any,
    problem: str = "",
) -> Changes:  # fmt: skip
    """The rows that are conversations, with the row `wanted` shown.

    `problem`: the problem that an audit found in them.
    """
    try:
        found = {row.number: row for row in rows_at(source, {row.number for row in rows})}
        opened = [(row, found[row.number].place, _setup(shared, found[row.number], layout)) for row in rows
                  if row.number in found]  # fmt: skip
    except (InspectorError, ConversationJsonError) as error:
        return _refused(str(error))
    usable = [(row, place, setup) for row, place, setup in opened if setup is not None]
    at = next((i for i, (row, _, _) in enumerate(usable) if row.number == wanted), None)
    if at is None:
        return _refused(f"row {wanted} is not a conversation, or is no longer there.")
    numbers = tuple(row.number for row, _, _ in usable)
    opened_rows = Rows(
        setups=tuple(setup for _, _, setup in usable), at=at, titles=tuple(place for _, place, _ in usable),
        tokens=tuple(row.token for row, _, _ in usable), numbers=numbers, problem=problem,
        saved=frozenset(numbers) & frozenset(source.edits),
    )  # fmt: skip
    return {**show_rows(opened_rows), "tabs": gr.update(selected=INSPECT)}


def _setup(shared: LoadedSetup, row: Row | BadRow, layout: Layout) -> Setup | None:
    """None for a row that is not a conversation."""
    if isinstance(row, BadRow):
        return None
    try:
        return row_setup(shared, row, layout).setup
    except InspectorError:
        return None


def _refused(why: str) -> Changes:
    return {"data_status": report(text(say("The row cannot be opened: {why}", why=why), "✗"))}
