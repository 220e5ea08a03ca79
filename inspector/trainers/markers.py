"""Prefix and suffix ids, and response templates: proposed from rows, and verified over the same rows.

Trainers that search for an answer need ids that occur, in context, before every answer and nowhere else. This file
takes them from inspected rows: the ids before the first trained token of each turn, and the stop token after it. A
proposal says how many turns it finds, how often it matches elsewhere, and which token holds the boundary in a missed
turn. Every proposal has been counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.model.tokenizer import Tokenizer, ids_alone, text_of
from inspector.rendering.origins import OriginKind
from inspector.rendering.rendered import Rendered
from inspector.tokens import tokenize

_REACH = 24
"""Maximum number of ids before an answer that are compared between turns."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Turns whose boundary a proposal misses, for one reason.

    `token`: text of the token at the boundary; `ids`: the ids before the answer there, ending in that token.
    """

    token: str
    ids: Ids
    count: int
    row: int
    message_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Ids and texts to search for, and the results of the search over the rows used for verification.

    `prefix_ids` end right before the answer; `suffix_ids` begin with the stop token; None if there is no constant
    sequence. `response_template` and `instruction_template` are texts with the same ids alone and in context, or None
    if no text has that property: then pass ids. `found`: turns (of `turns`) that prefix and suffix delimit exactly;
    `false_hits`: matches of the prefix anywhere else, and of the suffix inside an answer. `open_headers`: rows that end
    in the prefix, which opens an answer that never comes: a match, but not a false one.
    """

    prefix_ids: Ids | None
    suffix_ids: Ids | None
    response_template: str | None
    instruction_template: str | None
    turns: int
    found: int
    false_hits: int
    misses: tuple[Miss, ...]
    open_headers: int = 0

    @property
    def advice(self) -> str:
        """Advice on this proposal, in one sentence."""
        if not self.turns:
            return "No row has an assistant turn that trains: there is nothing to find."
        if self.prefix_ids is None:
            return (
                "No constant ids stand before the answers: use exact labels (the traced strategy), a template with "
                "generation tags, or headers made of special tokens."
            )
        if self.found == self.turns and not self.false_hits:
            return "The ids find every answer and nothing else."
        return (
            f"The ids find {self.found} of {self.turns} answers and match {self.false_hits} times elsewhere: change "
            "the rows named under misses, or use exact labels."
        )

    @property
    def counted(self) -> str:
        """The result of the search, in one sentence."""
        hits = "no false matches" if not self.false_hits else f"{self.false_hits} false matches"
        return f"Found {self.found} of {self.turns} answers, {hits}."

    def lines(self) -> list[tuple[str, str]]:
        """The proposal and its results, as (name, value)."""
        return [
            ("prefix ids", shown_ids(self.prefix_ids)),
            ("suffix ids", shown_ids(self.suffix_ids)),
            ("response template", _shown_text(self.response_template)),
            ("instruction template", _shown_text(self.instruction_template)),
            ("found", f"{self.found} of {self.turns} answers, {self.false_hits} false hits"),
        ]

    def options(self) -> dict[str, Any]:
        """The options of searching strategies, with the proposal for each; None if there is none."""
        prefix, suffix = (None if ids is None else list(ids) for ids in (self.prefix_ids, self.suffix_ids))
        return {
            "prefix_ids": prefix,
            "suffix_ids": suffix,
            "response": prefix,
            "instruction": self.instruction_template,
            "response_template": self.response_template,
        }

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "prefix_ids": None if self.prefix_ids is None else list(self.prefix_ids),
            "suffix_ids": None if self.suffix_ids is None else list(self.suffix_ids),
            "response_template": self.response_template,
            "instruction_template": self.instruction_template,
            "turns": self.turns,
            "found": self.found,
            "false_hits": self.false_hits,
            "open_headers": self.open_headers,
            "misses": [
                {"token": m.token, "ids": list(m.ids), "count": m.count, "row": m.row, "message_index": m.message_index}
                for m in self.misses
            ],
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A turn in a row: tokens `[start, stop]`; `is_clean` if a token begins exactly where the text does."""

    row: int
    message_index: int
    start: int
    stop: int | None
    is_clean: bool


def propose_markers(inspections: Iterable[Inspection]) -> Markers:
    """Propose ids for the rows, which were inspected with one model and the `traced` strategy."""
    rows = list(inspections)
    ids = [tuple(row.ids) for row in rows]
    answers = [answer for number, row in enumerate(rows) for answer in _answers(number, row)]
    prefix = _constant_before(rows, ids, answers)
    suffix = _constant_from_stop(ids, answers)
    starts = {(answer.row, answer.start) for answer in answers if answer.is_clean}
    hits = (
        set() if prefix is None else {(row, end) for row, row_ids in enumerate(ids) for end in _ends(row_ids, prefix)}
    )
    opened = {(row, end) for row, end in hits if end == len(ids[row])} - starts
    found = [a for a in answers if (a.row, a.start) in hits and a.is_clean and _stops_right(ids[a.row], a, suffix)]
    inside = sum(_stops_inside(ids[a.row], a, suffix) for a in found)
    recognized = set(found)
    questions = [question for number, row in enumerate(rows) for question in _questions(number, row)]
    tokenizer = rows[0].model.tokenizer if rows else None
    return Markers(
        prefix_ids=prefix,
        suffix_ids=suffix,
        response_template=_text_of(tokenizer, prefix),
        instruction_template=_text_of(tokenizer, _constant_before(rows, ids, questions)),
        turns=len(answers),
        found=len(found),
        false_hits=len(hits - starts - opened) + inside,
        open_headers=len(opened),
        misses=tuple(_misses(rows, ids, [a for a in answers if a not in recognized])),
    )


def _answers(number: int, row: Inspection) -> Iterable[_Answer]:
    spans = row.example.tokens.char_spans
    for index, turn in row.example.turns.items():
        trained = [i for i in turn.tokens if row.trained[i]]
        if turn.header is None or not trained:
            continue
        start = next((i for i in turn.tokens if spans[i][1] > turn.answer_start), trained[0])
        yield _Answer(
            row=number,
            message_index=index,
            start=start,
            stop=turn.stop_token,
            is_clean=spans[start][0] == turn.answer_start,
        )


def _questions(number: int, row: Inspection) -> Iterable[_Answer]:
    """The user's turns, from their first character of message text."""
    tokens = row.example.tokens
    for index, turn in row.example.turns.items():
        if row.example.conversation.role(index) != "user":
            continue
        starts = (s for s, _, run in turn.runs if run.origin.kind is OriginKind.MESSAGE and run.origin.field != "role")
        text_start = next(starts, None)
        if text_start is None:
            continue
        start = next(i for i in turn.tokens if tokens.char_spans[i][1] > text_start)
        is_clean = tokens.char_spans[start][0] == text_start
        yield _Answer(row=number, message_index=index, start=start, stop=None, is_clean=is_clean)


