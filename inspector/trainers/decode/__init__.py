"""A pasted message or dump of a trainer -> its meaning, its rows, what went wrong, and the settings to change.

It knows the messages in the table of `known`, and the forms in which trainers print rows (`rows`, `masked_text`): lists
of ids and labels, axolotl's pairs, labels decoded with spaces. Ids are decoded with the model's tokenizer and read back
into a conversation by the template's headers. The conversation is inspected; it counts as the logged example only if
its ids are the logged ids. Then the log's labels are compared with the exact ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.errors import LogError
from inspector.findings.codes import Finding
from inspector.inspection import inspect_rendered
from inspector.model.model import Model
from inspector.read_back import frames, read_conversation
from inspector.samples import sample_conversations
from inspector.trainers.decode.case import Case, stop_texts
from inspector.trainers.decode.compared import MEANINGS, settings_for
from inspector.trainers.decode.example import LoggedExample, logged_example
from inspector.trainers.decode.home_llm import as_home_llm
from inspector.trainers.decode.known import KNOWN
from inspector.trainers.decode.log_text import plain, squashed, unprefixed
from inspector.trainers.decode.masked_text import masked_rows, rendered_rows
from inspector.trainers.decode.rows import (
    LoggedRow,
    coloured_rows,
    instance_rows,
    listed_rows,
    paired_rows,
    run_rows,
    table_rows,
)
from inspector.trainers.decode.searching import unsloth_settings
from inspector.trainers.decode.trl import trl_exact
from inspector.trainers.markers import Markers, propose_markers

__all__ = ["MAX_LOG_CHARS", "Answer", "Decoded", "LoggedExample", "decode_log", "read_conversation"]

MAX_LOG_CHARS = 2_000_000
MAX_EXAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The meaning of a message or a dump, its trainer, the causes shown, and settings in that trainer's names."""

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
    """A decoded log. `answers`: its known messages and dumps. `markers`: verified ids to use instead.

    `notes`: the parts of the log that were not read.
    """

    answers: tuple[Answer, ...]
    examples: tuple[LoggedExample, ...]
    findings: tuple[Finding, ...]
    markers: Markers
    notes: tuple[str, ...] = ()

    @property
    def meanings(self) -> tuple[str, ...]:
        """The meanings of the messages and dumps."""
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
    """Read a trainer's log. Raises LogError if it has neither an example nor a known message."""
    if len(log) > MAX_LOG_CHARS:
        raise LogError(
            f"The log is {len(log):,} characters long; the limit is {MAX_LOG_CHARS:,}. Paste the warning only."
        )
    shown = plain(log)
    said = squashed(unprefixed(shown))
    matches = [(message, match) for message in KNOWN if (match := message.pattern.search(said))]
    notes: list[str] = []
    rows = _rows(model, log, shown, notes, is_message=bool(matches))
    if not matches and not rows:
        raise LogError(
            "There is no list of token ids in the log, and no warning this program knows: paste the lines that the "
            f"trainer printed, with the ids before them.{''.join(' ' + note for note in notes)}"
        )
    if len(rows) > MAX_EXAMPLES:
        notes.append(f"The log has {len(rows)} rows; the first {MAX_EXAMPLES} are shown.")
    examples = tuple(logged_example(model, row) for row in rows[:MAX_EXAMPLES])
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


def _rows(model: Model, raw: str, log: str, notes: list[str], *, is_message: bool) -> list[LoggedRow]:
    """The rows of the log, in the first form that it has: texts may hold lists, lists hold no texts.

    `raw`: the log with its colours.
    """
    rows = paired_rows(model, log) or coloured_rows(model, raw) or table_rows(model, log)
    rows = rows or listed_rows(model, log, notes, named=True) or run_rows(model, log)
    if rows:
        return rows
    headers, closings = frames(model)
    stops = [closing.strip() for closing in closings if closing.strip()]
    rows = masked_rows(model, log, stops) or ([] if is_message else rendered_rows(model, log, headers))
    return rows or [*listed_rows(model, log, [], named=False), *instance_rows(model, log)]


_COMPUTED: Mapping[str, Callable[[Case], str]] = {"TRL": trl_exact, "Unsloth": unsloth_settings}


def _dump_answers(case: Case, examples: Sequence[LoggedExample], answered: set[str]) -> Iterator[Answer]:
    """The form in which each trainer prints rows, and its settings for their differences."""
    by_trainer: dict[str, list[LoggedExample]] = {}
    for example in examples:
        if example.labels is not None and example.trainer in MEANINGS:
            by_trainer.setdefault(example.trainer, []).append(example)
    for trainer, of in by_trainer.items():
        differences = {difference for example in of for difference in example.differences}
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
