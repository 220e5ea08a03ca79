"""Long work in a thread of its own: it can be watched and asked to stop, and only so much of it is done at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

AT_A_TIME = 2
"""Jobs of all visitors that work at the same time; the others wait."""
_SLOTS = threading.BoundedSemaphore(AT_A_TIME)
_POLL_S = 0.2

Result = TypeVar("Result")


class Job(Generic[Result]):
    """Work that is under way, has ended, or was asked to stop.

    `progress`: the last that the work said about itself, None before. `result`: what it returned; `error`: what it
    raised instead. Both are None until it is done, and when it was stopped before it began.
    """

    def __init__(self, work: Callable[[Job[Result]], Result]) -> None:
        self._work = work
        self._stop, self._done = threading.Event(), threading.Event()
        self.has_begun = False
        self.progress: Any = None
        self.result: Result | None = None
        self.error: Exception | None = None

    def start(self) -> Job[Result]:
        """Begin, or get in line."""
        threading.Thread(target=self._run, name="job", daemon=True).start()
        return self

    def stop(self) -> None:
        """Ask the work to end; what it has until then is its result."""
        self._stop.set()

    def is_stopping(self) -> bool:
        """Whether it was asked to."""
        return self._stop.is_set()

    def is_done(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, waiting so long for that."""
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
        except Exception as error:  # told to who watches
            self.error = error
        finally:
            self._done.set()


class Latest:
    """Of the jobs that a page has started the one that counts; each visitor has one.

    `number`: of what was asked for last. What was asked for before it is not to be begun any more. `about`: what the
    page is about now, None where that is nothing.
    """

    def __init__(self) -> None:
        self.number = 0
        self.about: str | None = None
        self._job: Job[Any] | None = None

    def start(self, job: Job[Result]) -> Job[Result]:
        """Begin it in the place of the one before."""
        self.drop()
        self._job = job
        return job.start()

    def drop(self) -> int:
        """End what works: what it has found is not to be shown. A new number, for what is asked for next."""
        self.stop()
        self._job = None
        self.number += 1
        return self.number

    def stop(self) -> bool:
        """Ask what works to end with what it has; False where nothing does."""
        if not self.is_running:
            return False
        self._job.stop()
        return True

    def counts(self, job: Job[Any]) -> bool:
        """Whether no other was started since, and this one not dropped."""
        return self._job is job

    @property
    def is_running(self) -> bool:
        """Whether the one that counts still works."""
        return self._job is not None and not self._job.is_done()
