"""The Train tab: a spec, a run, and what its folder says, read again every second.

The page holds nothing of a run but its id: a reload, a second tab and a new server find it again in its folder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from training import runs
from training.errors import TrainingError
from training.rundir import ENDED, RunDir
from ui import train_view as view
from ui.models import is_public_space
from ui.report import build_note, build_report, report, text
from ui.scripts import script
from ui.text_box import build_text_box

PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""plotly's own script, served by this server: no request leaves the machine."""
_QUIET: Mapping[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_SHOWN = ("state", "chart", "answers", "details")


def build() -> dict[str, Any]:
    """The tab's widgets, by name."""
    if is_public_space():
        build_note("Training is off on this public page: run Maskscope on your own machine, or in a Space of your own.")
        return {}
    with gr.Row(elem_id="train-row"):
        with gr.Column(scale=5, min_width=320, elem_id="train-inputs"):
            spec = build_text_box(
                "Spec (YAML)", rows=14, elem_id="train-spec",
                info="A model and data are enough; the README names the rest.",
            )  # fmt: skip
            with gr.Row(equal_height=True):
                start = gr.Button("Train", variant="primary", min_width=90, elem_id="train-start")
                plan = gr.Button("What would it cost?", min_width=120, elem_id="train-plan")
            planned = build_report("train-planned")
        with gr.Column(scale=7, min_width=320, elem_id="train-output"):
            with gr.Row():
                run = gr.Dropdown([], label="Run", elem_id="train-run", scale=4, min_width=220)
                stop = gr.Button("Stop", size="sm", min_width=70, elem_id="train-stop")
                resume = gr.Button("Resume", size="sm", min_width=80, elem_id="train-resume")
            state = build_report("train-state")
            chart = gr.HTML(
                value="", html_template=f'<div class="charts" data-plotly="/gradio_api/file={PLOTLY}"></div>',
                js_on_load=script("chart.js"), apply_default_css=False, elem_id="train-chart",
            )  # fmt: skip
            build_note("Answers before and after")
            answers = build_report("train-answers")
            with gr.Accordion("Command, spec and log", open=False, elem_id="train-more"):
                details = build_report("train-details")
    return {
        "spec": spec, "start": start, "plan": plan, "planned": planned, "run": run, "stop": stop, "resume": resume,
        "state": state, "chart": chart, "answers": answers, "details": details,
    }  # fmt: skip


def connect(demo: gr.Blocks, w: Mapping[str, Any]) -> None:
    """Connect the widgets. The timer, which is the page's, ticks only while a run does."""
    if not w:
        return
    shown = [w[name] for name in _SHOWN]
    timer = gr.Timer(1.0, active=False)
    quiet = {**_QUIET, "concurrency_id": "train", "concurrency_limit": 4}
    demo.load(on_open, None, [w["spec"], w["run"], timer, *shown], **quiet)
    w["start"].click(on_start, [w["spec"]], [w["planned"], w["run"], timer, *shown], **quiet)
    w["plan"].click(on_plan, [w["spec"]], [w["planned"]], **quiet)
    w["run"].input(on_run, [w["run"]], [timer, *shown], **quiet)
    w["stop"].click(on_stop, [w["run"]], [w["run"], timer, *shown], **quiet)
    w["resume"].click(on_resume, [w["run"]], [w["run"], timer, *shown], **quiet)
    timer.tick(on_tick, [w["run"]], [w["run"], timer, *shown], trigger_mode="once", **quiet)


def on_open() -> list[Any]:
    """The first spec, and the newest run if there is one."""
    choices = view.run_choices(runs.runs_root())
    newest = choices[0][1] if choices else None
    return [view.FIRST_SPEC, gr.update(choices=choices, value=newest), *on_run(newest)]


def on_start(spec: str) -> list[Any]:
    """Start a run; what is wrong with the spec is said instead."""
    try:
        run = runs.start(view.spec_of(spec))
    except TrainingError as error:
        return [view.problems_value(error), *[gr.skip()] * (2 + len(_SHOWN))]
    return ["", _chosen(run), *on_run(run.run_id)]


def on_plan(spec: str) -> str:
    """What the run would cost, or what is wrong with it."""
    from training.__main__ import plan_of

    try:
        parsed = view.spec_of(spec)
        plan, lines = plan_of(parsed)
    except TrainingError as error:
        return view.problems_value(error)
    return view.plan_value(plan, lines, view.warnings_of(parsed))


def on_run(run_id: str | None) -> list[Any]:
    """Whether to look again in a second, and everything about a run."""
    if not run_id:
        nothing = report(text("No run yet. Press Train: the example takes some seconds."))
        return [gr.Timer(active=False), nothing, "", "", ""]
    root = runs.runs_root()
    try:
        run = RunDir.open(root / run_id)
        status = run.status()
        values = [view.state_value(run), view.chart_value(run), view.answers_value(run), view.details_value(run, root)]
    except TrainingError as error:
        return [gr.Timer(active=False), view.problems_value(error), "", "", ""]
    is_over = status.phase in ENDED and time.time() - status.updated > LAST_LOOK_S
    return [gr.Timer(active=not is_over), *values]


LAST_LOOK_S = 3.0
"""How long an ended run is still looked at: its last lines may be on their way."""


def on_tick(run_id: str | None) -> list[Any]:
    """The run again."""
    values = on_run(run_id)
    return [_choices(run_id), *values]


def on_stop(run_id: str | None) -> list[Any]:
    """Ask the run to stop; it saves what it has."""
    return _acted(run_id, lambda run: run.ask("stop"))


def on_resume(run_id: str | None) -> list[Any]:
    """Go on with a run."""
    return _acted(run_id, runs.resume)


def _acted(run_id: str | None, act: Any) -> list[Any]:
    if not run_id:
        return [gr.skip(), *on_run(None)]
    try:
        act(RunDir.open(runs.runs_root() / run_id))
    except TrainingError as error:
        return [gr.skip(), gr.skip(), view.problems_value(error), gr.skip(), gr.skip(), gr.skip()]
    return [_choices(run_id), *on_run(run_id)]


def _chosen(run: RunDir) -> Any:
    return _choices(run.run_id)


def _choices(run_id: str | None) -> Any:
    return gr.update(choices=view.run_choices(runs.runs_root()), value=run_id)
