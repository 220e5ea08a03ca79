"""Findings about the template's text, whatever trains: one small function per code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile

from inspector.errors import StrategyError, short
from inspector.findings.codes import Code, Finding, Severity
from inspector.rendering.origins import CLOCK, OriginKind, Run
from inspector.strategies import Example, Labelled, is_trained
from inspector.turns import Turn

_THINK = "<think>"


def find_misplaced_tags(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Generation spans that do not hold their answer: tags inside set blocks or macros are shifted."""
    spans = example.rendered.generation_spans
    for index, turn in example.answers():
        near = [span for span in spans if span[0] < turn.end and span[1] > turn.start]
        spans_of_answer = [
            (start, end) for start, end, run in turn.runs if _is_answer(run, index) and start >= turn.answer_start
        ]
        outside = [
            own_span for own_span in spans_of_answer if not any(a <= own_span[0] and own_span[1] <= b for a, b in near)
        ]
        if near and outside:
            (start, end), (lost, _) = near[0], outside[0]
            yield Finding(
                code=Code.TAGS_MISPLACED,
                severity=Severity.ERROR,
                message_index=index,
                token_span=turn.token_span,
                detail=f"A generation tag is recorded at characters {start} to {end}, "
                f"{short(example.rendered.text[start:end])!r}, and does not hold the answer of message {index}, which "
                f"goes on at {lost}: transformers counts what was written before the tag, and text captured by a set "
                "block or a macro is not written yet.",
                remedy="Move the tags to the top level of the loop over the messages.",
            )


def find_rewritten_history(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Trained answers whose history renders differently at the time they are generated."""
    headers = (header for header in example.rendered.headers if not header.history_kept)
    rewritten = [h.message_index for h in headers if is_trained(example, labelled, h.message_index)]
    if not rewritten:
        return
    turn = example.turns.get(rewritten[0])
    yield Finding(
        code=Code.TEMPLATE_NOT_PREFIX_STABLE,
        severity=Severity.WARNING,
        message_index=rewritten[0],
        token_span=None if turn is None else turn.token_span,
        detail=f"Before message {rewritten[0]} the template renders the history differently from how it does in the "
        "whole example: what trains is not what the model is given when it has to write that answer.",
        remedy="Make one example per assistant turn, each with its history as it is rendered at that point.",
    )


def find_clock(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Text that the template writes from today's date or time."""
    for start, end, run in example.rendered.spans():
        if run.origin.kind is not CLOCK.kind or run.origin.field != CLOCK.field:
            continue
        tokens = [i for i, span in enumerate(example.tokens.char_spans) if span[0] < end and span[1] > start]
        yield Finding(
            code=Code.NONDETERMINISTIC_RENDER,
            severity=Severity.NOTE,
            message_index=run.turn,
            token_span=(tokens[0], tokens[-1] + 1) if tokens else None,
            detail=f"The template writes {example.rendered.text[start:end]!r} from the clock (line {run.origin.line}): "
            "the same row has other tokens on another day, and every row of a run has the day it was prepared on.",
            remedy="Fix the date by the template's own keyword where it has one (often date_string), or in a copy of "
            "the template.",
        )
        return


def find_thinking_default(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Templates whose generation prompt depends on enable_thinking, which is not set."""
    index = next((i for i in reversed(example.conversation.assistant_indices()) if i in example.turns), None)
    is_set = "enable_thinking" in example.conversation.keywords
    if index is None or is_set or "enable_thinking" not in example.template:
        return
    asked = example.with_messages(example.conversation.messages[:index], add_generation_prompt=True)
    switched = [asked.with_keywords(enable_thinking=value) for value in (True, False)]
    try:
        unset, on, off = example.texts([asked, *switched])
    except StrategyError:  # the template refuses this history: there is no prompt to compare
        return
    if on == off:
        return
    same = sum(1 for _ in takewhile(lambda three: len(set(three)) == 1, zip(unset, on, off, strict=False)))
    ends = ", ".join(f"{name} {text[same:]!r}" for name, text in (("unset", unset), ("true", on), ("false", off)))
    yield Finding(
        code=Code.THINKING_DEFAULT,
        severity=Severity.NOTE,
        message_index=index,
        token_span=example.turns[index].token_span,
        detail=f"The prompt of message {index} depends on enable_thinking, which is not set; it ends in: {ends}. In "
        f"this example {_THINK} is {_state_of_thinking(example, labelled, example.turns[index])}.",
        remedy="Set enable_thinking in the rows as it will be at inference.",
    )


def _state_of_thinking(example: Example, labelled: Labelled, turn: Turn) -> str:
    position = example.rendered.text.find(_THINK, turn.start, turn.end)
    if position < 0:
        return "absent"
    if turn.header is not None and position < turn.header.end:
        return "supplied by the prompt"
    spans = example.tokens.char_spans
    marker_tokens = [i for i in turn.tokens if spans[i][0] < position + len(_THINK) and spans[i][1] > position]
    return "trained" if any(labelled.trained[i] for i in marker_tokens) else "in the answer, but not trained"


def _is_answer(run: Run, message_index: int) -> bool:
    """Whether a run is text of this message, other than its role."""
    origin = run.origin
    return origin.kind is OriginKind.MESSAGE and origin.message_index == message_index and origin.field != "role"


def find_unsettled_turns(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Answers whose turns do not follow from the template's structure."""
    rendered = example.rendered
    trained = [index for index, _ in example.answers() if is_trained(example, labelled, index)]
    for code, severity, messages, detail, remedy in (
        (
            Code.TURN_UNKNOWN,
            Severity.WARNING,
            [index for index in trained if index in rendered.unknown_turns],
            "the template writes text around it in a way that neither its loops nor renders of the conversation's "
            "beginning tell apart from other messages' text. What is shown of this turn's ends is a guess",
            "Look at the tokens around the answer, and use a template whose loop writes one message a round.",
        ),
        (
            Code.TURN_READ_OFF,
            Severity.NOTE,
            [index for index in trained if index in rendered.read_off],
            "the template does not write it in a round of its own; where its turn begins and ends was read off renders "
            "of the conversation's beginning, with this message and without it",
            "Nothing to do.",
        ),
    ):
        if messages:
            more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
            yield Finding(
                code=code,
                severity=severity,
                message_index=messages[0],
                token_span=example.turns[messages[0]].token_span,
                detail=f"Message {messages[0]}{more}: {detail}.",
                remedy=remedy,
            )


TEMPLATE_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_misplaced_tags,
    find_rewritten_history,
    find_clock,
    find_thinking_default,
    find_unsettled_turns,
)
"""Every finder of this file."""
