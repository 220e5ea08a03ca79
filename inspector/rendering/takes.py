"""Finds out by trying which forms a template takes: parts of content, objects, arguments of calls.

Renders are cached.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from inspector.conversation import Conversation, Message
from inspector.errors import InspectorError
from inspector.rendering import sandbox

_WORD = "probe"
_OBJECT = {"probe_key": "probe_value"}
_QUESTION: Message = {"role": "user", "content": "Hi."}
_TOOL = {"type": "function", "function": {"name": _WORD, "description": "A tool.", "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class TemplateTakes:
    """The forms that the template `source` takes: see `data.normal.Takes`.

    If a form cannot be tried, the answer is yes.
    """

    source: str
    special_tokens: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: str, special_tokens: Mapping[str, str]) -> TemplateTakes:
        """The answers for a template."""
        return cls(source, tuple(special_tokens.items()))

    def knows_role(self, role: str) -> bool:
        """Whether the source names the role."""
        return re.search(f"""["']{re.escape(role)}["']""", self.source) is not None

    def parts(self, role: str) -> bool:
        """Whether it writes the text of a list of parts, and not the list."""
        text = self._with_content(role, [{"type": "text", "text": _WORD}])
        if text is None:
            return self._with_content(role, _WORD) is None
        return _WORD in text and re.search(r"""["']type["']: ["']text""", text) is None

    def objects(self, role: str) -> bool:
        """Whether it writes content that is an object as JSON."""
        text = self._with_content(role, {"probe_content": _WORD})
        if text is None:
            return self._with_content(role, _WORD) is None
        return re.search(r'"probe_content":\s*"probe"', text) is not None

    def argument_objects(self) -> bool:
        """Whether it writes arguments that are an object as JSON; no where only a text comes out as JSON."""
        as_text = json.dumps(_OBJECT)
        return _has_json(self._with_arguments(_OBJECT)) or not _has_json(self._with_arguments(as_text))

    def _with_content(self, role: str, content: Any) -> str | None:
        message = {"role": role, "content": content}
        if role == "tool":
            message |= {"tool_call_id": "abcdefghi", "name": _WORD}
            return _render(self, json.dumps([_QUESTION, _call(_OBJECT), message]))
        before = [] if role in ("system", "user", "developer") else [_QUESTION]
        after = [_QUESTION] if role in ("system", "developer") else []
        return _render(self, json.dumps([*before, message, *after]))

    def _with_arguments(self, arguments: Any) -> str | None:
        return _render(self, json.dumps([_QUESTION, _call(arguments)]))


def _call(arguments: Any) -> Message:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": _WORD, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _has_json(text: str | None) -> bool:
    return text is not None and re.search(r'"probe_key":\s*"probe_value"', text) is not None


@lru_cache(maxsize=512)
def _render(takes: TemplateTakes, messages: str) -> str | None:
    """The text of these messages, which are JSON; None if the template refuses them."""
    conversation = Conversation(messages=tuple(json.loads(messages)), tools=(_TOOL,))
    try:
        text = sandbox.texts(takes.source, [conversation], dict(takes.special_tokens))[0]
    except InspectorError:
        return None
    return text if isinstance(text, str) else None
