"""All runs as a sortable table: one is shown, others are compared with it. runs_table.js draws it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from training.errors import SpecError, TrainingError
from training.launch.runs import list_runs
from training.run.files import last_with
from training.run.folder import RunDir
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script

SHOWN_RUNS = 50
"""Maximum number of listed runs, newest first."""


def build_runs_table(elem_id: str) -> gr.HTML:
    """The component. Its events: `show` with the `id` of a run, `compare` with the `ids` of the runs to compare."""
    return build_drawn("runs-table", tokens_script("train_tab/runs_table.js"), elem_id)


def run_rows(root: Path) -> list[dict[str, Any]]:
    """A line for each of the newest runs with a readable state, newest first."""
    return [row for run in reversed(list_runs(root)[-SHOWN_RUNS:]) if (row := _row(run)) is not None]


def run_choices(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(label, id) of each line, for a dropdown."""
    return [(f"{row['name']} · {row['state']} · step {row['step']} · {row['id']}", row["id"]) for row in rows]


def runs_value(rows: Sequence[Mapping[str, Any]], shown: str | None, others: Collection[str]) -> str:
    """The component's value. `shown`, `others`: ids of runs."""
    return as_json({"rows": rows, "shown": shown, "others": [one for one in others if one != shown]})


def _row(run: RunDir) -> dict[str, Any] | None:
    """`seconds`: from its start to its last update; `data`: "" if its spec can no longer be read."""
    try:
        status = run.status()
    except TrainingError:
        return None
    return {
        "id": run.run_id,
        "name": run.label,
        "state": str(status.phase),
        "step": status.step,
        "steps": status.max_steps,
        "loss": last_with(run.metrics_file, "loss"),
        "data": _data_of(run),
        "seconds": max(0.0, status.updated - status.created) if status.created else None,
        "created": status.created,
    }


def _data_of(run: RunDir) -> str:
    try:
        return Path(run.spec().data.name).name
    except SpecError:
        return ""
