"""Which of a run's processes this one is, and what they tell each other; alone, each of these is what it is for one.

The launcher says in the environment how many there are. Rank 0 writes the run's files; the others read them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any


def rank() -> int:
    """This process's number; 0 where it is alone."""
    return int(os.environ.get("RANK", 0)) if world() > 1 else 0


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def local_rank() -> int:
    """The number of this process's device."""
    return int(os.environ.get("LOCAL_RANK", 0))


def is_first() -> bool:
    """Whether this is the process that writes the run's files."""
    return rank() == 0


def is_sharded() -> bool:
    """Whether each process holds a part of the weights alone: FSDP."""
    return world() > 1 and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def first_says(value: bool, device: Any) -> bool:
    """What rank 0 thinks, so that all do the same. All have to ask."""
    if world() == 1:
        return value
    import torch

    told = torch.tensor(int(value), device=device)
    torch.distributed.broadcast(told, 0)
    return bool(told)


def gather(value: Any) -> list[Any]:
    """Every process's value, in the order of ranks. All have to ask."""
    if world() == 1:
        return [value]
    import torch

    values: list[Any] = [None] * world()
    torch.distributed.all_gather_object(values, value)
    return values


def end_with_launcher() -> None:
    """End this process, and what it has started, as soon as the launcher is gone: nothing else would."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="launcher", daemon=True).start()
