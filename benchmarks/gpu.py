"""Every method and precision on this machine's card, as a table to paste: `make gpu`, or `python benchmarks/gpu.py`.

Short runs of the embedded model: sft, dpo, orpo, kto and reward, in bf16, fp32, 4 and 8 bits, each in a process of its
own. For each: whether it ended and its rows were proven, the loss at the first and the last step, the most tokens a
second, the peak of memory. Above them the versions that decide. The last line is one JSON object. The exit status is
1 where a run failed, 2 where there is no CUDA device; `--device cpu` does the same on the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from training.errors import SpecError  # noqa: E402
from training.run.folder import RunDir  # noqa: E402
from training.spec import parse_spec  # noqa: E402

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
DATA = {
    "sft": "question-answer.csv", "dpo": "preference.jsonl", "orpo": "preference.jsonl", "kto": "unpaired.jsonl",
    "reward": "reward.jsonl",
}  # fmt: skip
PRECISIONS: dict[str, dict[str, str]] = {
    "bf16": {"precision": "bf16"}, "fp32": {"precision": "fp32"}, "4bit": {"quantization": "4bit"},
    "8bit": {"quantization": "8bit"},
}  # fmt: skip
COLUMNS = ("method", "precision", "state", "proof", "first loss", "last loss", "tokens/s", "peak MB")


def card() -> str | None:
    """The name of the CUDA device; None where there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions() -> dict[str, str]:
    """What decides about a run besides the card."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def specs(device: str, steps: int) -> list[dict[str, Any]]:
    """The spec of every run that the checks let through."""
    base = {"model": "tiny-chat", "max_steps": steps, "learning_rate": 5e-3, "seed": 1, "device": device}
    made = []
    for method, data in DATA.items():
        own = {"method": method, "data": str(ROOT / "examples" / "data" / data)}
        for precision, settings in PRECISIONS.items():
            spec = {**base, **own, **settings, "name": f"{method} {precision}"}
            with suppress(SpecError):  # this method takes no such weights
                parse_spec(spec)
                made.append(spec)
    return made


def row_of(spec: dict[str, Any], runs: Path) -> tuple[str, ...]:
    """A run, done, as a row of the table."""
    before = set(runs.glob("*/spec.yaml"))
    file = runs.parent / "spec.yaml"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    command = [sys.executable, "-m", "training", "run", str(file)]
    environment = {**os.environ, "MASKSCOPE_RUNS": str(runs)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    method, name = spec["name"].split()
    new = next(iter(set(runs.glob("*/spec.yaml")) - before), None)
    if new is None:
        return method, name, f"not started: {done.stderr.strip().splitlines()[-1:]}", "", "", "", "", ""
    run = RunDir.open(new.parent)
    metrics, status, proof = run.metrics(), run.status(), run.facts().proof
    losses = [entry["loss"] for entry in metrics if "loss" in entry] or [float("nan")]
    return (
        method, name, str(status.phase) if status.error is None else f"{status.phase}: {status.error[:60]}",
        "yes" if proof else "no", *(f"{loss:.3f}" for loss in (losses[0], losses[-1])),
        f"{max((one.get('tokens_per_second', 0) for one in metrics), default=0):,.0f}",
        f"{max((one.get('memory_mb', 0) for one in metrics), default=0):,.0f}",
    )  # fmt: skip


def main() -> int:
    """Run them all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    name = card()
    if options.device == "cuda" and name is None:
        print("There is no CUDA device here; --device cpu does the same on the processor.", file=sys.stderr)
        return 2
    print(f"{name or 'CPU'} · " + " · ".join(f"{package} {number}" for package, number in versions().items()) + "\n")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        runs.mkdir()
        for spec in specs(options.device, options.steps):
            rows.append(row_of(spec, runs))
            print("| " + " | ".join(rows[-1]) + " |", flush=True)
    failed = [row for row in rows if row[2] != "succeeded" or row[3] != "yes"]
    print(
        "\n" + json.dumps({"device": name or "cpu", "versions": versions(), "runs": len(rows), "failed": len(failed)})
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
