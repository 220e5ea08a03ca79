"""A run's folder -> what the Train tab shows of it. Pure: everything is read from files, nothing is kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.errors import SpecError, TrainingError
from training.rundir import ENDED, Phase, RunDir, read_lines
from training.runs import list_runs
from training.spec import RunSpec, check, parse_spec
from ui.report import Block, code, files, heading, progress, report, table, text
from ui.token_view import as_json

FIRST_SPEC = """\
model: tiny-chat
data: examples/data/question-answer.csv
max_steps: 40
learning_rate: 5e-3
"""
"""A run of some seconds, whose answers change."""
CHARTS = (
    ("loss", ("loss", "eval_loss")),
    ("token accuracy", ("token_accuracy", "eval_token_accuracy")),
    ("learning rate", ("learning_rate",)),
    ("gradient norm", ("grad_norm",)),
)
"""The charts, each with the metrics it shows."""
POINTS = 600
"""Most points of a line."""
SHOWN_RUNS = 50


def spec_of(yaml_text: str) -> RunSpec:
    """The spec in the box. Raises SpecError."""
    import yaml

    from training.errors import Problem

    try:
        value = yaml.safe_load(yaml_text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        problem = Problem(field="spec", severity="error", message=f"is not YAML: {said}.", remedy="")
        raise SpecError([problem]) from error
    return parse_spec(value)


def run_choices(root: Path) -> list[tuple[str, str]]:
    """(label, id) of the newest runs, the newest first."""
    out = []
    for run in reversed(list_runs(root)[-SHOWN_RUNS:]):
        try:
            status = run.status()
        except TrainingError:
            continue
        out.append((f"{run.run_id} · {status.phase} · step {status.step}", run.run_id))
    return out


def state_value(run: RunDir) -> str:
    """Phase, step, proof, errors, and what else there is to say."""
    status, manifest = run.status(), run.manifest()
    steps = status.max_steps
    share = 1.0 if status.phase is Phase.SUCCEEDED else status.step / steps if steps else None
    said = f"{_SIGNS[status.phase]} {status.phase}: step {status.step} of {steps or '?'}, epoch {status.epoch:.2f}"
    blocks: list[Block] = [progress(said + _time_left(run, status.step, steps, status.phase), share)]
    if status.error:
        blocks.append(text(status.error, "✗"))
    if status.suggestion:
        blocks.append(text(status.suggestion, "→"))
    if proof := manifest.get("proof"):
        blocks.append(text(proof["sentence"], "="))
    elif status.trained_tokens is not None:
        blocks.append(text(f"{status.trained_tokens:,} of {status.total_tokens:,} tokens train in each pass."))
    for unused in manifest.get("unused_rows", [])[:3]:
        blocks.append(text(f"Not used: {unused['place']}: {unused['why']}", "!"))
    return report(*blocks)


_SIGNS = {
    Phase.QUEUED: "…",
    Phase.LOADING: "…",
    Phase.TRAINING: "▶",
    Phase.SAVING: "▶",
    Phase.SUCCEEDED: "✓",
    Phase.FAILED: "✗",
    Phase.STOPPED: "■",
}


def _time_left(run: RunDir, step: int, steps: int | None, phase: Phase) -> str:
    if phase is not Phase.TRAINING or not steps or not step:
        return ""
    lines, _ = read_lines(run.metrics_file)
    rate = next((line["steps_per_second"] for line in reversed(lines) if line.get("steps_per_second")), None)
    return "" if not rate else f", {(steps - step) / rate:,.0f} s left"


def chart_value(run: RunDir) -> str:
    """The metrics as columns, thinned to what a chart can show."""
    lines, _ = read_lines(run.metrics_file)
    charts = []
    for title, names in CHARTS:
        series = []
        for name in names:
            points = [(line["step"], line[name]) for line in lines if name in line and "step" in line]
            step = max(1, len(points) // POINTS)
            kept = points[::step] if not points or points[::step][-1] == points[-1] else [*points[::step], points[-1]]
            if kept:
                series.append({"name": name, "x": [x for x, _ in kept], "y": [y for _, y in kept]})
        charts.append({"title": title, "series": series})
    return as_json({"charts": charts, "run": run.run_id})


def answers_value(run: RunDir) -> str:
    """Each question with its answers: before, during, after, and the data's own."""
    rows: dict[int, dict[str, str]] = {}
    for line in run.samples():
        row = rows.setdefault(line["question"], {"question": str(line["messages"][-1].get("content") or "")})
        row[line["when"]] = line["answer"]
        row["reference"] = line["reference"] or ""
    if not rows:
        return report(text("The first answers are written before the first step."))
    names = [n for n in ("before", "during", "after", "reference") if any(n in row for row in rows.values())]
    head = ["question", *({"reference": "the data's answer", "during": "newest"}.get(name, name) for name in names)]
    return report(table(head, [[row["question"], *(row.get(name, "") for name in names)] for row in rows.values()]))


def details_value(run: RunDir, root: Path) -> str:
    """The spec, the command that starts the same run, and the end of the log."""
    spec = run.spec_file.read_text(encoding="utf-8")
    command = f"python -m training run {shlex.quote(str(run.spec_file.relative_to(root.parent)))}"
    blocks = [heading("The same run from the command line"), code(command, label="Command")]
    blocks += [code(spec, label="Spec"), files(("spec.yaml", spec))]
    manifest = run.manifest()
    if manifest:
        facts = {
            name: manifest[name] for name in ("rows", "data_sha256", "template_hash", "strategy") if name in manifest
        }
        blocks.append(code(json.dumps(facts, indent=1), label="Manifest"))
    if run.status().phase in ENDED and run.adapter.is_dir():
        blocks.append(text(f"The adapter is in {run.adapter.relative_to(root.parent)}."))
    if log := run.log_tail(15):
        blocks.append(code(log, label="Log, its last lines"))
    return report(*blocks)


def plan_value(plan: Mapping[str, Any], lines: Sequence[str], warnings: Iterable[str]) -> str:
    """What a run would cost."""
    return report(*(text(warning, "!") for warning in warnings), *(text(line) for line in lines))


def problems_value(error: Exception) -> str:
    """Why a spec cannot be used: every problem by its field."""
    if isinstance(error, SpecError):
        return report(*(text(f"{p.field}: {p.message} {p.remedy}".strip(), "✗") for p in error.problems))
    return report(text(str(error), "✗"))


def warnings_of(spec: RunSpec) -> list[str]:
    """What deserves a warning before the start."""
    return [f"{p.field}: {p.message} {p.remedy}".strip() for p in check(spec) if p.severity == "warning"]
