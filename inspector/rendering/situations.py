"""Measures a fact about assistant turns only in some of the turns that a template cannot tell apart.

A template tells messages apart by their roles, by their fields, and by texts that it looks for in them (`<think>`,
`/no_think`). Two turns are in the same situation if the same roles come before and after them, and the same kinds of
message since the last question, right before them, and in them. A closer look also compares the kind of the previous
answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

from jinja2 import nodes

from inspector.conversation import Message
from inspector.rendering.jinja import tracing_environment

FEW_TURNS = 12
"""Up to this many turns, each one is measured."""

Found = TypeVar("Found", bound=Hashable)


def measure_some(
    source: str,
    messages: Sequence[Message],
    turns: Sequence[int],
    measure: Callable[[int], Found],
    seen: Callable[[int, Found], bool],
    *,
    most: int,
) -> dict[int, Found]:
    """Turn (index of a message) -> the result of `measure`, or the expected result; at most `most` turns are measured.

    Of turns in the same situation the first, the middle and the last are measured. If they agree, the result holds for
    each turn where the same part of it is `seen`; if not, the turns are compared more closely. A turn is left out if it
    had to be measured and the maximum was reached.
    """
    if len(turns) <= FEW_TURNS:
        return {turn: measure(turn) for turn in turns[:most]}
    measured: dict[int, Found] = {}
    taken: dict[int, Found] = {}
    afar, close_up = _situations(source, messages)

    def settle(group: list[int], closer: Sequence[Sequence[Hashable]]) -> None:
        witnesses = sorted({group[0], group[len(group) // 2], group[-1]})
        for turn in witnesses:
            if turn not in measured and len(measured) < most:
                measured[turn] = measure(turn)
        shown = {(measured[turn], seen(turn, measured[turn])) for turn in witnesses if turn in measured}
        rest = [turn for turn in group if turn not in measured]
        if len(shown) == 1:
            ((found, is_seen),) = shown
            taken.update((turn, found) for turn in rest if seen(turn, found) == is_seen)
            rest = [turn for turn in rest if turn not in taken]
            closer = ()
        if rest and len(group) > 1:
            for part in _split(rest, closer[0]) if closer else [[turn] for turn in rest]:
                settle(part, closer[1:])

    for group in _split(turns, afar):
        settle(group, [close_up])
    return measured | taken


def _split(turns: Iterable[int], situations: Sequence[Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for turn in turns:
        groups.setdefault(situations[turn], []).append(turn)
    return list(groups.values())


def _situations(source: str, messages: Sequence[Message]) -> tuple[list[Hashable], list[Hashable]]:
    """For each message: its situation as a turn, and the kind of the previous answer."""
    texts = _looked_for(source)
    kinds = [_kind(message, texts) for message in messages]
    before = _sets(message.get("role") for message in messages)
    after = _sets(message.get("role") for message in reversed(messages))[::-1]
    afar: list[Hashable] = []
    answers: list[Hashable] = [None]
    since: frozenset[Hashable] = frozenset()
    for index, (message, kind) in enumerate(zip(messages, kinds, strict=True)):
        afar.append((before[index], since, kinds[max(0, index - 1)], kind, after[index + 1]))
        answers.append(kind if message.get("role") == "assistant" else answers[-1])
        since = frozenset({kind}) if message.get("role") == "user" else since | {kind}
    return afar, answers


def _sets(roles: Iterable[Hashable]) -> list[frozenset[Hashable]]:
    """The value before each item, and before the end."""
    sets: list[frozenset[Hashable]] = [frozenset()]
    for role in roles:
        sets.append(sets[-1] if role in sets[-1] else sets[-1] | {role})
    return sets


def _kind(message: Message, texts: Sequence[str]) -> Hashable:
    fields = []
    for key, value in sorted(message.items()):
        if value is None:  # as good as left out
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        is_blank = not (text.strip() if isinstance(value, str) else value)
        found = tuple(own for own in texts if own in text)
        fields.append((key, value if key == "role" else type(value).__name__, is_blank, found))
    return tuple(fields)


@lru_cache(maxsize=128)
def _looked_for(source: str) -> tuple[str, ...]:
    """The texts of a template that could be a mark in a message: with a letter, and more than a plain word."""
    constants = tracing_environment().parse(source).find_all(nodes.Const)
    texts = {constant.value.strip() for constant in constants if isinstance(constant.value, str)}
    return tuple(sorted(text for text in texts if not text.isidentifier() and any(map(str.isalpha, text))))
