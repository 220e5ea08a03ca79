"""A row that came with ids and labels -> LabelledIds, as the trainers that write such rows mean them.

A token trains if every column about training says so: `labels` (its id, or a number below 0), masks of 0 and 1 as TRL,
verl and NeMo write them, weights as tinker and Fireworks do. Labels may stand at the previous token, as `target_tokens`
always do: the ids show that. Masks alone cannot show it, so the caller has to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inspector.conversation import IGNORED, Change, Conversation, LabelledIds, Segment, Step
from inspector.data.columns import Columns
from inspector.errors import FormatError, kind_of

_DEPTH = 4
"""Maximum nesting of lists: ids in a batch, in tinker's chunks."""
_LARGEST = 2**63
MASKS = ("loss_mask", "assistant_masks", "completion_mask", "weights")
"""Columns with a number for each token, 0 if it does not train."""
LABEL_COLUMNS = ("labels", "target_tokens", *MASKS)
"""Columns that say of each token whether it trains."""
LABELLED_NAMES: Mapping[str, tuple[str, ...]] = {
    "input_ids": ("token_ids", "tokens", "chosen_input_ids", "completion_input_ids"),
    "labels": ("label_ids", "chosen_labels", "completion_labels"),
    "target_tokens": ("target_ids", "target_token_ids"),
    "loss_mask": ("loss_masks", "response_mask"),
    "assistant_masks": ("assistant_mask", "assistant_tokens_mask"),
    "completion_mask": (),
    "weights": ("token_weights", "loss_weights", "loss_scale"),
    "attention_mask": ("chosen_attention_mask", "completion_attention_mask"),
    "position_ids": (),
    "seq_lengths": (),
    "model_input": (),
    "loss_fn_inputs": (),
}
"""Our names of columns, and other names for each."""
ID_NAMES = ("input_ids", *LABELLED_NAMES["input_ids"])
"""Names of columns that hold ids."""
_LABEL_NAMES = frozenset(name for column in LABEL_COLUMNS for name in (column, *LABELLED_NAMES[column]))


def holds_ids(value: Any, depth: int = _DEPTH) -> bool:
    """Whether a value may be a row's ids.

    Whole numbers in a list, a batch of lists, text of these, or tinker's input.
    """
    if isinstance(value, str):
        return value.lstrip().startswith("[") and value.strip(" \t\r\n[],0123456789.") == ""
    if isinstance(value, Mapping):
        return bool({"chunks", "tokens", "data"} & set(value))
    value = _plain(value)
    if not isinstance(value, list | tuple) or not value or not depth:
        return False
    if isinstance(value[0], list | tuple):
        return all(holds_ids(one, depth - 1) for one in value)
    return all(isinstance(one, int | float) and not isinstance(one, bool) and one % 1 == 0 for one in value)


def holds_list(value: Any) -> bool:
    """Whether a value may have an entry for each token: a list, the text of a list, or an object with lists."""
    if isinstance(value, str):
        return value.lstrip().startswith("[")
    return isinstance(_plain(value), list | tuple | Mapping)


def is_labelled(value: Mapping[str, Any]) -> bool:
    """Whether an object is one row of ids, or a batch. A column `tokens` may be a count: it needs labels next to it."""
    name = next((name for name in ID_NAMES if name in value), None)
    if name is None or not holds_ids(value[name]):
        return False
    return name != "tokens" or not _LABEL_NAMES.isdisjoint(value)


def rows_of_batch(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a batch: a row whose ids are several lists, as a collator makes it. Empty for any other row.

    A column with the same number of entries is split too; every other column is copied to each row.
    """
    name = next((name for name in ID_NAMES if name in row), None)
    ids = None if name is None else _plain(row[name])
    if not isinstance(ids, list | tuple) or len(ids) < 2 or not holds_ids(ids):
        return []
    if not all(isinstance(_plain(one), list | tuple) for one in ids):
        return []
    columns = {key: _plain(value) for key, value in row.items()}
    is_batch = {key: isinstance(value, list | tuple) and len(value) == len(ids) for key, value in columns.items()}
    return [{key: value[i] if is_batch[key] else value for key, value in columns.items()} for i in range(len(ids))]


def read_labelled(columns: Columns, *, shifted: bool = False) -> Conversation:
    """The tokens and labels of a row. `shifted`: a mask's entry is about the next token.

    Raises FormatError, which names the column and the place in it.
    """
    row = _Row(columns)
    ids, targets, masks = row.ids(), row.targets(), row.masks()
    if targets is None and not masks:
        raise FormatError(f"{row.says_nothing}, and must say of each token whether it is trained.")
    trained = [True] * len(ids)
    for name, weights in masks:
        row.check_length(name, weights, len(ids))
        trained = [bit and bool(weight) for bit, weight in zip(trained, row.weights(name, weights), strict=True)]
    name, labels, is_next = masks[0][0] if masks else "", None, shifted
    if targets is not None:
        name, labels = targets
        row.check_length(name, labels, len(ids))
        trained = [bit and label >= 0 for bit, label in zip(trained, labels, strict=True)]
        is_next = row.is_of_next(name, ids, labels, trained)
        if shifted and not is_next:
            labels, is_next = None, True
    kept = row.real(name, trained)
    ids, trained = [ids[i] for i in kept], [trained[i] for i in kept]
    if not ids:
        raise FormatError(f"{row.where} holds no token.")
    if is_next and trained[-1] and labels is None:
        raise FormatError(f"{name} trains the token after the last one, and the row does not hold that token.")
    if is_next and labels is not None and (trained[-1] or row.is_target(name)):
        ids.append(labels[kept[-1]])
    if is_next:
        trained = [False, *trained][: len(ids)]
    both = zip(ids, trained, strict=True)
    labelled = LabelledIds(tuple(ids), tuple(id if bit else IGNORED for id, bit in both))
    return Conversation(messages=(), labelled=labelled, changes=tuple(columns.changes))


def holds_segments(value: Any) -> bool:
    """Whether a value is texts with labels, as axolotl's `input_output` has them."""
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(part, Mapping) and {"label", "text"} <= part.keys() for part in value)
    )


