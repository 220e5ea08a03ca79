"""Answers to fixed questions, before, during and after: greedy, so that a difference is the training's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inspector.conversation import TEXT_ROLE, Conversation, Message
from inspector.errors import InspectorError
from inspector.model.model import Model
from inspector.rendering import sandbox
from inspector.trainers.stops import stop_strings
from training.rows.prepare import PreparedRow
from training.spec import SamplingSpec

ASKED = 3
"""Questions taken from the rows, where the spec names none."""
PROMPT_TOKENS = 16
"""How much of a text is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, rendered, and the answer that the data has, if it is from there."""

    messages: tuple[Message, ...]
    prompt: str
    reference: str | None

    @property
    def text(self) -> str:
        """The last message's words."""
        return str(self.messages[-1].get("content") or "")


def questions(sampling: SamplingSpec, rows: Sequence[PreparedRow], model: Model) -> list[Question]:
    """The spec's prompts; without any, the first rows up to their last answer, each once. What does not render is left
    out."""
    asked: list[tuple[Conversation, str | None]] = [
        (Conversation.parse([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt), None)
        for prompt in sampling.prompts
    ]
    if not asked:
        for row in rows:
            if row.conversation.role(0) == TEXT_ROLE:
                continue
            answers = row.conversation.assistant_indices()
            if answers and answers[-1] and len(asked) < ASKED:
                before = Conversation(messages=row.conversation.messages[: answers[-1]], tools=row.conversation.tools)
                if all(before != known for known, _ in asked):
                    asked.append((before, str(row.conversation.messages[answers[-1]].get("content") or "")))
    out = []
    for conversation, reference in asked:
        _, source = model.template_for(conversation.tools is not None)
        try:
            (text,) = sandbox.texts(
                source, [conversation.with_keywords(add_generation_prompt=True)], model.special_tokens
            )
        except InspectorError:
            continue
        if isinstance(text, str):
            out.append(Question(messages=conversation.messages, prompt=text, reference=reference))
    return out or [_begun(row) for row in rows[:ASKED] if row.conversation.role(0) == TEXT_ROLE]


def _begun(row: PreparedRow) -> Question:
    """The first tokens of a text, to be gone on from."""
    end = max(1, min(PROMPT_TOKENS, len(row.texts) // 2))
    prompt, rest = "".join(row.texts[:end]), "".join(row.texts[end:])
    return Question(messages=({"role": TEXT_ROLE, "content": prompt},), prompt=prompt, reference=rest)


def write_answers(weights: Any, model: Model, asked: Sequence[Question], max_new_tokens: int) -> list[str]:
    """One greedy answer each, special tokens included so that a missing stop shows. Leaves the weights as they were."""
    return [str(model.tokenizer.decode(ids)) for ids in write_ids(weights, model, asked, max_new_tokens)]


def write_ids(weights: Any, model: Model, asked: Sequence[Question], max_new_tokens: int) -> list[list[int]]:
    """The same answers as ids."""
    import torch

    tokenizer = model.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    was_training = weights.training
    weights.eval()
    stops = {tokenizer.eos_token_id}
    configured = getattr(weights.generation_config, "eos_token_id", None)
    stops |= set(configured if isinstance(configured, list) else [configured])
    texts = stop_strings(model)
    out = []
    try:
        with torch.no_grad():
            for question in asked:
                ids = tokenizer(question.prompt, add_special_tokens=False, return_tensors="pt").to(weights.device)
                written = weights.generate(
                    **ids, do_sample=False, max_new_tokens=max_new_tokens, use_cache=True,
                    eos_token_id=[stop for stop in stops if stop is not None] or None,
                    pad_token_id=pad, **({"stop_strings": texts, "tokenizer": tokenizer} if texts else {}),
                )  # fmt: skip
                out.append(written[0][ids["input_ids"].shape[1] :].tolist())
    finally:
        weights.train(was_training)
    return out
