"""The one shape everything else takes: a list of messages and what the template is told beside them.

Turns what users paste (a list of messages, or a dict with `messages` and template keywords) into a `Conversation`, and
refuses what no chat template could be given: the error names the message and the field. Messages stay plain JSON dicts,
because templates read them as such; nothing is renamed, trimmed or dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Any, Self, TypeAlias

from inspector.errors import ConversationError, quoted
from inspector.files.images import as_json, as_text

JsonValue: TypeAlias = Any
"""A value JSON can hold: None, bool, int, float, str, list, dict with str keys."""

Message: TypeAlias = dict[str, JsonValue]
"""One message as the template sees it: always `role`; mostly `content`; maybe `tool_calls`, `reasoning_content`, ..."""

MAX_DEPTH = 64
"""Deepest nesting of lists and dicts accepted in a message."""

MAX_NUMBER_BITS = 10_000
"""Largest whole number accepted; Python writes no number of more than 4,300 digits."""

TRAIN_FLAGS = ("train", "training", "weight", "loss", "trainable", "loss_mask")
"""Per-message flags that say whether a message is trained: ours, axolotl's, OpenAI's, ms-swift's, tinker's, verl's."""
PART_FLAGS = ("train_detail", "training_detail")
"""axolotl's lists of which characters of a message train."""
_FALSE = frozenset({"", "0", "0.0", "false", "no"})

PREFILL = "continue_final_message"
"""The argument that leaves the last message open; False, its default, changes nothing."""

IGNORED = -100
"""The label of a token that does not train."""

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

TEXT_ROLE = "text"
"""The role of the one message that a rendered text becomes: it is nobody's."""
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Names a message's reasoning goes by; transformers 5.23 shows templates the first that is set under each of them."""


