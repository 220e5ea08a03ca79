"""Strings that know where each of their characters came from.

An `OriginStr` is a str with runs: `(length, origin, offset, turn)`. It keeps them through all operations of chat
templates (`+`, slices, the strip, split and case families, replace, join), so that after a render the origin of every
character is known: "message 3, content, character 17" or "template line 12, in the turn of message 3". Any other
operation gives a plain str, and plain text has an unknown origin: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple, SupportsIndex


class OriginKind(StrEnum):
    """The kind of a character's origin."""

    MESSAGE = "message"
    """The conversation: a message's field, or (without a message index) the tools, the documents, a keyword."""
    TEMPLATE = "template"
    """The chat template's own text, special tokens and dates included."""
    UNKNOWN = "unknown"
    """Unknown: an operation lost the origin."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One source of characters.

    `message_index`: the index of the message, or None outside the messages. `field`: its path (`content`,
    `content[0].text`, `tool_calls[0].function.name`), or `tools[0]...`, `documents[1].text`, or a keyword's name. For
    template text it is `strftime_now` for a date, and `placeholder` for an image, a sound or a video. `line`: the
    template line (from 1) that wrote the text, or None if it is unknown or message text.
    """

    kind: OriginKind
    message_index: int | None = None
    field: str | None = None
    line: int | None = None

    @property
    def top_field(self) -> str:
        """The field without its path: `content` of `content[0].text`."""
        return (self.field or "").split(".")[0].split("[")[0]

    def to_dict(self) -> dict[str, Any]:
        """The public form: `{"kind", "message_index", "field", "line"}`."""
        return {
            "kind": self.kind.value,
            "message_index": self.message_index,
            "field": self.field,
            "line": self.line,
        }


TEMPLATE = Origin(OriginKind.TEMPLATE)
CLOCK = Origin(OriginKind.TEMPLATE, field="strftime_now")
"""Text that a template writes from today's date or time."""
PLACEHOLDER = Origin(OriginKind.TEMPLATE, field="placeholder")
"""The placeholder that a template writes for an image, a sound or a video; a processor puts the media there."""
UNKNOWN = Origin(OriginKind.UNKNOWN)


class Run(NamedTuple):
    """`length` characters of one origin.

    `offset`: the place of the first one in the source text, or None if they do not come from it (template text, JSON
    punctuation around a field). `turn`: index of the message whose turn they belong to, or None.
    """

    length: int
    origin: Origin
    offset: int | None = None
    turn: int | None = None

    def cut(self, start: int, end: int) -> Run:
        """The part `[start, end)` of this run, counted within it."""
        return Run(end - start, self.origin, None if self.offset is None else self.offset + start, self.turn)

    def continues(self, after: Run) -> bool:
        """Whether this run continues where `after` ended, so that both can be merged."""
        if self.origin is not after.origin or self.turn != after.turn:
            return False
        return self.offset == (None if after.offset is None else after.offset + after.length)


