"""Messages as other projects write them -> messages with role and content, one or several for each.

Supported: Gemini's contents with their parts, Anthropic's calls and results among parts, LangChain's objects in their
three forms, the items of OpenAI's Responses, OASST's trees, and an exchange in one object. `columns` reads ShareGPT's
from and value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from inspector.conversation import Message

_EXCHANGES = (("human", "assistant"), ("input", "output"), ("query", "response"))
"""Fields of an object that holds a question and its answer, as ms-swift's and Capybara's chats are made of."""
_LANGCHAIN = re.compile(r"(human|ai|system|tool|function|chat|developer)(?:message)?(?:chunk)?", re.IGNORECASE)
_ROLES = {"human": "user", "ai": "assistant"}
_NOTHING: tuple[Any, ...] = (None, False, [], {}, "")
_OWN = frozenset({"type", "role", "content", "additional_kwargs"})
_CALL, _RESULT = "function_call", "function_call_output"
_GEMINI_NAMES = {
    "functionCall": "function_call", "functionResponse": "function_response", "inlineData": "inline_data",
    "fileData": "file_data", "mimeType": "mime_type", "functionDeclarations": "function_declarations",
}  # fmt: skip
"""Gemini's field names in JSON and in Python."""


def is_message(value: object) -> bool:
    """Whether a value is a message, however it is written."""
    if not isinstance(value, Mapping):
        return False
    is_known = "role" in value or {"from", "value"} <= value.keys()
    return is_known or _speaker(value) != "" or _is_item(value) or _is_gemini(value)


def is_foreign(value: object) -> bool:
    """Whether a value is a message of Gemini, LangChain or Responses, without role and content."""
    if not isinstance(value, Mapping):
        return False
    return _is_gemini(value) or ("role" not in value and is_message(value))


def speaker(message: Mapping[str, Any]) -> str:
    """The speaker of a message by its name there, in lower case; "" if no speaker is named."""
    return str(message.get("role") or message.get("from") or _speaker(message)).lower()


def turns(item: Any) -> list[Any]:
    """The messages that one message stands for; an unknown form is returned as it is."""
    if not isinstance(item, Mapping):
        return [item]
    if _is_gemini(item):
        return list(_of_gemini(item))
    if "role" in item or "from" in item:
        return [item]
    if _is_item(item):
        return [_of_item(item)]
    if _speaker(item):
        return [_of_langchain(item)]
    for question, answer in _EXCHANGES:
        if set(item) == {question, answer}:
            return exchange(item[question], item[answer])
    return [item]


def exchange(question: str, answer: str) -> list[Message]:
    """A question and its answer as messages."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def alternating(texts: Sequence[str]) -> list[Message]:
    """The messages of texts without speakers, as in UltraChat: the user begins, the assistant answers."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


# --- Gemini


def _is_gemini(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("parts"), list | tuple) and value.get("content") is None


def _of_gemini(message: Mapping[str, Any]) -> Iterator[Message]:
    """One message for each function result, then one message for the other parts."""
    fields = {name: value for name, value in message.items() if name not in ("parts", "content", "role")}
    fields = {"role": message.get("role") or "user", **fields}
    said: list[Any] = []
    calls, thoughts = [], []
    has_results = False
    for part in message["parts"]:
        held = _held(part)
        if isinstance(call := held.get("function_call"), Mapping):
            calls.append(_call(call))
        elif isinstance(result := held.get("function_response"), Mapping):
            has_results = True
            beside = {"tool_call_id": result["id"]} if result.get("id") is not None else {}
            yield {"role": "tool", "name": result.get("name"), "content": result.get("response"), **beside}
        elif held.get("thought") is True and isinstance(held.get("text"), str):
            thoughts.append(held["text"])
        else:
            said.append(_content_part(part, held))
    if has_results and not (said or calls or thoughts):
        return
    after: Message = {**fields, "content": text_of_parts(said)}
    if thoughts:
        after["reasoning_content"] = "".join(thoughts)
    yield {**after, "tool_calls": calls} if calls else after


def text_of_parts(parts: Sequence[Any]) -> Any:
    """The content of parts: a single text as it is."""
    text = _held(parts[0]).get("text") if len(parts) == 1 else None
    return "" if not parts else text if isinstance(text, str) else list(parts)


def declared(tool: Any) -> list[Any]:
    """The functions that a Gemini tool declares; any other tool as it is."""
    functions = _held(tool).get("function_declarations") if isinstance(tool, Mapping) else None
    return list(functions) if isinstance(functions, list | tuple) else [tool]


def _held(part: Any) -> dict[str, Any]:
    """The filled fields of a part, by their Python names; plain text has one field."""
    if not isinstance(part, Mapping):
        return {"text": part}
    return {_GEMINI_NAMES.get(name, str(name)): value for name, value in part.items() if value is not None}


