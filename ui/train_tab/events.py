"""What happens on the Train tab: values in, values out. Everything about a run is read anew from its folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from training.errors import SpecError, TrainingError
from training.importers import import_config, is_foreign
from training.launch import runs
from training.rows.prepare import first_rows
from training.run.folder import ENDED, RunDir
from training.spec import RunSpec, parse_text
from ui.data_tab.boxes import DataBoxes, shared_setup
from ui.parts.report import report, text
from ui.parts.rows_view import pack_no_rows, pack_rows, trained_rows, unusable
from ui.train_tab import view
from ui.train_tab.form import SETTINGS, Value, read_values, spec_of_tabs, with_value
from ui.visitors import own_runs
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError

SHOWN = ("state", "chart", "answers", "scores", "details")
"""What is shown of a run."""
SHOWN_ROWS = 4
"""Rows that are shown before a run."""
_STARTS, _STARTS_NOT = gr.update(interactive=True), gr.update(interactive=False)
_LOG = logging.getLogger(__name__)
LAST_LOOK_S = 3.0
"""How long an ended run is still looked at: its last lines may be on their way."""


# --- the spec


def on_open() -> list[Any]:
    """The first spec, and the newest run if there is one."""
    choices = view.run_choices(own_runs.root())
    newest = choices[0][1] if choices else None
    return [view.FIRST_SPEC, *_values(view.FIRST_SPEC), *on_tick(newest, [], 0.0)]


def on_example(name: str | None) -> list[Any]:
    """An example's spec. None: the choice was left as it was."""
    if name is None:
        return [gr.skip()] * (3 + len(SETTINGS))
    spec = view.spec_example(name)
    return [spec, *_values(spec), "", _STARTS]


def on_spec(spec: str) -> list[Any]:
    """The settings follow the YAML, as long as it is some; another trainer's config becomes one."""
    if not is_foreign(spec):
        return [gr.skip(), *_values(spec), gr.skip(), _STARTS]
    try:
        found = import_config(spec)
    except TrainingError as error:
        return [gr.skip(), *([gr.skip()] * len(SETTINGS)), view.problems_value(error), _STARTS]
    own = found.spec.to_yaml()
    return [own, *_values(own), view.plan_value([], [*found.warnings, *view.warnings_of(found.spec)]), _STARTS]


def on_setting(name: str, value: Value, spec: str) -> list[Any]:
    """The YAML follows a setting."""
    try:
        return [with_value(spec, name, value), "", _STARTS]
    except TrainingError as error:
        return [gr.skip(), view.problems_value(error), _STARTS]


def on_tabs(data: DataBoxes, boxes: Boxes) -> Iterator[Mapping[str, Any]]:
    """Train what the other tabs show. Until the spec says so nothing can be started: it would be the one before."""
    yield {"train_start": _STARTS_NOT}
    try:
        spec = spec_of_tabs(shared_setup(boxes), data)
    except (InspectorError, ConversationJsonError, TrainingError) as error:
        yield {"train_planned": view.problems_value(error)}
        return
    except Exception as error:  # whatever it is, the page has to say so, and must not train something else
        _LOG.error("The other tabs' spec could not be made", exc_info=error)
        said = f"Something failed that should not have: {type(error).__name__}: {error}. Please report it."
        yield {"train_planned": report(text(said, "✗"))}
        return
    settings = {f"train_set_{name}": value for name, value in (read_values(spec) or {}).items()}
    yield {"train_spec": spec, "train_planned": "", "train_start": _STARTS, **settings}


def on_plan(spec: str) -> str:
    """What the run would cost, or what is wrong with it."""
    from training.cli.terminal import plan_of

    try:
        parsed = _checked(spec)
        _, lines = plan_of(parsed)
    except TrainingError as error:
        return view.problems_value(error)
    return view.plan_value(lines, view.warnings_of(parsed))


def _checked(text: str) -> RunSpec:
    """The spec in the box, if whoever wrote it may ask for it. Raises SpecError."""
    spec = parse_text(text)
    own_runs.check(spec)
    return spec


def on_rows(spec: str) -> str:
    """The first rows as they train, or why there are none."""
    try:
        rows, unused = first_rows(_checked(spec), SHOWN_ROWS)
    except SpecError as error:
        return pack_no_rows("\n".join(f"{p.field}: {p.message} {p.remedy}".strip() for p in error.problems))
    except (InspectorError, TrainingError) as error:
        return pack_no_rows(str(error))
    shown = [unusable(bad.number, bad.place, bad.why, can_open=False) for bad in unused[:SHOWN_ROWS]]
    shown += [part for row in rows for part in trained_rows(row)]
    return pack_rows(shown, "The first rows, as they train") if shown else pack_no_rows("The data has no rows.")


