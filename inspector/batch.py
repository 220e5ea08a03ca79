"""The batch that a trainer's collator makes from inspected rows: padding, attention, positions, truncation, packing.

Reproduces trl 1.16's DataCollatorForLanguageModeling and its packing (best-fit decreasing), and the padding side that
transformers' collators take from the tokenizer. A test compares both.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from inspector.errors import BatchError
from inspector.inspection import Inspection
from inspector.strategies.base import IGNORED
from inspector.strategies.modifiers import kept_range

SIDES = ("right", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One row of the batch. The tuples have one entry per token.

    `attention`: 1, or 0 for padding. `position_ids`: as the model counts them; padding on the left counts too.
    `tokens`: texts. `sources`: the inspection that each token is from, None for padding. `boundaries`: the start of
    each of the joined rows.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    attention: tuple[int, ...]
    position_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    sources: tuple[int | None, ...]
    boundaries: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The input of one step.

    `cut`: tokens that truncation took from each inspection; `pad_id`: None without padding.
    """

    rows: tuple[BatchRow, ...]
    cut: tuple[int, ...]
    pad_id: int | None

    @property
    def padding(self) -> int:
        """The number of padding tokens."""
        return sum(row.attention.count(0) for row in self.rows)

    @property
    def trained(self) -> int:
        """The number of tokens that carry the loss."""
        return sum(label != IGNORED for row in self.rows for label in row.labels)


def make_batch(
    inspections: Sequence[Inspection],
    *,
    padding_side: str = "right",
    pad_id: int | None = None,
    max_length: int | None = None,
    truncation: str = "keep_start",
    packing: bool = False,
    padding_free: bool = False,
) -> Batch:
    """Make a batch of inspected rows of one model.

    `pad_id`: by default the tokenizer's, or its eos as trl does. `max_length`: truncates rows; with `packing` also the
    size of a packed row, and required. `padding_free`: all rows joined into one, as trl does with packed rows. Raises
    BatchError.
    """
    if not inspections:
        raise BatchError("A batch needs at least one row.")
    if padding_side not in SIDES:
        raise BatchError(f"padding_side is {padding_side!r}, which is not one of: {', '.join(SIDES)}.")
    if packing and max_length is None:
        raise BatchError("Packing needs max_length: the size of a packed row.")
    try:
        pieces = [_piece(i, inspection, max_length, truncation) for i, inspection in enumerate(inspections)]
    except ValueError as error:
        raise BatchError(str(error)) from error
    cut = tuple(len(inspection.example) - len(piece.ids) for inspection, piece in zip(inspections, pieces, strict=True))
    groups = [[piece] for piece in pieces]
    if packing and max_length is not None:
        groups = [[pieces[i] for i in group] for group in best_fit([len(piece.ids) for piece in pieces], max_length)]
    if padding_free:
        groups = [[piece for group in groups for piece in group]]
    size = max(sum(len(piece.ids) for piece in group) for group in groups)
    needs_padding = any(sum(len(piece.ids) for piece in group) < size for group in groups)
    if needs_padding and pad_id is None:
        tokenizer = inspections[0].model.tokenizer
        pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        if pad_id is None:
            raise BatchError("The tokenizer has neither a padding token nor eos: give a padding id.")
    is_joined = packing or padding_free
    padding = _Padding(pad_id, _text_of(inspections[0], pad_id), padding_side) if needs_padding else None
    rows = tuple(_row(group, size, padding, is_joined) for group in groups)
    return Batch(rows=rows, cut=cut, pad_id=pad_id if needs_padding else None)


_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row after truncation."""

    source: int
    ids: list[int]
    labels: list[int]
    tokens: list[str]


@dataclass(frozen=True, slots=True)
class _Padding:
    id: int | None
    text: str
    side: str


def _piece(source: int, inspection: Inspection, max_length: int | None, truncation: str) -> _Piece:
    """The row as it is trained, cut to the length; the inspection's own truncation comes first."""
    ids, labels = inspection.row
    tokens = inspection.row_texts
    kept = kept_range(len(ids), max_length, truncation)
    ids, labels, tokens = ids[kept.start : kept.stop], labels[kept.start : kept.stop], tokens[kept.start : kept.stop]
    if labels:
        labels[0] = IGNORED  # nothing before the first token could predict it
    return _Piece(source, ids, labels, tokens)


def _row(group: Sequence[_Piece], size: int, padding: _Padding | None, is_joined: bool) -> BatchRow:
    count = sum(len(piece.ids) for piece in group)
    side, pad_id, pad_text = ("right", 0, "") if padding is None else (padding.side, padding.id or 0, padding.text)
    before, after = (size - count, 0) if side == "left" else (0, size - count)

    def filled(values: Iterable[_Value], value: _Value) -> tuple[_Value, ...]:
        return (*[value] * before, *values, *[value] * after)

    positions = [position for piece in group for position in range(len(piece.ids))]
    return BatchRow(
        ids=filled((id for piece in group for id in piece.ids), pad_id),
        labels=filled((label for piece in group for label in piece.labels), IGNORED),
        attention=filled([1] * count, 0),
        position_ids=filled(positions, 0) if is_joined else tuple(range(size)),
        tokens=filled((text for piece in group for text in piece.tokens), pad_text),
        sources=filled((piece.source for piece in group for _ in piece.ids), None),
        boundaries=tuple(start + before for start in _starts(len(piece.ids) for piece in group)),
    )


def _starts(sizes: Iterable[int]) -> list[int]:
    starts, position = [], 0
    for size in sizes:
        starts.append(position)
        position += size
    return starts


def best_fit(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """The rows in each packed row: the longest row is placed first, each where the least space is left.

    Best-fit decreasing, as trl's `packing_strategy="bfd"`; among equally full rows, the one that became so first. Rows
    are at most `capacity` tokens long; empty ones are left out.
    """
    bins: list[list[int]] = []
    by_space: dict[int, deque[int]] = defaultdict(deque)
    for index in sorted((i for i, size in enumerate(sizes) if size), key=lambda i: -sizes[i]):
        space = min((s for s, rows_there in by_space.items() if s >= sizes[index] and rows_there), default=None)
        if space is None:
            bins.append([])
            target, space = len(bins) - 1, capacity
        else:
            target = by_space[space].popleft()
        bins[target].append(index)
        by_space[space - sizes[index]].append(target)
    return bins


def _text_of(inspection: Inspection, id: int | None) -> str:
    return "" if id is None else str(inspection.model.tokenizer.convert_ids_to_tokens(id))
