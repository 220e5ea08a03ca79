"""A data set's row -> a conversation, or a pair of them: every common layout, detected and overridable.

A row is a dict of columns. `detect` names the layout from the columns and the first rows, `read` turns each row into a
Sample. Columns with other names are mapped: `{"prompt": "question_text"}` says where the prompt is. AutoTrain's keys
(`text_column`, `prompt_text_column`, `rejected_text_column`) are understood as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inspector.conversation import TEXT_ROLE, Conversation, Message, listed
from inspector.errors import FormatError
from inspector.model.tokenizer import Tokenizer

ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request."
)
"""What an Alpaca prompt begins with when the row has an input; the `alpaca` template has the other one."""


class Format(StrEnum):
    """How a row says who wrote what."""

    MESSAGES = "messages"
    """A list of messages, role/content or ShareGPT's from/value; perhaps tools beside it."""
    PROMPT_COMPLETION = "prompt_completion"
    """A prompt and its completion, texts or lists of messages."""
    ALPACA = "alpaca"
    """An instruction, perhaps an input, and an output, as question and answer."""
    ALPACA_PROMPT = "alpaca_prompt"
    """The same in Alpaca's own two prompts; for the `alpaca` template. Never detected: ask for it."""
    QUESTION_ANSWER = "question_answer"
    """A question and an answer."""
    PREFERENCE = "preference"
    """A chosen and a rejected answer, with a prompt or (reward pairs) without."""
    UNPAIRED = "unpaired"
    """A prompt, a completion and a label that says whether it is good, as KTO takes it."""
    TEXT = "text"
    """A text that is rendered already: nobody knows who wrote which part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the rows of a data set are read. `columns`: our name of a column -> the data set's."""

    format: Format
    columns: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"format": self.format.value, "columns": dict(self.columns)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a row holds. `conversation`: the row, or the chosen answer of a pair; of a text, one message of role `text`.

    `rejected`: the other answer of a pair. `is_good`: KTO's label. `prompt_messages`: how many messages come before
    what is judged; of a pair those that both begin with.
    """

    conversation: Conversation
    rejected: Conversation | None = None
    is_good: bool | None = None
    prompt_messages: int = 0


def detect(rows: Sequence[Mapping[str, Any]], mapping: Mapping[str, str] | None = None) -> Layout:
    """The layout of a data set, from its first rows.

    `mapping`: our name of a column -> the data set's, and `format` -> a Format, where it is to be another than the
    detected one. Raises FormatError when no layout fits or the mapping names what is not there.
    """
    if not rows:
        raise FormatError("There is no row to see a layout in.")
    present = list(dict.fromkeys(name for row in rows for name in row))
    wanted = _without_autotrain_keys(dict(mapping or {}), rows)
    asked = wanted.pop("format", None)
    if asked is not None and asked not in list(Format):
        raise FormatError(f"There is no format {asked!r}; there are: {', '.join(Format)}.")
    for name, column in wanted.items():
        if name not in _NAMES:
            raise FormatError(f"There is no column {name!r} to map; there are: {', '.join(_NAMES)}.")
        if column not in present:
            raise FormatError(f"The data has no column {column!r}; it has: {listed(present)}.")
    columns = {name: next((c for c in (name, *others) if c in present), None) for name, others in _NAMES.items()}
    known = {name: column for name, column in {**columns, **wanted}.items() if column is not None}
    if asked is not None:
        return _layout(Format(asked), known, present)
    for format, needed in _NEEDED.items():
        if all(name in known for name in needed) and format is not Format.ALPACA_PROMPT:
            return _layout(format, known, present)
    raise FormatError(
        f"No layout fits the columns {listed(present)}. Say which column is which, such as "
        "prompt=COLUMN and completion=COLUMN, or messages=COLUMN."
    )


def read(row: Mapping[str, Any], layout: Layout) -> Sample:
    """One row. Raises FormatError or ConversationError, which say what is wrong with it."""
    sample = _READERS[layout.format](_Columns(row, layout.columns))
    if not sample.conversation.messages:
        raise FormatError("The row has no messages.")
    return sample


_NAMES: Mapping[str, tuple[str, ...]] = {
    "messages": ("conversations", "conversation", "dialogue"),
    "tools": ("functions",),
    "system": ("system_prompt",),
    "prompt": (),
    "completion": (),
    "chosen": (),
    "rejected": (),
    "label": (),
    "instruction": (),
    "input": (),
    "output": ("response",),
    "question": ("query",),
    "answer": (),
    "text": (),
}
"""Our name of a column, and other names that it goes by."""

_NEEDED: Mapping[Format, tuple[str, ...]] = {
    Format.MESSAGES: ("messages",),
    Format.PREFERENCE: ("chosen", "rejected"),
    Format.UNPAIRED: ("prompt", "completion", "label"),
    Format.PROMPT_COMPLETION: ("prompt", "completion"),
    Format.ALPACA: ("instruction", "output"),
    Format.ALPACA_PROMPT: ("instruction", "output"),
    Format.QUESTION_ANSWER: ("question", "answer"),
    Format.TEXT: ("text",),
}
"""The columns that a layout cannot do without, in the order in which layouts are tried."""

_OPTIONAL: Mapping[Format, tuple[str, ...]] = {
    Format.MESSAGES: ("tools", "system"),
    Format.PREFERENCE: ("prompt", "tools", "system"),
    Format.UNPAIRED: ("tools", "system"),
    Format.PROMPT_COMPLETION: ("tools", "system"),
    Format.ALPACA: ("input", "system"),
    Format.ALPACA_PROMPT: ("input",),
    Format.QUESTION_ANSWER: ("system",),
    Format.TEXT: (),
}


def _layout(format: Format, known: Mapping[str, str], present: Sequence[str]) -> Layout:
    missing = [name for name in _NEEDED[format] if name not in known]
    if missing:
        raise FormatError(
            f"The format {format.value} needs the column {missing[0]!r}; the data has: "
            f"{listed(present)}. Map it: {missing[0]}=COLUMN."
        )
    used = (*_NEEDED[format], *_OPTIONAL[format])
    return Layout(format=format, columns={name: known[name] for name in used if name in known})


def _without_autotrain_keys(mapping: dict[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """AutoTrain's keys as ours: its text column is the chosen answer of a pair, messages, or a text."""
    text, prompt, rejected = (mapping.pop(f"{name}_column", None) for name in ("text", "prompt_text", "rejected_text"))
    if prompt is not None:
        mapping["prompt"] = prompt
    if rejected is not None:
        mapping["rejected"] = rejected
    if text is not None:
        value = rows[0].get(text)
        is_chat = not isinstance(value, str) or value.lstrip().startswith(("[{", "{"))
        mapping["chosen" if rejected is not None else "messages" if is_chat else "text"] = text
    return mapping


