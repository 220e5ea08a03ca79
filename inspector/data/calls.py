"""Calls, tools and arguments in the forms that data sets have: bare, wrapped, as JSON or Python text, one or a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inspector.data.dialogues import literal, not_json
from inspector.errors import ConversationError, quoted

CALL_FIELDS = frozenset({"name", "arguments", "parameters"})
"""Fields of a call; a message that is itself a call may have them too."""


def beside_calls(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message other than its text and its calls."""
    return {name: value for name, value in message.items() if name not in ("content", "tool_calls")}


def thought_and_calls(content: Any) -> tuple[str, list[Any] | None]:
    """The text before a call, up to the end of its reasoning, and the calls."""
    if not isinstance(content, str):
        return "", calls_of(content)
    before, end, rest = content.rpartition("</think>")
    calls = calls_of(rest)
    return before + end, calls_of(literal(rest) or rest) if calls is None else calls


def calls_of(value: Any) -> list[Any] | None:
    """Calls as a list of functions; an empty list without calls, None if the value does not hold calls."""
    try:
        value = parsed(value, "a call")
    except ConversationError:
        return None
    if value is None or (isinstance(value, str) and not value):
        return []
    items = [parsed(item, "a call") for item in as_list(value)]
    if not all(isinstance(item, Mapping) and ("name" in item or "function" in item) for item in items):
        return None
    return [_call(item) for item in items]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call with its function in `function`."""
    if isinstance(call.get("function"), Mapping):
        return dict(call)
    function = {name: value for name, value in call.items() if name in CALL_FIELDS}
    if "parameters" in function:
        function.setdefault("arguments", function.pop("parameters"))
    rest = {name: value for name, value in call.items() if name not in {*CALL_FIELDS, "type"}}
    return {"type": "function", **rest, "function": function}


def tool_of(tool: Any, where: str) -> dict[str, Any] | None:
    """A tool with its schema in `function`; None for a text that says that there is no tool."""
    tool = parsed(tool, where)
    if tool is None or tool == "":
        return None
    if not isinstance(tool, Mapping):
        raise ConversationError(f"{where} is {quoted(tool)}, and must be a tool: an object with a name and parameters.")
    if "input_schema" in tool and "parameters" not in tool:  # Anthropic's name of it
        tool = {"parameters" if name == "input_schema" else name: value for name, value in tool.items()}
    is_wrapped = isinstance(tool.get("function"), Mapping) or "name" not in tool
    return dict(tool) if is_wrapped else {"type": "function", "function": dict(tool)}


def as_list(value: Any) -> list[Any]:
    """A list as it is, a single value as a list of one, null as an empty list."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or (isinstance(value, str | Mapping) and not value) else [value]


def parsed(value: Any, where: str) -> Any:
    """A value; a text that begins like JSON is parsed. Raises ConversationError if it is not JSON."""
    if not isinstance(value, str) or not (text := value.strip()).startswith(("[", "{", "null")):
        return value.strip() if isinstance(value, str) else value
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversationError(not_json(where, text, error)) from error


def json_object(text: str) -> dict[str, Any] | None:
    """The object in a JSON text, perhaps encoded several times, or None; an empty text gives an empty object."""
    value: Any = text or "{}"
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def python_object(text: str) -> dict[str, Any] | None:
    """The object in a text that str() wrote; None for any other text."""
    value = literal(text) if text.lstrip().startswith("{") else None
    return value if isinstance(value, dict) and all(isinstance(name, str) for name in value) else None
