"""Answers of a run's weights, before and after the training, from one process that keeps them for a while.

It belongs to the process that asks, and ends with the connection to it. A question about another run ends it and starts
one for that run. A run that begins also ends it, to get the memory.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inspector.paths import module
from training.errors import AnswerError, RunStateError
from training.launch import idle
from training.run.folder import RunDir
from training.run.processes import born, is_alive

IDLE_S = 300.0
"""Seconds that the process waits for another question."""
POLL_S = 0.2
"""Seconds between two checks of a question that waits for its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, complete or partial. `text`: without the token that ends it.

    `ids`, `prompt_ids`: those of the whole answer and of its prompt; empty until the answer is complete. `waits_for`:
    what the answer waits for, "" once it is being written.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    waits_for: str = ""


class _Process:
    """The process for one run: a fork of the waiting process with the libraries imported, or a new process."""

    def __init__(self, run: RunDir) -> None:
        self.run_path = run.path.absolute()
        self._in: Any = None
        self._out: Any = None
        self._folder = TemporaryDirectory(prefix="maskscope-")
        address = Path(self._folder.name, "answers")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(1)
        self._listener.settimeout(POLL_S)
        self._started: subprocess.Popen[bytes] | None = None
        self.pid = idle.take_answers(self.run_path, address) or self._start(address)
        self._born = born(self.pid)

    def _start(self, address: Path) -> int:
        self._started = subprocess.Popen(
            [sys.executable, "-m", module("training.answerer"), str(self.run_path), str(address)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=idle.worker_environment(), start_new_session=True,
        )  # fmt: skip
        return self._started.pid

    def is_alive(self) -> bool:
        return is_alive(self.pid, self._born)

    def _connect(self) -> None:
        """Wait until it has loaded the weights. Raises AnswerError."""
        while self._in is None:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if self.is_alive():
                    continue
                raise AnswerError(_GONE) from None
            connection.setblocking(True)
            self._in, self._out = (connection.makefile(mode, encoding="utf-8") for mode in ("r", "w"))
            connection.close()  # the files hold the error
            self._read()

    def ask(self, messages: Sequence[Any], *, is_trained: bool, max_new_tokens: int) -> Generator[Answer]:
        """The answer as it grows. It ends if the caller stops reading."""
        if self._in is None:
            yield Answer(waits_for="the weights")
            self._connect()
        self._write(messages=list(messages), is_trained=is_trained, max_new_tokens=max_new_tokens)
        value: dict[str, Any] = {}
        try:
            while "ids" not in value:
                value = self._read()
                yield Answer(
                    text=value["text"], ids=tuple(value.get("ids", ())), prompt_ids=tuple(value.get("prompt_ids", ()))
                )
        except GeneratorExit:
            with contextlib.suppress(AnswerError):  # the process is gone, and no more is needed
                self._write(stop=True)
                while "ids" not in value:
                    value = self._read()
            raise

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._started is not None:
            self._started.wait()
        for opened in (self._in, self._out, self._listener):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.close()
        self._folder.cleanup()

    def _write(self, **value: Any) -> None:
        try:
            self._out.write(json.dumps(value) + "\n")
            self._out.flush()
        except OSError as error:
            raise AnswerError(_GONE) from error

    def _read(self) -> dict[str, Any]:
        try:
            line = self._in.readline()
        except OSError:
            line = ""
        if not line.endswith("\n"):
            raise AnswerError(_GONE)
        value = dict(json.loads(line))
        if "error" in value:
            raise AnswerError(f"The weights gave no answer: {value['error']}")
        return value


_GONE = "The process that holds the weights ended without a message: it was probably killed, or ran out of memory."
_turn = threading.Lock()
_held: _Process | None = None
_timer: threading.Timer | None = None


def ask(run: RunDir, messages: Sequence[Any], *, is_trained: bool, max_new_tokens: int = 256) -> Iterator[Answer]:
    """The answer of a run's weights to messages, yielded repeatedly as it grows; the last one is complete.

    `is_trained`: whether to use the weights after the training, or those before it. One question is answered at a time;
    the others wait. Raises AnswerError, and as `check`.
    """
    check(run)
    while not _turn.acquire(timeout=POLL_S):
        yield Answer(waits_for="another question")
    try:
        _stop_timer()
        with closing(_process_of(run).ask(messages, is_trained=is_trained, max_new_tokens=max_new_tokens)) as answers:
            yield from answers
    except AnswerError:
        _let_go()  # its state is unknown, so the next question gets a new one
        raise
    finally:
        if _held is not None:
            _start_timer()
        _turn.release()


def check(run: RunDir) -> None:
    """Raise RunStateError for a run without weights that answer, SpecError for one whose spec was changed."""
    if run.spec().facts.is_reward:
        raise RunStateError(f"The run {run.label} trained a reward model: it gives numbers and writes no text.")
    if not run.has_weights:
        raise RunStateError(f"The run {run.label} has no weights yet: let it train first.")


def let_go(run: RunDir | None = None) -> None:
    """End the process if it holds the weights of this run, or of any run. No effect while it writes an answer."""
    if not _turn.acquire(blocking=False):
        return
    try:
        if _held is not None and (run is None or run.path.absolute() == _held.run_path):
            _let_go()
    finally:
        _turn.release()


def is_held() -> bool:
    """Whether a process holds weights."""
    return _held is not None and _held.is_alive()


def _process_of(run: RunDir) -> _Process:
    """Needs the turn to be held."""
    global _held
    if _held is None or _held.run_path != run.path.absolute() or not _held.is_alive():
        _let_go()
        try:
            _held = _Process(run)
        except OSError as error:
            raise AnswerError(f"The process that answers could not be started: {error.strerror}.") from error
    return _held


def _let_go() -> None:
    global _held
    process, _held = _held, None
    _stop_timer()
    if process is not None:
        process.close()


def _start_timer() -> None:
    global _timer
    _timer = threading.Timer(IDLE_S, let_go)
    _timer.daemon = True
    _timer.start()


def _stop_timer() -> None:
    if _timer is not None:
        _timer.cancel()


atexit.register(_let_go)
