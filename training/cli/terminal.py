"""A run as text and as JSON, for a terminal: its state, its progress, its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from inspector.conversation import words_of
from inspector.data.source import BadRow
from inspector.strategies.base import IGNORED
from training.launch.runs import last_metrics
from training.rows.prepare import PreparedRow
from training.run.folder import RunDir


def describe(run: RunDir) -> dict[str, Any]:
    """A run's public state, JSON-ready."""
    status = run.status()
    spec = run.spec()
    pid, _ = run.process()
    return {
        "run_id": run.run_id,
        "run_dir": str(run.path),
        "name": run.name,
        "model": spec.model,
        "pid": pid,
        **asdict(status),
        "phase": status.phase.value,
    }


def full(run: RunDir) -> dict[str, Any]:
    """A run's state with its newest metrics, its answers and its manifest, JSON-ready."""
    return describe(run) | {"metrics": last_metrics(run), "samples": run.samples(), "manifest": run.manifest()}


SHOWN_METRICS = (
    ("loss", 4), ("eval_loss", 4), ("token_accuracy", 3), ("reward_margin", 3), ("reward_accuracy", 3),
    ("grad_norm", 3), ("learning_rate", 7),
)  # fmt: skip
"""The metrics of a line, and their digits."""


def metrics_line(line: dict[str, Any], max_steps: int | None) -> str:
    """A step's metrics in a line."""
    parts = [f"step {line.get('step')} of {max_steps or '?'}"]
    for name, digits in SHOWN_METRICS:
        if name in line:
            parts.append(f"{name} {line[name]:.{digits}g}")
    return "  ".join(parts)


def shown_lines(value: dict[str, Any]) -> list[str]:
    """The value of `full` as lines of text."""
    name = f" ({value['name']})" if value["name"] else ""
    lines = [f"{value['run_id']}{name}: {value['phase']}, step {value['step']} of {value['max_steps'] or '?'}"]
    if value["waits_for"]:
        lines.append(f"waits for {value['waits_for']}, which has the {value['device']}")
    lines += [f"note: {note}" for note in value["notes"]]
    if value["error"]:
        lines.append(f"error: {value['error']}")
    if value["suggestion"]:
        lines.append(f"→ {value['suggestion']}")
    proof = value["manifest"].get("proof")
    if proof:
        lines.append(proof["sentence"])
    if published := value["manifest"].get("published"):
        lines.append(f"published: {published['url']}")
    lines.append(value["run_dir"])
    for sample in value["samples"]:
        if sample["when"] != "during":
            lines.append(f"  {sample['when']:6} {words_of(sample['messages'][-1])!r} -> {sample['answer']!r}")
    return lines


def rows_lines(rows: Sequence[PreparedRow], unused: Sequence[BadRow]) -> list[str]:
    """Training rows with trained text in «guillemets».

    Both answers of a pair; and the rows that were skipped, with why.
    """
    lines = [f"{bad.place} is not used: {bad.why}" for bad in unused]
    for row in rows:
        names = ("",) if row.rejected is None else (" chosen", " rejected")
        good = {None: "", True: " good", False: " bad"}[row.is_good]
        for name, one in zip(names, row.answers, strict=True):
            count = sum(label != IGNORED for label in one.labels)
            lines.append(f"row {row.number}{name}{good}: {count:,} of {len(one.input_ids):,} tokens are trained")
            runs = groupby(zip(one.texts, one.labels, strict=True), key=lambda pair: pair[1] != IGNORED)
            parts = [("".join(text for text, _ in run), trains) for trains, run in runs]
            line_text = "".join(f"«{text}»" if trains else text for text, trains in parts)
            lines += [f"    {line}" for line in line_text.replace("\n", "⏎\n").rstrip("\n").split("\n")]
    return lines


def row_values(row: PreparedRow) -> dict[str, Any]:
    """A training row, JSON-ready; a pair includes the rejected answer."""
    own: dict[str, Any] = {"row": row.number, "input_ids": row.input_ids, "labels": row.labels, "texts": row.texts}
    if row.rejected is not None:
        own["rejected"] = row_values(row.rejected)
    return own if row.is_good is None else {**own, "is_good": row.is_good}
