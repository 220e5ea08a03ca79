"""Finds out why a template refuses a conversation, by trying, not from the template's message.

The suspect is removed and the conversation rendered again; the cause is named only if that works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from inspector.conversation import Conversation, Message
from inspector.errors import InspectorError, TemplateFailedError, TemplateRefusedError
from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.failures import failing_field


def explain_refusal(
    error: InspectorError, conversation: Conversation, renders: Callable[[Conversation], bool]
) -> Finding | None:
    """The finding that says why a template refuses a conversation, or None if that cannot be shown.

    `renders` tries a changed conversation: the cause is named only if the render works without it.
    """
    if not isinstance(error, TemplateRefusedError | TemplateFailedError):
        return None
    if (odd := _odd_content(conversation, renders)) is not None:
        is_null = conversation.messages[odd].get("content") is None
        what = "has no content" if is_null else "has content that is a list of parts"
        cause = f"message {odd} ({conversation.role(odd)}) {what}; with plain text there it renders."
        return Finding(
            code=Code.CONTENT_UNSUPPORTED,
            severity=Severity.ERROR,
            message_index=odd,
            token_span=None,
            detail=f"{_sentence(error)} The cause: {cause}",
            cause=cause,
            remedy="Write the content as one text, an empty one where there is none, or use a template that takes "
            f"{'null' if is_null else 'a list of parts'}.",
        )
    if (failure := failing_field(str(error), conversation, renders)) is not None:
        return Finding(
            code=Code.FIELD_UNSUPPORTED,
            severity=Severity.ERROR,
            message_index=failure.message_index,
            token_span=None,
            detail=f"{_sentence(error)} The cause: {failure.text}.",
            cause=f"{failure.text}.",
            remedy="Give the field the form that the template takes, or use a template that takes this one.",
        )
    others = tuple(m for m in conversation.messages if m["role"] not in ("system", "developer"))
    if others and len(others) < len(conversation.messages) and _refuses_system(conversation, others, renders):
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


def _refuses_system(conversation: Conversation, others: Sequence[Message], renders: Callable[..., bool]) -> bool:
    """Whether the template renders without the system message, and does not render with text in it."""
    told = tuple(m if m in others or m.get("content") else {**m, "content": "Be brief."} for m in conversation.messages)
    is_empty = told != conversation.messages
    return renders(replace(conversation, messages=tuple(others))) and not (
        is_empty and renders(replace(conversation, messages=told))
    )


def _odd_content(conversation: Conversation, renders: Callable[[Conversation], bool]) -> int | None:
    """The first message whose content alone makes the template refuse: it renders if all content is plain text."""
    plain = with_plain_content(conversation)
    odd = [i for i, m in enumerate(conversation.messages) if not isinstance(m.get("content"), str)]
    if not odd or not renders(plain):
        return None
    for index in odd:
        before, after = plain.messages[:index], plain.messages[index + 1 :]
        if not renders(replace(plain, messages=(*before, conversation.messages[index], *after))):
            return index
    return None


def with_plain_content(conversation: Conversation) -> Conversation:
    """The conversation with every content as one text: "" for null, the joined texts of a list."""
    return replace(
        conversation,
        messages=tuple({**message, "content": _plain(message.get("content"))} for message in conversation.messages),
    )


def _plain(content: object) -> str:
    if isinstance(content, list | tuple):
        texts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _sentence(error: InspectorError) -> str:
    """The error's text with a full stop, which templates often leave out."""
    text = str(error)
    return text if text.endswith((".", "!", "?", "…")) else text + "."
