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

    Raises ValueError for layers that the model does not have, SpecError if a requested speed setting would change the
    training.
    """
    from training.trainer.batches import Batcher, Cost, ImageBatcher
    from training.trainer.speed import ProvenTrainer

    rows, evaluated = written_rows(run)
    sees = has_images(rows) or has_images(evaluated)
    if sees:  # one at a time, in steps with the same number of rows
        spec = spec.model_copy(update={"micro_batch": 1, "accumulation": spec.accumulation * spec.micro_batch})
    speed = _WHOLE if sees else _allowed(spec, weights)
    known = shown(rows, cut=speed.cut) | shown(evaluated, cut=speed.cut)
    columns = ["input_ids", "labels", *(["pixels"] if sees else [])]
    trainer = ProvenTrainer(
        model=weights,
        args=training_arguments(spec, run.checkpoints, evaluates=evaluated is not None, keeps_columns=sees),
        train_dataset=_packed(rows.select_columns(columns), spec, speed),
        eval_dataset=None if evaluated is None else evaluated.select_columns(columns),
        processing_class=tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights, tokenizer),
        callbacks=callbacks,
        speed=speed,
    )
    complete_head(trainer.model)
    batcher: Any
    evaluating: Any
    if sees:
        batcher, evaluating = ImageBatcher(run.data), ImageBatcher(run.data / "held_out")
    else:
        padded = replace(trainer.data_collator, padding_free=False)
        evaluating = Batcher(padded=padded, cost=Cost.of(weights), cut=speed.cut)
        batcher = replace(evaluating, padding_free=speed.padding_free, shared_prefix=speed.shared_prefix)
    collator = ProvingCollator(trainer.data_collator if spec.packing else batcher, known)
    trainer.data_collator, trainer.eval_collator = collator, collator.beside(evaluating)
    return trainer, collator


_WHOLE = SpeedSpec(cut=False, head=False, padding_free=False, shared_prefix=False, shared_prompt=False)
"""The speed settings for rows with images: they are not cut, since a cut row could lack tokens of an image."""


def _allowed(spec: RunSpec, weights: Any) -> SpeedSpec:
    """The requested speed settings that are exact for the model; the others are printed. Raises SpecError."""
    from training.trainer.speed import allowed_speed

    speed = allowed_speed(spec.speed, weights, spec.max_length)
    if speed != spec.speed:
        names = ", ".join(name for name in SpeedSpec.model_fields if getattr(speed, name) != getattr(spec.speed, name))
        print(f"Left out, since it is not exact for this model: {names}.")
    return speed


def _packed(rows: Any, spec: RunSpec, speed: SpeedSpec) -> Any:
    if not spec.packing:
        return rows
    from trl import pack_dataset

    if speed.cut:
        rows = rows.map(lambda row: dict(zip(row, cut_row(row["input_ids"], row["labels"]), strict=True)))
    return pack_dataset(rows, seq_length=spec.max_length, strategy="bfd")


def training_arguments(spec: RunSpec, folder: Path, *, evaluates: bool, keeps_columns: bool = False) -> Any:
    """trl's settings for unchanged rows. `keeps_columns`: also keeps columns that no model takes."""
    from trl import SFTConfig

    return SFTConfig(
        **common_arguments(spec, folder, evaluates=evaluates),
        dataset_kwargs={"skip_prepare_dataset": True},
        padding_free=spec.packing,
        remove_unused_columns=not keeps_columns,
    )
