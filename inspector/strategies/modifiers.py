"""What trainers do to labelled rows afterwards: keep some turns only, truncate, pack.

Pure functions over the answer of any strategy. They only ever take tokens out of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from inspector.conversation import is_flagged
from inspector.strategies.labelled import Example, Labelled, Reason

IGNORED = -100


def last_response_only(example: Example, labelled: Labelled) -> Labelled:
    """Keep what is trained in the turn of the last assistant message."""
    turns = [example.turns[i] for i in example.conversation.assistant_indices() if i in example.turns]
    kept = set(turns[-1].tokens) if turns else set()
    return _filtered(labelled, kept.__contains__)


def last_turn_only(example: Example, labelled: Labelled) -> Labelled:
    """Keep what is trained behind the last user message; everything when there is none."""
    users = [i for i in example.turns if example.conversation.role(i) == "user"]
    end = max((example.turns[i].tokens[-1] for i in users if example.turns[i].tokens), default=-1)
    return _filtered(labelled, lambda index: index > end)


def flagged_only(example: Example, labelled: Labelled) -> Labelled:
    """Leave out the turns of messages whose own flag (`train`, `weight`, ...) is false, or of others without a flag."""
    messages = example.conversation.messages
    out = {token for i, turn in example.turns.items() if not is_flagged(messages[i]) for token in turn.tokens}
    kept = {token for i, turn in example.turns.items() if is_flagged(messages[i]) for token in turn.tokens}
    return _filtered(labelled, lambda index: index in kept or index not in out)


def kept_range(count: int, max_length: int | None, mode: str = "keep_start") -> range:
    """Which of `count` tokens truncation keeps. Raises ValueError for an unknown mode or a length below 1."""
    if mode not in ("keep_start", "keep_end"):
        raise ValueError(f"mode is {mode!r}, which is none of: keep_start, keep_end.")
    if max_length is None or max_length >= count:
        return range(count)
    if max_length < 1:
        raise ValueError(f"max_length is {max_length!r}, and must be a number of tokens from 1 on, or None.")
    return range(max_length) if mode == "keep_start" else range(count - max_length, count)


def truncated(labelled: Labelled, max_length: int | None, mode: str = "keep_start") -> Labelled:
    """Mark what truncation removes; the first token that is left is not trained: nothing stands before it any more.

    The answer has as many entries as before. Raises ValueError as `kept_range`.
    """
    kept = kept_range(len(labelled.trained), max_length, mode)
    reasons = [reason if i in kept else Reason.CUT for i, reason in enumerate(labelled.reasons)]
    if kept:
        reasons[kept.start] = Reason.FIRST_TOKEN
    return _with_reasons(labelled, reasons)


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

    As TRL's padding-free collator does. Raises ValueError for a row whose labels are not as many as its ids.
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
