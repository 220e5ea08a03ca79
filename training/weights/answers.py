"""Greedy answers, so that differences come from the training: to fixed questions of a run, and to its users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.conversation import TEXT_ROLE, Conversation, Message, words_of
from inspector.errors import InspectorError
from inspector.model.model import Model
from inspector.pictures import sources, without_data
from inspector.rendering import sandbox
from inspector.trainers.stops import stop_strings
from training.rows.prepare import PreparedRow
from training.spec import SamplingSpec

ASKED = 3
"""Number of questions taken from the rows if the spec names none."""
PROMPT_TOKENS = 16
"""Number of first tokens of a text that are used as a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A rendered question, and the data's answer if it comes from the data."""

    messages: tuple[Message, ...]
    prompt: str
    reference: str | None

    @property
    def text(self) -> str:
        """The text of the last message."""
        return words_of(self.messages[-1])

    @property
    def images(self) -> tuple[str, ...]:
        """The images in the question, in order."""
        return tuple(source for _, _, source in sources(self.messages) if source)


def questions(sampling: SamplingSpec, rows: Sequence[PreparedRow], model: Model) -> list[Question]:
    """The spec's prompts; without any, the first rows up to their last answer, each once. Prompts that do not render
    are left out."""
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
                    asked.append((before, words_of(row.conversation.messages[answers[-1]])))
    out = []
    for conversation, reference in asked:
        try:
            prompt = prompt_of(model, conversation)
        except InspectorError:
            continue
        out.append(Question(messages=conversation.messages, prompt=prompt, reference=reference))
    return out or [_begun(row) for row in rows[:ASKED] if row.conversation.role(0) == TEXT_ROLE]


def prompt_of(model: Model, conversation: Conversation) -> str:
    """The prompt for an answer to a conversation. Raises RenderError if its template refuses it."""
    _, source = model.template_for(conversation.tools is not None)
    shown = without_data(conversation.with_keywords(add_generation_prompt=True))
    (text,) = sandbox.texts(source, [shown], model.special_tokens)
    if isinstance(text, Exception):
        raise text
    return text


def _begun(row: PreparedRow) -> Question:
    """The first tokens of a text, as a prompt."""
    end = max(1, min(PROMPT_TOKENS, len(row.texts) // 2))
    prompt, rest = "".join(row.texts[:end]), "".join(row.texts[end:])
    return Question(messages=({"role": TEXT_ROLE, "content": prompt},), prompt=prompt, reference=rest)


def write_answers(weights: Any, model: Model, asked: Sequence[Question], max_new_tokens: int) -> list[str]:
    """One greedy answer each, with special tokens so that a missing stop shows. Does not change the weights."""
    return [str(model.tokenizer.decode(ids)) for ids in write_ids(weights, model, asked, max_new_tokens)]


def write_ids(weights: Any, model: Model, asked: Sequence[Question], max_new_tokens: int) -> list[list[int]]:
    """The same answers as ids."""
    was_training = weights.training
    weights.eval()
    try:
        return [
            generate(weights, model, question.prompt, max_new_tokens, images=question.images)[1] for question in asked
        ]
    finally:
        weights.train(was_training)


def generate(
    weights: Any,
    model: Model,
    prompt: str,
    max_new_tokens: int,
    *,
    images: Sequence[str] = (),
    stops: Iterable[int] = (),
    on_ids: Callable[[list[int]], bool] | None = None,
) -> tuple[list[int], list[int]]:
    """The ids of a prompt, and those of the greedy answer to it, its stop token included.

    `images`: the images for the prompt's placeholders. `stops`: ids that end the answer, besides those of the tokenizer
    and the weights. `on_ids`: called with the answer's ids after each new one; the answer ends if it returns True.
    """
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    tokenizer = model.tokenizer
    if images and model.processor is not None:
        arrays = model.processor.encoded(prompt, images)
        given = {name: torch.from_numpy(array).to(weights.device) for name, array in arrays.items()}
    else:
        given = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(weights.device)
    start = given["input_ids"].shape[1]

    class Watched(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, *_: Any, **__: Any) -> Any:
            is_over = on_ids is not None and on_ids(input_ids[0][start:].tolist())
            return torch.full((input_ids.shape[0],), is_over, dtype=torch.bool, device=input_ids.device)

    texts = stop_strings(model)
    with torch.no_grad():
        written = weights.generate(
            **given, do_sample=False, max_new_tokens=max_new_tokens, use_cache=True,
            eos_token_id=sorted({*stops, *end_ids(weights, tokenizer)}) or None,
            pad_token_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
            **({"stop_strings": texts, "tokenizer": tokenizer} if texts else {}),
            **({"stopping_criteria": StoppingCriteriaList([Watched()])} if on_ids else {}),
        )  # fmt: skip
    ids = written[0].tolist()
    return ids[:start], ids[start:]


def end_ids(weights: Any, tokenizer: Any) -> set[int]:
    """The ids at which an answer ends: the tokenizer's and the weights' own."""
    configured = getattr(weights.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])}
    return {end for end in ends if end is not None}
