"""A pasted trainer's message or dump -> what it means, the rows in it, what went wrong, and what to set instead.

Knows the messages of the table in `known`, and the ways in which trainers print rows (`rows`, `masked_text`): lists of
ids and labels, axolotl's pairs, labels decoded with spaces. Ids are decoded with the model's tokenizer and read back
into a conversation by the template's own headers; the conversation is inspected, and said to be the logged example only
when its ids are the logged ids. Then the log's labels are laid beside the exact ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from inspector.errors import LogError
from inspector.findings.codes import Finding
from inspector.inspection import Inspection, inspect_rendered
from inspector.model.model import Model
from inspector.model.tokenizer import text_of
from inspector.samples import sample_conversations
from inspector.strategies.base import IGNORED
from inspector.trainers.decode.answers import Case, stop_texts, trl_exact, unsloth_settings
from inspector.trainers.decode.compared import MEANINGS, Compared, Difference, compare_labels, settings_for
from inspector.trainers.decode.home_llm import as_home_llm
from inspector.trainers.decode.known import KNOWN
from inspector.trainers.decode.log_text import plain, squashed, unprefixed
from inspector.trainers.decode.masked_text import masked_rows, rendered_rows
from inspector.trainers.decode.reading import frames, read_conversation, readings
from inspector.trainers.decode.rows import LoggedRow, instance_rows, listed_rows, paired_rows, run_rows, table_rows
from inspector.trainers.markers import Markers, propose_markers

__all__ = ["MAX_LOG_CHARS", "Answer", "Decoded", "LoggedExample", "decode_log", "read_conversation"]

MAX_LOG_CHARS = 2_000_000
MAX_EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedExample:
    """One example of the log.

    `text`: its ids decoded. `inspection`: the conversation read from it, inspected; None where it could not be read.
    `is_exact`: whether the inspection's ids are the logged ids, all of them. `labels`: as the log has them, one for
    each id; None where it has none. `is_partial`: the log has the labels alone, and `ids` are those that train.
    `pieces`: (text, whether it trains) of each run of ids. `compared`: the labels beside the exact ones, where the
    ids are exact. `says`: what is to be said of it.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a message or a dump means, whose it is, the causes that were shown, and settings in that trainer's names."""

    trainer: str
    meaning: str
    causes: tuple[str, ...] = ()
    settings: str = ""

    @property
    def settings_lines(self) -> list[str]:
        """The lines of the settings."""
        return self.settings.splitlines()

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "trainer": self.trainer,
            "meaning": self.meaning,
            "causes": list(self.causes),
            "settings": self.settings,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a log says. `answers`: its known messages and dumps. `markers`: ids to use instead, verified.

    `notes`: what of the log was not read.
    """

    answers: tuple[Answer, ...]
    examples: tuple[LoggedExample, ...]
    findings: tuple[Finding, ...]
    markers: Markers
    notes: tuple[str, ...] = ()

    @property
    def meanings(self) -> tuple[str, ...]:
        """What the messages and dumps mean."""
        return tuple(answer.meaning for answer in self.answers)

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "meanings": list(self.meanings),
            "answers": [answer.to_dict() for answer in self.answers],
            "examples": [example.to_dict() for example in self.examples],
            "findings": [finding.to_dict() for finding in self.findings],
            "markers": self.markers.to_dict(),
            "notes": list(self.notes),
        }


def decode_log(model: Model, log: str) -> Decoded:
    """Read a trainer's log. Raises LogError when there is neither an example nor a known message in it."""
    if len(log) > MAX_LOG_CHARS:
        raise LogError(
            f"The log is {len(log):,} characters long; the limit is {MAX_LOG_CHARS:,}. Paste the warning only."
        )
    shown = plain(log)
    said = squashed(unprefixed(shown))
    matches = [(message, match) for message in KNOWN if (match := message.pattern.search(said))]
    notes: list[str] = []
    rows = _rows(model, shown, notes, is_message=bool(matches))
    if not matches and not rows:
        raise LogError(
            "There is no list of token ids in the log, and no warning this program knows: paste the lines that the "
            f"trainer printed, with the ids before them.{''.join(' ' + note for note in notes)}"
        )
    if len(rows) > MAX_EXAMPLES:
        notes.append(f"The log has {len(rows)} rows; the first {MAX_EXAMPLES} are shown.")
    examples = tuple(_example(model, row) for row in rows[:MAX_EXAMPLES])
    inspected = [example.inspection for example in examples if example.inspection is not None]
    samples = tuple(inspect_rendered(model, sample_conversations()))
    markers = propose_markers([*inspected, *samples])
    exact = tuple(example.inspection for example in examples if example.inspection is not None and example.is_exact)
    case = Case(model=model, log=unprefixed(shown), groups=(), logged=exact, samples=samples, markers=markers)
    answers = []
    for message, match in matches:
        found = message.shows(case.of(match.groups()))
        answers.append(
            Answer(
                trainer=found.trainer or message.trainer,
                meaning=message.means,
                causes=found.causes,
                settings=found.settings,
            )
        )
    return Decoded(
        answers=(*answers, *_dump_answers(case, examples, {answer.trainer for answer in answers})),
        examples=examples,
        findings=tuple(_findings(log, examples, markers)),
        markers=markers,
        notes=tuple(notes),
    )


