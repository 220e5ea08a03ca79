"""A reward model (Bradley and Terry 1952; Ouyang et al. 2022): trl's RewardTrainer."""

from __future__ import annotations

from typing import Any

from trl import RewardConfig, RewardTrainer

from training.errors import Problem, SpecError
from training.rows.dataset import written_rows
from training.run.folder import RunDir
from training.spec import RunSpec
from training.trainer.methods.preferences import AnswerTrainer, build_answer_trainer
from training.trainer.proof import ProvingCollator


class ProvenReward(AnswerTrainer, RewardTrainer):  # type: ignore[misc]
    """trl's trainer over proven rows."""

    @staticmethod
    def _without_proof(inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches.

    Raises ValueError, and SpecError if the reward would be read in another place than shown: the model reads it at the
    last token that is not the pad token.
    """
    rows, _ = written_rows(run)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ends = {ids[-1] for name in ("input_ids", "rejected_input_ids") for ids in rows[name]}
    if pad in ends:
        message = (
            f"rows end in {tokenizer.decode([pad])!r}, which is the pad token: their rewards would be read before it."
        )
        remedy = "Set special_tokens: {pad_token: '[PAD]'}, or the name of a token that no row has."
        raise SpecError([Problem(field="special_tokens.pad_token", severity="error", message=message, remedy=remedy)])
    return build_answer_trainer(ProvenReward, RewardConfig, spec, run, weights, tokenizer, callbacks, arguments={})
