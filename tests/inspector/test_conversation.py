"""What users paste becomes a Conversation unchanged, or an error that says where and why."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.conversation import MAX_DEPTH, PREFILL, RESERVED_KEYWORDS, Conversation, is_flagged, string_fields
from inspector.errors import ConversationError
from tests.support.corpus import CORPUS

HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize("name", CORPUS)
def test_every_conversation_of_the_corpus_survives_the_way_there_and_back(name: str) -> None:
    """Nothing is renamed, trimmed or dropped."""
    conversation = Conversation.parse(CORPUS[name])
    assert Conversation.parse(conversation.to_json()) == conversation
    source = CORPUS[name]
    assert list(conversation.messages) == (source if isinstance(source, list) else source["messages"])


def test_a_parsed_conversation_is_taken_as_it_is() -> None:
    """Parsing twice costs nothing."""
    conversation = Conversation.parse([HI])
    assert Conversation.parse(conversation) is conversation


def test_messages_are_copies() -> None:
    """What the caller changes afterwards does not change what was inspected."""
    message = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    conversation = Conversation.parse([message])
    message["content"][0]["text"] = "Bye"  # type: ignore[index]
    assert conversation.messages[0]["content"][0]["text"] == "Hi"


def test_template_keywords_come_by_name_or_under_chat_template_kwargs() -> None:
    """TRL's data sets nest them; the nested ones win."""
    source = {"messages": [HI], "enable_thinking": True, "a": 1, "chat_template_kwargs": {"enable_thinking": False}}
    assert Conversation.parse(source).keywords == {"enable_thinking": False, "a": 1}


def test_generation_prompt_is_off_unless_asked_for() -> None:
    """Any true value asks for it."""
    assert not Conversation.parse([HI]).adds_generation_prompt
    assert Conversation.parse({"messages": [HI], "add_generation_prompt": 1}).adds_generation_prompt


def test_null_tools_are_no_tools() -> None:
    """An empty list is another thing: a template may ask whether there are tools at all."""
    assert Conversation.parse({"messages": [HI], "tools": None}).tools is None
    assert Conversation.parse({"messages": [HI], "tools": []}).tools == ()


