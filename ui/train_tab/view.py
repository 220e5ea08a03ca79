"""A run's folder -> its display on the Train tab. Pure: everything is read from files, nothing is kept."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.conversation import words_of
from inspector.paths import EXAMPLES, module, shell_command
from training.errors import PublishError, SpecError, TrainingError
from training.launch.idle import worker_environment
from training.launch.runs import compare
from training.run.folder import ENDED, Phase, RunDir, Status, read_lines
from training.spec import RunSpec
from training.spec.checks import check
from ui.language import say
from ui.parts.report import Block, code, files, heading, progress, report, table, text
from ui.parts.token_view import as_json
from ui.train_tab.scores_view import pack_scores
from ui.visitors.access import is_public

FIRST_SPEC = """\
model: tiny-chat
data: examples/data/question-answer.csv
max_steps: 40
learning_rate: 5e-3
"""
"""The spec of a run that takes some seconds and changes its answers."""
CHARTS = (
    ("loss", ("loss", "eval_loss")),
    ("token accuracy", ("token_accuracy", "eval_token_accuracy")),
    ("rewards", ("reward_chosen", "reward_rejected", "reward_mean")),
    ("reward margin", ("reward_margin", "eval_reward_margin")),
    ("reward accuracy", ("reward_accuracy", "eval_reward_accuracy")),
    ("divergence from the reference", ("kl",)),
    ("loss of the chosen answers", ("nll", "eval_nll")),
    ("log odds ratio", ("log_odds_ratio",)),
    ("learning rate", ("learning_rate",)),
    ("gradient norm", ("grad_norm",)),
    ("trained tokens per second", ("trained_tokens_per_second",)),
    ("memory, MB", ("memory_mb", "gpu_memory_mb")),
    ("GPU load, %", ("gpu_utilization",)),
)
"""The charts, each with the metrics it shows; one without any metric is left out."""
SMOOTHED = frozenset(
    {"loss", "token_accuracy", "grad_norm", "trained_tokens_per_second", "reward_chosen", "reward_rejected"}
    | {"reward_margin", "reward_accuracy", "reward_mean", "kl", "nll", "log_odds_ratio"}
)
"""Metrics of single steps, which fluctuate."""
POINTS = 600
"""Maximum number of points of a line."""
_SPECS = EXAMPLES / "runs"


def spec_examples() -> list[tuple[str, str]]:
    """(title, file name) of the specs in examples/runs."""
    return [(path.stem.replace("-", " "), path.name) for path in sorted(_SPECS.glob("*.yaml"))]


def spec_example(name: str) -> str:
    """The text of one of them."""
    return (_SPECS / Path(name).name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBoxes:
    """The shown run, by its id; the compared runs; and the settings of the charts."""

    train_run: str | None = None
    train_others: Sequence[str] | None = ()
    train_smoothing: float = 0.0
    train_log: bool = False


def state_value(run: RunDir) -> str:
    """Phase, step, proof, errors, and notes of a run."""
    status, manifest = run.status(), run.manifest()
    steps = status.max_steps
    share = 1.0 if status.phase is Phase.SUCCEEDED else status.step / steps if steps else None
    line = f"{_SIGNS[status.phase]} {status.phase}: step {status.step} of {steps or '?'}, epoch {status.epoch:.2f}"
    blocks: list[Block] = [progress(line + _time_left(run, status.step, steps, status.phase), share)]
    if status.waits_for:
        blocks.append(
            text(say("It waits for {run}, which has the {device}.", run=status.waits_for, device=status.device), "…")
        )
    blocks += [text(note, "!") for note in status.notes]
    if status.error:
        blocks.append(text(status.error, "✗"))
    if status.suggestion:
        blocks.append(text(status.suggestion, "→"))
    if proof := manifest.get("proof"):
        blocks.append(text(proof["sentence"], "="))
    elif status.trained_tokens is not None:
        blocks.append(
            text(
                say(
                    "{n} of {all} tokens are trained in each pass.",
                    n=f"{status.trained_tokens:,}",
                    all=f"{status.total_tokens:,}",
                )
            )
        )
    if published := manifest.get("published"):
        blocks.append(text(say("Published: {url}", url=published["url"]), "="))
    if cut := manifest.get("cut_rows"):
        blocks.append(text(f"{cut:,} of {manifest['rows']:,} rows are cut to {run.spec().max_length:,} tokens.", "!"))
    for unused in manifest.get("unused_rows", [])[:3]:
        blocks.append(text(say("Not used: {place}: {why}", place=unused["place"], why=unused["why"]), "!"))
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
    lines = run.metrics()
    rate = next((line["steps_per_second"] for line in reversed(lines) if line.get("steps_per_second")), None)
    return "" if not rate else f", {(steps - step) / rate:,.0f} s left"


def title_value(run: RunDir, status: Status) -> str:
    """The title of the browser's tab: the progress of a run until it has ended."""
    if status.phase in ENDED:
        return as_json({"title": ""})
    done = f"{status.step}/{status.max_steps}" if status.max_steps else str(status.phase)
    return as_json({"title": f"{done} {run.label} · Maskscope"})


