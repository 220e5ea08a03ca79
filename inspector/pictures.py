"""The images of a conversation, and the text that a processor puts in the place of each.

The n-th placeholder of the rendered text stands for the n-th image of the messages, as in transformers. Where an image
cannot be read, or the processor refuses, nothing is replaced, and the picture says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import Change, Conversation, Message, Step
from inspector.errors import ConversationError, ImageError
from inspector.files.images import Size, is_data, size_of
from inspector.model.processor import Processor
from inspector.rendering.origins import UNKNOWN, Run
from inspector.rendering.rendered import Rendered

_TYPES = ("image", "image_url", "input_image")
"""Types of content parts that are images; templates and processors know the first."""
_FIELDS = ("image", "url", "path", "base64", "image_url")
"""Fields of such a part that say which image it is, in transformers' order."""
NOT_NAMED = "the row does not say which image it is"
NO_PROCESSOR = "this model has no image processor (no preprocessor_config.json)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of a conversation: part `part` of the content of message `message`.

    `size`: in pixels, None where it is not known. `span`: the characters of the rendered text that the processor puts
    in its place, None where it puts none. `why`: why not.
    """

    message: int
    part: int
    size: Size | None = None
    span: tuple[int, int] | None = None
    why: str = ""

    @property
    def where(self) -> str:
        """The picture's place, for people."""
        return f"message {self.message} · content[{self.part}]"

    def to_dict(self) -> dict[str, Any]:
        """The public, JSON-ready form."""
        return {
            "message": self.message,
            "part": self.part,
            "size": None if self.size is None else list(self.size),
            "char_span": None if self.span is None else list(self.span),
            "why": self.why,
        }


def sources(messages: Sequence[Message]) -> Iterator[tuple[int, int, str | None]]:
    """(message, part, image) for each image in the messages; None where the part does not say which one it is."""
    for index, message in enumerate(messages):
        content = message.get("content")
        for at, part in enumerate(content if isinstance(content, list | tuple) else ()):
            if is_image(part):
                yield index, at, source_of(part)


def is_image(part: object) -> bool:
    """Whether a part of a message's content is an image."""
    if not isinstance(part, Mapping):
        return False
    return part.get("type") in _TYPES or (part.get("type") is None and "text" not in part and "image" in part)


def source_of(part: Mapping[str, Any]) -> str | None:
    """Which image a part is."""
    held = next((part[name] for name in _FIELDS if part.get(name)), None)
    held = held.get("url") if isinstance(held, Mapping) else held
    return held if isinstance(held, str) else None


def expanded(
    processor: Processor | None, conversation: Conversation, rendered: Rendered
) -> tuple[Rendered, tuple[Picture, ...]]:
    """The render with what the processor writes for the images, and the images."""
    named = list(sources(conversation.messages))
    pictures = tuple(_measured(index, part, source) for index, part, source in named)
    if not pictures:
        return rendered, ()
    sizes = [picture.size for picture in pictures if picture.size is not None]
    if processor is None:
        return rendered, _without(pictures, NO_PROCESSOR)
    if len(sizes) < len(pictures):
        return rendered, _without(pictures, "another image of the conversation cannot be read")
    try:
        replacements = processor.replacements(rendered.text, sizes)
    except ImageError as error:
        return rendered, _without(pictures, str(error))
    gained, placed = 0, []
    for picture, (start, end, text) in zip(pictures, replacements, strict=True):
        placed.append(replace(picture, span=(start + gained, start + gained + len(text))))
        gained += len(text) - (end - start)
    return rendered.replaced(replacements), tuple(placed)


def expanded_text(processor: Processor | None, conversation: Conversation, text: str) -> str:
    """The text alone, with what the processor writes for the images."""
    if not any(sources(conversation.messages)):
        return text
    plain = Rendered(text=text, runs=(Run(len(text), UNKNOWN),), generation_spans=(), headers=(), prompt_start=None)
    return expanded(processor, conversation, plain)[0].text


def _measured(message: int, part: int, source: str | None) -> Picture:
    if source is None:
        return Picture(message=message, part=part, why=NOT_NAMED)
    try:
        return Picture(message=message, part=part, size=size_of(source))
    except ImageError as error:
        return Picture(message=message, part=part, why=str(error))


