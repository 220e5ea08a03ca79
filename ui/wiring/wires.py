"""Connects events to handlers that take and return values by name.

A handler gets dataclasses whose fields are names of widgets, by default the page's `Boxes` (after the values of further
widgets, if it requests them), and returns the new values of the changed widgets, by name; a stream yields them
repeatedly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from functools import partial
from itertools import chain, islice
from typing import Any

import gradio as gr

from ui.wiring.answers import About, Answer, Answers
from ui.wiring.boxes import Boxes

Changes = Mapping[str, Any]
"""New values by the names of their widgets."""

INPUTS = tuple(field.name for field in fields(Boxes))
_LIMITS = {"inspect": 4, "data": 4, "train": 4, "stream": 16}
"""The queues, and the number of events of each that are handled at a time. A stream waits for a job, which has its own
queue."""


class Wires:
    """The page's widgets by name, and their connections."""

    def __init__(self, widgets: Mapping[str, Any]) -> None:
        self._widgets = widgets
        self.missing = gr.State(0)
        """Counts the dropped views: its change requests another view."""

    def __getitem__(self, name: str) -> Any:
        return self._widgets[name]

    def on(
        self,
        triggers: Any,
        handler: Callable[..., Changes | Iterator[Changes]],
        changes: Sequence[str],
        *,
        also: Sequence[Any] = (),
        reads: Sequence[type] = (Boxes,),
        with_event: bool = False,
        is_latest: bool = False,
        is_stream: bool = False,
        is_overlapping: bool = False,
        dropdown: str = "",
        about: About = About.BOXES,
        says: str = "",
        is_load: bool = False,
        queue: str = "inspect",
    ) -> None:
        """Call `handler(*values of also, *values of reads)` on these events; it may change the widgets named.

        A request in the queue "inspect" reads the `Boxes` last, and its answer is shown only if it is not stale by then
        (answers.py). `reads`: dataclasses whose fields are names of widgets. `with_event`: the event's data, a mapping,
        comes first. `is_latest`: of the events that come while one is handled only the last counts. `is_stream`: the
        handler yields changes, takes no event, and is closed when the page is. `is_overlapping`: the next event does
        not wait for the end of the previous one. `dropdown`: the id of the triggering dropdown, which is the first of
        `also`; the handler gets None if it was left unchanged. `about`: the boxes that the answer depends on; `says`:
        the report that mentions a dropped answer. `is_load`: another model is requested, and other requests wait for
        it. `queue`: events of one queue wait for each other.
        """
        listen = partial(gr.on, triggers) if isinstance(triggers, list) else triggers  # gr.on knows no events of ours
        names = [field.name for dataclass in reads for field in fields(dataclass)]
        gather = partial(_arguments, len(also), reads)
        queue = "stream" if is_stream else queue
        first = int(queue == "inspect")  # of its inputs; the pending answers come before it
        places = {name: place for place, name in enumerate(names, first + len(also))}
        inputs = [*also, *(self._widgets[name] for name in names)]
        is_multiple = is_load or is_overlapping
        event: dict[str, Any] = {
            "trigger_mode": "multiple" if is_multiple else "always_last" if is_latest or dropdown else "once",
            "js": _script(first, dropdown, places if is_load else {}),
            **_QUIET, "concurrency_id": queue, "concurrency_limit": _LIMITS[queue],
        }  # fmt: skip
        if queue != "inspect":
            run = _stream(handler, changes, gather) if is_stream else _by_position(handler, changes, gather, with_event)
            listen(run, inputs, [self._widgets[name] for name in changes], **event)
            return
        waiting = gr.State(Answers())
        ask = _asking(handler, changes, gather, with_event, says if about is About.BOXES else "")
        asked = listen(ask, [waiting, *inputs], None, **event)
        self._show(asked, waiting, changes, about, says)

    def _show(self, asked: Any, waiting: gr.State, changes: Sequence[str], about: About, says: str) -> None:
        """Show the answers that are not stale."""
        boxes = [self._widgets[name] for name in INPUTS]

        def show(answers: Answers, missing: int, *values: Any) -> Any:
            found, is_missing = answers.take(Boxes(**dict(zip(INPUTS, values, strict=True))), about, says)
            return [missing + 1 if is_missing else gr.skip(), *_in_order(found, changes)]

        outputs = [self.missing, *(self._widgets[name] for name in changes)]
        then = asked.then(show, [waiting, self.missing, *boxes], outputs, queue=False, **_QUIET)
        if "loaded" in changes:
            self._tell_loaded(then)
            asked.failure(None, None, None, js="() => { window.modelShown(null); }", **_QUIET)

    def _tell_loaded(self, then: Any) -> None:
        """Tell loading.js which model is shown."""
        then.then(None, [self._widgets["loaded"]], None, js="loaded => { window.modelShown(loaded); }", **_QUIET)

    def on_load(
        self, demo: gr.Blocks, handler: Callable[[str], Changes], names: Sequence[str], fields: Sequence[str] = ()
    ) -> None:
        """Call `handler(address)` when the page is opened; it may change the widgets named.

        The address is its fragment, or its query if that has one of the `fields`, or the kept fragment of the last
        visit.
        """
        fragment = gr.Textbox(visible=False)
        opened = demo.load(
            lambda text: _listed(handler, handler(text), names),
            [fragment],
            [self._widgets[name] for name in names],
            js=f"() => [window.addressAsked({json.dumps(fields)})]",
            **_QUIET,
            concurrency_id="inspect",
            concurrency_limit=_LIMITS["inspect"],
        )
        self._tell_loaded(opened)


