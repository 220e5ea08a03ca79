"""What happens on the Data tab: the boxes' values in, new values by name out. The widgets are in data_tab."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import gradio as gr

from inspector.data.layouts import Format
from inspector.data.source import BadRow
from inspector.errors import InspectorError
from ui.data_tab import figures
from ui.data_tab.boxes import (
    EXAMPLE,
    FILE,
    NAME,
    PASTED,
    DataBoxes,
    NoSourceError,
    about_setup,
    mapping_of,
    shared_setup,
    source_of,
)
from ui.data_tab.report import pack_findings, summary_blocks
from ui.data_tab.rows import SHOWN_ROWS, columns_of, first_rows, row_setup
from ui.data_tab.run import Audited, Step, run_audit
from ui.parts.jobs import Job
from ui.parts.report import heading, progress, report, table, text
from ui.parts.rows_view import pack_no_rows, pack_rows, shown, unusable
from ui.visitors.access import is_public
from ui.visitors.sessions import at_the_end
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import LoadedSetup
from ui.wiring.wires import Changes

_LOG = logging.getLogger(__name__)
_TELL_S = 0.4
"""How often the page hears of a job."""
PANES = {EXAMPLE: "data_example_box", FILE: "data_file_box", NAME: "data_name_box", PASTED: "data_pasted_box"}
REPORT_PANE = "report"
"""The pane that an audit is shown in."""
FIGURES = {
    "lengths": ("Lengths", figures.length_figure, figures.length_text),
    "roles": ("What trains, by role", figures.role_figure, figures.role_text),
    "turns": ("What trains, by answer", figures.turn_figure, figures.turn_text),
    "found": ("Findings by rows", figures.finding_figure, figures.finding_text),
}
Errors = (InspectorError, ConversationJsonError)


# --- the first rows


def on_kind(data: DataBoxes, boxes: Boxes) -> Changes:
    """Another kind of source: its own boxes, and its rows."""
    visible = {pane: gr.update(visible=kind == data.data_kind) for kind, pane in PANES.items()}
    return {**visible, **on_preview(None, data, boxes)}


def on_preview(before: str | None, data: DataBoxes, boxes: Boxes) -> Changes:
    """The first rows after the template, how they are read, and the setup they are read with.

    `before`: what was shown last; nothing changes where that is what would be shown again.
    """
    try:
        shared = shared_setup(boxes)
    except Errors as error:
        return {"data_setup": report(text(str(error), "✗")), **_no_rows("The Inspect tab's setup cannot be used.")}
    answer = {"data_setup": report(text(" · ".join(f"{name} {value}" for name, value in about_setup(shared.setup))))}
    seen = json.dumps([asdict(data), shared.setup.to_dict()], default=str)
    if before == seen:
        return {}
    try:
        return {**answer, **_preview(data, shared), "data_seen": seen}
    except NoSourceError as error:
        return {**answer, "data_layout": "", "data_preview": pack_no_rows(str(error), is_hint=True), "data_seen": None}
    except Errors as error:
        return {**answer, **_no_rows(str(error))}
    except Exception as error:  # whatever it is, the page has to say so and stay alive
        return {**answer, **_no_rows(_unforeseen(error))}


def _no_rows(why: str) -> Changes:
    return {"data_layout": report(text(why, "✗")), "data_preview": pack_no_rows(why), "data_seen": None}


def _preview(data: DataBoxes, shared: LoadedSetup) -> Changes:
    source = source_of(data)
    layout, head = first_rows(source, mapping_of(data))
    used = ", ".join(name if name == column else f"{name}={column}" for name, column in layout.columns.items())
    facts = [["format", layout.format.value], ["read from", used], ["columns", ", ".join(columns_of(head))]]
    if layout.unused:
        facts.append(["not read", ", ".join(layout.unused)])
    if layout.format is Format.PREFERENCE:
        facts.append(["audited", "the chosen answer; map chosen=rejected, rejected=chosen to see the other"])
    rows = []
    for row in head[:SHOWN_ROWS]:
        if isinstance(row, BadRow):
            rows.append(unusable(row.number, row.place, row.why, can_open=False))
            continue
        setup = None
        try:
            setup = row_setup(shared, row, layout)
            rows.append(shown(row.number, row.place, setup.inspect()))
        except InspectorError as error:
            rows.append(unusable(row.number, row.place, str(error), can_open=setup is not None))
    title = "The first row" if len(rows) == 1 else f"The first {len(rows)} rows"
    return {"data_layout": report(table(["", ""], facts)), "data_preview": pack_rows(rows, f"{title}, as trained")}


# --- the audit


def on_run(before: Job[Any] | None, data: DataBoxes, boxes: Boxes) -> Iterator[Changes]:
    """Audit the rows, saying how far it is, and show the report. Ends when the page is closed.

    `before`: the job that was started last. One at a time is enough for a page.
    """
    if is_running(before):
        return
    job: Job[Audited] = Job(partial(run_audit, data, boxes)).start()
    yield from watch(job, data_panes=gr.update(selected=REPORT_PANE))
    if job.result is None:
        yield {**idle(), "data_status": report(ending(job))}
        return
    audited = job.result
    if is_public():
        at_the_end(audited.folder.cleanup)
    rest = "" if audited.report.about["complete"] else " Stopped: what was seen until then is shown."
    notice = text(f"{audited.report.rows:,} rows audited.{rest}", "◼" if rest else "✓")
    try:
        changes = _report_values(audited)
    except Exception as error:  # the buttons have to come back
        changes = {}
        notice = text(_unforeseen(error), "✗")
    yield {**idle(), **changes, "data_status": report(notice)}


def watch(job: Job[Any], **first: Any) -> Iterator[Changes]:
    """How far a job is, until it has ended; stops it when nobody listens any more. `first`: what changes beside it."""
    try:
        yield {**_busy(job), **first}
        while not job.is_done(_TELL_S):
            yield {"data_status": report(_progress(job))}
    finally:
        job.stop()


def is_running(job: Job[Any] | None) -> bool:
    """Whether a job still works."""
    return job is not None and not job.is_done()


def _busy(job: Job[Any]) -> Changes:
    return {"data_job": job, "data_cancel": gr.update(variant="stop"), "data_status": report(_progress(job))}


def idle() -> Changes:
    """The page when no job works."""
    return {"data_job": None, "data_cancel": gr.update(variant="secondary")}


def _progress(job: Job[Any]) -> Any:
    step = job.progress
    if job.is_stopping():
        return progress("Stopping …", None)
    if not job.has_begun:
        return progress("Waiting for another run to end …", None)
    if not isinstance(step, Step):
        return progress("Starting …", None)
    parts = [f"{step.rows:,} rows", f"{step.rows_per_second:,.0f} a second"]
    if step.seconds_left is not None:
        left = round(step.seconds_left)
        parts.append(f"{left // 60}:{left % 60:02} left")
    if step.kinds:
        parts.append("1 kind of finding" if step.kinds == 1 else f"{step.kinds} kinds of findings")
    done = None if step.rows_left is None else step.rows / max(1, step.rows + step.rows_left)
    return progress(" · ".join(parts), done)


def ending(job: Job[Any]) -> Any:
    """Why a job has no result."""
    if isinstance(job.error, Errors):
        return text(str(job.error), "✗")
    return text("Stopped.", "◼") if job.error is None else text(_unforeseen(job.error), "✗")


def on_cancel(job: Job[Any] | None, _: Boxes) -> Changes:
    """Ask what runs to end with what it has."""
    if job is None or not is_running(job):
        return {"data_status": report(text("Nothing runs.", "◼"))}
    job.stop()
    return {}


def _report_values(audited: Audited) -> dict[str, Any]:
    audited_report = audited.report
    values: dict[str, Any] = {
        "data_audited": audited,
        "data_none": gr.update(visible=False),
        "data_result": gr.update(visible=True),
        "data_summary": report(*summary_blocks(audited_report, audited.name)),
        "data_findings": pack_findings(audited_report),
        "data_files": "",
        **_row_buttons(audited),
        "data_earlier": None,
        "data_compared": "",
    }
    for name, (title, draw, say) in FIGURES.items():
        figure = draw(audited_report)
        values[f"data_{name}"] = gr.update(value=figure, visible=figure is not None)
        values[f"data_{name}_text"] = report(heading(title), text(say(audited_report)))
    return values


def _row_buttons(audited: Audited) -> dict[str, Any]:
    """How many rows each button saves; no number where the audit was stopped: other rows may be read then."""
    if not audited.report.about["complete"]:
        return {"data_save_clean": "Clean rows", "data_save_rejected": "Rejected rows, with reasons"}
    clean, rejected = audited.report.rows - audited.rejected, audited.rejected
    rows = "row" if rejected == 1 else "rows"
    return {
        "data_save_clean": "1 clean row" if clean == 1 else f"{clean:,} clean rows",
        "data_save_rejected": f"{rejected:,} rejected {rows}, with reasons",
    }


def _unforeseen(error: Exception) -> str:
    _LOG.error("The data set could not be shown", exc_info=error)
    return f"Something failed that should not have: {type(error).__name__}: {error}. Please report it, with this data."
