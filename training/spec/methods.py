"""The facts of each training method in one table: rows, rates, losses, reference, output.

The trainers themselves are in training.trainer.methods, one file per method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Method(StrEnum):
    """The objective of the training."""

    SFT = "sft"
    """Supervised fine-tuning: the probability of the trained tokens."""
    LM = "lm"
    """Language modelling: the probability of every token, rows end to end in blocks."""
    DPO = "dpo"
    """Direct preference optimisation: the chosen answer over the rejected one, against a reference model."""
    ORPO = "orpo"
    """Odds ratio preference optimisation: the chosen answer, and its odds over the rejected one; no reference."""
    KTO = "kto"
    """Kahneman-Tversky optimisation: answers that are good or bad, each alone, against a reference model."""
    REWARD = "reward"
    """A reward model: one number for a conversation, higher for the chosen one."""


class Answers(StrEnum):
    """The answers that a row of a method compares."""

    NONE = "none"
    """Nothing: a row is a conversation."""
    PAIRS = "pairs"
    """A chosen and a rejected answer."""
    JUDGED = "judged"
    """One answer, good or bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFacts:
    """The facts of a method.

    `rates`: the usual learning rate with LoRA, and for all weights. `answers`: the answers that a row compares.
    `losses`: trl's names, the default first; empty if the method has a single loss without a name. `takes_one_loss`:
    whether losses cannot be summed. `has_reference`: whether its losses use a reference model. `kl_loss`: the loss that
    estimates its KL over the other rows of a micro-batch. `is_reward`: whether it gives a number for a row instead of
    text. `is_in_blocks`: whether it trains every token, with rows end to end. `trainer`: the module of
    training.trainer.methods.
    """

    trainer: str
    rates: tuple[float, float]
    answers: Answers = Answers.NONE
    losses: tuple[str, ...] = ()
    takes_one_loss: bool = False
    has_reference: bool = False
    kl_loss: str = ""
    is_reward: bool = False
    is_in_blocks: bool = False

    @property
    def compares(self) -> bool:
        """Whether rows have answers that are compared or judged; the text before them does not train."""
        return self.answers is not Answers.NONE

    @property
    def answers_per_row(self) -> int:
        """The number of answers of a row."""
        return 2 if self.answers is Answers.PAIRS else 1

    @property
    def model_class(self) -> str:
        """The name of transformers' class."""
        return "AutoModelForSequenceClassification" if self.is_reward else "AutoModelForCausalLM"

    @property
    def head(self) -> dict[str, Any]:
        """Further arguments for loading its class."""
        return {"num_labels": 1} if self.is_reward else {}

    @property
    def task_type(self) -> str:
        """peft's name for the task."""
        return "SEQ_CLS" if self.is_reward else "CAUSAL_LM"

    @property
    def pipeline_tag(self) -> str:
        """The hub's name for the task."""
        return "text-classification" if self.is_reward else "text-generation"


FACTS: Mapping[Method, MethodFacts] = {
    Method.SFT: MethodFacts(trainer="sft", rates=(2e-4, 2e-5)),
    Method.LM: MethodFacts(trainer="sft", rates=(2e-4, 2e-5), is_in_blocks=True),
    Method.DPO: MethodFacts(
        trainer="dpo", rates=(2e-5, 1e-6), answers=Answers.PAIRS, has_reference=True,
        losses=(
            "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
            "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
        ),
    ),
    Method.ORPO: MethodFacts(trainer="orpo", rates=(5e-5, 8e-6), answers=Answers.PAIRS),
    Method.KTO: MethodFacts(
        trainer="kto", rates=(2e-5, 1e-6), answers=Answers.JUDGED, has_reference=True,
        losses=("kto", "apo_zero_unpaired"), takes_one_loss=True, kl_loss="kto",
    ),
    Method.REWARD: MethodFacts(trainer="reward", rates=(1e-4, 1e-5), answers=Answers.PAIRS, is_reward=True),
}  # fmt: skip
