"""One process that waits for runs with a worker's libraries imported, so that a click is answered in a second or two.

It belongs to the process that asked for it and ends with it in any case: its standard input is a pipe from there. The
pipe transmits the folder of a run. The process forks that run's worker, which lives on alone, and waits for the next
run. If it cannot fork one (it still imports, or there is a GPU, whose driver a fork cannot use) it becomes that worker
itself.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inspector.paths import import_settings, module

READY = b"ready"
FORK, BECOME, ANSWER = b"fork", b"become", b"answer"
"""The kind of a request, sent before the folder: fork a worker, or become it; or fork a process that answers with the
run's weights, in which case the path of a socket and a zero byte come before the folder."""


@dataclass
class _Idle:
    """The process, its environment and its folder: a run with other ones needs another process."""

    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    folder: str
    has_imported: bool = False

    def is_warm(self) -> bool:
        """Whether it has reported that everything is imported."""
        stdout = self.process.stdout
        if not self.has_imported and stdout is not None and select.select([stdout], [], [], 0)[0]:
            self.has_imported = os.read(stdout.fileno(), len(READY)) == READY
        return self.has_imported and self.process.poll() is None

    def ask(self, folder: Path) -> int:
        """The number of the process that now works on a run. Raises OSError if this process is gone."""
        if self.process.poll() is not None:
            raise BrokenPipeError
        if self.is_warm():
            return self._forked(FORK, folder)
        self._write(BECOME, folder)
        return self.process.pid

    def ask_answers(self, folder: Path, address: Path) -> int | None:
        """The number of a process that now answers at a socket; None if this process cannot fork one. Raises OSError if
        this process is gone."""
        return (self._forked(ANSWER, address, folder) or None) if self.is_warm() else None

    def _write(self, what: bytes, *paths: Path) -> None:
        if self.process.stdin is None:
            raise BrokenPipeError
        self.process.stdin.write(what + b" " + b"\0".join(map(os.fsencode, paths)) + b"\n")
        self.process.stdin.flush()

    def _forked(self, what: bytes, *paths: Path) -> int:
        """Request another process; returns its number."""
        self._write(what, *paths)
        number = b"" if self.process.stdout is None else self.process.stdout.readline()
        if not number.endswith(b"\n"):
            raise BrokenPipeError
        return int(number)


_lock = threading.Lock()
_waiting: _Idle | None = None
_is_wanted = False


def warm_up() -> None:
    """Make sure that a worker waits for the next run. Returns at once; no effect if one is already waiting."""
    global _waiting, _is_wanted
    with _lock:
        _is_wanted = True
        if _waiting is not None and _waiting.process.poll() is None and _suits(_waiting):
            return
        _let_go()
        with contextlib.suppress(OSError):  # without one, runs only take longer to start
            process = subprocess.Popen(
                [*command(), "--idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=worker_environment(), start_new_session=True,
            )  # fmt: skip
            _waiting = _Idle(process, worker_environment(), os.getcwd())


def cool_down() -> None:
    """End the waiting worker, and start no other."""
    global _is_wanted
    with _lock:
        _is_wanted = False
        _let_go()


atexit.register(cool_down)


def is_warm() -> bool:
    """Whether a worker waits with everything imported."""
    with _lock:
        return _waiting is not None and _waiting.is_warm()


def take(folder: Path) -> int | None:
    """Give a run to the waiting process; returns the number of the process that works on it, None if none is suitable.

    A process that has to work on the run itself is replaced after that run.
    """
    global _waiting
    with _lock:
        idle, _waiting = _waiting, None
        if idle is None or not _suits(idle):
            _close(idle)
            return None
        try:
            pid = idle.ask(folder)
        except OSError:  # it has just ended
            _close(idle)
            return None
        if pid != idle.process.pid:
            _waiting = idle
            return pid
    threading.Thread(target=_warm_after, args=(idle.process,), name="warm-after", daemon=True).start()
    _close_pipes(idle)
    return pid


def take_answers(folder: Path, address: Path) -> int | None:
    """Make the waiting process fork one that answers with a run's weights at a socket; returns its number, None if that
    is not possible."""
    with _lock:
        if _waiting is None or not _suits(_waiting):
            return None
        try:
            return _waiting.ask_answers(folder, address)
        except OSError:
            return None


def command() -> list[str]:
    """The command that starts a worker."""
    return [sys.executable, "-m", module("training.worker")]


def worker_environment() -> dict[str, str]:
    """This process's environment, with settings that keep the libraries quiet."""
    return {
        **os.environ,
        **import_settings(),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _suits(idle: _Idle) -> bool:
    return idle.environment == worker_environment() and idle.folder == os.getcwd()


def _let_go() -> None:
    """Needs the lock to be held."""
    global _waiting
    idle, _waiting = _waiting, None
    _close(idle)


def _close(idle: _Idle | None) -> None:
    """End it: it works on no run, and need not finish its imports."""
    if idle is None:
        return
    idle.process.kill()
    _close_pipes(idle)
    threading.Thread(target=idle.process.wait, name="idle-ends", daemon=True).start()


def _close_pipes(idle: _Idle) -> None:
    for pipe in (idle.process.stdin, idle.process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _warm_after(worker: subprocess.Popen[bytes]) -> None:
    worker.wait()
    if _is_wanted:
        warm_up()
