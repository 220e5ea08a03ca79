"""A row with our names for its columns.

Texts, messages and calls in any of their forms, and the columns around them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from typing import Any

from inspector.conversation import TEXT_ROLE, Change, Conversation, Message, Step
from inspector.data.dialects import alternating, exchange, is_message, text_of_parts, turns
from inspector.data.dialogues import dialogue, is_printed, literal, not_json, tools_in
from inspector.data.normal import CALL_ROLES, RESULT_ROLES, ROLES, known_role, normalized
from inspector.errors import ConversationError, FormatError, kind_of, listed, quoted, short

SHAREGPT_ROLES: Mapping[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}
"""ShareGPT's names of speakers, which define its layout, and their roles."""
_KNOWN_ROLES = frozenset({*ROLES.values(), *CALL_ROLES, *RESULT_ROLES, "developer", "tool", "documents", TEXT_ROLE})
_BEGINNINGS = ("[", "{", "array([")
"""The first characters of texts that hold a list or an object."""
_KEYWORDS = ("enable_thinking", "documents", "chat_template_kwargs")
"""Columns that are passed to the template unchanged."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A row with our names for its columns. `roles`: the data set's names of roles; `as_given`: steps that are left
    out; `reads`: columns that are passed to the template by their own names."""

    row: Mapping[str, Any]
    names: Mapping[str, str]
    roles: Mapping[str, str]
    as_given: Collection[str]
    reads: frozenset[str] = frozenset()
    changes: list[Change] = field(default_factory=list)
    beside: dict[str, Any] = field(default_factory=dict)
    """Values next to the messages within a column, such as the tools in OpenAI's `input`."""

    def __contains__(self, name: str) -> bool:
        """Whether the layout has the column and the row has a value in it."""
        return self[name] is not None

    def __getitem__(self, name: str) -> Any:
        """The value of a column; None if the layout or the row does not have it."""
        return self.row.get(self.names[name]) if name in self.names else None

    def kind(self, column: str, value: Any) -> str:
        """The kind of a column's value in words; `missing` where the row has no column of that name."""
        return "missing" if value is None and column not in self.row else kind_of(value)

    def does(self, step: Step) -> bool:
        """Whether a step is to be made."""
        return step not in self.as_given and "all" not in self.as_given

    def text(self, name: str) -> str:
        """The value of a column that must be text. Raises FormatError."""
        value, where = self[name], self.names.get(name, name)
        if not isinstance(value, str):
            raise FormatError(f"The column {where!r} is {self.kind(where, value)}, and must be text.")
        return value

    def messages(self, name: str, role: str, *, is_dialogue: bool = True) -> list[Message]:
        """The messages in a column: a list of messages, one message, tool calls, or text (one message of that role).

        `is_dialogue`: whether a text that names its speakers is a whole chat; an answer to a prompt is not.
        """
        value, where = self._chat_or_text(self[name], name), self.names.get(name, name)
        if isinstance(value, str):
            split = dialogue(value) if is_dialogue and self.does(Step.DIALOGUES) else None
            if split is None:
                return [{"role": role, "content": value}]
            self.changes.append(Change(Step.DIALOGUES, where, value, split))
            return [self.message(message, f"{where}[{i}]") for i, message in enumerate(split)]
        if role == "assistant" and _are_calls(value):
            message = {"role": role, "content": "", "tool_calls": value}
            self.changes.append(Change(Step.CALLS, where, self[name], message))
            return [message]
        if isinstance(value, Mapping) and is_chat(value) and "messages" not in value and not _is_columnar(value):
            value = [value]
        if not isinstance(value, list | tuple | Mapping) or (isinstance(value, Mapping) and not is_chat(value)):
            raise FormatError(
                f"The column {where!r} is {self.kind(where, value)}, and must be text or a list of messages."
            )
        return self._messages(value, where)

    def chat(self, name: str) -> list[Message]:
        """The messages in a column that must be a list of messages, or a text that is one."""
        value = self.parsed(name)
        if isinstance(value, str) and self.does(Step.DIALOGUES) and dialogue(value) is not None:
            return self.messages(name, "user")
        where = self.names.get(name, name)
        if are_texts(value) and self.does(Step.SPEAKERS):
            messages = alternating(value)
            self.changes.append(Change(Step.SPEAKERS, where, None, messages))
            return messages
        return self._messages(value, where)

    def history(self) -> list[Message]:
        """The turns before those of the row: pairs of question and answer, or messages."""
        value = self.parsed("history")
        if value not in (None, "") and not isinstance(value, list | tuple):
            raise FormatError(f"The column {self.names['history']!r} is {kind_of(value)}, and must be a list of turns.")
        out: list[Message] = []
        for i, turn in enumerate(value or ()):
            where = f"{self.names['history']}[{i}]"
            if isinstance(turn, Mapping):
                out.append(self.message(turn, where))
            elif isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn):
                out += exchange(*turn)
            else:
                raise FormatError(f"{where} is {kind_of(turn)}, and must be a question and its answer, or a message.")
        return out

    def conversation(self, messages: Sequence[Message], prompt_messages: int = 0) -> Conversation:
        """The conversation of these messages, with the row's system text in front and the row's tools.

        `prompt_messages`: the number of messages that are the prompt of the others.
        """
        return self.parted(messages, prompt_messages)[0]

    def parted(self, messages: Sequence[Message], prompt_messages: int) -> tuple[Conversation, int]:
        """The same, and the number of its prompt messages."""
        before, system = len(self.changes), self["system"]
        tools = self.parsed("tools")
        tools = tools if len(self.changes) > before else self["tools"]  # JSON text is read later, and recorded then
        tools = self.beside.get("tools") if tools is None else tools
        if isinstance(system, Mapping) and isinstance(system.get("parts"), list | tuple):
            system = text_of_parts(system["parts"])
        elif isinstance(system, list | tuple) and len(system) == 1 and is_chat(system):
            system = self.message(turns(system[0])[0], self.names["system"]).get("content")
        if system not in (None, "", []) and not isinstance(system, str | list | tuple):
            system = self.text("system")
        if isinstance(system, str) and tools is None and self.does(Step.DIALOGUES):
            text, tools = tools_in(system.strip().removeprefix("SYSTEM:").strip())
            if tools:
                self.changes.append(Change(Step.DIALOGUES, self.names["system"], system, {"system": text}))
                system = text
        has_own = bool(messages) and messages[0].get("role") == "system"
        if system and has_own and system != messages[0].get("content") and self.does(Step.SYSTEM):
            self.changes.append(Change(Step.SYSTEM, self.names["system"], system, None))
            system = None
        is_said = has_own and system == messages[0].get("content")
        first = [{"role": "system", "content": system}] if system and not is_said else []
        source: dict[str, Any] = {"messages": [*first, *messages]}
        if tools not in (None, []):
            source["tools"] = tools
        source |= {name: self[name] for name in _KEYWORDS if self[name] not in (None, [], {})}
        given = (name for name in sorted(self.reads.intersection(self.row)) if name not in source)
        source |= {name: self.row[name] for name in given if self.row[name] is not None}
        count = prompt_messages + len(first) if prompt_messages else 0
        if all(map(_is_asked, messages[:prompt_messages])):
            return self._normalized(source), count
        conversation = self._normalized({**source, "prompt_messages": count})
        count = conversation.prompt_messages
        has_answers = any(message["role"] == "assistant" for message in conversation.messages[:count])
        return (conversation if has_answers else replace(conversation, prompt_messages=0)), count

    def _normalized(self, source: Mapping[str, Any]) -> Conversation:
        try:
            conversation = normalized(source, as_given=self.as_given)
        except ConversationError:
            changes: list[Change] = []
            plain = _as_json(source, "", changes) if self.does(Step.DATES) else source
            if not changes and plain == source:
                raise
            self.changes.extend(changes)
            conversation = normalized(plain, as_given=self.as_given)
        for index, message in enumerate(conversation.messages):
            if message["role"] not in _KNOWN_ROLES:
                raise FormatError(
                    f"Message {index} has the role {quoted(message['role'])}, which is not one of: "
                    f"{', '.join(sorted(_KNOWN_ROLES - {TEXT_ROLE}))}. Map it: role.{short(message['role'])}=assistant."
                )
        return replace(conversation, changes=(*self.changes, *conversation.changes)) if self.changes else conversation

    def _chat_or_text(self, value: Any, name: str) -> Any:
        """A value; a text that holds a chat, or calls of the row's tools, is parsed.

        Other JSON is the message's text.
        """
        if not isinstance(value, str) or not value.lstrip().startswith(_BEGINNINGS):
            return value
        before = len(self.changes)
        try:
            read = self.parsed(name)
        except FormatError:
            if is_printed(value):
                raise
            return value
        if is_chat(read) or (_are_calls(read) and "tools" in self):
            return read
        del self.changes[before:]
        return value

    def parsed(self, name: str) -> Any:
        """A column's value; text that is JSON or a Python literal is parsed. Raises FormatError."""
        value, where = self[name], self.names.get(name, name)
        if not isinstance(value, str) or not value.lstrip().startswith(_BEGINNINGS):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            if self.does(Step.LITERALS) and (read := literal(value)) is not None:
                self.changes.append(Change(Step.LITERALS, where, value, read))
                return read
            raise FormatError(not_json(where, value, error)) from error

    def _messages(self, value: Any, column: str) -> list[Message]:
        """Messages with role and content; ShareGPT's are renamed."""
        if isinstance(value, Mapping) and "messages" in value:
            self.beside.update({name: item for name, item in value.items() if name == "tools" and item})
            value = value["messages"]
        if isinstance(value, Mapping) and _is_columnar(value):
            value = [dict(zip(value, fields, strict=True)) for fields in zip(*value.values(), strict=True)]
        if not isinstance(value, list | tuple):
            raise FormatError(f"The column {column!r} is {self.kind(column, value)}, and must be a list of messages.")
        return [self.message(turn, f"{column}[{i}]") for i, item in enumerate(value) for turn in turns(item)]

    def message(self, message: Any, where: str) -> Message:
        """A message with role and content, however its speaker is named. Raises FormatError."""
        if not isinstance(message, Mapping):
            raise FormatError(f"{where} is {kind_of(message)}, and must be a message with role and content.")
        fields = dict(message)
        if "from" in fields and fields.get("role") is None:
            speaker = fields.pop("from")
            fields.pop("role", None)
            fields = {"role": SHAREGPT_ROLES.get(str(speaker), speaker), "content": fields.pop("value", None), **fields}
        role = fields.get("role")
        if role is None:
            raise FormatError(
                f"{where} has no role; its fields are {listed(fields) or 'none'}. A message has role and content, or "
                "from and value."
            )
        if isinstance(role, str | int) and str(role) in self.roles:
            fields["role"] = self.roles[str(role)]
        elif not isinstance(role, str) or (role not in _KNOWN_ROLES and known_role(role) not in _KNOWN_ROLES):
            raise FormatError(
                f"{where} has the role {quoted(role)}, which is not one of: {', '.join(sorted(_KNOWN_ROLES))}. Map it: "
                f"role.{short(str(role))}=assistant."
            )
        return fields


