"""transformers' and TRL's own masks for one example, without a trainer, and ours beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import StrategyRefusedError
from inspector.strategies import Example, Reason, label


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ids and bits, or that the row is refused or dropped (`said`: why)."""

    ids: list[int] | None
    bits: list[bool] | None
    said: str = ""


def ours(example: Example, strategy: str, **options: Any) -> Outcome:
    """Our labels, with the ids that they stand over, without those that are cut."""
    try:
        labelled = label(example, strategy, options)
    except StrategyRefusedError as error:
        return Outcome(None, None, str(error))
    kept = [index for index, reason in enumerate(labelled.reasons) if reason is not Reason.CUT]
    ids = (labelled.example or example).tokens.ids
    return Outcome([ids[index] for index in kept], [labelled.trained[index] for index in kept])


def differs(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes differ, from token 1 on: nothing is ever trained at token 0."""
    if one.bits is None or other.bits is None:
        return (one.bits is None) != (other.bits is None)
    return one.ids != other.ids or one.bits[1:] != other.bits[1:]


def transformers_mask(example: Example, template: str, max_length: int | None = None) -> Outcome:
    """What transformers' `return_assistant_tokens_mask` says."""
    conversation = example.conversation
    try:
        encoded = example.tokenizer.apply_chat_template(
            list(conversation.messages),
            chat_template=template,
            tools=None if conversation.tools is None else list(conversation.tools),
            documents=None if conversation.documents is None else list(conversation.documents),
            return_dict=True,
            return_assistant_tokens_mask=True,
            truncation=max_length is not None,
            max_length=max_length,
            **conversation.keywords,
        )
    except Exception as error:
        return Outcome(None, None, str(error))
    return Outcome(list(encoded["input_ids"]), [bool(bit) for bit in encoded["assistant_masks"]])


def trl_rows(tokenizer: Any, row: Mapping[str, Any], template: str | None, **options: Any) -> list[dict[str, Any]]:
    """Rows as SFTTrainer prepares them, without a trainer: the same function, on one row."""
    from datasets import IterableDataset
    from trl import SFTConfig, SFTTrainer

    completion = options.pop("completion", False)
    settings = SFTConfig(**_settings(), shuffle_dataset=False, **{"max_length": None, **options})
    trainer = SimpleNamespace(_tokenizer=tokenizer, completion_only_loss=completion, chat_template=template)
    rows = IterableDataset.from_generator(lambda: iter([dict(row)]))
    return list(SFTTrainer._prepare_dataset(trainer, rows, tokenizer, settings, False, None, "train"))


def dpo_rows(tokenizer: Any, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows as DPOTrainer prepares them."""
    from datasets import IterableDataset
    from trl import DPOConfig, DPOTrainer

    rows = IterableDataset.from_generator(lambda: iter([dict(row)]))
    settings = DPOConfig(**_settings(), max_length=None)
    return list(DPOTrainer._prepare_dataset(SimpleNamespace(_tokenizer=tokenizer), rows, tokenizer, settings, "train"))


def _settings() -> dict[str, Any]:
    return {"output_dir": "never-written", "use_cpu": True, "report_to": "none", "bf16": False}


def _row(conversation: Conversation, **messages: Any) -> dict[str, Any]:
    row: dict[str, Any] = {**messages, "chat_template_kwargs": dict(conversation.keywords)}
    if conversation.documents is not None:
        row["chat_template_kwargs"]["documents"] = list(conversation.documents)
    return row | ({} if conversation.tools is None else {"tools": list(conversation.tools)})


def with_template(example: Example, work: Callable[[Any], Any]) -> Any:
    """Run `work` with the tokenizer holding the example's template, as a trainer would find it."""
    tokenizer, kept = example.tokenizer, example.tokenizer.chat_template
    tokenizer.chat_template = example.template
    try:
        return work(tokenizer)
    finally:
        tokenizer.chat_template = kept


def trl_assistant_only(example: Example, max_length: int | None = None) -> Outcome:
    """What SFTTrainer trains with assistant_only_loss: its own choice of template, then its own preparation."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    row = _row(example.conversation, messages=list(example.conversation.messages))

    def work(tokenizer: Any) -> list[dict[str, Any]]:
        template = None if has_generation_markers(example.template) else get_training_chat_template(tokenizer)
        return trl_rows(tokenizer, row, template, assistant_only_loss=True, max_length=max_length)

    return _first_row(example, work)


def trl_completion_only(example: Example) -> Outcome:
    """What SFTTrainer trains on a prompt/completion row."""
    prompt, answer = _parted(example)
    row = _row(example.conversation, prompt=prompt, completion=answer)
    return _first_row(example, lambda tokenizer: trl_rows(tokenizer, row, None, completion=True))


def trl_dpo(example: Example, rejected: str) -> Outcome:
    """The chosen row as DPOTrainer prepares it."""
    prompt, answer = _parted(example)
    other = [{"role": "assistant", "content": rejected}]
    row = _row(example.conversation, prompt=prompt, chosen=answer, rejected=other)
    try:
        (found,) = with_template(example, lambda tokenizer: dpo_rows(tokenizer, row))
    except Exception as error:
        return Outcome(None, None, str(error))
    known, answered = found["prompt_ids"], found["chosen_ids"]
    return Outcome([*known, *answered], [False] * len(known) + [True] * len(answered))


def _first_row(example: Example, work: Callable[[Any], list[dict[str, Any]]]) -> Outcome:
    try:
        rows = with_template(example, work)
    except Exception as error:
        return Outcome(None, None, str(error))
    if not rows:
        return Outcome([], [], "dropped")
    return Outcome(rows[0]["input_ids"], [label != -100 for label in rows[0]["labels"]])


def _parted(example: Example) -> tuple[list[Any], list[Any]]:
    messages, answers = list(example.conversation.messages), example.conversation.assistant_indices()
    at = answers[-1] if answers else len(messages)
    return messages[:at], messages[at:]
