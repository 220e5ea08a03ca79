"""The process of one run: `python -m training.worker RUN_DIR`. Reads the spec, trains, and writes down what it does.

With `--idle` it imports everything first and takes the folder from its standard input; without one it ends there.
Everything that anybody sees of the run is a file in its folder. The worker polls `control/` while it waits and after
each step: `stop` ends the run there, saved. It never talks to the process that started it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.idle import READY
from training.journal import Journal
from training.memory import is_out_of_memory
from training.queue import turn
from training.rundir import Phase, RunDir


def main(folder: Path) -> int:
    """Run one folder's spec; returns the exit status."""
    run = RunDir.open(folder)
    signal.signal(signal.SIGTERM, _terminated)
    journal = Journal(run)
    try:
        _work(run, journal)
    except KeyboardInterrupt:
        journal.say(phase=Phase.STOPPED, waits_for=None)
        return 0
    except Exception as error:  # the run ends here, and its files have to say why
        traceback.print_exc()
        said, what_to_do = explained(error, run)
        run.free_reserve()
        with contextlib.suppress(TrainingError):  # a full disk may not take the message; the log has it
            journal.say(phase=Phase.FAILED, error=said[:2000], suggestion=what_to_do, waits_for=None)
        return 1
    return 0


def _work(run: RunDir, journal: Journal) -> None:
    from training.weights import device_of

    spec = run.spec()
    device = device_of(spec)
    journal.say(device=device, error=None, suggestion=None)

    def waiting(front: str) -> None:
        if run.is_asked("stop"):
            raise KeyboardInterrupt
        if journal.status.waits_for != front:
            print(f"Waits for {front or 'another run'}, which has the {device}.")
            journal.say(waits_for=front)

    with turn(run, device, waiting):
        journal.say(phase=Phase.LOADING, waits_for=None)
        from training.fit import fit

        fit(run, spec, journal)


def _terminated(*_: Any) -> None:
    raise KeyboardInterrupt


def explained(error: BaseException, run: RunDir) -> tuple[str, str | None]:
    """(what happened, what to do about it where that is known)."""
    said = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
    low = said.lower()
    if _is_full(error, run):
        return f"The disk of {run.path} is full: {said}", "Free disk space, then resume the run, or start it again."
    if is_out_of_memory(error):
        return said, "Set activation_checkpointing: true, a shorter max_length, or take a smaller model."
    if isinstance(error, ArithmeticError) or "nan" in low.split() or "inf" in low.split():
        return said, "Lower learning_rate, or use precision: fp32."
    return said, None


def _is_full(error: BaseException, run: RunDir) -> bool:
    """Whether an error comes from a full disk: torch's says no more than where in its file it was."""
    said = str(error).lower()
    if "no space left" in said or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    return ("write" in said or "inline_container" in said) and shutil.disk_usage(run.path).free < NEARLY_FULL_BYTES


NEARLY_FULL_BYTES = 4_000_000
"""What is left where a file of some megabytes did not fit."""


def wait_for_run() -> Path | None:
    """Import what every run needs, say so, and wait for a run's folder; then write where that run's worker writes.

    None when the process that asked is gone.
    """
    ready, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    failure = None
    try:
        _import_everything()
    except Exception as error:  # told once there is a log to tell it in
        failure = error
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, READY)
    os.close(ready)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return None
    folder = Path(os.fsdecode(line[:-1]))
    log = os.open(RunDir(folder).log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for old, new in ((nowhere, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    if failure is not None:
        traceback.print_exception(failure)
    return folder


def _import_everything() -> None:
    """What is imported on first use otherwise, and one render, so that the sandbox has its process."""
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import trl
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM  # noqa: F401

    import inspector
    import training.fit  # noqa: F401
    from inspector.hub import EMBEDDED

    _ = trl.SFTTrainer, trl.SFTConfig
    model = inspector.load(next(iter(EMBEDDED)))
    inspector.inspect(model, [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
    gc.collect()
    gc.freeze()  # a million objects that every later collection would look through


if __name__ == "__main__":
    given = wait_for_run() if sys.argv[1:] == ["--idle"] else Path(sys.argv[1])
    started = time.monotonic()
    status = 0 if given is None else main(given)
    if given is not None:
        print(f"Ended after {time.monotonic() - started:.1f} s.")
    sys.stdout.flush()
    os._exit(status)  # threads of the libraries must not keep a finished run alive
