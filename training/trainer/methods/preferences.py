"""Shared code of the preference trainers: rows of answers whose trained tokens are the inspector's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from training.rows.dataset import shown, written_rows
from training.run.folder import RunDir
from training.spec import RunSpec, SpeedSpec
from training.trainer.batches import Cost
from training.trainer.methods.arguments import common_arguments
from training.trainer.pairs import AnswerBatcher, prompts_once
from training.trainer.proof import PROVEN, ProvingCollator
from training.trainer.proven import Proven
from training.trainer.speed import allowed_pair_speed, backbone_of, head_where_trained
from training.weights.load import complete_head, lora_config

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


class AnswerTrainer(Proven):
    """A mixin for trl's preference trainers, whose loss it does not change.

    `speed.shared_prompt`: the prompt of a pair is computed once for both answers; `speed.head`: the LM head is computed
    only where the next token trains.
    """

    model: Any

    def __init__(self, *args: Any, speed: SpeedSpec, cost: Cost, **kwargs: Any) -> None:
        self.speed, self.cost = speed, cost
        super().__init__(*args, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """trl's loss of a batch, from fewer tokens if prompts are shared."""
        with self._faster():
            return super().compute_loss(model, self._without_proof(inputs), *args, **kwargs)  # type: ignore[misc]

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The reference's log probabilities of a batch, before the training."""
        with self._faster(model):
            return super().compute_ref_log_probs(model, self._without_proof(inputs))  # type: ignore[misc]

    def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
        """Do nothing: rows are already inspected, cut, and written."""
        return dataset

    @contextmanager
    def _faster(self, *models: Any) -> Iterator[None]:
        used = {
            id(model): model for model in (*models, self.model, getattr(self, "ref_model", None)) if model is not None
        }
        backbones = {id(one): one for one in map(backbone_of, used.values()) if one is not None}
        with ExitStack() as stack:
            if self.speed.shared_prompt:
                stack.enter_context(prompts_once(list(backbones.values()), self.cost))
            if self.speed.head:
                stack.enter_context(head_where_trained(list(used.values())))
            yield

    @staticmethod
    def _without_proof(inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in inputs.items() if name != PROVEN}


def build_answer_trainer(
    trainer: Callable[..., Any],
    config: Callable[..., Any],
    spec: RunSpec,
    run: RunDir,
    weights: Any,
    tokenizer: Any,
    callbacks: list[Any],
    *,
    kl: bool = False,
    arguments: dict[str, Any],
    **others: Any,
) -> tuple[Any, ProvingCollator]:
    """A trainer over written rows, and its collator. `arguments`: the method's settings; `others`: the trainer's."""
    speed = allowed_pair_speed(spec.speed, weights, spec.max_length)
    rows, evaluated = written_rows(run)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    batcher = AnswerBatcher(pad=pad or 0, cut=speed.cut, kl=kl)
    collator = ProvingCollator(batcher, shown(rows, cut=speed.cut) | shown(evaluated, cut=speed.cut))
    common = common_arguments(spec, run.checkpoints, evaluates=evaluated is not None)
    made = trainer(
        model=weights,
        args=config(**{**common, "remove_unused_columns": False, **arguments}),
        train_dataset=rows,
        eval_dataset=evaluated,
        data_collator=collator,
        processing_class=tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights, tokenizer),
        callbacks=callbacks,
        speed=speed,
        cost=Cost.of(weights),
        **others,
    )
    complete_head(made.model)
    return made, collator
