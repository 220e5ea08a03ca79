"""The verdict on a mask, in one sentence: "torchtune trains 8 tokens it should not: the assistant header, twice".

Every token that is wrongly trained or missing has a kind, which depends on the truth's reason and on the owner of the
text. The sentence names the worst kinds. The page, the terminal, issue reports and exported settings all use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Self

from inspector.conversation import REASONING_FIELDS
from inspector.findings.codes import Severity
from inspector.inspection import Inspection
from inspector.rendering.origins import PLACEHOLDER, Origin, OriginKind
from inspector.strategies import EXACT, FACTS, OWN_LABELS, Example, Labelled, Reason, label
from inspector.strategies.base import ranges_of


class Level(StrEnum):
    """The level of a verdict."""

    RIGHT = "right"
    """Exactly what should be trained is trained."""
    WARNING = "warning"
    """The same, and something else needs a look."""
    WRONG = "wrong"
    """Tokens are trained that should not be, others are missing, or nothing is trained at all."""
    UNKNOWN = "unknown"
    """The trainer refuses the row, or trains other tokens than those shown."""


class Kind(StrEnum):
    """The kinds of wrongly trained or missing tokens, worst first, with their names in singular and plural."""

    one: str
    many: str

    def __new__(cls, name: str, one: str, many: str = "") -> Self:
        """A kind by its public name. `many`: by default as `one`."""
        kind = str.__new__(cls, name)
        kind._value_, kind.one, kind.many = name, one, many or one
        return kind

    ANSWER = "answer", "the whole answer", "whole answers"
    USER = "user", "user text"
    SYSTEM = "system", "the system message"
    TOOL_RESULT = "tool_result", "a tool result", "tool results"
    TOOLS = "tools", "the tool definitions"
    QUOTE = "quote", "text quoted from another message"
    IMAGE = "image", "an image placeholder", "image placeholders"
    STOP = "stop", "the stop token", "the stop tokens"
    TOOL_CALL = "tool_call", "a tool call", "tool calls"
    REASONING = "reasoning", "the reasoning"
    START = "start", "the start of an answer", "the starts of answers"
    PART = "part", "part of an answer", "parts of answers"
    LEFT_OUT = "left_out", "an answer that is left out", "answers that are left out"
    HEADER = "header", "the assistant header"
    PROMPT = "prompt", "the header of an answer that never comes"
    SHARED = "shared", "a token shared with the template", "tokens shared with the template"
    SCAFFOLD = "scaffold", "template text inside an answer", "template text inside answers"
    AFTER_STOP = "after_stop", "the text after the stop token"
    NEWLINE = "newline", "the newline after an answer", "the newlines after answers"
    TEMPLATE = "template", "template text"
    OTHER = "other", "other text"


_WORST_FIRST = list(Kind)
_UNTRAINED = {
    Reason.HEADER: Kind.HEADER,
    Reason.GENERATION_PROMPT: Kind.PROMPT,
    Reason.POLICY: Kind.LEFT_OUT,
    Reason.STRADDLER: Kind.SHARED,
}
"""The reason why the truth does not train a token -> the kind of a wrongly trained token, if the reason decides."""
_ROLES = {
    "user": Kind.USER,
    "system": Kind.SYSTEM,
    "developer": Kind.SYSTEM,
    "tool": Kind.TOOL_RESULT,
    "assistant": Kind.QUOTE,
}
_NAMED = 2
"""Maximum number of kinds that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tokens of one kind, by their indices, and their description."""

    kind: Kind
    tokens: tuple[int, ...]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a mask.

    `extra`: wrongly trained tokens; `missing`: tokens that should be trained; worst kind first.

    `trainer`, `setting`: the mask's trainer and setting, as its users call them. `sentence`: the verdict; `short`: for
    a list that already shows the trainer's name.
    """

    level: Level
    trainer: str
    setting: str
    sentence: str
    short: str
    extra: tuple[Part, ...] = ()
    missing: tuple[Part, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key of verdicts, worst first: the worst kind, then the number of wrong tokens."""
        parts = (*self.extra, *self.missing)
        worst = min((_WORST_FIRST.index(part.kind) for part in parts), default=len(_WORST_FIRST))
        return worst, -sum(len(part.tokens) for part in parts)

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "level": self.level.value,
            "trainer": self.trainer,
            "setting": self.setting,
            "sentence": self.sentence,
            "short": self.short,
            "extra": [{"kind": part.kind.value, "tokens": list(part.tokens)} for part in self.extra],
            "missing": [{"kind": part.kind.value, "tokens": list(part.tokens)} for part in self.missing],
        }


def trainer_of(strategy: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """(the trainer, its setting) for a strategy, as users call them."""
    if strategy == OWN_LABELS:
        return "This row", "its own labels"
    facts = FACTS[strategy]
    setting = facts.setting
    if facts.takes:
        setting += f", {'with ' if any(name in options for name in facts.takes) else 'without '}{facts.takes[0]}"
    return facts.title or facts.trainer, setting


def title_of(strategy: str) -> str:
    """A strategy's name in a list: the trainer, and its setting."""
    return " · ".join(filter(None, trainer_of(strategy, {})))


def truth_of(inspection: Inspection) -> Labelled:
    """The labels that an inspection is compared with: its own if they are exact, else those of traced."""
    if inspection.strategy == EXACT or inspection.example.unread:
        return inspection.labelled
    return inspection.modifiers.apply(inspection.example, label(inspection.example, EXACT, {}))


def verdict_on(inspection: Inspection, truth: Labelled | None = None) -> Verdict:
    """The verdict on an inspection. `truth`: the result of `truth_of`, if the caller already has it.

    If the mask is right, the verdict names the worst finding.
    """
    who = trainer_of(inspection.strategy, inspection.options)
    if inspection.example.unread:
        count = f"{sum(inspection.trained):,} of {len(inspection.trained):,} tokens are trained"
        return _verdict(Level.UNKNOWN, who, f"its turns are unknown; {count}")
    verdict = verdict_of(inspection.example, who, inspection.labelled.trained, truth or truth_of(inspection))
    found = {finding.severity: finding.code.heading for finding in reversed(inspection.findings)}
    title = found.get(Severity.ERROR) or found.get(Severity.WARNING)
    if verdict.level is not Level.RIGHT or title is None:
        return verdict
    if Severity.ERROR in found:
        return _verdict(Level.WRONG, who, _lower(title))
    return _verdict(
        Level.WARNING, who, f"{_what_is_trained(inspection.example, inspection.labelled)}, but {_lower(title)}"
    )


def verdict_of(example: Example, who: tuple[str, str], bits: Sequence[bool], truth: Labelled) -> Verdict:
    """The verdict on a bit for each token of the example.

    `who`: the result of `trainer_of`; `truth`: the right labels.
    """
    pairs = list(enumerate(zip(bits, truth.trained, strict=True)))
    unwanted = (i for i, (is_, should) in pairs if is_ and not should)
    extra = _by_kind(unwanted, partial(_kind_of_extra, example, truth))
    missing = _missing(example, [i for i, (is_, should) in pairs if should and not is_], truth)
    if not extra and not missing:
        return _verdict(Level.RIGHT, who, _what_is_trained(example, truth))
    return _verdict(Level.WRONG, who, "", extra, missing, _differences(bits, extra, missing))


def refused(strategy: str, options: Mapping[str, Any], why: str) -> Verdict:
    """The verdict on a trainer that refuses the row, or trains other tokens. `why`: a verb phrase that says so."""
    return _verdict(Level.UNKNOWN, trainer_of(strategy, options), "", does=why)


def _verdict(
    level: Level, who: tuple[str, str], says: str, extra: tuple[Part, ...] = (), missing: tuple[Part, ...] = (),
    does: str = "",
) -> Verdict:  # fmt: skip
    """`says`: stands after the trainer's name and a colon; `does`: a verb phrase, after the name alone."""
    trainer, setting = who
    short = "exact" if level is Level.RIGHT else does or says
    sentence = f"{trainer} {does}" if does else f"{trainer}: {says}"
    return Verdict(
        level=level, trainer=trainer, setting=setting, sentence=sentence, short=short, extra=extra, missing=missing
    )


# --- kinds


def _kind_of_extra(example: Example, truth: Labelled, index: int) -> Kind:
    """The kind of a token that should not be trained.

    The worst kind of its characters, if the reason does not decide.
    """
    reason = truth.reasons[index]
    if reason is Reason.AFTER_STOP:
        return Kind.NEWLINE if example.tokens.texts[index] == "\n" else Kind.AFTER_STOP
    if reason in _UNTRAINED:
        return _UNTRAINED[reason]
    if _is_after_all(example, index):
        return Kind.AFTER_STOP
    kinds = (_kind_of_text(example, run.origin) for run in example.tokens.runs[index])
    return min(kinds, key=_WORST_FIRST.index, default=Kind.OTHER)


def _is_after_all(example: Example, index: int) -> bool:
    """Whether a token comes after the stop token of the last turn, an answer's, and belongs to none."""
    last = max(example.turns.values(), key=lambda turn: turn.end, default=None)
    if last is None or last.header is None or last.stop_token is None:
        return False
    return index > last.stop_token and all(run.turn is None for run in example.tokens.runs[index])


def _kind_of_text(example: Example, origin: Origin) -> Kind:
    if origin.kind is PLACEHOLDER.kind and origin.field == PLACEHOLDER.field:
        return Kind.IMAGE
    if origin.kind is OriginKind.UNKNOWN:
        return Kind.OTHER
    if origin.kind is OriginKind.TEMPLATE or origin.top_field == "role":
        return Kind.TEMPLATE
    if origin.message_index is None:
        return Kind.TOOLS if origin.top_field in ("tools", "tools_ts_str") else Kind.OTHER
    return _ROLES.get(example.conversation.role(origin.message_index), Kind.OTHER)


def _kind_of_missing(example: Example, truth: Labelled, index: int) -> Kind:
    """The kind of a token that should be trained."""
    if truth.reasons[index] is Reason.STOP:
        return Kind.STOP
    fields = {run.origin.top_field for run in example.tokens.runs[index]}
    if "tool_calls" in fields:
        return Kind.TOOL_CALL
    if fields & set(REASONING_FIELDS):
        return Kind.REASONING
    return Kind.SCAFFOLD if truth.reasons[index] is Reason.SCAFFOLD else Kind.PART


def _answers(example: Example, truth: Labelled) -> dict[int, set[int]]:
    """Message index -> the tokens of its turn that should be trained, for each answer that has any."""
    tokens = {index: {i for i in turn.tokens if truth.trained[i]} for index, turn in example.answers()}
    return {index: trained for index, trained in tokens.items() if trained}


def _missing(example: Example, indices: Sequence[int], truth: Labelled) -> tuple[Part, ...]:
    """The tokens by kind: answers that are missing as a whole come first."""
    left, answers = set(indices), list(_answers(example, truth).values())
    whole = [number for number, tokens in enumerate(answers) if tokens <= left]
    gone = {index for number in whole for index in answers[number]}
    starts = {min(tokens) for tokens in answers}

    def kind_of(index: int) -> Kind:
        kind = _kind_of_missing(example, truth, index)
        return Kind.START if index in starts and kind in (Kind.SCAFFOLD, Kind.PART) else kind

    parts = _by_kind(sorted(left - gone), kind_of)
    if not gone:
        return parts
    return Part(kind=Kind.ANSWER, tokens=tuple(sorted(gone)), words=_which(whole, len(answers))), *parts


def _by_kind(indices: Iterable[int], kind_of: Callable[[int], Kind]) -> tuple[Part, ...]:
    """The tokens, in order, by kind: worst first."""
    kinds: dict[Kind, list[int]] = {}
    for index in indices:
        kinds.setdefault(kind_of(index), []).append(index)
    return tuple(
        Part(kind=kind, tokens=tuple(kinds[kind]), words=_placed(kind, len(ranges_of(kinds[kind]))))
        for kind in sorted(kinds, key=_WORST_FIRST.index)
    )


# --- words


_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count) or f"{_number(count)} times"


