"""Slots of text that a trainer fills with what messages say: whose each character is stays known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from inspector.conversation import Message
from inspector.errors import StrategyRefusedError
from inspector.rendering.origins import TEMPLATE, Origin, OriginKind, OriginStr
from inspector.rendering.rendered import Header, Rendered


def content_of(index: int, message: Message, trainer: str) -> OriginStr:
    """What a message says. Raises StrategyRefusedError for content that is not a text."""
    content = message.get("content")
    if not isinstance(content, str):
        raise StrategyRefusedError(f"{trainer} stops at this row: the content of message {index} is not a text.")
    return OriginStr.of(content, Origin(OriginKind.MESSAGE, index, "content"), offset=0, turn=index)


def owned(text: str, owner: int | None = None) -> OriginStr:
    """A text of the trainer's in the turn of a message."""
    return OriginStr.of(text, TEMPLATE, turn=owner)


def put(slot: str, placeholder: str, text: OriginStr, owner: int | None) -> OriginStr:
    """A slot with a text in the place of its first placeholder."""
    before, mark, after = slot.partition(placeholder)
    return owned(before, owner) + text + owned(after, owner) if mark else owned(slot, owner)


def with_ends(separator: OriginStr, texts: Sequence[OriginStr]) -> OriginStr:
    """Texts with a separator between them."""
    joined = texts[0]
    for text in texts[1:]:
        joined = joined + separator + text
    return joined


def written(text: OriginStr, answers: Iterable[tuple[int, int]] = ()) -> Callable[[], Rendered]:
    """The source of a text for a piece. `answers`: (message, character) of each answer that begins in it."""
    headers = tuple(Header(message, start, start, "", True) for message, start in answers)
    return lambda: Rendered(
        text=str.__str__(text), runs=text._runs, generation_spans=(), headers=headers, prompt_start=None
    )
