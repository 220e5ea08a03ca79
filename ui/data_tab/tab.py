"""The Data tab: its widgets, and which handler each event calls. The Batch pane builds and connects its own."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import gradio as gr

from inspector.data.files import SUFFIXES
from inspector.data.layouts import Format
from ui.data_tab import edits, events, files
from ui.data_tab import open as opening
from ui.data_tab.batch_pane import build_batch_pane, connect_batch_pane
from ui.data_tab.boxes import DETECTED, EXAMPLE, FILE, NAME, PASTED, DataBoxes, examples
from ui.data_tab.run import CLEAN_ROWS, REJECTED_ROWS
from ui.inspect_tab.open import OPENED
from ui.parts.jobs import Latest
from ui.parts.report import build_note, build_report
from ui.parts.rows_view import build_rows_view
from ui.parts.saver import build_saver
from ui.parts.scripts import build_drawn
from ui.parts.text_box import build_text_box
from ui.parts.tokens import tokens_script
from ui.visitors.access import is_public
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Wires


def build() -> dict[str, Any]:
    """The tab's widgets, by name."""
    widgets: dict[str, Any] = {
        "data_seen": gr.State(None), "data_wanted": gr.State(None), "data_latest": gr.State(Latest()),
        "data_audited": gr.State(None),
    }  # fmt: skip
    with gr.Row(elem_id="data-row"):
        with gr.Column(scale=5, min_width=320, elem_id="data-inputs"):
            widgets |= _build_source()
            widgets |= _build_columns()
            widgets |= _build_run()
        with gr.Column(scale=7, min_width=320, elem_id="data-output"):
            with gr.Tabs(selected=events.ROWS_PANE, elem_id="data-panes") as panes:
                with gr.Tab("Rows", id=events.ROWS_PANE):
                    widgets["data_preview"] = build_rows_view("data-preview")
                with gr.Tab("Report", id=events.REPORT_PANE):
                    widgets |= _build_report()
            widgets |= build_batch_pane()
    return {**widgets, "data_panes": panes}


def _build_source() -> dict[str, Any]:
    name = "Hub" if is_public() else "Hub or path"
    kinds = [("Example", EXAMPLE), ("File", FILE), (name, NAME), ("Pasted", PASTED)]
    kind = gr.Radio(kinds, value=EXAMPLE, label="Data set", elem_id="data-kind")
    with gr.Column(visible=True) as example_box:
        example = gr.Dropdown(examples(), value=examples()[0], label="Example", elem_id="data-example")
    with gr.Column(visible=False) as file_box:
        file = gr.File(
            label="JSONL, JSON, CSV, TSV, Parquet, Arrow", file_types=[*SUFFIXES, ".gz"], height=120,
            elem_id="data-file",
        )  # fmt: skip
    with gr.Column(visible=False) as name_box:
        named = gr.Textbox(
            label=name, max_lines=1, elem_id="data-name", placeholder="owner/name",
            info="A data set's id" + ("" if is_public() else ", a file, or a folder of files"),
        )  # fmt: skip
        with gr.Row():
            parts = {
                part: gr.Textbox(
                    label=part.title(), max_lines=1, min_width=90, elem_id=f"data-{part}", placeholder=empty
                )
                for part, empty in (("split", "train"), ("config", "default"), ("revision", "main"))
            }
    with gr.Column(visible=False) as pasted_box:
        pasted = build_text_box(
            "Rows", info="JSON, JSONL, or CSV with a header", rows=10, elem_id="data-pasted",
            placeholder='{"prompt": "Hi?", "completion": "Hello."}',
        )  # fmt: skip
    return {
        "data_kind": kind, "data_example": example, "data_file": file, "data_name": named, "data_pasted": pasted,
        **{f"data_{part}": box for part, box in parts.items()},
        "data_example_box": example_box, "data_file_box": file_box, "data_name_box": name_box,
        "data_pasted_box": pasted_box,
    }  # fmt: skip


def _build_columns() -> dict[str, Any]:
    with gr.Row():
        format = gr.Dropdown(
            [DETECTED, *(format.value for format in Format)], value=DETECTED, label="Format", scale=1, min_width=140,
            elem_id="data-format",
        )  # fmt: skip
        with gr.Column(scale=2, min_width=180):
            mapping = build_text_box("Column mapping", rows=1, elem_id="data-mapping", placeholder="prompt=question")
    return {"data_format": format, "data_mapping": mapping, "data_layout": build_report("data-layout")}


