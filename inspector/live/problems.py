"""What is wrong with checked rows: each kind once, with how often it is there and where first.

In: the checked rows of a run. Out: Problems, the worst first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from inspector.findings.codes import Code, Severity
from inspector.live.causes import Run, cause_of
from inspector.live.report import CheckedRow, Problem
from inspector.live.rows import Oddity
from inspector.trainers.verdict import Kind, Level, Part

_TOLD = {
    Code.FOREIGN_TEXT_IN_LOSS, Code.STOP_TOKEN_NOT_TRAINED, Code.PROMPT_TEXT_IN_LOSS, Code.NO_TRAINED_TOKENS,
    Code.ONLY_STOP_TRAINED, Code.LABELS_DIFFER, Code.TRUNCATED_RESPONSE, Code.TRUNCATED_AWAY, Code.TURNS_NOT_READ,
}  # fmt: skip
"""Findings about a mask: the verdict says the same of this one."""
_HARMLESS = {Kind.HEADER, Kind.AFTER_STOP, Kind.NEWLINE}
"""What may be trained beside what is meant: at inference the prompt holds it, or the model is stopped before it."""


def problems_of(run: Run, rows: Sequence[CheckedRow]) -> Iterator[Problem]:
    """What is wrong, the worst first; each kind once, with how often and where first."""
    found = [problem for row in rows for problem in _of_row(row)]
    kinds: dict[str, list[Problem]] = {}
    for problem in found:
        kinds.setdefault(problem.kind, []).append(problem)
    merged = [_merged(same) for same in kinds.values()]
    if all(row.row.trained is not None and not any(row.row.trained[1:]) for row in rows):
        merged = [replace(one, level=Level.WRONG) if one.kind == "untrained" else one for one in merged]
    order = [Level.WRONG, Level.WARNING, Level.UNKNOWN]
    for problem in sorted(merged, key=lambda one: (order.index(one.level), -one.rows)):
        yield cause_of(run, rows, problem)


def _merged(same: Sequence[Problem]) -> Problem:
    return replace(same[0], rows=len({id(one.row) for one in same}), tokens=sum(one.tokens for one in same))


def _of_row(row: CheckedRow) -> Iterator[Problem]:
    problem = partial(Problem, row=row)
    for oddity in row.row.oddities:
        title, does = _ODDITIES[oddity]
        yield problem(kind=oddity.value, level=Level.WRONG, title=title, does=does)
    for part in row.verdict.extra:
        level, what = Level.WARNING if part.kind in _HARMLESS else Level.WRONG, part.kind.many
        title, does = f"trained, and should not be: {what}", f"trains {what}"
        yield problem(kind=f"extra:{part.kind}", level=level, title=title, does=does, **_tokens(part))
    for part in row.verdict.missing:
        title, does = f"not trained, and should be: {part.kind.many}", f"does not train {part.kind.many}"
        yield problem(kind=f"missing:{part.kind}", level=Level.WRONG, title=title, does=does, **_tokens(part))
    if row.row.trained is not None and not any(row.row.trained[1:]) and not row.verdict.missing:
        yield problem(
            kind="untrained", level=Level.WARNING, title="no token of the row is trained",
            does="trains nothing of some rows",
        )  # fmt: skip
    if row.cut:
        yield problem(
            kind="cut", level=Level.WARNING, title="an answer is cut off, and its end is never trained",
            does="cuts answers off",
        )  # fmt: skip
    if row.verdict.level is Level.UNKNOWN:
        has_labels = row.row.trained is not None
        yield problem(
            kind="unknown" if has_labels else "no_labels", level=Level.UNKNOWN, does="trains text of unknown roles",
            title="whose text is trained is unknown" if has_labels else "which tokens are trained is unknown",
            cause=row.example.unread if has_labels else "",
        )  # fmt: skip
    if row.doubtful:
        yield problem(
            kind="doubtful", level=Level.UNKNOWN, title="tokens that may be reasoning, calls or results",
            does="trains text of unknown parts", tokens=row.doubtful, cause=_DOUBT, remedy=_GIVE_DATA,
        )  # fmt: skip
    for finding in row.findings:
        if finding.severity is not Severity.NOTE and finding.code not in _TOLD:
            level = Level.WRONG if finding.severity is Severity.ERROR else Level.WARNING
            yield problem(
                kind=finding.code.value, level=level, title=finding.code.heading, cause=finding.detail,
                remedy=finding.remedy, span=finding.token_span, does=f"trains rows with: {finding.code.value}",
            )  # fmt: skip


_DOUBT = (
    "From the ids alone it is unknown whether these words are a message's own or the template's around a part of it."
)
_GIVE_DATA = "Give check(..., data=...) the conversations that the rows were made of."


_ODDITIES: Mapping[Oddity, tuple[str, str]] = {
    Oddity.PADDING: ("padding is trained", "trains padding"),
    Oddity.SHIFTED: (
        "labels are moved by one token, and the model moves them once more", "trains each token on the one after next",
    ),
    Oddity.LEAK: (
        "several sequences share a row, and each attends to those before it", "mixes sequences that share a row",
    ),
    Oddity.MASKED: (
        "positions begin anew within a row, and its attention mask makes the model ignore that",
        "mixes sequences that share a row",
    ),
    Oddity.HIDDEN: ("tokens of the text are hidden by the attention mask", "hides tokens from attention"),
}  # fmt: skip
"""What is wrong, and the same as a verb phrase."""


def _tokens(part: Part) -> dict[str, Any]:
    first = part.tokens[0]
    end = next((i for i, token in enumerate(part.tokens) if token != first + i), len(part.tokens))
    return {"tokens": len(part.tokens), "span": (first, first + end)}
