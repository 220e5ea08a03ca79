"""Training on a ZeroGPU Space. The GPU is lent to one call of a function, in a process that ends when it returns. So
that call is the whole run: it ends, with the adapter saved, before the time is over.

Imported before torch, and only on such a Space, which looks for the function when it starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import copy_context
from pathlib import Path

import spaces

from training.run.files import write_json
from training.run.folder import RunDir
from training.run.processes import born
from training.spec import RunSpec

SECONDS = int(os.environ.get("MASKSCOPE_GPU_SECONDS", "120"))
"""Seconds for which the GPU is requested."""
SAVES_S = 20
"""Part of these seconds that is reserved for saving and for the answers after the training."""


def start(spec: RunSpec, root: Path) -> RunDir:
    """Start a run in a call that has the GPU. Raises RunFolderError."""
    run = RunDir.create(root, spec)
    threading.Thread(target=copy_context().run, args=(train, str(run.path)), name="zero-gpu").start()
    return run


@spaces.GPU(duration=SECONDS)  # type: ignore[untyped-decorator]
def train(folder: str) -> int:
    """Do the whole run, with its output in its log; returns the worker's exit status."""
    from training.worker import main

    run = RunDir(Path(folder))
    write_json(run.worker_file, {"pid": os.getpid(), "started": born(os.getpid())})
    clock = threading.Timer(max(1, SECONDS - SAVES_S), run.ask, ["stop"])
    clock.daemon = True
    clock.start()
    try:
        log = run.log_file.open("a", encoding="utf-8")
        with log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            return main(run.path)
    finally:
        clock.cancel()
