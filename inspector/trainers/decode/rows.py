"""Reads the rows in a log: lists of ids and labels, axolotl's pairs, tables, and texts in which spaces are masks.

Each reader takes a plain log and returns LoggedRows. A list that cannot be a row is skipped; one that is shortened with
"..." is named in an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from inspector.errors import LogError
from inspector.model.model import Model
from inspector.model.tokenizer import ids_alone, text_of
from inspector.strategies.base import IGNORED
from inspector.tokens import named_panics
from inspector.trainers.decode.log_text import squashed, unprefixed


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRow:
    """A row of the log. `labels`: one per id, -100 if it does not train; None if the log does not say.

    `trainer`: the trainer that prints rows in this form, "" if unknown. `is_partial`: `ids` are only the trained ones,
    and `labels` are all labels of the row. `from_text`: the ids come from a text, whose end a copy may have lost.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...] | None = None
    trainer: str = ""
    is_partial: bool = False
    from_text: bool = False

    def kept(self, places: Sequence[int]) -> LoggedRow:
        """The row reduced to these places."""
        labels = None if self.labels is None else tuple(self.labels[i] for i in places)
        return replace(self, ids=tuple(self.ids[i] for i in places), labels=labels)


def check_ids(model: Model, ids: Sequence[int]) -> tuple[int, ...]:
    """The ids. Raises LogError if the model does not have one of them."""
    wrong = next((id for id in ids if not 0 <= id < len(model.tokenizer)), None)
    if wrong is None:
        return tuple(ids)
    if wrong < 0:
        raise LogError(
            f"The log holds the id {wrong} among input_ids: it stands for an image or other media, which are not text. "
            "Paste a row without media, or only its labels."
        )
    raise LogError(
        f"The log holds the id {wrong}, and {model.name} has ids up to {len(model.tokenizer) - 1}: the log "
        "is of another model."
    )


# --- lists

_NUMBER = r"-?\d{1,12}(?:\.0*(?!\d))?"
_LIST = re.compile(rf"\[\s*({_NUMBER}(?:(?:\s*,\s*|\s+)(?:{_NUMBER}|\.\.\.|…))*)\s*,?\s*\]")
_IDS = "input_ids|token_ids|tokens|ids|inputs"
_LABELS = "labels_ids|label_ids|labels|targets"
_MASKS = (
    "loss_mask|response_mask|completion_mask|assistant_masks|assistant_mask|assistant_tokens_mask|train_mask|"
    "loss_weights|weights"
)
_PARTS = "prompts|prompt_ids|responses|response_ids"
_OTHERS = "attention_mask|position_ids|token_type_ids|mm_token_type_ids"
_NAME = re.compile(
    rf"(?<![A-Za-z])(?:chosen_|rejected_)?({_OTHERS}|{_PARTS}|{_MASKS}|{_LABELS}|{_IDS})"
    r"(?:[\W\d_]|tensor|array|torch|np|list|tolist|shape|dtype|int64)*$",
    re.IGNORECASE,
)
MIN_IDS = 4
"""Minimum numbers in a list without a name for it to count as ids."""


@dataclass(frozen=True, slots=True)
class _NamedList:
    name: str
    numbers: tuple[int, ...]


def listed_rows(model: Model, log: str, notes: list[str], *, named: bool) -> list[LoggedRow]:
    """The rows of lists of ids, with the labels or masks that follow them.

    `named`: whether only lists called input_ids, labels or similar count; others are then part of texts. Raises
    LogError for ids of another model.
    """
    rows: list[LoggedRow] = []
    kept: dict[int, list[int]] = {}
    pending: tuple[int, ...] = ()
    trainer = _printer(log)
    lists = list(_lists(log, notes))
    if named:
        lists = [found for found in lists if found.name]
    for found in lists:
        name, numbers = found.name, found.numbers
        if name in ("prompts", "prompt_ids"):
            pending = check_ids(model, numbers)
        elif name in ("responses", "response_ids"):
            if any(row.ids == pending + numbers for row in rows):
                continue
            rows.append(LoggedRow(ids=check_ids(model, pending + numbers), trainer=trainer))
        elif name in _OTHERS.split("|"):
            kept |= _padded(rows, numbers, kept) if name == "attention_mask" else {}
        elif not _annotates(rows, name, numbers, trainer) and (row := _new_row(model, name, numbers, trainer)):
            rows.append(row)
    return [row.kept(kept[at]) if at in kept else row for at, row in enumerate(rows)]


