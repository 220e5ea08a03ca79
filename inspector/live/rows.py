"""The sequences of a batch, without padding and taken out of packed rows, each with what of it is trained.

    input_ids, labels                                  SFT, plain language modeling, Unsloth, axolotl
    input_ids, completion_mask                         DPO (the second half is rejected), KTO
    input_ids, attention_mask                          Reward (the second half is rejected): no token has a loss
    chosen_input_ids, chosen_labels, rejected_...      ORPO, CPO, older DPO

In: a Batch. Out: LiveRow, in the order of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeGuard

from inspector.conversation import IGNORED
from inspector.errors import CheckError
from inspector.live.batches import Batch


class Oddity(StrEnum):
    """What is wrong with a batch, whatever its text says."""

    PADDING = "padding_in_loss"
    """Padding is trained."""
    SHIFTED = "labels_shifted"
    """A label is the id of the next token; a model of transformers shifts labels itself, so that it is off by one."""
    LEAK = "packing_leaks"
    """Several sequences share a row, and nothing keeps one from attending to those before it."""
    MASKED = "positions_ignored"
    """Positions begin anew in a row, and a mask for the whole row makes the model ignore that: sequences leak, too."""
    HIDDEN = "hidden_tokens"
    """Tokens between others are hidden by the attention mask, as padding is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRow:
    """One sequence that a batch trains.

    `trained`: a bit for each id; None where the method takes no loss of tokens. `batch`, `row`: where it stands, from
    0; a data set has no batches. `part`: its number within a packed row, None in a row of its own. `side`: "chosen" or
    "rejected" in a pair, else "". `source`: the row of the data set that it was made of, None where that is not known.
    `is_completion`: whether it is a prompt and an answer to it, of which only the answer is meant. `is_kept_apart`:
    whether a mask says which tokens of the row attend to which.
    """

    ids: tuple[int, ...]
    trained: tuple[bool, ...] | None
    batch: int | None
    row: int
    part: int | None = None
    side: str = ""
    source: Any = None
    is_completion: bool = False
    is_kept_apart: bool = False
    oddities: tuple[Oddity, ...] = ()

    @property
    def where(self) -> str:
        """Its place in words."""
        part = "" if self.part is None else f", sequence {self.part}"
        batch = "" if self.batch is None else f"batch {self.batch}, "
        return f"{batch}row {self.row}{part}{f' ({self.side})' if self.side else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a batch's tensors, padding included. `starts`: where its sequences start, None where it is not said;
    `lengths`: how long those are that its rows of the data set name, without padding; [] where they name none."""

    ids: list[int]
    labels: list[int] | None
    mask: list[int] | None
    attention: list[int] | None
    starts: list[int] | None
    lengths: list[int]


def rows_of(
    batch: Batch, number: int | None, pad_id: int | None, eos_id: int | None, *, is_scored: bool = False
) -> list[LiveRow]:
    """The sequences of a batch. `is_scored`: the model gives rows scores, the first half of them the chosen ones.

    Raises CheckError for a batch without ids, or with labels that are not the tokens' own.
    """
    values = {name: listed(value) for name, value in batch.values.items()}
    values |= _joined(values)
    sides = [name.removesuffix("input_ids") for name in values if name.endswith("input_ids")]
    sides = [side for side in sides if side in ("", "chosen_", "rejected_") and _is_grid(values[f"{side}input_ids"])]
    if not sides:
        raise CheckError(
            f"A batch has no `input_ids` of two dimensions, a list of ids for each row; it holds "
            f"{', '.join(values) or 'nothing'}."
        )
    return [
        row
        for side in sides
        for place, line in _lines(values, side, batch, number, is_scored)
        for row in _sequences(line, place, pad_id, eos_id)
    ]


def listed(value: Any) -> Any:
    """A tensor or an array as lists; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def _is_grid(value: Any) -> TypeGuard[list[list[int]]]:
    """Whether a value is a list of lists of whole numbers."""
    return isinstance(value, list) and all(isinstance(row, list) and all(map(_is_number, row)) for row in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


def _joined(values: Mapping[str, Any]) -> dict[str, Any]:
    """Prompts and answers that stand in tensors of their own, as whole rows: DPO before TRL 1."""
    out: dict[str, Any] = {}
    for side in ("chosen_", "rejected_"):
        if not {"prompt_input_ids", f"{side}input_ids"} <= values.keys() or f"{side}labels" in values:
            continue
        for prompt, answer in zip(_unpadded(values, "prompt_"), _unpadded(values, side), strict=True):
            out.setdefault(f"{side}input_ids", []).append(prompt + answer)
            out.setdefault(f"{side}attention_mask", []).append([1] * len(prompt + answer))
            out.setdefault(f"{side}completion_mask", []).append([0] * len(prompt) + [1] * len(answer))
    return out


def _unpadded(values: Mapping[str, Any], side: str) -> list[list[int]]:
    ids: list[list[int]] = values[f"{side}input_ids"]
    masks = _grid(values, f"{side}{_MASK}", ids) or [[1] * len(row) for row in ids]
    return [[id for id, kept in zip(row, mask, strict=True) if kept] for row, mask in zip(ids, masks, strict=True)]


# --- lines


def _lines(
    values: Mapping[str, Any], side: str, batch: Batch, number: int | None, is_scored: bool
) -> Iterator[tuple[LiveRow, _Line]]:
    """Each line of the ids of a side, and a row without ids that says where it stands."""
    ids = values[f"{side}input_ids"]
    labels, mask, attention = (_grid(values, f"{side}{name}", ids) for name in ("labels", "completion_mask", _MASK))
    if f"{side}labels" in values and labels is None:
        raise CheckError(
            f"`{side}labels` has not one label for each token: this is not a batch of a causal language model, and "
            "which tokens are trained cannot be said."
        )
    is_completion = labels is None or bool(side)
    is_paired = is_scored or (mask is not None and "label" not in values)
    is_halved = is_completion and not side and is_paired and len(ids) % 2 == 0
    count = len(ids) // 2 if is_halved else len(ids)
    positions = _grid(values, "position_ids", ids) if not side else None
    for index, row_ids in enumerate(ids):
        row, own_mask = index % count, None if attention is None else attention[index]
        halves = ("chosen", "rejected")[index // count] if is_halved else side.rstrip("_")
        sources = _sources(batch, row, count)
        place = LiveRow(
            ids=(), trained=None, batch=number, row=row, side=halves, is_completion=is_completion,
            source=sources[0] if len(sources) == 1 else None,
        )  # fmt: skip
        yield (
            replace(place, is_kept_apart=_is_own(values.get(f"{side}{_MASK}"), own_mask)),
            _Line(
                ids=row_ids,
                labels=None if labels is None else labels[index],
                mask=None if mask is None else mask[index],
                attention=own_mask,
                starts=_starts(None if positions is None else positions[index], values, own_mask),
                lengths=_lengths(sources),
            ),
        )


_MASK = "attention_mask"


def _grid(values: Mapping[str, Any], name: str, ids: list[list[int]]) -> list[list[int]] | None:
    """A tensor of a number for each token; None where there is none of that shape."""
    value = values.get(name)
    return value if _is_grid(value) and list(map(len, value)) == list(map(len, ids)) else None


def _sources(batch: Batch, row: int, count: int) -> list[Any]:
    """The rows of the data set that a row of the batch was made of."""
    if len(batch.rows) == count:
        return [batch.rows[row]]
    return list(batch.rows) if count == 1 else []


def _is_own(given: Any, attention: list[int] | None) -> bool:
    """Whether a mask keeps sequences of a row apart: one of blocks, or one that numbers them, as axolotl's does."""
    return given is not None and (attention is None or max(attention, default=0) > 1)


def _starts(positions: list[int] | None, values: Mapping[str, Any], attention: list[int] | None) -> list[int] | None:
    """Where sequences start: where positions begin anew, the mask has another number, or the batch says so."""
    if attention is not None and max(attention, default=0) > 1:
        return [i for i, number in enumerate(attention) if i == 0 or number != attention[i - 1]]
    if positions:
        return [i for i, place in enumerate(positions) if i == 0 or place != positions[i - 1] + 1]
    bounds = values.get("cu_seq_lens_q")
    return bounds[:-1] if isinstance(bounds, list) and bounds else None


def _lengths(sources: list[Any]) -> list[int]:
    """How long the sequences are that were put into one row, by its rows of the data set."""
    rows = [source for source in sources if isinstance(source, Mapping)]
    if len(rows) == 1:
        lengths = listed(rows[0].get("seq_lengths"))
        return lengths if isinstance(lengths, list) and len(lengths) > 1 else []
    return [len(row["input_ids"]) for row in rows if "input_ids" in row]


# --- sequences


def _sequences(line: _Line, place: LiveRow, pad_id: int | None, eos_id: int | None) -> Iterator[LiveRow]:
    """The sequences of a line, without its padding."""
    bits, is_shifted = _bits(line)
    kept, has_hidden = _without_gaps(line, _kept(line, bits, pad_id, eos_id), pad_id, eos_id)
    starts, leaks = line.starts, False
    if starts is None and sum(line.lengths) == len(kept):
        starts, leaks = [kept[sum(line.lengths[:i])] for i in range(len(line.lengths))], not place.is_kept_apart
    bounds = [*(starts or [0]), len(line.ids)]
    parts = [[i for i in kept if start <= i < end] for start, end in pairwise(bounds)]
    parts = [part for part in parts if part and not _is_padding(line, bits, part, pad_id, len(bounds))]
    is_ignored = len(parts) > 1 and line.starts is not None and line.attention is not None
    is_trained = bits is not None and any(bits[i] for i in set(range(len(bits))) - set(kept))
    signs = {
        Oddity.SHIFTED: is_shifted, Oddity.LEAK: leaks, Oddity.MASKED: is_ignored and not place.is_kept_apart,
        Oddity.HIDDEN: has_hidden, Oddity.PADDING: is_trained,
    }  # fmt: skip
    oddities = tuple(oddity for oddity, is_there in signs.items() if is_there)
    for number, part in enumerate(parts):
        yield replace(
            place,
            ids=tuple(line.ids[i] for i in part),
            trained=None if bits is None else tuple(bits[i] for i in part),
            part=number if len(parts) > 1 else None,
            oddities=oddities if number == 0 else (),
        )


def _without_gaps(line: _Line, kept: list[int], pad_id: int | None, eos_id: int | None) -> tuple[list[int], bool]:
    """(the places with those between them, whether there were any): text that a mask hides is text all the same.

    Where padding and stop token are one, and the mask hides those between, it hides the row's own end, too.
    """
    if line.attention is None or not kept or len(kept) == kept[-1] + 1 - kept[0]:
        return kept, False
    end = kept[-1] + 1
    is_stop = end < len(line.ids) and pad_id == eos_id == line.ids[end]
    return list(range(kept[0], end + is_stop)), True


def _bits(line: _Line) -> tuple[list[bool] | None, bool]:
    """(whether each token is trained, whether the labels were shifted already); None where nothing says it."""
    if line.labels is None:
        return (None if line.mask is None else list(map(bool, line.mask))), False
    places = [i for i, label in enumerate(line.labels) if label != IGNORED]
    if all(line.labels[i] == line.ids[i] for i in places):
        return [label != IGNORED for label in line.labels], False
    if all(i + 1 == len(line.ids) or line.labels[i] == line.ids[i + 1] for i in places):
        return [False, *(label != IGNORED for label in line.labels[:-1])], True
    raise CheckError(
        "A label is neither its token's id, nor the next one's, nor -100: this is not a batch of a causal language "
        "model, and which tokens are trained cannot be said."
    )


def _kept(line: _Line, bits: list[bool] | None, pad_id: int | None, eos_id: int | None) -> list[int]:
    """The places that are not padding: by the mask, else without the padding tokens at both ends.

    A mask of ones alone says nothing of the padding after the text; what stands before the text it counts in.
    """
    if line.attention is not None and not all(line.attention):
        return [i for i, bit in enumerate(line.attention) if bit]
    if line.starts is not None or pad_id is None:
        return list(range(len(line.ids)))

    def is_padding(i: int) -> bool:
        return line.ids[i] == pad_id and not (bits and bits[i])

    start, end = 0, len(line.ids)
    while line.attention is None and start < end and is_padding(start):
        start += 1
    while start < end and is_padding(end - 1):
        end -= 1
    ends_in_padding = end < len(line.ids)
    if ends_in_padding and pad_id == eos_id and not (bits and bits[end - 1] and line.ids[end - 1] == eos_id):
        end += 1  # the first of them may be the row's own end
    return list(range(start, end))


def _is_padding(line: _Line, bits: list[bool] | None, part: list[int], pad_id: int | None, bounds: int) -> bool:
    """Whether a sequence among others is the padding after them, at whose every token positions begin anew."""
    return bounds > 2 and all(line.ids[i] == pad_id and not (bits and bits[i]) for i in part)
