"""Finds the fields of a spec that use a device's memory best, with the same rows in each step. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.spec import RunSpec

USABLE = 0.9
"""Share of the memory that a run may fill: fragments and the kernels' workspaces need the rest."""
_NAMES = ("micro_batch", "accumulation", "activation_checkpointing", "precision", "optimizer")


def plan(
    spec: RunSpec, cost: Callable[[RunSpec], int], memory: int, *, on_cuda: bool = False, has_bf16: bool = False
) -> dict[str, Any] | None:
    """The fields to change, {} if the spec is already the best; None if not even one row fits.

    `cost`: the bytes of a spec; `memory`: those of the device. Chooses the largest micro-batch that divides a step's
    rows evenly, without checkpointing if one row fits without it, since it computes every layer twice. On CUDA it
    chooses bf16 and the fused AdamW.
    """
    wanted: dict[str, Any] = {}
    if on_cuda and has_bf16 and spec.precision != "auto":  # auto is bf16 there
        wanted["precision"] = "bf16"
    if on_cuda and spec.optimizer == "adamw_torch":
        wanted["optimizer"] = "adamw_torch_fused"
    rows = spec.micro_batch * spec.accumulation
    for checkpoints in (False, True):
        for micro in (n for n in range(rows, 0, -1) if rows % n == 0):
            sizes = {"micro_batch": micro, "accumulation": rows // micro, "activation_checkpointing": checkpoints}
            candidate = spec.model_copy(update=sizes | wanted)
            if cost(candidate) <= USABLE * memory:
                return {n: getattr(candidate, n) for n in _NAMES if getattr(candidate, n) != getattr(spec, n)}
    return None
