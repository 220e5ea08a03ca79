"""Rows of published formats that do not hold a conversation -> the format's name, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from inspector.data.dialects import speaker
from inspector.data.normal import RESULT_ROLES, ROLES

_SIDE_IDS = re.compile(r"(prompt|chosen|rejected|completion)_(input_)?ids|input_ids_(chosen|rejected)")
_SPEAKERS = frozenset({*ROLES, *RESULT_ROLES, "tool", "developer"})
_CHECKS = frozenset({"solution", "ground_truth", "reward_model", "reference_answer", "verification_info", "answer_key"})


def unsupported(row: Mapping[str, Any]) -> str | None:
    """A sentence that names the format of a row and says what to do; None for an unknown format."""
    columns = {name.lower(): value for name, value in row.items() if isinstance(name, str)}
    return next((says for fits, says in _KNOWN if fits(columns)), None)


def one_message(row: Mapping[str, Any]) -> bool:
    """Whether a row, its columns in lower case, is a single message: a speaker and a text."""
    said = next((row[name] for name in ("content", "text", "value", "parts") if name in row), None)
    return isinstance(said, str | list) and speaker(row) in _SPEAKERS


def _is_stepwise(row: Mapping[str, Any]) -> bool:
    return all(isinstance(row.get(name), list | tuple) for name in ("completions", "labels")) and "prompt" in row


_KNOWN: tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...] = (
    (
        _is_stepwise,
        "These are stepwise rows, as TRL's PRMTrainer takes them: `completions` are the steps of one answer, and "
        "`labels` say which of them are right. No method here trains them; for a chat, join the steps.",
    ),
    (
        lambda row: one_message(row) and "parent_id" in row,
        "Each row is one message of a tree, as OASST has them: join those that answer each other by `parent_id`, and "
        "write a row with `messages` for each path; or take the file of whole trees.",
    ),
    (
        one_message,
        "Each row is a single message, and nothing says which of them belong to one conversation: write a row for each "
        'conversation, {"messages": [...]}.',
    ),
    (
        lambda row: any(map(_SIDE_IDS.fullmatch, row)),
        "These rows hold ids of tokens, as a trainer prepares pairs, and nothing says which of them are trained: give "
        "the rows of texts that they were made from, or labels beside the ids (chosen_labels beside chosen_input_ids).",
    ),
    (
        lambda row: "prompt" in row and not _CHECKS.isdisjoint(row),
        "These are prompts with what an answer is checked against, as GRPO and other reinforcement learning take them: "
        "they hold no answer to train. Where a column is the answer, map it: completion=COLUMN.",
    ),
    (
        lambda row: "prompt" in row,
        "The rows hold a prompt, and no column that is known to be its answer: without one there is nothing to train. "
        "Where one is, map it: completion=COLUMN.",
    ),
)
"""Checks of a row, its columns in lower case, each with the sentence for its format. The first match counts."""
