"""What a check found: in one screen of text, as JSON, and as a page.

Context shows ten tokens around a place: «trained» and meant, !!trained and not meant!!, [[meant and not trained]].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from inspector.audit.summary import number
from inspector.errors import WrongTrainingError, printable
from inspector.findings.codes import Finding
from inspector.live.rows import LiveRow
from inspector.model.model import Model
from inspector.notebook import Mask, block, note, point, token_view
from inspector.strategies import Example, Labelled
from inspector.trainers.verdict import Level, Verdict

SHOWN_ROWS = 5
"""Rows whose tokens the page shows, the first of the worst problems."""
CONTEXT = 10
"""Tokens shown around the first place of a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRow:
    """A sequence, what it reads as, and the verdict on its mask.

    `truth`: what was meant, None where that is unknown. `cut`: how many tokens of its conversation it lacks at the end;
    1 where it is only known that some are missing. `doubtful`: how many tokens differ of which it is unknown whose they
    are.
    """

    row: LiveRow
    example: Example
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    truth: Labelled | None = None
    cut: int = 0
    doubtful: int = 0

    def around(self, span: tuple[int, int] | None) -> str:
        """The text around some of its tokens, with marks for what is trained and what should be."""
        start, end = span or (0, 0)
        extra = max(0, CONTEXT - (end - start)) // 2
        shown = range(max(0, start - extra), min(len(self.row.ids), max(end, start + 1) + extra))
        bits, meant = self.row.trained, None if self.truth is None else self.truth.trained
        pieces = self.example.tokens.pieces()

        def mark(i: int) -> tuple[str, str]:
            if bits is None or meant is None:
                return "", ""
            return _MARKS[bits[i] and i > 0, meant[i]]

        parts = []
        for (opened, closed), group in groupby(shown, key=mark):
            parts.append(opened + "".join(pieces[i] for i in group) + closed)
        before, after = "…" * (shown.start > 0), "…" * (shown.stop < len(self.row.ids))
        return before + printable("".join(parts)) + after

    def view(self) -> Markup:
        """Its tokens as HTML."""
        rest = [False] * (len(self.example) - len(self.row.ids))
        trained = None if self.row.trained is None else [False, *self.row.trained[1:], *rest]
        return token_view(self.example, Mask(trained, None if self.truth is None else self.truth.trained))