# --- one reader a format


@dataclass(frozen=True, slots=True)
class _Columns:
    """A row by our names."""

    row: Mapping[str, Any]
    names: Mapping[str, str]

    def __getitem__(self, name: str) -> Any:
        """The value of a column; None where the layout or the row has none."""
        return self.row.get(self.names[name]) if name in self.names else None

    def text(self, name: str) -> str:
        """A column that must be a text."""
        value = self[name]
        if not isinstance(value, str):
            raise FormatError(f"The column {self.names.get(name, name)!r} is {_kind(value)}, and must be a text.")
        return value

    def messages(self, name: str, role: str) -> list[Message]:
        """A column that is a list of messages, or a text: one message of that role."""
        value = self[name]
        if isinstance(value, str) and not value.lstrip().startswith("[{"):
            return [{"role": role, "content": value}]
        return _messages(value, self.names.get(name, name))

    def conversation(self, messages: Sequence[Message]) -> Conversation:
        """The messages with the row's system text in front and its tools beside them."""
        system = self["system"]
        has_own = bool(messages) and messages[0].get("role") == "system"
        first = [{"role": "system", "content": system}] if isinstance(system, str) and system and not has_own else []
        source: dict[str, Any] = {"messages": [*first, *messages]}
        tools = _parsed(self["tools"], self.names.get("tools", "tools"))
        if tools:
            source["tools"] = tools
        keywords = self.row.get("chat_template_kwargs")
        return Conversation.parse(source | ({"chat_template_kwargs": keywords} if keywords else {}))


def _read_messages(columns: _Columns) -> Sample:
    return Sample(conversation=columns.conversation(_messages(columns["messages"], columns.names["messages"])))


def _read_completion(columns: _Columns) -> Sample:
    messages = [*columns.messages("prompt", "user"), *columns.messages("completion", "assistant")]
    return Sample(conversation=columns.conversation(messages))


def _read_unpaired(columns: _Columns) -> Sample:
    label = columns["label"]
    if label in ("true", "True", "1", 1):
        is_good = True
    elif label in ("false", "False", "0", 0):
        is_good = False
    else:
        raise FormatError(f"The column {columns.names['label']!r} is {label!r:.60}, and must be true or false.")
    conversation = _read_completion(columns).conversation
    answers = len(columns.messages("completion", "assistant"))
    return Sample(conversation=conversation, is_good=is_good, prompt_messages=len(conversation.messages) - answers)


