"""Several processes train one run: as one process would, stopped and ended together; metrics go where the spec says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import inspector
from tests.support.training_runs import FAST, ROOT, assert_nothing_runs, ended, family, wait_for
from tests.support.waiting import HANG_S, wait_until
from training.errors import DeviceError, OutOfMemoryError, RunFolderError, SpecError
from training.launch import engines, runs
from training.rows.written import row_hash
from training.run.folder import Phase, RunDir, Status, read_lines
from training.run.journal import Journal, SilentJournal
from training.spec import RunSpec, parse_spec
from training.trainer.proof import ProvingCollator
from training.weights import ranks

CPU_CONFIG = "examples/engines/cpu_config.yaml"


def spec_of(**fields: Any) -> RunSpec:
    """A small run on the CPU."""
    return parse_spec({**FAST, "device": "cpu", "micro_batch": 2, "max_steps": 3, **fields})


def losses(run: RunDir) -> list[float]:
    """Of each step."""
    return [line["loss"] for line in read_lines(run.metrics_file)[0] if "loss" in line]


STEADY = {"scheduler": "constant", "warmup": 0.0}
"""So that the first steps do not depend on how many there are to be."""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDir]:
    """Two processes, started from the command line through accelerate's launcher, and interrupted after some steps."""
    root = tmp_path_factory.mktemp("together")
    spec = spec_of(max_steps=100_000, engine={"accelerate_config": CPU_CONFIG}, **STEADY)
    (root / "spec.yaml").write_text(spec.to_yaml())
    command = [sys.executable, "-m", "training", "run", str(root / "spec.yaml"), "--runs", str(root / "runs")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    ) as process:  # fmt: skip
        wait_until(lambda: runs.list_runs(root / "runs"))
        (run,) = runs.list_runs(root / "runs")
        try:
            wait_for(run, lambda status: status.step >= 4 or ended(status))
            known = family(run)
            process.send_signal(signal.SIGINT)
            said = process.communicate()[0]
            assert process.returncode == 0, said
            assert len(known) >= 3  # the launcher and its two
            assert_nothing_runs(run, known)
            yield run
        finally:
            runs.kill(run)
            process.kill()


def test_two_processes_train_what_one_would(together: RunDir, tmp_path: Path) -> None:
    """The losses of one process with micro-batches of twice the size; what is saved after the stop loads."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training.trainer.fit import fit

    status = together.status()
    assert (status.phase, status.error) == (Phase.STOPPED, None), together.log_tail()
    spec = spec_of(micro_batch=4, **STEADY)
    alone = RunDir.create(tmp_path, spec)
    fit(alone, spec, Journal(alone))
    assert losses(together)[:3] == pytest.approx(losses(alone), rel=1e-4)
    base = AutoModelForCausalLM.from_pretrained(str(ROOT / "models" / "tiny-chat"))
    assert PeftModel.from_pretrained(base, str(together.adapter)).peft_config["default"].r == 16
    assert together.checkpoint() is not None


def test_each_process_proves_its_rows(together: RunDir) -> None:
    """The sentence counts the rows of all; one process alone writes: each step once, three answers before and after."""
    sentence = together.manifest()["proof"]["sentence"]
    assert "111 trained tokens of 314 in 12 different rows" in sentence
    assert sentence.endswith("each of 2 processes proved its own rows.")
    assert together.log_file.read_text().count("12 rows train 111 of 314 tokens.") == 1
    steps = [line["step"] for line in read_lines(together.metrics_file)[0] if "loss" in line]
    assert steps == list(range(1, len(steps) + 1))
    assert [s["when"] for s in together.samples()] == ["before"] * 3 + ["after"] * 3
    assert (together.path / "accelerate.yaml").read_text() == (ROOT / CPU_CONFIG).read_text()


def test_of_a_killed_process_the_run_says_so(tmp_path: Path) -> None:
    """Through torch's launcher, without a file: it has failed, and no other process is left."""
    run = runs.start(spec_of(max_steps=100_000, log_every=1000, engine={"processes": 2}), tmp_path)
    try:
        wait_for(run, lambda status: status.step >= 1 or ended(status))
        known = family(run)
        second = next(process for process in known if process.environ().get("RANK") == "1")
        second.send_signal(signal.SIGKILL)
        status = wait_for(run, ended)
    finally:
        runs.kill(run)
    assert status.phase is Phase.FAILED
    assert str(status.error).startswith(
        "One of the 2 processes exited without an error message: it was probably killed"
    ), status.error
    assert_nothing_runs(run, known)


