"""Processes by number and start time: checks whether one still runs, and ends one with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

GRACE_S = 10.0
"""Seconds that a worker may take to end before it is killed."""


def is_alive(pid: int, started: float | None) -> bool:
    """Whether this same process still runs: a number that was reused for another process does not count."""
    try:
        process = psutil.Process(pid)
        is_same = started is None or abs(process.create_time() - started) < 1.0
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def born(pid: int) -> float:
    """The start time of a process, in seconds since the epoch; 0 if it has already ended."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def end_group(pid: int, started: float | None) -> None:
    """End the leader of a process group, first by request, then by force; then the rest of its group and its children:
    a launcher's processes have their own groups."""
    if not is_alive(pid, started):
        return
    family = _family(pid)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        _signal(pid, sent)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until:
            if not is_alive(pid, started):
                _signal(pid, signal.SIGKILL)
                _kill(family)
                return
            time.sleep(0.05)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
