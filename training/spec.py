"""What a run trains, on what and how: strict, checked as a whole before anything starts.

A minimal spec is `{model: tiny-chat, data: examples/data/question-answer.csv}`; everything else has a default. Every
problem is found at once and named by its field, with what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from training.errors import Problem, SpecError


class _Strict(BaseModel):
    """No unknown fields, no changes, no guessed types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    """YAML reads 2e-4 as a text, and 1 as an int where a float is wanted."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Rate = Annotated[float, BeforeValidator(_number), Field(ge=0)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class ModuleGroup(StrEnum):
    """Which linear layers get LoRA matrices, by what they do."""

    ALL_LINEAR = "all-linear"
    ATTENTION = "attention"
    MLP = "mlp"


class DataSpec(_Strict):
    """Rows: a file, folder or hub id (`name`), as `inspector.rows.DataSource` takes it; `map` as `formats.detect`."""

    name: str = Field(min_length=1)
    split: str = ""
    config: str = ""
    revision: str = ""
    map: dict[str, str] = Field(default_factory=dict)
    limit: Count | None = None


class LoraSpec(_Strict):
    """LoRA matrices. `modules`: a group, several, or the layers' own names; `rslora` scales by alpha / sqrt(rank)."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    modules: str | list[str] = ModuleGroup.ALL_LINEAR.value
    modules_to_save: list[str] = Field(default_factory=list)
    dora: bool = False
    rslora: bool = False


class EndpointSpec(_Strict):
    """A server that speaks OpenAI's chat completions. `url` up to `/v1`; `key_variable`: the environment variable that
    holds its key, empty for none."""

    url: str = Field(pattern=r"^https?://")
    model: str = Field(min_length=1)
    key_variable: str = ""


class SamplingSpec(_Strict):
    """Answers written before and after, and every so many steps; `prompts` are the last messages of conversations.

    `endpoint`: whose answers to the same prompts stand beside them.
    """

    prompts: list[str | list[dict[str, Any]]] = Field(default_factory=list)
    every: Count | None = None
    max_new_tokens: Count = 48
    endpoint: EndpointSpec | None = None


class SpeedSpec(_Strict):
    """Ways to the same loss and the same gradients in less time; where one would change them, it is not taken.

    `cut`: a row ends after its last trained token, which nothing behind it can change. `head`: the LM head is computed
    only where the next token is trained. `padding_free`: the rows of a micro-batch end to end, each seeing itself
    alone; `auto` where that is expected to be faster. `shared_prefix`: what all rows of a micro-batch begin with is
    computed once. Rows with the same beginning then come into the same steps: the order of the rows is another.
    """

    cut: bool = True
    head: bool = True
    padding_free: Literal["auto", True, False] = "auto"
    shared_prefix: bool = False


class EvalSpec(_Strict):
    """A held-out part: `data`, or a `share` of the rows. `patience`: evaluations without improvement before the end."""

    data: DataSpec | None = None
    share: Share = 0.0
    every: Count | None = None
    patience: Count | None = None


