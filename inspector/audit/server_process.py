"""Processes that audit for a server, one for each running audit. They stay alive, at a low priority.

They are forked from a process with everything imported, and keep their sandbox from one audit to the next.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import Any

WAITS = 10
"""The nice value of the processes."""
_PRELOADED = ["inspector.model.without_torch", "inspector.audit.run", "transformers.tokenization_utils_tokenizers"]
_IDLE: list[ProcessPoolExecutor] = []
_LOCK = threading.Lock()


@contextmanager
def helper() -> Iterator[ProcessPoolExecutor]:
    """A process that does submitted work in order. It is kept for the next audit, unless it was killed."""
    with _LOCK:
        pool = _IDLE.pop() if _IDLE else None
    pool = pool or _started()
    try:
        yield pool
    finally:
        if getattr(pool, "_broken", False):
            pool.shutdown(wait=False, cancel_futures=True)
        else:
            with _LOCK:
                _IDLE.append(pool)


def _started() -> ProcessPoolExecutor:
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return ProcessPoolExecutor(1, context, initializer=_be_nice)


def _be_nice() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with suppress(AttributeError, OSError):
        os.nice(WAITS)


def warm_up(work: Callable[[], Any]) -> None:
    """Start a process and warm it up, so that it is ready when it is needed."""
    with helper() as pool:
        pool.submit(work).result()


def shut_down() -> None:
    """End the idle processes."""
    with _LOCK:
        ended, _IDLE[:] = list(_IDLE), []
    for pool in ended:
        pool.shutdown(wait=True, cancel_futures=True)
