"""The parts of a run's spec: each is a block of the YAML, checked strictly by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Strict(BaseModel):
    """Frozen and strict: no unknown fields, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    """A float from YAML, which reads 2e-4 as text, and 1 as an int."""
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
    """The groups of linear layers that get LoRA matrices."""

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
    """The comparison of answers, for dpo, orpo and kto.

    `beta`: the weight of a difference from the reference; in orpo the share of the odds ratio. `loss`: trl's names of
    the losses, which are summed with `loss_weights`. `reference`: a model's name; empty for the model before the
    training. `precompute`: whether the reference's probabilities are computed once, before the first step.
    `max_prompt_length`: the number of last tokens kept of the prompt; `max_completion_length`: of first tokens kept of
    each answer. `desirable_weight`, `undesirable_weight`: the weights of kto's good and bad answers.
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
    """For lm: rows are joined into blocks of `size` tokens, by default max_length.

    `add_eos`: add eos after each text.
    """

    size: Count | None = None
    add_eos: bool = False


class PublishSpec(Strict):
    """The place for the result of a successful run: `repo` on the hub, `user/name`. `merged`: the whole model instead
    of the adapter. The token is that of HF_TOKEN, and never stored."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    private: bool = True
    merged: bool = False


class EngineSpec(Strict):
    """The place where the worker runs. `processes`: the number that train together, through accelerate;
    `accelerate_config`: a file written by `accelerate config`, for GPUs, nodes, FSDP. `flavor`: a machine of Hugging
    Face Jobs instead of this one, for at most `timeout`, such as "90m" or "4h"."""

    processes: Count = 1
    accelerate_config: str = ""
    flavor: str = ""
    timeout: Annotated[str, Field(pattern=r"^(\d+(\.\d+)?[smhd])?$")] = ""


class EndpointSpec(Strict):
    """A server that speaks OpenAI's chat completions. `url` up to `/v1`; `key_variable`: the environment variable that
    holds its key, or empty."""

    url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    key_variable: str = ""


class SamplingSpec(Strict):
    """Answers before, after and during the training; `prompts` are the last messages of conversations.

    `endpoint`: a server whose answers to the same prompts are shown next to them.
    """

    prompts: list[str | list[dict[str, Any]]] = Field(default_factory=list)
    every: Count | None = None
    max_new_tokens: Count = 48
    endpoint: EndpointSpec | None = None


class SpeedSpec(Strict):
    """Ways to compute the same loss and the same gradients in less time; one that would change them is not used.

    `cut`: a row ends after its last trained token, since later tokens cannot change its loss. `head`: the LM head is
    computed only where the next token is trained. `padding_free`: the rows of a micro-batch are joined end to end, and
    each sees only itself; `auto` does so if it is expected to be faster. `shared_prefix`: the common beginning of the
    rows of a micro-batch is computed once. Rows with the same beginning then come into the same steps, so their order
    changes. `shared_prompt`: the prompt of a pair is computed once for both answers.
    """

    cut: bool = True
    head: bool = True
    padding_free: Literal["auto", True, False] = "auto"
    shared_prefix: bool = False
    shared_prompt: bool = True


class EvalSpec(Strict):
    """Held-out rows: `data`, or a `share` of the rows.

    `patience`: evaluations without improvement before the run ends.
    """

    data: DataSpec | None = None
    share: Share = 0.0
    every: Count | None = None
    patience: Count | None = None
