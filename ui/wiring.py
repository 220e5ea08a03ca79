"""Connects events to handlers that take and give values by name.

A handler gets the page's `Boxes` (after the values of further widgets, where it asks for them) and returns the new
values of those boxes that change, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import gradio as gr

from ui.boxes import Boxes

Changes = Mapping[str, Any]
"""New values by the names of their widgets."""

INPUTS = tuple(field.name for field in fields(Boxes))


class Wires:
    """The page's widgets by name, and what connects them."""

    def __init__(self, widgets: Mapping[str, Any]) -> None:
        self._widgets = widgets

    def __getitem__(self, name: str) -> Any:
        return self._widgets[name]

    def on(
        self,
        triggers: Any,
        handler: Callable[..., Changes],
        changes: Sequence[str],
        *,
        also: Sequence[Any] = (),
        with_event: bool = False,
        is_latest: bool = False,
    ) -> None:
        """Call `handler(*values of also, boxes)` on these events; it may change the widgets named.

        `with_event`: what the event carries, a mapping, comes first of all. `is_latest`: of the events that come while
        one is handled only the last counts.
        """
        listen = partial(gr.on, triggers) if isinstance(triggers, list) else triggers  # gr.on knows no events of ours
        listen(
            _by_position(handler, changes, with_event),
            [*also, *(self._widgets[name] for name in INPUTS)],
            [self._widgets[name] for name in changes],
            trigger_mode="always_last" if is_latest else "once",
            **_QUIET,
        )

    def on_load(self, demo: gr.Blocks, handler: Callable[[str], Changes], names: Sequence[str]) -> None:
        """Call `handler(address fragment)` when the page is opened; it may change the widgets named."""
        fragment = gr.Textbox(visible=False)
        demo.load(
            lambda text: _listed(handler, handler(text), names),
            [fragment],
            [self._widgets[name] for name in names],
            js="() => [window.location.hash.slice(1)]",
            **_QUIET,
        )


_QUIET: Mapping[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": 4,
    "concurrency_id": "inspect",
    "api_visibility": "private",
}


def _by_position(handler: Callable[..., Changes], names: Sequence[str], with_event: bool) -> Callable[..., list[Any]]:
    """The handler as gradio calls it: one value per input in, one per output out."""

    def run(*values: Any) -> list[Any]:
        boxes = Boxes(**dict(zip(INPUTS, values[-len(INPUTS) :], strict=True)))
        return _listed(handler, handler(*values[: -len(INPUTS)], boxes), names)

    def run_with_event(event: gr.EventData, *values: Any) -> list[Any]:
        return run(event._data if isinstance(event._data, dict) else {}, *values)

    return run_with_event if with_event else run


def _listed(handler: Callable[..., Changes], changes: Changes, names: Sequence[str]) -> list[Any]:
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise KeyError(f"{handler.__name__} changes {unknown}, which its event does not name")
    return [changes.get(name, gr.skip()) for name in names]
