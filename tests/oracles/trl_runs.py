"""Exported TRL scripts, run on the embedded model, with what reaches the loss."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

from inspector.exports.targets import Export

ROOT = Path(__file__).parents[2]
STEPS = 2

_SPY = """\
import json

loss = trainer.compute_loss


def spy(model, inputs, *rest, **options):
    ids, labels = inputs["input_ids"].tolist(), inputs["labels"].tolist()
    sizes = inputs["attention_mask"].sum(dim=1).tolist()
    print("BATCH", json.dumps([[a[:size], b[:size], b[size:]] for a, b, size in zip(ids, labels, sizes)]))
    return loss(model, inputs, *rest, **options)


trainer.compute_loss = spy
trainer.train()
"""

Row = tuple[tuple[int, ...], tuple[int, ...]]


def first_batch(export: Export, folder: Path, *, here: bool = False) -> list[Row]:
    """Run a script for two steps with all rows in one batch; the (ids, labels) in the first, without padding.

    It runs in a process of its own, as a user's does, or in this one, which imports the libraries for other tests, too.
    """
    (folder / "models").symlink_to(ROOT / "models")
    for name, text in export.all_files.items():
        (folder / name).write_text(text, encoding="utf-8")
    script = export.text.replace("MAX_STEPS = -1", f"MAX_STEPS = {STEPS}").replace("BATCH_SIZE = 8", "BATCH_SIZE = 100")
    (folder / "train.py").write_text(script.replace("trainer.train()\n", _SPY), encoding="utf-8")
    output = _run_here(folder) if here else _run(folder)
    batches = [json.loads(line[6:]) for line in output.splitlines() if line.startswith("BATCH ")]
    assert len(batches) == STEPS
    assert (folder / "trained" / "model.safetensors").is_file()
    assert all(set(padding) <= {-100} for batch in batches for _, _, padding in batch)
    return [(tuple(ids), tuple(labels)) for ids, labels, _ in batches[0]]


def _run(folder: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def _run_here(folder: Path) -> str:
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as output:
        runpy.run_path("train.py", run_name="__main__")
    return output.getvalue()
