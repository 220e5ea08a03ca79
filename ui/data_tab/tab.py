"""The Data tab: its widgets, and which handler each event calls. The Batch pane builds and connects its own."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import gradio as gr

from inspector.data.files import SUFFIXES
from inspector.data.layouts import Format
from ui.data_tab import events, files
from ui.data_tab import open as opening
from ui.data_tab.batch_pane import build_batch_pane, connect_batch_pane
from ui.data_tab.boxes import DETECTED, EXAMPLE, FILE, NAME, PASTED, DataBoxes, examples
from ui.data_tab.run import CLEAN_ROWS, REJECTED_ROWS
from ui.inspect_tab.open import OPENED
from ui.parts.report import build_note, build_report
from ui.parts.rows_view import build_rows_view
from ui.parts.saver import build_saver
from ui.parts.text_box import build_text_box
from ui.parts.tokens import tokens_script
from ui.visitors.access import is_public
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Wires


def build() -> dict[str, Any]:
    """The tab's widgets, by name."""
    widgets: dict[str, Any] = {"data_seen": gr.State(None), "data_job": gr.State(None), "data_audited": gr.State(None)}
    with gr.Row(elem_id="data-row"):
        with gr.Column(scale=5, min_width=320, elem_id="data-inputs"):
            widgets |= _build_source()
            widgets |= _build_columns()
            widgets |= _build_run()
        with (
            gr.Column(scale=7, min_width=320, elem_id="data-output"),
            gr.Tabs(selected="rows", elem_id="data-panes") as panes,
        ):
            with gr.Tab("Rows", id="rows"):
                widgets["data_preview"] = build_rows_view("data-preview")
            with gr.Tab("Report", id=events.REPORT_PANE):
                widgets |= _build_report()
            with gr.Tab("Batch", id="batch") as batch:
                build_note("What the collator makes of these rows")
                widgets |= build_batch_pane()
    return {**widgets, "data_panes": panes, "batch_tab": batch}


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
        widgets["data_summary"] = build_report("data-summary")
        widgets |= _build_downloads()
        widgets["data_findings"] = gr.HTML(
            value="", html_template='<div class="findings-view"></div>',
            js_on_load=tokens_script("data_tab/findings_view.js"), apply_default_css=False,
            elem_id="data-findings",
        )  # fmt: skip
        with gr.Row(elem_id="data-figures"):
            for name in events.FIGURES:
                with gr.Column(min_width=300):
                    widgets[f"data_{name}_text"] = build_report(f"data-{name}-text")
                    widgets[f"data_{name}"] = gr.Plot(
                        show_label=False, container=False, elem_id=f"data-{name}", elem_classes=["ms-figure"]
                    )
        widgets |= _build_earlier()
    return {**widgets, "data_none": none, "data_result": result}


def _build_downloads() -> dict[str, Any]:
    with gr.Row(elem_id="data-files-row"):
        buttons = {
            f"data_save_{name}": gr.Button(label, size="sm", min_width=120, elem_id=f"data-save-{name}")
            for name, label in (
                ("clean", "Clean rows"), ("rejected", "Rejected rows, with reasons"), ("edits", "Save edited rows"),
                ("report", "Report as JSON"), ("page", "Report as HTML"),
            )
        }  # fmt: skip
    pane = build_report("data-files")
    download = gr.DownloadButton(visible="hidden", elem_id="data-download")
    saver = build_saver("data-saver")
    return {**buttons, "data_files": pane, "data_download": download, "data_saver": saver}


def _build_earlier() -> dict[str, Any]:
    with gr.Accordion("Compare with an earlier report", open=False, elem_id="data-compare"):
        earlier = gr.File(label="Report as JSON", file_types=[".json"], height=110, elem_id="data-earlier")
        compared = build_report("data-compared")
    return {"data_earlier": earlier, "data_compared": compared}


# --- events

_READS = [DataBoxes, Boxes]
_SEEN = ["data_seen", "data_setup", "data_preview", "data_layout"]
_JOB = ["data_job", "data_cancel", "data_status"]
_FILES = ["data_files", "data_download", "data_saver"]


def connect(wires: Wires) -> None:
    """Everything that happens on the tab. Of other tabs it needs `tabs`, and `data_tab`, itself."""
    _connect_source(wires)
    _connect_audit(wires)
    connect_batch_pane(wires)


def _connect_source(wires: Wires) -> None:
    """The first rows, whenever something they depend on changes."""
    panes = list(events.PANES.values())
    kind = wires["data_kind"]
    wires.on(kind.input, events.on_kind, [*panes, *_SEEN], reads=_READS, is_latest=True, queue="data")
    written = [wires[f"data_{name}"] for name in ("name", "split", "config", "revision")]
    file = wires["data_file"]
    changed = [
        wires["data_tab"].select, wires["data_example"].input, wires["data_format"].input, file.upload, file.clear,
        wires["data_pasted"].input, wires["data_mapping"].input, *(box.submit for box in written),
        *(box.blur for box in written),
    ]  # fmt: skip
    seen = [wires["data_seen"]]
    wires.on(changed, events.on_preview, _SEEN, also=seen, reads=_READS, is_latest=True, queue="data")
    opened = [*OPENED, "tabs", "data_status"]
    preview = wires["data_preview"]
    wires.on(preview.open, opening.on_open_first, opened, reads=_READS, with_event=True, queue="data")
    wires.on(wires["data_change"].click, opening.on_change, ["tabs"])


def _connect_audit(wires: Wires) -> None:
    """Running, cancelling, and what can be done with a report."""
    shown = [
        "data_audited", "data_none", "data_result", "data_summary", "data_findings", "data_files", "data_earlier",
        "data_compared", "data_panes", "data_save_clean", "data_save_rejected",
        *(f"data_{name}{part}" for name in events.FIGURES for part in ("", "_text")),
    ]  # fmt: skip
    job = [wires["data_job"]]
    wires.on(wires["data_run"].click, events.on_run, [*_JOB, *shown], also=job, reads=_READS, is_stream=True)
    wires.on(wires["data_cancel"].click, events.on_cancel, ["data_status"], also=job, queue="data")
    audited = [wires["data_audited"]]
    opened = [*OPENED, "tabs", "data_status"]
    findings = wires["data_findings"]
    wires.on(findings.open, opening.on_open, opened, also=audited, with_event=True, queue="data")
    for name, handler in (("report", files.on_report), ("page", files.on_page)):
        wires.on(wires[f"data_save_{name}"].click, handler, _FILES, also=audited, queue="data")
    for name, file in (("clean", CLEAN_ROWS), ("rejected", REJECTED_ROWS)):
        click, save = wires[f"data_save_{name}"].click, partial(files.on_rows, file)
        wires.on(click, save, [*_JOB, *_FILES], also=[*job, *audited], is_stream=True)
    edited = ["data_audited", "data_files", "data_save_clean", "data_save_rejected"]
    wires.on(wires["data_save_edits"].click, files.on_edits, edited, also=audited, queue="data")
    earlier = wires["data_earlier"]
    wires.on(
        [earlier.upload, earlier.clear], files.on_compare, ["data_compared"], also=[earlier, *audited], queue="data"
    )
