"""A row put together out of pieces that are tokenized alone: its ids, its bits, and whose its characters are.

Where the ids are those shown, the bits stand over the tokens shown. Else the row is another one; its text is joined of
the stretches of the renders that the pieces were taken from, so that each character still knows who wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from inspector.conversation import Conversation
from inspector.errors import StrategyRefusedError
from inspector.model.encoders import JINJA
from inspector.rendering.rendered import Rendered, joined, template_text
from inspector.strategies.base import Example, Labelled
from inspector.strategies.boundaries import shared_length
from inspector.tokens import encoded, table_of
from inspector.turns import find_turns


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Tokens that stand next to each other in a row. `ids`: theirs; `trained`: a bit for each.

    `start`, `end`: the characters of a text that are in the row; `spans`: those of each token. `source`: that text, and
    whose its characters are; it is asked only where the row is not the one shown.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    trained: tuple[bool, ...]
    start: int
    end: int
    source: Callable[[], Rendered]


def check_images(example: Example, trainer: str) -> None:
    """Raise StrategyRefusedError for a row whose images a processor puts into the text."""
    if any(picture.span is not None for picture in example.pictures):
        raise StrategyRefusedError(f"What {trainer} makes of rows with images is not reproduced here.")


def piece(
    example: Example, text: str, source: Callable[[], Rendered], *, trained: bool = False, start: int = 0
) -> Piece:
    """The piece of what stands from character `start` on in a text, tokenized alone. `source`: see Piece."""
    ids, spans, _ = encoded(example.tokenizer, text[start:])
    return Piece(
        ids=tuple(ids),
        spans=tuple((a + start, b + start) for a, b in spans),
        trained=(trained,) * len(ids),
        start=start,
        end=len(text),
        source=source,
    )


def added(example: Example, text: str, *, trained: bool = False) -> Piece:
    """The piece of a text that the trainer writes."""
    return piece(example, text, lambda: template_text(text), trained=trained)


def rendering(example: Example, conversation: Conversation, first: int = 0) -> Callable[[], Rendered]:
    """The source of a render whose first message is message `first` of the row."""
    return lambda: example.remake(conversation, example.template).rendered.counted_from(first)


def without_start(whole: Piece, count: int) -> Piece:
    """A piece without its first tokens."""
    start = whole.spans[count][0] if count < len(whole.ids) else whole.end
    return replace(whole, ids=whole.ids[count:], spans=whole.spans[count:], trained=whole.trained[count:], start=start)


def labelled_row(example: Example, pieces: Sequence[Piece], trainer: str, warnings: Sequence[str] = ()) -> Labelled:
    """The labels of the joined pieces; over a row of its own, and with a warning, where these are not the ids shown.

    Where they are the first of them, the rest of those shown is cut.
    """
    ids = [id for one in pieces for id in one.ids]
    bits = [bit for one in pieces for bit in one.trained]
    if tuple(ids) == example.tokens.ids:
        return Labelled.by_rule(bits, warnings=warnings)
    if tuple(ids) == example.tokens.ids[: len(ids)]:
        left = range(len(ids), len(example))
        warning = f"{trainer}'s row ends before the last {len(left)} of the tokens shown."
        return Labelled.by_rule([*bits, *[False] * len(left)], cut=left, warnings=[*warnings, warning])
    same = shared_length(ids, example.tokens.ids)
    warning = (
        f"{trainer} puts the row together out of parts: it has {len(ids)} tokens, and is not the one that the template "
        f"gives from token {same} on. What is shown is {trainer}'s row."
    )
    return Labelled.by_rule(bits, warnings=[*warnings, warning], example=_row(example, pieces, ids))


def _row(example: Example, pieces: Sequence[Piece], ids: Sequence[int]) -> Example:
    rendered = joined([one.source().part(one.start, one.end) for one in pieces])
    spans, before = [], 0
    for one in pieces:
        by = before - one.start
        spans += [(max(a, one.start) + by, max(b, one.start) + by) for a, b in one.spans]
        before += one.end - one.start
    tokens = table_of(example.tokenizer, rendered, ids, spans, example.tokens.has_offsets)
    turns = find_turns(example.conversation, rendered, tokens)
    return replace(
        example, rendered=rendered, tokens=tokens, turns=turns, encoder=JINJA, official=lambda: None, pictures=()
    )
