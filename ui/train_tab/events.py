"""The handlers of the Train tab: the boxes' values in, new values by name out. The widgets are in tab.py.

Everything about a run is read from its folder each time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from training.errors import SpecError, TrainingError
from training.importers import import_config, is_foreign
from training.launch import idle, runs
from training.rows.prepare import first_rows
from training.run.folder import ENDED, Phase, RunDir
from training.spec import RunSpec, parse_text
from ui.data_tab.boxes import DataBoxes, shared_setup
from ui.data_tab.run import Audited
from ui.language import say
from ui.parts.report import progress, report, text
from ui.parts.rows_view import pack_no_rows, pack_rows, trained_rows, unusable
from ui.train_tab import view
from ui.train_tab.form import SETTINGS, Value, read_values, spec_of_tabs, with_value
from ui.train_tab.presets import PRESETS, preset_of, with_preset
from ui.train_tab.runs_table import run_choices, run_rows, runs_value
from ui.train_tab.view import RunBoxes
from ui.visitors import own_runs
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.wires import Changes

DATA, CHECK, TRAIN, USE = range(4)
"""The steps."""
ACTS = ("stop", "resume", "use", "rerun")
"""The buttons for a run; each is visible only while it applies."""
SHOWN = (
    "train_timer", "train_title", "train_state", *(f"train_{act}" for act in ACTS), "train_stop_box", "train_chart",
    "train_answers", "train_scores", "train_details",
)  # fmt: skip
"""Widgets that change with the shown run."""
LISTED = ("train_run", "train_runs", "train_others", *SHOWN)
"""Widgets that also change with the list of runs."""
SPEC = ("train_spec", *(f"train_set_{name}" for name in SETTINGS), "train_preset", "train_planned", "train_start")
"""Widgets that change with the spec."""
SHOWN_ROWS = 4
"""Number of rows shown before a run."""
_STARTS, _STARTS_NOT = gr.update(interactive=True), gr.update(interactive=False)
_LOG = logging.getLogger(__name__)
LAST_LOOK_S = 3.0
"""Seconds for which an ended run is still read: its last lines may arrive late."""


# --- the spec


def on_open() -> Changes:
    """The first spec, and the newest run if there is one."""
    rows = run_rows(own_runs.root())
    step = gr.update(selected=TRAIN if rows else DATA)
    shown = _listed(rows, RunBoxes(train_run=_newest(rows)))
    return {"train_steps": step, "train_spec": view.FIRST_SPEC, **_settings(view.FIRST_SPEC), **shown}


def on_look() -> Changes:
    """The tab was opened: start a waiting worker."""
    idle.warm_up()
    return {}


def on_example(name: str | None) -> Changes:
    """An example's spec. None: the choice was left unchanged."""
    if name is None:
        return {}
    spec = view.spec_example(name)
    return {"train_spec": spec, **_settings(spec), "train_planned": "", "train_start": _STARTS}


def on_preset(name: str | None, spec: str) -> Changes:
    """A preset for the length was chosen: the YAML and the settings follow."""
    if name not in PRESETS:
        return {}
    try:
        spec = with_preset(spec, name)
    except TrainingError as error:
        return {"train_planned": view.problems_value(error), "train_preset": None}
    return {"train_spec": spec, **_settings(spec), "train_planned": "", "train_start": _STARTS}


def on_spec(spec: str) -> Changes:
    """The settings follow the YAML while it is valid; another trainer's config is converted."""
    if not is_foreign(spec):
        return {**_settings(spec), "train_start": _STARTS}
    try:
        imported = import_config(spec)
    except TrainingError as error:
        return {"train_planned": view.problems_value(error), "train_start": _STARTS}
    spec_text = imported.spec.to_yaml()
    planned = view.plan_value([], [*imported.warnings, *view.warnings_of(imported.spec)])
    return {"train_spec": spec_text, **_settings(spec_text), "train_planned": planned, "train_start": _STARTS}


def on_setting(name: str, value: Value, spec: str) -> Changes:
    """The YAML follows a setting."""
    try:
        spec = with_value(spec, name, value)
    except TrainingError as error:
        return {"train_planned": view.problems_value(error), "train_start": _STARTS}
    return {"train_spec": spec, "train_preset": preset_of(spec), "train_planned": "", "train_start": _STARTS}


