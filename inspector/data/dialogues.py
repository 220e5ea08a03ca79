"""Texts that hold whole chats -> messages: speakers named in the text, Python literals in cells, calls in tags.

Two published forms are read: `Human: ... Assistant: ...` as in hh-rlhf, and `USER: ... ASSISTANT: ... FUNCTION
RESPONSE: ...` with `<functioncall>` as in glaive's function calling.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from inspector.conversation import Message

MAX_LITERAL_CHARS = 2_000_000
"""Longest text that is read as a Python literal."""

_SPEAKERS: Mapping[str, str] = {
    "human": "user", "user": "user", "assistant": "assistant", "system": "system", "function response": "tool",
}  # fmt: skip
_SPEAKER = re.compile(r"(?:^\s*|\n\s*\n\s*)(human|user|assistant|system|function response):[ \t]?", re.IGNORECASE)
_CALL = re.compile(r"<functioncall>\s*(?P<call>\{.*\})\s*$", re.DOTALL)
_QUOTED_ARGUMENTS = re.compile(r'"arguments":\s*\'(?P<arguments>.*)\'\s*\}\s*$', re.DOTALL)
_END = "<|endoftext|>"


def dialogue(text: str) -> list[Message] | None:
    """The messages of a text that begins with a speaker's name; None for another text.

    A speaker without text at the end is left out: the answer is still to come.
    """
    parts = _SPEAKER.split(text)
    if len(parts) < 3 or parts[0].strip():
        return None
    messages = [_message(name, said) for name, said in zip(parts[1::2], parts[2::2], strict=True)]
    return messages if messages[-1].get("content") or "tool_calls" in messages[-1] else messages[:-1]


def _message(speaker: str, text: str) -> Message:
    role, content = _SPEAKERS[speaker.lower()], text.strip().removesuffix(_END).rstrip()
    call = _call(content) if role == "assistant" else None
    return {"role": role, "content": content} if call is None else {"role": role, **call}


def _call(content: str) -> dict[str, Any] | None:
    """The content before a call in tags, and the call; None without a readable call."""
    found = _CALL.search(content)
    if found is None:
        return None
    text = _QUOTED_ARGUMENTS.sub(lambda quoted: f'"arguments": {quoted["arguments"]}}}', found["call"])
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {"content": content[: found.start()].strip(), "tool_calls": [{"type": "function", "function": call}]}


def tools_in(system: str) -> tuple[str, list[Any]]:
    """A system text without the schemas at its end (one after the other, as in glaive's data), and the schemas."""
    begin = system.find("{")
    if begin < 0 or '"parameters"' not in system:
        return system, []
    tools, rest = [], system[begin:].strip()
    decoder = json.JSONDecoder()
    while rest:
        try:
            tool, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return system, []
        tools.append(tool)
        rest = rest[end:].strip()
    return system[:begin].strip(), tools


_PRINTED = re.compile(r"\s*(?:array\()?\[\s*\{.*\}\s*\](?:,\s*dtype=\w+)?\)?\s*|\s*\[[-+\d.e\s]*\]\s*", re.DOTALL)


def is_printed(text: str) -> bool:
    """Whether a text is an array as NumPy prints it, which is neither JSON nor Python: `[{...} {...}]`, `[1 2 3]`."""
    return _PRINTED.fullmatch(text) is not None and literal(text) is None


def not_json(where: str, text: str, error: Exception) -> str:
    """The error for a text that begins like JSON and is not: what wrote it, if that is known, and what to do."""
    if not is_printed(text):
        return f"{where} is a text that begins like JSON and is not JSON: {error}."
    return (
        f"{where} is an array as NumPy prints it, without commas, and cannot be read back: a column of lists was "
        "written to CSV. Save the data as Parquet, or as JSONL: df.to_json(path, orient='records', lines=True)."
    )


def literal(text: str) -> Any:
    """The value of a text in Python syntax, such as a list of dicts in a CSV cell; None if it is not one."""
    if len(text) > MAX_LITERAL_CHARS:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
