"""The images of a conversation, and the text that a processor puts in the place of each.

The n-th placeholder of the rendered text stands for the n-th image of the messages, as in transformers. If an image
cannot be read, or the processor refuses, nothing is replaced, and the picture says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import IMAGE_COLUMNS, Change, Conversation, Message, Step
from inspector.errors import ConversationError, ImageError
from inspector.files.images import MAX_PIXELS, Size, images_of, is_data, size_of
from inspector.model.processor import Processor
from inspector.rendering.origins import UNKNOWN, Run
from inspector.rendering.rendered import Rendered

_TYPES = ("image", "image_url", "input_image")
"""Types of content parts that are images; templates and processors know the first."""
_FIELDS = ("image", "url", "path", "base64", "image_url")
"""Fields of such a part that name the image, in transformers' order."""
TAG = "<image>"
"""The placeholder of an image in texts of LLaVA, LLaMA-Factory and ms-swift rows."""
NOT_NAMED = "the row does not say which image it is"
MAX_IMAGES = 64
"""Maximum number of images of one row that are put into its text."""
NO_PROCESSOR = "this model has no image processor (no preprocessor_config.json)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of a conversation: part `part` of the content of message `message`.

    `size`: in pixels, None if unknown. `span`: the characters of the rendered text that the processor puts in its
    place, None if there are none. `why`: the reason for that.
    """

    message: int
    part: int
    size: Size | None = None
    span: tuple[int, int] | None = None
    why: str = ""

    @property
    def where(self) -> str:
        """The picture's place in words."""
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
    """(message, part, image) for each image in the messages; the image is None if the part does not name one."""
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
    """The image that a part names."""
    held = next((part[name] for name in _FIELDS if part.get(name)), None)
    held = held.get("url") if isinstance(held, Mapping) else held
    return held if isinstance(held, str) else None


def expanded(
    processor: Processor | None, conversation: Conversation, rendered: Rendered
) -> tuple[Rendered, tuple[Picture, ...]]:
    """The render with the processor's text for the images, and the images."""
    named = list(sources(conversation.messages))
    pictures = tuple(_measured(index, part, source) for index, part, source in named)
    if not pictures:
        return rendered, _places_without_images(processor, rendered)
    sizes = [picture.size for picture in pictures if picture.size is not None]
    if processor is None:
        return rendered, _without(pictures, NO_PROCESSOR)
    if len(sizes) < len(pictures):
        return rendered, _without(pictures, "another image of the conversation cannot be read")
    if sum(size.height * size.width for size in sizes) > MAX_PIXELS or len(sizes) > MAX_IMAGES:
        return rendered, _without(
            pictures,
            f"the images of one row have more than {MAX_PIXELS:,} pixels, or are more than {MAX_IMAGES}: make them "
            "smaller or fewer",
        )
    try:
        replacements = processor.replacements(rendered.text, sizes)
    except ImageError as error:
        return rendered, _without(pictures, str(error))
    gained, placed = 0, []
    for picture, (start, end, text) in zip(pictures, replacements, strict=True):
        placed.append(replace(picture, span=(start + gained, start + gained + len(text))))
        gained += len(text) - (end - start)
    return rendered.replaced(replacements), tuple(placed)


def _places_without_images(processor: Processor | None, rendered: Rendered) -> tuple[Picture, ...]:
    """A picture that holds the error, if the text of a conversation without images has placeholders."""
    if processor is None or not processor.may_write(rendered.text):
        return ()
    try:
        at = rendered.text.find(processor.image_token)
    except ImageError:  # its token is not known here
        return ()
    try:
        processor.replacements(rendered.text, ())
    except ImageError as error:
        turn = next((run.turn for _, end, run in rendered.spans() if end > at), None)
        return (Picture(message=turn or 0, part=0, why=str(error)),)
    return ()


def expanded_text(processor: Processor | None, conversation: Conversation, text: str) -> str:
    """The text alone, with the processor's text for the images."""
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


def as_processors_take(conversation: Conversation, columns: Collection[str] = IMAGE_COLUMNS) -> Conversation:
    """The conversation as transformers' processors pass it to templates: OpenAI's images are renamed, as in
    transformers, and the images of a column are put into the messages.

    They fill the image parts that name no image; or else replace `<image>` in texts, as in LLaMA-Factory; or else go
    before the user's first text, as in TRL. A column is left alone if every image part already names its image.
    `columns`: the names that a column of images may have. Raises ConversationError if the numbers of places and images
    differ, and for a column that holds something else.
    """
    changes: list[Change] = []
    messages = [_renamed(message, index, changes) for index, message in enumerate(conversation.messages)]
    keywords = dict(conversation.keywords)
    column = next((name for name in columns if keywords.get(name) not in (None, [], "")), None)
    if column is not None and not _names_all(messages):
        images = _images_in(keywords.pop(column))
        messages, way = _placed(messages, images)
        changes.append(Change(Step.IMAGES, f"{len(images)} of the column `{column}`, {way}"))
    for name in columns:
        if keywords.get(name, "") in (None, [], ()):
            del keywords[name]
    if not changes and keywords == conversation.keywords:
        return conversation
    changed = (*conversation.changes, *changes)
    return replace(conversation, messages=tuple(messages), keywords=keywords, changes=changed)


def _names_all(messages: Sequence[Message]) -> bool:
    """Whether the messages show images, and name every one of them."""
    named = [source for _, _, source in sources(messages)]
    return bool(named) and None not in named


def _images_in(value: Any) -> list[str]:
    try:
        return images_of(value)
    except ImageError as error:
        raise ConversationError(str(error)) from None


IN_PARTS, IN_TAGS, BEFORE_TEXT = (
    "in the parts for images", f"in the places of {TAG}", "before the first text of the user"
)  # fmt: skip
"""The places for the images of a column."""


def _placed(messages: Sequence[Message], images: Sequence[str]) -> tuple[list[Message], str]:
    """The messages with the images, and the places of the images."""
    way = IN_PARTS if any(sources(messages)) else IN_TAGS
    if way == IN_TAGS and not any(TAG in part["text"] for one in messages for part in _parts(one) if _is_text(part)):
        way = BEFORE_TEXT
    if way == IN_TAGS:
        messages = [_with_tags_as_parts(message) for message in messages]
    elif way == BEFORE_TEXT:
        first = next((i for i, message in enumerate(messages) if message["role"] == "user"), 0)
        empty = [{"type": "image"} for _ in images]
        before = {**messages[first], "content": [*empty, *_parts(messages[first])]}
        messages = [*messages[:first], before, *messages[first + 1 :]]
    places = [source for _, _, source in sources(messages)].count(None)
    if places != len(images):
        raise ConversationError(
            f"The row has {len(images)} image{'' if len(images) == 1 else 's'} in a column, and its messages have "
            f'{places} place{"" if places == 1 else "s"} for them: give each one part {{"type": "image"}}, or one '
            f"{TAG} in a text."
        )
    rest = iter(images)
    placed = [
        {**message, "content": [_filled(part, rest) for part in message["content"]]}
        if any(map(is_image, _parts(message)))
        else message
        for message in messages
    ]
    return placed, way


def _parts(message: Message) -> list[Any]:
    """The parts of a message's content; text is a single part."""
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
    """The conversation as it is passed to a template: without the images themselves, which no template writes."""
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
