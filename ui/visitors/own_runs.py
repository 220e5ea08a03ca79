"""The runs that a page shows: locally all of them; on an open page each visitor's own, removed when they leave."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

from gradio.context import LocalContext

from training.errors import Problem, RunNotFoundError, RunStateError, SpecError, TrainingError
from training.launch import answers, runs
from training.run.folder import ENDED, RunDir
from training.run.queue import VISITORS
from training.spec import RunSpec
from ui.visitors import access
from ui.visitors.sessions import at_the_end, session_of


def root() -> Path:
    """The folder of the current visitor's runs."""
    folder = runs.runs_root()
    if not _is_shared():
        return folder
    word = session_of(_request()).encode("utf-8", "surrogatepass")  # a value from the browser, which may be a path
    return folder / VISITORS / (hashlib.sha256(word).hexdigest()[:20] if word else "nobody")


def open_run(run_id: str) -> RunDir:
    """One of the visitor's runs. Raises RunNotFoundError."""
    if Path(run_id).name != run_id:
        raise RunNotFoundError(f"There is no run {run_id!r}.")
    return RunDir.open(root() / run_id)


def start(spec: RunSpec) -> RunDir:
    """Start a run, if the visitor may. Raises SpecError, RunFolderError."""
    check(spec)
    folder = root()
    if _is_shared() and not folder.exists():
        at_the_end(lambda: _remove(folder))
    if is_zero_gpu():
        from ui.visitors import zero_gpu

        return zero_gpu.start(spec, folder)
    answers.let_go()  # the run gets the memory
    return runs.start(spec, folder)


def is_zero_gpu() -> bool:
    """Whether the GPU is lent for one call at a time."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def rerun(run: RunDir) -> RunDir:
    """Start a new run of the same spec. Raises as `start`."""
    return start(run.spec())


def resume(run: RunDir) -> None:
    """Resume a run. Raises RunStateError."""
    if is_zero_gpu():
        raise RunStateError("On ZeroGPU a run cannot be resumed: its process is gone. Run it again.")
    answers.let_go()
    runs.resume(run)


def check(spec: RunSpec) -> None:
    """Raise SpecError for settings that the visitor may not use."""
    who = access.who_trains()
    if access.is_owner(_request()):
        return
    if who != "all":
        message = "is for the owner of this page."
        raise SpecError([Problem(field="training", severity="error", message=message, remedy="Sign in, if you are.")])
    access.check_spec(spec, folder=root())


def _is_shared() -> bool:
    return access.is_public() and not access.is_owner(_request())


def _request() -> Any:
    return LocalContext.request.get(None)


def _remove(folder: Path) -> None:
    """End the runs that are still active, and remove all of them."""
    for run in runs.list_runs(folder):
        with contextlib.suppress(TrainingError, OSError):
            answers.let_go(run)
            if run.status().phase not in ENDED:
                runs.kill(run)
    shutil.rmtree(folder, ignore_errors=True)