def plain_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose arrays and numbers of NumPy, as pandas gives them, are Python's."""
    return _plain(row) if any(hasattr(value, "tolist") for value in row.values()) else row


def _plain(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def is_chat(value: object) -> bool:
    """Whether a value is a list of messages, or a message."""
    if isinstance(value, Mapping):
        return "messages" in value or is_message(value)
    return isinstance(value, list | tuple) and bool(value) and all(map(is_message, value))


def holds_chat(value: Any) -> bool:
    """Whether a value holds messages: a list of them, a text that is such a list, or the texts of a chat in turn."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return is_chat(json.loads(value))
        except (ValueError, RecursionError):
            return is_chat(literal(value))
    return are_texts(value) or is_chat(value)


def _is_asked(message: Message) -> bool:
    """Whether a message of a prompt is plain text of an unknown speaker: it stays text, and does not train."""
    return message.get("role") in ("user", "system") and type(message.get("content")) is str


def _is_columnar(value: Mapping[str, Any]) -> bool:
    """Whether an object holds the fields of messages as lists, as `datasets` keeps a Sequence of objects."""
    lists = [item for item in value.values() if isinstance(item, list | tuple)]
    is_all = len(lists) == len(value) and len({len(item) for item in lists}) == 1
    return is_all and ("role" in value or {"from", "value"} <= value.keys())


def are_texts(value: object) -> bool:
    """Whether a value is the texts of a chat: a list of at least two texts."""
    return isinstance(value, list | tuple) and len(value) > 1 and all(isinstance(text, str) for text in value)


def _are_calls(value: object) -> bool:
    """Whether a value is calls of tools, each with a name and arguments."""
    is_list = isinstance(value, list | tuple) and bool(value)
    return is_list and all(isinstance(item, Mapping) and {"name", "arguments"} <= set(item) for item in value)  # type: ignore[attr-defined]


def _as_json(value: Any, where: str, changes: list[Change]) -> Any:
    """A value with text in place of everything JSON cannot represent: a date in ISO form, a number as it is written."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(item, f"{where}.{name}", changes) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item, f"{where}[{i}]", changes) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray):
        raise ConversationError(f"{where.lstrip('.')} holds bytes, which no chat template can write.")
    text = value.isoformat() if isinstance(value, date | time) else str(value)
    changes.append(Change(Step.DATES, where.lstrip("."), text, text))
    return text
