"""Direct preference optimisation (Rafailov et al. 2023): trl's DPOTrainer."""

from __future__ import annotations

from typing import Any

from trl import DPOConfig, DPOTrainer

from training.run.folder import RunDir
from training.spec import RunSpec
from training.trainer.methods.preferences import AnswerTrainer, build_answer_trainer
from training.trainer.proof import ProvingCollator
from training.weights.load import load_reference


class ProvenDPO(AnswerTrainer, DPOTrainer):  # type: ignore[misc]
    """trl's trainer over proven rows."""


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches. Raises ValueError, SpecError, DeviceError, OSError."""
    given = spec.preference
    arguments = {
        "beta": given.beta,
        "loss_type": list(spec.losses),
        "loss_weights": list(given.loss_weights) or None,
        "label_smoothing": given.label_smoothing,
        "precompute_ref_log_probs": given.precompute,
    }
    return build_answer_trainer(
        ProvenDPO, DPOConfig, spec, run, weights, tokenizer, callbacks, arguments=arguments,
        ref_model=load_reference(spec, weights),
    )  # fmt: skip