def _data(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _lora(value: Any) -> Any:
    return None if value is False else {} if value is True else value


class RunSpec(_Strict):
    """A whole run. Lengths are tokens; rates are per step; `max_steps` wins over `epochs`."""

    model: str = Field(min_length=1)
    data: Annotated[DataSpec, BeforeValidator(_data)]
    name: str = ""
    revision: str = ""
    template: str = ""
    special_tokens: dict[str, Any] = Field(default_factory=dict)
    method: Literal["sft"] = "sft"
    strategy: str = "traced"
    options: dict[str, Any] = Field(default_factory=dict)
    keep: str = "all"
    max_length: Count = 1024
    truncation: str = "keep_start"
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
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate, or what suits LoRA (2e-4) and full fine-tuning (2e-5)."""
        return self.learning_rate if self.learning_rate is not None else 2e-5 if self.lora is None else 2e-4

    @property
    def modifiers(self) -> dict[str, Any]:
        """What the inspector is told beside the strategy."""
        return {"keep": self.keep, "max_length": self.max_length, "truncation": self.truncation}

    def to_yaml(self) -> str:
        """The spec as a person would write it: without what is at its default."""
        import yaml

        values = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def parse_spec(value: Any) -> RunSpec:
    """A spec from plain values. Raises SpecError with every problem."""
    if not isinstance(value, Mapping):
        raise SpecError([_problem("spec", f"is {type(value).__name__}, and must be fields with values.", "")])
    try:
        spec = RunSpec.model_validate(dict(value))
    except ValidationError as error:
        raise SpecError([_explained(item) for item in error.errors()]) from error
    problems = [problem for problem in check(spec) if problem.severity == "error"]
    if problems:
        raise SpecError(problems)
    return spec


def read_spec(path: str) -> RunSpec:
    """The spec in a YAML or JSON file. Raises SpecError."""
    import yaml

    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([_problem("spec", f"{path} cannot be read: {error.strerror}.", "")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise SpecError([_problem("spec", f"{path} is not YAML: {said}.", "")]) from error
    return parse_spec(value)


def check(spec: RunSpec) -> Iterator[Problem]:
    """What is wrong across fields, and what deserves a warning."""
    from inspector.errors import StrategyError
    from inspector.strategies import STRATEGIES, Modifiers

    if spec.strategy not in STRATEGIES:
        yield _problem("strategy", f"there is no {spec.strategy!r}.", f"There are: {', '.join(STRATEGIES)}.")
    try:
        Modifiers.parse(spec.modifiers)
    except StrategyError as error:
        yield _problem(str(error).split(" ", 1)[0], f"{error}", "")
    if spec.scheduler not in SCHEDULERS:
        yield _problem("scheduler", f"there is no {spec.scheduler!r}.", f"There are: {', '.join(SCHEDULERS)}.")
    if spec.optimizer not in OPTIMIZERS:
        yield _problem("optimizer", f"there is no {spec.optimizer!r}.", f"There are: {', '.join(OPTIMIZERS)}.")
    if spec.quantization != "none" and spec.lora is None:
        yield _problem("quantization", f"{spec.quantization} weights cannot be trained themselves.", "Use lora.")
    if spec.quantization != "none" and spec.device == "cpu":
        yield _problem("quantization", "bitsandbytes needs a CUDA device.", "Set quantization: none, or a CUDA device.")
    if spec.precision == "fp16" and spec.device == "cpu":
        yield _problem("precision", "fp16 training needs a CUDA device.", "Use bf16, fp32 or auto on a CPU.")
    if spec.evaluation.patience is not None and not _evaluates(spec):
        yield _problem("evaluation.patience", "there is nothing to evaluate on.", "Set evaluation.data or .share.")
    if spec.evaluation.data is not None and spec.evaluation.share:
        yield _problem("evaluation.share", "evaluation.data is set, too.", "Keep one of them.")
    if spec.lora is not None and "lm_head" in _names(spec.lora.modules):
        yield _problem("lora.modules", "lm_head cannot be a LoRA target here.", "Name it in lora.modules_to_save.")
    if spec.packing and spec.group_by_length:
        yield _problem("group_by_length", "packed rows are all of one length.", "Leave it out.", "warning")
    yield from _check_speed(spec)
    if spec.rate > 1e-3 and spec.lora is not None:
        yield _problem("learning_rate", f"{spec.rate:g} is high for LoRA.", "1e-4 to 5e-4 is usual.", "warning")
    if spec.rate > 1e-4 and spec.lora is None:
        yield _problem("learning_rate", f"{spec.rate:g} is high for all weights.", "1e-5 is usual.", "warning")


def _check_speed(spec: RunSpec) -> Iterator[Problem]:
    speed, prefix = spec.speed, "speed.shared_prefix"
    if spec.packing and speed.padding_free is False:
        yield _problem("speed.padding_free", "packed rows have no padding.", "Leave it out, or set packing: false.")
    if not speed.shared_prefix:
        return
    if spec.packing:
        yield _problem(prefix, "packed rows are not of one beginning.", "Set packing: false, or leave it out.")
    if spec.group_by_length:
        yield _problem(prefix, "rows are grouped by their beginning or by length, not by both.", "Keep one of them.")
    if spec.micro_batch == 1:
        yield _problem(prefix, "one row has nothing to share.", "Raise micro_batch.", "warning")
    if spec.lora is not None and spec.lora.dropout:
        yield _problem(prefix, "dropout is drawn once for the shared part.", "Set lora.dropout: 0.", "warning")


SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adamw_bnb_8bit", "paged_adamw_8bit")


def _evaluates(spec: RunSpec) -> bool:
    return spec.evaluation.data is not None or spec.evaluation.share > 0


def _names(modules: str | list[str]) -> list[str]:
    return [modules] if isinstance(modules, str) else modules


def _problem(field: str, message: str, remedy: str, severity: str = "error") -> Problem:
    return Problem(field=field, severity=severity, message=message, remedy=remedy)


_OTHER_NAMES = {
    "base_model": "model",
    "dataset": "data",
    "train_dataset": "data",
    "lr": "learning_rate",
    "batch_size": "micro_batch",
    "per_device_train_batch_size": "micro_batch",
    "gradient_accumulation_steps": "accumulation",
    "gradient_accumulation": "accumulation",
    "num_train_epochs": "epochs",
    "lr_scheduler_type": "scheduler",
    "optim": "optimizer",
    "warmup_ratio": "warmup",
    "max_seq_length": "max_length",
    "block_size": "max_length",
    "gradient_checkpointing": "activation_checkpointing",
    "peft": "lora",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "target_modules": "lora.modules",
}
"""What other trainers call our fields."""


def _explained(item: Any) -> Problem:
    field = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = list(RunSpec.model_fields) if len(item["loc"]) == 1 else []
        name = str(item["loc"][-1])
        near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(name, known, 1)
        return _problem(field, "there is no such field.", f"Did you mean {near[0]}?" if near else "Leave it out.")
    if item["type"] == "missing":
        return _problem(field, "is missing.", "A spec needs a model and data.")
    return _problem(field, f"{item['msg']}; it is {item['input']!r:.60}.", "")
