"""All runs as a table that can be sorted: one is shown, others are laid over it. runs_table.js draws it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import gradio as gr

from training.errors import TrainingError
from training.launch.runs import list_runs
from training.run.files import last_with
from training.run.folder import RunDir
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script

SHOWN_RUNS = 50
"""The newest that are listed."""


def build_runs_table(elem_id: str) -> gr.HTML:
    """The component. Its events: `show` with the `id` of a run, `compare` with the `ids` to lay over it."""
    return gr.HTML(
        value="",
        html_template='<div class="runs-table"></div>',
        js_on_load=tokens_script("train_tab/runs_table.js"),
        apply_default_css=False,
        elem_id=elem_id,
    )


def newest_runs(root: Path) -> list[RunDir]:
    """The runs that can be chosen, the newest first."""
    return list(reversed(list_runs(root)[-SHOWN_RUNS:]))


def runs_value(root: Path, shown: str | None, others: Collection[str]) -> str:
    """The component's value. `shown`, `others`: ids of runs."""
    rows = [row for run in newest_runs(root) if (row := _row(run)) is not None]
    return as_json({"rows": rows, "shown": shown, "others": [one for one in others if one != shown]})


def _row(run: RunDir) -> dict[str, Any] | None:
    """One line; None for a run whose files cannot be read. `seconds`: from its start to its last sign of life."""
    try:
        status, spec = run.status(), run.spec()
    except TrainingError:
        return None
    return {
        "id": run.run_id,
        "name": run.label,
        "state": str(status.phase),
        "step": status.step,
        "steps": status.max_steps,
        "loss": last_with(run.metrics_file, "loss"),
        "model": spec.model,
        "data": Path(spec.data.name).name,
        "seconds": max(0.0, status.updated - status.created) if status.created else None,
        "created": status.created,
    }
