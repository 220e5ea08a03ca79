"""Supervised fine-tuning: trl's SFTTrainer over rows whose labels are the inspector's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from training.proof import ProvingCollator
from training.rows import cut_row
from training.rundir import RunDir
from training.spec import RunSpec, SpeedSpec
from training.weights import device_of, lora_config, precision_of


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches.

    Raises ValueError for layers that the model has not, SpecError where the asked speed would change the training.
    """
    from datasets import Dataset

    from training.batches import Batcher, Cost
    from training.speed import ProvenTrainer, allowed_speed

    speed = allowed_speed(spec.speed, weights, spec.max_length)
    if speed != spec.speed:
        names = ", ".join(name for name in SpeedSpec.model_fields if getattr(speed, name) != getattr(spec.speed, name))
        print(f"Left out, since it is not exact for this model: {names}.")
    cost = Cost.of(weights)
    rows = Dataset.from_parquet(str(run.data / "rows.parquet"), cache_dir=str(run.data / "cache"))
    shown = _shown(rows, speed)
    held_out = run.data / "held_out" / "rows.parquet"
    evaluated = None
    if held_out.is_file():
        evaluated = Dataset.from_parquet(str(held_out), cache_dir=str(run.data / "cache"))
        shown |= _shown(evaluated, speed)
        evaluated = evaluated.select_columns(["input_ids", "labels"])
    trainer = ProvenTrainer(
        model=weights,
        args=training_arguments(spec, run.checkpoints, evaluates=evaluated is not None),
        train_dataset=_packed(rows.select_columns(["input_ids", "labels"]), spec, speed),
        eval_dataset=evaluated,
        processing_class=tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec.lora, weights),
        callbacks=callbacks,
        speed=speed,
    )
    padded = Batcher(padded=replace(trainer.data_collator, padding_free=False), cost=cost, cut=speed.cut)
    faster = replace(padded, padding_free=speed.padding_free, shared_prefix=speed.shared_prefix)
    collator = ProvingCollator(trainer.data_collator if spec.packing else faster, shown)
    trainer.data_collator, trainer.eval_collator = collator, collator.beside(padded)
    return trainer, collator


def _shown(rows: Any, speed: SpeedSpec) -> dict[int, tuple[int, int]]:
    """What the inspector showed: the hash of each row as it is trained -> its tokens, and how many of them train."""
    counts = zip(rows["tokens"], rows["trained"], strict=True)
    return dict(zip(rows["cut_hash" if speed.cut else "hash"], counts, strict=True))


def _packed(rows: Any, spec: RunSpec, speed: SpeedSpec) -> Any:
    if not spec.packing:
        return rows
    from trl import pack_dataset

    if speed.cut:
        rows = rows.map(lambda row: dict(zip(row, cut_row(row["input_ids"], row["labels"]), strict=True)))
    return pack_dataset(rows, seq_length=spec.max_length, strategy="bfd")


def training_arguments(spec: RunSpec, folder: Path, *, evaluates: bool) -> Any:
    """trl's settings: rows are taken as they are, nothing is reported anywhere, nothing is truncated again."""
    from trl import SFTConfig

    device = device_of(spec)
    precision = precision_of(spec, device)
    every = spec.evaluation.every or spec.save_every or max(1, (spec.max_steps or 100) // 5)
    saves = spec.save_every or (every if evaluates else None)
    return SFTConfig(
        output_dir=str(folder),
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        padding_free=spec.packing,
        use_cpu=device == "cpu",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        learning_rate=spec.rate,
        lr_scheduler_type=spec.scheduler,
        warmup_steps=spec.warmup if spec.warmup < 1 else int(spec.warmup),
        optim=spec.optimizer,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        per_device_train_batch_size=spec.micro_batch,
        per_device_eval_batch_size=spec.micro_batch,
        gradient_accumulation_steps=spec.accumulation,
        num_train_epochs=spec.epochs,
        max_steps=spec.max_steps or -1,
        train_sampling_strategy="group_by_length" if spec.group_by_length else "random",
        activation_checkpointing=spec.activation_checkpointing,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=every if evaluates else None,
        load_best_model_at_end=evaluates and spec.evaluation.patience is not None,
        metric_for_best_model="eval_loss" if evaluates else None,
        greater_is_better=False if evaluates else None,
        save_strategy="steps" if saves else "no",
        save_steps=saves or 500,
        save_total_limit=spec.keep_checkpoints,
        logging_steps=spec.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # a loss that is no number would be logged as 0
        report_to="none",
        disable_tqdm=True,
        seed=spec.seed,
        data_seed=spec.seed,
        dataloader_num_workers=0,
    )
