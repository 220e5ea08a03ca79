"""A data set -> a run's rows: each is inspected, and cut according to the spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import inspector
from inspector.conversation import Conversation
from inspector.data.formats import is_labelled_row, read
from inspector.data.layouts import Format, Layout
from inspector.data.readers import ANY_TEMPLATE, NO_TEMPLATE, Sample, text_template
from inspector.data.source import DETECTED_FROM, BadRow, DataSource, detect_rows
from inspector.data.tally import Tally
from inspector.errors import InspectorError
from inspector.inspection import inspect_by, template_names
from inspector.model.model import Model
from inspector.paths import found_name
from inspector.strategies.base import IGNORED
from training.errors import Problem, SpecError
from training.rows.pixels import Pixels, pixels_of
from training.spec import DataSpec, RunSpec
from training.spec.methods import Answers, Method

SHOWN = 12
"""Number of rows that are kept, to be shown before and after the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRow:
    """A row as it is trained. `number`: its number in the data set. `texts`: the text of each token.

    `turns`: the index of the message whose turn each token is in; None for the template's own text. `rejected`: the
    other answer of a pair, to the same prompt. `is_good`: kto's label. `cut`: the number of tokens that a length limit
    has cut off. `pixels`: the model's inputs for the row's images (see `training.rows.pixels`).
    """

    number: int
    input_ids: list[int]
    labels: list[int]
    texts: list[str]
    conversation: Conversation
    turns: list[int | None] = field(default_factory=list)
    rejected: PreparedRow | None = None
    is_good: bool | None = None
    cut: int = 0
    pixels: Pixels = field(default_factory=dict, repr=False)

    @property
    def answers(self) -> tuple[PreparedRow, ...]:
        """The row, and the rejected one of a pair after it."""
        return (self,) if self.rejected is None else (self, self.rejected)

    @property
    def tokens(self) -> int:
        """The number of tokens, of both answers."""
        return sum(len(row.input_ids) for row in self.answers)

    @property
    def trained(self) -> int:
        """The number of tokens that carry the loss."""
        return sum(label != IGNORED for row in self.answers for label in row.labels)


def load_model(spec: RunSpec) -> Model:
    """The tokenizer and template that the spec names. Raises as `inspector.load`."""
    template = ANY_TEMPLATE if spec.template == NO_TEMPLATE else spec.template or None
    model = inspector.load(spec.model, revision=spec.revision or None, template=template)
    return model.with_special_tokens(spec.special_tokens)


def prepare(
    spec: RunSpec, data: DataSpec, model: Model, unused: list[BadRow], notes: list[str] | None = None
) -> Iterator[PreparedRow]:
    """Every row that trains, in order; rows that cannot be used or train nothing are added to `unused` with the reason.

    Notes about the rows as a whole are added to `notes` after the last one.

    Raises DataError, FormatError, and SpecError for rows of a kind that the method does not take.
    """
    source = DataSource(name=found_name(data.name), split=data.split, config=data.config, revision=data.revision)
    rows = islice(source.rows(), data.limit)
    head = list(islice(rows, DETECTED_FROM))
    mapping = {**({"format": Format.TEXT.value} if spec.template == NO_TEMPLATE else {}), **data.map}
    layout = detect_rows(head, mapping, _WANTED.get(spec.facts.answers))
    _check_layout(spec, layout)
    layout = layout.for_template(template_names(model))
    if layout.format is Format.TEXT:
        adds_eos = not spec.facts.is_in_blocks or spec.blocks.add_eos
        model = model.with_template(text_template(model.tokenizer, add_eos=adds_eos))
    prepared = _prepared(spec, model, layout, chain(head, rows), unused, [] if notes is None else notes)
    return blocks(prepared, spec.blocks.size or spec.max_length) if spec.facts.is_in_blocks else prepared


_WANTED = {Answers.PAIRS: Format.PREFERENCE, Answers.JUDGED: Format.UNPAIRED}
"""The columns of rows for methods that compare answers."""
_COLUMNS = {Format.PREFERENCE: "chosen and rejected", Format.UNPAIRED: "prompt, completion and label"}


def _check_layout(spec: RunSpec, layout: Layout) -> None:
    wanted = _WANTED.get(spec.facts.answers, layout.format)
    if layout.format is not wanted:
        raise SpecError(
            [
                Problem(
                    field="data", severity="error", message=f"has rows of the kind {layout.format.value}.",
                    remedy=f"{spec.method} needs the columns {_COLUMNS[wanted]}: map them, with format: "
                    f"{wanted.value} where the rows hold more, or take another method.",
                )
            ]
        )  # fmt: skip


