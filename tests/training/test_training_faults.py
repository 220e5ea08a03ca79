"""What goes wrong from outside: after each fault it is said what happened and what to do, nothing is left running, and
nothing that was finished is lost. (Runs that queue, and one that is killed in front of them: test_training_life.)
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.training_runs import (
    FAST,
    ROOT,
    assert_nothing_runs,
    begin,
    ended,
    family,
    go_on,
    held,
    run_here,
    wait_for,
)
from tests.support.waiting import HANG_S
from training.errors import RunFolderError, RunStateError
from training.launch import runs
from training.run.files import write_json
from training.run.folder import Phase, RunDir, Status, append_line, read_lines, step_of
from training.spec import parse_spec
from training.weights.memory import is_out_of_memory, reduced, smaller
from training.worker import can_fork, explained

MANY_ANSWERS = {"prompts": ["Name three colours."] * 12, "max_new_tokens": 16}
"""They make a saving phase of half a second or more."""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., RunDir]]:
    """A function that starts a run; whatever still runs at the end is killed."""
    made: list[RunDir] = []

    def start(root: Path = tmp_path / "runs", **fields: Any) -> RunDir:
        made.append(begin(root, **fields))
        return made[-1]

    yield start
    for run in made:
        runs.kill(run)


def is_in(phase: Phase) -> Callable[[Status], bool]:
    """Whether a run is in a phase, or over."""
    return lambda status: status.phase is phase or ended(status)


def killed(run: RunDir) -> Status:
    """Kill the worker as the kernel does; what is said of it at once, without another word of it."""
    known = family(run)
    os.kill(known[0].pid, signal.SIGKILL)
    status = wait_for(run, ended)
    assert_nothing_runs(run, known)
    assert status.phase is Phase.FAILED
    assert "exited without an error message" in str(status.error)
    return status


# --- killed


def test_killed_while_it_loads(started: Callable[..., RunDir]) -> None:
    """There is nothing to go on from; the same again is one command."""
    with held(started, max_steps=5) as run:
        assert run.status().phase is Phase.LOADING, run.log_tail()
        status = killed(run)
    assert "Start it again (rerun)" in str(status.suggestion)
    with pytest.raises(RunStateError, match="has no checkpoint to resume from"):
        runs.resume(run)


def test_killed_while_it_trains_and_while_it_saves(started: Callable[..., RunDir]) -> None:
    """It goes on from the newest checkpoint each time, over lines that were cut in the middle, and ends well."""
    run = started(max_steps=20, save_every=4, keep_checkpoints=2, sampling=MANY_ANSWERS)
    wait_for(run, lambda status: status.step >= 9 or ended(status))
    status = killed(run)
    checkpoint = run.checkpoint()
    assert checkpoint is not None
    assert step_of(checkpoint) >= 8
    assert f"Resume it: it continues from step {step_of(checkpoint)}" in str(status.suggestion)
    finished = [line for line in run.metrics() if line["step"] <= step_of(checkpoint)]
    before = run.samples()
    for path in (run.metrics_file, run.samples_file):
        with path.open("ab") as file:
            file.write(b'{"step": 99, "lo')
    assert [line for line in run.metrics() if line["step"] <= step_of(checkpoint)] == finished
    (run.checkpoints / "checkpoint-19").mkdir()
    (run.checkpoints / "checkpoint-19" / "trainer_state.json").write_text('{"epoch": ')
    go_on(run)
    assert wait_for(run, is_in(Phase.SAVING)).phase is Phase.SAVING, run.log_tail()
    status = killed(run)
    assert run.checkpoint() == run.checkpoints / "checkpoint-20"
    assert "Resume it: it continues from step 20" in str(status.suggestion)
    unproven = {name: value for name, value in run.manifest().items() if name != "proof"}
    write_json(run.manifest_file, unproven)  # as if it had been killed an instant earlier
    go_on(run)
    assert wait_for(run, ended).phase is Phase.SUCCEEDED, run.log_tail()
    assert [line["step"] for line in run.metrics() if "loss" in line] == list(range(1, 21))
    assert [line for line in run.metrics() if line["step"] <= step_of(checkpoint)] == finished
    assert run.samples()[: len(before)] == before
    assert sum(sample["when"] == "after" for sample in run.samples()) == 12
    assert "in 12 different rows" in run.manifest()["proof"]["sentence"]
    assert_nothing_runs(run)


def test_run_outlives_its_server(tmp_path: Path) -> None:
    """Whether its process is the one that waited, and still imported, or was forked from the next one, which waits on:
    it has the pid, group and log of any other. The worker that waits ends with the server.
    """
    script = (
        "import time\nfrom pathlib import Path\nfrom training.launch import idle, runs\n"
        "from training.spec import parse_spec\n"
        "def start():\n"
        f"    run = runs.start(parse_spec({ {**FAST, 'max_steps': 30}!r}), Path({str(tmp_path)!r}))\n"
        "    print(run.run_id, waiting, flush=True)\n"
        "runs.warm_up(); runs.warm_up()\nwaiting = idle._waiting.process.pid\nstart()\nruns.warm_up()\n"
        "waiting = idle._waiting.process.pid\nwhile not idle.is_warm(): time.sleep(.05)\n"
        "start()\nruns.warm_up()\nprint(idle._waiting.process.pid, flush=True)\ntime.sleep(1e6)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    (became, first_waiting), (forked, waiting), (still,) = (server.stdout.readline().split() for _ in range(3))
    made = [runs.find(run_id, tmp_path) for run_id in (became, forked)]
    assert made[0].process()[0] == int(first_waiting)
    assert (made[1].process()[0] != int(waiting)) is (still == waiting) is can_fork()
    assert waiting != first_waiting
    known = [process for run in made if not ended(run.status()) for process in family(run)]
    idler = psutil.Process(int(still))
    server.kill()
    server.wait()
    server.stdout.close()
    for run in made:
        assert (status := wait_for(run, ended)).phase is Phase.SUCCEEDED, run.log_tail()
        assert status.step == 30
        assert_nothing_runs(run, known)
        assert "Ended after" in run.log_tail(1)
    assert [found.run_id for found in runs.list_runs(tmp_path)] == [became, forked]
    idler.wait(HANG_S)


# --- stopped


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.TRAINING, Phase.SAVING])
def test_stopped_in_a_phase(started: Callable[..., RunDir], phase: Phase) -> None:
    """Nothing of it runs any more; while it ran it could not be deleted."""
    run = started(max_steps=5 if phase is Phase.SAVING else 100_000, sampling=MANY_ANSWERS, log_every=100)
    assert wait_for(run, is_in(phase)).phase is phase, run.log_tail()
    known = family(run)
    with pytest.raises(RunStateError, match=r"is still \w+: stop it first"):
        runs.delete(run)
    runs.stop(run, save=False)
    assert_nothing_runs(run, known)
    assert run.status().phase is Phase.STOPPED
    runs.delete(run)
    assert not run.path.exists()


def test_asked_to_stop_before_the_first_step(started: Callable[..., RunDir]) -> None:
    """It does not make one first."""
    with held(started, max_steps=100_000) as run:
        assert run.status().phase is Phase.LOADING, run.log_tail()
        run.ask("stop")
    status = wait_for(run, ended)
    assert (status.phase, status.step) == (Phase.STOPPED, 0)
    assert_nothing_runs(run)


# --- the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_is_full(started: Callable[..., RunDir], small_disk: Path) -> None:
    """Said in the status, for which space was kept; with more space it goes on."""
    run = started(small_disk / "runs", max_steps=12, save_every=1, keep_checkpoints=100)
    status = wait_for(run, ended)
    assert status.phase is Phase.FAILED
    assert f"The disk of {run.path} is full: " in str(status.error)
    assert "Free disk space, then resume the run" in str(status.suggestion)
    finished = run.metrics()
    assert [line["step"] for line in finished] == list(range(1, len(finished) + 1))
    assert len(run.samples()) == 3
    assert_nothing_runs(run)
    assert run.checkpoint() is not None
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    go_on(run)
    assert wait_for(run, ended).phase is Phase.SUCCEEDED, run.log_tail()
    assert [line["step"] for line in run.metrics()] == list(range(1, 13))


def fill(path: Path) -> None:
    """Write lines until there is no space for another."""
    while True:
        append_line(path, {"step": 1, "text": "x" * 10_000})


def test_what_a_full_disk_says(small_disk: Path) -> None:
    """torch says no more than that writing failed; a line that was cut is ended by the next one."""
    torch_says = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 819392 vs 819284")
    elsewhere = RunDir.create(small_disk.parent / "runs", parse_spec(FAST))
    assert explained(torch_says, elsewhere) == (f"RuntimeError: {torch_says}", None)
    run = RunDir.create(small_disk, parse_spec(FAST))
    run.keep_reserve()
    with pytest.raises(RunFolderError, match=r"metrics.jsonl cannot be written: No space left on device") as full:
        fill(run.metrics_file)
    said, remedy = explained(torch_says, run)
    assert said.startswith(f"The disk of {run.path} is full: RuntimeError: [enforce fail")
    assert "Free disk space" in str(remedy)
    assert explained(full.value, run)[0].startswith(f"The disk of {run.path} is full: ")
    whole = len(read_lines(run.metrics_file)[0])
    run.free_reserve()
    append_line(run.metrics_file, {"step": 2})
    assert len(read_lines(run.metrics_file)[0]) == whole + 1


def test_runs_folder_cannot_be_written(tmp_path: Path) -> None:
    """Named before anything starts, with the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be made: Not a directory"):
        runs.start(parse_spec(FAST), tmp_path / "file")
    run = RunDir.create(tmp_path / "runs", parse_spec(FAST))
    run.control.rmdir()
    run.control.write_text("")
    with pytest.raises(RunFolderError, match=r"control cannot be written: File exists"):
        run.ask("stop")