def _values(spec: str) -> list[Any]:
    values = read_values(spec)
    return [gr.skip()] * len(SETTINGS) if values is None else list(values.values())


# --- runs


def on_start(spec: str, others: list[str], smoothing: float) -> list[Any]:
    """Start a run; what is wrong with the spec is said instead."""
    try:
        run = own_runs.start(parse_text(spec))
    except TrainingError as error:
        return [view.problems_value(error), *_unchanged()]
    return ["", *on_tick(run.run_id, others, smoothing)]


def on_run(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Whether to look again in a second, and everything about a run and those beside it."""
    if not run_id:
        nothing = report(text("No run yet. Press Train: the example takes under a minute."))
        return [gr.Timer(active=False), nothing, "", "", "", ""]
    root = own_runs.root()
    try:
        run, *beside = (own_runs.open_run(name) for name in (run_id, *(o for o in others or () if o != run_id)))
        status = run.status()
        values = [
            view.state_value(run), view.chart_value([run, *beside], smoothing), view.answers_value([run, *beside]),
            view.scores_value(run), view.details_value(run, root),
        ]  # fmt: skip
    except TrainingError as error:
        return [gr.Timer(active=False), view.problems_value(error), "", "", "", ""]
    is_over = status.phase in ENDED and time.time() - status.updated > LAST_LOOK_S
    return [gr.Timer(active=not is_over), *values]


def on_tick(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """The runs there are, and this one again."""
    choices = view.run_choices(own_runs.root())
    return [gr.update(choices=choices, value=run_id), gr.update(choices=choices), *on_run(run_id, others, smoothing)]


def on_stop(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Ask the run to stop; it saves what it has."""
    return _acted(run_id, others, smoothing, lambda run: run.ask("stop"))


def on_resume(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Go on with a run."""
    return _acted(run_id, others, smoothing, own_runs.resume)


def on_rerun(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Start a new run of the same spec, and show it."""
    return _acted(run_id, others, smoothing, own_runs.rerun)


def on_rename(name: str, run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Call a run something else."""
    return ["", *_acted(run_id, others, smoothing, lambda run: runs.rename(run, name))]


def on_delete(run_id: str | None, others: Sequence[str], smoothing: float) -> list[Any]:
    """Remove a run's folder; the newest of the others is shown."""
    if not run_id:
        return on_tick(None, others, smoothing)
    try:
        runs.delete(own_runs.open_run(run_id))
    except TrainingError as error:
        return _refused(error)
    choices = view.run_choices(own_runs.root())
    left = [other for other in others or () if other != run_id]
    found = on_tick(choices[0][1] if choices else None, left, smoothing)
    return [found[0], gr.update(choices=choices, value=left), *found[2:]]


def on_publish(
    repo: str, private: bool, merged: bool, run_id: str | None, others: Sequence[str], smoothing: float
) -> Iterator[list[Any]]:
    """Send a run's result to the hub, in a process of its own: first that it is at it, then where it is."""
    if not run_id:
        yield on_tick(None, others, smoothing)
        return
    unchanged = _unchanged()
    yield [*unchanged[:3], report(text(f"Publishing to {repo} ...", "…")), *unchanged[4:]]
    try:
        view.refuse_visitors()
        view.publish(own_runs.open_run(run_id), repo, is_private=private, is_merged=merged)
    except TrainingError as error:
        yield _refused(error)
    else:
        yield on_tick(run_id, others, smoothing)


def _acted(
    run_id: str | None, others: Sequence[str], smoothing: float, act: Callable[[RunDir], RunDir | None]
) -> list[Any]:
    """The page after something was done to a run; when it made another run, that is shown."""
    if not run_id:
        return on_tick(None, others, smoothing)
    try:
        made = act(own_runs.open_run(run_id))
    except TrainingError as error:
        return _refused(error)
    return on_tick(run_id if made is None else made.run_id, others, smoothing)


def _refused(error: TrainingError) -> list[Any]:
    """Nothing changes but what is said of the state."""
    unchanged = _unchanged()
    return [*unchanged[:3], view.problems_value(error), *unchanged[4:]]


def _unchanged() -> list[Any]:
    return [gr.skip()] * (3 + len(SHOWN))
