"""Processes that audit for a server, one for each running audit. They stay alive, at a low priority.

They are forked from a process with everything imported, and keep their sandbox from one audit to the next.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, parent_process
from typing import Any

from inspector.paths import import_settings, module

WAITS = 10
"""The nice value of the processes."""
_PRELOADED = [
    module("inspector.model.without_torch"), module("inspector.audit.run"), "transformers.tokenization_utils_tokenizers"
]  # fmt: skip
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
    with _changed(import_settings()):
        forkserver.ensure_running()
    return ProcessPoolExecutor(1, context, initializer=_be_nice)


@contextmanager
def _changed(settings: Mapping[str, str]) -> Iterator[None]:
    """With these variables in the environment."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone, even if that was killed."""
    parent = parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()


def _be_nice() -> None:
    end_with_parent()
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
