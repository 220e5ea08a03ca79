"""Recovery of a run that ran out of memory: the same steps over the same rows, in smaller parts."""

from __future__ import annotations

import gc

from training.spec import RunSpec

_SAID = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed", "start new thread")
"""Messages of CUDA, cuBLAS, torch's CPU allocator and Python's threads, all in RuntimeErrors."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error or one of its causes says that memory ran out."""
    while error is not None:
        message = str(error).lower()
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(mark in message for mark in _SAID)
        ):
            return True
        error = error.__cause__
    return False


def smaller(spec: RunSpec) -> RunSpec | None:
    """The same batch in micro-batches of at most half the size; None if it is already the smallest."""
    batch = spec.micro_batch * spec.accumulation
    least = 2 if spec.estimates_kl else 1  # its KL is an estimate over the rows of a micro-batch
    half = next((n for n in range(spec.micro_batch // 2, least - 1, -1) if batch % n == 0), None)
    return None if half is None else spec.model_copy(update={"micro_batch": half, "accumulation": batch // half})


def reduced(spec: RunSpec, parts: dict[str, int]) -> RunSpec:
    """The spec with the micro-batch that an earlier attempt ended with."""
    return spec.model_copy(update=parts)


def release() -> None:
    """Release unused memory, also on the GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