def _lists(log: str, notes: list[str]) -> Iterator[_NamedList]:
    text = unprefixed(log)
    end, name = 0, ""
    for match in _LIST.finditer(text):
        before = text[max(end, match.start() - 120) : match.start()]
        named = _NAME.search(before)
        is_next = name and end and re.fullmatch(r"[\s\[\](),]*", before) and "," in before
        name = named.group(1).lower() if named else name if is_next else ""
        end = match.end()
        body = match.group(1)
        if before.rstrip("`'\" ").endswith(" key"):  # the ids that TRL's collator searched for
            continue
        if "..." in body or "…" in body:
            line = text.count("\n", 0, match.start()) + 1
            notes.append(
                f"The list in line {line} is shortened with '...', so it cannot be read: print it whole, with "
                "print(list(ids)) or ids.tolist()."
            )
            continue
        numbers = tuple(int(number.split(".")[0]) for number in re.split(r"[\s,]+", body))
        if len(numbers) >= (2 if name else MIN_IDS):
            yield _NamedList(name, numbers)


def _printer(log: str) -> str:
    """The trainer that prints rows in this form; "" if unknown."""
    text = squashed(log)
    if "[labels_ids]" in text or "[input_ids][" in text:
        return "ms-swift"
    if "label_ids:" in text and "input_ids:" in text and "inputs:" in text:
        return "LLaMA-Factory"
    if "completion_mask" in text or "assistant_masks" in text:
        return "TRL"
    return "verl" if "loss_mask" in text or "response_mask" in text else ""


def _annotates(rows: list[LoggedRow], name: str, numbers: tuple[int, ...], trainer: str) -> bool:
    """Whether the list labels an earlier row; that row in `rows` is replaced by one with labels."""
    is_mask = name in _MASKS.split("|") or (not name and set(numbers) <= {0, 1})
    for at, row in enumerate(rows):
        if row.labels is not None or row.is_partial:
            continue
        size = len(row.ids) - len(numbers)
        if is_mask and (size == 0 or (size > 0 and name == "response_mask")):
            bits = (0,) * size + numbers
            labels = tuple(id if bit else IGNORED for id, bit in zip(row.ids, bits, strict=True))
        elif not is_mask and not size and _may_be_labels(name, numbers) and (found := _labels(row.ids, numbers)):
            labels = found
        else:
            continue
        rows[at] = replace(row, labels=labels, trainer=row.trainer or trainer)
        return True
    return is_mask and bool(name)


def _may_be_labels(name: str, numbers: tuple[int, ...]) -> bool:
    return name in _LABELS.split("|") or (not name and min(numbers) < 0)


def _labels(ids: Sequence[int], labels: Sequence[int]) -> tuple[int, ...] | None:
    """The labels of the ids, shifted back by one if a trainer shifted them; None if they belong to other ids."""
    for shift in (0, 1):
        moved = (IGNORED,) * shift + tuple(labels)[: len(labels) - shift]
        if all(label < 0 or label == id for id, label in zip(ids, moved, strict=True)):
            return tuple(IGNORED if label < 0 else label for label in moved)
    return None


