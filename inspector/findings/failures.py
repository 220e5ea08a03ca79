"""Finds the field that makes a template fail, and the form that the template takes there, by trying each field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import Conversation, Message

Renders = Callable[[Conversation], bool]
Trial = Callable[[Message], Message]


@dataclass(frozen=True, slots=True)
class Failure:
    """The field that a template fails at. `message_index`: None for tools and keywords; `text`: a sentence about it."""

    message_index: int | None
    text: str


def failing_field(reason: str, conversation: Conversation, renders: Renders) -> Failure | None:
    """The first field that alone makes the template fail; None if no single kind of field does.

    `reason`: the template's own error. `renders` tries a changed conversation: a field is named only when the render
    works with another value there.
    """
    for path, problem, trial in _TRIALS:
        changed = replace(conversation, messages=tuple(map(trial, conversation.messages)))
        if changed.messages == conversation.messages or not renders(changed):
            continue
        for index, message in enumerate(conversation.messages):
            kept = (*changed.messages[:index], message, *changed.messages[index + 1 :])
            if message != changed.messages[index] and not renders(replace(changed, messages=kept)):
                at = _first_difference(message.get("tool_calls"), changed.messages[index].get("tool_calls"))
                where = f"message {index} ({message['role']})" + (path and f" · {path.replace('[]', f'[{at}]')}")
                return Failure(index, f"{where} {problem}")
    for problem, tool_trial in _TOOL_TRIALS:
        tools = tuple(map(tool_trial, conversation.tools or ()))
        if tools != (conversation.tools or ()) and renders(replace(conversation, tools=tools)):
            index = next(i for i, tool in enumerate(conversation.tools or ()) if tool != tools[i])
            return Failure(None, f"tools[{index}] {problem}")
    if name := re.search(r"'(\w+)' is undefined", reason):
        given = {**conversation.keywords, name[1]: ""}
        if name[1] not in conversation.keywords and renders(replace(conversation, keywords=given)):
            return Failure(None, f"the template needs the keyword {name[1]!r}, which the conversation does not give")
    return None


def _first_difference(before: Any, after: Any) -> int:
    pairs = zip(before, after, strict=False) if isinstance(before, list) and isinstance(after, list) else ()
    return next((i for i, (one, other) in enumerate(pairs) if one != other), 0)


# --- the trials: a field, what is wrong with it, and the message with another value there


def _with(name: str, change: Callable[[Any], Any]) -> Trial:
    def trial(message: Message) -> Message:
        value = message.get(name)
        after = change(value)
        return message if after is value else {**message, name: after}

    return trial


def _in_calls(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Trial:
    def calls(value: Any) -> Any:
        if not isinstance(value, list | tuple) or not all(isinstance(call, Mapping) for call in value):
            return value
        after = [change(dict(call)) for call in value]
        return value if after == list(value) else after

    return _with("tool_calls", calls)


def _arguments(change: Callable[[Any], Any]) -> Trial:
    def call(value: dict[str, Any]) -> dict[str, Any]:
        function = value.get("function")
        if not isinstance(function, Mapping):
            return value
        before = function.get("arguments")
        after = change(before)
        return value if after is before else {**value, "function": {**function, "arguments": after}}

    return _in_calls(call)


def _object_of(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = None
    return read if isinstance(read, dict) else {"value": value}


def _joined(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in value)
    return "".join(text for text in texts if isinstance(text, str))


def _json_of(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def _wrapped(call: dict[str, Any]) -> dict[str, Any]:
    if "function" in call or "name" not in call:
        return call
    return {"type": "function", "function": {"name": call["name"], "arguments": call.get("arguments", {})}}


def _nine(value: Any) -> str:
    """An id of nine characters, as Mistral's templates ask for."""
    return str(value or "")[:9].ljust(9, "0")


def _for_role(role: str, trial: Trial) -> Trial:
    return lambda message: trial(message) if message["role"] == role else message


def _defaults(**values: Any) -> Callable[[Any], Any]:
    return lambda fields: {**values, **fields} if isinstance(fields, Mapping) else fields


def _without_nulls(message: Message) -> Message:
    return {name: value for name, value in message.items() if value is not None or name == "content"}


def _schema(tool: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    function = tool.get("function")
    if isinstance(function, Mapping):
        return {**tool, "function": {**defaults, **function}}
    return {**defaults, **tool}


_CALL = "tool_calls[].function.arguments"
_TRIALS: tuple[tuple[str, str, Trial], ...] = (
    (_CALL, "is a text; this template needs an object", _arguments(_object_of)),
    (_CALL, "is an object; this template needs a text", _arguments(_json_of)),
    (_CALL, "is missing; this template needs an object", _arguments(lambda value: {} if value is None else value)),
    ("", "has no content; this template needs a text", _with("content", lambda value: "" if value is None else value)),
    ("content", "is a list of parts; this template needs a text", _with("content", _joined)),
    ("content", "is an object; this template needs a text", _with("content", _json_of)),
    (
        "content",
        "is a text; this template needs a list of parts",
        _with("content", lambda value: [{"type": "text", "text": value}] if isinstance(value, str) else value),
    ),
    (
        "content",
        "is a number; this template needs a text",
        _with("content", lambda value: str(value) if isinstance(value, int | float) else value),
    ),
    ("tool_calls[]", "has no `function`; this template needs one", _in_calls(_wrapped)),
    (
        "tool_calls[].id",
        "is missing; this template needs a text of nine characters",
        _in_calls(lambda call: {**call, "id": _nine(call.get("id"))}),
    ),
    ("tool_calls[].type", "is missing; this template needs 'function'", _in_calls(_defaults(type="function"))),
    ("name", "is missing; this template needs the tool's name", _for_role("tool", _defaults(name="tool"))),
    (
        "tool_call_id",
        "is missing; this template needs the id of the call",
        _for_role("tool", lambda message: {**message, "tool_call_id": _nine(message.get("tool_call_id"))}),
    ),
    (
        "tool_calls",
        "is not a list; this template needs a list or nothing",
        _with("tool_calls", lambda value: value if isinstance(value, list | tuple) else None),
    ),
    ("tool_calls", "is null; this template needs a list or nothing", _without_nulls),
)  # fmt: skip
_TOOL_TRIALS: tuple[tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]], ...] = (
    (
        "has no parameters; this template needs a schema",
        lambda tool: _schema(tool, parameters={"type": "object", "properties": {}, "required": []}),
    ),
    ("has no description; this template needs a text", lambda tool: _schema(tool, description="")),
    (
        "has no `function`; this template needs one",
        lambda tool: dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)},
    ),
    (
        "has parameters without properties; this template needs them",
        lambda tool: {**tool, "function": {**tool["function"], "parameters": {"type": "object", "properties": {}}}}
        if isinstance(tool.get("function"), Mapping) else dict(tool),
    ),
)  # fmt: skip