_QUIET: Mapping[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def _arguments(also: int, reads: Sequence[type], values: Sequence[Any]) -> list[Any]:
    """The arguments of a handler, from the values of all its widgets. Text becomes a plain str: gradio names a file by
    its own subclass of str, which YAML and pickle do not know."""
    plain = iter([str(value) if isinstance(value, str) else value for value in values])
    further = list(islice(plain, also))
    return [*further, *(cls(**{field.name: next(plain) for field in fields(cls)}) for cls in reads)]


def _script(first: int, dropdown: str, places: Mapping[str, int]) -> str | None:
    """The script that the page runs before an event is sent. `first`: the place where its inputs begin; `places`: those
    of the boxes, if it loads a model."""
    parts = []
    if dropdown:
        parts.append(f"args[{first}] = window.chosenIn({json.dumps(dropdown)}, args[{first}]);")
    if places:
        parts.append(f"window.modelAsked(args[{places['model']}], args[{places['revision']}]);")
    return f"(...args) => {{ {' '.join(parts)} return args; }}" if parts else None


def _asking(
    handler: Callable[..., Any], names: Sequence[str], gather: Callable[..., list[Any]], with_event: bool, says: str
) -> Callable[..., None]:
    """The handler as gradio calls it; its answer waits to be shown. `says`: the report of a pane that uses the model,
    which it does not while another one loads."""

    def ask(answers: Answers, *values: Any, carried: Sequence[Any] = ()) -> None:
        arguments = gather(values)
        boxes = arguments[-1]
        changes = handler(*carried, *arguments) if boxes.is_settled or not says else {}
        _check_names(handler, changes, names)
        answers.add(Answer(changes=changes, asked=boxes))

    def ask_with_event(event: gr.EventData, answers: Answers, *values: Any) -> None:
        ask(answers, *values, carried=[event._data if isinstance(event._data, dict) else {}])

    return ask_with_event if with_event else ask


def _by_position(
    handler: Callable[..., Any], names: Sequence[str], gather: Callable[..., list[Any]], with_event: bool
) -> Callable[..., Any]:
    """The handler as gradio calls it: one value per input in, one per output out."""

    def run(*values: Any) -> Any:
        return _listed(handler, handler(*gather(values)), names)

    def run_with_event(event: gr.EventData, *values: Any) -> Any:
        carried = event._data if isinstance(event._data, dict) else {}
        return _listed(handler, handler(carried, *gather(values)), names)

    return run_with_event if with_event else run


def _stream(
    handler: Callable[..., Any], names: Sequence[str], gather: Callable[..., list[Any]]
) -> Callable[..., Iterator[Any]]:
    """As `_by_position`, for a handler that yields changes. If it yields nothing, nothing changes: otherwise gradio
    would empty widgets without a value."""

    def run(*values: Any) -> Iterator[Any]:
        with closing(handler(*gather(values))) as stream:
            for changes in chain(stream, [{}]):
                yield _listed(handler, changes, names)

    return run


def _listed(handler: Callable[..., Changes], changes: Changes, names: Sequence[str]) -> Any:
    _check_names(handler, changes, names)
    values = _in_order(changes, names)
    return values[0] if len(values) == 1 else values  # with a single output gradio takes a list as its value


def _check_names(handler: Callable[..., Changes], changes: Changes, names: Sequence[str]) -> None:
    if unknown := sorted(set(changes) - set(names)):
        raise KeyError(f"{getattr(handler, '__name__', handler)} changes {unknown}, which its event does not name")


def _in_order(changes: Changes, names: Sequence[str]) -> list[Any]:
    return [_sendable(changes.get(name, gr.skip())) for name in names]


def _sendable(value: Any) -> Any:
    """A text as it is; half of a surrogate pair in it, with which the server could send nothing at all, becomes "?"."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value
