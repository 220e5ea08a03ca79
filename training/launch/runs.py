"""All runs: start, stop, resume, list. A run is a separate process; nothing of it lives in the caller's process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.errors import Problem, RunFolderError, RunNotFoundError, RunStateError, SpecError
from training.launch import engines, idle
from training.launch.idle import warm_up
from training.run.files import write_json, write_text
from training.run.folder import ENDED, Phase, RunDir
from training.run.names import two_words
from training.run.processes import born, end_group
from training.spec import RunSpec

__all__ = [
    "compare", "delete", "find", "kill", "last_metrics", "launch", "list_runs", "rename", "rerun", "resume",
    "runs_root", "start", "stop", "warm_up",
]  # fmt: skip


def runs_root() -> Path:
    """The folder of runs: MASKSCOPE_RUNS, or `runs` in the working folder."""
    return Path(os.environ.get("MASKSCOPE_RUNS", "runs")).absolute()


def start(spec: RunSpec, root: Path | None = None) -> RunDir:
    """Start a run in the background and return at once. Raises RunFolderError, SpecError."""
    engines.check_machine(spec)
    run = RunDir.create(root or runs_root(), spec)
    engines.keep_config(run, spec)
    launch(run)
    return run


def launch(run: RunDir) -> int:
    """Start the worker of a run, detached: its own session, its output in its own file; returns its process's number.

    Uses the process that `warm_up` prepared, if it is suitable. Raises RunFolderError.
    """
    run.keep_reserve()
    run.fault_file.unlink(missing_ok=True)
    spec = run.spec()
    pid = (idle.take(run.path.absolute()) if engines.is_alone(spec) else None) or _started(run, spec)
    write_json(run.worker_file, {"pid": pid, "started": born(pid)})
    return pid


def _started(run: RunDir, spec: RunSpec) -> int:
    try:
        with run.log_file.open("ab") as log:
            return subprocess.Popen(
                engines.command(run, spec),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=idle.worker_environment(),
                start_new_session=True,
            ).pid  # fmt: skip
    except OSError as error:
        raise RunFolderError(f"The worker of {run.run_id} could not be started: {error.strerror}.") from error


def find(run_id: str, root: Path | None = None) -> RunDir:
    """A run by its id or the start or end of it, its name, its two words, or its folder. Raises RunNotFoundError."""
    if os.sep in run_id:
        return RunDir.open(Path(run_id))
    folder = root or runs_root()
    known_runs = list_runs(folder)
    found = [run for run in known_runs if run.run_id == run_id] or [
        run for run in known_runs if run.run_id.startswith(run_id) or run.run_id.endswith(run_id)
    ]
    found = found or [run for run in known_runs if run_id in (run.given_name, two_words(run.run_id))]
    if len(found) != 1:
        known = ", ".join(run.run_id for run in known_runs[-5:]) or "none"
        what = "is not a run" if not found else "is the name of several runs"
        raise RunNotFoundError(f"{run_id!r} {what} in {folder}; the newest are: {known}.")
    return found[0]


def list_runs(root: Path | None = None) -> list[RunDir]:
    """All runs, oldest first."""
    folder = root or runs_root()
    return [RunDir(path) for path in sorted(folder.glob("*")) if (path / "spec.yaml").is_file()]


def stop(run: RunDir, *, save: bool = True, wait_s: float = 60.0) -> None:
    """Stop a run. With `save` it finishes its step and saves; otherwise, and while it is queued, it ends at once.

    Raises RunStateError if it has already ended.
    """
    status = run.status()
    if status.phase in ENDED:
        raise RunStateError(f"The run {run.run_id} has ended already: {status.phase}.")
    if save and status.phase is not Phase.QUEUED:
        run.ask("stop")
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if run.status().phase in ENDED:
                return
            time.sleep(0.1)
    kill(run)
    status = run.written_status()
    if status.phase not in ENDED:
        run.write_status(replace(status, phase=Phase.STOPPED, error=None, waits_for=None))


def kill(run: RunDir) -> None:
    """End the worker and all its children: first by request, then by force."""
    pid, started = run.process()
    if pid is not None:
        with contextlib.suppress(RunFolderError):  # a full disk must not keep it running
            run.ask("end")
        end_group(pid, started)


def resume(run: RunDir) -> None:
    """Continue from the newest checkpoint, with the same rows and seeds. Raises RunStateError."""
    status = run.status()
    if status.phase not in ENDED:
        raise RunStateError(f"The run {run.run_id} is still {status.phase}.")
    if status.phase is Phase.SUCCEEDED:
        raise RunStateError(f"The run {run.run_id} did all its steps: there is nothing to resume.")
    if run.job().get("stage"):
        raise RunStateError(f"The job of {run.run_id} has ended, and its disk is gone: start it again (rerun).")
    if run.checkpoint() is None and not run.job():
        raise RunStateError(f"The run {run.run_id} has no checkpoint to resume from: start it again.")
    for request in ("stop", "end"):
        run.forget(request)
    run.worker_file.unlink(missing_ok=True)
    run.write_status(replace(status, phase=Phase.QUEUED, error=None, suggestion=None))
    launch(run)


def rerun(run: RunDir) -> RunDir:
    """Start a new run of the same spec in the same folder of runs. Raises SpecError, RunFolderError."""
    return start(run.spec(), run.path.absolute().parent)


def rename(run: RunDir, name: str) -> None:
    """Rename a run; its spec and its id stay the same. Raises SpecError, RunFolderError."""
    said = " ".join(name.split())
    if not said or len(said) > LONGEST_NAME:
        problem = "is empty." if not said else f"is longer than {LONGEST_NAME} characters."
        raise SpecError([Problem(field="name", severity="error", message=problem, remedy="Choose another.")])
    write_text(run.name_file, said + "\n")


LONGEST_NAME = 100
"""Longest name of a run, in characters."""


def delete(run: RunDir) -> None:
    """Remove a run's folder. Raises RunStateError while it runs."""
    if run.status().phase not in ENDED:
        raise RunStateError(f"The run {run.run_id} is still {run.status().phase}: stop it first.")
    if run.job().get("id") and not run.job().get("stage"):
        raise RunStateError(f"The job of {run.run_id} may still run: resume the run, and stop it first.")
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise RunFolderError(f"{run.path} cannot be removed: {error.strerror}.") from error


def last_metrics(run: RunDir) -> dict[str, Any]:
    """The newest value of each metric."""
    merged: dict[str, Any] = {}
    for line in run.metrics():
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
        "names": [run.name for run in chosen],
        "settings": differing,
        "metrics": [last_metrics(run) for run in chosen],
    }
