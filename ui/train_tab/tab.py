"""The Train tab: its widgets, and which handler each event calls. The page holds nothing of a run but its id."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from training.launch import idle
from ui.data_tab.boxes import DataBoxes
from ui.parts.report import build_note, build_report
from ui.parts.rows_view import build_rows_view
from ui.parts.scripts import chosen, script
from ui.parts.text_box import build_text_box
from ui.train_tab import events, view
from ui.train_tab.form import SETTINGS, build_settings
from ui.train_tab.scores_view import build_scores_view
from ui.visitors.access import is_public, who_trains
from ui.wiring.wires import Wires

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly's own script, served by this server: no request leaves the machine."""
_QUIET: Mapping[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


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
            view.spec_examples(), value=None, label="Examples", info="The notebook's five words, and others",
            elem_id="train-example", min_width=160,
        )  # fmt: skip
        tabs = gr.Button("From the Inspect and Data tabs", size="sm", min_width=160, elem_id="train-from-tabs")
    with gr.Accordion("Settings", open=True, elem_id="train-settings"):
        settings = build_settings()
    spec = build_text_box(
        "Spec (YAML)", rows=10, elem_id="train-spec",
        info="What is above, and everything else. AutoTrain's configs can be pasted or dropped here, too.",
    )  # fmt: skip
    with gr.Row(equal_height=True):
        start = gr.Button("Train", variant="primary", min_width=90, elem_id="train-start")
        rows = gr.Button("Show the rows", min_width=100, elem_id="train-rows")
        plan = gr.Button("What would it cost?", min_width=120, elem_id="train-plan")
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
            [], value=[], multiselect=True, label="Beside it", info="Runs to lay over this one", elem_id="train-others",
            min_width=180,
        )  # fmt: skip
    chart = gr.HTML(
        value="", html_template=f'<div class="charts" data-plotly="/gradio_api/file={PLOTLY}"></div>',
        js_on_load=script("train_tab/chart.js"), apply_default_css=False, elem_id="train-chart",
    )  # fmt: skip
    build_note("Answers before and after")
    answers = build_report("train-answers")
    with gr.Accordion("What still surprises it", open=False, elem_id="train-surprise"):
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
            label="Repository", info="user/name on the hub; HF_TOKEN says who you are", max_lines=1,
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


def connect(demo: gr.Blocks, wires: Wires, widgets: Mapping[str, Any], tab: gr.Tab) -> None:
    """Connect the widgets. The timer, which is the page's, ticks only while a run does; a worker waits from the moment
    that somebody looks at the tab."""
    if not widgets:
        return
    w = {name.removeprefix("train_"): widget for name, widget in widgets.items()}
    quiet = {**_QUIET, "concurrency_id": "train", "concurrency_limit": 4}
    _connect_spec(wires, w, quiet)
    tab.select(idle.warm_up, None, None, **quiet)
    timer = gr.Timer(1.0, active=False)
    chosen = [w["run"], w["others"], w["smoothing"]]
    shown = [timer, *(w[name] for name in events.SHOWN)]
    listed = [w["run"], w["others"], *shown]
    demo.load(events.on_open, None, [w["spec"], *_settings(w), *listed], **quiet)
    w["start"].click(events.on_start, [w["spec"], *chosen[1:]], [w["planned"], *listed], **quiet)
    gr.on([w["run"].input, w["others"].input, w["smoothing"].input], events.on_run, chosen, shown, **quiet)
    for name, handler in (("stop", events.on_stop), ("resume", events.on_resume), ("rerun", events.on_rerun)):
        w[name].click(handler, chosen, listed, **quiet)
    gr.on(
        [w["rename"].click, w["name"].submit],
        events.on_rename, [w["name"], *chosen], [w["name"], *listed], **quiet,
    )  # fmt: skip
    w["delete"].click(events.on_delete, chosen, listed, **quiet)
    w["publish"].click(events.on_publish, [w["repo"], w["private"], w["merged"], *chosen], listed, **quiet)
    timer.tick(events.on_tick, chosen, listed, trigger_mode="once", **quiet)


def _connect_spec(wires: Wires, w: Mapping[str, Any], quiet: Mapping[str, Any]) -> None:
    """YAML and settings follow each other; examples, imported configs and the other tabs replace both."""
    both, said = [w["spec"], *_settings(w)], [w["planned"], w["start"]]
    example = w["example"]
    example.input(events.on_example, [example], [*both, *said], js=chosen("train-example"), **quiet)
    w["spec"].input(events.on_spec, [w["spec"]], [*both, *said], trigger_mode="always_last", **quiet)
    for name in SETTINGS:
        widget = w[f"set_{name}"]
        widget.input(
            partial(events.on_setting, name), [widget, w["spec"]], [w["spec"], *said],
            trigger_mode="always_last", **quiet,
        )  # fmt: skip
    names = ["train_spec", *(f"train_set_{name}" for name in SETTINGS), "train_planned", "train_start"]
    wires.on(w["tabs"].click, events.on_tabs, names, reads=DataBoxes, is_stream=True)
    w["plan"].click(events.on_plan, [w["spec"]], [w["planned"]], **quiet)
    w["rows"].click(events.on_rows, [w["spec"]], [w["preview"]], **quiet)


def _settings(w: Mapping[str, Any]) -> list[Any]:
    return [w[f"set_{name}"] for name in SETTINGS]