def _read_preference(columns: _Columns) -> Sample:
    """Chosen and rejected, with the prompt in front where they do not hold it themselves."""
    prompt = [] if columns["prompt"] is None else columns.messages("prompt", "user")
    both = []
    for name in ("chosen", "rejected"):
        answer = columns.messages(name, "assistant")
        has_prompt = any(message.get("role") != "assistant" for message in answer)
        both.append(columns.conversation(answer if has_prompt else [*prompt, *answer]))
    messages = [conversation.messages for conversation in both]
    common = next((i for i, (a, b) in enumerate(zip(*messages, strict=False)) if a != b), min(map(len, messages)))
    return Sample(conversation=both[0], rejected=both[1], prompt_messages=common)


def _read_alpaca(columns: _Columns) -> Sample:
    instruction, extra = columns.text("instruction"), columns["input"]
    question = f"{instruction}\n\n{extra}" if isinstance(extra, str) and extra else instruction
    return Sample(conversation=columns.conversation(_exchange(question, columns.text("output"))))


def _read_alpaca_prompt(columns: _Columns) -> Sample:
    instruction, extra = columns.text("instruction"), columns["input"]
    if not isinstance(extra, str) or not extra:
        return Sample(conversation=Conversation.parse(_exchange(instruction, columns.text("output"))))
    exchange = _exchange(f"{instruction}\n\n### Input:\n{extra}", columns.text("output"))
    return Sample(conversation=Conversation.parse([{"role": "system", "content": ALPACA_PREAMBLE}, *exchange]))


def _read_question(columns: _Columns) -> Sample:
    return Sample(conversation=columns.conversation(_exchange(columns.text("question"), columns.text("answer"))))


def _read_text(columns: _Columns) -> Sample:
    return Sample(conversation=Conversation.parse([{"role": TEXT_ROLE, "content": columns.text("text")}]))


def text_template(tokenizer: Tokenizer, *, add_eos: bool = True) -> str:
    """The chat template for rows that are rendered texts: the text, as trl's SFTTrainer tokenizes it.

    With the special tokens that the tokenizer adds, and with `add_eos` eos where the text does not end in it.
    """
    alone, whole = (tokenizer("a", add_special_tokens=added, verbose=False)["input_ids"] for added in (False, True))
    at = next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), 0)
    before = "".join(tokenizer.convert_ids_to_tokens(whole[:at]))
    after = "".join(tokenizer.convert_ids_to_tokens(whole[at + len(alone) :]))
    end = "{{ eos_token if eos_token and not messages[0].content.endswith(eos_token) }}"
    end = end if add_eos and not after else ""
    return f"{{{{ {json.dumps(before)} }}}}{{{{ messages[0].content }}}}{end}{{{{ {json.dumps(after)} }}}}"


_READERS: Mapping[Format, Callable[[_Columns], Sample]] = {
    Format.MESSAGES: _read_messages,
    Format.PROMPT_COMPLETION: _read_completion,
    Format.ALPACA: _read_alpaca,
    Format.ALPACA_PROMPT: _read_alpaca_prompt,
    Format.QUESTION_ANSWER: _read_question,
    Format.PREFERENCE: _read_preference,
    Format.UNPAIRED: _read_unpaired,
    Format.TEXT: _read_text,
}


def _exchange(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


# --- messages


_SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_call": "assistant",
    "function": "tool",
}
"""ShareGPT's names of speakers, and what templates call them."""
_KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", "ipython", "documents"})


def _messages(value: Any, column: str) -> list[Message]:
    """Messages with role and content; ShareGPT's are renamed, tool calls written as JSON are read."""
    value = _parsed(value, column)
    if isinstance(value, dict) and "messages" in value:
        value = value["messages"]
    if not isinstance(value, list):
        raise FormatError(f"The column {column!r} is {_kind(value)}, and must be a list of messages.")
    return [_message(message, f"{column}[{index}]") for index, message in enumerate(value)]


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise FormatError(f"{where} is {_kind(message)}, and must be a message with role and content.")
    own = dict(message)
    if "from" in own and "role" not in own:
        speaker = own.pop("from")
        if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
            raise FormatError(f"{where} is from {speaker!r:.60}, which is none of: {', '.join(_SHAREGPT_ROLES)}.")
        own = {"role": _SHAREGPT_ROLES[speaker], "content": own.pop("value", None), **own}
    elif not isinstance(own.get("role"), str) or own["role"] not in _KNOWN_ROLES:
        raise FormatError(
            f"{where} has the role {own.get('role')!r:.60}, which is none of: {', '.join(sorted(_KNOWN_ROLES))}."
        )
    if isinstance(own.get("tool_calls"), str):
        own["tool_calls"] = _parsed(own["tool_calls"], f"{where}.tool_calls")
    return {name: item for name, item in own.items() if item is not None}


def _parsed(value: Any, where: str) -> Any:
    """A value; a text that is JSON of a list or object is read."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is a text that begins like JSON and is none: {error}.") from error


def _kind(value: object) -> str:
    names = {type(None): "missing", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), f"a {type(value).__name__}")
