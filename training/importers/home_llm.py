"""home-llm's command line -> a spec that trains the same tokens, with warnings for differences from its train.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.errors import SpecError
from training.importers.home_llm_flags import Command, Flags, read_command
from training.importers.home_llm_warnings import warnings
from training.importers.reading import Imported, first_columns, imported, is_installed
from training.spec.checks import problem

LOSSES = {"aot": "aot_unpaired", "aot_pair": "aot"}
"""The names in the trl version of train.py."""
NAMES = {
    "model": "--base_model",
    "data.name": "--train_dataset",
    "evaluation.data.name": "--test_dataset",
    "scheduler": "--learning_rate_schedule",
    "max_grad_norm": "--gradient_clip",
    "accumulation": "--batch_size",
    "preference.loss": "--dpo_loss",
    "preference.beta": "--beta",
    "preference.label_smoothing": "--dpo_loss",
    "lora.rank": "--lora_rank",
    "lora.alpha": "--lora_alpha",
    "lora.dropout": "--lora_dropout",
    "lora.modules": "--lora_modules",
    "learning_rate": "--learning_rate",
    "weight_decay": "--weight_decay",
    "keep_checkpoints": "--save_total_limit",
    "log_every": "--logging_steps",
}
"""Our fields -> train.py's options."""


def import_command(words: Sequence[str]) -> Imported:
    """Import a command line of home-llm, with or without the words before its options. Raises SpecError."""
    command = read_command(words)
    flags = command.flags
    if flags.load_as_gptq:
        _check_gptq(flags)
    template, why = _template(flags)
    values = _values(command, template)
    loads = next((f"--{name}" for name in ("load_in_4bit", "load_in_8bit") if getattr(flags, name)), "quantization")
    notes = (f"--{line}" for line in (*why, *warnings(flags)))
    return imported(values, {**NAMES, "quantization": loads}, notes)


def _values(command: Command, template: str) -> dict[str, Any]:
    flags = command.flags
    values: dict[str, Any] = {
        "model": flags.base_model,
        "data": _data(flags, flags.train_dataset),
        "name": flags.run_name,
        "template": template,
        "special_tokens": _special_tokens(flags),
        "method": "dpo" if flags.dpo else "sft",
        "max_length": flags.ctx_size,
        "lora": _lora(flags),
        "quantization": "4bit" if flags.load_in_4bit else "8bit" if flags.load_in_8bit else "none",
        "precision": "bf16" if flags.bf16 else "auto",
        "learning_rate": flags.learning_rate,
        "scheduler": flags.learning_rate_schedule,
        "warmup": flags.learning_rate_warmup,
        "weight_decay": flags.weight_decay,
        "max_grad_norm": flags.gradient_clip,
        "micro_batch": flags.micro_batch_size,
        "accumulation": flags.batch_size // flags.micro_batch_size,
        "epochs": flags.epochs,
        "group_by_length": flags.group_by_length and not flags.dpo,
        "activation_checkpointing": flags.gradient_checkpointing,
        "log_every": flags.logging_steps,
        "save_every": flags.save_steps if flags.save_steps > 0 else None,
        "keep_checkpoints": flags.save_total_limit,
        "report": ["tensorboard"] if is_installed("tensorboard", "tensorboardX") else [],
        "seed": 42,
        "engine": {"accelerate_config": command.accelerate_config, "processes": command.processes},
    }
    if flags.prefix_ids and not flags.dpo:
        ids = {"prefix_ids": flags.prefix_ids, "suffix_ids": flags.suffix_ids}
        values |= {"strategy": "home_llm", "options": ids}
    if flags.dpo:
        values["preference"] = {"beta": flags.beta, "loss": LOSSES.get(flags.dpo_loss, flags.dpo_loss)}
    if flags.test_dataset:
        every = flags.eval_steps if flags.eval_steps > 0 else None
        values["evaluation"] = {"data": _data(flags, flags.test_dataset), "every": every}
    return values


def _data(flags: Flags, name: str) -> dict[str, Any]:
    """Rows as home-llm writes them: the prompt of a pair is called `question`."""
    columns = first_columns(name) if flags.dpo else None
    asks = flags.dpo and (columns is None or "question" in columns)
    return {"name": name, "map": {"prompt": "question"} if asks else {}}


def _special_tokens(flags: Flags) -> dict[str, str]:
    pad = {"pad_token": "<|pad|>"} if flags.add_pad_token else {}
    chatml = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"} if flags.add_chatml_tokens else {}
    return pad | chatml


def _template(flags: Flags) -> tuple[str, list[str]]:
    """ChatML if it is requested, or if its tokens are added to a model without a template; and a warning."""
    import inspector
    from inspector.errors import ModelError, NoTemplateError

    if flags.add_chatml_prompt_template or not flags.add_chatml_tokens:
        return ("chatml" if flags.add_chatml_prompt_template else ""), []
    try:
        inspector.load(flags.base_model)
    except NoTemplateError:
        return "chatml", ["add_chatml_tokens: the model has no chat template: ChatML is taken (template: chatml)."]
    except ModelError as error:
        reason = f"whether the model has a chat template is not known ({_first_sentence(error)}): ChatML is taken."
        return "chatml", [f"add_chatml_tokens: {reason} Without template: chatml its own is."]
    return "", ["add_chatml_tokens: the model's own chat template stays; --add_chatml_prompt_template takes ChatML."]


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0].rstrip(".")


def _lora(flags: Flags) -> Any:
    if not flags.use_lora:
        return False
    return {
        "rank": flags.lora_rank, "alpha": flags.lora_alpha, "dropout": flags.lora_dropout,
        "modules": flags.lora_modules or "attention", "modules_to_save": flags.lora_modules_to_save,
        "merge": flags.lora_merge,
    }  # fmt: skip


def _check_gptq(flags: Flags) -> None:
    """Raise SpecError if GPTQ weights cannot be used for training."""
    if not is_installed("gptqmodel", "auto_gptq"):
        remedy = "pip install gptqmodel optimum, or train the unquantized model with --load_in_4bit."
        raise SpecError([problem("--load_as_gptq", "gptqmodel is not installed here, and reads such weights.", remedy)])
    if not flags.use_lora:
        raise SpecError(
            [problem("--load_as_gptq", "quantized weights cannot be trained themselves.", "Use --use_lora.")]
        )
