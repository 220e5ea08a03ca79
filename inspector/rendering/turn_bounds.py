"""Finds the bounds of an answer's turn from renders of the conversation's beginning.

This is a second method next to the frames of a render (`frames`), and needs no loop and no macro. The render of the
messages before an answer ends where its turn begins. The render of the messages up to the answer, after the answer's
last character, is the end of its turn. It is used if the frames do not settle a turn: text outside all loop rounds, a
round inside another message's round, messages merged into one, or template text next to a turn without an owner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple

from inspector.conversation import Conversation
from inspector.rendering.frames import Resolved, is_template, says
from inspector.rendering.origins import Run, common_start, merged, placed

MAX_READ_OFF = 128
"""Maximum number of doubtful answers to check, each with renders of everything before it; later ones are unknown."""


class Settled(NamedTuple):
    """Runs with their final turns. `read_off`: answers whose bounds the frames alone had wrong; `unknown`: answers
    whose turns have unknown bounds."""

    runs: tuple[Run, ...]
    read_off: tuple[int, ...]
    unknown: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginnings:
    """Renders of the first messages; each is None if the template refuses them.

    `text(n, opens)`: of the first `n` messages, with a generation prompt or without. `traced(n)`: without, with its
    runs. `usual_prompt()`: the generation prompt after a lone question.
    """

    text: Callable[[int, bool], str | None]
    traced: Callable[[int], tuple[str, Resolved] | None]
    usual_prompt: Callable[[], str]


def settle(text: str, resolved: Resolved, conversation: Conversation, beginnings: Beginnings) -> Settled:
    """Add template text to the doubtful answers, or remove it, according to the beginnings."""
    runs = resolved.runs
    read_off, unknown = [], []
    bare = _bare(text, runs)
    answers = conversation.assistant_indices()
    shown = lru_cache(maxsize=2)(lambda index: _shown(text, resolved, conversation, beginnings, index))
    if last := [index for index in answers if index in bare][-1:]:
        bare = bare if _writes_end(text, shown(last[0]), last[0]) else set()  # the next turn's header ends an answer
    doubtful = resolved.doubtful | _out_of_order(text, runs) | bare
    for count, index in enumerate(index for index in answers if index in doubtful):
        then = shown(index) if count < MAX_READ_OFF else None
        if then is None or _opens_unasked(then, index):
            unknown += [index] if index in resolved.doubtful else []
            continue
        before = beginnings.text(index, False) if index else ""
        added = _added(text, then[0], before)
        found = added or _found_again(text, runs, index, then, before, beginnings)
        if found is not None:
            start, end = found[0], found[1] if index in bare else _own_end(runs, index, then, *found)
            changed = (
                _moved(text, runs, index, start, end) if added else _shared(text, runs, conversation, index, start, end)
            )
        else:
            ends_at = _end(text, runs, index, then)
            if ends_at is None or index in resolved.contested:
                unknown.append(index)
            changed = runs
            if ends_at is not None and ends_at >= 0:
                changed = _given(runs, index, _start(text, runs, index, before, beginnings.usual_prompt()), ends_at)
        if changed != tuple(merged(runs)):
            read_off.append(index)
            runs = changed
    return Settled(runs, tuple(read_off), tuple(unknown))


def _shown(
    text: str, resolved: Resolved, conversation: Conversation, beginnings: Beginnings, index: int
) -> tuple[str, Resolved] | None:
    """The render of the messages up to and including one."""
    is_whole = index == len(conversation.messages) - 1 and not conversation.adds_generation_prompt
    return (text, resolved) if is_whole else beginnings.traced(index + 1)


def _bare(text: str, runs: Sequence[Run]) -> set[int]:
    """Messages whose turns are in one piece and end in their own text, before a later message's turn."""
    pieces = [run for start, end, run in placed(runs) if not text[start:end].isspace()]
    groups = [(turn, list(group)) for turn, group in groupby(pieces, key=lambda run: run.turn)]
    counts = Counter(turn for turn, _ in groups)
    return {
        turn
        for (turn, group), (after, _) in pairwise([*groups, (None, [])])
        if turn is not None and counts[turn] == 1 and says(group[-1]) == turn and (after is None or after > turn)
    }


