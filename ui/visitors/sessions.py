"""Clean-up after a visitor leaves: jobs are stopped, folders removed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import LocalContext

_LOCK = threading.Lock()
_LEFT: defaultdict[str, list[Callable[[], Any]]] = defaultdict(list)


def at_the_end(clean: Callable[[], Any]) -> None:
    """Register an action for when the current visitor has left; no effect without a visitor."""
    session = session_of(LocalContext.request.get(None))
    if session:
        with _LOCK:
            _LEFT[session].append(clean)


def on_leave(request: gr.Request) -> None:
    """Handle a visitor's departure: the page was closed, or the connection was lost for a long time."""
    with _LOCK:
        waiting = _LEFT.pop(session_of(request), [])
    for clean in waiting:
        clean()


def session_of(request: Any) -> str:
    """The session's id; "" outside of a session."""
    return str(getattr(request, "session_hash", None) or "")


def open_sessions() -> int:
    """The number of sessions with registered actions."""
    with _LOCK:
        return len(_LEFT)
