"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): trl's KTOTrainer."""

from __future__ import annotations

from typing import Any

from trl import KTOConfig, KTOTrainer

from training.run.folder import RunDir
from training.spec import RunSpec
from training.trainer.methods.preferences import AnswerTrainer, build_answer_trainer
from training.trainer.proof import ProvingCollator
from training.weights.load import load_reference


class ProvenKTO(AnswerTrainer, KTOTrainer):  # type: ignore[misc]
    """trl's trainer over proven rows. Its KL is estimated over answers that are newly mixed in every micro-batch."""


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches. Raises ValueError, SpecError, DeviceError, OSError."""
    given, (loss,) = spec.preference, spec.losses
    arguments = {
        "beta": given.beta,
        "loss_type": loss,
        "desirable_weight": given.desirable_weight,
        "undesirable_weight": given.undesirable_weight,
        "precompute_ref_log_probs": given.precompute,
        "train_sampling_strategy": "sequential",  # needed by trl, whose mixed answers are fixed
    }
    trainer, collator = build_answer_trainer(
        ProvenKTO, KTOConfig, spec, run, weights, tokenizer, callbacks, arguments=arguments, kl=loss == "kto",
        ref_model=load_reference(spec, weights),
    )  # fmt: skip
    trainer.args.train_sampling_strategy = "random"
    return trainer, collator