# --- the numbers


def test_loss_is_no_number(started: Callable[..., RunDir]) -> None:
    """The run ends there, and says at which step."""
    run = started(max_steps=30, learning_rate=1e30, lora=False, scheduler="constant", warmup=0)
    status = wait_for(run, ended)
    assert status.phase is Phase.FAILED
    assert re.search(r"The (loss|grad_norm) is (nan|inf) at step \d+", str(status.error)), run.log_tail()
    assert "Lower learning_rate" in str(status.suggestion)
    assert_nothing_runs(run)


# --- memory


def long_rows(folder: Path) -> str:
    """A file of eight rows of some hundred tokens."""
    path = folder / "long.jsonl"
    answer = " ".join(f"word {number}" for number in range(200))
    path.write_text("".join(json.dumps({"question": f"Say {i}.", "answer": answer}) + "\n" for i in range(8)))
    return str(path)


def limit(run: RunDir, megabytes: int) -> None:
    """Let the worker have so much address space more than it has before it loads the weights."""
    worker = psutil.Process(run.process()[0])
    most = worker.memory_info().vms + megabytes * 1_000_000
    worker.rlimit(psutil.RLIMIT_AS, (most, most))


LEAN = {"max_length": 400, "micro_batch": 8, "device": "cpu", "sampling": {"max_new_tokens": 2}}
"""A run whose memory is its rows'."""


