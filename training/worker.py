"""The process of one run: `python -m training.worker RUN_DIR`. It reads the spec, trains, and records its progress.

A launcher may start several: then rank 0 writes, and any other leaves a note in the folder if it fails.

With `--idle` it imports everything first and waits for folders on its standard input: it forks a worker for each, or
becomes one itself (training/launch/idle.py says when); without a folder it ends.
All information about the run is in files in its folder. The worker polls `control/` while it waits and after each step:
`stop` saves and ends the run. It never communicates with the process that started it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from inspector.errors import short
from inspector.rendering import sandbox
from training import answerer
from training.errors import DeviceError, TrainingError
from training.launch.idle import ANSWER, BECOME, READY
from training.run.files import write_json
from training.run.folder import ENDED, Phase, RunDir
from training.run.journal import Journal, SilentJournal
from training.run.queue import POLL_S, turn
from training.spec import RunSpec
from training.weights import bitsandbytes, ranks
from training.weights.memory import is_out_of_memory


def main(folder: Path) -> int:
    """Run one folder's spec; returns the exit status."""
    run = RunDir.open(folder)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    if ranks.world() > 1:
        ranks.end_with_launcher()
    journal = Journal(run) if ranks.is_first() else SilentJournal(run)
    try:
        with _undisturbed_afterwards():
            _work(run, journal)
    except KeyboardInterrupt:
        if ranks.world() > 1:
            return _interrupted(run, journal)
        journal.say(phase=Phase.STOPPED, waits_for=None)
        return 0
    except Exception as error:  # the run ends here, and its files must hold the reason
        traceback.print_exc()
        message, what_to_do = explained(error, run)
        run.free_reserve()
        with contextlib.suppress(TrainingError):  # a full disk may not hold the message; the log has it
            if ranks.is_first():
                journal.say(phase=Phase.FAILED, error=short(message, 2000), suggestion=what_to_do, waits_for=None)
            else:
                write_json(
                    run.fault_file,
                    {"error": f"Process {ranks.rank()}: {short(message, 2000)}", "suggestion": what_to_do},
                )
        return 1
    return 0


@contextlib.contextmanager
def _undisturbed_afterwards() -> Iterator[None]:
    """Finish the run's last message: a launcher ends all processes while one of them reports its failure."""
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _interrupted(run: RunDir, journal: Journal) -> int:
    """Handle the signal to end one of several processes: the run has to end, or another process has failed.

    The exit status is 1, so that the launcher ends the others too.
    """
    if ranks.is_first() and (run.is_asked("stop") or run.is_asked("end")):
        journal.say(phase=Phase.STOPPED, waits_for=None)
    elif ranks.is_first():
        fault = run.fault() or {
            "error": f"One of the {ranks.world()} processes exited without an error message: {_KILLED}"
        }
        journal.say(phase=Phase.FAILED, error=fault["error"], suggestion=fault.get("suggestion"), waits_for=None)
    return 1


_KILLED = "it was probably killed or ran out of memory."


def _work(run: RunDir, journal: Journal) -> None:
    from training.weights.load import device_of

    spec = run.spec()
    if "8bit" in spec.optimizer or spec.quantization != "none":
        bitsandbytes.let_in()
    else:
        bitsandbytes.leave_out()
    device = device_of(spec)
    _take_own_device(device)
    journal.say(device=device, error=None, suggestion=None)
    if not ranks.is_first():
        _follow(run, spec, journal)
        return

    def waiting(front: str) -> None:
        if run.is_asked("stop"):
            raise KeyboardInterrupt
        if journal.status.waits_for != front:
            print(f"Waits for {front or 'another run'}, which has the {device}.")
            journal.say(waits_for=front)

    with turn(run, device, waiting):
        journal.say(phase=Phase.LOADING, waits_for=None)
        from training.trainer.fit import fit

        fit(run, spec, journal)


def _take_own_device(device: str) -> None:
    """Check that each of several processes has its own GPU. Raises DeviceError if there are too few."""
    if device != "cuda" or ranks.world() == 1:
        return
    import torch

    wanted, found = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.world())), torch.cuda.device_count()
    if found < wanted:
        raise DeviceError(
            f"{wanted} processes need a GPU each, and this machine has {found}: set engine.processes: {found}, or "
            "device: cpu."
        )
    torch.cuda.set_device(ranks.local_rank())


def _follow(run: RunDir, spec: RunSpec, journal: Journal) -> None:
    """Train together with rank 0, which waits for the device and prepares the rows."""
    while (status := run.written_status()).phase is Phase.QUEUED or not run.facts().is_prepared:
        if status.phase in ENDED:
            return
        time.sleep(POLL_S)
    from training.trainer.fit import fit

    fit(run, spec, journal)


