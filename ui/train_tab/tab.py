"""The Train tab: its widgets, and which handler each event calls. The page holds nothing of a run but its id."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from ui.data_tab.boxes import DataBoxes
from ui.parts.report import build_note, build_report
from ui.parts.rows_view import build_rows_view
from ui.parts.scripts import component
from ui.parts.text_box import build_text_box
from ui.train_tab import events, view
from ui.train_tab.events import PublishBoxes, RunBoxes
from ui.train_tab.form import SETTINGS, build_settings
from ui.train_tab.scores_view import build_scores_view
from ui.visitors.access import is_public, who_trains
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Wires

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly's own script, served by this server: no request leaves the machine."""


def build() -> dict[str, Any]:
    """The tab's widgets, by name; none where training is off."""
    if who_trains() == "nobody":
        build_note("Training is off on this public page: run Maskscope on your own machine, or in a Space of your own.")
        return {}
    if who_trains() == "owner":
        gr.LoginButton("Sign in to train: this page's owner can", elem_id="train-login")
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=5, min_width=320, elem_id="train-inputs"):
            widgets = _build_spec()
        with gr.Column(scale=7, min_width=320, elem_id="train-output"):
            widgets |= _build_run()
    return widgets


def _build_spec() -> dict[str, Any]:
    with gr.Row():
        example = gr.Dropdown(
            view.spec_examples(), value=None, label="Example", info="A run that is ready to start",
            elem_id="train-example", min_width=160,
        )  # fmt: skip
        tabs = gr.Button("Use my audited data", size="sm", min_width=160, elem_id="train-from-tabs")
    with gr.Accordion("Settings", open=True, elem_id="train-settings"):
        settings = build_settings()
    spec = build_text_box(
        "Spec (YAML)", rows=10, elem_id="train-spec",
        info="The settings above, and all others. AutoTrain configs work here, too.",
    )  # fmt: skip
    with gr.Row(equal_height=True):
        start = gr.Button("Train", variant="primary", min_width=90, elem_id="train-start")
        rows = gr.Button("Preview training rows", min_width=100, elem_id="train-rows")
        plan = gr.Button("Estimate time and memory", min_width=120, elem_id="train-plan")
    own = {"spec": spec, "example": example, "tabs": tabs, "start": start, "rows": rows, "plan": plan}
    own |= {f"set_{name}": widget for name, widget in settings.items()}
    own |= {"planned": build_report("train-planned"), "preview": build_rows_view("train-preview")}
    return {f"train_{name}": widget for name, widget in own.items()}


def _build_run() -> dict[str, Any]:
    with gr.Row(equal_height=True):
        run = gr.Dropdown([], label="Run", elem_id="train-run", scale=4, min_width=220)
        stop = gr.Button("Stop", size="sm", min_width=64, elem_id="train-stop")
        resume = gr.Button("Resume", size="sm", min_width=72, elem_id="train-resume")
        rerun = gr.Button("Run again", size="sm", min_width=84, elem_id="train-rerun")
    state = build_report("train-state")
    with gr.Row():
        smoothing = gr.Slider(0, 0.95, 0, step=0.05, label="Smoothing", elem_id="train-smoothing", min_width=140)
        others = gr.Dropdown(
            [], value=[], multiselect=True, label="Compare with", info="Other runs", elem_id="train-others",
            min_width=180,
        )  # fmt: skip
    chart = gr.HTML(
        value="", html_template=f'<div class="charts" data-plotly="/gradio_api/file={PLOTLY}"></div>',
        js_on_load=component("train_tab/chart.js"), apply_default_css=False, elem_id="train-chart",
    )  # fmt: skip
    build_note("Answers before and after")
    answers = build_report("train-answers")
    with gr.Accordion("Loss per token", open=False, elem_id="train-surprise"):
        scores = build_scores_view("train-scores")
    with gr.Accordion("Command, spec and log", open=False, elem_id="train-more"):
        details = build_report("train-details")
    with gr.Accordion("Rename or delete", open=False, elem_id="train-manage"), gr.Row(equal_height=True):
        name = gr.Textbox(label="Name", max_lines=1, elem_id="train-name", min_width=140, scale=3)
        rename = gr.Button("Rename", size="sm", min_width=80, elem_id="train-rename")
        delete = gr.Button("Delete the run", size="sm", variant="stop", min_width=110, elem_id="train-delete")
    own_hub = gr.Accordion("Publish", open=False, visible=not is_public(), elem_id="train-publishing")
    with own_hub, gr.Row(equal_height=True):
        repo = gr.Textbox(
            label="Repository", info="owner/name. Uses your HF_TOKEN", max_lines=1,
            elem_id="train-repo", min_width=160, scale=3,
        )  # fmt: skip
        private = gr.Checkbox(True, label="Private", elem_id="train-private", min_width=80)
        merged = gr.Checkbox(False, label="Merged", info="The whole model", elem_id="train-merged", min_width=80)
        publish = gr.Button("Publish", size="sm", min_width=80, elem_id="train-publish")
    own = {
        "run": run, "stop": stop, "resume": resume, "rerun": rerun, "state": state, "smoothing": smoothing,
        "others": others, "chart": chart, "answers": answers, "scores": scores, "details": details, "name": name,
        "rename": rename, "delete": delete, "repo": repo, "private": private, "merged": merged, "publish": publish,
    }  # fmt: skip
    return {f"train_{own_name}": widget for own_name, widget in own.items()}


