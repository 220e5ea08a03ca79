"""One file per training method: a run's spec and rows -> a trainer, and the collator that proves its batches."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from training.proof import ProvingCollator
from training.rundir import RunDir
from training.spec import RunSpec


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer of the spec's method. Raises ValueError, SpecError, DeviceError, OSError."""
    module = import_module(f"training.methods.{spec.facts.trainer}")
    made: tuple[Any, ProvingCollator] = module.build_trainer(spec, run, weights, tokenizer, callbacks)
    return made
