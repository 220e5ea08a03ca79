"""A message in a log with everything to try it on: the model, the log's examples, the built-in conversations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from inspector.errors import InspectorError
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.paths import shell_command
from inspector.strategies import label
from inspector.trainers.markers import Markers

OWN_ROWS = f"Or train rows with exact labels: {shell_command('inspector')} export MODEL DATA --rows rows.parquet"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A message in a log. `log`: without prefixes; `groups`: what the message's pattern caught.

    `logged`: inspections of the log's own examples, where the ids are exactly theirs; `samples`: of the built-in
    conversations. `markers`: proposed over both.
    """

    model: Model
    log: str
    groups: tuple[str | None, ...]
    logged: tuple[Inspection, ...]
    samples: tuple[Inspection, ...]
    markers: Markers

    def of(self, groups: tuple[str | None, ...]) -> Case:
        """The case of a message whose pattern caught these groups."""
        return replace(self, groups=groups)

    @cached_property
    def rows(self) -> tuple[Inspection, ...]:
        """All inspections that can be tried."""
        return (*self.logged, *self.samples)

    @property
    def tried(self) -> str:
        """A description of `rows`."""
        logged = f"{len(self.logged)} of the log's examples and " if self.logged else ""
        return f"{logged}{len(self.samples)} built-in conversations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The facts shown about a message: sentences, and settings to paste ("" if there are none).

    `trainer`: the message's trainer, if the log is more precise than the table.
    """

    causes: tuple[str, ...] = ()
    settings: str = ""
    trainer: str = ""


def nothing(case: Case) -> Shown:
    """No cause that the model could show."""
    return Shown()


def stop_texts(rows: Sequence[Inspection]) -> list[str]:
    """The texts of the tokens that end answers, in order of appearance."""
    found: dict[str, None] = {}
    for row in rows:
        for _, turn in row.example.answers():
            if turn.stop_token is not None:
                found[row.example.tokens.texts[turn.stop_token]] = None
    return list(found)


def count_trained(case: Case, strategy: str, options: Mapping[str, Any]) -> int:
    """The number of rows in which a strategy trains something."""
    return sum(bits is not None and any(bits) for bits in _bits(case, strategy, options))


def count_same(case: Case, strategy: str, options: Mapping[str, Any]) -> int:
    """The number of rows in which a strategy trains exactly what traced does."""
    answers = zip(_bits(case, strategy, options), case.rows, strict=True)
    return sum(bits == row.labelled.trained for bits, row in answers)


def _bits(case: Case, strategy: str, options: Mapping[str, Any]) -> Iterator[tuple[bool, ...] | None]:
    """The bits of a strategy in each row; None if it refuses the row or renders it differently."""
    for row in case.rows:
        try:
            labelled = label(row.example, strategy, dict(options))
        except InspectorError:
            yield None
            continue
        same = labelled.example is None or labelled.example.tokens.ids == row.example.tokens.ids
        yield labelled.trained if same else None
