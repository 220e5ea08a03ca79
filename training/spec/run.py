"""All fields of a run's spec, with their defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from inspector.errors import quoted
from training.spec.methods import FACTS, Method, MethodFacts
from training.spec.parts import (
    BlockSpec,
    Count,
    DataSpec,
    EngineSpec,
    EvalSpec,
    LoraSpec,
    Positive,
    PreferenceSpec,
    PublishSpec,
    Rate,
    SamplingSpec,
    SpeedSpec,
    Strict,
)  # fmt: skip

if TYPE_CHECKING:
    from inspector.strategies import Rule


def _data(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _lora(value: Any) -> Any:
    return None if value is False else {} if value is True else value


def _method(value: Any) -> Any:
    if value not in list(Method):
        raise ValueError(f"there is no {quoted(value)}; there are: {', '.join(Method)}")
    return Method(value)


class RunSpec(Strict):
    """The spec of a run. Lengths are in tokens; rates are per step; `max_steps` overrides `epochs`."""

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
    as_given: list[str] = Field(default_factory=list)
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
    def facts(self) -> MethodFacts:
        """The facts of its method."""
        return FACTS[self.method]

    @property
    def rate(self) -> float:
        """The learning rate; by default one that suits the method with LoRA or with all weights."""
        adapter, full = self.facts.rates
        return self.learning_rate if self.learning_rate is not None else full if self.lora is None else adapter

    @property
    def losses(self) -> list[str]:
        """The names of the method's losses."""
        return self.preference.loss or list(self.facts.losses[:1])

    @property
    def estimates_kl(self) -> bool:
        """Whether its loss uses a KL that is estimated over the other rows of a micro-batch."""
        return bool(self.facts.kl_loss) and self.losses == [self.facts.kl_loss]

    @property
    def trained_by(self) -> str:
        """The strategy that decides what trains: language modelling trains everything."""
        return "full" if self.facts.is_in_blocks else self.strategy

    @property
    def modifiers(self) -> dict[str, Any]:
        """The modifiers for the inspector."""
        length = None if self.facts.is_in_blocks else self.max_length
        return {"keep": self.keep, "max_length": length, "truncation": self.truncation, "as_given": self.as_given}

    @property
    def rule(self) -> Rule:
        """The rule for the inspector. Raises StrategyError."""
        from inspector.strategies import Modifiers, Rule

        return Rule(strategy=self.trained_by, options=self.options, modifiers=Modifiers.parse(self.modifiers))

    def to_yaml(self) -> str:
        """The spec as a person would write it: without defaults."""
        import yaml

        values = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
