"""Downloads of an audit: the report, and its rows in two files; and the comparison with an earlier report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspector.audit.report_file import read_report
from inspector.audit.summary import compare_reports
from inspector.errors import InspectorError
from ui.data_tab.events import ending, idle, watch
from ui.data_tab.run import REJECTED_ROWS, REPORT, REPORT_PAGE, Audited, write_rows
from ui.language import say
from ui.parts.jobs import Job, Latest
from ui.parts.report import heading, report, text
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Changes


def on_report(audited: Audited | None, _: Boxes) -> Changes:
    """Download the report as JSON, which can be compared with a later one."""
    if audited is None:
        return {}
    path = audited.path(REPORT)
    path.write_text(json.dumps(audited.report.to_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
    return _saved(path)


def on_page(audited: Audited | None, _: Boxes) -> Changes:
    """Download the report as an HTML page."""
    from inspector.audit.html import to_html

    if audited is None:
        return {}
    path = audited.path(REPORT_PAGE)
    path.write_text(to_html(audited.report), encoding="utf-8")
    return _saved(path)


def on_rows(name: str, latest: Latest, audited: Audited | None, _: Boxes) -> Iterator[Changes]:
    """Download the clean rows unchanged, or the rejected ones with reasons: together all rows that were read. Slow."""
    if audited is None or latest.is_running:
        return
    if name == REJECTED_ROWS and not audited.rejected and not audited.is_edited:
        yield {"data_files": report(text(say("Every row is clean: none is rejected."), "✓"))}
        return
    if not audited.path(name).is_file():
        job: Job[bool] = latest.start(Job(partial(write_rows, audited)))
        yield from watch(latest, job)
        if not latest.counts(job):
            return
        if not job.result:
            yield {**idle(), "data_status": report(ending(job))}
            return
        yield {**idle(), "data_status": report(text(say("The rows are written."), "✓"))}
    yield _saved(audited.path(name))


def _saved(path: Path) -> Changes:
    """Make the browser save a file."""
    size = f"{path.stat().st_size:,} bytes: {path.name}"
    return {
        "data_download": str(path),
        "data_saver": json.dumps({"click": "#data-download", "at": time.time_ns()}),
        "data_files": report(text(size, "✓")),
    }


def on_compare(file: str | None, audited: Audited | None, _: Boxes) -> Changes:
    """The changes since the audit of an earlier report."""
    if not file:
        return {"data_compared": ""}
    if audited is None:
        return {"data_compared": report(text(say("Run the audit first."), "✗"))}
    try:
        before = read_report(file)
    except InspectorError as error:
        return {"data_compared": report(text(str(error), "✗"))}
    changes = compare_reports(before, audited.report)
    return {"data_compared": report(heading(say("Since the earlier report")), *(text(line) for line in changes))}
