"""One file for each training method.

In: a spec, the written rows and the weights. Out: the trainer, and the collator that proves its batches.
May import: the rest of `trainer` but `fit`; trl.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from training.run.folder import RunDir
from training.spec import RunSpec
from training.trainer.proof import ProvingCollator


def build_trainer(
    spec: RunSpec, run: RunDir, weights: Any, tokenizer: Any, callbacks: list[Any]
) -> tuple[Any, ProvingCollator]:
    """The trainer of the spec's method. Raises ValueError, SpecError, DeviceError, OSError."""
    module = import_module(f"{__name__}.{spec.facts.trainer}")
    made: tuple[Any, ProvingCollator] = module.build_trainer(spec, run, weights, tokenizer, callbacks)
    return made