def test_processes_end_with_their_launcher() -> None:
    """However that ends: nobody else would end them."""
    waits = "print('up', flush=True); time.sleep(1e6)"
    own = f"from training.weights import ranks; import time; ranks.end_with_launcher(); {waits}"
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {own!r}], start_new_session=True)"
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        (child,) = psutil.Process(process.pid).children()
        process.kill()
        assert child.wait(HANG_S) is None or not child.is_running()


def test_ranks_of_one_process() -> None:
    """Everything is what it is for one."""
    assert (ranks.world(), ranks.rank(), ranks.is_first(), ranks.is_sharded()) == (1, 0, True, False)
    assert ranks.first_says(True, "cpu")
    assert ranks.gather(5) == [5]


def test_ranks_of_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the launcher tells them."""
    for name, value in (("LOCAL_RANK", "1"), ("RANK", "1"), ("WORLD_SIZE", "2"), ("ACCELERATE_USE_FSDP", "true")):
        monkeypatch.setenv(name, value)
    assert (ranks.world(), ranks.rank(), ranks.local_rank()) == (2, 1, 1)
    assert (ranks.is_first(), ranks.is_sharded()) == (False, True)


def test_memory_that_runs_out_in_one_of_several_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would wait for its part of the step."""
    from training.trainer import fit

    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(fit, "_prepare", lambda *_: (inspector.load("tiny-chat"), []))
    monkeypatch.setattr(fit, "_attempt", lambda *_: "it was full")
    run = RunDir.create(tmp_path, spec_of())
    with pytest.raises(OutOfMemoryError, match=r"in one of 2 processes: set a smaller micro_batch. it was full"):
        fit.fit(run, run.spec(), Journal(run))


def test_configuration_is_kept_in_the_run(tmp_path: Path) -> None:
    """Or it is said that it could not be."""
    with pytest.raises(RunFolderError, match=r"accelerate.yaml cannot be written: No such file or directory"):
        engines.keep_config(RunDir(tmp_path / "gone"), spec_of(engine={"accelerate_config": CPU_CONFIG}))


def test_proofs_of_several_processes_add_up() -> None:
    """Rows that two have proven count once."""
    shown = {row_hash([n], [n]): (n, n) for n in (1, 2, 3)}
    one, other = ProvingCollator(None, shown), ProvingCollator(None, shown)
    one.seen, other.seen = ({key: shown[key] for key in list(shown)[part]} for part in (slice(2), slice(1, 3)))
    one.add(other.found())
    assert (len(one.seen), one.tokens, one.trained) == (3, 6, 6)


def test_proof_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Which rows, how many of their tokens train, and that some were cut."""
    saved, nothing, loaded = (ProvingCollator(None, {}) for _ in range(3))
    saved.add(({-(2**63): (9, 4), 7: (3, 3)}, {7}))
    saved.save(tmp_path)
    loaded.load(tmp_path)
    assert loaded.found() == saved.found()
    assert loaded.sentence() == saved.sentence()
    nothing.save(tmp_path)
    nothing.load(tmp_path)
    nothing.load(tmp_path / "of an older version")
    assert nothing.found() == ({}, set())
    assert nothing.sentence() == "No row has been seen, so nothing is known of what trained."


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    """They remember the status alone."""
    run = RunDir.create(tmp_path, spec_of())
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    journal = SilentJournal(run)
    journal.say(step=7)
    journal.note("x")
    journal.measure({"step": 1})
    journal.sample("before", 0, [], [])
    journal.judge("before", 0, [], [])
    journal.score("before", 0, [])
    assert journal.status.step == 7
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_process_that_failed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process has left in the folder is the run's error, whoever of the two is told to end first."""
    from training import worker
    from training.run.files import write_json

    run = RunDir.create(tmp_path, spec_of())
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    write_json(run.fault_file, {"error": "Process 1: it broke.", "suggestion": "Mend it."})
    assert worker.explained(RuntimeError("[gloo] Connection closed by peer"), run) == (
        "Process 1: it broke.",
        "Mend it.",
    )
    assert worker._interrupted(run, Journal(run)) == 1
    assert (run.status().phase, run.status().error) == (Phase.FAILED, "Process 1: it broke.")
    run.ask("end")
    assert worker._interrupted(run, Journal(run)) == 1
    assert run.status().phase is Phase.STOPPED
    write_json(run.worker_file, {"pid": 2**22 + 1, "started": time.time()})
    run.write_status(Status())
    assert (run.status().phase, run.status().suggestion) == (Phase.FAILED, "Mend it.")