def build_timer() -> dict[str, Any]:
    """What asks for the run again while it trains, by name. It stands outside the tab: it ticks whichever is shown."""
    return {"train_timer": gr.Timer(1.0, active=False)}


# --- events


def connect(wires: Wires, demo: gr.Blocks) -> None:
    """Everything that happens on the tab. Of the page it needs `train_tab`, itself, and `train_timer`."""
    _connect_spec(wires)
    defaults: dict[str, Any] = {"reads": [RunBoxes], "queue": "train"}
    wires.on(demo.load, events.on_open, [*events.SPEC, *events.LISTED], reads=(), queue="train")
    wires.on(wires["train_tab"].select, events.on_look, (), reads=(), queue="train")
    wires.on(
        wires["train_start"].click,
        events.on_start,
        ["train_planned", *events.LISTED],
        also=[wires["train_spec"]],
        **defaults,
    )
    chosen = [wires[field.name].input for field in fields(RunBoxes)]
    wires.on(chosen, events.on_run, events.SHOWN, **defaults)
    acts = {"stop": events.on_stop, "resume": events.on_resume, "rerun": events.on_rerun, "delete": events.on_delete}
    for name, handler in acts.items():
        wires.on(wires[f"train_{name}"].click, handler, events.LISTED, **defaults)
    box = wires["train_name"]
    renamed = [wires["train_rename"].click, box.submit]
    wires.on(renamed, events.on_rename, ["train_name", *events.LISTED], also=[box], **defaults)
    publish = wires["train_publish"].click
    wires.on(publish, events.on_publish, events.LISTED, reads=[PublishBoxes, RunBoxes], is_stream=True)
    wires.on(wires["train_timer"].tick, events.on_tick, events.LISTED, **defaults)


def _connect_spec(wires: Wires) -> None:
    """YAML and settings follow each other; examples, imported configs and the other tabs replace both."""
    spec, example = wires["train_spec"], wires["train_example"]
    defaults: dict[str, Any] = {"reads": (), "queue": "train"}
    wires.on(example.input, events.on_example, events.SPEC, also=[example], dropdown="train-example", **defaults)
    wires.on(spec.input, events.on_spec, events.SPEC, also=[spec], is_latest=True, **defaults)
    outputs = ["train_spec", "train_planned", "train_start"]
    for name in SETTINGS:
        setting = wires[f"train_set_{name}"]
        wires.on(
            setting.input, partial(events.on_setting, name), outputs, also=[setting, spec], is_latest=True, **defaults
        )
    wires.on(wires["train_tabs"].click, events.on_tabs, events.SPEC, reads=[DataBoxes, Boxes], is_stream=True)
    wires.on(wires["train_plan"].click, events.on_plan, ["train_planned"], also=[spec], **defaults)
    wires.on(wires["train_rows"].click, events.on_rows, ["train_preview"], also=[spec], **defaults)
