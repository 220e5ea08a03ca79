"""One worker that waits for a run with its libraries imported, so that a click is answered in a second or two.

It belongs to the process that asked for it and ends with it, however that ends: its standard input is a pipe from
there. What comes through the pipe is the folder of a run; from then on it is that run's worker and lives on alone.
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

READY = b"ready"
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class _Idle:
    """The process, and what it was started with: a run of another environment or folder needs another."""

    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    folder: str


_lock = threading.Lock()
_waiting: _Idle | None = None
_is_wanted = False


def warm_up() -> None:
    """See to it that a worker waits for the next run. Returns at once; without effect where one waits already."""
    global _waiting, _is_wanted
    with _lock:
        _is_wanted = True
        if _waiting is not None and _waiting.process.poll() is None and _suits(_waiting):
            return
        _let_go()
        with contextlib.suppress(OSError):  # without one, runs take longer to start: nothing else
            process = subprocess.Popen(
                [*command(), "--idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=worker_environment(), start_new_session=True,
            )  # fmt: skip
            _waiting = _Idle(process, worker_environment(), os.getcwd())


def cool_down() -> None:
    """Let the waiting worker go, and start no other."""
    global _is_wanted
    with _lock:
        _is_wanted = False
        _let_go()


atexit.register(cool_down)


def is_warm() -> bool:
    """Whether a worker waits with everything imported."""
    with _lock:
        if _waiting is None or _waiting.process.poll() is not None or _waiting.process.stdout is None:
            return False
        return bool(select.select([_waiting.process.stdout], [], [], 0)[0])


def take() -> subprocess.Popen[bytes] | None:
    """The waiting worker, for one run; None where there is none that suits. One that still imports is ahead, too.

    After that run another one is warmed up.
    """
    global _waiting
    with _lock:
        idle, _waiting = _waiting, None
    if idle is None or idle.process.poll() is not None or not _suits(idle):
        _close(idle)
        return None
    threading.Thread(target=_warm_after, args=(idle.process,), name="warm-after", daemon=True).start()
    return idle.process


def hand_over(worker: subprocess.Popen[bytes], folder: Path) -> None:
    """Tell a worker which run is its own. Raises OSError when it is gone."""
    if worker.stdin is None or worker.stdout is None:
        raise BrokenPipeError
    worker.stdin.write(os.fsencode(folder) + b"\n")
    worker.stdin.close()
    worker.stdout.close()


def command() -> list[str]:
    """How a worker is started."""
    return [sys.executable, "-m", "training.worker"]


def worker_environment() -> dict[str, str]:
    """This process's environment, with what keeps the libraries quiet."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _suits(idle: _Idle) -> bool:
    return idle.environment == worker_environment() and idle.folder == os.getcwd()


def _let_go() -> None:
    """The lock is held."""
    global _waiting
    idle, _waiting = _waiting, None
    _close(idle)


def _close(idle: _Idle | None) -> None:
    if idle is None:
        return
    for pipe in (idle.process.stdin, idle.process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    threading.Thread(target=idle.process.wait, name="idle-ends", daemon=True).start()


def _warm_after(worker: subprocess.Popen[bytes]) -> None:
    worker.wait()
    if _is_wanted:
        warm_up()
