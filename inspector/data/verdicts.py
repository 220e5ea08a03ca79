"""Answers with a verdict -> the chosen one: of two answers, or of several with ranks or scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inspector.conversation import Change, Step
from inspector.data.columns import Columns
from inspector.data.dialects import is_number
from inspector.errors import FormatError, kind_of, quoted

_BY_SIGN = frozenset({"overall_preference", "preference_strength"})
"""Columns with a number that is below 0 if the first answer is better, as in HelpSteer."""
_FIRST_IS_ONE = frozenset({"labels"})
"""Columns with a 1 if the first answer is better, as in SHP; in all others the first is 0."""
_SIDES = {
    **dict.fromkeys(("model_a", "response_a", "answer_a", "conversation_a", "a", "left", "first"), 0),
    **dict.fromkeys(("model_b", "response_b", "answer_b", "conversation_b", "b", "right", "second"), 1),
    **dict.fromkeys(("tie", "tie (bothbad)", "tie_bothbad", "bothbad", "both_bad", "both", "neither"), None),
}
"""The meaning of a verdict in words: the first answer, the second, or neither."""
_TEXTS = ("completion", "response", "text", "answer", "generation", "content")
_SCORES = ("overall_score", "score", "rating", "pm_score", "reward")
_RANK = "rank"


def judged(columns: Columns) -> Columns:
    """The columns with the better of two answers as the chosen one. Raises FormatError if neither is better."""
    side = _better(columns)
    if side is None:
        column = columns.names.get("verdict") or columns.names["first_score"]
        raise FormatError(
            f"The column {column!r} is {quoted(columns.row.get(column))}, by which neither answer is better: the row "
            "is not a pair."
        )
    both = ("first", "second") if side == 0 else ("second", "first")
    sides = {name: columns.names[answer] for name, answer in zip(("chosen", "rejected"), both, strict=True)}
    return replace(columns, names={**columns.names, **sides})


def _better(columns: Columns) -> int | None:
    """0 if the first answer is better, 1 if the second is, None if neither is."""
    if "verdict" not in columns.names:
        scores = [columns[name] for name in ("first_score", "second_score")]
        for name, score in zip(("first_score", "second_score"), scores, strict=True):
            if not is_number(score):
                where = columns.names[name]
                raise FormatError(f"The column {where!r} is {columns.kind(where, score)}, and must be a score.")
        return None if scores[0] == scores[1] else int(scores[0] < scores[1])
    name, verdict = columns.names["verdict"], columns["verdict"]
    if is_number(verdict) and name.lower() in _BY_SIGN:
        return None if verdict == 0 else int(verdict > 0)
    if verdict in (0, 1):
        return int(verdict) ^ int(name.lower() in _FIRST_IS_ONE)
    if isinstance(verdict, str) and verdict.strip().lower() in _SIDES:
        return _SIDES[verdict.strip().lower()]
    raise FormatError(
        f"The column {name!r} is {quoted(verdict)}, and must say which answer is better: "
        + ("a number below 0 for the first." if name.lower() in _BY_SIGN else "model_a, model_b or tie; or 0 or 1.")
    )


def holds_ranked(value: Any) -> bool:
    """Whether a value is several answers, each with a rank or a score."""
    return isinstance(value, list | tuple) and len(value) > 1 and all(map(_is_ranked, value))


def best_and_worst(columns: Columns) -> Columns:
    """The columns with the best of several answers as the chosen one, and the worst as the rejected one.

    Answers without a number are left out. Raises FormatError if fewer than two have one, or if all are equal.
    """
    where, answers = columns.names["ranked"], columns["ranked"]
    if not holds_ranked(answers):
        raise FormatError(
            f"The column {where!r} is {kind_of(answers)}, and must be answers, each with a rank or a score."
        )
    names = [name for name in (_RANK, *_SCORES) if any(name in answer for answer in answers)]
    score = max(names, key=lambda name: sum(is_number(answer.get(name)) for answer in answers))
    places = [
        (answer[score] if score == _RANK else -answer[score], i)
        for i, answer in enumerate(answers)
        if is_number(answer.get(score))
    ]
    best = min(places, default=(0, 0))[1]
    worst = max(places, key=lambda place: (place[0], -place[1]), default=(0, 0))[1]
    if len(places) < 2 or answers[best][score] == answers[worst][score]:
        raise FormatError(f"No two answers in the column {where!r} differ in their {score}: they are not a pair.")
    if len(answers) > 2:
        scores = [answer.get(score) for answer in answers]
        kept = [answers[best][score], answers[worst][score]]
        columns.changes.append(Change(Step.RANKING, f"{where} · {score}", scores, kept))
        if not columns.does(Step.RANKING):
            raise FormatError(f"The column {where!r} holds {len(answers)} answers: they are not one pair.")
    sides = {name: f"{where}[{at}]" for name, at in (("chosen", best), ("rejected", worst))}
    texts = {column: _text(answers[at]) for column, at in zip(sides.values(), (best, worst), strict=True)}
    return replace(columns, row={**columns.row, **texts}, names={**columns.names, **sides})


def _is_ranked(answer: Any) -> bool:
    if not isinstance(answer, Mapping):
        return False
    return any(name in answer for name in _TEXTS) and any(name in answer for name in (_RANK, *_SCORES))


def _text(answer: Mapping[str, Any]) -> Any:
    return next(answer[name] for name in _TEXTS if name in answer)
