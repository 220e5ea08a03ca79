"""What can be taken away from an audit: the report, its rows in two files; and an earlier report beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from inspector.audit.report_file import read_report
from inspector.audit.summary import compare_reports
from inspector.data.formats import conversation_of, read
from inspector.data.source import Row
from inspector.data.writing import written_back
from inspector.errors import InspectorError
from ui.data_tab.events import ending, idle, is_running, watch
from ui.data_tab.rows import rows_at
from ui.data_tab.run import CLEAN_ROWS, REJECTED_ROWS, REPORT, REPORT_PAGE, Audited, write_rows
from ui.parts.jobs import Job
from ui.parts.report import heading, report, text
from ui.wiring.boxes import Boxes, setup_of
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.wires import Changes


def on_report(audited: Audited | None, _: Boxes) -> Changes:
    """The report as JSON, which can be compared with a later one."""
    if audited is None:
        return {}
    path = audited.path(REPORT)
    path.write_text(json.dumps(audited.report.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
    return _saved(path)


def on_page(audited: Audited | None, _: Boxes) -> Changes:
    """The report as a page of its own."""
    from inspector.audit.html import to_html

    if audited is None:
        return {}
    path = audited.path(REPORT_PAGE)
    path.write_text(to_html(audited.report), encoding="utf-8")
    return _saved(path)


def on_rows(name: str, before: Job[Any] | None, audited: Audited | None, _: Boxes) -> Iterator[Changes]:
    """The clean rows as they are, or the rejected ones with reasons: together all that were read. Takes its time."""
    if audited is None or is_running(before):
        return
    if name == REJECTED_ROWS and not audited.rejected and not audited.edits:
        yield {"data_files": report(text("Every row is clean: none is rejected.", "✓"))}
        return
    if not audited.path(name).is_file():
        job: Job[bool] = Job(partial(write_rows, audited)).start()
        yield from watch(job)
        if not job.result:
            yield {**idle(), "data_status": report(ending(job))}
            return
        yield {**idle(), "data_status": report(text("The rows are written.", "✓"))}
    yield _saved(audited.path(name))


def _saved(path: Path) -> Changes:
    """Have the browser save a file."""
    size = f"{path.stat().st_size:,} bytes: {path.name}"
    return {
        "data_download": str(path),
        "data_saver": json.dumps({"click": "#data-download", "at": time.time_ns()}),
        "data_files": report(text(size, "✓")),
    }


def on_edits(audited: Audited | None, boxes: Boxes) -> Changes:
    """The opened rows as they were edited since: the downloads carry them from now on, the report stays as it is."""
    if audited is None or boxes.rows is None or not boxes.rows.numbers:
        return {"data_files": report(text("Open a row from the findings, and change it there.", "✗"))}
    try:
        opened = boxes.rows.edited(setup_of(boxes))
        found = {row.number: row for row in rows_at(audited.source, opened.numbers) if isinstance(row, Row)}
        edits = dict(audited.edits)
        for number, setup in zip(opened.numbers, opened.setups, strict=True):
            row, edited = found.get(number), conversation_of(setup.conversation)
            if row and edited.to_json() != read(edits.get(number, row.value), audited.layout).conversation.to_json():
                edits[number] = written_back(row.value, audited.layout, edited)
    except (InspectorError, ConversationJsonError) as error:
        return {"data_files": report(text(str(error), "✗"))}
    if edits == audited.edits:
        return {"data_files": report(text("None of the opened rows was changed.", "◼"))}
    for name in (CLEAN_ROWS, REJECTED_ROWS):
        audited.path(name).unlink(missing_ok=True)
    rows = ", ".join(map(str, sorted(edits)))
    return {
        "data_audited": replace(audited, edits=edits),
        "data_save_clean": "Clean rows",
        "data_save_rejected": "Rejected rows, with reasons",
        "data_files": report(text(f"Saved as edited: rows {rows}. The downloads carry them.", "✓")),
    }


def on_compare(file: str | None, audited: Audited | None, _: Boxes) -> Changes:
    """What changed since the audit of an earlier report."""
    if not file:
        return {"data_compared": ""}
    if audited is None:
        return {"data_compared": report(text("Run the audit first.", "✗"))}
    try:
        before = read_report(file)
    except InspectorError as error:
        return {"data_compared": report(text(str(error), "✗"))}
    changes = compare_reports(before, audited.report)
    return {"data_compared": report(heading("Since the earlier report"), *(text(line) for line in changes))}