def _terminated(*_: Any) -> None:
    raise KeyboardInterrupt


def explained(error: BaseException, run: RunDir) -> tuple[str, str | None]:
    """(the error, advice if there is any)."""
    message = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
    low = message.lower()
    is_alone = ranks.world() == 1 or isinstance(error, TrainingError)
    if not is_alone and any(mark in low for mark in _LOST):  # the others are gone: their messages are the cause
        fault = run.fault()
        message = (
            fault.get("error")
            or f"One of the {ranks.world()} processes exited without an error message: {_KILLED} ({message})"
        )
        return message, fault.get("suggestion")
    if _is_full(error, run):
        return f"The disk of {run.path} is full: {message}", "Free disk space, then resume the run, or start it again."
    if is_out_of_memory(error):
        return message, "Set activation_checkpointing: true, a shorter max_length, or take a smaller model."
    if isinstance(error, ArithmeticError) or "nan" in low.split() or "inf" in low.split():
        return message, "Lower learning_rate, or use precision: fp32."
    return message, None


_LOST = ("connection closed by peer", "connection reset by peer", "gloo", "nccl")
"""Messages of torch's process groups if another process is gone."""


def _is_full(error: BaseException, run: RunDir) -> bool:
    """Whether an error comes from a full disk: torch's error only names the place in its file."""
    message = str(error).lower()
    if "no space left" in message or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    return ("write" in message or "inline_container" in message) and shutil.disk_usage(
        run.path
    ).free < NEARLY_FULL_BYTES


NEARLY_FULL_BYTES = 4_000_000
"""With fewer free bytes than this a disk counts as full: a file of some megabytes did not fit."""


def wait_for_run() -> Callable[[], int] | None:
    """Import the libraries of every run, report it, and wait for runs. Returns the task in the process that has to do
    it: a fork of this one, or this one if it cannot fork. That process writes to the run's log.

    None if the process that asked is gone.
    """
    ready, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    failure = None
    try:
        _import_everything()
    except Exception as error:  # reported once there is a log
        failure = error
    with contextlib.suppress(BrokenPipeError):
        os.write(ready, READY)
    forks = failure is None and can_fork()
    while (line := sys.stdin.buffer.readline()).endswith(b"\n"):
        what, _, folder = line[:-1].partition(b" ")
        if what == ANSWER and not forks:
            os.write(ready, b"0\n")
            continue
        if what != BECOME:
            if forks and _has_forked():
                continue
            os.write(ready, b"%d\n" % os.getpid())
        os.close(ready)
        if what == ANSWER:
            return partial(answerer.main, *map(os.fsdecode, reversed(folder.split(b"\0"))))
        run = Path(os.fsdecode(folder))
        log = os.open(RunDir(run).log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        for old, new in ((nowhere, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        if failure is not None:
            traceback.print_exception(failure)
        return partial(_timed, run)
    return None


def _timed(run: Path) -> int:
    """Work on a run, and print how long it took."""
    started = time.monotonic()
    status = main(run)
    print(f"Ended after {time.monotonic() - started:.1f} s.")
    return status


def can_fork() -> bool:
    """Whether a fork can do everything that this process can.

    A GPU's driver serves only the process that first used it.
    """
    import torch

    return sys.platform == "linux" and not torch.accelerator.is_available()


def _has_forked() -> bool:
    """Whether this is still the waiting process, and not the new one, which leads its own session."""
    if number := os.fork():
        threading.Thread(target=os.waitpid, args=(number, 0), name="run-ends", daemon=True).start()
        return True
    os.setsid()
    sandbox.warm_up()  # the sandbox at hand is the other process's child
    return False


def _import_everything() -> None:
    """Import everything that is otherwise imported on first use, and render once, so that the sandbox has its process.

    None of it is garbage, so the garbage collector is paused: it would rescan everything repeatedly.
    """
    gc.disable()
    bitsandbytes.leave_out()
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import trl
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM  # noqa: F401

    import inspector
    import training.trainer.fit  # noqa: F401
    from inspector.model.hub import EMBEDDED

    _ = trl.SFTTrainer, trl.SFTConfig
    model = inspector.load(next(iter(EMBEDDED)))
    inspector.inspect(model, [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])
    gc.enable()
    gc.collect()
    gc.freeze()  # a million objects that every later garbage collection would scan


if __name__ == "__main__":
    work = wait_for_run() if sys.argv[1:] == ["--idle"] else partial(_timed, Path(sys.argv[1]))
    status = 0 if work is None else work()
    sys.stdout.flush()
    os._exit(status)  # the libraries' threads must not keep a finished run alive
