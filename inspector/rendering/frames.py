"""Assigns template text to turns: it belongs to the message whose text it surrounds.

Turns the runs of a traced render into runs that know their turn. While a template runs, every round of a loop and
every call of a macro is a `Frame`, and a run's `turn` is the number of the frame that wrote it. Afterwards each frame
is assigned to a message, by the text that it wrote:

- a round over a message, or over anything made of one message alone (a rebuilt dict, a pair of role and text), is that
  message's, if it writes the message's own text or the message has none;
- a round inside another message's round is a quote there, unless the message has no round of its own;
- where a message is written twice, the fuller round is its turn and the other a quote;
- a frame that is about no one message (a loop over numbers, over groups, a late write of the message before) belongs
  to the messages that it writes; of several, text belongs to the one written before it, else to the one after.

What message i says outside its own turn is a quote there: context. A message that no frame writes keeps its text; such
turns are `doubtful`, as are nested and shared ones: where they begin and end is found by `turn_bounds`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jinja2.utils import Namespace

from inspector.rendering.origins import OriginKind, OriginStr, Run, placed
from inspector.rendering.values import OriginDict, OriginList

ROOT = 0
"""The frame of text outside all loops and macros."""

_DEEPEST = 8
"""Values nested deeper are not searched for messages."""


@dataclass(slots=True)
class Frame:
    """A round of a loop or a call of a macro.

    `parent`: the frame around it. `item`: the message that the loop's variables or the macro's arguments are made of;
    None when it is none or several. `named`: messages that it sets a variable to. `is_media`: it is a round over a part
    of a message that is an image, a sound or a video.
    """

    parent: int
    item: int | None = None
    named: list[int] = field(default_factory=list)
    is_media: bool = False

    def is_about(self, index: int) -> bool:
        """Whether the frame names this message."""
        return self.item == index or index in self.named


class Resolved(NamedTuple):
    """Runs whose `turn` is a message's index or None, and the messages whose turns the frames do not settle.

    `contested`: those among them with another place in the text that holds as much of the message as the turn.
    """

    runs: tuple[Run, ...]
    doubtful: frozenset[int]
    contested: frozenset[int] = frozenset()


def only_message(values: Iterable[Any]) -> int | None:
    """The index of the one message that the values come from; None if there is none, or several."""
    found: int | None = None
    for index in _messages_in(values, _DEEPEST):
        if found is not None and index != found:
            return None
        found = index
    return found


def _messages_in(values: Iterable[Any], depth: int) -> Iterator[int]:
    for value in values if depth else ():
        if isinstance(value, OriginDict | OriginList):
            if value._origin.message_index is not None:
                yield value._origin.message_index
        elif isinstance(value, OriginStr):
            yield from (run.origin.message_index for run in value._runs if run.origin.message_index is not None)
        elif isinstance(value, dict):
            yield from _messages_in(value.values(), depth - 1)
        elif isinstance(value, list | tuple):
            yield from _messages_in(value, depth - 1)
        elif isinstance(value, Namespace):
            yield from _messages_in(object.__getattribute__(value, "_Namespace__attrs").values(), depth - 1)


def says(run: Run) -> int | None:
    """The message whose text a run is; the role does not count, since headers name it."""
    return None if run.origin.top_field == "role" else run.origin.message_index


def resolve(text: str, runs: Sequence[Run], frames: Sequence[Frame]) -> Resolved:
    """Assign every run of `text` to its turn. `runs`: in order, with `turn` as the number of a frame."""
    return _Resolver(text, runs, frames).resolved()


class _Resolver:
    """The frames that wrote anything, in the order in which they were opened: parents before what is inside them.

    `texts`, `roles`, `template_chars`: what each frame writes itself. `shown`: each message's characters that it
    writes, frames inside it included. `around`: the message whose round it is or stands in. `homes`: the frames that
    are a message's turn.
    """

    def __init__(self, text: str, runs: Sequence[Run], frames: Sequence[Frame]) -> None:
        self.runs, self.frames = runs, frames
        self.texts: dict[int, Counter[int]] = defaultdict(Counter)
        self.roles: dict[int, list[int]] = defaultdict(list)
        self.template_chars: Counter[int] = Counter()
        self._read(text)
        self.live = self._live()
        self.shown = self._shown()
        self.around: dict[int, int | None] = {ROOT: None}
        self.homes = self._homes()
        self.silent_homes = self._silent_homes()
        self.region, self.owners = self._regions()
        self.known: dict[int, set[tuple[str | None, int]]] = {}

    def _read(self, text: str) -> None:
        for start, end, run in placed(self.runs):
            index, frame = says(run), run.turn or ROOT
            if index is not None:
                self.texts[frame][index] += run.length
            elif run.origin.message_index is not None:
                self.roles[frame].append(run.origin.message_index)
            else:
                self.template_chars[frame] += len(text[start:end].strip())

    def _live(self) -> list[int]:
        live = {ROOT}
        for run in self.runs:
            frame = run.turn or ROOT
            while frame not in live:
                live.add(frame)
                frame = self.frames[frame].parent
        return sorted(live)

    def _shown(self) -> dict[int, Counter[int]]:
        shown = {frame: Counter(self.texts.get(frame, ())) for frame in self.live}
        for frame in reversed(self.live[1:]):
            shown[self.frames[frame].parent].update(shown[frame])
        return shown

    def _homes(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for frame in self.live[1:]:
            subjects, around = self._subjects(frame), self.around[self.frames[frame].parent]
            self.around[frame] = subjects[0] if len(subjects) == 1 else around
            for index in subjects:
                if index != around:
                    found[index].append(frame)
        return {index: self._unrepeated(index, frames) for index, frames in found.items()}

    def _subjects(self, frame: int) -> list[int]:
        """The message that a frame is a round over, if the frame writes it; otherwise those whose text it writes."""
        item, direct = self.frames[frame].item, self.texts.get(frame, Counter())
        if item is not None and item in self.shown[frame]:
            return [item]
        return [index for index in direct if index in self.frames[frame].named] or list(direct)

    def _unrepeated(self, index: int, frames: list[int]) -> list[int]:
        """The fullest of several frames that write a message, and frames outside other turns that add to it."""
        if len(frames) == 1:
            return frames

        def fullness(frame: int) -> tuple[int, bool, bool, int, int]:
            has_role, is_outer = index in self.roles.get(frame, ()), not self._is_nested(frame)
            return self.shown[frame][index], has_role, is_outer, self.template_chars[frame], -frame

        kept: list[int] = []
        written: set[tuple[str | None, int]] = set()
        for frame in sorted(frames, key=fullness, reverse=True):
            characters = self._characters(index, frame)
            if not kept or not (characters & written or self._is_nested(frame)):
                kept.append(frame)
            written |= characters
        return kept

    def _is_nested(self, frame: int) -> bool:
        """Whether a frame stands in another message's round."""
        return self.around[self.frames[frame].parent] is not None

    def _characters(self, index: int, frame: int, without: int | None = None) -> set[tuple[str | None, int]]:
        """The characters of a message that a frame writes, outside of another frame."""
        return {
            character
            for run in self.runs
            if says(run) == index and self._is_inside(run.turn or ROOT, frame)
            if without is None or not self._is_inside(run.turn or ROOT, without)
            for character in _characters_of(run)
        }

    def _is_inside(self, frame: int, other: int) -> bool:
        while frame > other:
            frame = self.frames[frame].parent
        return frame == other

    def _silent_homes(self) -> dict[int, list[int]]:
        """Frame -> messages without written text, such as an empty answer, whose turn it must be."""
        written = set(self.homes) | set(self.shown[ROOT])
        found: dict[int, list[int]] = defaultdict(list)
        for frame in self.live[1:]:
            if self.around[frame] is None:
                for index in self._mentioned(frame) - written:
                    found[index].append(frame)
        homes: dict[int, list[int]] = defaultdict(list)
        for index, frames in found.items():
            homes[max(frames, key=lambda frame: (self.template_chars[frame], frame))].append(index)
        return homes

    def _mentioned(self, frame: int) -> set[int]:
        """The messages that a frame is about, although it may write none of their text."""
        item = self.frames[frame].item
        return {*self.roles.get(frame, ()), *self.frames[frame].named} if item is None else {item}

    def _regions(self) -> tuple[dict[int, int], dict[int, list[int]]]:
        """Frame -> the frame at or around it that decides its owner; that frame -> the messages it belongs to."""
        owners = {ROOT: list[int]()}
        held: dict[int, list[int]] = defaultdict(list)  # frame -> the frames inside it that are messages' own
        for frame in self.live[1:]:
            subjects = self._subjects(frame)
            authors = [index for index in subjects if frame in self.homes.get(index, ())]
            if authors or frame in self.silent_homes:
                owners[frame] = authors or self.silent_homes[frame]
            elif subjects and not self._is_nested(frame):
                owners[frame] = []  # written again: a quote outside all turns
            around = frame
            while owners.get(frame) and (around := self.frames[around].parent) != ROOT:
                held[around].append(frame)
        region = {ROOT: ROOT}
        for frame in self.live[1:]:
            region[frame] = region[self.frames[frame].parent]
            if frame not in owners and held[frame] and not self._says_more(frame, owners[region[frame]]):
                owners[frame] = self._lenders(held[frame], owners)
            if frame in owners:
                region[frame] = frame
        return region, owners

    def _says_more(self, frame: int, owners: list[int]) -> bool:
        """Whether a frame writes text of the messages around it that is written nowhere else."""
        return any(
            self._characters(index, frame) - self._characters(index, ROOT, without=frame)
            for index in owners
            if index in self.shown[frame]
        )

    def _lenders(self, inside: list[int], owners: dict[int, list[int]]) -> list[int]:
        """The owners of text around turns: the only message, or those whose turns hold no template text."""
        messages = {index: None for frame in inside for index in owners[frame]}
        if len(messages) == 1:
            return list(messages)
        framed = {
            index
            for frame in inside
            if any(self.template_chars[other] and self._is_inside(other, frame) for other in self.live)
            for index in owners[frame]
        }
        return [index for index in messages if index not in framed]

    def resolved(self) -> Resolved:
        """Every run with its turn."""
        homed = {index for owners in self.owners.values() for index in owners}
        moved: set[int] = set()
        last: dict[int, int] = {}  # region of several messages -> the message whose text it wrote last
        waiting: dict[int, list[int]] = defaultdict(list)  # region -> what it wrote before any
        turns: list[int | None] = []
        for position, run in enumerate(self.runs):
            region, index = self.region[run.turn or ROOT], says(run)
            owners = self.owners[region]
            if index is not None and (index not in homed or (not owners and self._is_new(run, index))):
                moved.add(index)
                turns.append(index)
            elif len(owners) > 1:
                turns.append(index if index in owners else last.get(region))
                if turns[-1] is None:
                    waiting[region].append(position)
            else:
                turns.append(owners[0] if owners else None)
            for shared in self._sharing(region, index):
                assert index is not None
                last[shared] = index
                for before in waiting.pop(shared, ()):
                    turns[before] = index
        self._glue(turns)
        runs = tuple(run._replace(turn=turn) for run, turn in zip(self.runs, turns, strict=True))
        contested = self._contested(runs)
        return Resolved(
            runs, frozenset(moved | self._nested() | self._sharers() | self._late() | contested), frozenset(contested)
        )

    def _is_new(self, run: Run, index: int) -> bool:
        """Whether a message's turn lacks these characters of the message."""
        if index not in self.known:
            self.known[index] = {
                character
                for other in self.runs
                if says(other) == index and index in self.owners[self.region[other.turn or ROOT]]
                for character in _characters_of(other)
            }
        return (run.origin.field, run.offset or 0) not in self.known[index]

    def _sharing(self, region: int, index: int | None) -> Iterator[int]:
        """The regions at and around one that several messages share, `index` among them."""
        while index is not None and region != ROOT:
            if len(self.owners[region]) > 1 and index in self.owners[region]:
                yield region
            region = self.region[self.frames[region].parent]

    def _glue(self, turns: list[int | None]) -> None:
        """Places the text that joins messages of one frame after the first of them, where they were joined."""
        for at in range(1, len(turns) - 1):
            before, after = self.runs[at - 1], self.runs[at + 1]
            if turns[at] is None and is_template(self.runs[at]) and before.turn == after.turn:
                owners = self.owners[self.region[before.turn or ROOT]]
                turns[at] = says(before) if says(before) in owners and says(after) in owners else None

    def _nested(self) -> set[int]:
        """Messages whose rounds are inside another message's round."""
        return {index for index, frames in self.homes.items() if any(map(self._is_nested, frames))}

    def _sharers(self) -> set[int]:
        return {index for owners in self.owners.values() if len(owners) > 1 for index in owners}

    def _contested(self, runs: Sequence[Run]) -> set[int]:
        """Messages that one frame quotes as fully as their turn writes them."""
        written_by: dict[int, set[tuple[str | None, int]]] = defaultdict(
            set
        )  # each character once: a turn may quote itself
        quotes: dict[int, Counter[int]] = defaultdict(Counter)
        for run, written in zip(runs, self.runs, strict=True):
            index = says(run)
            if index is not None and run.turn == index:
                written_by[index] |= _characters_of(run)
            elif index is not None:
                quotes[index][self.region[written.turn or ROOT]] += run.length
        return {index for index, found in quotes.items() if max(found.values()) >= len(written_by[index])}

    def _late(self) -> set[int]:
        """Messages that a round over another message writes."""
        return {
            index
            for index, frames in self.homes.items()
            if any(self.frames[frame].item not in (None, index) for frame in frames)
        }


def _characters_of(run: Run) -> set[tuple[str | None, int]]:
    """The characters of a run of message text, by field and place in the field."""
    return {(run.origin.field, (run.offset or 0) + step) for step in range(run.length)}


def is_template(run: Run) -> bool:
    """Whether a run is the template's own text, or a message's role, which its header names."""
    return run.origin.kind is not OriginKind.MESSAGE or run.origin.top_field == "role"
