"""Rows of one shape share their labels' structure: the first is inspected whole, the others are checked against it.

A template renders conversations of one shape (the same roles, fields and tools) to the same text around different
contents. The first row of a shape is traced, tokenized and labelled in full. It becomes a Skeleton: literal parts and
fields, each with its turn and whether it trains. For a later row the parts are filled with that row's fields. The
result must equal the template's render, character for character; every boundary between parts must be a boundary
between tokens; and no other special token may occur. Then the boundaries alone give the row's counts, and its findings
are those of the first row. If any check fails the row is inspected whole: this path never guesses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from inspector.audit.report import Occurrence, RowCounts, answer_hash, count
from inspector.conversation import Conversation
from inspector.findings.codes import Code, KindBy, Reads
from inspector.inspection import Inspection
from inspector.rendering.origins import OriginKind, Run
from inspector.tokens import owner

_STRIPS = ("", "strip", "lstrip", "rstrip")

Shape = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of the text between two checked boundaries.

    A literal has its `text`; a field (`field` is not empty) has the message's index and how it is stripped. `turn`: the
    index of the message whose turn it is in, or None. `is_own`: whether it is text of a message, except its role.
    """

    text: str = ""
    message: int = 0
    field: str = ""
    strip: str = ""
    turn: int | None
    is_trained: bool
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """The structure that the rows of one shape share. `special`: the number of special tokens among a row's ids, except
    whitespace."""

    parts: tuple[Part, ...]
    roles: Mapping[int, str]
    special: int
    found: tuple[Occurrence, ...]
    has_boilerplate: bool

    def fill(self, conversation: Conversation) -> list[str]:
        """The parts' texts for a conversation of this shape."""
        messages = conversation.messages
        return [_stripped(messages[p.message][p.field], p.strip) if p.field else p.text for p in self.parts]

    def counts(self, texts: Sequence[str], starts: Sequence[int], ids: int) -> RowCounts | None:
        """The counts that a row adds to a report. `starts`: the first token of each part; `ids`: the number of tokens.

        None if a finding that depends on the counts appears or disappears: then the row has to be inspected whole.
        """
        sizes = [end - start for start, end in pairwise((*starts, ids))]
        turns: dict[int, list[int]] = {index: [0, 0] for index in self.roles}
        trained = boilerplate = 0
        for part, size in zip(self.parts, sizes, strict=True):
            if part.turn is not None:
                turns[part.turn][0] += size
            if part.is_trained:
                trained += size
                boilerplate += 0 if part.is_own else size
                if part.turn is not None:
                    turns[part.turn][1] += size
        if is_boilerplate(trained, boilerplate) != self.has_boilerplate:
            return None
        bounds = list(zip(self.parts, texts, starts, (*starts[1:], ids), strict=True))
        runs = [list(group) for bit, group in groupby(bounds, key=lambda bound: bound[0].is_trained) if bit]
        return RowCounts(
            tokens=ids,
            trained=trained,
            boilerplate=boilerplate,
            cut=0,
            turns=tuple((self.roles[index], size, stops) for index, (size, stops) in turns.items()),
            spans=tuple((run[0][2], run[-1][3]) for run in runs),
            answer=answer_hash("".join(text for run in runs for _, text, _, _ in run)),
            found=self.found,
        )


def is_boilerplate(trained: int, boilerplate: int) -> bool:
    """Whether a row has the finding boilerplate_loss_share."""
    from inspector.findings.loss import BOILERPLATE_SHARE, FEW_TOKENS

    return trained >= FEW_TOKENS and boilerplate > BOILERPLATE_SHARE * trained


def shape_of(conversation: Conversation) -> Shape | None:
    """Everything but the words by which a template may tell conversations apart; None if they hold more than texts."""
    if conversation.labelled is not None:
        return None
    messages = []
    for message in conversation.messages:
        fields = []
        for name, value in message.items():
            if name == "role" or value is None or isinstance(value, bool | int | float):
                fields.append((name, value))
            elif isinstance(value, str):
                fields.append((name, (bool(value), value != value.lstrip(), value != value.rstrip(), value.isspace())))
            else:
                return None
        messages.append(tuple(fields))
    beside = [conversation.tools, conversation.documents, dict(conversation.keywords)]
    read = (conversation.prompt_messages, *(change.step for change in conversation.changes))
    return (*messages, read, json.dumps(beside) if any(beside) or conversation.tools is not None else "")


