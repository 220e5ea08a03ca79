"""AutoTrain's YAML -> its keys, flat, with its own defaults and rules; each problem is named by the key's place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from inspector.errors import kind_of, quoted
from training.errors import Problem, SpecError
from training.importers.reading import checked, unknown_key
from training.spec.checks import problem

TASKS = {
    "llm": "default",
    "generic": "default",
    "default": "default",
    "sft": "sft",
    "dpo": "dpo",
    "orpo": "orpo",
    "reward": "reward",
}
"""The text after `llm-` or `llm:` in `task` -> AutoTrain's trainer."""
OF_PAIRS = ("dpo", "orpo", "reward")
REPORTS = ("tensorboard", "trackio")
TOKENS = {
    "chatml": {
        "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "<|im_end|>",
        "additional_special_tokens": ["<|im_start|>user", "<|im_start|>assistant", "<|im_start|>system"],
    },
    "zephyr": {
        "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>",
        "additional_special_tokens": ["<|user|>", "<|assistant|>", "<|system|>"],
    },
}  # fmt: skip
"""The special tokens that AutoTrain gives the tokenizer for a template."""
AUTOMATIC = 1024
"""The tokens of a block if AutoTrain chooses them, for a model that takes that many."""


def _nothing(value: Any) -> Any:
    return None if value in ("none", "None", "null", "", "no", False) else value


def _strategy(value: Any) -> Any:
    return "no" if value in (False, None, "none") else value  # YAML reads `no` as false


Count = Annotated[int, Field(ge=1)]


class AutoTrainKeys(BaseModel):
    """The keys of a language model's config, with AutoTrain's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field(min_length=1)
    project_name: str = Field(min_length=1)
    backend: str = "local"
    log: Annotated[str | None, BeforeValidator(_nothing)] = None
    trainer: Literal["default", "sft", "dpo", "orpo", "reward"] = "default"
    data_path: str = Field(min_length=1)
    train_split: str = "train"
    valid_split: Annotated[str | None, BeforeValidator(_nothing)] = None
    chat_template: Annotated[Literal["zephyr", "chatml", "tokenizer"] | None, BeforeValidator(_nothing)] = None
    text_column: str = "text"
    rejected_text_column: Annotated[str | None, BeforeValidator(_nothing)] = None
    prompt_text_column: Annotated[str | None, BeforeValidator(_nothing)] = None
    add_eos_token: bool = True
    block_size: int = -1
    model_max_length: Count = 2048
    max_prompt_length: Count = 128
    max_completion_length: Annotated[Count | None, BeforeValidator(_nothing)] = None
    padding: Annotated[Literal["left", "right"] | None, BeforeValidator(_nothing)] = "right"
    use_flash_attention_2: bool = False
    disable_gradient_checkpointing: bool = False
    logging_steps: int = -1
    eval_strategy: Annotated[Literal["epoch", "steps", "no"], BeforeValidator(_strategy)] = "epoch"
    save_total_limit: int = 1
    auto_find_batch_size: bool = False
    mixed_precision: Annotated[Literal["fp16", "bf16"] | None, BeforeValidator(_nothing)] = None
    lr: float = 3e-5
    epochs: float = 1
    batch_size: int = 2
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    gradient_accumulation: int = 4
    optimizer: str = "adamw_torch"
    scheduler: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 42
    quantization: Annotated[Literal["int4", "int8"] | None, BeforeValidator(_nothing)] = "int4"
    target_modules: Annotated[str | None, BeforeValidator(_nothing)] = "all-linear"
    merge_adapter: bool = False
    peft: bool = False
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    model_ref: Annotated[str | None, BeforeValidator(_nothing)] = None
    dpo_beta: float = 0.1
    push_to_hub: bool = False
    username: Annotated[str | None, BeforeValidator(_nothing)] = None
    unsloth: bool = False
    distributed_backend: Annotated[str | None, BeforeValidator(_nothing)] = None

    @property
    def length(self) -> int:
        """The tokens of a row or a block."""
        return min(self.model_max_length, AUTOMATIC) if self.block_size == -1 else self.block_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A config that AutoTrain would take. `places`: key -> its place. `token`: the source of the token: "", "literal",
    or the name of an environment variable; never the token itself."""

    keys: AutoTrainKeys
    places: Mapping[str, str]
    token: str


_TOP = {"base_model": "model", "project_name": "project_name", "log": "log", "backend": "backend"}
_DATA = {
    "path": "data_path",
    "train_split": "train_split",
    "valid_split": "valid_split",
    "chat_template": "chat_template",
}
_COLUMNS = {name: name for name in ("text_column", "rejected_text_column", "prompt_text_column")}
_HUB = {"username": "username", "push_to_hub": "push_to_hub"}
_SECTIONS = (("", _TOP), ("data", _DATA), ("data.column_mapping", _COLUMNS), ("hub", _HUB))
_OTHERS = {"": ["task", "data", "params", "hub"], "data": ["column_mapping"], "hub": ["token"]}
PLACES = {
    **{name: f"params.{name}" for name in AutoTrainKeys.model_fields},
    **{own: ".".join(filter(None, (section, key))) for section, keys in _SECTIONS for key, own in keys.items()},
    "trainer": "task",
}
"""The usual place of each key."""


