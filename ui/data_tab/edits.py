"""Steps through the rows of a problem on the Inspect tab: each is saved to the working copy, or skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from inspector.data.formats import conversation_of, read
from inspector.data.source import Row
from inspector.data.writing import written_back
from inspector.errors import DataError, InspectorError
from inspector.setup import Setup
from ui.data_tab.events import row_buttons
from ui.data_tab.rows import rows_at
from ui.data_tab.run import CLEAN_ROWS, REJECTED_ROWS, Audited
from ui.inspect_tab.open import show_rows
from ui.inspect_tab.view import boxes_view
from ui.language import say
from ui.parts.jobs import Latest
from ui.parts.report import report, text
from ui.wiring.boxes import Boxes, conversation_values, setup_of
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.open_setups import Rows
from ui.wiring.wires import Changes

AUDIT = "data"
"""The tab of the audit."""


def on_save(event: Mapping[str, Any], audited: Audited | None, boxes: Boxes) -> Changes:
    """Save the edited row to the working copy, which the downloads and the next audit use, and show the next row.

    The event carries the current text of the `conversation`, which the boxes may not yet hold.
    """
    written = event.get("conversation")
    now = boxes.with_changes(conversation_values(written)) if isinstance(written, str) else boxes
    rows = now.rows
    if audited is None or rows is None or rows.number is None:
        return {}
    try:
        setup = setup_of(now)
        row = _edited(audited, rows.number, setup)
    except (InspectorError, ConversationJsonError) as error:
        return _stay(now, rows, f"Not saved: {error}")
    if row is None:
        return _stay(now, rows, "This row is not changed: change it, or skip it.")
    rows = rows.edited(setup)
    rows = replace(rows, saved=rows.saved | {rows.number})
    audited = replace(
        audited, source=replace(audited.source, edits={**audited.source.edits, rows.number: row}), is_edited=True
    )
    for name in (CLEAN_ROWS, REJECTED_ROWS):
        audited.path(name).unlink(missing_ok=True)
    numbers = ", ".join(map(str, sorted(audited.source.edits)))
    return {
        **_next(rows, f"Saved: {rows.title}."),
        "data_audited": audited,
        **row_buttons(audited),
        "data_files": report(text(say("Edited rows: {rows}. The downloads carry them.", rows=numbers), "✓")),
    }


def on_skip(_: Mapping[str, Any], boxes: Boxes) -> Changes:
    """Show the next row; edits of this one are lost."""
    return _next(boxes.rows, "") if boxes.rows is not None else {}


def on_back(_: Mapping[str, Any], latest: Latest, audited: Audited | None, __: Boxes) -> Changes:
    """Go back to the audit; run it again if rows were saved since."""
    changes: dict[str, Any] = {"tabs": gr.update(selected=AUDIT)}
    if audited is not None and audited.is_edited and audited.is_short:
        changes["data_wanted"] = latest.drop()
    return changes


def _edited(audited: Audited, number: int, setup: Setup) -> Mapping[str, Any] | None:
    """A row of the working copy with the conversation of a setup; None if it already has that. Raises InspectorError if
    its layout cannot hold it."""
    row = next(iter(rows_at(audited.source, [number])), None)
    if not isinstance(row, Row):
        raise DataError(f"row {number} is no longer there.")
    edited = conversation_of(setup.conversation)
    if edited.to_json() == read(row.value, audited.layout).conversation.to_json():
        return None
    return written_back(row.value, audited.layout, edited)


def _stay(boxes: Boxes, rows: Rows, said: str) -> Changes:
    """The same row with its current text, and the reason why it is still shown."""
    after = replace(boxes, rows=replace(rows, said=said))
    return {**conversation_values(boxes.conversation), "rows": after.rows, "view": boxes_view(after)}


def _next(rows: Rows, said: str) -> Changes:
    """The row after the shown one; after the last one, the number of saved rows."""
    if rows.is_last:
        count = len(rows.setups)
        last = "That was the only row" if count == 1 else f"That was the last of the {count} rows"
        said = f"{said} {last}: {len(rows.saved)} saved. Go back to the audit.".strip()
    return show_rows(replace(rows.moved(1), said=said))