class OriginStr(str):
    """A str whose characters know their origins. Attributes are underscored: templates cannot reach those."""

    __slots__ = ("_runs",)
    _runs: tuple[Run, ...]

    def __new__(cls, text: str = "", runs: Iterable[Run] | None = None) -> OriginStr:
        """`runs` must add up to `len(text)`; without them the origin is that of `text`, or unknown."""
        self = super().__new__(cls, text)
        if runs is not None:
            self._runs = tuple(runs)
        elif isinstance(text, OriginStr):
            self._runs = text._runs
        else:
            self._runs = (Run(len(text), UNKNOWN),) if text else ()
        return self

    @classmethod
    def of(cls, text: str, origin: Origin, *, offset: int | None = None, turn: int | None = None) -> OriginStr:
        """All of `text` from one origin."""
        return cls(text, (Run(len(text), origin, offset, turn),) if text else ())

    def __str__(self) -> OriginStr:
        return self  # `str(x)` keeps what a subclass returns, so Jinja's own conversions keep origins

    def __reduce__(self) -> tuple[Any, ...]:
        return OriginStr, (str.__str__(self), self._runs)

    def __add__(self, other: str) -> OriginStr:
        if not isinstance(other, str) or hasattr(other, "__html__"):  # markup escapes what it is added to
            return NotImplemented
        return concat((self, other))

    def __radd__(self, other: str) -> OriginStr:
        if not isinstance(other, str) or hasattr(other, "__html__"):
            return NotImplemented
        return concat((other, self))

    def __mul__(self, count: SupportsIndex) -> OriginStr:
        text = super().__mul__(count)
        if len(self._runs) == 1 and self._runs[0].offset is None:
            return OriginStr(text, [self._runs[0]._replace(length=len(text))] if text else [])
        return OriginStr(text, merged(self._runs * max(0, count.__index__())))

    __rmul__ = __mul__

    def __getitem__(self, key: SupportsIndex | slice) -> OriginStr:
        text = super().__getitem__(key)
        if not isinstance(key, slice):
            start = range(len(self))[key]
            return OriginStr(text, self._cut(start, start + 1))
        start, stop, step = key.indices(len(self))
        if step == 1:
            return OriginStr(text, self._cut(start, max(start, stop)))
        return OriginStr(text, merged(run for i in range(start, stop, step) for run in self._cut(i, i + 1)))

    def __iter__(self) -> Iterator[OriginStr]:
        return (self[i] for i in range(len(self)))

    def _cut(self, start: int, end: int) -> list[Run]:
        out, position = [], 0
        for run in self._runs:
            if position >= end:
                break
            low, high = max(start, position), min(end, position + run.length)
            if low < high:
                out.append(run.cut(low - position, high - position))
            position += run.length
        return out

    def _part(self, start: int, text: str) -> OriginStr:
        return OriginStr(text, self._cut(start, start + len(text)))

    # strip family

    def lstrip(self, chars: str | None = None, /) -> OriginStr:
        text = super().lstrip(chars)
        return self._part(len(self) - len(text), text)

    def rstrip(self, chars: str | None = None, /) -> OriginStr:
        return self._part(0, super().rstrip(chars))

    def strip(self, chars: str | None = None, /) -> OriginStr:
        return self.lstrip(chars).rstrip(chars)

    def removeprefix(self, prefix: str, /) -> OriginStr:
        text = super().removeprefix(prefix)
        return self._part(len(self) - len(text), text)

    def removesuffix(self, suffix: str, /) -> OriginStr:
        return self._part(0, super().removesuffix(suffix))

    # split family: the pieces occur in order, so each is found after the previous one

    def _pieces(self, pieces: Iterable[str]) -> list[OriginStr]:
        out, position = [], 0
        for piece in pieces:
            position = str.find(self, piece, position)
            out.append(self._part(position, piece))
            position += len(piece)
        return out

    def _separated(self, pieces: list[str], separator: str) -> list[OriginStr]:
        out, position = [], 0
        for piece in pieces:
            out.append(self._part(position, piece))
            position += len(piece) + len(separator)
        return out

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        pieces = super().split(sep, maxsplit)
        return list(self._pieces(pieces) if sep is None else self._separated(pieces, sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        pieces = super().rsplit(sep, maxsplit)
        return list(self._pieces(pieces) if sep is None else self._separated(pieces, sep))

    def splitlines(self, keepends: bool = False) -> list[str]:
        whole = self._separated(super().splitlines(keepends=True), "")
        return [piece if keepends else piece[: len(str.splitlines(piece)[0])] for piece in whole]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        head, middle, tail = self._separated(list(super().partition(sep)), "")
        return head, middle, tail

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        head, middle, tail = self._separated(list(super().rpartition(sep)), "")
        return head, middle, tail

    def join(self, parts: Iterable[str], /) -> OriginStr:
        out: list[str] = []
        for part in parts:
            if not isinstance(part, str):
                raise TypeError(f"sequence item {len(out)}: expected str instance, {type(part).__name__} found")
            out += (self, part) if out else (part,)
        return concat(out)

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> OriginStr:
        text = super().replace(old, new, count)
        pieces: list[str]
        if old:
            pieces = self.split(old, count) if count.__index__() else [self]
        else:  # an empty `old` stands before every character and at the end
            limit = count.__index__() if count.__index__() >= 0 else len(self) + 1
            cuts = list(range(min(limit, len(self) + 1)))
            bounds = [*cuts, len(self)]
            pieces = ["", *(self[a:b] for a, b in pairwise(bounds))] if cuts else [self]
        out = OriginStr(new).join(pieces)
        return out if out == text else OriginStr(text)

    # case changes: the same characters, each replaced by its own image

    def _mapped(self, text: str, image: Callable[[str], str]) -> OriginStr:
        if len(text) == len(self):
            return OriginStr(text, self._runs)
        images = [image(str.__getitem__(self, i)) for i in range(len(self))]
        if "".join(images) != text:
            return OriginStr(text)
        runs = [run._replace(length=1) for i, part in enumerate(images) for _ in part for run in self._cut(i, i + 1)]
        return OriginStr(text, merged(runs))

    def upper(self) -> OriginStr:
        return self._mapped(super().upper(), str.upper)

    def lower(self) -> OriginStr:
        return self._mapped(super().lower(), str.lower)

    def title(self) -> OriginStr:
        return self._mapped(super().title(), str.title)

    def capitalize(self) -> OriginStr:
        return self._mapped(super().capitalize(), str.upper)

    def swapcase(self) -> OriginStr:
        return self._mapped(super().swapcase(), str.swapcase)

    def casefold(self) -> OriginStr:
        return self._mapped(super().casefold(), str.casefold)


def concat(parts: Iterable[str]) -> OriginStr:
    """`"".join(parts)` that keeps origins; a plain part is of unknown origin."""
    strings = list(parts)
    runs: list[Run] = []
    for part in strings:
        runs += part._runs if isinstance(part, OriginStr) else OriginStr(part)._runs
    return OriginStr("".join(strings), merged(runs))


def placed(runs: Iterable[Run]) -> Iterator[tuple[int, int, Run]]:
    """Yield `(start, end, run)` for each run, in order."""
    position = 0
    for run in runs:
        yield position, position + run.length, run
        position += run.length


def common_start(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The length of the common start of two strings or two lists of ids."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def merged(runs: Iterable[Run]) -> list[Run]:
    """The same runs, with continuing ones merged."""
    out: list[Run] = []
    for run in runs:
        if not run.length:
            continue
        if out and run.continues(out[-1]):
            out[-1] = out[-1]._replace(length=out[-1].length + run.length)
        else:
            out.append(run)
    return out