def read_keys(config: Mapping[str, Any]) -> Config:
    """A config's keys. Raises SpecError with every problem."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    places = dict(PLACES)
    tokens = []
    for section, known in _SECTIONS:
        section_keys = _section(config, section, problems)
        tokens.append(section_keys.pop("token", None) if section == "hub" else None)
        for key, value in section_keys.items():
            place = ".".join(filter(None, (section, key)))
            if key in known:
                values[known[key]] = value
            elif key not in _OTHERS.get(section, ()):
                problems.append(unknown_key(place, key, [*known, *_OTHERS.get(section, ())]))
    params = _section(config, "params", problems)
    tokens.append(params.pop("token", None))
    for key, value in params.items():
        places[key] = f"params.{key}"
        if key in AutoTrainKeys.model_fields:
            values[key] = value
        else:
            problems.append(unknown_key(f"params.{key}", key, list(AutoTrainKeys.model_fields)))
    values = _trainer(config, values, problems)
    values = _username(values, places, problems)
    keys, wrong = checked(AutoTrainKeys, {k: v for k, v in values.items() if k in AutoTrainKeys.model_fields}, places)
    problems += [*wrong, *([] if keys is None else _rules(keys, places))]
    if problems or keys is None:
        raise SpecError(problems)
    return Config(keys=keys, places=places, token=next((found for found in map(_kind, tokens) if found), ""))


def _section(config: Mapping[str, Any], path: str, problems: list[Problem]) -> dict[str, Any]:
    """The keys of a section; empty if it is missing."""
    value: Any = config
    for part in filter(None, path.split(".")):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(problem(path, f"is {kind_of(value)}, and must be keys with values.", ""))
        return {}
    return {str(key): item for key, item in value.items()}


def _trainer(config: Mapping[str, Any], values: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The trainer that `task` names; `params.trainer` wins, as in AutoTrain."""
    task = config.get("task")
    name = re.sub(r"^llm[-:]", "", task) if isinstance(task, str) else task
    if task is None:
        problems.append(problem("task", "is missing.", "Write llm-sft, llm-dpo, llm-orpo, llm-reward or llm."))
    elif name not in TASKS or (name != "llm" and name == task):
        known = ", ".join(f"llm-{name}" for name in TASKS if name not in ("llm", "default"))
        problems.append(problem("task", f"there is no {quoted(task)} here.", f"There are: llm, {known}."))
    else:
        values = {"trainer": TASKS[name], **values}
    if values.get("trainer") == "generic":
        values["trainer"] = "default"
    return values


def _username(values: dict[str, Any], places: Mapping[str, str], problems: list[Problem]) -> dict[str, Any]:
    """Replace `${NAME}` from the environment, if the name is needed."""
    name = _variable(values.get("username"))
    if not values.get("push_to_hub"):
        return {**values, "username": None}
    found = os.environ.get(name) if name else values.get("username")
    if not found:
        why = f"the environment variable {name} is not set." if name else "is missing."
        problems.append(problem(places["username"], why, "The hub has to know where to push: write your name there."))
    return {**values, "username": found}


def _variable(value: Any) -> str:
    found = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    return found[1] if found else ""


def _kind(token: Any) -> str:
    return "" if token is None else _variable(token) or "literal"


def _rules(keys: AutoTrainKeys, places: Mapping[str, str]) -> Iterator[Problem]:
    """The lengths that AutoTrain's guide allows, and the columns that a trainer needs."""
    limit = ("model_max_length", keys.model_max_length)
    block = ("block_size", keys.length)
    if keys.block_size != -1 and keys.block_size < 1:
        yield problem(places["block_size"], f"is {keys.block_size}.", "Give a number of tokens, or -1 for automatic.")
        return
    compares = keys.trainer in ("dpo", "orpo")
    lengths: list[tuple[str, int | None, tuple[tuple[str, int], ...]]] = [("block_size", keys.length, (limit,))]
    if compares or "max_prompt_length" in keys.model_fields_set:
        lengths.append(("max_prompt_length", keys.max_prompt_length, (limit, block)))
    lengths.append(("max_completion_length", keys.max_completion_length, (limit, block)))
    for name, length, bounds in lengths:
        for other, bound in bounds:
            if length is not None and length > bound:
                message = f"{_told(keys, name, length)} is more than {other}, {_told(keys, other, bound)}."
                yield problem(places[name], message, f"Lower it, or raise {other}.")
                break
    if keys.trainer in OF_PAIRS and keys.rejected_text_column is None:
        yield problem(places["rejected_text_column"], "is missing.", f"{keys.trainer} compares two answers.")
    if compares and keys.chat_template is None and keys.prompt_text_column is None:
        yield problem(
            places["prompt_text_column"], "is missing.", "Without a chat template the answers hold no prompt."
        )


def _told(keys: AutoTrainKeys, name: str, value: int) -> str:
    """A length in words, and its source if the config does not set it."""
    if name == "block_size" and keys.block_size == -1:
        return f"{value} (automatic)"
    return f"{value}" if name in keys.model_fields_set else f"{value} (AutoTrain's default)"
