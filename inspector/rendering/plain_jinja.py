"""Chat templates as plain Jinja renders them: without transformers' settings, and with StrictUndefined.

torchtune renders in this way. A line end after a tag and blanks before one are kept, an undefined name is an error even
in an `{% if %}`, and there is no `{% generation %}`, no `{% break %}` and no `strftime_now`.

Runs untrusted code: call it in the sandbox only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import Environment, StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from inspector.conversation import Conversation

_OPENING = {"block_begin", "comment_begin", "raw_begin", "raw_end"}
_CLOSING = {"block_end", "comment_end", "raw_end"}


def render_plain(source: str, conversation: Conversation, variables: Mapping[str, Any]) -> str:
    """The text of a conversation. `variables`: further values that the template may read.

    Raises Jinja's errors.
    """
    names = {**variables, **conversation.keywords, "messages": list(conversation.messages)}
    names.setdefault("add_generation_prompt", False)
    return _environment().from_string(source).render(names)


def keeping_whitespace(source: str) -> str:
    """The source changed so that transformers' settings remove no more whitespace than plain Jinja's.

    A `+` is added to each tag and comment that has no sign for whitespace. Raises Jinja's TemplateSyntaxError.
    """
    source = re.sub("\r\n?", "\n", source)
    pieces, at = [], 0
    for _, kind, text in _environment().lex(source):
        start = source.index(text, at)  # whitespace that a tag's own sign removes is in no token
        pieces.append(source[at:start])
        at = start + len(text)
        if kind in _OPENING:
            text = re.sub(r"^(\{[%#])(?![+-])", r"\1+", text)
        if kind in _CLOSING:
            text = re.sub(r"(?<![+-])([%#]\}\s*)$", r"+\1", text)
        pieces.append(text)
    return "".join([*pieces, source[at:]])


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