def test_memory_runs_out(started: Callable[..., RunDir], tmp_path: Path) -> None:
    """The same rows in each step, in smaller parts; the spec stays what was asked, and the rest says what was done."""
    data = long_rows(tmp_path)
    with held(started, **LEAN, data=data, max_steps=3) as run:
        limit(run, 670)
    status = wait_for(run, ended)
    assert status.phase is Phase.SUCCEEDED, run.log_tail()
    first, *_ = status.notes
    assert first.startswith("Memory ran out with micro_batch 8: continues from the start with micro_batch 4 and acc")
    assert run.manifest()["notes"] == list(status.notes)
    done = run.manifest()["reduced"]
    assert done["micro_batch"] * done["accumulation"] == 8
    assert first in run.log_file.read_text()
    assert first in (run.adapter / "README.md").read_text()
    assert (run.spec().micro_batch, run.spec().accumulation) == (8, 1)
    assert len([s for s in run.samples() if s["when"] == "before"]) == 3
    whole = run_here(tmp_path / "whole", **LEAN, data=data, max_steps=3)
    expected = [line["loss"] for line in whole.metrics()]
    assert [line["loss"] for line in run.metrics()] == pytest.approx(expected, rel=1e-4)


def test_memory_is_too_small_for_one_row(started: Callable[..., RunDir], tmp_path: Path) -> None:
    """The run fails, with what else could help."""
    with held(started, **{**LEAN, "micro_batch": 1, "max_length": 1000}, data=long_rows(tmp_path), max_steps=2) as run:
        limit(run, 120)
    status = wait_for(run, ended)
    assert status.phase is Phase.FAILED
    assert "Memory ran out with micro_batch 1, which is the least: " in str(status.error), run.log_tail()
    assert "activation_checkpointing: true" in str(status.suggestion)
    assert_nothing_runs(run)


def test_smaller_parts_make_the_same_batch() -> None:
    """Half, or the next number that divides the batch; a resumed run begins with what it came down to."""
    sizes = {(8, 1): (4, 2), (6, 1): (3, 2), (3, 1): (1, 3), (5, 2): (2, 5), (7, 1): (1, 7)}
    for (micro, accumulation), expected in sizes.items():
        spec = parse_spec({**FAST, "micro_batch": micro, "accumulation": accumulation})
        part = smaller(spec)
        assert part is not None
        assert (part.micro_batch, part.accumulation) == expected
        assert smaller(parse_spec({**FAST, "micro_batch": 1})) is None
        assert reduced(spec, {"micro_batch": 1, "accumulation": 9}).accumulation == 9
        assert reduced(spec, {}) == spec
    cause = RuntimeError("x")
    cause.__cause__ = MemoryError()
    assert is_out_of_memory(cause)
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not is_out_of_memory(ValueError("out of memory"))
