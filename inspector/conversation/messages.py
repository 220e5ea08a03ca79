"""One message: its fields by the names that data sets give them, its text, and its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from inspector.files.images import as_text

JsonValue: TypeAlias = Any
"""A value JSON can hold: None, bool, int, float, str, list, dict with str keys."""

Message: TypeAlias = dict[str, JsonValue]
"""One message as the template sees it: always `role`; mostly `content`; maybe `tool_calls`, `reasoning_content`, ..."""

TRAIN_FLAGS = ("train", "training", "weight", "loss", "trainable", "loss_mask")
"""Per-message flags that say whether a message is trained: ours, axolotl's, OpenAI's, ms-swift's, tinker's, verl's."""
PART_FLAGS = ("train_detail", "training_detail")
"""axolotl's lists of which characters of a message train."""
_FALSE = frozenset({"", "0", "0.0", "false", "no"})

TEXT_ROLE = "text"
"""The role of the single message that holds a rendered text: no speaker is known."""
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Fields that hold a message's reasoning; transformers 5.23 copies the first that is set to all of them."""
IMAGE_COLUMNS = ("images", "image")
"""Names of columns next to the messages that hold images."""

MEDIA = frozenset(
    {"image", "image_url", "input_image", "audio", "audio_url", "input_audio", "video", "video_url", "file"}
)
"""Types of content parts, and names of their fields, that hold no text."""


def is_flagged(message: Message) -> bool:
    """Whether a message's flag says that it trains; without a flag, whether it is the assistant's."""
    given = next((message[name] for name in TRAIN_FLAGS if message.get(name) is not None), None)
    if given is None:
        return bool(message["role"] == "assistant")
    return given.strip().lower() not in _FALSE if isinstance(given, str) else bool(given)


def words_of(message: Mapping[str, Any]) -> str:
    """The text of a message's content, without its other parts."""
    content = message.get("content") or ""
    if not isinstance(content, list | tuple):
        return str(content)
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def string_fields(message: Message) -> Iterator[tuple[str, str]]:
    """Yield `(path, text)` for every string value in a message, depth first: `("content[0].text", "Hi")`."""
    for key, value in message.items():
        yield from _strings(value, key)


def is_media(part: object) -> bool:
    """Whether a part of a message's content is an image, a sound, a video or a file."""
    return isinstance(part, Mapping) and (part.get("type") in MEDIA or ("text" not in part and bool(MEDIA & set(part))))


def with_image_texts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with texts in place of images in its content.

    Bytes, Pillow images, or images as `datasets` has them.
    """
    content = message.get("content")
    if not isinstance(content, list | tuple) or not any(map(is_media, content)):
        return message
    return {**message, "content": [_with_image_text(part) if is_media(part) else part for part in content]}


def _with_image_text(part: Mapping[str, Any]) -> Mapping[str, Any]:
    texts = {name: as_text(part[name]) for name in ("image", "bytes") if not isinstance(part.get(name), str | None)}
    return {**part, **{name: text for name, text in texts.items() if text is not None}}


def _strings(value: JsonValue, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strings(item, f"{path}[{i}]")
