"""The place of a finding, in tokens and in words."""

from __future__ import annotations

from inspector.rendering.origins import PLACEHOLDER, Origin, OriginKind
from inspector.strategies import Example


def describe(origin: Origin) -> str:
    """An origin in words: `message 3 · content`, `template line 12`, `tools[0].function.name`."""
    if origin.kind is OriginKind.MESSAGE:
        where = "" if origin.message_index is None else f"message {origin.message_index} · "
        return f"{where}{origin.field}"
    if origin.kind is OriginKind.TEMPLATE:
        line = "the template" if origin.line is None else f"template line {origin.line}"
        if origin.field is None:
            return line
        return f"{line}, in the place of media" if origin.field == PLACEHOLDER.field else f"{line}, from the clock"
    return "unknown origin" if origin.line is None else f"unknown origin, written at template line {origin.line}"


def span_of(example: Example, message_index: int) -> tuple[int, int] | None:
    """The tokens of a message's turn; None if it has no turn."""
    turn = example.turns.get(message_index)
    return None if turn is None else turn.token_span


def message_of(example: Example, index: int) -> int | None:
    """The index of the message whose turn holds a token; None for the template's own text."""
    turns = (run.turn for run in example.tokens.runs[index])
    return next((turn for turn in turns if turn is not None), None)