def nested(depth: int) -> Any:
    """A list in a list in a list ..."""
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, tuple[Any, str]] = {
    "number": (3, r"is a list of messages or an object with `messages`, not a number\."),
    "null": (None, r"not null\."),
    "text": ("hello", r"not text\."),
    "no messages": ({"text": "x", "b": 1}, r"no `messages`; its keys are 'text', 'b'\."),
    "empty object": ({}, r"no `messages`; its keys are none\."),
    "messages is text": ({"messages": "x"}, r"`messages` must be a list of messages, not text\."),
    "empty list": ([], r"`messages` is empty: a chat template needs at least one message\."),
    "empty messages": ({"messages": []}, r"`messages` is empty"),
    "message is text": ([HI, "Hi"], r"message 1 must be an object with `role` and `content`, not text\."),
    "message is a list": ([[HI]], r"message 0 must be an object .* not a list\."),
    "no role": ([HI, {"content": "x", "name": "y"}], r"message 1 has no `role`; its keys are 'content', 'name'\."),
    "empty message": ([{}], r"message 0 has no `role`; its keys are none\."),
    "sharegpt": (
        [{"from": "human", "value": "x"}],
        r"message 0 has no `role`; .*; ShareGPT's `from`/`value` are `role`/`content` here\.",
    ),
    "role is a number": ([{"role": 1, "content": "x"}], r"message 0: `role` must be text, not a number\."),
    "role is null": ([{"role": None, "content": "x"}], r"message 0: `role` must be text, not null\."),
    "role is true": ([{"role": True}], r"message 0: `role` must be text, not true or false\."),
    "tools is an object": (
        {"messages": [HI], "tools": {"a": 1}},
        r"`tools` must be a list of objects, not an object\.",
    ),
    "a tool is text": ({"messages": [HI], "tools": [{}, "x"]}, r"`tools`\[1\] must be an object, not text\."),
    "documents is text": ({"messages": [HI], "documents": "x"}, r"`documents` must be a list of objects, not text\."),
    "a document is null": ({"messages": [HI], "documents": [None]}, r"`documents`\[0\] must be an object, not null\."),
    "kwargs is a list": (
        {"messages": [HI], "chat_template_kwargs": [1]},
        r"`chat_template_kwargs` must be an object, not a list\.",
    ),
    "keyword with a space": ({"messages": [HI], "my key": 1}, r"'my key' cannot be a template keyword"),
    "keyword is a number": ({"messages": [HI], 3: 1}, r"3 cannot be a template keyword: a template reads keywords by"),
    "reserved keyword": (
        {"messages": [HI], "tokenize": True},
        r"`tokenize` is an argument of apply_chat_template, not something a template reads: remove it\.",
    ),
    "bytes": (
        [{"role": "user", "content": b"x"}],
        r"message 0, `content` holds a value of type bytes, which JSON cannot represent\.",
    ),
    "a set": (
        [{"role": "user", "content": [{"a": {1}}]}],
        r"message 0, `content`\[0\], `a` holds a value of type set, which JSON",
    ),
    "number as key": (
        [{"role": "user", "content": {1: "x"}}],
        r"message 0, `content` has the key 1, which is a number",
    ),
    "too deep": ([{"role": "user", "content": nested(MAX_DEPTH + 1)}], rf"nested more than {MAX_DEPTH} levels deep\."),
    "half a surrogate": (
        [{"role": "user", "content": "ab\ud83d"}],
        r"message 0, `content` has half of a surrogate pair \('\\ud83d'\) at character 2, which no tokenizer can read",
    ),
    "half a surrogate in a key": ([{"role": "user", "\udc00": "x"}], r"message 0, the key '\\udc00' has half of a"),
    "half a surrogate in a keyword": ({"messages": [HI], "a": "\ud800"}, r"keyword `a` has half of a surrogate pair"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_template_could_be_given_is_refused_with_its_place(name: str) -> None:
    """The message names the message and the field."""
    source, said = REFUSED[name]
    with pytest.raises(ConversationError, match=said):
        Conversation.parse(source)


def test_prefill_is_refused_with_the_way_out() -> None:
    """An answer that is left open is not a row to train on; the argument's default changes nothing."""
    with pytest.raises(ConversationError, match=r"leaves the last answer open .* \(prefill\).* add_generation_prompt"):
        Conversation.parse({"messages": [HI], PREFILL: True})
    assert Conversation.parse({"messages": [HI], PREFILL: False}) == Conversation.parse([HI])


@pytest.mark.parametrize("name", sorted(RESERVED_KEYWORDS - {PREFILL}))
def test_arguments_of_apply_chat_template_are_no_keywords(name: str) -> None:
    """A template never sees them, so silently taking them would promise an effect they do not have."""
    with pytest.raises(ConversationError, match=f"`{name}` is an argument of apply_chat_template"):
        Conversation.parse({"messages": [HI], name: 1})


def test_deepest_nesting_is_accepted() -> None:
    """The limit itself is allowed."""
    Conversation.parse([{"role": "user", "content": nested(MAX_DEPTH - 1)}])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON | st.lists(st.dictionaries(st.sampled_from(["role", "content", "from"]), JSON)))
def test_anything_is_parsed_or_refused_by_name(source: Any) -> None:
    """No paste raises anything but ConversationError, and what is accepted survives the way there and back."""
    with suppress(ConversationError):
        conversation = Conversation.parse(source)
        assert repr(Conversation.parse(conversation.to_json())) == repr(conversation)


def test_string_fields_are_found_at_every_depth() -> None:
    """Paths are those that origins name."""
    message = {"role": "assistant", "content": [{"text": "a"}, "b"], "n": 1, "x": {"y": ["c", None]}}
    assert list(string_fields(message)) == [
        ("role", "assistant"),
        ("content[0].text", "a"),
        ("content[1]", "b"),
        ("x.y[0]", "c"),
    ]


@pytest.mark.parametrize(
    ("fields", "flagged"),
    [
        ({"role": "assistant"}, True),
        ({"role": "user"}, False),
        ({"role": "user", "train": True}, True),
        ({"role": "assistant", "train": False}, False),
        ({"role": "assistant", "weight": 0}, False),
        ({"role": "assistant", "weight": 1}, True),
        ({"role": "assistant", "loss": False}, False),
        ({"role": "assistant", "training": False}, False),
        ({"role": "assistant", "train": None, "weight": 0}, False),
        ({"role": "assistant", "train": None}, True),
        ({"role": "assistant", "train": True, "weight": 0}, True),
        ({"role": "assistant", "trainable": False}, False),
        ({"role": "assistant", "loss_mask": 0}, False),
        ({"role": "assistant", "train": "False"}, False),
        ({"role": "user", "train": "true"}, True),
    ],
)
def test_flags_of_trainers_are_read(fields: dict[str, Any], flagged: bool) -> None:
    """The first that is set decides; without one the role does."""
    assert is_flagged(fields) is flagged
