"""Changes that trainers make to labelled rows: keep only some turns, truncate, pack.

Pure functions over the labels of any strategy, and `Modifiers`, which names them. They only remove tokens from
training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from inspector.conversation import Step, is_flagged
from inspector.errors import StrategyError, quoted
from inspector.strategies.base import IGNORED, Example, Labelled, Reason


class Keep(StrEnum):
    """The choice of trained tokens that stay trained."""

    ALL = "all"
    """All that the strategy trains."""
    LAST_RESPONSE = "last_response"
    """Only the trained tokens of the last assistant message."""
    LAST_TURN = "last_turn"
    """Only the trained tokens after the last user message."""
    FLAGGED = "flagged"
    """All except the messages whose flag (`train`, `weight`, ...) says no."""
    PROMPT_TOO = "prompt_too"
    """All that the strategy trains, also in the prompt of a row of prompt and completion."""


class Truncation(StrEnum):
    """The end that is kept of a row longer than `max_length`."""

    KEEP_START = "keep_start"
    """The first tokens, as TRL's default."""
    KEEP_END = "keep_end"
    """The last tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifiers:
    """Changes to a strategy's labels, in this order: keep, truncate. `max_length` is in tokens; None is no limit.

    `as_given`: changes that are not made to the row before it is rendered (see `conversation.Step`); `all` for no
    changes.
    """

    keep: str = Keep.ALL
    max_length: int | None = None
    truncation: str = Truncation.KEEP_START
    as_given: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raise StrategyError for an unknown value."""
        for name, kind in (("keep", Keep), ("truncation", Truncation)):
            if (value := getattr(self, name)) not in list(kind):
                raise StrategyError(f"{name} is {value!r}, which is not one of: {', '.join(kind)}.")
        length = self.max_length
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
            raise StrategyError(f"max_length is {length!r}, and must be a number of tokens from 1 on, or None.")
        if isinstance(self.as_given, str) or not isinstance(self.as_given, Sequence):
            raise StrategyError(f"as_given is {quoted(self.as_given)}, and must be a list of names.")
        object.__setattr__(self, "as_given", tuple(self.as_given))
        for name in self.as_given:
            if name not in (*Step, "all"):
                raise StrategyError(f"as_given names {quoted(name)}, which is not one of: all, {', '.join(Step)}.")

    @classmethod
    def parse(cls, value: Modifiers | Mapping[str, Any] | None) -> Modifiers:
        """Modifiers from a mapping of their fields. Raises StrategyError for an unknown field or a wrong value."""
        if isinstance(value, Modifiers):
            return value
        known = [field.name for field in fields(cls)]
        unknown = [name for name in value or () if name not in known]
        if unknown:
            raise StrategyError(f"There is no modifier {unknown[0]!r}; there are: {', '.join(known)}.")
        return cls(**(value or {}))

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        changed = {name: value for name, value in asdict(self).items() if value != getattr(_UNMODIFIED, name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    def apply(self, example: Example, labelled: Labelled) -> Labelled:
        """The labels of a strategy over `example`, modified."""
        keep, prompt = _KEEPERS.get(self.keep), example.conversation.prompt_messages
        kept = labelled if keep is None else keep(example, labelled)
        if prompt and self.keep != Keep.PROMPT_TOO:
            kept = behind_prompt(example, kept, prompt)
        return kept if self.max_length is None else truncated(kept, self.max_length, self.truncation)


_UNMODIFIED = Modifiers()


def last_response_only(example: Example, labelled: Labelled) -> Labelled:
    """Keep only the trained tokens in the turn of the last assistant message."""
    turns = [example.turns[i] for i in example.conversation.assistant_indices() if i in example.turns]
    kept = set(turns[-1].tokens) if turns else set()
    return _filtered(labelled, kept.__contains__)


def last_turn_only(example: Example, labelled: Labelled) -> Labelled:
    """Keep only the trained tokens after the last user message; all of them if there is none."""
    users = [i for i in example.turns if example.conversation.role(i) == "user"]
    end = max((example.turns[i].tokens[-1] for i in users if example.turns[i].tokens), default=-1)
    return _filtered(labelled, lambda index: index > end)


def behind_prompt(example: Example, labelled: Labelled, prompt_messages: int) -> Labelled:
    """Keep only the trained tokens after the turns of the first messages, as for the answers of a preference pair."""
    end = max((turn.tokens[-1] for i, turn in example.turns.items() if i < prompt_messages and turn.tokens), default=-1)
    return _filtered(labelled, lambda index: index > end)


def flagged_only(example: Example, labelled: Labelled) -> Labelled:
    """Leave out the turns of messages whose flag (`train`, `weight`, ...) is false, or of others without a flag."""
    messages = example.conversation.messages
    out = {token for i, turn in example.turns.items() if not is_flagged(messages[i]) for token in turn.tokens}
    kept = {token for i, turn in example.turns.items() if is_flagged(messages[i]) for token in turn.tokens}
    return _filtered(labelled, lambda index: index in kept or index not in out)


def kept_range(count: int, max_length: int | None, mode: str = "keep_start") -> range:
    """The range of `count` tokens that truncation keeps. Raises ValueError for an unknown mode or a length below 1."""
    if mode not in ("keep_start", "keep_end"):
        raise ValueError(f"mode is {mode!r}, which is not one of: keep_start, keep_end.")
    if max_length is None or max_length >= count:
        return range(count)
    if max_length < 1:
        raise ValueError(f"max_length is {max_length!r}, and must be a number of tokens from 1 on, or None.")
    return range(max_length) if mode == "keep_start" else range(count - max_length, count)


def truncated(labelled: Labelled, max_length: int | None, mode: str = "keep_start") -> Labelled:
    """Mark the tokens that truncation removes. The first remaining token is not trained: nothing comes before it.

    The labels keep their number of entries. Raises ValueError as `kept_range`.
    """
    kept = kept_range(len(labelled.trained), max_length, mode)
    if len(kept) == len(labelled.trained):
        return labelled
    reasons = [reason if i in kept else Reason.CUT for i, reason in enumerate(labelled.reasons)]
    cut = tuple(i for i, bit in enumerate(labelled.trained) if bit and i not in kept)
    reasons[kept.start] = Reason.FIRST_TOKEN
    return replace(_with_reasons(labelled, reasons), cut=tuple(sorted({*labelled.cut, *cut})))


_KEEPERS: Mapping[str, Callable[[Example, Labelled], Labelled]] = {
    Keep.LAST_RESPONSE: last_response_only,
    Keep.LAST_TURN: last_turn_only,
    Keep.FLAGGED: flagged_only,
}


def _filtered(labelled: Labelled, is_kept: Callable[[int], bool]) -> Labelled:
    return _with_reasons(
        labelled,
        [
            Reason.POLICY if reason.is_trained and not is_kept(index) else reason
            for index, reason in enumerate(labelled.reasons)
        ],
    )


def _with_reasons(labelled: Labelled, reasons: Sequence[Reason]) -> Labelled:
    return replace(labelled, trained=tuple(reason.is_trained for reason in reasons), reasons=tuple(reasons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Several rows in one, without padding.

    `position_ids` start at 0 in each row. `boundaries`: where rows start, and the end of the last (`cu_seq_lens`).
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    position_ids: tuple[int, ...]
    boundaries: tuple[int, ...]


def pack(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Packed:
    """Join (ids, labels) rows. The first label of each row is ignored: nothing in its own row predicts it.

    As TRL's padding-free collator does. Raises ValueError for a row with different numbers of ids and labels.
    """
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    boundaries = [0]
    for index, (row, row_labels) in enumerate(rows):
        if len(row) != len(row_labels):
            raise ValueError(f"row {index} has {len(row)} ids and {len(row_labels)} labels.")
        if not row:
            continue
        ids += row
        labels += [IGNORED, *row_labels[1:]]
        positions += range(len(row))
        boundaries.append(len(ids))
    return Packed(ids=tuple(ids), labels=tuple(labels), position_ids=tuple(positions), boundaries=tuple(boundaries))
