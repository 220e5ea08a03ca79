"""The Train tab: a spec, a run, and what its folder says, read again every second.

The page holds nothing of a run but its id: a reload, a second tab and a new server find it again in its folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
            example = gr.Dropdown(
                view.spec_examples(), value=None, label="Examples", info="The notebook's five words, and others",
                elem_id="train-example",
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
            others = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                label="Beside it",
                info="Runs to lay over this one",
                elem_id="train-others",
            )
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
        "spec": spec, "example": example, "start": start, "plan": plan, "planned": planned, "run": run, "stop": stop,
        "resume": resume, "others": others, "state": state, "chart": chart, "answers": answers, "details": details,
    }  # fmt: skip


def connect(demo: gr.Blocks, w: Mapping[str, Any]) -> None:
    """Connect the widgets. The timer, which is the page's, ticks only while a run does."""
    if not w:
        return
    shown = [w[name] for name in _SHOWN]
    timer = gr.Timer(1.0, active=False)
    quiet = {**_QUIET, "concurrency_id": "train", "concurrency_limit": 4}
    chosen, looked_at = [w["run"], w["others"]], [w["run"], w["others"], timer, *shown]
    demo.load(on_open, None, [w["spec"], *looked_at], **quiet)
    w["example"].input(view.spec_example, [w["example"]], [w["spec"]], **quiet)
    w["start"].click(on_start, [w["spec"], w["others"]], [w["planned"], *looked_at], **quiet)
    w["plan"].click(on_plan, [w["spec"]], [w["planned"]], **quiet)
    gr.on([w["run"].input, w["others"].input], on_run, chosen, [timer, *shown], **quiet)
    w["stop"].click(on_stop, chosen, looked_at, **quiet)
    w["resume"].click(on_resume, chosen, looked_at, **quiet)
    timer.tick(on_tick, chosen, looked_at, trigger_mode="once", **quiet)


def on_open() -> list[Any]:
    """The first spec, and the newest run if there is one."""
    choices = view.run_choices(runs.runs_root())
    newest = choices[0][1] if choices else None
    return [view.FIRST_SPEC, *on_tick(newest, [])]


def on_start(spec: str, others: list[str]) -> list[Any]:
    """Start a run; what is wrong with the spec is said instead."""
    try:
        run = runs.start(view.spec_of(spec))
    except TrainingError as error:
        return [view.problems_value(error), *[gr.skip()] * (3 + len(_SHOWN))]
    return ["", *on_tick(run.run_id, others)]


def on_plan(spec: str) -> str:
    """What the run would cost, or what is wrong with it."""
    from training.__main__ import plan_of

    try:
        parsed = view.spec_of(spec)
        plan, lines = plan_of(parsed)
    except TrainingError as error:
        return view.problems_value(error)
    return view.plan_value(plan, lines, view.warnings_of(parsed))


def on_run(run_id: str | None, others: list[str]) -> list[Any]:
    """Whether to look again in a second, and everything about a run and those beside it."""
    if not run_id:
        nothing = report(text("No run yet. Press Train: the example takes some seconds."))
        return [gr.Timer(active=False), nothing, "", "", ""]
    root = runs.runs_root()
    try:
        run, *beside = (RunDir.open(root / name) for name in (run_id, *(o for o in others or () if o != run_id)))
        status = run.status()
        values = [
            view.state_value(run), view.chart_value([run, *beside]), view.answers_value([run, *beside]),
            view.details_value(run, root),
        ]  # fmt: skip
    except TrainingError as error:
        return [gr.Timer(active=False), view.problems_value(error), "", "", ""]
    is_over = status.phase in ENDED and time.time() - status.updated > LAST_LOOK_S
    return [gr.Timer(active=not is_over), *values]


LAST_LOOK_S = 3.0
"""How long an ended run is still looked at: its last lines may be on their way."""


def on_tick(run_id: str | None, others: list[str]) -> list[Any]:
    """The runs there are, and this one again."""
    choices = view.run_choices(runs.runs_root())
    return [gr.update(choices=choices, value=run_id), gr.update(choices=choices), *on_run(run_id, others)]


def on_stop(run_id: str | None, others: list[str]) -> list[Any]:
    """Ask the run to stop; it saves what it has."""
    return _acted(run_id, others, lambda run: run.ask("stop"))


def on_resume(run_id: str | None, others: list[str]) -> list[Any]:
    """Go on with a run."""
    return _acted(run_id, others, runs.resume)


def _acted(run_id: str | None, others: list[str], act: Callable[[RunDir], None]) -> list[Any]:
    if not run_id:
        return on_tick(None, others)
    try:
        act(RunDir.open(runs.runs_root() / run_id))
    except TrainingError as error:
        return [*[gr.skip()] * 3, view.problems_value(error), *[gr.skip()] * 3]
    return on_tick(run_id, others)
