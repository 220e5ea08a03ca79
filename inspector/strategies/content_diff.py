"""Find each turn's content by replacing it and comparing the renders: axolotl's `chat_template` data sets.

axolotl (2025). Written from docs/strategies.md (D8, D9), which was checked against its code; nothing is copied. A
turn is the text that changes if its message is replaced by a placeholder. So template text that depends on the content
moves its edges, and tool calls and reasoning, which the placeholder lacks, count as content.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeAlias

from inspector.conversation import TRAIN_FLAGS, Message
from inspector.errors import StrategyRefusedError
from inspector.strategies.axolotl_rows import MADE, axolotl_conversation, axolotl_row
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.boundaries import shared_length

PLACEHOLDERS = ("[[dummy_message]]", "zzdummymessagezz")
"""The two placeholder texts for a message."""

END_REACH = 3
"""Maximum number of tokens between the content and its end token."""

End: TypeAlias = tuple[frozenset[int], str]
"""End tokens, and when they are trained: one of `_CHOICES`."""

_CHOICES = ("turn", "all", "last", "none")


@facts(
    "axolotl", "type: chat_template", version="0.19", changes=axolotl_conversation, reads_rows=True, makes=MADE,
    is_known=True,
)  # fmt: skip
def content_diff(
    example: Example,
    *,
    train_on_eos: str = "turn",
    train_on_eot: str | None = None,
    eot_tokens: Sequence[str] = (),
    roles: Sequence[str] = ("assistant",),
) -> Labelled:
    """Train the contents that a render with a placeholder finds, and the end tokens near them.

    `roles`: the roles whose messages are trained; a message's own flag (`train`, `weight`, ...) overrides it.
    `train_on_eos`: the eos after a trained turn ("turn"), after every turn ("all"), the last one found ("last"), or
    "none"; `train_on_eot` is the same for the tokens in `eot_tokens` (default: as train_on_eos). Raises ValueError for
    another choice or an eot token that is not one token, and StrategyRefusedError if a changed conversation does not
    render or axolotl stops. axolotl changes the row first; if that changes the text, axolotl's row is labelled.
    Source: docs/strategies.md D8.
    """
    given = example
    example, notes = axolotl_row(given)
    pairs = zip(given.conversation.messages, example.conversation.messages, strict=True)
    trained = [_is_trained(message, str(row["role"]), roles) for message, row in pairs]
    ends = _ends(example, train_on_eos, train_on_eot or train_on_eos, eot_tokens)
    needed = [i for i, bit in enumerate(trained) if bit or "all" in {choice for _, choice in ends}]
    spans = _content_spans(example, needed)
    bits = content_diff_bits(example.tokens.ids, [(trained[i], spans[i]) for i in needed], ends)
    lost = {
        token
        for i in needed
        if trained[i] and spans[i] == (-1, -1) and i in example.turns
        for token in example.turns[i].tokens
    }
    warnings = [
        f"Message {i} is to be trained, and its content was not found: none of it is trained."
        for i in needed
        if trained[i] and spans[i] == (-1, -1)
    ]
    return Labelled.by_rule(bits, lost=lost, warnings=notes + warnings, example=_shown(given, example))


def _shown(given: Example, row: Example) -> Example | None:
    """The labelled example, if its text is a different one."""
    return None if row.rendered.text == given.rendered.text else row


def content_diff_bits(
    ids: Sequence[int], turns: Sequence[tuple[bool, tuple[int, int]]], ends: Sequence[End]
) -> list[bool]:
    """A bit per token. `turns`: (whether the message is trained, its content's tokens, (-1, -1) if not found)."""
    bits = [False] * len(ids)
    last: dict[int, int] = {}
    for is_trained, (start, stop) in turns:
        if is_trained and start != -1:
            bits[start:stop] = [True] * (stop - start)
        for rule, (end_ids, choice) in enumerate(ends):
            # A content that was not found ends at -1, and the search begins there: at the row's last token.
            near = range(stop, min(len(ids), stop + END_REACH + 1))
            at = next((k for k in near if ids[k] in end_ids), -1)
            if at == -1:
                continue
            last[rule] = at
            if choice == "all" or (choice == "turn" and is_trained):
                bits[at] = True
    for rule, at in last.items():
        if ends[rule][1] == "last":
            bits[at] = True
    return bits


@facts("axolotl", "type: chat_template without options", version="0.19", is_compared=False, reads_rows=True, makes=MADE)
def content_diff_legacy(example: Example) -> Labelled:
    """Train everything after the tokenized prompt of the last message, as axolotl does if all options are empty.

    The row's ids are those of the prompt, followed by the whole render's ids from that count on. If the prompt is not a
    prefix of the render, axolotl trains ids that no render has, and a warning says so. Raises StrategyRefusedError if
    there is only one message, or if the template refuses the prompt. Source: docs/strategies.md D9.
    """
    given = example
    example, notes = axolotl_row(given, with_tools=False)
    messages = example.conversation.messages
    if len(messages) < 2:
        raise StrategyRefusedError("There is only one message: the prompt would have none, and does not render.")
    (text,) = example.texts([example.with_messages(messages[:-1], add_generation_prompt=True)])
    prompt = example.ids_of(text)
    same = shared_length(prompt, example.tokens.ids)
    warnings = list(notes)
    if given.conversation.tools:
        warnings.append("axolotl renders without the tools here.")
    if same < len(prompt):
        warnings.append(
            f"The tokenized prompt is not a prefix of the row: they part at token {same}. The trainer replaces the "
            f"row's first {len(prompt)} ids by the prompt's, so its ids are not the ones shown."
        )
    bits = [index >= len(prompt) for index in range(len(example))]
    return Labelled.by_rule(bits, warnings=warnings, example=_shown(given, example))


# --- contents


def _content_spans(example: Example, indices: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Message -> its content's tokens, (-1, -1) if the renders do not differ by a whole token."""
    messages = list(example.conversation.messages)
    changed = [
        example.with_messages(
            [*messages[:i], {"role": messages[i]["role"], "content": placeholder}, *messages[i + 1 :]],
            add_generation_prompt=example.conversation.adds_generation_prompt,
        )
        for i in indices
        for placeholder in PLACEHOLDERS
    ]
    texts = example.texts(changed)
    starts = [start for start, _ in example.tokens.char_spans]
    stops = [stop for _, stop in example.tokens.char_spans]
    spans = {}
    for place, i in enumerate(indices):
        pair = texts[2 * place : 2 * place + 2]
        differing = [_differing(example.rendered.text, other) for other in pair]
        first, end = min(start for start, _ in differing), max(end for _, end in differing)
        start, stop = bisect_right(stops, first), bisect_left(starts, end)
        spans[i] = (start, stop) if first < end and start < stop else (-1, -1)
    return spans


def _differing(text: str, other: str) -> tuple[int, int]:
    """The characters of `text` between the start and the end that it shares with `other`."""
    start = _shared_start(text, other)
    most = min(len(text), len(other)) - start
    return start, len(text) - min(_shared_start(text[::-1], other[::-1]), most)


def _shared_start(text: str, other: str) -> int:
    """The number of characters that two texts share at their start, by bisection: a loop would be slow."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text[:middle] == other[:middle] else (low, middle - 1)
    return low


# --- options


def _is_trained(message: Message, role: str, roles: Sequence[str]) -> bool:
    given = next((message[name] for name in TRAIN_FLAGS if message.get(name) is not None), None)
    return role in roles if given is None else bool(given)


def _ends(example: Example, on_eos: str, on_eot: str, eot_tokens: Sequence[str]) -> list[End]:
    for name, choice in (("train_on_eos", on_eos), ("train_on_eot", on_eot)):
        if choice not in _CHOICES:
            raise ValueError(f"{name} is {choice!r}, which is not one of: {', '.join(_CHOICES)}.")
    if isinstance(eot_tokens, str):
        raise ValueError(f"eot_tokens is {eot_tokens!r}, and must be a list of tokens.")
    eos = example.tokenizer.eos_token_id
    eos_ids = frozenset() if eos is None else frozenset({eos})
    return [(_eot_ids(example, eot_tokens) or eos_ids, on_eot), (eos_ids, on_eos)]


def _eot_ids(example: Example, eot_tokens: Sequence[str]) -> frozenset[int]:
    found = set()
    for token in eot_tokens:
        ids = example.ids_of(token)
        if len(ids) != 1:
            raise ValueError(f"eot_tokens has {token!r}, which is {len(ids)} tokens, and must be one.")
        found.add(ids[0])
    return frozenset(found)
