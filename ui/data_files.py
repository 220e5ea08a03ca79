"""What can be taken away from an audit: the report, the clean rows, the bad ones; and an earlier report beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from inspector.audit_commands import read_report
from inspector.errors import InspectorError
from inspector.summary import compare_reports
from ui.boxes import Boxes
from ui.data_events import ending, idle, is_running, watch
from ui.data_run import BAD_ROWS, REPORT, REPORT_PAGE, Audited, write_clean_rows
from ui.jobs import Job
from ui.report import heading, report, text
from ui.wiring import Changes


def on_report(audited: Audited | None, _: Boxes) -> Changes:
    """The report as JSON, which can be compared with a later one."""
    if audited is None:
        return {}
    path = audited.path(REPORT)
    path.write_text(json.dumps(audited.report.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
    return _saved(path)


def on_page(audited: Audited | None, _: Boxes) -> Changes:
    """The report as a page of its own."""
    from inspector.report_html import to_html

    if audited is None:
        return {}
    path = audited.path(REPORT_PAGE)
    path.write_text(to_html(audited.report), encoding="utf-8")
    return _saved(path)


def on_bad_rows(audited: Audited | None, _: Boxes) -> Changes:
    """The rows that could not be used, each with its place and why."""
    if audited is None:
        return {}
    if not audited.report.bad + audited.report.refused:
        return {"data_files": report(text("Every row could be used: there is no bad one to save.", "✓"))}
    if not audited.path(BAD_ROWS).is_file():
        return {
            "data_files": report(text("The bad rows are gone, since this page was left: run the audit again.", "✗"))
        }
    return _saved(audited.path(BAD_ROWS))


def on_clean_rows(before: Job[Any] | None, audited: Audited | None, _: Boxes) -> Iterator[Changes]:
    """The rows as they are, without the bad and refused ones and those with an error. Takes its time."""
    if audited is None or is_running(before):
        return
    job: Job[Path | None] = Job(partial(write_clean_rows, audited)).start()
    yield from watch(job)
    said = report(ending(job)) if job.result is None else report(text("The clean rows are written.", "✓"))
    yield {**idle(), "data_status": said, **({} if job.result is None else _saved(job.result))}


def _saved(path: Path) -> Changes:
    """Have the browser save a file."""
    size = f"{path.stat().st_size:,} bytes: {path.name}"
    return {
        "data_download": str(path),
        "data_saver": json.dumps({"click": "#data-download", "at": time.time_ns()}),
        "data_files": report(text(size, "✓")),
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
    said = compare_reports(before, audited.report)
    return {"data_compared": report(heading("Since the earlier report"), *(text(line) for line in said))}
