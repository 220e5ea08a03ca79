"""Rendered text -> inspections of the conversation that it is a render of."""

from __future__ import annotations

from collections.abc import Iterator

from inspector.errors import InspectorError
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.read_back import frames, read_conversation

__all__ = ["frames", "read_conversation", "readings"]


def readings(model: Model, text: str) -> Iterator[Inspection]:
    """Inspections of the conversation that the text reads as, as it is and with a generation prompt after it."""
    messages = read_conversation(model, text)
    if not messages:
        return
    for prompt in (False, True):
        keywords = {"add_generation_prompt": True} if prompt else {}
        try:
            yield inspect(model, {"messages": messages, **keywords})
        except InspectorError:
            continue
