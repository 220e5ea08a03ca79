"""All runs: start, stop, resume, list. A run is a process of its own; nothing of it lives in the caller's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from training.errors import RunFolderError, RunNotFoundError, RunStateError
from training.rundir import ENDED, Phase, RunDir, is_alive, read_lines, write_json
from training.spec import RunSpec

GRACE_S = 10.0
"""How long a worker that was told to end may take before it is killed."""


def runs_root() -> Path:
    """Where runs are kept: MASKSCOPE_RUNS, or `runs` in the working folder."""
    return Path(os.environ.get("MASKSCOPE_RUNS", "runs")).absolute()


def start(spec: RunSpec, root: Path | None = None) -> RunDir:
    """Start a run in the background and return at once. Raises RunFolderError."""
    run = RunDir.create(root or runs_root(), spec)
    launch(run)
    return run


def launch(run: RunDir) -> subprocess.Popen[bytes]:
    """Start the worker of a run, detached: its own session, its output in its own file. Raises RunFolderError."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    try:
        with run.log_file.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "training.worker", str(run.path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise RunFolderError(f"The worker of {run.run_id} could not be started: {error.strerror}.") from error
    try:
        began = psutil.Process(worker.pid).create_time()
    except psutil.Error:  # it has ended already: nobody has that pid and began then
        began = 0.0
    write_json(run.worker_file, {"pid": worker.pid, "started": began})
    return worker


_ROOT = Path(__file__).parents[1]


def find(run_id: str, root: Path | None = None) -> RunDir:
    """A run by its id, the beginning of it, or its folder. Raises RunNotFoundError."""
    if os.sep in run_id:
        return RunDir.open(Path(run_id))
    folder = root or runs_root()
    found = [run for run in list_runs(folder) if run.run_id == run_id] or [
        run for run in list_runs(folder) if run.run_id.startswith(run_id) or run.run_id.endswith(run_id)
    ]
    if len(found) != 1:
        known = ", ".join(run.run_id for run in list_runs(folder)[-5:]) or "none"
        what = "is no run" if not found else "is the name of several runs"
        raise RunNotFoundError(f"{run_id!r} {what} in {folder}; the newest are: {known}.")
    return found[0]


def list_runs(root: Path | None = None) -> list[RunDir]:
    """All runs, the oldest first."""
    folder = root or runs_root()
    return [RunDir(path) for path in sorted(folder.glob("*")) if (path / "spec.yaml").is_file()]


def stop(run: RunDir, *, save: bool = True, wait_s: float = 60.0) -> None:
    """Stop a run. With `save` it finishes its step and writes what it has; otherwise it ends at once.

    Raises RunStateError when it has ended already.
    """
    status = run.status()
    if status.phase in ENDED:
        raise RunStateError(f"The run {run.run_id} has ended already: {status.phase}.")
    if save:
        run.ask("stop")
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if run.status().phase in ENDED:
                return
            time.sleep(0.1)
    kill(run)
    status = run.written_status()
    if status.phase not in ENDED:
        run.write_status(replace(status, phase=Phase.STOPPED, error=None))


def kill(run: RunDir) -> None:
    """End the worker and everything that it has started: first asked, then forced."""
    pid, started = run.process()
    if pid is None or not is_alive(pid, started):
        return
    for sent, patience in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, sent)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if not is_alive(pid, started):
                return
            time.sleep(0.05)


def resume(run: RunDir) -> None:
    """Go on from the newest checkpoint, with the same rows and seeds. Raises RunStateError."""
    status = run.status()
    if status.phase not in ENDED:
        raise RunStateError(f"The run {run.run_id} is still {status.phase}.")
    if status.phase is Phase.SUCCEEDED:
        raise RunStateError(f"The run {run.run_id} did all its steps: there is nothing to resume.")
    if run.checkpoint() is None:
        raise RunStateError(f"The run {run.run_id} has no checkpoint to go on from: start it again.")
    run.forget("stop")
    run.write_status(replace(status, phase=Phase.QUEUED, error=None, suggestion=None))
    launch(run)


def delete(run: RunDir) -> None:
    """Remove a run's folder. Raises RunStateError while it runs."""
    if run.status().phase not in ENDED:
        raise RunStateError(f"The run {run.run_id} is still {run.status().phase}: stop it first.")
    shutil.rmtree(run.path)


def last_metrics(run: RunDir) -> dict[str, Any]:
    """The newest value of each metric."""
    merged: dict[str, Any] = {}
    for line in read_lines(run.metrics_file)[0]:
        merged |= line
    return merged


def compare(chosen: Sequence[RunDir]) -> dict[str, Any]:
    """The settings in which runs differ, and each run's newest metrics."""
    dumped = [run.spec().model_dump(mode="json") for run in chosen]
    differing = {
        name: [own[name] for own in dumped] for name in dumped[0] if len({json.dumps(o[name]) for o in dumped}) > 1
    }
    return {
        "run_ids": [run.run_id for run in chosen],
        "settings": differing,
        "metrics": [last_metrics(run) for run in chosen],
    }