class Step(StrEnum):
    """A change that a row gets before the template sees it. Each can be left out, by its name."""

    text: str

    def __new__(cls, name: str, text: str) -> Self:
        """A step by its public name. `text`: what it does, as a sentence without its end."""
        step = str.__new__(cls, name)
        step._value_, step.text = name, text
        return step

    DATES = "dates", "Dates and other values that JSON does not know are written as text"
    LITERALS = "literals", "Text in Python's syntax is read as the value that it writes"
    DIALOGUES = "dialogues", "A text that names its speakers is split into messages"
    SPEAKERS = "speakers", "Texts without speakers are taken for the user's and the assistant's in turn"
    RANKING = "ranking", "Of answers in an order the best is taken, and of a pair the worst as the rejected one"
    TURNS = "turns", "The texts of prompt and completion are put into turns of the chat template"
    PAIRS = "pairs", "The prompt is put before the answer that lacks it"
    SYSTEM = "system", "The system text in a column of its own is left out: the messages begin with one"
    NULLS = "nulls", "Null fields, such as those that Arrow fills in, are dropped"
    ROLES = "roles", "Names of speakers become the roles that templates know"
    CALLS = "calls", "Calls of tools in other forms become tool_calls"
    ARGUMENTS = "arguments", "Arguments of calls are read from JSON text, or written as it, as the template takes them"
    TOOLS = "tools", "Tools are brought into the form of a list of functions"
    CONTENT = "content", "Content that the template does not take as it is becomes text"
    IMAGES = "images", "Images are put into the messages that show them, as processors take them"
    LABELS = "labels", "The ids and labels of a row are brought into one list of tokens, each with a label of its own"


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a row got. `where`: the field, such as `message 1 · content`; then its values before and after."""

    step: Step
    where: str
    before: JsonValue = None
    after: JsonValue = None

    def to_dict(self) -> dict[str, JsonValue]:
        """The JSON form."""
        return {"step": self.step.value, "where": self.where, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """The tokens of a row that came with labels. `labels`: one a token, its id where it trains, else -100."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @classmethod
    def parse(cls, ids: Any, labels: Any) -> Self:
        """From two lists. Raises ConversationError, which names the list and the place in it."""
        for name, values in (("input_ids", ids), ("labels", labels)):
            if not isinstance(values, list | tuple) or not values:
                raise ConversationError(f"`{name}` must be a list of token ids, with one at least.")
            for i, value in enumerate(values):
                if isinstance(value, bool) or not isinstance(value, int):
                    raise ConversationError(f"`{name}`[{i}] must be a whole number, not {_kind(value)}.")
        if len(ids) != len(labels):
            raise ConversationError(
                f"`labels` is a list of {len(labels)}, and `input_ids` one of {len(ids)}: each token must have a label."
            )
        for i, (id, label) in enumerate(zip(ids, labels, strict=True)):
            if label not in (id, IGNORED):
                raise ConversationError(
                    f"`labels`[{i}] is {label}, and must be the token's id, {id}, or {IGNORED} where it is not trained."
                )
        return cls(tuple(ids), tuple(labels))


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a row's own text, which is tokenized by itself. `label`: whether it trains."""

    label: bool
    text: str

    @classmethod
    def parse(cls, value: Any, where: str) -> Self:
        """From an object with `label` and `text`. Raises ConversationError."""
        if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
            raise ConversationError(f"{where} must be an object with `label` and `text`, a text, not {_kind(value)}.")
        if value.get("label") not in (True, False):
            raise ConversationError(f"{where}: `label` is {quoted(value.get('label'))}, and must be true or false.")
        return cls(bool(value["label"]), _checked_json(value["text"], where, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages and what `apply_chat_template` is given beside them.

    `messages`: at least one, each a dict with a `role`. `tools`: JSON schemas, or None. `documents`: dicts, or None.
    `keywords`: everything else the template reads by name (`add_generation_prompt`, `enable_thinking`, ...).
    `prompt_messages`: how many of the messages are the prompt of the others, so that none of them trains; 0 where the
    row does not say. `changes`: what was changed while the row was read, and `unread`: columns of the row that mean
    something for training and are not read; neither is a part of what makes conversations equal. `labelled`: the ids
    and labels of a row that came with them; they are what is shown and trained, and the messages are only read back
    from them: there are none before a model has done that. `segments`: texts of a row that came with labels, which a
    model makes such ids of.
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, JsonValue], ...] | None = None
    documents: tuple[dict[str, JsonValue], ...] | None = None
    keywords: Mapping[str, JsonValue] = field(default_factory=dict)
    prompt_messages: int = 0
    changes: tuple[Change, ...] = field(default=(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)
    labelled: LabelledIds | None = None
    segments: tuple[Segment, ...] = ()

    @classmethod
    def parse(cls, source: Conversation | list[Any] | tuple[Any, ...] | Mapping[str, Any]) -> Conversation:
        """Build a conversation from messages, a dict with `messages`, one with `input_ids` and `labels`, or `segments`.

        A dict may also have `tools`, `documents`, `prompt_messages`, `chat_template_kwargs` (as TRL's data sets do),
        and template keywords by name. Raises ConversationError, which names the message and the field.
        """
        if isinstance(source, Conversation):
            return source
        if isinstance(source, list | tuple):
            return cls(messages=_checked_messages(list(source)))
        if not isinstance(source, Mapping):
            raise ConversationError(
                f"A conversation is a list of messages or an object with `messages`, not {_kind(source)}."
            )
        if "messages" not in source and {"input_ids", "labels"} <= set(source):
            return cls(messages=(), labelled=LabelledIds.parse(source["input_ids"], source["labels"]))
        if "messages" not in source and isinstance(source.get("segments"), list | tuple) and source["segments"]:
            parts = enumerate(source["segments"])
            return cls(messages=(), segments=tuple(Segment.parse(part, f"segments[{i}]") for i, part in parts))
        if "messages" not in source:
            raise ConversationError(f"The conversation has no `messages`; its keys are {listed(source) or 'none'}.")
        rest = {key: value for key, value in source.items() if key != "messages"}
        messages = _checked_messages(source["messages"])
        return cls(
            messages=messages,
            prompt_messages=_checked_count(rest.pop("prompt_messages", 0), len(messages)),
            tools=_checked_objects(rest.pop("tools", None), "tools"),
            documents=_checked_objects(rest.pop("documents", None), "documents"),
            keywords=_checked_keywords(rest),
        )

    @property
    def adds_generation_prompt(self) -> bool:
        """Whether the render was asked to end in the header of an answer that is still to come."""
        return bool(self.keywords.get("add_generation_prompt", False))

    def role(self, index: int) -> str:
        """The role of message `index`."""
        return str(self.messages[index]["role"])

    def assistant_indices(self) -> list[int]:
        """Indices of the assistant's messages, in order."""
        return [i for i in range(len(self.messages)) if self.role(i) == "assistant"]

    def with_keywords(self, **keywords: JsonValue) -> Conversation:
        """This conversation with these template keywords set."""
        return replace(self, keywords={**self.keywords, **keywords})

    def to_json(self) -> dict[str, JsonValue]:
        """The dict that `parse` reads back."""
        if self.labelled is not None:
            return {"input_ids": list(self.labelled.ids), "labels": list(self.labelled.labels)}
        if self.segments:
            return {"segments": [{"label": part.label, "text": part.text} for part in self.segments]}
        out: dict[str, JsonValue] = {"messages": list(self.messages)}
        if self.tools is not None:
            out["tools"] = list(self.tools)
        if self.documents is not None:
            out["documents"] = list(self.documents)
        if self.prompt_messages:
            out["prompt_messages"] = self.prompt_messages
        return out | dict(self.keywords)


def is_flagged(message: Message) -> bool:
    """Whether a message is to be trained by its own flag; without one, whether it is the assistant's."""
    given = next((message[name] for name in TRAIN_FLAGS if message.get(name) is not None), None)
    if given is None:
        return bool(message["role"] == "assistant")
    return given.strip().lower() not in _FALSE if isinstance(given, str) else bool(given)


def words_of(message: Mapping[str, Any]) -> str:
    """What a message says in words."""
    content = message.get("content") or ""
    if not isinstance(content, list | tuple):
        return str(content)
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))