def _writes_end(text: str, shown: tuple[str, Resolved] | None, index: int) -> bool:
    """Whether the text after an answer is the same in the whole render as in a render that the answer ends."""
    span = None if shown is None else _own_span(shown[1].runs, index)
    return shown is not None and span is not None and bool(shown[0][span[1] :].strip()) and text.startswith(shown[0])


def _opens_unasked(shown: tuple[str, Resolved], index: int) -> bool:
    """Whether the template writes the next answer's header unasked: text before this answer recurs after it."""
    text, span = shown[0], _own_span(shown[1].runs, index)
    if span is None:
        return False
    tail, before = text[span[1] :], text[: span[0]]
    same = common_start(tail[::-1], before[::-1])
    return bool(tail[len(tail) - same :].strip())


def _added(text: str, shown: str, before: str | None) -> tuple[int, int] | None:
    """The text that the answer adds, if the template writes the whole as it writes its beginnings."""
    if before is None or not shown.startswith(before) or not text.startswith(shown):
        return None
    return len(before), len(shown)


def _found_again(
    text: str,
    runs: Sequence[Run],
    index: int,
    shown: tuple[str, Resolved],
    before: str | None,
    beginnings: Beginnings,
) -> tuple[int, int] | None:
    """The place of the block in the template's text for the answer as the last message.

    The block begins with the generation prompt and holds the answer's own characters in the same places.
    """
    opened = beginnings.text(index, True)
    is_known = opened is not None and before is not None and opened.startswith(before)
    prompt = opened[len(before) :] if is_known and opened and before else beginnings.usual_prompt()
    start = shown[0].rfind(prompt) if prompt.strip() else -1
    if start < 0:
        return None
    block = shown[0][start:]
    places = _own_places(shown[1].runs, index, start, len(shown[0]))
    found = [
        at
        for at in _occurrences(text, block)
        if places and _own_places(runs, index, at, at + len(block)) == places
    ]  # fmt: skip
    return (found[0], found[0] + len(block)) if len(found) == 1 else None


def _own_end(runs: Sequence[Run], index: int, shown: tuple[str, Resolved], start: int, end: int) -> int:
    """The end of a block before the same text in a later message's frame, written by another line of the template.

    Gemma 4 writes `<|tool_response>` after a last call, and at the head of each result.
    """
    lines = list(placed(shown[1].runs))
    shift = len(shown[0]) - end
    for low, _, run in placed(runs):
        if start <= low < end and run.turn is not None and run.turn > index and is_template(run):
            written = next(other for first, last, other in lines if first <= low + shift < last)
            if written.origin != run.origin:
                return low
    return end


def _occurrences(text: str, block: str) -> Iterator[int]:
    at = text.find(block)
    while at >= 0:
        yield at
        at = text.find(block, at + 1)


def _own_places(runs: Sequence[Run], index: int, start: int, end: int) -> list[tuple[int, int, str | None]]:
    """A message's own characters in `[start, end)`, counted from there."""
    return [
        (max(low, start) - start, min(high, end) - start, run.origin.field)
        for low, high, run in placed(runs)
        if says(run) == index and low < end and high > start
    ]


def _shared(
    text: str, runs: Sequence[Run], conversation: Conversation, index: int, start: int, end: int
) -> tuple[Run, ...]:
    """Make the block `[start, end)` the turn; if other answers are merged into it, only the part after them."""
    for other in conversation.assistant_indices():
        span = None if other == index else _own_span(runs, other)
        if span is not None and start <= span[0] and span[1] <= end:
            runs = _given(runs, other, start, span[1])
            start = span[1]
    return _moved(text, runs, index, start, end)


def _moved(text: str, runs: Sequence[Run], index: int, start: int, end: int) -> tuple[Run, ...]:
    """Make all of `[start, end)` the turn, and nothing else except whitespace that its frame writes later."""
    out = []
    for a, b, run in _cut(runs, start, end):
        is_lost = run.turn == index and (a < end or not text[a:b].isspace())
        out.append(run._replace(turn=index if start <= a and b <= end else None if is_lost else run.turn))
    return tuple(merged(out))


