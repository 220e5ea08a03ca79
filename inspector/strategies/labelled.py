"""What a strategy is given, and what it returns: one trained bit and one reason per token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inspector.conversation import Conversation
from inspector.template import Rendered
from inspector.tokens import TokenTable
from inspector.turns import Turn


class Reason(StrEnum):
    """Why a token is trained, or why it is not."""

    ANSWER = "answer"
    """Trained: the assistant's own words."""
    SCAFFOLD = "scaffold"
    """Trained: template text inside the answer, which the model has to write (`<think>`, a closing tag)."""
    STOP = "stop"
    """Trained: the token that ends the turn."""
    EVERY_TOKEN = "every_token"
    """Trained: the policy trains everything."""
    FIRST_TOKEN = "first_token"
    """Not trained: nothing comes before the first token that could predict it."""
    CONTEXT = "context"
    """Not trained: not the text of a turn that is trained."""
    HEADER = "header"
    """Not trained: the generation prompt supplies it at inference."""
    AFTER_STOP = "after_stop"
    """Not trained: stands behind the stop token, where the model no longer writes."""
    GENERATION_PROMPT = "generation_prompt"
    """Not trained: the header of an answer that is still to come."""
    POLICY = "policy"
    """Not trained: part of an assistant turn that the chosen policy leaves out."""
    STRADDLER = "straddler"
    """Not trained: merges trained with untrained characters, and the policy leaves such tokens out."""

    @property
    def is_trained(self) -> bool:
        """Whether this is a reason for training."""
        return self in {Reason.ANSWER, Reason.SCAFFOLD, Reason.STOP, Reason.EVERY_TOKEN}


REASON_TEXTS: Mapping[Reason, str] = {
    Reason.ANSWER: "trained: the assistant's own words",
    Reason.SCAFFOLD: "trained: template text inside the answer, which the model has to write",
    Reason.STOP: "trained: the stop token of the turn",
    Reason.EVERY_TOKEN: "trained: the policy trains every token",
    Reason.FIRST_TOKEN: "not trained: nothing before the first token could predict it",
    Reason.CONTEXT: "not trained: not the text of a trained turn",
    Reason.HEADER: "not trained: the generation prompt supplies it",
    Reason.AFTER_STOP: "not trained: stands behind the stop token",
    Reason.GENERATION_PROMPT: "not trained: a trailing generation prompt",
    Reason.POLICY: "not trained: left out by the policy",
    Reason.STRADDLER: "not trained: merges trained with untrained characters",
}
"""One short sentence a reason, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A rendered and tokenized conversation: what a strategy decides over."""

    conversation: Conversation
    rendered: Rendered
    tokens: TokenTable
    turns: Mapping[int, Turn]
    tokenizer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One strategy's answer. Both tuples have one entry per token.

    `mixed`: indices of the tokens that hold both trained and untrained characters.
    """

    trained: tuple[bool, ...]
    reasons: tuple[Reason, ...]
    mixed: tuple[int, ...] = ()

    def labels(self, ids: tuple[int, ...], ignored: int = -100) -> list[int]:
        """The labels a trainer takes: the id where trained, else `ignored`."""
        return [id if trained else ignored for id, trained in zip(ids, self.trained, strict=True)]
