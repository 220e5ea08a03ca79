"""Wait for an event, however busy the machine is: the limit is against hanging only."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 600.0
"""After so long something hangs. Nothing here takes a tenth of it on an idle machine."""


def wait_until(condition: Callable[[], object], what: Callable[[], object] = lambda: "it has not happened") -> None:
    """Wait until something is so. `what`: said when it never is."""
    until = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < until, what()
        time.sleep(0.02)
