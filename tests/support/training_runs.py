"""Runs for tests: small, started from a warm worker where there is one, and looked at until they end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.waiting import HANG_S, wait_until
from training import worker
from training.launch import idle, runs
from training.run.folder import ENDED, RunDir, Status
from training.run.journal import Journal
from training.spec import parse_spec

ROOT = Path(__file__).parents[2]
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


class _Endpoint(BaseHTTPRequestHandler):
    """Answers when it is allowed to."""

    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.is_asked.set()
        self.server.may_answer.wait(HANG_S)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"choices": [{"message": {"content": "Hm."}}]}')

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoint)
        self.is_asked, self.may_answer = threading.Event(), threading.Event()


@contextlib.contextmanager
def held(start: Callable[..., RunDir], **fields: Any) -> Iterator[RunDir]:
    """A run that has its rows, and makes no step until this ends: it waits for an endpoint's answers meanwhile."""
    with _Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = {"url": f"http://127.0.0.1:{server.server_port}", "model": "patience"}
        try:
            run = start(**{**fields, "sampling": {**fields.get("sampling", FAST["sampling"]), "endpoint": endpoint}})
            wait_until(lambda: server.is_asked.is_set() or ended(run.status()), lambda: run.log_tail())
            yield run
            server.may_answer.set()
            wait_until(lambda: any(one["when"] == "endpoint" for one in run.samples()) or ended(run.status()))
        finally:
            server.may_answer.set()
            server.shutdown()


@contextlib.contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Somebody stops the run that this process works at, right after a step of it."""
    say, stoppers = Journal.say, []

    def said(journal: Journal, **changes: Any) -> None:
        say(journal, **changes)
        if changes.get("step") == step and not stoppers:
            stoppers.append(threading.Thread(target=runs.stop, args=(journal.run,), kwargs={"wait_s": HANG_S}))
            stoppers[0].start()
            wait_until(lambda: journal.run.is_asked("stop"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "say", said)
        yield
    stoppers[0].join()


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
        time.sleep(0.03)
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
