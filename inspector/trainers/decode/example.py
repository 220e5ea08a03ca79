"""An example of a log: its ids read back into a conversation, and its labels compared with the exact ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from inspector.errors import InspectorError
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.model.tokenizer import text_of
from inspector.read_back import frames, read_conversation
from inspector.rendering.origins import common_start
from inspector.strategies.base import IGNORED
from inspector.trainers.decode.compared import Compared, Difference, compare_labels
from inspector.trainers.decode.rows import LoggedRow


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedExample:
    """One example of the log.

    `text`: its decoded ids. `inspection`: the inspection of the conversation in it; None if none could be read.
    `is_exact`: whether the inspection's ids are exactly the logged ids. `labels`: those of the log, one per id; None if
    it has none. `is_partial`: the log has only labels, and `ids` are the trained ones. `pieces`: (text, whether it
    trains) of each run of ids. `compared`: the labels compared with the exact ones, if the ids are exact.
    `differences`: the kinds of their differences. `says`: notes about the example.
    """

    ids: tuple[int, ...]
    text: str
    inspection: Inspection | None
    is_exact: bool
    labels: tuple[int, ...] | None = None
    is_partial: bool = False
    trainer: str = ""
    pieces: tuple[tuple[str, bool], ...] = ()
    compared: Compared | None = None
    differences: frozenset[Difference] = frozenset()
    says: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        read = self.inspection
        return {
            "ids": list(self.ids),
            "text": self.text,
            "exact": self.is_exact,
            "conversation": None if read is None else read.example.conversation.to_json(),
            "findings": [finding.to_dict() for finding in read.findings] if read else [],
            "labels": None if self.labels is None else list(self.labels),
            "labels_only": self.is_partial,
            "compared": None if self.compared is None else self.compared.to_dict(),
            "says": list(self.says),
        }


def logged_example(model: Model, row: LoggedRow) -> LoggedExample:
    """The example of a row: read back into a conversation if possible, and compared if it is exact."""
    if row.is_partial:
        return _labels_alone(model, row)
    best: Inspection | None = None
    for tried in _unpadded(model, row):
        for inspection in _readings(model, text_of(model.tokenizer, tried.ids)):
            best = best or inspection
            if tuple(inspection.ids) == tried.ids:
                return _read(model, tried, inspection, is_exact=True)
            if tried.from_text and (whole := _with_end(model, tried, inspection)):
                return _read(model, whole, inspection, is_exact=True)
    return _read(model, row, best, is_exact=False)


def _readings(model: Model, text: str) -> Iterator[Inspection]:
    """Inspections of the conversation that the text reads as, as it is and with a generation prompt after it."""
    messages = read_conversation(model, text)
    if not messages:
        return
    for prompt in (False, True):
        keywords = {"add_generation_prompt": True} if prompt else {}
        try:
            yield inspect(model, {"messages": messages, **keywords})
        except InspectorError:
            continue


def _with_end(model: Model, row: LoggedRow, inspection: Inspection) -> LoggedRow | None:
    """The row with the blank end that a copied text has lost; None if something else differs too."""
    ids, size = tuple(inspection.ids), len(row.ids)
    if ids[:size] != row.ids or text_of(model.tokenizer, ids[size:]).strip():
        return None
    labels = None if row.labels is None else row.labels + (IGNORED,) * (len(ids) - size)
    return replace(row, ids=ids, labels=labels)


def _unpadded(model: Model, row: LoggedRow) -> Iterator[LoggedRow]:
    """The row, and the row without padding at its ends, which does not train."""
    yield row
    pad = model.tokenizer.pad_token_id
    start, stop = 0, len(row.ids)
    while stop > start and row.ids[stop - 1] == pad and not (row.labels and row.labels[stop - 1] >= 0):
        stop -= 1
    while start < stop and row.ids[start] == pad and not (row.labels and row.labels[start] >= 0):
        start += 1
    if stop - start < len(row.ids):
        for end in {stop, min(stop + 1, len(row.ids))}:  # if padding is the stop token, one of them ends the answer
            yield row.kept(range(start, end))


def _read(model: Model, row: LoggedRow, inspection: Inspection | None, *, is_exact: bool) -> LoggedExample:
    compared = None
    says: list[str] = []
    if row.labels is not None:
        trained = [label for label in row.labels if label >= 0]
        says.append(_trained_text(model, trained, len(row.labels)))
        if inspection is not None and is_exact:
            compared = compare_labels(row.labels, inspection)
            says += compared.says
        else:
            says.append(_why_unknown(row, inspection))
    return LoggedExample(
        ids=row.ids,
        text=text_of(model.tokenizer, row.ids),
        inspection=inspection,
        is_exact=is_exact,
        labels=row.labels,
        trainer=row.trainer,
        pieces=_pieces(model, row, inspection if is_exact else None),
        compared=compared,
        differences=compared.differences if compared else _nothing(row.labels),
        says=tuple(says),
    )


def _pieces(model: Model, row: LoggedRow, exact: Inspection | None) -> tuple[tuple[str, bool], ...]:
    """(text, whether it trains) of each run of ids; characters encoded by several tokens are whole if `exact`."""
    labels = row.labels or (IGNORED,) * len(row.ids)
    texts = None if exact is None else exact.example.tokens.pieces()
    out = []
    for is_trained, run in groupby(range(len(labels)), key=lambda i: labels[i] >= 0):
        places = list(run)
        text = text_of(model.tokenizer, [row.ids[i] for i in places])
        out.append((text if texts is None else "".join(texts[i] for i in places), is_trained))
    return tuple(out)


def _nothing(labels: Sequence[int] | None) -> frozenset[Difference]:
    """The only difference that labels show by themselves."""
    return frozenset({Difference.NOTHING} if labels is not None and all(label < 0 for label in labels) else ())


def _trained_text(model: Model, trained: Sequence[int], count: int) -> str:
    if not trained:
        return f"Nothing is trained: all {count} labels are -100."
    text = text_of(model.tokenizer, trained)
    shown = repr(text) if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]!r} … {text[-_SHOWN // 2 :]!r}"
    return f"{len(trained)} of {count} tokens are trained: {shown}."


_SHOWN = 400


def _why_unknown(row: LoggedRow, inspection: Inspection | None) -> str:
    if inspection is None:
        return (
            "No conversation could be read from the ids by the headers of this model's template, so what should be "
            "trained is unknown."
        )
    other = inspection.ids
    at = common_start(row.ids, other)
    here, there = (text_of(inspection.model.tokenizer, list(ids)[at : at + 6]) for ids in (row.ids, other))
    return (
        f"This model's template writes the conversation with other ids, from token {at} on: the log has {here!r}, the "
        f"template {there!r}. So what should be trained is unknown."
    )


def _labels_alone(model: Model, row: LoggedRow) -> LoggedExample:
    """An example with only labels in the log: the trained text, and the headers in it."""
    labels = row.labels or ()
    text = text_of(model.tokenizer, row.ids)
    says = [_trained_text(model, row.ids, len(labels))]
    trained = []
    if row.ids:
        headers, closings = frames(model)
        trained = [(header, role) for header, role in headers.items() if header in text]
        says += [f"The header of messages of role {role} is trained: {header!r}." for header, role in trained]
        stops = tuple(closing.strip() for closing in closings if closing.strip())
        ends = text.rstrip().endswith(stops) if stops else True
        if not ends:
            says.append(
                f"What is trained does not end in the token that ends an answer: {' or '.join(map(repr, stops))}."
            )
        says.append("The log has labels alone, so the text that is not trained, and what should be, are unknown.")
    return LoggedExample(
        ids=row.ids,
        text=text,
        inspection=None,
        is_exact=False,
        labels=labels,
        is_partial=True,
        trainer=row.trainer,
        pieces=((text, True),),
        differences=frozenset({Difference.PROMPT}) if trained else _nothing(labels),
        says=tuple(says),
    )