def _content_part(part: Any, held: Mapping[str, Any]) -> Any:
    data = next((held[name] for name in ("inline_data", "file_data") if isinstance(held.get(name), Mapping)), None)
    if data is not None:
        media = str(_held(data).get("mime_type") or "file").split("/")[0]
        return {"type": media if media in ("image", "audio", "video") else "file", **held}
    return {"type": "text", "text": held["text"]} if isinstance(held.get("text"), str) else part


# --- Anthropic


def without_call_parts(message: Mapping[str, Any]) -> list[Message] | None:
    """The messages of one with calls and results among its parts: one for each result, then one with `tool_calls`. None
    for any other message."""
    parts = message.get("content")
    if not isinstance(parts, list | tuple):
        return None
    of_kind = [(part.get("type") if isinstance(part, Mapping) else None, part) for part in parts]
    if not any(kind in ("tool_use", "tool_result") for kind, _ in of_kind):
        return None
    results = [part for kind, part in of_kind if kind == "tool_result"]
    calls = [_of_tool_use(part) for kind, part in of_kind if kind == "tool_use"]
    said = [part for kind, part in of_kind if kind not in ("tool_use", "tool_result")]
    out: list[Message] = [
        {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": part.get("content")} for part in results
    ]
    if said or calls or not results:
        out.append({**message, "content": text_of_parts(said), **({"tool_calls": calls} if calls else {})})
    return out


def _of_tool_use(part: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name"), "arguments": part.get("input") or {}}
    return {"id": part.get("id"), "type": "function", "function": function}


# --- LangChain and Responses


def _speaker(value: Mapping[str, Any]) -> str:
    """The kind of a LangChain message, in lower case; "" for anything else."""
    if value.get("lc") is not None and isinstance(value.get("kwargs"), Mapping):
        path = value.get("id")
        kind = path[-1] if isinstance(path, list | tuple) and path else value["kwargs"].get("type")
    elif isinstance(value.get("data"), Mapping) or "content" in value:
        kind = value.get("type")
    else:
        return ""
    found = _LANGCHAIN.fullmatch(kind) if isinstance(kind, str) else None
    return found.group(1).lower() if found else ""


def _of_langchain(message: Mapping[str, Any]) -> Message:
    """A message with role and content, without its empty fields."""
    fields: Any = next(
        (message[name] for name in ("kwargs", "data") if isinstance(message.get(name), Mapping)), message
    )
    kind = _speaker(message)
    more = fields.get("additional_kwargs")
    beside = {**more, **fields} if isinstance(more, Mapping) else dict(fields)
    beside = {name: value for name, value in beside.items() if name not in _OWN and value not in _NOTHING}
    if isinstance(calls := beside.get("tool_calls"), list | tuple):
        beside["tool_calls"] = [_call(call) if isinstance(call, Mapping) and "args" in call else call for call in calls]
    role = fields.get("role") if kind == "chat" else _ROLES.get(kind, kind)
    return {"role": role, "content": fields.get("content"), **beside}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call with `arguments`, which others name `args`."""
    fields = {"arguments" if name == "args" else name: value for name, value in call.items() if name != "type"}
    return {name: value for name, value in fields.items() if value is not None}


def _is_item(value: Mapping[str, Any]) -> bool:
    kind = value.get("type")
    return (kind == _CALL and "name" in value) or (kind == _RESULT and "output" in value)


def _of_item(item: Mapping[str, Any]) -> Message:
    if item["type"] == _RESULT:
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item["output"]}
    call = {"name": item["name"], "arguments": item.get("arguments")}
    return {"role": "tool_call", "content": {**call, **({"id": item["call_id"]} if item.get("call_id") else {})}}


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be compared: neither a truth value nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


# --- OASST


def is_tree(value: object) -> bool:
    """Whether a value is the root of a tree of messages."""
    return isinstance(value, Mapping) and isinstance(value.get("replies"), list | tuple) and "text" in value


def best_path(tree: Mapping[str, Any]) -> tuple[list[Message], int]:
    """The messages from the root along the best-ranked replies, and the number of replies that were left out."""
    messages, left_out = [], 0
    node: Any = tree
    while isinstance(node, Mapping):
        messages.append({"role": node.get("role"), "content": node.get("text")})
        replies = [reply for reply in node.get("replies") or () if isinstance(reply, Mapping)]
        left_out += max(0, len(replies) - 1)
        node = min(replies, key=_place, default=None)
    return messages, left_out


def _place(reply: Mapping[str, Any]) -> tuple[bool, float]:
    rank = reply.get("rank")
    return not is_number(rank), float(rank) if is_number(rank) else 0.0
