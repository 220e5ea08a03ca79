"""OpenAI's gpt-oss: the unchanged chat template, and openai-harmony as a second opinion.

Trainers render the repository's Jinja template; the model was trained with openai-harmony, and servers use it. Its
vocabulary is written from the model's tokenizer, so that it fetches nothing. If the vocabulary's hash is not the one
that the library expects, there is no second opinion.
Source: openai-harmony 0.0.8 (`render_conversation_for_training`), OpenAI's description of the harmony format.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from inspector.conversation import REASONING_FIELDS, Conversation, Message
from inspector.model.encoders.encoder import Encoder
from inspector.model.tokenizer import Tokenizer, once_per_tokenizer

CONTROL = frozenset({"<|start|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|end|>", "<|return|>", "<|call|>"})
VOCABULARY = "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
"""The hash of that file: openai-harmony refuses any other."""
_FOLDER = "TIKTOKEN_ENCODINGS_BASE"


def speaks_harmony(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer has the control tokens of the harmony format."""
    return {token.content for token in tokenizer.added_tokens_decoder.values()} >= CONTROL


def _official(tokenizer: Tokenizer, conversation: Conversation) -> Sequence[int] | None:
    try:
        import openai_harmony
    except ImportError:
        return None
    try:
        encoding = _encoding(tokenizer)
        if encoding is None or conversation.adds_generation_prompt:
            return None
        chat = openai_harmony.Conversation.from_messages(list(_messages(openai_harmony, conversation)))
        return list(encoding.render_conversation_for_training(chat))
    except Exception:  # it has no opinion on anything it refuses
        return None


def vocabulary_of(tokenizer: Tokenizer) -> bytes:
    """A byte-level vocabulary in tiktoken's format: a line with base64 and rank for each token except added ones."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    ranks = sorted((id, token) for token, id in tokenizer.get_vocab().items() if token not in added)
    lines = (base64.b64encode(bytes(byte_of[letter] for letter in token)) + b" %d\n" % id for id, token in ranks)
    return b"".join(lines)


@once_per_tokenizer
def _encoding(tokenizer: Tokenizer) -> Any:
    """openai-harmony's encoding with a tokenizer's vocabulary; None if that differs from the library's."""
    import openai_harmony

    vocabulary = vocabulary_of(tokenizer)
    if hashlib.sha256(vocabulary).hexdigest() != SHA256:
        return None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, VOCABULARY).write_bytes(vocabulary)
        before = os.environ.get(_FOLDER)
        os.environ[_FOLDER] = folder
        try:
            return openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)
        finally:
            os.environ.pop(_FOLDER) if before is None else os.environ.update({_FOLDER: before})


def _messages(harmony: Any, conversation: Conversation) -> Iterator[Any]:
    """The conversation as harmony's messages. Raises ValueError for content without a unique place in the format."""
    chat, keywords = list(conversation.messages), conversation.keywords
    system = harmony.SystemContent.new().with_conversation_start_date(date.today().isoformat())
    if "reasoning_effort" in keywords:
        system = system.with_reasoning_effort(harmony.ReasoningEffort(keywords["reasoning_effort"].capitalize()))
    if "model_identity" in keywords:
        system = system.with_model_identity(keywords["model_identity"])
    if keywords.get("builtin_tools"):
        raise ValueError("built-in tools")
    yield harmony.Message.from_role_and_content(harmony.Role.SYSTEM, system)
    instructions = chat.pop(0)["content"] if chat[0]["role"] in ("system", "developer") else ""
    tools = [_tool(harmony, tool) for tool in conversation.tools or ()]
    if instructions or tools:
        developer = harmony.DeveloperContent.new()
        developer = developer.with_instructions(instructions) if instructions else developer
        developer = developer.with_function_tools(tools) if tools else developer
        yield harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, developer)
    called = ""
    for message in chat:
        if message["role"] == "user":
            yield harmony.Message.from_role_and_content(harmony.Role.USER, _text(message))
        elif message["role"] == "tool":
            author = harmony.Author.new(harmony.Role.TOOL, f"functions.{message.get('name') or called}")
            result = harmony.Message.from_author_and_content(author, _text(message))
            yield result.with_channel("commentary").with_recipient("assistant")
        elif message["role"] == "assistant":
            yield from _answer(harmony, message)
            called = next((call["function"]["name"] for call in message.get("tool_calls") or ()), called)
        else:
            raise ValueError(message["role"])


def _answer(harmony: Any, message: Message) -> Iterator[Any]:
    """An assistant's reasoning, calls and answer, each in its channel."""

    def said(text: str, channel: str) -> Any:
        return harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, text).with_channel(channel)

    calls = message.get("tool_calls") or ()
    reasoning = next((message[name] for name in REASONING_FIELDS if message.get(name)), "")
    if reasoning:
        yield said(reasoning, "analysis")
    if calls and message.get("content"):
        raise ValueError("text next to a call is reasoning in some programs and a preamble in others")
    for call in calls:
        arguments = call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        to = said(text, "commentary").with_recipient(f"functions.{call['function']['name']}")
        yield to.with_content_type("<|constrain|>json")
    if not calls:
        yield said(_text(message), "final")


def _tool(harmony: Any, tool: Mapping[str, Any]) -> Any:
    function = tool["function"]
    return harmony.ToolDescription.new(function["name"], function.get("description", ""), function.get("parameters"))


def _text(message: Message) -> str:
    content = message["content"]
    if not isinstance(content, str):
        raise ValueError("parts")
    return content


HARMONY = Encoder(name="harmony", title="OpenAI's harmony", official=_official, library="openai-harmony")
"""Rendered by the model's template; recognised by its control tokens."""
