"""The fast path of an audit: rows of a known shape are rendered and tokenized many at a time, and only counted.

It is 18 to 32 times as fast as inspecting every row whole (`benchmarks/audit.py`). See `skeletons` for why the counts
are those of the whole inspection, and `segments` for where tokens begin. Rendering, in another process, and
tokenization, in a thread without Python's lock, run while other rows are read and counted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from inspector.audit.report import RowCounts
from inspector.audit.skeletons import Shape, Skeleton, shape_of, skeleton_of
from inspector.conversation import Conversation
from inspector.errors import InspectorError, TokenizationError
from inspector.findings.codes import Code, Reads
from inspector.inspection import Inspection
from inspector.rendering import sandbox
from inspector.segments import Encoded, SegmentCache
from inspector.strategies import EXACT
from inspector.tokens import named_panics

if TYPE_CHECKING:
    from inspector.audit.run import Task

TOGETHER = 64
"""Rows rendered by one request to the sandbox."""
ENCODED_CHARS = 1_000_000
"""Characters tokenized at a time. At most twice as many are kept, so that long rows are not in memory three times."""
_HOPELESS = 3
"""Rows of one shape that are tried as its model. After as many failures the shape is given up."""
_SHAPES = 2_000
"""Maximum number of shapes to remember."""

Counts = list[RowCounts | None]
_Batch = list[tuple[int, list[str], str]]
"""Rows that are tokenized together. Each has its place, its parts, and its text, which is the parts joined."""


class ShortWay:
    """Counts rows whose shape is known. Only for `traced`, fast tokenizers, models whose rows need not be checked
    one by one, and findings that say what they read.
    """

    def __init__(self, task: Task) -> None:
        self._model = task.model
        self._max_length = task.rule.modifiers.max_length
        self._skeletons: dict[Shape, Skeleton] = {}
        self._failures: Counter[Shape] = Counter()
        is_exact = task.rule.strategy == EXACT and task.model.is_fast and not task.model.is_judged_by_row
        is_open = is_exact and all(code.reads is not Reads.WORDS for code in Code)
        self._segments = SegmentCache(task.model.tokenizer) if is_open else None

    def learn(self, inspection: Inspection) -> None:
        """Take a row that was inspected whole as the model of its shape, if it can be one."""
        shape = None if self._segments is None else shape_of(inspection.example.conversation)
        if shape is None or shape in self._skeletons or self._failures[shape] >= _HOPELESS:
            return
        skeleton = skeleton_of(inspection)
        if skeleton is None:
            self._failures[shape] += 1
        elif len(self._skeletons) < _SHAPES:
            self._skeletons[shape] = skeleton

    def skeleton(self, conversation: Conversation) -> Skeleton | None:
        """The skeleton that a row of this shape is checked against; None if the shape is not known."""
        shape = shape_of(conversation) if self._skeletons else None
        return self._skeletons.get(shape) if shape is not None else None

    def counts(self, rows: Sequence[tuple[Conversation, Skeleton]]) -> Counts:
        """The counts of each row, or None if the row has to be inspected whole."""
        return self.begin(rows)()

    def begin(self, rows: Sequence[tuple[Conversation, Skeleton]]) -> Callable[[], Counts]:
        """Begin to count. Returns a function that waits for the tokens and returns the result of `counts`."""
        found: Counts = [None] * len(rows)
        begun: deque[Callable[[], None]] = deque()
        for batch in self._batches(rows):
            begun.append(self._begin(batch, rows, found))
            if len(begun) > 2:
                begun.popleft()()

        def end() -> Counts:
            while begun:
                begun.popleft()()
            return found

        return end

    def _begin(self, batch: _Batch, rows: Sequence[tuple[Conversation, Skeleton]], found: Counts) -> Callable[[], None]:
        assert self._segments is not None
        encode = self._segments.begin([text for _, _, text in batch])

        def end() -> None:
            with suppress(TokenizationError), named_panics(self._model.tokenizer):
                for (index, parts, _), tokens in zip(batch, encode(), strict=True):
                    found[index] = self._count(rows[index][1], parts, tokens)

        return end

    def _batches(self, rows: Sequence[tuple[Conversation, Skeleton]]) -> Iterator[_Batch]:
        """The rows that render as their skeleton says."""
        batch: _Batch = []
        chars = 0
        for index, text in self._texts([conversation for conversation, _ in rows]):
            conversation, skeleton = rows[index]
            parts = skeleton.fill(conversation)
            if "".join(parts) != text:
                continue
            if batch and chars + len(text) > ENCODED_CHARS:
                yield batch
                batch, chars = [], 0
            batch.append((index, parts, text))
            chars += len(text)
        if batch:
            yield batch

    def _texts(self, conversations: Sequence[Conversation]) -> Iterator[tuple[int, str]]:
        """The plain renders that succeeded, each with its place."""
        model = self._model
        for has_tools in (True, False):  # a model may have another template for tools
            places_with = [i for i, c in enumerate(conversations) if (c.tools is not None) is has_tools]
            if not places_with:
                continue
            _, source = model.template_for(has_tools)
            places, chosen = iter(places_with), [conversations[i] for i in places_with]
            with suppress(InspectorError):  # the whole inspection says why
                for group in sandbox.text_groups(source, chosen, model.special_tokens, together=TOGETHER):
                    some = zip(islice(places, len(group)), group, strict=True)
                    yield from ((place, text) for place, text in some if isinstance(text, str))

    def _count(self, skeleton: Skeleton, parts: list[str], encoded: Encoded) -> RowCounts | None:
        if self._max_length is not None and encoded.size > self._max_length:
            return None
        if encoded.special != skeleton.special or not encoded.is_whole:
            return None
        assert self._segments is not None
        sizes = map(self._segments.measure, parts)
        starts = encoded.tokens_at([0, *accumulate(sizes)][:-1])
        return None if starts is None else skeleton.counts(parts, starts, encoded.size)