def _constant_before(rows: Sequence[Inspection], ids: Sequence[Ids], answers: Sequence[_Answer]) -> Ids | None:
    """The shortest ids before most answers that occur nowhere else; from a special token on, if there is one."""
    clean = [answer for answer in answers if answer.is_clean and answer.start]
    if not clean:
        return None
    (last, _) = Counter(ids[a.row][a.start - 1] for a in clean).most_common(1)[0]
    same = [a for a in clean if ids[a.row][a.start - 1] == last]
    common = _common_suffix([ids[a.row][max(0, a.start - _REACH) : a.start] for a in same])
    starts = {(a.row, a.start) for a in answers if a.is_clean}

    def false_hits(candidate: Ids) -> int:
        ends = (
            (row, end) for row, row_ids in enumerate(ids) for end in _ends(row_ids, candidate) if end < len(row_ids)
        )
        return sum(place not in starts for place in ends)

    size = min(range(1, len(common) + 1), key=lambda n: (false_hits(common[-n:]), n))
    special = rows[same[0].row].example.tokens.special
    first = same[0].start - size
    while first > same[0].start - len(common) and not special[first]:
        first -= 1
    return common[first - same[0].start :] if special[first] else common[-size:]


def _constant_from_stop(ids: Sequence[Ids], answers: Sequence[_Answer]) -> Ids | None:
    """The shortest ids from the stop token on that occur in no answer; None if turns end in different tokens."""
    stops = [(ids[a.row][a.stop : a.stop + _REACH], a) for a in answers if a.stop is not None]
    if not stops or len(stops) < len(answers):
        return None
    first = stops[0][0]
    common = 0
    while all(len(after) > common and after[common] == first[common] for after, _ in stops):
        common += 1
    sizes = range(1, common + 1)
    clean = (n for n in sizes if not any(_stops_inside(ids[a.row], a, first[:n]) for _, a in stops))
    size = next(clean, common)
    return first[:size] or None


