"""Find turns by rendering growing prefixes of the conversation.

open-instruct (2025; `prefix_render`), and the default of `renderers` for any template (`incremental_delta`).
Written from docs/strategies.md (D10, D13); nothing is copied. Both trust that a longer conversation begins with the
render of a shorter one; templates that rewrite their history break that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inspector.conversation import Step
from inspector.errors import StrategyRefusedError
from inspector.model.tokenizer import text_of
from inspector.strategies.base import Example, Labelled, facts, overlapping
from inspector.strategies.boundaries import shared_length


@facts("open-instruct", version="2026-08", makes=frozenset({Step.TOOLS}))
def prefix_render(example: Example, *, last_only: bool = False) -> Labelled:
    """Train the text between the render up to an answer's generation prompt and the render up to its end.

    `last_only`: the last assistant message only. If one of these renders is not a prefix of the whole, the turns of the
    row are counted in tokens instead. If that misses an answer, or the template refuses a part, the row is dropped:
    nothing is trained, and a warning says so. Source: open-instruct, docs/strategies.md D10; it added dropping and
    counting in one change. It treats an empty list of tools as no tools; if the template tells them apart, the row
    without tools is labelled.
    """
    if example.conversation.tools == ():
        row = example.reworked(replace(example.conversation, tools=None), "open-instruct")
        labelled = prefix_render(row, last_only=last_only)
        same = row.rendered.text == example.rendered.text
        return labelled if same else replace(labelled, example=row)
    answers = example.conversation.assistant_indices()
    answers = answers[-1:] if last_only else answers
    try:
        pairs = _rendered_prefixes(example, answers)
    except StrategyRefusedError as error:
        return _dropped(example, [str(error)])
    full = example.rendered.text
    if all(len(head) <= len(turn) and full.startswith(head) and full.startswith(turn) for head, turn in pairs):
        return Labelled.by_rule(char_bits(example.tokens.char_spans, [(len(head), len(turn)) for head, turn in pairs]))
    bits = [False] * len(example)
    warnings = [_HISTORY_REWRITTEN]
    for index, pair in zip(answers, pairs, strict=True):
        start, stop = (len(example.ids_of(text)) if text else 0 for text in pair)
        bits[start:stop] = [True] * len(bits[start:stop])
        if not _holds_answer(example, index, start, stop):
            return _dropped(example, [*warnings, f"Counted so, the answer of message {index} is missed."])
    return Labelled.by_rule(bits, warnings=warnings)


_HISTORY_REWRITTEN = (
    "The template renders earlier messages differently once later ones follow. The trainer then counts the tokens of "
    "the parts instead, and its turns are shifted."
)


def _dropped(example: Example, warnings: list[str]) -> Labelled:
    nothing = [False] * len(example)
    return Labelled.by_rule(nothing, lost=range(len(example)), warnings=[*warnings, "The trainer drops this row."])


def _holds_answer(example: Example, index: int, start: int, stop: int) -> bool:
    """Whether the counted tokens begin with the message's content and hold no content of a later message after it.

    Always true for an empty range, for content that the template rewrites, and for a range that a shorter row cuts off.
    """
    messages, ids = example.conversation.messages, example.tokens.ids
    content = messages[index].get("content")
    if not content or start >= min(stop, len(ids)):
        return True
    if not isinstance(content, str):
        raise StrategyRefusedError(
            f"Message {index} has list content, and the trainer, which looks for it in the text, fails on it."
        )
    if content not in example.rendered.text:
        return True
    text = text_of(example.tokenizer, ids[start:stop])
    bare = text.lstrip()
    if stop >= len(ids) and bare and content.startswith(bare):
        return True
    if not bare.startswith(content):
        return False
    after = text[text.index(content) + len(content) :]
    later = [message.get("content") for message in messages[index + 1 :]]
    return not any(isinstance(other, str) and other and other in after for other in later)


def char_bits(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """A bit per token: it has characters, and overlaps a span."""
    return [bit and start != end for bit, (start, end) in zip(overlapping(offsets, spans), offsets, strict=True)]


def _rendered_prefixes(example: Example, indices: Sequence[int]) -> list[tuple[str, str]]:
    """For each assistant message: the text up to its answer, and up to its end."""
    messages = example.conversation.messages
    wanted = []
    for i in indices:
        wanted += [example.with_messages(messages[:i], add_generation_prompt=True)] if i else []
        wanted += [example.with_messages(messages[: i + 1])]
    texts = iter(example.texts(wanted))
    return [(next(texts) if i else "", next(texts)) for i in indices]


@facts("renderers", "DefaultRenderer", version="0.1.12")
def incremental_delta(example: Example) -> Labelled:
    """Train the tokens, including the header, that each assistant message adds to the row.

    Raises StrategyRefusedError if the template refuses a prefix. If the history is rewritten, the trainer's ids are not
    those shown; then the bits are by position, and a warning says so. Source: `renderers` (PrimeIntellect), its
    DefaultRenderer, docs/strategies.md D13.
    """
    messages = example.conversation.messages
    texts = example.texts([example.with_messages(messages[: i + 1]) for i in range(len(messages))])
    row: list[int] = []
    bits: list[bool] = []
    before = 0
    for message, ids in zip(messages, example.ids_of_all(texts), strict=True):
        added = ids[before:]
        row += added
        bits += [message["role"] == "assistant"] * len(added)
        before = len(ids)
    warnings = []
    same = shared_length(row, example.tokens.ids)
    if same < len(row) or same < len(example):
        warnings.append(
            f"The row of renderers has {len(row)} tokens and is not the one shown from token {same} on: the template "
            "renders earlier messages differently once later ones follow."
        )
    bits = (bits + [False] * len(example))[: len(example)]
    return Labelled.by_rule(bits, warnings=warnings)
