"""Varied conversations for trying a template without data: texts that start and end in many ways."""

from __future__ import annotations

from inspector.conversation import Conversation

_EXCHANGES: tuple[tuple[str, str], ...] = (
    ("What is the capital of France?", "Paris."),
    ("Write a haiku about rain.", "Rain taps on the roof,\nthe cat counts every heartbeat,\nthe kettle answers."),
    ("2 + 2?", "4"),
    ("Which role answers here?\n", "The role named assistant\nanswers, after the user."),
    ("Show me a loop in Python.", "```python\nfor i in range(3):\n    print(i)\n```"),
    ("  What about spaces?  ", "  They stay where they are.  "),
    ("Name two rivers:", "- the Nile\n- the Danube\n"),
    ("日本の首都はどこですか。", "東京です。"),
    ("Are you sure!?\n\n", '"Yes", (quite sure).'),
    ("Start with a line end.", "\nLike this."),
    ("Start with two.", "\n\nLike that."),
    ("Send an emoji.", "👩‍👩‍👧‍👦 and 🦊"),
)


def sample_conversations() -> list[Conversation]:
    """Single questions, chats of three exchanges, and chats that begin with a system message."""
    chats = [_chat(exchange) for exchange in _EXCHANGES]
    chats += [_chat(*_EXCHANGES[start : start + 3]) for start in range(0, len(_EXCHANGES), 3)]
    chats += [_chat(*_EXCHANGES[start : start + 2], system="Answer briefly.") for start in range(0, 6, 2)]
    return chats


def _chat(*exchanges: tuple[str, str], system: str | None = None) -> Conversation:
    messages = [] if system is None else [{"role": "system", "content": system}]
    for question, answer in exchanges:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Conversation.parse(messages)
