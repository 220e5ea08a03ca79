"""Odds ratio preference optimisation (Hong et al. 2024): trl's ORPOTrainer.

trl's trainer adds the likelihood of the whole chosen row, including the prompt. Here only the tokens shown as trained
carry a loss, so it is the likelihood of the chosen answer.
"""

from __future__ import annotations

from typing import Any

import torch
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from inspector.strategies.base import IGNORED
from training.run.folder import RunDir
from training.spec import RunSpec
from training.trainer.methods.preferences import AnswerTrainer, build_answer_trainer
from training.trainer.proof import ProvingCollator


class ProvenORPO(AnswerTrainer, ORPOTrainer):  # type: ignore[misc]
    """trl's trainer over proven rows, with its odds ratio."""

    def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:
        """Do nothing: rows are already tokenized."""
        return {}

    def get_batch_loss_metrics(self, model: Any, batch: dict[str, Any], train_eval: Any = "train") -> Any:
        """trl's loss and metrics, without the proof in the batch."""
        with self._faster():
            return super().get_batch_loss_metrics(model, self._without_proof(batch), train_eval)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """trl's loss of a batch."""
        return ORPOTrainer.compute_loss(self, *args, **kwargs)

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
        """(log probability per trained token of the chosen answers, of the rejected ones, logits of both, loss of the
        chosen answers), and the router's loss if there is one."""
        routed = {"output_router_logits": True} if self.aux_loss_enabled else {}
        ids, seen = batch["input_ids"], batch["attention_mask"]
        labels = ids.masked_fill(batch["completion_mask"] == 0, IGNORED)
        outputs = model(input_ids=ids, attention_mask=seen, use_cache=False, **routed)
        probabilities = self.get_batch_logps(outputs.logits, labels, average_log_prob=True)
        chosen, rejected = outputs.logits[:, :-1].chunk(2)
        loss = torch.nn.functional.cross_entropy(chosen.flatten(0, 1), labels.chunk(2)[0][:, 1:].flatten())
        found = (*probabilities.chunk(2), chosen, rejected, loss)
        return (*found, outputs.aux_loss) if self.aux_loss_enabled else found


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches. Raises ValueError, SpecError."""
    return build_answer_trainer(
        ProvenORPO, ORPOConfig, spec, run, weights, tokenizer, callbacks, arguments={"beta": spec.preference.beta}
    )
