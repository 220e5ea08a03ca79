"""The Train tab: its widgets, and the handler of each event. The page holds only the id of a run."""

from __future__ import annotations

from collections.abc import Mapping
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
from ui.train_tab.form import HOW, SETTINGS, WHAT, build_settings
from ui.train_tab.presets import CHOICES, preset_of
from ui.train_tab.runs_table import build_runs_table
from ui.train_tab.scores_view import build_scores_view
from ui.train_tab.use_pane import build_use, connect_use
from ui.train_tab.view import RunBoxes
from ui.visitors.access import who_trains
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Wires

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly's own script, served by this server: no request leaves the machine."""


def build() -> dict[str, Any]:
    """The tab's widgets, by name; empty if training is off."""
    if who_trains() == "nobody":
        build_note("Training is off on this public page: run Maskscope on your own machine, or in a Space of your own.")
        return {}
    if who_trains() == "owner":
        gr.LoginButton("Sign in to train: this page's owner can", elem_id="train-login")
    with gr.Tabs(selected=events.DATA, elem_id="train-steps") as steps:
        with gr.Tab("1 Data", id=events.DATA, elem_id="train-step-data"):
            widgets = _build_data()
        with gr.Tab("2 Check", id=events.CHECK, elem_id="train-step-check") as check:
            build_note("The rows as they will be trained, and what the run would take.")
            widgets["preview"] = build_rows_view("train-preview")
        with gr.Tab("3 Train", id=events.TRAIN, elem_id="train-step-train"), gr.Row(elem_id="train-row"):
            with gr.Column(scale=4, min_width=300, elem_id="train-inputs"):
                widgets |= _build_recipe()
            with gr.Column(scale=8, min_width=320, elem_id="train-output"):
                widgets |= _build_run()
        with gr.Tab("4 Use", id=events.USE, elem_id="train-step-use") as use_step:
            used = build_use()
    with gr.Row(elem_id="train-bar", equal_height=True):
        widgets["planned"] = build_report("train-planned")
        widgets["start"] = gr.Button("Train", variant="primary", min_width=200, elem_id="train-start")
    widgets |= {"steps": steps, "check": check, "others": gr.State([])}
    return {f"train_{name}": widget for name, widget in widgets.items()} | used | {"use_step": use_step}


def _build_data() -> dict[str, Any]:
    with gr.Row():
        example = gr.Dropdown(
            view.spec_examples(), value=None, label="Example", info="A run that is ready to start",
            elem_id="train-example", min_width=160,
        )  # fmt: skip
        tabs = gr.Button("Use my audited data", size="sm", min_width=160, elem_id="train-from-tabs")
    settings = build_settings(WHAT)
    return {"example": example, "tabs": tabs, **{f"set_{name}": widget for name, widget in settings.items()}}


def _build_recipe() -> dict[str, Any]:
    preset = gr.Radio(CHOICES, value=preset_of(view.FIRST_SPEC), label="How long", elem_id="train-preset")
    with gr.Accordion("All settings", open=False, elem_id="train-settings"):
        settings = build_settings(HOW)
    with gr.Accordion("YAML", open=False, elem_id="train-yaml"):
        spec = build_text_box(
            "Spec (YAML)", rows=10, elem_id="train-spec",
            info="The settings above, and all others. AutoTrain configs work here, too.",
        )  # fmt: skip
    return {"preset": preset, "spec": spec, **{f"set_{name}": widget for name, widget in settings.items()}}


def _build_run() -> dict[str, Any]:
    with gr.Row(equal_height=True, elem_id="train-run-row"):
        run = gr.Dropdown([], label="Run", elem_id="train-run", scale=4, min_width=220)
        acts = {
            name: gr.Button(label, size="sm", min_width=84, variant=variant, visible=False, elem_id=f"train-{name}")
            for name, (label, variant) in _ACTS.items()
        }
    with gr.Row(visible=False, elem_id="train-stop-box") as stop_box:
        build_note("Stop this run?")
        saved = gr.Button("Stop and keep a checkpoint", size="sm", min_width=180, elem_id="train-stop-saved")
        now = gr.Button("Stop at once", size="sm", variant="stop", min_width=110, elem_id="train-stop-now")
        on = gr.Button("Go on training", size="sm", min_width=110, elem_id="train-stop-not")
    state = build_report("train-state")
    build_note("Answers before and after")
    answers = build_report("train-answers")
    with gr.Row(equal_height=True):
        smoothing = gr.Slider(0, 0.95, 0, step=0.05, label="Smoothing", elem_id="train-smoothing", min_width=140)
        log = gr.Checkbox(label="Logarithmic axis", elem_id="train-log", min_width=140)
    chart = gr.HTML(
        value="", html_template=f'<div class="charts" data-plotly="/gradio_api/file={PLOTLY}"></div>',
        js_on_load=component("train_tab/chart.js"), apply_default_css=False, elem_id="train-chart",
    )  # fmt: skip
    build_note("Runs")
    runs = build_runs_table("train-runs")
    with gr.Accordion("Loss per token", open=False, elem_id="train-surprise"):
        scores = build_scores_view("train-scores")
    with gr.Accordion("Command, spec and log", open=False, elem_id="train-more"):
        details = build_report("train-details")
    with gr.Accordion("Rename or delete", open=False, elem_id="train-manage"), gr.Row(equal_height=True):
        name = gr.Textbox(label="Name", max_lines=1, elem_id="train-name", min_width=140, scale=3)
        rename = gr.Button("Rename", size="sm", min_width=80, elem_id="train-rename")
        delete = gr.Button("Delete the run", size="sm", variant="stop", min_width=110, elem_id="train-delete")
    return {
        "run": run, **acts, "stop_box": stop_box, "stop_saved": saved, "stop_now": now, "stop_not": on, "state": state,
        "answers": answers, "smoothing": smoothing, "log": log, "chart": chart, "runs": runs, "scores": scores,
        "details": details, "name": name, "rename": rename, "delete": delete,
    }  # fmt: skip