def _without(pictures: Sequence[Picture], why: str) -> tuple[Picture, ...]:
    return tuple(picture if picture.why else replace(picture, why=why) for picture in pictures)


TAG = "<image>"
"""What stands for an image in the texts of LLaVA's, LLaMA-Factory's and ms-swift's rows."""


def as_processors_take(conversation: Conversation) -> Conversation:
    """The conversation as transformers' processors give it to templates: OpenAI's images renamed, as transformers does,
    and those of a column put into the messages.

    They go where the messages have parts for images without one; else in the places of `<image>` in texts, as
    LLaMA-Factory puts them; else before the first text of the user, as TRL does. Raises ConversationError where places
    and images are not as many.
    """
    changes: list[Change] = []
    messages = [_renamed(message, index, changes) for index, message in enumerate(conversation.messages)]
    if conversation.images:
        messages = _placed(messages, conversation.images)
        changes.append(Change(Step.IMAGES, f"{len(conversation.images)} of the column `images`"))
    if not changes:
        return conversation
    return replace(conversation, messages=tuple(messages), images=(), changes=(*conversation.changes, *changes))


def _placed(messages: Sequence[Message], images: Sequence[str]) -> list[Message]:
    has_parts = any(is_image(part) for message in messages for part in _parts(message))
    if not has_parts and any(TAG in part["text"] for message in messages for part in _parts(message) if _is_text(part)):
        messages = [_with_tags_as_parts(message) for message in messages]
    elif not has_parts:
        first = next((i for i, message in enumerate(messages) if message["role"] == "user"), 0)
        empty = [{"type": "image"} for _ in images]
        messages = [
            {**message, "content": [*empty, *_parts(message)]} if i == first else message
            for i, message in enumerate(messages)
        ]
    places = sum(is_image(part) and source_of(part) is None for message in messages for part in _parts(message))
    if places != len(images):
        raise ConversationError(
            f"The row has {len(images)} image{'' if len(images) == 1 else 's'}, and its messages show {places}: give "
            'each image one part {"type": "image"}, or one `<image>` in a text.'
        )
    rest = iter(images)
    return [
        {**message, "content": [_filled(part, rest) for part in message["content"]]}
        if any(map(is_image, _parts(message)))
        else message
        for message in messages
    ]


def _parts(message: Message) -> list[Any]:
    """The parts of a message's content; a text is one."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content) if isinstance(content, list | tuple) else []


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str)


def _with_tags_as_parts(message: Message) -> Message:
    if not any(_is_text(part) and TAG in part["text"] for part in _parts(message)):
        return message
    parts: list[Any] = []
    for part in _parts(message):
        if not _is_text(part):
            parts.append(part)
            continue
        for at, text in enumerate(part["text"].split(TAG)):
            parts += [{"type": "image"}] if at else []
            parts += [{**part, "text": text}] if text else []
    return {**message, "content": parts}


def _filled(part: Any, images: Iterator[str]) -> Any:
    is_empty = is_image(part) and source_of(part) is None
    return {**part, "type": "image", "image": next(images)} if is_empty else part


def _renamed(message: Message, index: int, changes: list[Change]) -> Message:
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return message
    parts = [_as_image(part) if is_image(part) else part for part in content]
    if parts == list(content):
        return message
    changes.append(Change(Step.IMAGES, f"message {index} · content"))
    return {**message, "content": parts}


def _as_image(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "image":
        return dict(part)
    source = source_of(part)
    return {"type": "image"} if source is None else {"type": "image", "url": source}


def without_data(conversation: Conversation) -> Conversation:
    """The conversation as a template is given it: without the images themselves, which no template writes."""
    if not any(source is not None and is_data(source) for _, _, source in sources(conversation.messages)):
        return conversation
    return replace(conversation, messages=tuple(map(_shortened, conversation.messages)))


def _shortened(message: Message) -> Message:
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return message
    return {**message, "content": [_short_part(part) if is_image(part) else part for part in content]}


def _short_part(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _short_part(value) for name, value in part.items()}
    return "data:image;base64," if isinstance(part, str) and is_data(part) else part