def _rows(model: Model, log: str, notes: list[str], *, is_message: bool) -> list[LoggedRow]:
    """The rows of the log, by the first way of printing them that it has."""
    rows = paired_rows(model, log) or table_rows(model, log) or listed_rows(model, log, notes) or run_rows(model, log)
    rows += instance_rows(model, log)
    if rows:
        return rows
    headers, closings = frames(model)
    stops = [closing.strip() for closing in closings if closing.strip()]
    rows = masked_rows(model, log, stops)
    return rows or ([] if is_message else rendered_rows(model, log, headers))


def _example(model: Model, row: LoggedRow) -> LoggedExample:
    if row.is_partial:
        return _labels_alone(model, row)
    best: Inspection | None = None
    for tried in _unpadded(model, row):
        for inspection in readings(model, text_of(model.tokenizer, tried.ids)):
            best = best or inspection
            if tuple(inspection.ids) == tried.ids:
                return _read(model, tried, inspection, is_exact=True)
    return _read(model, row, best, is_exact=False)


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
        for end in {stop, min(stop + 1, len(row.ids))}:  # where padding is the stop token, one of them ends the answer
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
        says=tuple(says),
    )


def _pieces(model: Model, row: LoggedRow, exact: Inspection | None) -> tuple[tuple[str, bool], ...]:
    """(text, whether it trains) of each run of ids; characters that several tokens encode are whole where `exact`."""
    labels = row.labels or (IGNORED,) * len(row.ids)
    texts = None if exact is None else exact.example.tokens.pieces()
    out = []
    for is_trained, run in groupby(range(len(labels)), key=lambda i: labels[i] >= 0):
        places = list(run)
        text = text_of(model.tokenizer, [row.ids[i] for i in places])
        out.append((text if texts is None else "".join(texts[i] for i in places), is_trained))
    return tuple(out)


def _trained_text(model: Model, trained: Sequence[int], count: int) -> str:
    if not trained:
        return f"Nothing trains: all {count} labels are -100."
    text = text_of(model.tokenizer, trained)
    shown = repr(text) if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]!r} … {text[-_SHOWN // 2 :]!r}"
    return f"{len(trained)} of {count} tokens train: {shown}."


_SHOWN = 400


def _why_unknown(row: LoggedRow, inspection: Inspection | None) -> str:
    if inspection is None:
        return (
            "No conversation could be read from the ids by the headers of this model's template, so what should train "
            "is unknown."
        )
    other = inspection.ids
    at = next((i for i, (one, two) in enumerate(zip(row.ids, other, strict=False)) if one != two), None)
    if at is None:
        at = min(len(row.ids), len(other))
    here, there = (text_of(inspection.model.tokenizer, list(ids)[at : at + 6]) for ids in (row.ids, other))
    return (
        f"This model's template writes the conversation with other ids, from token {at} on: the log has {here!r}, the "
        f"template {there!r}. So what should train is unknown."
    )


def _labels_alone(model: Model, row: LoggedRow) -> LoggedExample:
    """An example of which the log has the labels alone: what trains, and whose headers stand in it."""
    labels = row.labels or ()
    text = text_of(model.tokenizer, row.ids)
    says = [_trained_text(model, row.ids, len(labels))]
    if row.ids:
        headers, closings = frames(model)
        for header, role in headers.items():
            if header in text:
                says.append(f"The header of a {role} message trains: {header!r}.")
        stops = tuple(closing.strip() for closing in closings if closing.strip())
        ends = text.rstrip().endswith(stops) if stops else True
        if not ends:
            says.append(f"What trains does not end in the token that ends an answer: {' or '.join(map(repr, stops))}.")
        says.append("The log has labels alone, so the text that does not train, and what should train, are unknown.")
    return LoggedExample(
        ids=row.ids,
        text=text,
        inspection=None,
        is_exact=False,
        labels=labels,
        is_partial=True,
        trainer=row.trainer,
        pieces=((text, True),),
        says=tuple(says),
    )


_COMPUTED: Mapping[str, Callable[[Case], str]] = {"TRL": trl_exact, "Unsloth": unsloth_settings}


def _dump_answers(case: Case, examples: Sequence[LoggedExample], answered: set[str]) -> Iterator[Answer]:
    """What each trainer's way of printing rows is, and its settings for what differs in them."""
    by_trainer: dict[str, list[LoggedExample]] = {}
    for example in examples:
        if example.labels is not None and example.trainer in MEANINGS:
            by_trainer.setdefault(example.trainer, []).append(example)
    for trainer, of in by_trainer.items():
        differences = {d for example in of if example.compared for d in example.compared.differences}
        differences |= {Difference.NOTHING for example in of if example.labels and max(example.labels) == IGNORED}
        settings = settings_for(trainer, differences, stop_texts(case.rows))
        if differences and trainer in _COMPUTED and trainer not in answered:
            settings = _COMPUTED[trainer](case)
        yield Answer(trainer=trainer, meaning=MEANINGS[trainer], settings=settings)


def _findings(log: str, examples: Sequence[LoggedExample], markers: Markers) -> Iterator[Finding]:
    """The findings of the examples, each code once, and what home-llm's own ids would have done with them."""
    seen = set()
    for inspection in filter(None, (example.inspection for example in examples)):
        for finding in (*as_home_llm(log, inspection, markers), *inspection.findings):
            if finding.code not in seen:
                seen.add(finding.code)
                yield finding