def _placed(kind: Kind, places: int) -> str:
    """A kind with its number of places, in words."""
    if places == 1:
        return kind.one
    return kind.many if kind.many != kind.one else f"{kind.one}, {_times(places)}"


def _all(count: int) -> str:
    return {1: "the answer", 2: "both answers"}.get(count) or f"all {_number(count)} answers"


def _which(numbers: Sequence[int], count: int) -> str:
    """Some of `count` answers, by their numbers from 0."""
    if len(numbers) == count:
        return _all(count)
    if len(numbers) > 1:
        return f"{_number(len(numbers))} of {_number(count)} answers"
    place = {0: "the first", count - 1: "the last"}.get(numbers[0]) or f"number {numbers[0] + 1}"
    return f"{place} of {_number(count)} answers"


def _what_is_trained(example: Example, truth: Labelled) -> str:
    """The trained answers in words, if nothing else is trained."""
    answers, with_any = [index for index, _ in example.answers()], _answers(example, truth)
    trained = [number for number, index in enumerate(answers) if index in with_any]
    count = sum(truth.trained)
    if not count:
        return "nothing is trained"
    if not trained or Reason.EVERY_TOKEN in truth.reasons:
        is_all = count >= len(example) - 1
        return "every token is trained" if is_all else f"{count:,} of {len(example):,} tokens are trained"
    if len(trained) == len(answers):
        return (
            "only the answer is trained"
            if len(trained) == 1
            else f"only the {_number(len(trained))} answers are trained"
        )
    which = _which(trained, len(answers))
    return f"only {which} {'is' if len(trained) == 1 else 'are'} trained"


