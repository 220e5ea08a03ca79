"""One run at a time on a device: the others wait in the order of their requests.

The lock is a file in `.queue` of the runs folder, flock'ed by the worker that trains; each waiting worker holds a
ticket, which is also flock'ed. The kernel releases a lock when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from training.errors import RunFolderError, TrainingError
from training.run.folder import RunDir

VISITORS = "visitors"
"""The folder, next to the runs, with a folder of runs for each visitor."""
POLL_S = 0.2
"""Seconds between two checks of a waiting run."""


@contextlib.contextmanager
def turn(run: RunDir, device: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Wait for the device, and hold it inside the `with`.

    `waiting` is called at every check with the id of the run in front; an error that it raises ends the wait. Raises
    RunFolderError.
    """
    folder = _folder(run)
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(exist_ok=True)
            ticket = folder / f"{device}-{time.time_ns()}-{run.run_id}"
            file = held.enter_context(ticket.open("a"))
            held.callback(ticket.unlink, missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_EX)
            lock = held.enter_context((folder / device).open("a+"))
            while (ahead := _ahead(ticket)) or not _take(lock.fileno()):
                waiting(ahead or _read(lock.fileno()))
                time.sleep(POLL_S)
            ticket.unlink(missing_ok=True)
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), run.run_id.encode())
        except TrainingError:
            raise
        except OSError as error:
            raise RunFolderError(f"The queue {folder} cannot be used: {error.strerror}.") from error
        yield


def _folder(run: RunDir) -> Path:
    """The queue for the runs of a folder; visitors, who each have a folder, share one."""
    runs = run.path.absolute().parent
    return (runs.parents[1] if runs.parent.name == VISITORS else runs) / ".queue"


def _ahead(ticket: Path) -> str:
    """The id of the first run that requested the device earlier, or "". Removes tickets of runs that are gone."""
    device = ticket.name.split("-", 1)[0]
    for path in sorted(ticket.parent.glob(f"{device}-*")):
        if path == ticket:
            return ""
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            if not _take(file.fileno(), fcntl.LOCK_SH):
                return path.name.split("-", 2)[2]
            path.unlink(missing_ok=True)
    return ""


def _take(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode("utf-8", "replace")