_ACTS: Mapping[str, tuple[str, Any]] = {
    "stop": ("Stop", "stop"), "resume": ("Resume", "primary"), "use": ("Use it", "primary"),
    "rerun": ("Run again", "secondary"),
}  # fmt: skip
"""The actions on a run: each button's label and kind."""


def build_timer() -> dict[str, Any]:
    """The timer that updates the run while it trains, and the browser's title, by name. They are outside the tab, since
    they work on every tab."""
    title = gr.HTML("", html_template="<div></div>", js_on_load=component("train_tab/tab_title.js"),
                    apply_default_css=False, elem_id="train-title")  # fmt: skip
    return {"train_timer": gr.Timer(1.0, active=False), "train_title": title}


# --- events


def connect(wires: Wires, demo: gr.Blocks) -> None:
    """Connect all events of the tab.

    From the page it needs `train_tab`, the tab itself, and the widgets of `build_timer`.
    """
    _connect_spec(wires)
    _connect_run(wires, demo)
    connect_use(wires)


def _connect_run(wires: Wires, demo: gr.Blocks) -> None:
    defaults: dict[str, Any] = {"reads": [RunBoxes], "queue": "train"}
    wires.on(demo.load, events.on_open, ["train_steps", *events.SPEC, *events.LISTED], reads=(), queue="train")
    wires.on(wires["train_tab"].select, events.on_look, (), reads=(), queue="train")
    started = ["train_planned", "train_steps", *events.LISTED]
    wires.on(wires["train_start"].click, events.on_start, started, also=[wires["train_spec"]], **defaults)
    shown = [wires[name].input for name in ("train_run", "train_smoothing", "train_log")]
    wires.on(shown, events.on_tick, events.LISTED, **defaults)
    table = wires["train_runs"]
    wires.on(table.show, events.on_show, events.LISTED, with_event=True, **defaults)
    wires.on(table.compare, events.on_compare, events.LISTED, with_event=True, **defaults)
    acts = {
        "stop": events.on_stop, "stop_saved": events.on_stop_saved, "stop_now": events.on_stop_now,
        "stop_not": events.on_keep_running, "resume": events.on_resume, "rerun": events.on_rerun,
        "delete": events.on_delete,
    }  # fmt: skip
    for name, handler in acts.items():
        wires.on(wires[f"train_{name}"].click, handler, events.LISTED, **defaults)
    wires.on(wires["train_use"].click, events.on_use, ["train_steps"], reads=(), queue="train")
    box = wires["train_name"]
    renamed = [wires["train_rename"].click, box.submit]
    wires.on(renamed, events.on_rename, ["train_name", *events.LISTED], also=[box], **defaults)
    wires.on(wires["train_timer"].tick, events.on_tick, events.LISTED, **defaults)


def _connect_spec(wires: Wires) -> None:
    """Connect YAML and settings, which follow each other.

    Examples, imported configs and the other tabs replace both.
    """
    spec, example, preset = wires["train_spec"], wires["train_example"], wires["train_preset"]
    defaults: dict[str, Any] = {"reads": (), "queue": "train"}
    wires.on(example.input, events.on_example, events.SPEC, also=[example], dropdown="train-example", **defaults)
    wires.on(preset.input, events.on_preset, events.SPEC, also=[preset, spec], **defaults)
    wires.on(spec.input, events.on_spec, events.SPEC, also=[spec], is_latest=True, **defaults)
    outputs = ["train_spec", "train_preset", "train_planned", "train_start"]
    for name in SETTINGS:
        setting = wires[f"train_set_{name}"]
        wires.on(
            setting.input, partial(events.on_setting, name), outputs, also=[setting, spec], is_latest=True, **defaults
        )
    audited = wires["data_audited"]
    wires.on(
        wires["train_tabs"].click, events.on_tabs, events.SPEC, also=[audited], reads=[DataBoxes, Boxes], is_stream=True
    )
    checked = ["train_preview", "train_planned"]
    wires.on(wires["train_check"].select, events.on_check, checked, also=[spec], reads=(), is_stream=True)
