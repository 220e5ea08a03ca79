"""One pass that brings a conversation into the form that chat templates take; every change is recorded.

It handles the forms that data sets have: Arrow fills nested columns with nulls, hubs keep JSON in text columns, and
each trainer has its own names for speakers and calls. Whatever depends on the template (`Takes`) is tried on it, never
guessed. A second pass changes nothing more. Steps in `as_given` are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from inspector.conversation import (
    REASONING_FIELDS,
    Change,
    Conversation,
    JsonValue,
    Message,
    Step,
    is_media,
    with_image_texts,
)
from inspector.data.calls import (
    CALL_FIELDS,
    as_list,
    beside_calls,
    calls_of,
    json_object,
    parsed,
    python_object,
    thought_and_calls,
    tool_of,
)
from inspector.data.dialects import declared, without_call_parts
from inspector.errors import ConversationError, quoted

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bard", "bing", "model", "bot", "ai", "chatbot"), "assistant"),
    "system": "system",
}
"""Names of speakers, in lower case, and their roles."""
CALL_ROLES = frozenset({"function_call", "tool_call", "tool_calls"})
"""Roles of messages whose content is a call."""
RESULT_ROLES = frozenset({"observation", "tool_response", "tool_result", "function_response", "function", "ipython"})
"""Roles of messages that hold the result of a call, in case the template does not know them."""
KEPT_NULLS = frozenset({"default", "enum", "const"})
"""Fields of a schema in which null is a value."""
TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
"""Types of text parts; templates know the first."""


def known_role(role: str) -> str:
    """The role for a speaker's name, in upper or lower case; the name itself if it is not known."""
    plain = role.strip().lower()
    known = {*CALL_ROLES, *RESULT_ROLES, *_PLAIN_ROLES}
    return ROLES.get(plain, plain if plain in known else role)


Source: TypeAlias = Conversation | list[Any] | tuple[Any, ...] | Mapping[str, Any]
"""The values that a conversation can be read from."""


class Takes(Protocol):
    """The forms that a template takes, found by trying them."""

    def knows_role(self, role: str) -> bool:
        """Whether its source names the role."""

    def parts(self, role: str) -> bool:
        """Whether it writes the text of a list of parts."""

    def objects(self, role: str) -> bool:
        """Whether it writes content that is an object as JSON."""

    def argument_objects(self) -> bool:
        """Whether it writes arguments that are an object as JSON; if not, it takes them as text."""


def normalized(
    source: Source,
    takes: Takes | None = None,
    as_given: Collection[str] = (),
) -> Conversation:
    """A conversation in the form that the template takes. `as_given`: the steps that are left out, or `all`.

    Without `takes` only what does not depend on a template is done. Raises ConversationError.
    """
    if "all" in as_given:
        return Conversation.parse(source)
    if isinstance(source, Conversation):
        messages: Any = source.messages
        tools: Any = source.tools
        if is_plain(source):
            return source
    elif isinstance(source, Mapping):
        messages, tools = source.get("messages"), source.get("tools", source.get("functions"))
    else:
        messages, tools = source, None
    if not isinstance(messages, list | tuple) or not all(isinstance(message, Mapping) for message in messages):
        return Conversation.parse(source)  # which says what is wrong
    is_readable = all(isinstance(message.get("role"), str) for message in messages)
    if not is_readable or (tools is None and all(map(_is_plain, messages))):
        return Conversation.parse(source)
    messages = list(map(with_image_texts, messages))
    before = source.prompt_messages if isinstance(source, Conversation) else 0
    before = source.get("prompt_messages", 0) if isinstance(source, Mapping) else before
    steps = _Pass(as_given, takes, before if type(before) is int else 0)
    try:
        messages = steps.messages(list(map(dict, messages)))
        tools = steps.tools(tools)
    except RecursionError:
        raise ConversationError("The conversation's values are nested too deeply.") from None
    if isinstance(source, Conversation):
        if not steps.changes:
            return source
        checked = Conversation.parse({"messages": messages, **({} if tools is None else {"tools": tools})})
        changes = (*source.changes, *steps.changes)
        return replace(
            source,
            messages=checked.messages,
            tools=checked.tools,
            changes=changes,
            prompt_messages=steps.prompt_messages,
        )
    rest = dict(source) if isinstance(source, Mapping) else {}
    if "tools" not in rest and Step.TOOLS not in as_given:
        rest.pop("functions", None)
    rest |= {"messages": messages, "tools": tools}
    if steps.prompt_messages != before:
        rest["prompt_messages"] = steps.prompt_messages if type(before) is int else before
    return replace(Conversation.parse(rest), changes=tuple(steps.changes))


