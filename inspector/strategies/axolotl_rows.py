"""The row that axolotl trains on: its `chat_template` data sets change a conversation before they render it.

axolotl 0.19. Written from docs/strategies.md (D8), which was checked against its code; nothing is copied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import nodes

from inspector.conversation import Conversation, Message, Step
from inspector.errors import StrategyRefusedError
from inspector.rendering.jinja import tracing_environment
from inspector.strategies.base import Example

ROLES = {"human": "user", "gpt": "assistant"}
"""Roles that are renamed."""
KEPT = ("role", "content", "reasoning_content")
"""Fields of a message that are always kept, whether or not the template reads them."""
MADE = frozenset({Step.NULLS, Step.ARGUMENTS, Step.CONTENT, Step.TOOLS})
"""Steps of the pass over rows that axolotl makes itself."""
PART_TEXTS = ("text", "content", "value")
"""Fields that may hold the text of a content part; the first filled one counts."""


def axolotl_row(example: Example, *, with_tools: bool = True) -> tuple[Example, list[str]]:
    """The example of the row that axolotl renders, and a warning if its text is different.

    Raises StrategyRefusedError if axolotl stops (tool arguments that are not JSON), if the behaviour is not reproduced
    (parts with train flags), or if the template refuses the row.
    """
    given = example.conversation
    row = example.reworked(axolotl_conversation(given, example.template, with_tools=with_tools), "axolotl")
    if row.rendered.text == example.rendered.text:
        return row, []
    dropped = sorted({name for message in given.messages for name in message} - _fields(example.template))
    more = f" (of the messages' fields it drops {', '.join(dropped)})" if dropped else ""
    return row, [f"axolotl changes the row before it renders it{more}: what is shown is the row that it trains on."]


def axolotl_conversation(given: Conversation, template: str, *, with_tools: bool = True) -> Conversation:
    """The conversation that axolotl passes to the template. Raises StrategyRefusedError as `axolotl_row`."""
    fields = _fields(template)
    messages = tuple(_message(index, _clean(message), fields) for index, message in enumerate(given.messages))
    tools = tuple(_tool(_clean(tool)) for tool in given.tools) if given.tools and with_tools else None
    return Conversation(messages=messages, tools=tools, documents=None, keywords=given.keywords)


def _fields(template: str) -> set[str]:
    return {*KEPT, *message_fields(template)}


@lru_cache(maxsize=64)
def message_fields(source: str) -> frozenset[str]:
    """The fields that axolotl finds in a template: those read from a variable named `message`, by `.` or `[]`.

    A field that is read by `.get()` or from a variable with another name is not found.
    """
    found = set()
    for node in tracing_environment().parse(source).find_all(nodes.Node):
        if not isinstance(node, nodes.Getattr | nodes.Getitem):
            continue
        base = node.node
        while isinstance(base, nodes.Getattr | nodes.Getitem):
            base = base.node
        name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if isinstance(base, nodes.Name) and base.name == "message" and isinstance(name, str):
            found.add(name)
    return frozenset(found)


def _clean(value: Any) -> Any:
    """A value without the null entries of its objects, at any depth."""
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items() if item is not None}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _message(index: int, message: Message, fields: set[str]) -> Message:
    kept: Message = {key: value for key, value in message.items() if key in fields}
    kept["role"] = ROLES.get(str(message["role"]), message["role"])
    for name in ("content", "reasoning_content"):
        if isinstance(kept.get(name), list):
            kept[name] = _joined(index, name, kept[name])
    calls = kept.get("tool_calls")
    if isinstance(calls, list):
        kept["tool_calls"] = [_parsed(call, "arguments", f"message {index}") for call in calls]
    return kept


def _joined(index: int, name: str, parts: Any) -> str:
    """The texts of list content, joined; images and other parts have none."""
    dicts = [part for part in parts if isinstance(part, Mapping)]
    if any(part.get(flag) is not None for part in dicts for flag in ("train", "weight")):
        raise StrategyRefusedError(
            f"Parts of message {index} · {name} have train flags of their own. axolotl reads them, which is not "
            "reproduced here: give the flag to the message."
        )
    texts = [next((part[key] for key in PART_TEXTS if part.get(key)), "") for part in dicts]
    if not all(isinstance(text, str) for text in texts):
        raise StrategyRefusedError(f"axolotl stops at this row: a part of message {index} · {name} has no text.")
    return "".join(texts)


def _tool(tool: Any) -> Any:
    return _parsed(tool, "parameters", "the tools")


def _parsed(value: Any, name: str, where: str) -> Any:
    """A call or a tool whose function's JSON texts are parsed."""
    function = value.get("function") if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get(name), str):
        return value
    try:
        parsed = json.loads(function[name])
    except json.JSONDecodeError as error:
        raise StrategyRefusedError(
            f"axolotl stops at this row: the {name} of a function in {where} are not JSON ({error})."
        ) from error
    return {**value, "function": {**function, name: parsed}}