def _prepared(
    spec: RunSpec, model: Model, layout: Layout, rows: Iterable[Any], unused: list[BadRow], notes: list[str]
) -> Iterator[PreparedRow]:
    tally = Tally(layout)
    for row in rows:
        if isinstance(row, BadRow):
            unused.append(row)
            continue
        try:
            sample = read(row.value, layout, spec.as_given)
            tally.add(row.value, sample)
            found = _row(spec, model, sample, row.number)
            why = _why_unused(spec, found)
        except InspectorError as error:
            why = str(error)
        if why:
            unused.append(BadRow(number=row.number, place=row.place, why=why))
        else:
            yield found
    notes += tally.notes
    if layout.format.is_labelled:
        notes.append(
            "The rows' own labels are trained as they are, whatever the spec's strategy, options and keep say."
        )


def _row(spec: RunSpec, model: Model, sample: Sample, number: int) -> PreparedRow:
    """A row as the spec trains it. Raises InspectorError."""
    judged = sample.prompt_messages if spec.facts.compares else 0

    def inspected(conversation: Conversation) -> PreparedRow:
        inspection = inspect_by(spec.rule, model, conversation)
        if judged:
            inspection = inspection.behind(judged)
        pixels = pixels_of(inspection, trains=spec.method is Method.SFT and not spec.packing)
        ids, labels = inspection.row
        row = PreparedRow(
            number=number, input_ids=ids, labels=labels, texts=inspection.row_texts,
            conversation=inspection.example.conversation if pixels or is_labelled_row(conversation) else conversation,
            turns=inspection.row_turns, cut=len(inspection.ids) - len(ids), pixels=pixels,
        )  # fmt: skip
        if spec.facts.is_reward:
            return replace(row, labels=[IGNORED] * (len(ids) - 1) + ids[-1:])
        return cut_to(row, spec.preference.max_prompt_length, spec.preference.max_completion_length)

    is_of_pairs = spec.facts.answers is Answers.PAIRS
    rejected = inspected(sample.rejected) if sample.rejected is not None and is_of_pairs else None
    return replace(inspected(sample.conversation), rejected=rejected, is_good=sample.is_good)


def _why_unused(spec: RunSpec, row: PreparedRow) -> str:
    """The reason why a row trains nothing; "" if it trains something."""
    if spec.facts.is_reward and any(one.cut for one in row.answers):
        return f"it is longer than max_length, {spec.max_length}, and a reward is read at the end"
    if row.rejected is not None and row.conversation == row.rejected.conversation:
        return "chosen and rejected are the same"
    for one, name in zip(row.answers, ("it", "the rejected answer"), strict=False):
        if all(label == IGNORED for label in one.labels):
            return f"nothing in {name} is trained"
    if row.rejected is not None and row.input_ids == row.rejected.input_ids:
        return f"chosen and rejected are the same as far as they are kept, {len(row.input_ids)} tokens"
    return ""


def cut_to(row: PreparedRow, prompt: int | None, completion: int | None) -> PreparedRow:
    """A row with the last `prompt` tokens before the first trained one, and the first `completion` tokens after
    that."""
    if prompt is None and completion is None:
        return row
    begin = next((i for i, label in enumerate(row.labels) if label != IGNORED), len(row.labels))
    kept = slice(0 if prompt is None else max(0, begin - prompt), None if completion is None else begin + completion)
    short = _part(row, kept)
    return replace(short, cut=row.cut + len(row.input_ids) - len(short.input_ids))


def blocks(rows: Iterable[PreparedRow], size: int) -> Iterator[PreparedRow]:
    """Rows joined end to end and cut into blocks of `size` tokens; the last one is shorter. A block has the number of
    the row that it begins with."""
    left: PreparedRow | None = None
    for row in rows:
        joined = row if left is None else _joined(left, row)
        while len(joined.input_ids) >= size:
            yield _part(joined, slice(size))
            joined = replace(_part(joined, slice(size, None)), number=row.number, conversation=row.conversation)
        left = joined if joined.input_ids else None
    if left is not None and left.trained:
        yield left


_LISTS = ("input_ids", "labels", "texts", "turns")


def _joined(first: PreparedRow, second: PreparedRow) -> PreparedRow:
    return replace(first, **{name: getattr(first, name) + getattr(second, name) for name in _LISTS})


def _part(row: PreparedRow, kept: slice) -> PreparedRow:
    return replace(row, **{name: getattr(row, name)[kept] for name in _LISTS})


def first_rows(spec: RunSpec, count: int) -> tuple[list[PreparedRow], list[BadRow]]:
    """The first training rows, and the skipped rows before them. Raises SpecError, InspectorError."""
    unused: list[BadRow] = []
    with closing(prepare(spec, spec.data, load_model(spec), unused)) as rows:  # type: ignore[type-var]
        return list(islice(rows, count)), unused
