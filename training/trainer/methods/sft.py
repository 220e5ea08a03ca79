"""Supervised fine-tuning and language modelling: trl's SFTTrainer over rows whose labels are the inspector's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from training.rows.dataset import has_images, shown, written_rows
from training.rows.written import cut_row
from training.run.folder import RunDir
from training.spec import RunSpec, SpeedSpec
from training.trainer.methods.arguments import common_arguments
from training.trainer.proof import ProvingCollator
from training.weights.load import complete_head, lora_config


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer and the collator that proves its batches.

    Raises ValueError for layers that the model has not, SpecError where the asked speed would change the training.
    """
    from training.trainer.batches import Batcher, Cost
    from training.trainer.speed import ProvenTrainer, allowed_speed

    rows, evaluated = written_rows(run)
    if has_images(rows) or has_images(evaluated):
        return _with_images(spec, run, weights, tokenizer, callbacks)
    speed = allowed_speed(spec.speed, weights, spec.max_length)
    if speed != spec.speed:
        names = ", ".join(name for name in SpeedSpec.model_fields if getattr(speed, name) != getattr(spec.speed, name))
        print(f"Left out, since it is not exact for this model: {names}.")
    cost = Cost.of(weights)
    known = shown(rows, cut=speed.cut) | shown(evaluated, cut=speed.cut)
    columns = ["input_ids", "labels"]
    trainer = ProvenTrainer(
        model=weights,
        args=training_arguments(spec, run.checkpoints, evaluates=evaluated is not None),
        train_dataset=_packed(rows.select_columns(columns), spec, speed),
        eval_dataset=None if evaluated is None else evaluated.select_columns(columns),
        processing_class=tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights, tokenizer),
        callbacks=callbacks,
        speed=speed,
    )
    complete_head(trainer.model)
    padded = Batcher(padded=replace(trainer.data_collator, padding_free=False), cost=cost, cut=speed.cut)
    faster = replace(padded, padding_free=speed.padding_free, shared_prefix=speed.shared_prefix)
    collator = ProvingCollator(trainer.data_collator if spec.packing else faster, known)
    trainer.data_collator, trainer.eval_collator = collator, collator.beside(padded)
    return trainer, collator


_AS_IT_IS = SpeedSpec(cut=False, head=False, padding_free=False, shared_prefix=False, shared_prompt=False)


def _with_images(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The same for rows with images: one after the other, whole, in steps of as many rows."""
    from training.trainer.batches import ImageBatcher
    from training.trainer.speed import ProvenTrainer

    one = spec.model_copy(update={"micro_batch": 1, "accumulation": spec.accumulation * spec.micro_batch})
    rows, evaluated = written_rows(run)
    known = shown(rows, cut=False) | shown(evaluated, cut=False)
    columns = ["input_ids", "labels", "pixels"]
    collator = ProvingCollator(ImageBatcher((run.data, run.data / "held_out")), known)
    trainer = ProvenTrainer(
        model=weights,
        args=training_arguments(one, run.checkpoints, evaluates=evaluated is not None, keeps_columns=True),
        data_collator=collator,
        train_dataset=rows.select_columns(columns),
        eval_dataset=None if evaluated is None else evaluated.select_columns(columns),
        processing_class=tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights, tokenizer),
        callbacks=callbacks,
        speed=_AS_IT_IS,
    )
    complete_head(trainer.model)
    trainer.data_collator, trainer.eval_collator = collator, collator
    return trainer, collator


def _packed(rows: Any, spec: RunSpec, speed: SpeedSpec) -> Any:
    if not spec.packing:
        return rows
    from trl import pack_dataset

    if speed.cut:
        rows = rows.map(lambda row: dict(zip(row, cut_row(row["input_ids"], row["labels"]), strict=True)))
    return pack_dataset(rows, seq_length=spec.max_length, strategy="bfd")


def training_arguments(spec: RunSpec, folder: Path, *, evaluates: bool, keeps_columns: bool = False) -> Any:
    """trl's settings: rows are taken as they are. `keeps_columns`: also those that no model takes."""
    from trl import SFTConfig

    return SFTConfig(
        **common_arguments(spec, folder, evaluates=evaluates),
        dataset_kwargs={"skip_prepare_dataset": True},
        padding_free=spec.packing,
        remove_unused_columns=not keeps_columns,
    )
