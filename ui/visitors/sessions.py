"""What a visitor leaves behind, and that it goes with them: jobs are stopped, folders removed."""

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
    """Have something done when the visitor who is being served has left; nothing where nobody is."""
    session = session_of(LocalContext.request.get(None))
    if session:
        with _LOCK:
            _LEFT[session].append(clean)


def on_leave(request: gr.Request) -> None:
    """The visitor has left: their page was closed, or their connection was lost for long."""
    with _LOCK:
        waiting = _LEFT.pop(session_of(request), [])
    for clean in waiting:
        clean()


def session_of(request: Any) -> str:
    """The session's own word; "" outside of one."""
    return str(getattr(request, "session_hash", None) or "")


def open_sessions() -> int:
    """How many sessions have something to be cleaned."""
    with _LOCK:
        return len(_LEFT)
