"""The parts of a run's spec: each a block of the YAML, strict by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Strict(BaseModel):
    """No unknown fields, no changes, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    """YAML reads 2e-4 as a text, and 1 as an int where a float is wanted."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 1_000
    return float(value) if is_whole else value


Rate = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class ModuleGroup(StrEnum):
    """Which linear layers get LoRA matrices, by what they do."""

    ALL_LINEAR = "all-linear"
    ATTENTION = "attention"
    MLP = "mlp"


class DataSpec(Strict):
    """Rows: a file, folder or hub id (`name`), as the inspector's DataSource takes it; `map` as `formats.detect`."""

    name: str = Field(min_length=1)
    split: str = ""
    config: str = ""
    revision: str = ""
    map: dict[str, str] = Field(default_factory=dict)
    limit: Count | None = None


class LoraSpec(Strict):
    """LoRA matrices. `modules`: a group, several, or the layers' own names; `rslora` scales by alpha / sqrt(rank)."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    modules: str | list[str] = ModuleGroup.ALL_LINEAR.value
    modules_to_save: list[str] = Field(default_factory=list)
    dora: bool = False
    rslora: bool = False
    merge: bool = False


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class PreferenceSpec(Strict):
    """How answers are compared, for dpo, orpo and kto.

    `beta`: how much a difference from the reference weighs; in orpo the odds ratio's share. `loss`: trl's names of the
    losses, whose sum counts by `loss_weights`. `reference`: a model's name; empty for the model before the training.
    `precompute`: the reference's probabilities once, before the first step. `max_prompt_length`: tokens of the prompt
    that stay, its last ones; `max_completion_length`: of each answer, its first ones. `desirable_weight`,
    `undesirable_weight`: of kto's good and bad answers.
    """

    beta: Positive = 0.1
    loss: Annotated[list[str], BeforeValidator(_list)] = Field(default_factory=list)
    loss_weights: list[Positive] = Field(default_factory=list)
    label_smoothing: Share = 0.0
    reference: str = ""
    precompute: bool = False
    max_prompt_length: Count | None = None
    max_completion_length: Count | None = None
    desirable_weight: Positive = 1.0
    undesirable_weight: Positive = 1.0


class BlockSpec(Strict):
    """For lm: rows end to end in blocks of `size` tokens, by default of max_length. `add_eos`: after each text."""

    size: Count | None = None
    add_eos: bool = False


class PublishSpec(Strict):
    """Where the result goes when the run has succeeded: `repo` on the hub, `user/name`. `merged`: the whole model
    instead of the adapter. The token is HF_TOKEN's, and never written down."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    private: bool = True
    merged: bool = False


class EngineSpec(Strict):
    """Where the worker runs. `processes`: how many train together, through accelerate; `accelerate_config`: a file as
    `accelerate config` writes it, for GPUs, nodes, FSDP. `flavor`: a machine of Hugging Face Jobs instead of this one,
    for at most `timeout`, such as "90m" or "4h"."""

    processes: Count = 1
    accelerate_config: str = ""
    flavor: str = ""
    timeout: Annotated[str, Field(pattern=r"^(\d+(\.\d+)?[smhd])?$")] = ""


class EndpointSpec(Strict):
    """A server that speaks OpenAI's chat completions. `url` up to `/v1`; `key_variable`: the environment variable that
    holds its key, empty for none."""

    url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    key_variable: str = ""


class SamplingSpec(Strict):
    """Answers written before and after, and every so many steps; `prompts` are the last messages of conversations.

    `endpoint`: whose answers to the same prompts stand beside them.
    """

    prompts: list[str | list[dict[str, Any]]] = Field(default_factory=list)
    every: Count | None = None
    max_new_tokens: Count = 48
    endpoint: EndpointSpec | None = None


class SpeedSpec(Strict):
    """Ways to the same loss and the same gradients in less time; where one would change them, it is not taken.

    `cut`: a row ends after its last trained token, which nothing after it can change. `head`: the LM head is computed
    only where the next token is trained. `padding_free`: the rows of a micro-batch end to end, each seeing itself
    alone; `auto` where that is expected to be faster. `shared_prefix`: what all rows of a micro-batch begin with is
    computed once. Rows with the same beginning then come into the same steps: the order of the rows is another.
    `shared_prompt`: the prompt of a pair is computed once for both answers.
    """

    cut: bool = True
    head: bool = True
    padding_free: Literal["auto", True, False] = "auto"
    shared_prefix: bool = False
    shared_prompt: bool = True


class EvalSpec(Strict):
    """A held-out part: `data`, or a `share` of the rows. `patience`: evaluations without improvement before the end."""

    data: DataSpec | None = None
    share: Share = 0.0
    every: Count | None = None
    patience: Count | None = None