def test_last_words_are_said_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher tells a process to end because another one has ended, while this one says so."""
    from training import worker

    def lost(*_: Any) -> None:
        raise RuntimeError("[gloo] Connection closed by peer")

    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(ranks, "end_with_launcher", lambda: None)
    monkeypatch.setattr(worker, "_work", lost)
    monkeypatch.setattr(worker.traceback, "print_exc", lambda: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    run = RunDir.create(tmp_path, spec_of())
    try:
        assert worker.main(run.path) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert str(run.status().error).startswith(
        "One of the 2 processes exited without an error message: it was probably killed"
    )


def test_too_few_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process needs one."""
    from training.worker import _take_own_device

    for name, value in (("LOCAL_RANK", "0"), ("WORLD_SIZE", "64"), ("LOCAL_WORLD_SIZE", "64")):
        monkeypatch.setenv(name, value)
    _take_own_device("cpu")
    with pytest.raises(DeviceError, match=r"64 processes need a GPU each, and this machine has \d+: set engine"):
        _take_own_device("cuda")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory. Write it with: accelerate config --config_file"),
        ("a: [", "is not a file of `accelerate config`"),
        ("- 1", "is not a file of `accelerate config`"),
        ("num_machines: 2", "num_machines is more than 1: runs are started on this machine alone. Set it to 1."),
        ("distributed_type: MULTI_CPU", "is MULTI_CPU, with which accelerate starts a single process"),
    ],
)
def test_configuration_of_accelerate_is_checked(tmp_path: Path, text: str | None, said: str) -> None:
    """Before a folder is made."""
    path = tmp_path / "accelerate.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SpecError, match=r"engine.accelerate_config") as refused:
        runs.start(spec_of(engine={"accelerate_config": str(path)}), tmp_path / "runs")
    assert said in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_how_workers_are_started(tmp_path: Path) -> None:
    """One process alone, torch's launcher, accelerate's with its file; the shipped files are such files."""
    run = RunDir.create(tmp_path, spec_of())
    assert engines.command(run, spec_of())[1:] == ["-m", "training.worker", str(run.path)]
    several = engines.command(run, spec_of(engine={"processes": 2}))
    assert several[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with_file = engines.command(run, spec_of(engine={"processes": 4, "accelerate_config": CPU_CONFIG}))
    assert with_file[1:4] == ["-m", "accelerate.commands.launch", "--config_file"]
    assert with_file[5:7] == ["--num_processes", "4"]
    for path in (ROOT / "examples" / "engines").glob("*.yaml"):
        engines.check_machine(spec_of(engine={"accelerate_config": str(path)}))
    fsdp = yaml.safe_load((ROOT / "examples" / "engines" / "fsdp_config.yaml").read_text())
    assert fsdp["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    from accelerate.commands.config.config_args import load_config_from_file

    assert load_config_from_file(str(ROOT / "examples" / "engines" / "fsdp_config.yaml")).num_processes == 2


# --- sinks


def test_missing_sink_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how it is installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for sink in ("tensorboard", "trackio"):
        with pytest.raises(SpecError, match=f"report: {sink} is not installed. pip install {sink}, or leave it out"):
            runs.start(spec_of(report=[sink]), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_tensorboard_gets_event_files(tmp_path: Path) -> None:
    """In the run's folder."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from training.trainer.fit import fit

    spec = spec_of(report=["tensorboard"])
    run = RunDir.create(tmp_path, spec)
    fit(run, spec, Journal(run))
    events = EventAccumulator(str(run.path / "logs"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(run.path / "logs")