def is_plain(conversation: Conversation) -> bool:
    """Whether a conversation certainly needs no change: a quick check that is true for nearly all of them."""
    return conversation.tools is None and all(map(_is_plain, conversation.messages))


def _is_plain(message: Mapping[str, Any]) -> bool:
    """Whether a message certainly needs no change."""
    role = message.get("role")
    if not isinstance(role, str) or role not in _PLAIN_ROLES or "tool_calls" in message or "function_call" in message:
        return False
    return all(type(value) is str for value in message.values())


_PLAIN_ROLES = frozenset({"user", "assistant", "system", "tool", "developer", "text"})


class _Pass:
    """The steps over one conversation, and their changes. `prompt_messages`: the number of prompt messages."""

    def __init__(self, as_given: Collection[str], takes: Takes | None, prompt_messages: int) -> None:
        self.prompt_messages = prompt_messages
        self._as_given = as_given
        self._takes = takes
        self._calls_at: set[str] = set()
        self._is_filled = False
        self.changes: list[Change] = []

    def messages(self, messages: list[Message]) -> list[Message]:
        """The messages after every step."""
        self._is_filled = len({frozenset(message) for message in messages}) <= 1
        if Step.CALLS not in self._as_given:
            messages = self._without_call_parts(messages)
        for step, change in (
            (Step.NULLS, self._without_nulls),
            (Step.ROLES, self._with_known_role),
            (Step.CALLS, self._with_calls),
        ):
            if step not in self._as_given:
                messages = [change(message, f"message {i}") for i, message in enumerate(messages)]
        if Step.CALLS not in self._as_given:
            messages = self._joined_calls(messages)
        for step, change in ((Step.ARGUMENTS, self._with_arguments), (Step.CONTENT, self._with_content)):
            if step not in self._as_given:
                messages = [change(message, f"message {i}") for i, message in enumerate(messages)]
        return messages

    def tools(self, tools: Any) -> Any:
        """The tools: a list of functions, or None for none."""
        if Step.NULLS not in self._as_given and self._is_filled and isinstance(tools, list | tuple):
            tools = [self._dropped(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
        is_no_tool = isinstance(tools, Mapping) and not {"name", "function"} & set(tools) and declared(tools) == [tools]
        if Step.TOOLS in self._as_given or tools is None or is_no_tool:
            return tools
        listed = (tool for given in as_list(parsed(tools, "tools")) for tool in declared(given))
        read = [tool_of(tool, f"tools[{i}]") for i, tool in enumerate(listed)]
        after = [tool for tool in read if tool is not None] or None
        if isinstance(tools, list | tuple) and list(tools) == (after or []):
            return after
        self._changed(Step.TOOLS, "tools", tools, after)
        return after

    def _changed(self, step: Step, where: str, before: JsonValue, after: JsonValue) -> None:
        self.changes.append(Change(step, where, before, after))

    # --- nulls

    def _without_nulls(self, message: Message, where: str) -> Message:
        """A message without its null fields, except the content.

        Nested nulls are dropped only if all messages have the same fields, as Arrow makes them: in other rows they were
        written on purpose.
        """
        kept = {}
        for name, value in message.items():
            if value is None and name != "content":
                self._changed(Step.NULLS, f"{where} · {name}", None, None)
            elif type(value) is str or value is None or not self._is_filled:
                kept[name] = value
            else:
                kept[name] = self._dropped(value, f"{where} · {name}")
        return kept

    def _dropped(self, value: Any, where: str) -> Any:
        """A value without its null fields."""
        if isinstance(value, list | tuple):
            return [self._dropped(item, f"{where}[{i}]") for i, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        kept = {}
        for name, item in value.items():
            if item is None and name not in KEPT_NULLS:
                self._changed(Step.NULLS, f"{where}.{name}", None, None)
            else:
                kept[name] = item if name in KEPT_NULLS else self._dropped(item, f"{where}.{name}")
        return kept

    # --- roles and calls

    def _with_known_role(self, message: Message, where: str) -> Message:
        role = message["role"]
        if role in _PLAIN_ROLES:
            return message
        known = known_role(role)
        if known in RESULT_ROLES and self._takes is not None and not self._takes.knows_role(role):
            known = "tool"
        if known == role:
            return message
        self._changed(Step.ROLES, f"{where} · role", role, known)
        return {**message, "role": known}

    def _without_call_parts(self, messages: list[Message]) -> list[Message]:
        """The messages, with calls and results taken out of the parts of their content, where Anthropic puts them."""
        out: list[Message] = []
        prompt = self.prompt_messages
        for index, message in enumerate(messages):
            parted = without_call_parts(message)
            if parted is not None:
                self._changed(Step.CALLS, f"message {index} · content", message["content"], parted)
                self.prompt_messages += len(parted) - 1 if index < prompt else 0
            out += [message] if parted is None else parted
        return out

    def _with_calls(self, message: Message, where: str) -> Message:
        """A message whose calls, whatever their form, are a list of functions."""
        if message.get("role") in CALL_ROLES:
            own = () if message.get("content") else CALL_FIELDS & message.keys()
            said, calls = thought_and_calls({name: message[name] for name in own} if own else message.get("content"))
            if not calls:
                raise ConversationError(
                    f"{where} ({message['role']}) is {quoted(message.get('content'))}, and must be a call: JSON with "
                    "a name and arguments."
                )
            after = {name: value for name, value in message.items() if name != "content" and name not in own}
            after |= {"role": "assistant", "content": said, "tool_calls": calls}
            self._changed(Step.CALLS, where, message, after)
            self._calls_at.add(where)
            return after
        if "tool_calls" in message:
            before = message["tool_calls"]
            calls = calls_of(before)
            if calls is None or (calls and calls == before):
                return message
            after = {name: value for name, value in message.items() if name != "tool_calls"}
            self._changed(Step.CALLS, f"{where} · tool_calls", before, calls or None)
            return {**after, "tool_calls": calls} if calls else after
        if calls := calls_of(message.get("function_call")):
            after = {name: value for name, value in message.items() if name != "function_call"}
            after["tool_calls"] = calls
            self._changed(Step.CALLS, f"{where} · function_call", message["function_call"], after["tool_calls"])
            return after
        return message

    def _joined_calls(self, messages: list[Message]) -> list[Message]:
        """Joins calls in separate messages to the answer or the calls before them: all are one turn."""
        out: list[Message] = []
        prompt = self.prompt_messages
        for index, message in enumerate(messages):
            is_call = f"message {index}" in self._calls_at and message["content"] == "" and index != prompt
            before = out[-1] if out and is_call else {}
            if before.get("role") != "assistant" or beside_calls(message) != beside_calls(before):
                out.append(message)
                continue
            out[-1] = {**before, "tool_calls": [*before.get("tool_calls", ()), *message["tool_calls"]]}
            self.prompt_messages -= index < prompt
            if not before.get("tool_calls"):
                self._changed(Step.CALLS, f"message {index}, which is joined to the answer before it", None, None)
        return out

    def _with_arguments(self, message: Message, where: str) -> Message:
        calls = message.get("tool_calls")
        if not isinstance(calls, list) or self._takes is None or not calls:
            return message
        out = []
        for index, call in enumerate(calls):
            function = call.get("function") if isinstance(call, Mapping) else None
            before = function.get("arguments") if isinstance(function, Mapping) else None
            after = before
            step = Step.ARGUMENTS
            if isinstance(before, str) and (read := json_object(before)) is not None:
                after = read if self._takes.argument_objects() else before
            elif isinstance(before, str) and Step.LITERALS not in self._as_given and (read := python_object(before)):
                step, after = Step.LITERALS, read if self._takes.argument_objects() else _json(read)
            elif isinstance(before, Mapping) and not self._takes.argument_objects():
                after = _json(before)
            if after is not before:
                self._changed(step, f"{where} · tool_calls[{index}].function.arguments", before, after)
                call = {**call, "function": {**function, "arguments": after}}  # type: ignore[dict-item]
            out.append(call)
        return {**message, "tool_calls": out}

    # --- content

    def _with_content(self, message: Message, where: str) -> Message:
        content = message.get("content")
        if type(content) is str or "content" not in message:
            return message
        if self._takes is not None and (thoughts := _thoughts(message)) and not self._takes.parts(str(message["role"])):
            rest = [part for part in message["content"] if part not in thoughts]
            told = {**message, "content": rest, "reasoning_content": "".join(map(_thought, thoughts))}
            self._changed(Step.CONTENT, f"{where} · content", content, rest)
            return self._with_content(told, where) if rest else {**told, "content": ""}
        after: Any = content
        if content is None or (isinstance(content, float) and math.isnan(content)):  # as pandas writes null
            after = "" if message.get("tool_calls") else None
        elif isinstance(content, bool | int | float):
            after = _json(content)
        elif self._takes is not None:
            after = self._text_of(content, str(message.get("role")))
        if after is content or after == content:
            return message
        self._changed(Step.CONTENT, f"{where} · content", content, after)
        return {**message, "content": after}

    def _text_of(self, content: Any, role: str) -> Any:
        """Content as the template takes it: parts as they are or joined, an object as it is or as JSON."""
        assert self._takes is not None
        if isinstance(content, Mapping):
            return content if self._takes.objects(role) else _json(content)
        parts = [_part(part) for part in content]
        if parts and all(part is None for part in parts):
            return content if self._takes.objects(role) else _json(content)
        if self._takes.parts(role):
            named = [content[i] if part is None else part for i, part in enumerate(parts)]
            return content if named == list(content) else named
        texts = [part["text"] for part in parts if part is not None and isinstance(part.get("text"), str)]
        if len(texts) + sum(map(is_media, content)) < len(content):
            return content  # a part with other content, such as a call, is not left out
        return "".join(texts)


def _thoughts(message: Mapping[str, Any]) -> list[Any]:
    """The reasoning parts of a message, as in Anthropic's; empty if a field already holds the reasoning."""
    if not isinstance(message.get("content"), list | tuple) or any(message.get(name) for name in REASONING_FIELDS):
        return []
    return [part for part in message["content"] if isinstance(part, Mapping) and _thought(part)]


def _thought(part: Mapping[str, Any]) -> str:
    text = part.get("thinking") if part.get("type") == "thinking" else None
    return text if isinstance(text, str) else ""


def _part(part: Any) -> dict[str, Any] | None:
    """A part of a message's content with the type name that templates know; None if it is not a part."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        return None
    if isinstance(part.get("text"), str) and part.get("type", "text") in TEXT_PARTS:
        return {**part, "type": "text"}
    return dict(part) if is_media(part) or "type" in part else None


def _json(value: Any) -> str:
    """JSON as templates write it."""
    return json.dumps(value, ensure_ascii=False)