def on_tabs(audited: Audited | None, data: DataBoxes, boxes: Boxes) -> Iterator[Changes]:
    """Make the spec from the other tabs. Until it is ready nothing can be started, since the old spec would be used."""
    yield {"train_start": _STARTS_NOT}
    try:
        spec = spec_of_tabs(shared_setup(boxes).setup, data, audited)
    except (InspectorError, ConversationJsonError, TrainingError) as error:
        yield {"train_planned": view.problems_value(error)}
        return
    except Exception as error:  # whatever it is, the page has to report it, and must not train something else
        _LOG.error("The other tabs' spec could not be made", exc_info=error)
        message = f"Something failed that should not have: {type(error).__name__}: {error}. Please report it."
        yield {"train_planned": report(text(message, "✗"))}
        return
    yield {"train_spec": spec, **_settings(spec), "train_planned": "", "train_start": _STARTS}


def on_check(spec: str) -> Iterator[Changes]:
    """Show the rows as they will be trained, then the cost of the run."""
    yield {"train_planned": report(progress(say("Reading the rows …"), None))}
    yield {**on_rows(spec), "train_planned": report(progress(say("Estimating time and memory …"), None))}
    yield on_plan(spec)


def on_plan(spec: str) -> Changes:
    """The cost of the run, or its problems."""
    from training.estimate import plan_of

    try:
        parsed = _checked(spec)
        _, lines = plan_of(parsed)
    except TrainingError as error:
        return {"train_planned": view.problems_value(error)}
    return {"train_planned": view.plan_value(lines, view.warnings_of(parsed))}


def _checked(text: str) -> RunSpec:
    """The spec in the box, if the visitor may use it. Raises SpecError."""
    spec = parse_text(text)
    own_runs.check(spec)
    return spec


def on_rows(spec: str) -> Changes:
    """The first training rows, or the reason why there are none."""
    return {"train_preview": _preview(spec)}


def _preview(spec: str) -> str:
    try:
        rows, unused = first_rows(_checked(spec), SHOWN_ROWS)
    except SpecError as error:
        return pack_no_rows("\n".join(f"{p.field}: {p.message} {p.remedy}".strip() for p in error.problems))
    except (InspectorError, TrainingError) as error:
        return pack_no_rows(str(error))
    shown = [unusable(bad.number, bad.place, bad.why, can_open=False) for bad in unused[:SHOWN_ROWS]]
    shown += [part for row in rows for part in trained_rows(row)]
    return pack_rows(shown, say("The first rows, as trained")) if shown else pack_no_rows(say("The data has no rows."))


def _settings(spec: str) -> Changes:
    """The values of the settings for a spec; no change while it is not valid."""
    values = read_values(spec)
    if values is None:
        return {}
    return {**{f"train_set_{name}": value for name, value in values.items()}, "train_preset": preset_of(spec)}


# --- runs


def on_start(spec: str, chosen: RunBoxes) -> Changes:
    """Start a run, or show the problems of the spec."""
    try:
        run = own_runs.start(parse_text(spec))
    except TrainingError as error:
        return {"train_planned": view.problems_value(error)}
    shown = on_tick(replace(chosen, train_run=run.run_id))
    return {"train_planned": "", "train_steps": gr.update(selected=TRAIN), **shown}


def on_run(chosen: RunBoxes) -> Changes:
    """Whether to update again in a second, and everything about a run and the compared runs."""
    if not chosen.train_run:
        return _nothing(report(text(say("No run yet. Press Train: the example takes under a minute."))))
    others = [name for name in chosen.train_others or () if name != chosen.train_run]
    try:
        run, *beside = (own_runs.open_run(name) for name in (chosen.train_run, *others))
        status = run.status()
        is_over = status.phase in ENDED and time.time() - status.updated > LAST_LOOK_S
        return {
            "train_timer": gr.Timer(active=not is_over),
            "train_title": view.title_value(run, status),
            "train_state": view.state_value(run),
            **_acts(run, status.phase),
            "train_chart": view.chart_value([run, *beside], chosen.train_smoothing, is_log=chosen.train_log),
            "train_answers": view.answers_value([run, *beside]),
            "train_scores": view.scores_value(run),
            "train_details": view.details_value(run, own_runs.root()),
        }
    except TrainingError as error:
        return _nothing(view.problems_value(error))