def _stops_right(ids: Ids, answer: _Answer, suffix: Ids | None) -> bool:
    return suffix is not None and answer.stop is not None and ids[answer.stop : answer.stop + len(suffix)] == suffix


def _stops_inside(ids: Ids, answer: _Answer, suffix: Ids | None) -> int:
    """The number of matches of the suffix between an answer's start and its stop token."""
    if suffix is None or answer.stop is None:
        return 0
    return len(_ends(ids[answer.start : max(answer.start, answer.stop + len(suffix) - 1)], suffix))


def _misses(rows: Sequence[Inspection], ids: Sequence[Ids], missed: Sequence[_Answer]) -> Iterable[Miss]:
    """Missed turns, grouped by the token at their boundary, most frequent first."""
    groups: dict[int, list[_Answer]] = {}
    for answer in missed:
        groups.setdefault(ids[answer.row][answer.start - answer.is_clean], []).append(answer)
    for group in sorted(groups.values(), key=len, reverse=True):
        first = group[0]
        end = first.start + 1 - first.is_clean
        yield Miss(
            token=rows[first.row].example.tokens.texts[end - 1],
            ids=ids[first.row][max(0, end - 4) : end],
            count=len(group),
            row=first.row,
            message_index=first.message_index,
        )


def _ends(ids: Ids, wanted: Ids) -> list[int]:
    """The end of each occurrence of `wanted`."""
    size = len(wanted)
    return [i + size for i in range(len(ids) - size + 1) if ids[i] == wanted[0] and ids[i : i + size] == wanted]


def _common_suffix(sequences: Sequence[Ids]) -> Ids:
    shortest = min(sequences, key=len)
    size = 0
    while size < len(shortest) and len({sequence[-size - 1] for sequence in sequences}) == 1:
        size += 1
    return shortest[len(shortest) - size :]


def _text_of(tokenizer: Tokenizer | None, ids: Ids | None) -> str | None:
    """The text of ids, if tokenizing that text alone gives the ids back."""
    if ids is None or tokenizer is None:
        return None
    text = text_of(tokenizer, ids)
    alone = tuple(ids_alone(tokenizer, text))
    return text if alone == ids else None


# --- home-llm's find_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The text around an answer, and its ids as home-llm's `find_split` prints them, tokenized out of context.

    `alone`, `after_space`, `after_newline`: the ids of the text by itself, after a space, after a line end.
    """

    text: str
    alone: Ids
    after_space: Ids
    after_newline: Ids

    def tokenizations(self) -> list[tuple[str, Ids]]:
        """The ways to tokenize the text, each with its ids."""
        return [
            ("on its own", self.alone),
            ("after a space", self.after_space),
            ("after a newline", self.after_newline),
        ]


def shown_ids(ids: Sequence[int] | None) -> str:
    """Ids in the form for a trainer's command line."""
    return "none: no constant sequence" if ids is None else ",".join(map(str, ids))


def _shown_text(text: str | None) -> str:
    return "none: pass ids" if text is None else repr(text)


def find_split(model: Model) -> tuple[Split, Split]:
    """The text before and after a lone answer, each with its three tokenizations. Raises as `inspect`."""
    from inspector.inspection import inspect

    sentinel = "HELLOASSISTANT"
    row = inspect(model, [{"role": "assistant", "content": sentinel}])
    before, _, after = row.text.partition(sentinel)
    special = [model.special_tokens.get(name) for name in ("bos_token", "eos_token")]
    for token in filter(None, special):
        before, after = before.removeprefix(token), after
    return _split(model.tokenizer, before), _split(model.tokenizer, after)


def _split(tokenizer: Tokenizer, text: str) -> Split:
    def ids(of: str) -> Ids:
        return tuple(ids_alone(tokenizer, of))

    return Split(text=text, alone=ids(text), after_space=ids(" " + text), after_newline=ids("\n" + text))


WORDS = ("Computerwiz", "Computer wiz")
"""A space is not a token: it makes another token of the word after it."""


def pieces(model: Model, text: str) -> list[tuple[int, str]]:
    """(id, text) of each token of a text by itself; if tokens share a character only the first has it.

    Raises TokenizationError if tokens and text cannot be aligned.
    """
    table = tokenize(model.tokenizer, Rendered(text=text, runs=(), generation_spans=(), headers=(), prompt_start=None))
    return list(zip(table.ids, table.pieces(), strict=True))
