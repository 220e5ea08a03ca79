"""A setup is everything that decides what an inspection shows; a model takes other special tokens without changing."""

from __future__ import annotations

import re
from typing import Any

import pytest

import inspector
from inspector.errors import SetupError, SpecialTokensError
from inspector.setup import Setup

CHAT = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]


def test_setup_is_what_inspect_would_be_given() -> None:
    """The same tokens and labels as the calls written out."""
    setup = Setup(
        model="tiny-chat", conversation={"messages": CHAT, "add_generation_prompt": True}, template="chatml",
        special_tokens={"pad_token": "[PAD]"}, strategy="responses_only", options={"last_only": True},
        modifiers={"max_length": 16},
    )  # fmt: skip
    model = inspector.load("tiny-chat", template="chatml").with_special_tokens({"pad_token": "[PAD]"})
    by_hand = inspector.inspect(model, setup.conversation, "responses_only", {"max_length": 16}, last_only=True)
    assert setup.inspect().to_dict() == by_hand.to_dict()


def test_setup_survives_json() -> None:
    """Empty fields are left out, and come back empty."""
    setup = Setup(model="tiny-chat", conversation=CHAT, modifiers={"keep": "last_turn"})
    assert setup.to_dict() == {
        "model": "tiny-chat",
        "conversation": CHAT,
        "strategy": "traced",
        "modifiers": {"keep": "last_turn"},
    }
    assert Setup.from_dict(setup.to_dict()) == setup


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "A setup is an object with: model, conversation, "),
        ({"model": "tiny-chat"}, "The setup has no 'conversation'"),
        ({"conversation": CHAT}, "The setup has no 'model'"),
        ({"model": "m", "conversation": CHAT, "mood": 1}, "A setup has no field 'mood'; it has: model, "),
        (
            {"model": "m", "conversation": "Hi"},
            "The setup's 'conversation' is text, and must be a list of messages or an object.",
        ),
        ({"model": 1, "conversation": CHAT}, "The setup's 'model' is a number, and must be text."),
        (
            {"model": "m", "conversation": CHAT, "options": []},
            "The setup's 'options' is a list, and must be an object.",
        ),
    ],
)
def test_setup_of_another_shape_is_refused(value: Any, message: str) -> None:
    """What is wrong with it, by name."""
    with pytest.raises(SetupError, match=re.escape(message)):
        Setup.from_dict(value)


def test_special_tokens_are_added_to_a_copy() -> None:
    """The shared tokenizer stays as it is; a new token has an id of its own."""
    model = inspector.load("tiny-chat")
    size = len(model.tokenizer)
    other = model.with_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["### Human:"]})
    assert (len(model.tokenizer), len(other.tokenizer)) == (size, size + 2)
    assert other.tokenizer.pad_token_id == size
    assert other.tokenizer.encode("### Human:", add_special_tokens=False) == [size + 1]
    assert model.tokenizer.pad_token == "<|pad|>"
    assert model.with_special_tokens({}) is model


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"pad": "x"}, "There is no special token 'pad'; there are: bos_token, eos_token, pad_token"),
        ({"pad_token": ""}, "pad_token is '', and must be a text, none of them empty"),
        ({"eos_token": 3}, "eos_token is 3, and must be a text"),
        ({"additional_special_tokens": "x"}, "additional_special_tokens is 'x', and must be a list of texts"),
        ({"additional_special_tokens": ["a", ""]}, "must be a list of texts, none of them empty"),
    ],
)
def test_special_tokens_that_are_none_are_refused(tokens: dict[str, Any], message: str) -> None:
    """A name no tokenizer has, or no text."""
    with pytest.raises(SpecialTokensError, match=re.escape(message)):
        inspector.load("tiny-chat").with_special_tokens(tokens)