def string_fields(message: Message) -> Iterator[tuple[str, str]]:
    """Yield `(path, text)` for every string value in a message, depth first: `("content[0].text", "Hi")`."""
    for key, value in message.items():
        yield from _strings(value, key)


MEDIA = frozenset(
    {"image", "image_url", "input_image", "audio", "audio_url", "input_audio", "video", "video_url", "file"}
)
"""Types of content parts, and names of their fields, that hold no text."""


def is_media(part: object) -> bool:
    """Whether a part of a message's content is an image, a sound, a video or a file."""
    return isinstance(part, Mapping) and (part.get("type") in MEDIA or ("text" not in part and bool(MEDIA & set(part))))


IMAGE_COLUMNS = ("images", "image")
"""Names of columns beside messages that hold images."""


def with_image_texts(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with texts for the images in its content: bytes, Pillow's images, what `datasets` keeps of one."""
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


def listed(names: Iterable[object], most: int = 20) -> str:
    """The names in quotes, for a message: the first of them, where there are many."""
    first = [quoted(name) for name in islice(names, most + 1)]
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")


def _checked_messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple):
        raise ConversationError(f"`messages` must be a list of messages, not {_kind(value)}.")
    if not value:
        raise ConversationError("`messages` is empty: a chat template needs at least one message.")
    return tuple(_checked_message(i, message) for i, message in enumerate(value))


def _checked_message(index: int, message: Any) -> Message:
    where = f"message {index}"
    if not isinstance(message, Mapping):
        raise ConversationError(f"{where} must be an object with `role` and `content`, not {_kind(message)}.")
    checked: Message = _checked_json(with_image_texts(message), where, 0)
    if "role" not in checked:
        keys = listed(checked) or "none"
        hint = "; ShareGPT's `from`/`value` are `role`/`content` here" if "from" in checked else ""
        raise ConversationError(f"{where} has no `role`; its keys are {keys}{hint}.")
    if not isinstance(checked["role"], str):
        raise ConversationError(f"{where}: `role` must be text, not {_kind(checked['role'])}.")
    return checked


def _checked_count(value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ConversationError(f"`prompt_messages` is {quoted(value)}, and must be a number from 0 to {most}.")
    return value


def _checked_objects(value: Any, name: str) -> tuple[dict[str, JsonValue], ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise ConversationError(f"`{name}` must be a list of objects, not {_kind(value)}.")
    for i, item in enumerate(value):
        if not isinstance(item, Mapping):
            raise ConversationError(f"`{name}`[{i}] must be an object, not {_kind(item)}.")
    return tuple(_checked_json(item, f"{name}[{i}]", 0) for i, item in enumerate(value))


def _checked_keywords(rest: dict[Any, Any]) -> dict[str, JsonValue]:
    nested = rest.pop("chat_template_kwargs", None)
    if nested is not None and not isinstance(nested, Mapping):
        raise ConversationError(f"`chat_template_kwargs` must be an object, not {_kind(nested)}.")
    keywords = {**rest, **(nested or {})}
    for key, value in keywords.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise ConversationError(f"{key!r} cannot be a template keyword: a template reads keywords by name.")
        if key == PREFILL and value:
            raise ConversationError(
                f"`{PREFILL}` leaves the last answer open for the model to go on from (prefill); a row to train on has "
                "whole answers. Remove it and complete the last message; or leave that message out and set "
                "add_generation_prompt, to see what the model is given."
            )
        if key in RESERVED_KEYWORDS and key != PREFILL:
            raise ConversationError(
                f"`{key}` is an argument of apply_chat_template, not something a template reads: remove it."
            )
    keywords = {key: as_json(value) if key in IMAGE_COLUMNS else value for key, value in keywords.items()}
    return {key: _checked_json(value, f"keyword `{key}`", 0) for key, value in keywords.items() if key != PREFILL}


def _checked_json(value: Any, where: str, depth: int) -> JsonValue:
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
                raise ConversationError(f"{where} has the key {key!r}, which is {_kind(key)}; keys must be text.")
            if not key.isascii():
                _refuse_surrogates(key, f"{where}, the key {key!a}")
        return {str(key): _checked_json(item, f"{where}, `{key}`", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_checked_json(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise ConversationError(f"{where} holds {_kind(value)}, which JSON cannot.")


def _refuse_surrogates(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConversationError(
            f"{where} has half of a surrogate pair ({text[error.start]!a}) at character {error.start}, which no "
            "tokenizer can read: the text was cut or decoded wrongly; remove it."
        ) from error


def _kind(value: object) -> str:
    names = {type(None): "null", str: "text", bool: "true/false", int: "a number", float: "a number"}
    return names.get(type(value), f"{type(value).__name__}")