def _build_run() -> dict[str, Any]:
    with gr.Row(equal_height=True, elem_id="data-as"):
        with gr.Column(scale=4, min_width=220):
            build_note("Set on the Inspect tab:")
            setup = build_report("data-setup")
        change = gr.Button("Edit in Inspect", size="sm", scale=1, min_width=110, elem_id="data-change")
    with gr.Row(equal_height=True):
        limit = gr.Number(
            0, label="Row limit", precision=0, min_width=80, elem_id="data-limit", info="0 = no limit",
        )  # fmt: skip
        workers = gr.Number(
            0, label="Workers", precision=0, min_width=80, elem_id="data-workers",
            info=f"0 = one per core, up to {os.cpu_count() or 1}",
        )  # fmt: skip
    with gr.Row(equal_height=True):
        run = gr.Button("Run the audit", variant="primary", min_width=120, elem_id="data-run")
        cancel = gr.Button("Cancel", min_width=80, elem_id="data-cancel")
    return {
        "data_setup": setup, "data_change": change, "data_limit": limit, "data_workers": workers, "data_run": run,
        "data_cancel": cancel, "data_status": build_report("data-status"),
    }  # fmt: skip


def _build_report() -> dict[str, Any]:
    with gr.Column(visible=True) as none:
        build_note("Run the audit to render, tokenize and check every row. What it finds appears here.")
    widgets: dict[str, Any] = {}
    with gr.Column(visible=False, elem_id="data-result") as result:
        widgets["data_summary"] = build_report("data-summary", comes_into_view=True)
        widgets |= _build_downloads()
        findings = tokens_script("data_tab/findings_view.js")
        widgets["data_findings"] = build_drawn("findings-view", findings, "data-findings")
        widgets["data_facts"] = build_report("data-facts")
        for chart, (title, names) in events.CHARTS.items():
            with gr.Accordion(title, open=False, elem_id=f"data-{chart}-pane") as widgets[f"data_{chart}_pane"]:
                for name in names:
                    widgets[f"data_{name}_text"] = build_report(f"data-{name}-text", comes_into_view=True)
                    widgets[f"data_{name}"] = gr.Plot(
                        show_label=False, container=False, elem_id=f"data-{name}", elem_classes=["ms-figure"]
                    )
        widgets |= _build_earlier()
    return {**widgets, "data_none": none, "data_result": result}


def _build_downloads() -> dict[str, Any]:
    with gr.Row(elem_id="data-files-row"):
        buttons = {
            f"data_save_{name}": gr.Button(
                label, size="sm", min_width=120, elem_id=f"data-save-{name}",
                variant="primary" if name == "clean" else "secondary",
            )
            for name, label in (
                ("clean", "Download clean rows"), ("rejected", "Rejected rows, with reasons"),
                ("report", "Report as JSON"), ("page", "Report as HTML"),
            )
        }  # fmt: skip
    pane = build_report("data-files", comes_into_view=True)
    download = gr.DownloadButton(visible="hidden", elem_id="data-download")
    saver = build_saver("data-saver")
    return {**buttons, "data_files": pane, "data_download": download, "data_saver": saver}


def _build_earlier() -> dict[str, Any]:
    with gr.Accordion("Compare with an earlier report", open=False, elem_id="data-compare"):
        earlier = gr.File(label="Report as JSON", file_types=[".json"], height=110, elem_id="data-earlier")
        compared = build_report("data-compared", comes_into_view=True)
    return {"data_earlier": earlier, "data_compared": compared}


# --- events

_READS = [DataBoxes, Boxes]
_JOB = ["data_cancel", "data_status"]
_SEEN = [
    "data_seen", "data_wanted", "data_setup", "data_preview", "data_layout", "data_none", "data_result", "data_panes",
    *_JOB,
]  # fmt: skip
_FILES = ["data_files", "data_download", "data_saver"]


