"""Why a template refuses a conversation: tried out, not read from its message.

The suspect is taken out and the conversation rendered again; the cause is named only when that works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TemplateFailedError, TemplateRefusedError
from inspector.finding import Code, Finding, Severity


def explain_refusal(
    error: InspectorError, conversation: Conversation, renders: Callable[[Conversation], bool]
) -> Finding | None:
    """Why a template refuses a conversation, or None when that cannot be shown.

    `renders` tries a changed conversation: the cause is named only when the render works without it.
    """
    if not isinstance(error, TemplateRefusedError | TemplateFailedError):
        return None
    others = tuple(m for m in conversation.messages if m["role"] not in ("system", "developer"))
    if others and len(others) < len(conversation.messages) and renders(replace(conversation, messages=others)):
        index = next(i for i, m in enumerate(conversation.messages) if m["role"] in ("system", "developer"))
        return Finding(
            code=Code.SYSTEM_UNSUPPORTED,
            severity=Severity.ERROR,
            message_index=index,
            token_span=None,
            detail=f"{_sentence(error)} Without message {index} ({conversation.role(index)}) it renders.",
            remedy="Put the system text at the start of the first user message, or use a template that takes it.",
        )
    again = next((i for i in range(1, len(others)) if others[i]["role"] == others[i - 1]["role"]), None)
    merged = tuple(next(group) for _, group in groupby(others, key=lambda m: m["role"]))
    if again is not None and renders(replace(conversation, messages=merged)):
        index = again + len(conversation.messages) - len(others)
        return Finding(
            code=Code.ROLES_MUST_ALTERNATE,
            severity=Severity.ERROR,
            message_index=index,
            token_span=None,
            detail=f"{_sentence(error)} With one message per turn it renders; message {index} is the second "
            f"{conversation.role(index)} message in a row.",
            remedy="Join consecutive messages of one role.",
        )
    return None


def _sentence(error: InspectorError) -> str:
    """The error's text, ended: templates seldom end theirs."""
    text = str(error)
    return text if text.endswith((".", "!", "?", "…")) else text + "."