def _differences(bits: Sequence[bool], extra: tuple[Part, ...], missing: tuple[Part, ...]) -> str:
    """A verb phrase on wrongly trained and missing tokens, the worse of both first."""
    if not any(bits):
        return f"trains nothing: {_list(missing)} {'is' if _is_one(missing) else 'are'} missing"
    if not missing and sum(bits) >= len(bits) - 1:
        return f"trains every token: also {_list(extra)}"
    sides = []
    if extra:
        sides.append((_worst(extra), "trains", f"{_tokens(extra)} it should not", _list(extra)))
    if missing:
        sides.append((_worst(missing), "misses", _tokens(missing), _list(missing)))
    sides.sort()
    if len(sides) == 1:
        ((_, verb, tokens, what),) = sides
        return f"{verb} {tokens}: {what}"
    return " and ".join(f"{verb} {tokens} ({what})" for _, verb, tokens, what in sides)


def _worst(parts: Iterable[Part]) -> int:
    return min(_WORST_FIRST.index(part.kind) for part in parts)


def _tokens(parts: Iterable[Part]) -> str:
    count = sum(len(part.tokens) for part in parts)
    return f"{count:,} token{'s' * (count != 1)}"


def _is_one(parts: Sequence[Part]) -> bool:
    return len(parts) == 1 and parts[0].words in ("the answer", parts[0].kind.one)


def _list(parts: Sequence[Part]) -> str:
    """The worst kinds in words; places are counted only for a single kind."""
    if len(parts) == 1:
        return parts[0].words
    named = [part.words.split(", ")[0] for part in parts[:_NAMED]]
    return f"{', '.join(named)} and more" if len(parts) > _NAMED else " and ".join(named)


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]
