"""The conversation's JSON text, which is the page's single source of truth, and the template options in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspector.data.formats import is_labelled_row

MAX_JSON_CHARS = 900_000
"""Longest conversation that the page accepts, in characters; the sandbox accepts slightly more."""
THINKING = ("template's default", "on", "off")
_NAMED = ("messages", "tools", "documents", "add_generation_prompt", "enable_thinking")


class ConversationJsonError(ValueError):
    """The text is not JSON that could hold a conversation."""


class NoConversationError(ConversationJsonError):
    """There is no text, or no message in it, which is not a user's error."""

    def __init__(self) -> None:
        super().__init__("Paste a conversation, or load an example.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOptions:
    """The template options as in the page's controls: JSON texts are empty if the option is unset."""

    generation_prompt: bool = False
    thinking: str = THINKING[0]
    tools: str = ""
    documents: str = ""
    keywords: str = ""


def parse_json(text: str, what: str = "The conversation") -> Any:
    """The value in a text. Raises ConversationJsonError, which names the place where the text stops being JSON."""
    if len(text) > MAX_JSON_CHARS:
        raise ConversationJsonError(f"{what} is {len(text):,} characters long; the limit is {MAX_JSON_CHARS:,}.")
    try:
        return json.loads(text)
    except RecursionError:
        raise ConversationJsonError(f"{what} is nested too deeply.") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise NoConversationError from error
        raise ConversationJsonError(f"{what} is not JSON: {_why(text, error)}.") from error
    except ValueError as error:
        raise ConversationJsonError(f"{what} holds a number of thousands of digits: make it a text.") from error


def _why(text: str, error: json.JSONDecodeError) -> str:
    """The place where a text stops being JSON, and the reason if it is clear."""
    line, column = error.lineno, error.colno
    reason = error.msg
    # Python 3.13 points at a comma before a bracket, older ones at the bracket
    comma = error.pos if text[error.pos : error.pos + 1] == "," else len(text[: error.pos].rstrip()) - 1
    if text[comma : comma + 1] == "," and text[comma + 1 :].lstrip()[:1] in ("]", "}"):
        reason = "a comma before the closing bracket"
        line, column = text.count("\n", 0, comma) + 1, comma - text.rfind("\n", 0, comma)
    elif text[error.pos : error.pos + 1] == "'":
        reason = "single quotes where JSON has double ones"
    return f"{reason} at line {line}, column {column}"


def parse_object(text: str, what: str, example: str) -> dict[str, Any]:
    """The object in a text; an empty text is an empty one. Raises ConversationJsonError, which gives the example."""
    value = parse_json(text, what) if text and text.strip() else {}
    if not isinstance(value, dict):
        raise ConversationJsonError(f"{what} must be an object, such as {example}.")
    return value


def read_options(text: str) -> TemplateOptions:
    """The options in a conversation's JSON; all unset if it is not an object, or is a row of ids and labels."""
    try:
        value = parse_json(text)
    except ConversationJsonError:
        return TemplateOptions()
    if not isinstance(value, dict) or is_labelled_row(value):
        return TemplateOptions()
    thinking = value.get("enable_thinking")
    rest = {key: item for key, item in value.items() if key not in _NAMED}
    return TemplateOptions(
        generation_prompt=bool(value.get("add_generation_prompt", False)),
        thinking=THINKING[0] if thinking is None else THINKING[1] if thinking else THINKING[2],
        tools=_dumped(value.get("tools")),
        documents=_dumped(value.get("documents")),
        keywords=_dumped(rest or None),
    )


def write_options(text: str, options: TemplateOptions) -> str:
    """The conversation's JSON with these options. Raises ConversationJsonError, which names the option."""
    value = parse_json(text)
    if is_labelled_row(value):
        if options == TemplateOptions():
            return text
        raise ConversationJsonError(
            "This row is ids and labels: nothing is rendered, so template options change nothing."
        )
    messages = value["messages"] if isinstance(value, dict) and "messages" in value else value
    keywords = parse_object(options.keywords, "Other keywords", '{"date_string": "1 Jan 2025"}')
    out: dict[str, Any] = {"messages": messages}
    if options.tools.strip():
        out["tools"] = parse_json(options.tools, "Tools")
    if options.documents.strip():
        out["documents"] = parse_json(options.documents, "Documents")
    if options.generation_prompt:
        out["add_generation_prompt"] = True
    if options.thinking != THINKING[0]:
        out["enable_thinking"] = options.thinking == THINKING[1]
    out |= keywords
    return dump(out if len(out) > 1 else messages)


def dump(value: Any) -> str:
    """JSON as the page writes it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def dump_flat(value: Mapping[str, Any]) -> str:
    """An object with one line per key, so that a list of ids stays on one line; "" for an empty one."""
    lines = [f"  {json.dumps(name)}: {json.dumps(item, ensure_ascii=False)}" for name, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}" if lines else ""


def _dumped(value: Any) -> str:
    return "" if value is None else dump(value)
