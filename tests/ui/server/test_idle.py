"""A page that nobody uses costs next to nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.page import build_page


def test_the_queue_rests_between_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """gradio's looks for events and for progress are a hundredth of a second apart, or more."""
    queue, waits = build_page()._queue, []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        queue.stopped = len(waits) >= 20

    async def look() -> None:
        await asyncio.gather(queue.start_processing(), queue.start_progress_updates())

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with ThreadPoolExecutor(1) as thread:  # playwright's loop runs in this one
        thread.submit(asyncio.run, look()).result()
    assert min(waits) >= 0.01