def skeleton_of(inspection: Inspection) -> Skeleton | None:
    """The skeleton that later rows of the shape are checked against; None if this row cannot serve as their model."""
    example, labelled = inspection.example, inspection.labelled
    tokens = example.tokens
    if inspection.straddlers or tokens.uncovered or not tokens.has_offsets or not len(tokens) or labelled.cut:
        return None
    counted = count(inspection)
    if any(occurrence.code.reads is Reads.TOKENS for occurrence in counted.found) or not _is_typical(inspection):
        return None
    parts = _parts(inspection)
    if parts is None or parts[0].is_trained:
        return None
    return Skeleton(
        parts=tuple(parts),
        roles={index: example.conversation.role(index) for index in example.turns},
        special=sum(bit and bool(text.strip()) for bit, text in zip(tokens.special, tokens.texts, strict=True)),
        found=counted.found,
        has_boilerplate=any(occurrence.code is Code.BOILERPLATE_LOSS_SHARE for occurrence in counted.found),
    )


def _is_typical(inspection: Inspection) -> bool:
    """Whether headers and findings are the same in every row of the shape, whatever the words of its fields."""
    headers = inspection.example.rendered.headers
    if any(header.end - header.start < len(header.prompt) for header in headers):  # it may reach into words
        return False
    runs = inspection.example.tokens.runs
    return all(
        finding.token_span is None
        or finding.code.kind_by is KindBy.WORDS
        or not any(_is_own(run) for run in runs[finding.token_span[0]])
        for finding in inspection.findings
    )


def _parts(inspection: Inspection) -> list[Part] | None:
    """The text, cut wherever owner, turn or training changes; None if a cut goes through a token or a field."""
    example, labelled = inspection.example, inspection.labelled
    spans = example.tokens.char_spans
    starts = {start for start, _ in spans} | {len(example.rendered.text)}
    ends = {end for _, end in spans} | {0}
    trained = _trained_characters(spans, labelled.trained)
    stretches: list[tuple[int, int, list[Run], bool]] = []
    for start, end, run in example.rendered.spans():
        for low, high, is_trained in _cut(start, end, trained):
            offset = None if run.offset is None else run.offset + low - start
            piece = run._replace(length=high - low, offset=offset)
            if stretches and stretches[-1][3] == is_trained and _goes_on(stretches[-1][2][-1], piece):
                before = stretches[-1]
                stretches[-1] = (before[0], high, [*before[2], piece], is_trained)
            else:
                stretches.append((low, high, [piece], is_trained))
    if any(low not in starts or low not in ends for low, _, _, _ in stretches):
        return None
    parts = [_part(example.conversation, example.rendered.text[a:b], runs, bit) for a, b, runs, bit in stretches]
    return None if None in parts else [part for part in parts if part is not None]


def _trained_characters(spans: Sequence[tuple[int, int]], trained: Sequence[bool]) -> list[tuple[int, int]]:
    """Character ranges of the trained tokens, joined where they touch."""
    out: list[tuple[int, int]] = []
    for (start, end), bit in zip(spans, trained, strict=True):
        if bit and out and start <= out[-1][1]:
            out[-1] = (out[-1][0], end)
        elif bit:
            out.append((start, end))
    return out


def _cut(start: int, end: int, trained: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, bool]]:
    """A range of characters, cut where trained text begins and ends."""
    marks = sorted({start, end, *(at for span in trained for at in span if start < at < end)})
    for low, high in pairwise(marks):
        yield low, high, any(a <= low and high <= b for a, b in trained)


def _goes_on(before: Run, run: Run) -> bool:
    """Whether a run continues the previous one: same owner and turn and, for a field, its next characters."""
    if before.turn != run.turn or owner(before.origin) != owner(run.origin) or _is_own(before) != _is_own(run):
        return False
    if not _is_own(run):
        return True
    has_offsets = before.offset is not None and run.offset is not None
    return before.origin == run.origin and has_offsets and run.offset == before.offset + before.length  # type: ignore[operator]


def _is_own(run: Run) -> bool:
    """Whether a run is text of a message, other than its role."""
    origin = run.origin
    return origin.kind is OriginKind.MESSAGE and origin.message_index is not None and origin.field != "role"


def _part(conversation: Conversation, text: str, runs: Sequence[Run], is_trained: bool) -> Part | None:
    first = runs[0]
    origin = first.origin
    if not _is_own(first):
        is_own = origin.kind is OriginKind.MESSAGE
        return Part(text=text, turn=first.turn, is_trained=is_trained, is_own=is_own)
    index, name = origin.message_index or 0, origin.field or ""
    value = conversation.messages[index].get(name)
    if not isinstance(value, str):
        return None
    strip = next((strip for strip in _STRIPS if _stripped(value, strip) == text), None)
    if strip is None or first.offset != value.find(text):
        return None
    return Part(message=index, field=name, strip=strip, turn=first.turn, is_trained=is_trained, is_own=True)


def _stripped(value: str, strip: str) -> str:
    return str(getattr(value, strip)()) if strip else value
