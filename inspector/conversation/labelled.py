"""Rows that come with labels: ids and labels, or texts that are tokenized one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from inspector.conversation.checks import checked_json
from inspector.errors import ConversationError, kind_of, quoted

IGNORED = -100
"""The label of a token that does not train."""


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """The tokens of a row that came with labels. `labels`: one per token, its id if it trains, else -100."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @classmethod
    def parse(cls, ids: Any, labels: Any) -> Self:
        """Build from two lists. Raises ConversationError, which names the list and the place in it."""
        for name, values in (("input_ids", ids), ("labels", labels)):
            if not isinstance(values, list | tuple) or not values:
                raise ConversationError(f"`{name}` must be a list of token ids, with at least one.")
            for i, value in enumerate(values):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise ConversationError(f"`{name}`[{i}] must be a whole number, not {kind_of(value)}.")
        if len(ids) != len(labels):
            raise ConversationError(
                f"`labels` is a list of {len(labels)}, and `input_ids` one of {len(ids)}: each token must have a label."
            )
        for i, (id, label) in enumerate(zip(ids, labels, strict=True)):
            if label not in (id, IGNORED):
                raise ConversationError(
                    f"`labels`[{i}] is {label}, and must be the token's id, {id}, or {IGNORED} where it is not trained."
                )
        return cls(tuple(ids), tuple(labels))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a row's text that is tokenized by itself. `label`: whether it trains."""

    label: bool
    text: str

    @classmethod
    def parse(cls, value: Any, where: str) -> Self:
        """Build from an object with `label` and `text`. Raises ConversationError."""
        if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
            raise ConversationError(f"{where} must be an object with `label` and `text`, a text, not {kind_of(value)}.")
        if value.get("label") not in (True, False):
            raise ConversationError(f"{where}: `label` is {quoted(value.get('label'))}, and must be true or false.")
        return cls(bool(value["label"]), checked_json(value["text"], where, 0))