def _out_of_order(text: str, runs: Sequence[Run]) -> set[int]:
    """Messages with something other than the neighbouring turns next to or inside their turn.

    That is the turn of a later or an earlier message, or template text without an owner; but not the header of the next
    answer, nor the text after a turn's known end, nor the results that a template writes in the round of their call.
    """
    pieces = [piece for piece in placed(runs) if not text[piece[0] : piece[1]].isspace()]
    bounds: dict[int, tuple[int, int, int]] = {}  # turn -> its first piece, its last, how many
    answered: dict[int, int] = {}  # turn -> where its own text begins
    for at, (start, _, run) in enumerate(pieces):
        if run.turn is not None:
            first, _, count = bounds.get(run.turn, (at, at, 0))
            bounds[run.turn] = (first, at, count + 1)
            if says(run) == run.turn:
                answered.setdefault(run.turn, start)
    found = set()
    for index, (first, last, count) in bounds.items():
        before = pieces[first - 1][2] if first and index else None
        is_led = before is None or (before.turn < index if before.turn is not None else not is_template(before))
        start, _, after = pieces[last + 1] if last + 1 < len(pieces) else (len(text), len(text), None)
        is_followed = after is None or (after.turn is not None and after.turn > index)
        is_ended = after is not None and after.turn is None and says(pieces[last][2]) != index
        is_prompt = (
            after is not None
            and after.turn is None
            and any(text[:answered_text].endswith(text[start:]) for answered_text in answered.values())
        )
        inside = pieces[first : last + 1] if count != last - first + 1 else []
        is_invaded = any(run.turn is None or run.turn < index for _, _, run in inside)
        if is_invaded or not is_led or not (is_followed or is_ended or is_prompt):
            found.add(index)
    return found


def _own_span(runs: Sequence[Run], index: int) -> tuple[int, int] | None:
    """The range from the first to the last of a message's characters in its turn."""
    spans = [(start, end) for start, end, run in placed(runs) if run.turn == index and says(run) == index]
    return (spans[0][0], spans[-1][1]) if spans else None


def _end(text: str, runs: Sequence[Run], index: int, shown: tuple[str, Resolved]) -> int | None:
    """The end of a turn, from the template's text after the answer as the last message.

    -1 if that shows nothing: the template writes no text of the answer, or continues differently at once. None if the
    two differ later, within text that may be the end of this turn or the start of the next.
    """
    span, span_then = _own_span(runs, index), _own_span(shown[1].runs, index)
    if span is None or span_then is None:
        return -1
    own_end, tail = span[1], shown[0][span_then[1] :]
    foreign = (start for start, _, run in placed(runs) if start >= own_end and says(run) not in (None, index))
    beside = text[own_end : next(foreign, len(text))]
    agreed = common_start(tail, beside)
    if agreed == len(tail) or agreed == 0:
        return own_end + agreed if agreed else -1
    turn_end = max(end for _, end, run in placed(runs) if run.turn == index)
    return turn_end if own_end < turn_end <= own_end + agreed else None


def _start(text: str, runs: Sequence[Run], index: int, before: str | None, prompt: str) -> int:
    """The start of a turn. `before`: the render of the messages before it; `prompt`: the text that opens turns."""
    span = _own_span(runs, index)
    own_start = span[0] if span else len(text)
    if before is not None and len(before) <= own_start and text.startswith(before):
        return len(before)
    others = [high for _, high, run in placed(runs) if high <= own_start and says(run) is not None]
    opened = text.rfind(prompt, max(others, default=0), own_start) if prompt.strip() else -1
    if opened >= 0:
        return opened
    start = own_start
    for low, high, run in reversed(list(placed(runs))):
        if high <= own_start:
            if run.turn not in (None, index) or not is_template(run):
                break
            start = low
    return start


def _given(runs: Sequence[Run], index: int, start: int, end: int) -> tuple[Run, ...]:
    """Assign the template's text in `[start, end)` to the answer, and none after it."""
    out = []
    for a, b, run in _cut(runs, start, end):
        if is_template(run) and start <= a and b <= end:
            out.append(run._replace(turn=index))
        else:
            is_later = is_template(run) and run.turn == index and a >= end
            out.append(run._replace(turn=None) if is_later else run)
    return tuple(merged(out))


def _cut(runs: Sequence[Run], start: int, end: int) -> Iterator[tuple[int, int, Run]]:
    """The runs with their places, cut at two positions."""
    for low, high, run in placed(runs):
        for a, b in pairwise(sorted({low, high, *(at for at in (start, end) if low < at < high)})):
            yield a, b, run.cut(a - low, b - low)