def _new_row(model: Model, name: str, numbers: tuple[int, ...], trainer: str) -> LoggedRow | None:
    """The row that a list begins; only labels if the list has -100."""
    if _may_be_labels(name, numbers) or (name != "input_ids" and IGNORED in numbers):
        trained = tuple(number for number in numbers if number >= 0)
        return LoggedRow(ids=check_ids(model, trained), labels=numbers, trainer=trainer, is_partial=True)
    if not name and set(numbers) <= {0, 1}:
        return None
    return LoggedRow(ids=check_ids(model, numbers), trainer=trainer)


def _padded(rows: list[LoggedRow], mask: tuple[int, ...], known: Collection[int]) -> dict[int, list[int]]:
    """The places of a row to keep: those, within the mask's length, where the mask is 1."""
    for at, row in enumerate(rows):
        if at not in known and len(row.ids) == len(mask) and set(mask) <= {0, 1} and not row.is_partial:
            return {at: [i for i, bit in enumerate(mask) if bit]}
    return {}


# --- pairs

_PAIR = re.compile(r"\(\s*(-?\d{1,12})\s*,\s*(?:[01]\s*,\s*)?(-?\d{1,12})\s*\)")
_BETWEEN = re.compile(
    r"Total input len|Count of labels|Number of positions|^\s*\[?\d{4}-\d\d-\d\d[ T][\d:.,]+\]?", re.MULTILINE
)


def paired_rows(model: Model, log: str) -> list[LoggedRow]:
    """axolotl's check of labels: each token's text, then (label, id), or (label, mask, id) in older versions."""
    rows = []
    for part in _BETWEEN.split(log):
        pairs = list(_pairs(model, part))
        is_certain = any(label < 0 or is_shown for label, _, is_shown in pairs)
        if len(pairs) >= MIN_IDS and is_certain:
            labels, ids, _ = zip(*pairs, strict=True)
            rows.append(LoggedRow(ids=check_ids(model, ids), labels=labels, trainer="axolotl"))
    return rows


def _pairs(model: Model, text: str) -> Iterator[tuple[int, int, bool]]:
    """(label, id, whether the text before it is its token's)."""
    end = 0
    for match in _PAIR.finditer(text):
        one, other = int(match.group(1)), int(match.group(2))
        label, id = (other, one) if other < 0 else (one, other)
        shown = text[end : match.start()]
        end = match.end()
        if id < 0 or (label >= 0 and label != id):
            continue
        wanted = squashed(text_of(model.tokenizer, [id])) if id < len(model.tokenizer) else ""
        there = squashed(shown)
        is_blank = not wanted or "\ufffd" in wanted or not there.strip("[](),")  # nothing to compare
        if is_blank or there.endswith(wanted):
            yield (IGNORED if label < 0 else label), id, not is_blank


_COLOURED = re.compile(r"\x1b?\[3([1-3])m(.*?)\x1b?\[0m", re.DOTALL)
_RED = "1"


def coloured_rows(model: Model, log: str) -> list[LoggedRow]:
    """axolotl's check of labels without numbers (`--debug-text-only`): each token's text, red where it does not train.

    `log`: with its colours. The ids are those of the text, if its tokens are printed in this way. Otherwise, in an
    axolotl log, only the trained text is known: single tokens may be printed without their blanks.
    """
    rows = []
    for printed in _runs(log.replace("\r\n", "\n")):
        ids = _ids(model, "".join(text for _, text in printed))
        is_trained = [colour != _RED for colour, _ in printed]
        if [text_of(model.tokenizer, [id]) for id in ids] == [text for _, text in printed]:
            labels = tuple(id if bit else IGNORED for id, bit in zip(ids, is_trained, strict=True))
            rows.append(LoggedRow(ids=ids, labels=labels, trainer="axolotl"))
        elif "axolotl" in log:
            parts = [(bit, _ids(model, text)) for bit, text in _joined(is_trained, [text for _, text in printed])]
            trained = tuple(id for bit, part in parts for id in part if bit)
            labels = tuple(id if bit else IGNORED for bit, part in parts for id in part)
            rows.append(LoggedRow(ids=trained, labels=labels, trainer="axolotl", is_partial=True))
    return rows