def read_segments(columns: Columns) -> Conversation:
    """The labelled texts of a row, which a model turns into ids. Raises FormatError, ConversationError."""
    where, segments = columns.names["segments"], columns.parsed("segments")
    if not isinstance(segments, list | tuple) or not segments:
        raise FormatError(
            f"The column {where!r} is {columns.kind(where, segments)}, and must be a list of texts with labels."
        )
    read = tuple(Segment.parse(part, f"{where}[{i}]") for i, part in enumerate(segments))
    return Conversation(messages=(), segments=read, changes=tuple(columns.changes))


class _Row:
    """The columns of one row, as lists of numbers."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        names = columns.names
        self._datum = columns.parsed("loss_fn_inputs") if "model_input" in names else None
        self.where = names.get("input_ids") or names["model_input"]
        self.says_nothing = f"The column {names.get('loss_fn_inputs')!r} holds neither target_tokens nor weights"
        if self._datum is None:
            silent = next(names[name] for name in LABEL_COLUMNS if name in names)
            self.says_nothing = f"The column {silent!r} is missing"

    def ids(self) -> list[int]:
        """The token ids."""
        name = "input_ids" if "input_ids" in self._columns.names else "model_input"
        ids = self._whole(self.where, self._columns.parsed(name))
        odd = next((i for i, id in enumerate(ids) if id < 0), None)
        if odd is not None:
            raise FormatError(f"{self.where}[{odd}] is {ids[odd]}, and must be the id of a token, from 0 on.")
        return ids

    def targets(self) -> tuple[str, list[int]] | None:
        """The name of the column of labels and its value; None if the row has only masks."""
        found = next(self._given("labels", "target_tokens"), None)
        return None if found is None else (found[0], self._whole(*found))

    def masks(self) -> list[tuple[str, list[float]]]:
        """The masks, each with its column's name."""
        return [(name, _numbers(name, value)) for name, value in self._given(*MASKS)]

    def check_length(self, name: str, values: Sequence[float], count: int) -> None:
        """Raise FormatError for a column that does not have one entry for each token."""
        if len(values) != count:
            raise FormatError(
                f"{name} is a list of {len(values)}, and {self.where} one of {count}: each token must have an entry."
            )

    def weights(self, name: str, values: Sequence[float]) -> Sequence[float]:
        """A mask.

        Weights other than 0 count as 1, since all trained tokens have one weight here; the change is recorded.
        """
        odd = next((i for i, value in enumerate(values) if value not in (0, 1)), None)
        if odd is None:
            return values
        negative = next((i for i, value in enumerate(values) if value < 0), None)
        if negative is not None:
            raise FormatError(
                f"{name}[{negative}] is {values[negative]:g}, and must be 0 where the token is not trained, else 1."
            )
        self._note(f"{name}, whose weights other than 0 count as 1, such as that of token {odd}", values[odd], 1)
        return values

    def is_target(self, name: str) -> bool:
        """Whether a column holds the next token at each place, trained or not."""
        return name.endswith(".target_tokens") or name == self._columns.names.get("target_tokens")

    def is_of_next(self, name: str, ids: Sequence[int], labels: Sequence[int], trained: Sequence[bool]) -> bool:
        """Whether the labels stand at the previous token, according to the ids. Raises FormatError."""
        is_target = self.is_target(name)
        here, before = (_first_other(own, labels, trained) for own in (ids, ids[1:]))
        if here is None and not is_target:
            return False
        if before is not None:
            at = before if is_target or here is None else here
            wanted = f"the id of the next token, {ids[at + 1]}" if is_target else f"the token's id, {ids[at]}"
            raise FormatError(
                f"{name}[{at}] is {labels[at]}, and must be {wanted}, or {IGNORED} where it is not trained. "
                f"A column of 0 and 1 is a mask: map loss_mask={name}."
            )
        if not is_target:
            self._note(f"{name}, each of which stands at the token before its own")
        return True

    def real(self, name: str, trained: Sequence[bool]) -> list[int]:
        """The places of the tokens that are not padding. Padding and packed rows are recorded as changes.

        Raises FormatError if padding trains.
        """
        count, where = len(trained), self._columns.names.get("attention_mask", "")
        attention = _numbers(where, self._columns.parsed("attention_mask")) if "attention_mask" in self._columns else []
        if attention:
            self.check_length(where, attention, count)
        kept = [i for i in range(count) if not attention or attention[i]]
        odd = next((i for i, bit in enumerate(attention) if not bit and trained[i]), None)
        if odd is not None:
            raise FormatError(f"{name} trains token {odd}, which is padding by {where}.")
        if len(kept) < count:
            self._note(f"{where}, by which {count - len(kept)} of {count} tokens are padding and left out")
        positions = self._columns.parsed("position_ids")
        is_flat = isinstance(positions, list | tuple) and len(positions) == count
        packed = max(
            sum(positions[i] == 0 for i in kept) if is_flat else 0,
            len({attention[i] for i in kept}) if attention else 0,
            len(self._columns.parsed("seq_lengths") or ()),
        )
        if packed > 1:
            self._note(f"{packed} rows are packed into one, which is read and trained as one")
        return kept

    def _given(self, *names: str) -> Iterator[tuple[str, Any]]:
        """The columns with a value, and their values."""
        if self._datum is None:
            yield from ((self._columns.names[n], self._columns.parsed(n)) for n in names if n in self._columns)
            return
        where = self._columns.names["loss_fn_inputs"]
        if not isinstance(self._datum, Mapping):
            raise FormatError(f"The column {where!r} is {kind_of(self._datum)}, and must be an object.")
        yield from ((f"{where}.{n}", self._datum[n]) for n in names if self._datum.get(n) is not None)

    def _note(self, where: str, before: Any = None, after: Any = None) -> None:
        """Record the change. Raises FormatError if the step is left out."""
        if not self._columns.does(Step.LABELS):
            raise FormatError(f"These are not plain ids and labels: {where}. The step `labels` reads them.")
        self._columns.changes.append(Change(Step.LABELS, where, before, after))

    def _whole(self, name: str, value: Any) -> list[int]:
        numbers = _numbers(name, value)
        odd = next((i for i, number in enumerate(numbers) if number % 1), None)
        if odd is not None:
            raise FormatError(f"{name}[{odd}] is {numbers[odd]:g}, and must be a whole number.")
        return list(map(int, numbers))


