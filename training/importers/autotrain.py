"""AutoTrain's config of a language model -> a spec that trains the same tokens, with warnings for differences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.paths import found_name
from training.errors import SpecError
from training.importers.autotrain_keys import OF_PAIRS, PLACES, REPORTS, TOKENS, AutoTrainKeys, Config, read_keys
from training.importers.autotrain_warnings import warnings
from training.importers.reading import Imported, imported
from training.spec.checks import problem

METHODS = {"default": "lm", "sft": "sft", "dpo": "dpo", "orpo": "orpo", "reward": "reward"}
QUANTIZATIONS = {"int4": "4bit", "int8": "8bit"}
END = (
    "{% if message.role == 'assistant' and eos_token and not message.content.endswith(eos_token) %}"
    "{{ eos_token }}{% endif %}"
)
AS_THEY_ARE = (
    "{% if bos_token and not messages[0].content.startswith(bos_token) %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}{{ message.content }}END{% endfor %}"
)
"""The template of `chat_template: none`: texts end to end. END: eos after an answer."""
NAMES = {
    "model": PLACES["model"],
    "data.name": PLACES["data_path"],
    "max_length": PLACES["block_size"],
    "preference.max_prompt_length": PLACES["max_prompt_length"],
    "preference.max_completion_length": PLACES["max_completion_length"],
    "preference.beta": PLACES["dpo_beta"],
    "learning_rate": PLACES["lr"],
    "scheduler": PLACES["scheduler"],
    "optimizer": PLACES["optimizer"],
    "weight_decay": PLACES["weight_decay"],
    "max_grad_norm": PLACES["max_grad_norm"],
    "micro_batch": PLACES["batch_size"],
    "accumulation": PLACES["gradient_accumulation"],
    "epochs": PLACES["epochs"],
    "keep_checkpoints": PLACES["save_total_limit"],
    "log_every": PLACES["logging_steps"],
    "lora.rank": PLACES["lora_r"],
    "lora.alpha": PLACES["lora_alpha"],
    "lora.dropout": PLACES["lora_dropout"],
    "lora.modules": PLACES["target_modules"],
    "publish.repo": PLACES["project_name"],
}
"""Our fields -> AutoTrain's keys."""


def from_autotrain(config: Mapping[str, Any]) -> Imported:
    """A config as AutoTrain's YAML has it. Raises SpecError with every problem, by AutoTrain's keys."""
    found = read_keys(config)
    keys = found.keys
    return imported(_values(keys), {**NAMES, **_moved(found)}, warnings(found))


def _moved(found: Config) -> dict[str, str]:
    """The names of keys that are not in their usual place."""
    usual = {place: key for key, place in PLACES.items()}
    return {field: found.places[usual[place]] for field, place in NAMES.items()}


def _values(keys: AutoTrainKeys) -> dict[str, Any]:
    values: dict[str, Any] = {
        "model": keys.model,
        "data": _data(keys, keys.train_split),
        "name": keys.project_name,
        "template": _template(keys),
        "special_tokens": TOKENS.get(keys.chat_template or "", {}),
        "method": METHODS[keys.trainer],
        "max_length": keys.length,
        "lora": _lora(keys),
        "precision": keys.mixed_precision or "fp32",
        "learning_rate": keys.lr,
        "scheduler": keys.scheduler,
        "warmup": keys.warmup_ratio,
        "optimizer": keys.optimizer,
        "weight_decay": keys.weight_decay,
        "max_grad_norm": keys.max_grad_norm,
        "micro_batch": keys.batch_size,
        "accumulation": keys.gradient_accumulation,
        "epochs": keys.epochs,
        "activation_checkpointing": not keys.disable_gradient_checkpointing,
        "keep_checkpoints": keys.save_total_limit,
        "seed": keys.seed,
    }
    if keys.trainer == "sft":
        values |= {"strategy": "full", "packing": True}
    if keys.trainer == "default":
        values["blocks"] = {"size": keys.length, "add_eos": keys.add_eos_token}
    if keys.trainer in ("dpo", "orpo"):
        values["preference"] = _preference(keys)
    if keys.peft and keys.quantization and keys.trainer != "reward":
        values["quantization"] = QUANTIZATIONS[keys.quantization]
    if keys.valid_split and keys.eval_strategy != "no":
        values["evaluation"] = {"data": _data(keys, keys.valid_split)}
        if keys.eval_strategy == "steps" and keys.logging_steps > 0:
            values["evaluation"]["every"] = keys.logging_steps
    if keys.logging_steps != -1:
        values["log_every"] = keys.logging_steps
    if keys.log in REPORTS:
        values["report"] = [keys.log]
    if keys.push_to_hub:
        values["publish"] = {"repo": f"{keys.username}/{keys.project_name}"}
        values["publish"] |= {"merged": True} if keys.peft and keys.merge_adapter else {}
    return values


def _data(keys: AutoTrainKeys, split: str) -> dict[str, Any]:
    """A file of a folder, as AutoTrain looks for it, or a data set of the hub. Raises SpecError."""
    rows = {"map": _columns(keys)}
    name = found_name(keys.data_path)
    folder = Path(name).expanduser()
    if folder.is_dir():
        files = [folder / f"{split}.{kind}" for kind in ("csv", "jsonl")]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            message = f"{keys.data_path} has neither {files[0].name} nor {files[1].name}."
            raise SpecError([problem(PLACES["data_path"], message, "The split is the name of the file.")])
        return {"name": str(found), **rows}
    if folder.exists():
        return {"name": keys.data_path, **rows}
    config, _, part = split.rpartition(":")
    return {"name": keys.data_path, "split": part, "config": config, **rows}


def _columns(keys: AutoTrainKeys) -> dict[str, str]:
    if keys.trainer in OF_PAIRS:
        named = {"prompt": keys.prompt_text_column, "chosen": keys.text_column, "rejected": keys.rejected_text_column}
        return {"format": "preference", **{name: column for name, column in named.items() if column}}
    kind = "text" if keys.chat_template is None else "messages"
    return {"format": kind, kind: keys.text_column}


def _template(keys: AutoTrainKeys) -> str:
    if keys.chat_template is None:
        return AS_THEY_ARE.replace("END", "" if keys.trainer == "reward" else END)
    return "" if keys.chat_template == "tokenizer" else keys.chat_template


def _lora(keys: AutoTrainKeys) -> Any:
    if not keys.peft:
        return False
    modules: Any = "attention"
    if keys.target_modules is not None:
        named = [name.strip() for name in keys.target_modules.split(",")]
        modules = "all-linear" if keys.target_modules.strip().lower() == "all-linear" else named
    return {
        "rank": keys.lora_r, "alpha": keys.lora_alpha, "dropout": keys.lora_dropout, "modules": modules,
        "merge": keys.merge_adapter,
    }  # fmt: skip


def _preference(keys: AutoTrainKeys) -> dict[str, Any]:
    values: dict[str, Any] = {"max_prompt_length": keys.max_prompt_length}
    if keys.trainer == "dpo":
        values |= {"beta": keys.dpo_beta, "max_completion_length": keys.max_completion_length}
        values["reference"] = "" if keys.peft else keys.model_ref or ""
    return values
