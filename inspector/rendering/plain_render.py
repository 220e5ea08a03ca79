"""The render of transformers, without origins. Traced renders are compared with it.

Templates are untrusted code and can run forever: everything but tests and benchmarks goes through the sandbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspector.conversation import Conversation, Message
from inspector.rendering.jinja import tracing_environment
from inspector.rendering.safe_attributes import have_transformers_remember


class PlainRender:
    """transformers' own render of a slice of the conversation."""

    def __init__(self, source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self.tools = None if conversation.tools is None else list(conversation.tools)
        self.documents = None if conversation.documents is None else list(conversation.documents)
        self.keywords = {**special_tokens, **conversation.keywords}
        self.keywords.pop("add_generation_prompt", None)

    def __call__(self, messages: tuple[Message, ...], add_generation_prompt: bool) -> str:
        """The render. Raises Jinja's errors."""
        return str(self._rendered(messages, add_generation_prompt)[0][0])

    def tagged(self, messages: tuple[Message, ...], add_generation_prompt: bool) -> tuple[str, list[tuple[int, int]]]:
        """The render, and the spans of its generation tags."""
        texts, spans = self._rendered(messages, add_generation_prompt, return_assistant_tokens_mask=True)
        return str(texts[0]), list(spans[0])

    def _rendered(self, messages: tuple[Message, ...], add_generation_prompt: bool, **more: Any) -> tuple[Any, Any]:
        from transformers.utils.chat_template_utils import render_jinja_template

        have_transformers_remember(self.source)
        texts, spans = render_jinja_template(
            conversations=[plain_messages(messages)],
            tools=self.tools,
            documents=self.documents,
            chat_template=self.source,
            add_generation_prompt=add_generation_prompt,
            **more,
            **self.keywords,
        )
        return texts, spans

    def attempt(self, messages: tuple[Message, ...], add_generation_prompt: bool) -> str | None:
        """The render, or None if the template refuses these messages."""
        if not messages:
            return None
        try:
            return self(messages, add_generation_prompt)
        except (MemoryError, RecursionError):
            raise
        except Exception:  # a template may raise anything at all on a conversation it was not written for
            return None


def render_text(source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> str:
    """The text alone, as transformers makes it, in this process. Raises Jinja's errors."""
    plain = PlainRender(source, conversation, special_tokens)
    return plain(conversation.messages, conversation.adds_generation_prompt)


def render_tagged(
    source: str, conversation: Conversation, special_tokens: Mapping[str, str]
) -> tuple[str, list[tuple[int, int]]]:
    """The text and the spans of its generation tags, as transformers makes them, in this process."""
    plain = PlainRender(source, conversation, special_tokens)
    return plain.tagged(conversation.messages, conversation.adds_generation_prompt)


def template_keywords(source: str) -> frozenset[str]:
    """The names that a template reads and does not set: its keywords. Raises Jinja's TemplateSyntaxError."""
    from jinja2.meta import find_undeclared_variables

    environment = tracing_environment()
    return frozenset(find_undeclared_variables(environment.parse(source))) - set(environment.globals)


def plain_messages(messages: tuple[Message, ...]) -> list[Message]:
    """Messages as `apply_chat_template` passes them on: without the keys whose value is None."""
    return [{key: value for key, value in message.items() if value is not None} for message in messages]