def _first_other(ids: Sequence[int], labels: Sequence[int], trained: Sequence[bool]) -> int | None:
    """The first place where a trained label is not the token's id."""
    return next((i for i, (id, label, bit) in enumerate(zip(ids, labels, trained)) if bit and label != id), None)  # noqa: B905


def _numbers(name: str, value: Any, depth: int = _DEPTH) -> list[float]:
    """The numbers of a column: a list, one in a batch of one, a tensor's data, or the chunks of tinker's input."""
    value = _plain(value)
    if isinstance(value, Mapping) and isinstance(value.get("chunks"), list | tuple):
        return [number for i, chunk in enumerate(value["chunks"]) for number in _chunk(f"{name}.chunks[{i}]", chunk)]
    held = next((key for key in ("data", "tokens") if key in value), None) if isinstance(value, Mapping) else None
    if held is not None and depth:
        return _numbers(f"{name}.{held}", value[held], depth - 1)
    if not isinstance(value, list | tuple):
        raise FormatError(f"The column {name!r} is {kind_of(value)}, and must be a list with a number for each token.")
    if value and depth and all(isinstance(_plain(one), list | tuple) for one in value):
        if len(value) > 1:
            raise FormatError(
                f"{name} holds a batch of {len(value)} lists, and a row holds one: write each as a separate row."
            )
        return _numbers(f"{name}[0]", value[0], depth - 1)
    for i, one in enumerate(value):
        if not isinstance(one, int | float):
            raise FormatError(f"{name}[{i}] is {kind_of(one)}, and must be a number.")
        if not -_LARGEST < one < _LARGEST:
            raise FormatError(f"{name}[{i}] must be a number of at most 63 bits.")
    return [one + 0 for one in value]


def _chunk(name: str, chunk: Any) -> list[float]:
    if not isinstance(chunk, Mapping) or "tokens" not in chunk:
        raise FormatError(f"{name} holds no tokens, and only text can be read: images and sounds are not trained here.")
    return _numbers(f"{name}.tokens", chunk["tokens"])


def _plain(value: Any) -> Any:
    """An array as a list."""
    return value.tolist() if hasattr(value, "tolist") else value
