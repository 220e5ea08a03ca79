"""The processes of a run: this one's rank, and values they exchange. All functions also work for a single process.

The launcher sets the number of processes in the environment. Rank 0 writes the run's files; the others read them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any


def rank() -> int:
    """This process's number; 0 if it is the only one."""
    return int(os.environ.get("RANK", 0)) if world() > 1 else 0


def world() -> int:
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def local_rank() -> int:
    """The number of this process's device."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first() -> bool:
    """Whether this is the process that writes the run's files."""
    return rank() == 0


def is_sharded() -> bool:
    """Whether each process holds only a part of the weights, as with FSDP."""
    return world() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def first_says(value: bool, device: Any) -> bool:
    """Rank 0's value, so that all processes do the same. All have to call this."""
    if world() == 1:
        return value
    import torch

    told = torch.tensor(int(value), device=device)
    torch.distributed.broadcast(told, 0)
    return bool(told)


def gather(value: Any) -> list[Any]:
    """Every process's value, in the order of ranks. All have to call this."""
    if world() == 1:
        return [value]
    import torch

    values: list[Any] = [None] * world()
    torch.distributed.all_gather_object(values, value)
    return values


def end_with_launcher() -> None:
    """End this process and its children as soon as the launcher is gone: nothing else would end them."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="launcher", daemon=True).start()
