"""Long work in a separate thread: it can be watched and asked to stop, and the number of running jobs is limited."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

AT_A_TIME = 2
"""Maximum number of jobs of all visitors that run at the same time; the others wait."""
_SLOTS = threading.BoundedSemaphore(AT_A_TIME)
_POLL_S = 0.2

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work that is running, has ended, or was asked to stop.

    `progress`: the last report of the work, None before the first. `result`: its return value; `error`: the exception
    that it raised instead. Both are None until it is done, and if it was stopped before it began.
    """

    def __init__(self, work: Callable[[Job[Result]], Result]) -> None:
        self._work = work
        self._stop, self._done = threading.Event(), threading.Event()
        self.has_begun = False
        self.progress: Any = None
        self.result: Result | None = None
        self.error: Exception | None = None

    def start(self) -> Job[Result]:
        """Start, or wait in the queue."""
        threading.Thread(target=self._run, name="job", daemon=True).start()
        return self

    def stop(self) -> None:
        """Ask the work to end with its result so far."""
        self._stop.set()

    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def is_done(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, after waiting up to `within_s` for that."""
        return self._done.wait(within_s)

    def _run(self) -> None:
        try:
            while not _SLOTS.acquire(timeout=_POLL_S):
                if self.is_stopping():
                    return
            try:
                if not self.is_stopping():
                    self.has_begun = True
                    self.result = self._work(self)
            finally:
                _SLOTS.release()
        except Exception as error:  # reported to the watcher
            self.error = error
        finally:
            self._done.set()


class Latest:
    """The latest job of a page; each visitor has one.

    `number`: the number of the last request; earlier requests must not start any more. `about`: the current subject of
    the page, None if there is none.
    """

    def __init__(self) -> None:
        self.number = 0
        self.about: str | None = None
        self._job: Job[Any] | None = None

    def start(self, job: Job[Result]) -> Job[Result]:
        """Start a job in place of the previous one."""
        self.drop()
        self._job = job
        return job.start()

    def drop(self) -> int:
        """End the running job without showing its result. Returns a new number, for the next request."""
        self.stop()
        self._job = None
        self.number += 1
        return self.number

    def stop(self) -> bool:
        """Ask the running job to end with its result so far; False if there is none."""
        if not self.is_running:
            return False
        self._job.stop()
        return True

    def counts(self, job: Job[Any]) -> bool:
        """Whether this job is still the latest: no other was started since, and it was not dropped."""
        return self._job is job

    @property
    def is_running(self) -> bool:
        """Whether the latest job is still running."""
        return self._job is not None and not self._job.is_done()