def _runs(log: str) -> Iterator[list[tuple[str, str]]]:
    """(colour, text) of texts that follow each other directly, if there are enough for a row."""
    run: list[tuple[str, str]] = []
    end = -1
    for match in _COLOURED.finditer(log):
        if match.start() != end and run:
            yield from [run] * (len(run) >= MIN_IDS)
            run = []
        run.append((match.group(1), match.group(2)))
        end = match.end()
    yield from [run] * (len(run) >= MIN_IDS)


def _joined(bits: Sequence[bool], texts: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """The texts, with neighbours of the same bit joined."""
    for bit, group in groupby(zip(bits, texts, strict=True), key=lambda one: one[0]):
        yield bit, "".join(text for _, text in group)


_TABLE = re.compile(r"^[ \t|]*(\d{1,12})[ \t|]+(-100|\d{1,12})(?:[ \t|].*)?$", re.MULTILINE)


def table_rows(model: Model, log: str) -> list[LoggedRow]:
    """Rows from lines of an id, its label, and optionally its text."""
    pairs = [(int(id), int(label)) for id, label in _TABLE.findall(log)]
    if len(pairs) < MIN_IDS or any(label not in (IGNORED, id) for id, label in pairs):
        return []
    if all(label != IGNORED for _, label in pairs):
        return []
    ids, labels = zip(*pairs, strict=True)
    return [LoggedRow(ids=check_ids(model, ids), labels=labels)]


# --- TRL's text of an instance

_INSTANCE = re.compile(
    r"Could not find (?:response|instruction) key .{0,2000}? in the following instance:\s*(.*?)\s*"
    r"(?:This instance will be ignored|\Z)",
    re.DOTALL,
)


def instance_rows(model: Model, log: str) -> list[LoggedRow]:
    """The texts after TRL's "Could not find response key"."""
    texts = [match.group(1) for match in _INSTANCE.finditer(log)]
    return [LoggedRow(ids=_ids(model, text), trainer="TRL", from_text=True) for text in texts if text.strip()]


def _ids(model: Model, text: str) -> tuple[int, ...]:
    with named_panics(model.tokenizer):
        return tuple(ids_alone(model.tokenizer, text))


# --- ms-swift's text of labels

_RUN = re.compile(r"\[-100(?:\s*\*\s*(\d{1,9}))?\]")
_SWIFT = re.compile(
    r"^[^\n]{0,200}?\[(INPUT|LABELS)\][ ]?(.*?)(?=^[^\n]{0,200}?\[[A-Z_]{4,}\]|\Z)", re.MULTILINE | re.DOTALL
)


def run_rows(model: Model, log: str) -> list[LoggedRow]:
    """ms-swift's [INPUT] and [LABELS], in whose text `[-100 * 25]` stands for 25 tokens that do not train."""
    parts = {name: text.removesuffix("\n") for name, text in _SWIFT.findall(log)}
    text = parts.get("LABELS", "")
    if not _RUN.search(text):
        return []
    labels: list[int] = []
    end = 0
    for match in _RUN.finditer(text):
        labels += _ids(model, text[end : match.start()]) + (IGNORED,) * min(int(match.group(1) or 1), 1_000_000)
        end = match.end()
    labels += _ids(model, text[end:])
    for end_of_text in ("", "\n"):  # which a copy may have lost
        ids = _ids(model, parts.get("INPUT", "") + end_of_text)
        if len(ids) == len(labels) and _labels(ids, labels):
            return [LoggedRow(ids=ids, labels=tuple(labels), trainer="ms-swift")]
    trained = tuple(label for label in labels if label >= 0)
    return [LoggedRow(ids=trained, labels=tuple(labels), trainer="ms-swift", is_partial=True)]