def _acts(run: RunDir, phase: Phase) -> Changes:
    """The actions available for a run: stop, resume, use, train again."""
    is_over = phase in ENDED
    goes_on = is_over and phase is not Phase.SUCCEEDED and (run.checkpoint() is not None or bool(run.job()))
    can = {"stop": not is_over, "resume": goes_on, "use": is_over and run.has_weights, "rerun": is_over}
    shown: dict[str, Any] = {f"train_{act}": gr.update(visible=can[act]) for act in ACTS}
    return {**shown, "train_stop_box": gr.update(visible=False)} if is_over else shown


def _nothing(state: str) -> Changes:
    """Show no run; `state` is the reason."""
    hidden = dict.fromkeys([*(f"train_{act}" for act in ACTS), "train_stop_box"], gr.update(visible=False))
    return {**dict.fromkeys(SHOWN, ""), **hidden, "train_timer": gr.Timer(active=False), "train_state": state}


def on_tick(chosen: RunBoxes) -> Changes:
    """Update the list of runs, and this run."""
    return _listed(run_rows(own_runs.root()), chosen)


def _listed(rows: Sequence[Mapping[str, Any]], chosen: RunBoxes) -> Changes:
    return {
        "train_run": gr.update(choices=run_choices(rows), value=chosen.train_run),
        "train_runs": runs_value(rows, chosen.train_run, chosen.train_others or ()),
        **on_run(chosen),
    }


def _newest(rows: Sequence[Mapping[str, Any]]) -> str | None:
    return rows[0]["id"] if rows else None


def on_show(event: Mapping[str, Any], chosen: RunBoxes) -> Changes:
    """Show another run, chosen in the table."""
    return on_tick(replace(chosen, train_run=str(event.get("id"))))


def on_compare(event: Mapping[str, Any], chosen: RunBoxes) -> Changes:
    """Choose the runs that are compared with the shown one."""
    others = [str(one) for one in event.get("ids") or ()]
    return {"train_others": others, **on_tick(replace(chosen, train_others=others))}


def on_use() -> Changes:
    """Show the last step."""
    return {"train_steps": gr.update(selected=USE)}


def on_stop(_: RunBoxes) -> Changes:
    """Ask how to stop."""
    return {"train_stop_box": gr.update(visible=True)}


def on_keep_running(_: RunBoxes) -> Changes:
    """Do not stop."""
    return {"train_stop_box": gr.update(visible=False)}


def on_stop_saved(chosen: RunBoxes) -> Changes:
    """Stop after this step, with a checkpoint and the adapter as it is."""
    return {**_acted(chosen, lambda run: run.ask("stop")), "train_stop_box": gr.update(visible=False)}


def on_stop_now(chosen: RunBoxes) -> Changes:
    """Stop at once; unsaved progress is lost."""
    stopped = _acted(chosen, partial(runs.stop, save=False))
    return {**stopped, "train_stop_box": gr.update(visible=False)}


def on_resume(chosen: RunBoxes) -> Changes:
    """Resume a run."""
    return _acted(chosen, own_runs.resume)


def on_rerun(chosen: RunBoxes) -> Changes:
    """Start a new run of the same spec, and show it."""
    return _acted(chosen, own_runs.rerun)


def on_rename(name: str, chosen: RunBoxes) -> Changes:
    """Rename a run."""
    return {"train_name": "", **_acted(chosen, lambda run: runs.rename(run, name))}


def on_delete(chosen: RunBoxes) -> Changes:
    """Remove a run's folder; the newest of the others is shown."""
    if not chosen.train_run:
        return on_tick(chosen)
    try:
        runs.delete(own_runs.open_run(chosen.train_run))
    except TrainingError as error:
        return _refused(error)
    rows = run_rows(own_runs.root())
    left = [other for other in chosen.train_others or () if other != chosen.train_run]
    return {**_listed(rows, replace(chosen, train_run=_newest(rows), train_others=left)), "train_others": left}


def _acted(chosen: RunBoxes, act: Callable[[RunDir], RunDir | None]) -> Changes:
    """The page after an action on a run; if the action made another run, that is shown."""
    if not chosen.train_run:
        return on_tick(chosen)
    try:
        made = act(own_runs.open_run(chosen.train_run))
    except TrainingError as error:
        return _refused(error)
    return on_tick(chosen if made is None else replace(chosen, train_run=made.run_id))


def _refused(error: TrainingError) -> Changes:
    """Change only the text of the state."""
    return {"train_state": view.problems_value(error)}