def connect(wires: Wires) -> None:
    """Connect all events of the tab. From other tabs it needs `tabs` and `data_tab`, the tab itself."""
    _connect_source(wires)
    _connect_audit(wires)
    connect_batch_pane(wires)


def _connect_source(wires: Wires) -> None:
    """Show the first rows whenever something they depend on changes."""
    panes = list(events.PANES.values())
    kind = wires["data_kind"]
    latest, audited = wires["data_latest"], wires["data_audited"]
    quick: dict[str, Any] = {"reads": _READS, "is_latest": True, "queue": "data"}
    wires.on(kind.input, events.on_kind, [*panes, *_SEEN], also=[latest, audited], **quick)
    wires.on(wires["data_tab"].select, events.on_return, _SEEN, also=[latest, audited], **quick)
    written = [wires[f"data_{name}"] for name in ("name", "split", "config", "revision")]
    file = wires["data_file"]
    changed = [
        wires["data_example"].input, wires["data_format"].input, file.upload, file.clear,
        wires["data_pasted"].input, wires["data_mapping"].input, wires["data_limit"].submit, wires["data_limit"].blur,
        *(box.submit for box in written), *(box.blur for box in written),
    ]  # fmt: skip
    wires.on(changed, events.on_rows, _SEEN, also=[latest], **quick)
    opened = [*OPENED, "tabs", "data_status"]
    preview = wires["data_preview"]
    wires.on(preview.open, opening.on_open_first, opened, reads=_READS, with_event=True, queue="data")
    wires.on(wires["data_change"].click, opening.on_change, ["tabs"])


def _connect_audit(wires: Wires) -> None:
    """Connect running, cancelling, and the actions on a report."""
    shown = [
        "data_audited", "data_none", "data_result", "data_summary", "data_findings", "data_facts", "data_files",
        "data_earlier", "data_compared", "data_panes", "data_save_clean", "data_save_rejected",
        *(f"data_{name}{part}" for name in events.FIGURES for part in ("", "_text")),
        *(f"data_{chart}_pane" for chart in events.CHARTS),
    ]  # fmt: skip
    latest, audited = [wires["data_latest"]], [wires["data_audited"]]
    audit: dict[str, Any] = {"reads": _READS, "is_stream": True}
    wires.on(wires["data_run"].click, events.on_run, [*_JOB, *shown], also=[*latest, *audited], **audit)
    wanted = wires["data_wanted"]
    wires.on(
        wanted.change, events.on_wanted, [*_JOB, *shown], also=[wanted, *latest, *audited], is_overlapping=True, **audit
    )
    wires.on(wires["data_cancel"].click, events.on_cancel, ["data_status"], also=latest, queue="data")
    for chart, (_, names) in events.CHARTS.items():
        drawn = [f"data_{name}{part}" for name in names for part in ("", "_text")]
        unfold = partial(events.on_chart, names)
        wires.on(wires[f"data_{chart}_pane"].expand, unfold, drawn, also=audited, queue="data")
    opened = [*OPENED, "tabs", "data_status"]
    findings = wires["data_findings"]
    wires.on(findings.open, opening.on_open, opened, also=audited, with_event=True, queue="data")
    for name, handler in (("report", files.on_report), ("page", files.on_page)):
        wires.on(wires[f"data_save_{name}"].click, handler, _FILES, also=audited, queue="data")
    for name, file in (("clean", CLEAN_ROWS), ("rejected", REJECTED_ROWS)):
        click, save = wires[f"data_save_{name}"].click, partial(files.on_rows, file)
        wires.on(click, save, [*_JOB, *_FILES], also=[*latest, *audited], is_stream=True)
    view, saved = wires["view"], ["data_audited", "data_files", "data_save_clean", "data_save_rejected"]
    row: dict[str, Any] = {"with_event": True, "queue": "data"}
    wires.on(view.save, edits.on_save, [*OPENED, *saved], also=audited, **row)
    wires.on(view.skip, edits.on_skip, OPENED, **row)
    wires.on(view.back, edits.on_back, ["tabs", "data_wanted"], also=[*latest, *audited], **row)
    earlier = wires["data_earlier"]
    wires.on(
        [earlier.upload, earlier.clear], files.on_compare, ["data_compared"], also=[earlier, *audited], queue="data"
    )
