"""The speed and the memory of a run: tokens are counted as they enter the model; devices report memory and load."""

from __future__ import annotations

import time
from typing import Any

import psutil
import torch

from inspector.strategies.base import IGNORED


class TokenCount:
    """Counts the tokens that enter a model while it trains: all of them, and those whose label trains.

    Inputs that an engine does not pass on (labels, for example) are not counted, and have no rate.
    """

    def __init__(self) -> None:
        self._tokens: list[Any] = []
        self._trained: list[Any] = []
        self._since = time.monotonic()
        self._hook: Any = None

    def watch(self, model: Any) -> None:
        """Start counting."""
        self._hook = model.register_forward_pre_hook(self._count, with_kwargs=True)
        self._since = time.monotonic()

    def leave(self) -> None:
        """Stop counting."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _count(self, model: Any, args: Any, values: dict[str, Any]) -> None:
        if not model.training or not torch.is_grad_enabled():  # a pass of a reference model is not part of the training
            return
        mask, ids = values.get("attention_mask"), values.get("input_ids")
        labels, targets = values.get("labels"), values.get("shift_labels")
        if isinstance(mask, torch.Tensor) and mask.dim() == 2:
            self._tokens.append(mask.sum())
        elif isinstance(ids, torch.Tensor):
            self._tokens.append(torch.tensor(ids.numel()))
        if isinstance(labels, torch.Tensor):
            self._trained.append(labels[:, 1:].ne(IGNORED).sum())  # nothing predicts the first token
        elif isinstance(targets, torch.Tensor):
            self._trained.append(targets.ne(IGNORED).sum())

    def rates(self) -> dict[str, float]:
        """Tokens per second since the last call; resets the counts."""
        seconds = time.monotonic() - self._since
        counts = {"tokens_per_second": self._tokens, "trained_tokens_per_second": self._trained}
        found = {
            name: round(sum(int(c) for c in recent) / seconds, 1)
            for name, recent in counts.items()
            if recent and seconds
        }
        self._tokens, self._trained, self._since = [], [], time.monotonic()
        return found


def usage(device: str) -> dict[str, float]:
    """The memory of the run. `memory_mb`: the GPU's maximum so far, or this process's current memory. On a GPU also the
    memory that torch has reserved there, in MB, and the load in percent if the driver reports it.
    """
    if device != "cuda":
        return {"memory_mb": round(psutil.Process().memory_info().rss / 1e6, 1)}
    found = {
        "memory_mb": round(torch.cuda.max_memory_allocated() / 1e6, 1),
        "gpu_memory_mb": round(torch.cuda.memory_reserved() / 1e6, 1),
    }
    try:
        return found | {"gpu_utilization": float(torch.cuda.utilization())}
    except Exception:  # without pynvml, or without permission: unknown, not guessed
        return found
