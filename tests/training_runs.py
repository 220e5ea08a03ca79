"""Runs for tests: small, started from a warm worker where there is one, and looked at until they end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import HANG_S, wait_until

from training import idle, runs, worker
from training.rundir import ENDED, RunDir, Status
from training.spec import parse_spec

ROOT = Path(__file__).parents[1]
DATA = str(ROOT / "examples" / "data" / "question-answer.csv")
FAST = {"model": "tiny-chat", "data": DATA, "learning_rate": 5e-3, "seed": 1, "sampling": {"max_new_tokens": 16}}


def begin(root: Path, **fields: Any) -> RunDir:
    """Start a run from the worker that waits: the session imports the libraries once."""
    with waiting_worker():
        return runs.start(parse_spec({**FAST, **fields}), root)


def go_on(run: RunDir) -> None:
    """Resume a run."""
    with waiting_worker():
        runs.resume(run)


def run_here(root: Path, **fields: Any) -> RunDir:
    """A run that this process works at, to its end: a worker of its own would import the libraries for it again."""
    run = RunDir.create(root, parse_spec({**FAST, **fields}))
    before = signal.getsignal(signal.SIGTERM)
    try:
        worker.main(run.path)
    finally:
        signal.signal(signal.SIGTERM, before)
    return run


@contextlib.contextmanager
def waiting_worker() -> Iterator[None]:
    """A worker waits with its libraries imported. It serves the environment it was started in, and pytest tells each
    test's name by that.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        runs.warm_up()
        wait_until(idle.is_warm)
        yield


def wait_for(run: RunDir, is_reached: Callable[[Status], bool], seconds: float = HANG_S) -> Status:
    """Wait for a state."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = run.status()
        if is_reached(status):
            return status
        time.sleep(0.01)
    raise AssertionError((run.status(), run.log_tail()))


def ended(status: Status) -> bool:
    """Whether the run is over."""
    return status.phase in ENDED


def family(run: RunDir) -> list[psutil.Process]:
    """The worker and all that it has started."""
    pid, _ = run.process()
    worker = psutil.Process(pid)
    return [worker, *worker.children(recursive=True)]


def assert_nothing_runs(run: RunDir, known: list[psutil.Process] = []) -> None:  # noqa: B006
    """Neither the worker nor a process of its group, nor one that it was known to have started."""
    pid, _ = run.process()
    until = time.monotonic() + HANG_S
    while time.monotonic() < until:
        left = [process for process in known if _runs(process)] + [p for p in psutil.process_iter() if _is_of(p, pid)]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(left)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_of(process: psutil.Process, group: int | None) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