def chart_value(chosen: Sequence[RunDir], smoothing: float = 0.0, *, is_log: bool = False) -> str:
    """The metrics as columns, thinned for a chart; further runs are drawn over the first.

    `smoothing`: 0 for none; closer to 1 for a longer memory of the exponential mean that is drawn instead.
    `is_log`: whether the vertical axes are logarithmic.
    """
    measured = [(run.label, run.metrics()) for run in chosen]
    charts = []
    for title, names in CHARTS:
        series = []
        for number, (run_name, lines) in enumerate(measured):
            for name in names:
                points = [(line["step"], line[name]) for line in lines if name in line and "step" in line]
                if smoothing and name in SMOOTHED:
                    points = smoothed(points, smoothing)
                points = _thinned(points)
                label = name.replace("_", " ") if not number else f"{run_name} {name}".replace("_", " ")
                if points:
                    xs, ys = zip(*points, strict=True)
                    series.append({"name": label, "run": number, "x": xs, "y": ys})
        charts.append({"title": title, "series": series})
    return as_json({"charts": charts, "isLog": is_log})


def smoothed(points: Sequence[tuple[int, float]], smoothing: float) -> list[tuple[int, float]]:
    """The exponential moving average, corrected for its start (Kingma and Ba 2015, section 3)."""
    out, mean = [], 0.0
    for number, (step, value) in enumerate(points, start=1):
        mean = smoothing * mean + (1 - smoothing) * value
        out.append((step, mean / (1 - smoothing**number)))
    return out


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """A thinned list of points that includes the last."""
    kept = points[:: max(1, len(points) // POINTS)]
    return kept if kept[-1:] == points[-1:] else [*kept, points[-1]]


def answers_value(chosen: Sequence[RunDir]) -> str:
    """Each question with its answers: before, during, after, those of further runs, and that of the data."""
    first, *others = chosen
    rows: dict[str, dict[str, str]] = {}
    for line in first.samples():
        asked = words_of(line["messages"][-1])
        rows.setdefault(asked, {})[line["when"]] = line["answer"]
        rows[asked]["reference"] = line["reference"] or ""
    for other in others:
        for line in other.samples():
            asked = words_of(line["messages"][-1])
            if line["when"] == "after" and asked in rows:
                rows[asked][other.run_id] = line["answer"]
    if not rows:
        return report(text(say("The first answers are written before the first step.")))
    titles = {"before": say("before"), "during": say("newest"), "after": say("after")}
    titles |= {"endpoint": "the endpoint"}
    titles |= {other.run_id: f"{other.label}, after" for other in others} | {"reference": say("expected")}
    names = [name for name in titles if any(row.get(name) for row in rows.values())]
    table_rows = [[asked, *(row.get(name, "") for name in names)] for asked, row in rows.items()]
    blocks = [table([say("question"), *(titles[name] for name in names)], table_rows)]
    if others:
        differing = compare(chosen)["settings"]
        head = ["setting", *(run.label for run in chosen)]
        rows_differing = [[name, *map(_short, values)] for name, values in differing.items()]
        blocks.append(heading(say("What differs")))
        blocks.append(table(head, rows_differing) if differing else text(say("Their settings are the same.")))
    return report(*blocks)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def scores_value(run: RunDir) -> str:
    """The first rows, coloured by the model's loss at each token."""
    return pack_scores(read_lines(run.scores_file)[0])


def details_value(run: RunDir, root: Path) -> str:
    """The spec, the command that starts the same run, and the end of the log."""
    spec = run.spec_file.read_text(encoding="utf-8")
    command = f"{shell_command('training')} run {shlex.quote(str(run.spec_file.relative_to(root.parent)))}"
    blocks = [heading(say("The same run from the command line")), code(command, label=say("Command"))]
    blocks += [code(spec, label=say("Spec")), files(("spec.yaml", spec))]
    manifest = run.manifest()
    if manifest:
        facts = {
            name: manifest[name] for name in ("rows", "data_sha256", "template_hash", "strategy") if name in manifest
        }
        blocks.append(code(json.dumps(facts, indent=1), label="Manifest"))
    if run.status().phase in ENDED and run.adapter.is_dir():
        blocks.append(text(say("The adapter is in {folder}.", folder=run.adapter.relative_to(root.parent))))
    if log := run.log_tail(15):
        blocks.append(code(log, label=say("Log, its last lines")))
    return report(*blocks)


def refuse_visitors() -> None:
    """Raise PublishError if the token does not belong to the visitor."""
    if is_public():
        raise PublishError("Visitors do not publish from here, with the token of this machine: download the adapter.")


def publish(run: RunDir, repo: str, *, is_private: bool, is_merged: bool) -> str:
    """Publish a run; returns its address. Raises PublishError with the command's message."""
    words = ["publish", "--json", str(run.path), f"--repo={repo.strip() or '?'}"]
    words += ["--merged" if is_merged else "--no-merged", "--private" if is_private else "--public"]
    return str(command_of(words, PublishError)["url"])


def command_of(words: Sequence[str], error: type[TrainingError]) -> dict[str, Any]:
    """The JSON output of a `python -m training` command, in a process that may import torch. Raises `error`."""
    command = [sys.executable, "-m", module("training"), *words]
    done = subprocess.run(command, env=worker_environment(), capture_output=True, text=True, check=False)
    start = max(0, f"\n{done.stdout}".rfind("\n{"))  # libraries may print before the JSON
    try:
        answer = dict(json.loads(done.stdout[start:]))
        reason = answer["error"] if done.returncode else ""
    except (ValueError, KeyError, TypeError):
        message = f"`training {words[0]}` ended with status {done.returncode} and no message."
        reason = f"{message} Its last output: {done.stderr.strip()[-300:] or 'none'}"
    if reason:
        raise error(reason)
    return answer


def plan_value(lines: Sequence[str], warnings: Iterable[str]) -> str:
    """The cost of a run."""
    return report(*(text(warning, "!") for warning in warnings), *(text(line) for line in lines))


def problems_value(error: Exception) -> str:
    """The error; for a spec, every problem by its field."""
    if isinstance(error, SpecError):
        return report(*(text(f"{p.field}: {p.message} {p.remedy}".strip(), "✗") for p in error.problems))
    return report(text(str(error), "✗"))


def warnings_of(spec: RunSpec) -> list[str]:
    """The warnings before the start."""
    return [f"{p.field}: {p.message} {p.remedy}".strip() for p in check(spec) if p.severity == "warning"]
