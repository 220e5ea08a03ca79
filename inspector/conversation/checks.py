"""Checks of conversations: the error names the message and the field that no chat template could take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspector.conversation.messages import IMAGE_COLUMNS, JsonValue, Message, with_image_texts
from inspector.errors import ConversationError, kind_of, listed, quoted
from inspector.files.images import as_json

MAX_DEPTH = 64
"""Deepest nesting of lists and dicts accepted in a message."""

MAX_NUMBER_BITS = 10_000
"""Largest whole number accepted; Python writes no number of more than 4,300 digits."""

PREFILL = "continue_final_message"
"""The argument that leaves the last message open; False, its default, changes nothing."""

RESERVED_KEYWORDS = frozenset(
    {
        "chat_template",
        PREFILL,
        "conversation",
        "max_length",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "truncation",
    }
)
"""Arguments of `apply_chat_template` itself: a template never sees them, so a conversation cannot carry them."""


def checked_messages(value: Any) -> tuple[Message, ...]:
    """The messages of a conversation, as plain JSON. Raises ConversationError."""
    if not isinstance(value, list | tuple):
        raise ConversationError(f"`messages` must be a list of messages, not {kind_of(value)}.")
    if not value:
        raise ConversationError("`messages` is empty: a chat template needs at least one message.")
    return tuple(_checked_message(i, message) for i, message in enumerate(value))


def _checked_message(index: int, message: Any) -> Message:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise ConversationError(f"{where} must be an object with `role` and `content`, not {kind_of(message)}.")
    checked: Message = checked_json(with_image_texts(message), where, 0)
    if "role" not in checked:
        keys = listed(checked) or "none"
        hint = "; ShareGPT's `from`/`value` are `role`/`content` here" if "from" in checked else ""
        raise ConversationError(f"{where} has no `role`; its keys are {keys}{hint}.")
    if not isinstance(checked["role"], str):
        raise ConversationError(f"{where}: `role` must be text, not {kind_of(checked['role'])}.")
    return checked


def checked_count(value: Any, most: int) -> int:
    """A number of messages, at most `most`. Raises ConversationError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ConversationError(f"`prompt_messages` is {quoted(value)}, and must be a number from 0 to {most}.")
    return value


def checked_objects(value: Any, name: str) -> tuple[dict[str, JsonValue], ...] | None:
    """A list of objects, such as tools, as plain JSON; None for null. Raises ConversationError."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise ConversationError(f"`{name}` must be a list of objects, not {kind_of(value)}.")
    for i, item in enumerate(value):
        if not isinstance(item, Mapping):
            raise ConversationError(f"`{name}`[{i}] must be an object, not {kind_of(item)}.")
    return tuple(checked_json(item, f"{name}[{i}]", 0) for i, item in enumerate(value))


def checked_keywords(rest: dict[Any, Any]) -> dict[str, JsonValue]:
    """The values that a template reads by name, as plain JSON. Raises ConversationError."""
    nested = rest.pop("chat_template_kwargs", None)
    if nested is not None and not isinstance(nested, Mapping):
        raise ConversationError(f"`chat_template_kwargs` must be an object, not {kind_of(nested)}.")
    keywords = {**rest, **(nested or {})}
    for key, value in keywords.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise ConversationError(f"{key!r} cannot be a template keyword: a template reads keywords by name.")
        if key == PREFILL and value:
            raise ConversationError(
                f"`{PREFILL}` leaves the last answer open for the model to continue (prefill); a row to train on has "
                "whole answers. Remove it and complete the last message; or leave that message out and set "
                "add_generation_prompt, to see what the model is given."
            )
        if key in RESERVED_KEYWORDS and key != PREFILL:
            raise ConversationError(
                f"`{key}` is an argument of apply_chat_template, not something a template reads: remove it."
            )
    keywords = {key: as_json(value) if key in IMAGE_COLUMNS else value for key, value in keywords.items()}
    return {key: checked_json(value, f"keyword `{key}`", 0) for key, value in keywords.items() if key != PREFILL}


def checked_json(value: Any, where: str, depth: int) -> JsonValue:
    """A plain-JSON copy of `value`; raises ConversationError where JSON or a tokenizer could not take it."""
    if depth > MAX_DEPTH:
        raise ConversationError(f"{where} is nested more than {MAX_DEPTH} levels deep.")
    if type(value) is str and value.isascii():  # nearly every value
        return value
    if isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
        raise ConversationError(f"{where} holds a whole number of more than {MAX_NUMBER_BITS:,} bits: make it a text.")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        if not value.isascii():
            _refuse_surrogates(value, where)
        return str(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConversationError(f"{where} has the key {key!r}, which is {kind_of(key)}; keys must be text.")
            if not key.isascii():
                _refuse_surrogates(key, f"{where}, the key {key!a}")
        return {str(key): checked_json(item, f"{where}, `{key}`", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [checked_json(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise ConversationError(f"{where} holds {kind_of(value)}, which JSON cannot represent.")


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConversationError(
            f"{where} has half of a surrogate pair ({text[error.start]!a}) at character {error.start}, which no "
            "tokenizer can read: the text was cut or decoded wrongly; remove it."
        ) from error
