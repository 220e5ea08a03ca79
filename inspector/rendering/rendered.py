"""The result of a render: the text, the origins of its characters, and the headers of the answers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

from inspector.rendering.origins import PLACEHOLDER, TEMPLATE, Origin, Run, merged, placed


class Header(NamedTuple):
    """The start of an assistant turn: characters `[start, end)` that the generation prompt supplies at inference.

    `prompt` is the whole generation prompt. The header's text ends in it, unless the turn does not begin with all of
    it: then the header is the matching part, or the prompt that the template usually writes. `history_kept` is False if
    the template renders the earlier messages differently once this one is there. `measured` is False if the prompt was
    copied from the previous turn: it was rendered neither for this turn nor for others in the same situation.
    """

    message_index: int
    start: int
    end: int
    prompt: str
    history_kept: bool
    measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered conversation. All positions are code points of `text`.

    `runs` cover `text` in order. `generation_spans` are half open, as transformers records them. `headers`: one per
    assistant message that has a turn. `prompt_start`: the start of a trailing generation prompt, or None. `read_off`:
    answers whose turns were settled by renders of the conversation's beginning. `unknown_turns`: answers whose turns
    have unknown bounds (see `turn_bounds`). `is_cut`: whether the render continued after this text.
    """

    text: str
    runs: tuple[Run, ...]
    generation_spans: tuple[tuple[int, int], ...]
    headers: tuple[Header, ...]
    prompt_start: int | None
    read_off: tuple[int, ...] = ()
    unknown_turns: tuple[int, ...] = ()
    is_cut: bool = False

    def cut(self, length: int) -> Rendered:
        """The render cut to its first characters."""
        return self if length >= len(self.text) else replace(self.part(0, length), is_cut=True)

    def part(self, start: int, end: int) -> Rendered:
        """The characters `[start, end)` alone, with what of each span and header is in them."""

        def inside(at: int) -> int:
            return min(max(at, start), end) - start

        return replace(
            self,
            text=self.text[start:end],
            runs=tuple(self._runs_in(start, end)),
            generation_spans=tuple(
                (inside(first), inside(last))
                for first, last in self.generation_spans
                if first < end and (start <= first or start < last)
            ),
            headers=tuple(
                one._replace(start=inside(one.start), end=one.end - start)
                for one in self.headers
                if start <= one.end <= end
            ),
            prompt_start=None if self.prompt_start is None or self.prompt_start >= end else inside(self.prompt_start),
        )

    def counted_from(self, first: int) -> Rendered:
        """The same with its first message as message `first` of a longer conversation."""
        moved: dict[int, Origin] = {}

        def origin(one: Origin) -> Origin:
            if one.message_index is None:
                return one
            return moved.setdefault(id(one), replace(one, message_index=one.message_index + first))

        return replace(
            self,
            runs=tuple(
                run._replace(origin=origin(run.origin), turn=None if run.turn is None else run.turn + first)
                for run in self.runs
            ),
            headers=tuple(one._replace(message_index=one.message_index + first) for one in self.headers),
            read_off=tuple(index + first for index in self.read_off),
            unknown_turns=tuple(index + first for index in self.unknown_turns),
        )

    def after(self, prefix: str) -> Rendered:
        """The same with more template text in front, which belongs to no turn."""
        by = len(prefix)
        return replace(
            self,
            text=prefix + self.text,
            runs=(Run(by, TEMPLATE), *self.runs),
            generation_spans=tuple((start + by, end + by) for start, end in self.generation_spans),
            headers=tuple(header._replace(start=header.start + by, end=header.end + by) for header in self.headers),
            prompt_start=None if self.prompt_start is None else self.prompt_start + by,
        )

    def before(self, suffix: str) -> Rendered:
        """The same with more template text at the end, which belongs to no turn."""
        return replace(self, text=self.text + suffix, runs=(*self.runs, Run(len(suffix), TEMPLATE)))

    def replaced(self, replacements: Sequence[tuple[int, int, str]]) -> Rendered:
        """The same with some stretches replaced, in order, by the texts of a processor.

        These texts have no writer. A position inside a stretch becomes the end of its text.
        """
        text, runs, position = [], [], 0
        for start, end, new in replacements:
            turn = next((run.turn for _, last, run in self.spans() if last > start), None)
            text += [self.text[position:start], new]
            runs += [*self._runs_in(position, start), Run(len(new), PLACEHOLDER, None, turn)]
            position = end
        text.append(self.text[position:])
        runs += self._runs_in(position, len(self.text))
        starts = [start for start, _, _ in replacements]
        gained = [0, *accumulate(len(new) - (end - start) for start, end, new in replacements)]

        def moved(at: int) -> int:
            before = bisect_left(starts, at)
            is_inside = before > 0 and at < replacements[before - 1][1]
            return (replacements[before - 1][1] if is_inside else at) + gained[before]

        return replace(
            self,
            text="".join(text),
            runs=tuple(merged(runs)),
            generation_spans=tuple((moved(start), moved(end)) for start, end in self.generation_spans),
            headers=tuple(one._replace(start=moved(one.start), end=moved(one.end)) for one in self.headers),
            prompt_start=None if self.prompt_start is None else moved(self.prompt_start),
        )

    def _runs_in(self, low: int, high: int) -> list[Run]:
        """The runs of a stretch of the text."""
        parts = ((max(low, start), min(high, end), start, run) for start, end, run in self.spans())
        return [run.cut(first - start, last - start) for first, last, start, run in parts if first < last]

    def spans(self) -> Iterator[tuple[int, int, Run]]:
        """Yield `(start, end, run)` for each run, in order."""
        return placed(self.runs)


def joined(parts: Sequence[Rendered]) -> Rendered:
    """Parts of renders, one after the other, as one."""
    starts = [0, *accumulate(len(part.text) for part in parts)]
    placed_parts = list(zip(starts, parts, strict=False))
    last = parts[-1].prompt_start
    return Rendered(
        text="".join(part.text for part in parts),
        runs=tuple(run for part in parts for run in part.runs),
        generation_spans=tuple((a + by, b + by) for by, part in placed_parts for a, b in part.generation_spans),
        headers=tuple(
            one._replace(start=one.start + by, end=one.end + by) for by, part in placed_parts for one in part.headers
        ),
        prompt_start=None if last is None else last + starts[-2],
        read_off=tuple(index for part in parts for index in part.read_off),
        unknown_turns=tuple(index for part in parts for index in part.unknown_turns),
    )


def template_text(text: str) -> Rendered:
    """A text of the template alone, in no turn."""
    return Rendered(text=text, runs=(Run(len(text), TEMPLATE),), generation_spans=(), headers=(), prompt_start=None)
