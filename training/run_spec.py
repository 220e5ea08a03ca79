"""All fields of a run's spec, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from training.spec_parts import (
    BlockSpec,
    Count,
    DataSpec,
    EngineSpec,
    EvalSpec,
    LoraSpec,
    Method,
    Positive,
    PreferenceSpec,
    PublishSpec,
    Rate,
    SamplingSpec,
    SpeedSpec,
    Strict,
)  # fmt: skip

RATES: Mapping[Method, tuple[float, float]] = {
    Method.SFT: (2e-4, 2e-5),
    Method.LM: (2e-4, 2e-5),
    Method.DPO: (2e-5, 1e-6),
    Method.ORPO: (5e-5, 8e-6),
    Method.KTO: (2e-5, 1e-6),
    Method.REWARD: (1e-4, 1e-5),
}
"""The usual learning rate of a method, with LoRA and for all weights."""


def _data(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _lora(value: Any) -> Any:
    return None if value is False else {} if value is True else value


def _method(value: Any) -> Any:
    if value not in list(Method):
        raise ValueError(f"there is no {value!r:.60}; there are: {', '.join(Method)}")
    return Method(value)


class RunSpec(Strict):
    """A whole run. Lengths are tokens; rates are per step; `max_steps` wins over `epochs`."""

    model: str = Field(min_length=1)
    data: Annotated[DataSpec, BeforeValidator(_data)]
    name: str = ""
    revision: str = ""
    template: str = ""
    special_tokens: dict[str, Any] = Field(default_factory=dict)
    method: Annotated[Method, BeforeValidator(_method)] = Method.SFT
    strategy: str = "traced"
    options: dict[str, Any] = Field(default_factory=dict)
    keep: str = "all"
    max_length: Count = 1024
    truncation: str = "keep_start"
    preference: PreferenceSpec = Field(default_factory=PreferenceSpec)
    blocks: BlockSpec = Field(default_factory=BlockSpec)
    packing: bool = False
    lora: Annotated[LoraSpec | None, BeforeValidator(_lora)] = Field(default_factory=LoraSpec)
    quantization: Literal["none", "4bit", "8bit"] = "none"
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    learning_rate: Rate | None = None
    scheduler: str = "cosine"
    warmup: Rate = 0.03
    optimizer: str = "adamw_torch"
    weight_decay: Rate = 0.0
    max_grad_norm: Positive = 1.0
    micro_batch: Count = 4
    accumulation: Count = 1
    epochs: Positive = 3.0
    max_steps: Count | None = None
    group_by_length: bool = False
    activation_checkpointing: bool = False
    evaluation: EvalSpec = Field(default_factory=EvalSpec)
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    speed: SpeedSpec = Field(default_factory=SpeedSpec)
    log_every: Count = 1
    save_every: Count | None = None
    keep_checkpoints: Count = 2
    report: list[Literal["tensorboard", "trackio"]] = Field(default_factory=list)
    publish: PublishSpec | None = None
    engine: EngineSpec = Field(default_factory=EngineSpec)
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate, or what suits the method with LoRA and with all weights."""
        adapter, full = RATES[self.method]
        return self.learning_rate if self.learning_rate is not None else full if self.lora is None else adapter

    @property
    def losses(self) -> list[str]:
        """The names of the method's losses."""
        return self.preference.loss or {Method.DPO: ["sigmoid"], Method.KTO: ["kto"]}.get(self.method, [])

    @property
    def trained_by(self) -> str:
        """The strategy that says what trains: language modelling trains everything."""
        return "full" if self.method is Method.LM else self.strategy

    @property
    def modifiers(self) -> dict[str, Any]:
        """What the inspector is told beside the strategy."""
        length = None if self.method is Method.LM else self.max_length
        return {"keep": self.keep, "max_length": length, "truncation": self.truncation}

    def to_yaml(self) -> str:
        """The spec as a person would write it: without what is at its default."""
        import yaml

        values = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
