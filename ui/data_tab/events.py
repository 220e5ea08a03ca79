"""The handlers of the Data tab: the boxes' values in, new values by name out. The widgets are in data_tab."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
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
    why_asked,
)
from ui.data_tab.report import facts_table, pack_findings, summary_blocks
from ui.data_tab.rows import SHOWN_ROWS, columns_of, first_rows, row_setup
from ui.data_tab.run import Audited, Step, run_audit
from ui.language import say
from ui.parts.jobs import Job, Latest
from ui.parts.report import progress, report, table, text
from ui.parts.rows_view import pack_no_rows, pack_rows, shown, unusable
from ui.visitors.access import is_public
from ui.visitors.sessions import at_the_end
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import LoadedSetup
from ui.wiring.wires import Changes

_LOG = logging.getLogger(__name__)
_TELL_S = 0.4
"""Seconds between two updates about a job."""
PANES = {EXAMPLE: "data_example_box", FILE: "data_file_box", NAME: "data_name_box", PASTED: "data_pasted_box"}
ROWS_PANE, REPORT_PANE = "rows", "report"
"""The panes of the first rows, and of an audit."""
FIGURES = {
    "lengths": (figures.length_figure, figures.length_text),
    "roles": (figures.role_figure, figures.role_text),
    "turns": (figures.turn_figure, figures.turn_text),
}
CHARTS = {"lengths": ("Lengths", ["lengths"]), "roles": ("What is trained, by role", ["roles", "turns"])}
"""Charts that are drawn when they are unfolded: each with its title and its figures."""
Errors = (InspectorError, ConversationJsonError)


# --- the first rows


def on_kind(latest: Latest, audited: Audited | None, data: DataBoxes, boxes: Boxes) -> Changes:
    """Another kind of source: show its boxes and its rows. Its default example is not audited unasked."""
    visible = {pane: gr.update(visible=kind == data.data_kind) for kind, pane in PANES.items()}
    latest.about = None
    return {**visible, **on_return(latest, audited, data, boxes)}


def on_rows(latest: Latest, data: DataBoxes, boxes: Boxes) -> Changes:
    """Rows were chosen, or how they are read: show the first ones. The earlier audit is dropped, and a small data set
    is audited at once."""
    return _afresh(latest, data, boxes, lambda: True)


def on_return(latest: Latest, audited: Audited | None, data: DataBoxes, boxes: Boxes) -> Changes:
    """As `on_rows`, if the boxes are shown (again): an example that was never audited is not audited unasked."""
    is_own = data.data_kind != EXAMPLE
    return _afresh(
        latest, data, boxes, lambda: is_own or (audited is not None and audited.is_of(source_of(data)))
    )  # fmt: skip


def _afresh(latest: Latest, data: DataBoxes, boxes: Boxes, is_asked: Callable[[], bool]) -> Changes:
    """The data set of the boxes, without the earlier audit; no change if it is the same, or if the boxes have changed
    meanwhile. `is_asked`: whether to audit these rows, if they are few."""
    try:
        seen = _seen(data, shared_setup(boxes))
    except Errors:
        seen = None
    if seen is not None and seen == latest.about:
        return {}
    latest.about, number = seen, latest.drop()
    changes = preview_of(data, boxes)
    if latest.about != seen:
        return {}
    latest.about = changes["data_seen"]
    status, wanted = "", None
    if changes["data_seen"] and is_asked():
        try:
            why = why_asked(data)
        except Errors as error:
            why = str(error)
        status, wanted = (report(text(why, "◼")), None) if why else (report(progress(say("Starting …"), None)), number)
    return {
        **changes, "data_wanted": wanted, "data_status": status, "data_cancel": gr.update(variant="secondary"),
        "data_none": gr.update(visible=True), "data_result": gr.update(visible=False),
        "data_panes": gr.update(selected=ROWS_PANE),
    }  # fmt: skip


def _seen(data: DataBoxes, shared: LoadedSetup) -> str:
    """A key for the settings that rows, report and batch depend on."""
    return json.dumps([asdict(replace(data, data_workers=0)), shared.setup.to_dict()], default=str)


def preview_of(data: DataBoxes, boxes: Boxes) -> Changes:
    """The first rows as rendered, how they are read, and the setup used for them."""
    try:
        shared = shared_setup(boxes)
    except Errors as error:
        return {"data_setup": report(text(str(error), "✗")), **_no_rows("The Inspect tab's setup cannot be used.")}
    answer = {"data_setup": report(text(" · ".join(f"{name} {value}" for name, value in about_setup(shared.setup))))}
    try:
        return {**answer, **_preview(data, shared), "data_seen": _seen(data, shared)}
    except NoSourceError as error:
        return {**answer, "data_layout": "", "data_preview": pack_no_rows(str(error), is_hint=True), "data_seen": None}
    except Errors as error:
        return {**answer, **_no_rows(str(error))}
    except Exception as error:  # whatever it is, the page has to report it and stay alive
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


def on_run(latest: Latest, before: Audited | None, data: DataBoxes, boxes: Boxes) -> Iterator[Changes]:
    """Audit the rows, unless a job is already running: one at a time is enough for a page."""
    if not latest.is_running:
        yield from _audited(latest, before, data, boxes, data_panes=gr.update(selected=REPORT_PANE))


def on_wanted(
    wanted: int | None, latest: Latest, before: Audited | None, data: DataBoxes, boxes: Boxes
) -> Iterator[Changes]:  # fmt: skip
    """Audit the rows that were chosen last."""
    if wanted is not None and wanted == latest.number:
        yield from _audited(latest, before, data, boxes)


def _audited(
    latest: Latest, before: Audited | None, data: DataBoxes, boxes: Boxes, **first: Any
) -> Iterator[Changes]:  # fmt: skip
    """Audit the rows, show the progress, and then the report. Ends if the page is closed, or the job is dropped.

    `before`: the previous audit, whose edited rows are kept; `first`: changes at the start.
    """
    job: Job[Audited] = latest.start(Job(partial(run_audit, before, data, boxes)))
    yield from watch(latest, job, **first)
    if not latest.counts(job):
        return
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
    if latest.counts(job):
        yield {**idle(), **changes, "data_status": report(notice)}


def watch(latest: Latest, job: Job[Any], **first: Any) -> Iterator[Changes]:
    """The progress of a job, until it has ended or was dropped; stops it if the page is closed. `first`: further
    changes at the start."""
    try:
        yield {"data_cancel": gr.update(variant="stop"), "data_status": report(_progress(job)), **first}
        while not job.is_done(_TELL_S) and latest.counts(job):
            yield {"data_status": report(_progress(job))}
    finally:
        job.stop()


def idle() -> Changes:
    """The page without a running job."""
    return {"data_cancel": gr.update(variant="secondary")}


def _progress(job: Job[Any]) -> Any:
    step = job.progress
    if job.is_stopping():
        return progress(say("Stopping …"), None)
    if not job.has_begun:
        return progress(say("Waiting for another run to end …"), None)
    if not isinstance(step, Step):
        return progress(say("Starting …"), None)
    parts = [f"{step.rows:,} rows", f"{step.rows_per_second:,.0f} a second"]
    if step.seconds_left is not None:
        left = round(step.seconds_left)
        parts.append(f"{left // 60}:{left % 60:02} left")
    if step.kinds:
        parts.append("1 kind of finding" if step.kinds == 1 else f"{step.kinds} kinds of findings")
    done = None if step.rows_left is None else step.rows / max(1, step.rows + step.rows_left)
    return progress(" · ".join(parts), done)


def ending(job: Job[Any]) -> Any:
    """The reason why a job has no result."""
    if isinstance(job.error, Errors):
        return text(str(job.error), "✗")
    return text(say("Stopped."), "◼") if job.error is None else text(_unforeseen(job.error), "✗")


def on_cancel(latest: Latest, _: Boxes) -> Changes:
    """Ask the running job to end with its result so far."""
    return {} if latest.stop() else {"data_status": report(text(say("Nothing runs."), "◼"))}


def on_chart(names: Sequence[str], audited: Audited | None, _: Boxes) -> Changes:
    """The figures of an unfolded chart, each with its text."""
    values: dict[str, Any] = {}
    for name in names if audited is not None else ():
        draw, put = FIGURES[name]
        figure = draw(audited.report)
        values[f"data_{name}"] = gr.update(value=figure, visible=figure is not None)
        values[f"data_{name}_text"] = report(text(put(audited.report)))
    return values


def _report_values(audited: Audited) -> dict[str, Any]:
    audited_report = audited.report
    return {
        "data_audited": audited,
        "data_none": gr.update(visible=False),
        "data_result": gr.update(visible=True),
        "data_summary": report(*summary_blocks(audited_report, audited.name)),
        "data_findings": pack_findings(audited_report),
        "data_facts": report(facts_table(audited_report)),
        "data_files": "",
        **row_buttons(audited),
        "data_earlier": None,
        "data_compared": "",
        "data_panes": gr.update(selected=REPORT_PANE),
        **{f"data_{chart}_pane": gr.update(open=False) for chart in CHARTS},
        **{f"data_{name}": None for name in FIGURES},
        **{f"data_{name}_text": "" for name in FIGURES},
    }


def row_buttons(audited: Audited) -> dict[str, Any]:
    """The number of rows that each button saves; no number if the audit was stopped, or rows were edited since: these
    have not been counted."""
    if audited.is_edited or not audited.report.about["complete"]:
        return {"data_save_clean": "Download clean rows", "data_save_rejected": "Rejected rows, with reasons"}
    clean, rejected = audited.report.rows - audited.rejected, audited.rejected
    rows = "row" if rejected == 1 else "rows"
    return {
        "data_save_clean": f"Download {clean:,} clean {'row' if clean == 1 else 'rows'}",
        "data_save_rejected": f"{rejected:,} rejected {rows}, with reasons",
    }


def _unforeseen(error: Exception) -> str:
    _LOG.error("The data set could not be shown", exc_info=error)
    return f"Something failed that should not have: {type(error).__name__}: {error}. Please report it, with this data."
