"""The ground truth: train exactly the text that the assistant has to write, by the origins of its characters.

In an assistant turn this is everything after the header that the generation prompt supplies, up to and including the
stop token. Ours; the other strategies reproduce trainers and are compared with this one.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar

from inspector.conversation import REASONING_FIELDS, is_flagged
from inspector.rendering.origins import PLACEHOLDER, OriginKind
from inspector.strategies.base import Example, Labelled, Reason, facts
from inspector.turns import Turn

_REASONS = list(Reason)
_CODE = {reason: code for code, reason in enumerate(_REASONS)}
_THINK = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


class TurnPolicy(StrEnum):
    """The choice of trained turns."""

    ALL = "all"
    """Every assistant turn."""
    LAST = "last"
    """The last assistant turn only."""
    FLAGGED = "flagged"
    """Messages whose `train`, `training`, `weight` or `loss` is true, and assistant messages that do not say."""
    EVERY_TOKEN = "every_token"
    """All text, whoever wrote it."""


class StopPolicy(StrEnum):
    """The choice of trained stop tokens."""

    EVERY = "every"
    """The stop token of every trained turn."""
    LAST = "last"
    """The stop token of the last trained turn only."""
    NEVER = "never"
    """None: the model does not learn to stop."""


_Choice = TypeVar("_Choice", TurnPolicy, StopPolicy)


@facts("Exact", is_compared=False)
def traced(
    example: Example,
    *,
    turns: str = TurnPolicy.ALL,
    stop: str = StopPolicy.EVERY,
    reasoning: bool = True,
    tool_calls: bool = True,
    straddlers: bool = True,
    closing_header: bool = False,
) -> Labelled:
    """Train what the assistant writes.

    `turns`, `stop`: see TurnPolicy and StopPolicy. `reasoning`, `tool_calls`: whether these parts of an answer are
    trained, with the template text around them. `straddlers`: whether a token that holds both trained and untrained
    characters is trained. `closing_header`: whether the first token of the next header is trained, if it ends the turn
    and the template writes no stop token (GLM). Raises ValueError for an unknown policy.
    """
    policy, stop_policy = _choice(TurnPolicy, "turns", turns), _choice(StopPolicy, "stop", stop)
    marks = _marks(example, policy, reasoning=reasoning, tool_calls=tool_calls)
    chosen = _chosen_turns(example, policy)
    for turn in chosen:
        keep_stop = stop_policy is StopPolicy.EVERY or (stop_policy is StopPolicy.LAST and turn is chosen[-1])
        _mark_end(example, marks, turn, keep_stop=keep_stop, closing_header=closing_header)
    if policy is TurnPolicy.EVERY_TOKEN:
        marks[:] = bytes([_CODE[Reason.EVERY_TOKEN]]) * len(marks)
    return _to_tokens(example, marks, straddlers=straddlers)


def _choice(kind: type[_Choice], option: str, value: str) -> _Choice:
    if value not in list(kind):
        raise ValueError(f"{option} is {value!r}, which is not one of: {', '.join(kind)}.")
    return kind(value)


def _chosen_turns(example: Example, policy: TurnPolicy) -> list[Turn]:
    conversation = example.conversation
    answers = [turn for index, turn in example.turns.items() if conversation.role(index) == "assistant"]
    if policy is TurnPolicy.LAST:
        return answers[-1:]
    if policy is TurnPolicy.FLAGGED:
        return [turn for index, turn in example.turns.items() if is_flagged(conversation.messages[index])]
    return answers


def _marks(example: Example, policy: TurnPolicy, *, reasoning: bool, tool_calls: bool) -> bytearray:
    """One reason code per character."""
    rendered = example.rendered
    marks = bytearray([_CODE[Reason.CONTEXT]]) * len(rendered.text)
    if rendered.prompt_start is not None:
        _fill(marks, rendered.prompt_start, len(marks), Reason.GENERATION_PROMPT)
    for index in example.conversation.assistant_indices():
        for start, end in example.turns[index].char_spans if index in example.turns else ():
            _fill(marks, start, end, Reason.POLICY)
    for turn in _chosen_turns(example, policy):
        is_assistant = turn.header is not None
        for start, end in turn.char_spans:
            _fill(marks, start, end, Reason.SCAFFOLD if is_assistant else Reason.CONTEXT)
        _mark_own_text(marks, turn)
        if not reasoning:
            _leave_out(example, marks, turn, REASONING_FIELDS)
            for match in _THINK.finditer(rendered.text, turn.answer_start, turn.end):
                _fill_turn(marks, turn, match.start(), match.end(), Reason.POLICY)
        if not tool_calls:
            _leave_out(example, marks, turn, ("tool_calls",))
        if turn.header is not None:
            _fill_turn(marks, turn, turn.header.start, turn.header.end, Reason.HEADER)
    return marks


def _mark_own_text(marks: bytearray, turn: Turn) -> None:
    """Mark the message's words, text that its turn quotes from others, and placeholders of images.

    A role is none of these: it is part of a header.
    """
    for start, end, run in turn.runs:
        if run.origin.field == PLACEHOLDER.field and run.origin.kind is PLACEHOLDER.kind:
            _fill(marks, start, end, Reason.CONTEXT)
        if run.origin.message_index is None:
            continue
        if run.origin.message_index != turn.message_index:
            _fill(marks, start, end, Reason.CONTEXT)
        elif run.origin.top_field != "role":
            _fill(marks, start, end, Reason.ANSWER)


def _leave_out(example: Example, marks: bytearray, turn: Turn, fields: tuple[str, ...]) -> None:
    """Leave out some fields of a message and the template text next to them, up to its other fields or its ends."""
    end_of_answer = turn.end if turn.stop_span is None else turn.stop_span[0]
    pending: int | None = turn.answer_start
    inside = False
    for start, end, run in turn.runs:
        if end <= turn.answer_start:
            continue
        if run.origin.kind is not OriginKind.MESSAGE:
            pending = start if pending is None else pending
            continue
        was_inside, inside = inside, run.origin.top_field in fields
        if inside or was_inside:
            _fill_turn(marks, turn, start if pending is None else pending, start, Reason.POLICY)
        if inside:
            _fill(marks, start, end, Reason.POLICY)
        pending = None
    if inside and pending is not None:
        _fill_turn(marks, turn, pending, end_of_answer, Reason.POLICY)


def _mark_end(example: Example, marks: bytearray, turn: Turn, *, keep_stop: bool, closing_header: bool) -> None:
    """Mark the stop token, or the text that ends the turn, and the rest of the turn after it."""
    if turn.stop_span is not None:
        start, end = turn.stop_span
        _fill(marks, start, end, Reason.STOP if keep_stop else Reason.POLICY)
        _fill_turn(marks, turn, end, turn.end, Reason.AFTER_STOP)
    elif closing_header and keep_stop and turn.closing_token is not None:
        _fill(marks, *example.tokens.char_spans[turn.closing_token], Reason.STOP)


def _fill_turn(marks: bytearray, turn: Turn, start: int, end: int, reason: Reason) -> None:
    """Fill the turn's own parts of `[start, end)`: another turn's text may be in between."""
    for low, high in turn.char_spans:
        _fill(marks, max(start, low), min(end, high), reason)


def _fill(marks: bytearray, start: int, end: int, reason: Reason) -> None:
    if start < end:
        marks[start:end] = bytes([_CODE[reason]]) * (end - start)


def _to_tokens(example: Example, marks: bytearray, *, straddlers: bool) -> Labelled:
    """The bit of each token: it is trained if it overlaps a trained character."""
    reasons: list[Reason] = []
    mixed: list[int] = []
    for index, (start, end) in enumerate(example.tokens.char_spans):
        token_reasons = [_REASONS[code] for code in dict.fromkeys(marks[start:end])] or [Reason.CONTEXT]
        trained = [reason for reason in token_reasons if reason.is_trained]
        if trained and len(trained) < len(token_reasons):
            mixed.append(index)
            reasons.append(trained[0] if straddlers else Reason.STRADDLER)
        else:
            reasons.append((trained or token_reasons)[0])
    if reasons:
        reasons[0] = Reason.FIRST_TOKEN
    return Labelled(
        trained=tuple(reason.is_trained for reason in reasons),
        reasons=tuple(reasons),
        mixed=tuple(index for index in mixed if index),
    )