_MARKS = {
    (True, True): ("«", "»"),
    (True, False): ("!!", "!!"),
    (False, True): ("[[", "]]"),
    (False, False): ("", ""),
}
"""(whether a token is trained, whether it should be) -> what stands before and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong, in `rows` rows and `tokens` tokens.

    `title`: what; `does`: the same as a verb phrase, after the trainer's name. `row`, `span`: where first. `cause`,
    `remedy`: "" where nothing that was seen shows one. `kind`: a name for programs.
    """

    kind: str
    level: Level
    title: str
    does: str
    row: CheckedRow
    span: tuple[int, int] | None = None
    rows: int = 1
    tokens: int = 0
    cause: str = ""
    remedy: str = ""

    @property
    def size(self) -> str:
        """How much of it there is."""
        tokens = f"{number(self.tokens, 'token')} in " if self.tokens else ""
        return f"{tokens}{number(self.rows, 'row')}"

    @property
    def place(self) -> str:
        """Where it is first, in words."""
        return self.row.row.where + ("" if self.span is None else f", token {self.span[0]}")

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "kind": self.kind,
            "level": self.level.value,
            "title": self.title,
            "rows": self.rows,
            "tokens": self.tokens,
            "where": self.row.row.where,
            "span": None if self.span is None else list(self.span),
            "context": self.row.around(self.span),
            "cause": self.cause,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the first batches of a run train, and what is wrong with that, the worst first.

    `left_out`: rows that were not looked at, since there were too many.
    """

    trainer: str
    model: Model
    batches: int
    rows: tuple[CheckedRow, ...]
    problems: tuple[Problem, ...]
    left_out: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; False, too, where no row could be judged."""
        return not self.is_wrong and any(row.verdict.level is not Level.UNKNOWN for row in self.rows)

    @property
    def headline(self) -> str:
        """The report in one sentence."""
        worst = next(iter(self.problems), None)
        if self.is_wrong and worst is not None:
            more = len(self.problems) - 1
            return f"{self.trainer} {worst.does} ({worst.size})" + (
                f", and {number(more, 'more problem')}." if more else "."
            )
        if not self.ok:
            return f"{self.trainer} could not be judged: {self.rows[0].verdict.short}."
        unknown = len(self.rows) - self._judged
        rest = f", and {number(unknown, 'more row')} could not be judged" if unknown else ""
        return f"{self.trainer} trains what was meant in {number(self._judged, 'row')}{rest}."

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong, warnings and what is unknown aside."""
        return any(problem.level is Level.WRONG for problem in self.problems)

    @property
    def _judged(self) -> int:
        return sum(row.verdict.level is not Level.UNKNOWN for row in self.rows)

    @property
    def figures(self) -> str:
        """What was looked at."""
        tokens = sum(len(row.row.ids) for row in self.rows)
        trained = sum(sum(row.row.trained or ()) for row in self.rows)
        left_out = f"; {number(self.left_out, 'more row')} not looked at" if self.left_out else ""
        batches = f"{self.batches:,} batch{'es' * (self.batches != 1)}, " if self.batches else ""
        rows = f"{number(len(self.rows), 'row')}, {number(tokens, 'token')}, {trained:,} of them trained"
        return f"{batches}{rows}{left_out}"

    def __str__(self) -> str:
        """The report in one screen."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        yield f"{'✓' if self.ok else '✗'} {self.headline}"
        yield f"  {self.figures}"
        for problem, cause, remedy in self._told():
            yield ""
            yield f"  {_SIGNS[problem.level]} {problem.title} · {problem.size}"
            yield f"      {problem.place}: {problem.row.around(problem.span)}"
            yield from (f"      {line}" for line in (cause, remedy) if line)
        if any(problem.tokens for problem in self.problems):
            yield ""
            yield "  «trained and meant» !!trained, not meant!! [[meant, not trained]]"

    def html(self) -> str:
        """The report as HTML that needs nothing else: its problems, and the tokens of the rows that have one."""
        parts = [note(self.figures)]
        for one, cause, remedy in self._told():
            title = f"{_SIGNS[one.level]} {one.title} · {one.size}"
            parts.append(point(title, f"{one.place}: {one.row.around(one.span)}", cause, remedy))
        shown = list({id(one.row): one.row for one in self.problems}.values()) or list(self.rows[:1])
        parts += [part for row in shown[:SHOWN_ROWS] for part in (note(row.row.where), row.view())]
        return block(f"{'✓' if self.ok else '✗'} {self.headline}", *parts)

    _repr_html_ = html

    def _told(self) -> Iterator[tuple[Problem, str, str]]:
        """Each problem with the lines about its cause and what to do, which are said once."""
        told: set[str] = set()
        for problem in self.problems:
            is_new = problem.cause not in told
            told.add(problem.cause)
            why = f"Why: {problem.cause if is_new else 'as above'}" if problem.cause else ""
            yield problem, why, f"Do: {problem.remedy}" if problem.remedy and is_new else ""

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form; its keys are stable."""
        return {
            "ok": self.ok,
            "trainer": self.trainer,
            "model": self.model.name,
            "headline": self.headline,
            "batches": self.batches,
            "rows": len(self.rows),
            "rows_left_out": self.left_out,
            "rows_unknown": len(self.rows) - self._judged,
            "tokens": sum(len(row.row.ids) for row in self.rows),
            "trained": sum(sum(row.row.trained or ()) for row in self.rows),
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def raise_if_wrong(self) -> None:
        """Raise WrongTrainingError with this report where something is wrong."""
        if self.is_wrong:
            raise WrongTrainingError(str(self))


_SIGNS = {Level.WRONG: "✗", Level.WARNING: "▲", Level.UNKNOWN: "?"}
