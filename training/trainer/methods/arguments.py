"""A spec -> the settings that all trainers share."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from training.spec import RunSpec
from training.weights.load import device_of, precision_of


def common_arguments(spec: RunSpec, folder: Path, *, evaluates: bool) -> dict[str, Any]:
    """The arguments of transformers' TrainingArguments: rows unchanged, metrics reported as the spec says."""
    device = device_of(spec)
    precision = precision_of(spec, device)
    every = spec.evaluation.every or spec.save_every or max(1, (spec.max_steps or 100) // 5)
    saves = spec.save_every or (every if evaluates else None)
    return {
        "output_dir": str(folder),
        "max_length": None,
        "use_cpu": device == "cpu",
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "learning_rate": spec.rate,
        "lr_scheduler_type": spec.scheduler,
        "warmup_steps": spec.warmup if spec.warmup < 1 else int(spec.warmup),
        "optim": spec.optimizer,
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "per_device_train_batch_size": spec.micro_batch,
        "per_device_eval_batch_size": spec.micro_batch,
        "gradient_accumulation_steps": spec.accumulation,
        "num_train_epochs": spec.epochs,
        "max_steps": spec.max_steps or -1,
        "train_sampling_strategy": "group_by_length" if spec.group_by_length else "random",
        _checkpointing(): spec.activation_checkpointing,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": every if evaluates else None,
        "load_best_model_at_end": evaluates and spec.evaluation.patience is not None,
        "metric_for_best_model": "eval_loss" if evaluates else None,
        "greater_is_better": False if evaluates else None,
        "save_strategy": "steps" if saves else "no",
        "save_steps": saves or 500,
        "save_total_limit": spec.keep_checkpoints,
        "logging_steps": spec.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # otherwise a loss that is not a number would be logged as 0
        "report_to": spec.report or "none",
        "project": "maskscope",
        "run_name": folder.parent.name,
        "trackio_static_space_id": False,  # nothing is sent to a Space unasked
        "disable_tqdm": True,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "dataloader_num_workers": 0,
        "ddp_timeout": 6 * 3600,  # others wait while rank 0 prepares and answers; the launcher ends hanging ones
    }


def _checkpointing() -> str:
    """transformers' name of the setting: until 5.22 it was the name that is now deprecated."""
    from transformers import TrainingArguments

    known = {field.name for field in fields(TrainingArguments)}
    return "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
