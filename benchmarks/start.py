"""From a click to the first loss, with a worker that waits and without: `python benchmarks/start.py`.

Each round starts tiny-chat once from a worker that has imported everything and once cold, so that a busy moment hits
both; the median of three rounds counts. The last line is one JSON object of ratios.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.launch import idle, runs
from training.run.folder import ENDED, Phase, RunDir
from training.spec import RunSpec, parse_spec

ROUNDS = 3
POLL_S = 0.005
MARKS = ("loading", "training", "first loss", "end")


def spec() -> RunSpec:
    """The README's example, with ten steps."""
    data = Path(__file__).parents[1] / "examples" / "data" / "question-answer.csv"
    return parse_spec({"model": "tiny-chat", "data": str(data), "max_steps": 10, "learning_rate": 5e-3})


def measured(root: Path) -> dict[str, float]:
    """Start a run; seconds until each mark."""
    began = time.monotonic()
    run = runs.start(spec(), root)
    found: dict[str, float] = {}
    while "end" not in found:
        for mark in reached(run):
            found.setdefault(mark, time.monotonic() - began)
        time.sleep(POLL_S)
    if run.status().phase is not Phase.SUCCEEDED:
        raise SystemExit(f"the run failed: {run.status().error}\n{run.log_tail()}")
    return {mark: found[mark] for mark in MARKS}


def reached(run: RunDir) -> list[str]:
    """The marks that a run has passed."""
    phase = run.status().phase
    out = ["loading"] if phase is not Phase.QUEUED else []
    out += ["training"] if phase not in (Phase.QUEUED, Phase.LOADING) else []
    out += ["first loss"] if run.metrics_file.exists() else []
    return [*out, "end"] if phase in ENDED else out


def warmed() -> tuple[float, float]:
    """Wait for an idle worker: (seconds until it was ready, its memory in MB with its children's)."""
    began = time.monotonic()
    runs.warm_up()
    while not idle.is_warm():
        time.sleep(0.02)
    took = time.monotonic() - began
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    workers = [p for child in children if "--idle" in child.cmdline() for p in (child, *child.children(True))]
    return took, sum(process.memory_info().rss for process in workers) / 1e6


def main() -> None:
    """Print the table and the object."""
    print(f"Python {platform.python_version()}, tiny-chat, seconds since the start, median of {ROUNDS}")
    times: dict[str, list[dict[str, float]]] = {"idle": [], "cold": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            ready_s, memory_mb = warmed()
            times["idle"].append(measured(Path(folder)))
            idle.cool_down()
            times["cold"].append(measured(Path(folder)))
    print(f"{'worker':8}" + "".join(f"{mark:>12}" for mark in MARKS))
    medians = {
        name: {mark: statistics.median(one[mark] for one in own) for mark in MARKS} for name, own in times.items()
    }
    for name, own in medians.items():
        print(f"{name:8}" + "".join(f"{own[mark]:12.2f}" for mark in MARKS))
    print(f"The idle worker was ready after {ready_s:.1f} s and holds {memory_mb:.0f} MB.")
    ratios = {mark.replace(" ", "_"): round(medians["cold"][mark] / medians["idle"][mark], 2) for mark in MARKS}
    print(json.dumps({"cold_over_idle": ratios}))


if __name__ == "__main__":
    main()
