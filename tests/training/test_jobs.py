"""A run as a job: what is sent, what its log says, how it ends; stopped, killed, and followed again."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import signal
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.hub_server import Fault, HubServer
from tests.support.hub_writes import RefusedError
from tests.support.training_runs import DATA, ROOT, ended, wait_for
from tests.support.waiting import HANG_S
from training.__main__ import main
from training.errors import JobError, RunStateError, SpecError
from training.follower import Follower
from training.launch import bundle, runs
from training.launch.jobs import IMAGE, Jobs, seconds_of
from training.run import lines
from training.run.folder import Phase, RunDir, append_line, read_lines
from training.run.journal import Journal
from training.run.lines import MARK, Listener, tell
from training.spec import RunSpec, parse_spec

TOKEN = "hf_ThisIsNobodysToken"
JOB = {
    "model": "ann/tiny", "data": DATA, "max_steps": 3, "sampling": {"max_new_tokens": 8},
    "publish": {"repo": "ann/out"}, "engine": {"flavor": "cpu-basic", "timeout": "10m"},
}  # fmt: skip


def spec_of(**fields: Any) -> RunSpec:
    """A run that is a job."""
    return parse_spec({**JOB, **fields})


@pytest.fixture
def ann(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The hub, where Ann's token is this machine's and a small model is."""
    token = hub.user(TOKEN, "ann")
    monkeypatch.setenv("HF_TOKEN", token)
    hub.add("ann/tiny", ROOT / "models" / "tiny-chat", private=True, readers=(token,))
    return hub


def said(number: int, kind: str, **value: Any) -> str:
    """A marked line."""
    return f"{MARK} 1/1 " + json.dumps({"kind": kind, "n": number, "value": value})


def prints(*what: str | float | Path, code: int = 0) -> list[str]:
    """The command of a job that prints lines, waits for seconds, and waits until a file is there."""

    def step(one: str | float | Path) -> str:
        if isinstance(one, Path):
            return f"until [ -e {shlex.quote(str(one))} ]; do sleep 0.05; done"
        return f"sleep {one}" if isinstance(one, float) else f"printf '%s\\n' {shlex.quote(one)}"

    return ["sh", "-c", "; ".join([*map(step, what), f"exit {code}"])]


def followed(root: Path, **fields: Any) -> RunDir:
    """A run whose job was followed to its end, in this process."""
    spec = spec_of(**fields)
    run = RunDir.create(root, spec)
    Follower(run, Journal(run)).follow()
    return run


# --- one job that really trains


def test_job_trains_and_publishes(ann: HubServer, tmp_path: Path) -> None:
    """It installs, loads the model from the hub, trains the rows that came along, and publishes; the run's folder has
    what it has of a run on this machine. The token is a secret of the job and nowhere else."""
    run = runs.start(spec_of(), tmp_path)
    status = wait_for(run, ended)
    assert (status.phase, status.step, status.max_steps) == (Phase.SUCCEEDED, 3, 3), (status, run.log_tail())
    assert status.device == "cpu-basic"
    assert [line["step"] for line in run.metrics() if "loss" in line] == [1, 2, 3]
    assert [sample["when"] for sample in run.samples()] == ["before"] * 3 + ["after"] * 3
    assert len(read_lines(run.scores_file)[0]) == 6
    assert "111 trained tokens of 314 in 12 different rows" in run.manifest()["proof"]["sentence"]
    assert run.manifest()["published"]["url"] == f"{ann.url}/ann/out"
    repo = ann.find("models", "ann/out")
    assert repo is not None
    assert "adapter_model.safetensors" in repo.commits[repo.refs["main"]]
    (job,) = ann.jobs.values()
    assert status.notes == (f"It trains at {ann.url}/jobs/ann/{job.id}",)
    assert (job.stage, run.job()["id"], run.job()["stage"]) == ("COMPLETED", job.id, "COMPLETED")
    assert job.wanted["secrets"] == {"HF_TOKEN": TOKEN}
    assert TOKEN not in json.dumps({**job.wanted, "secrets": {}})
    assert (job.wanted["dockerImage"], job.wanted["timeoutSeconds"]) == (IMAGE, 600)
    assert "12 rows train 111 of 314 tokens." in run.log_file.read_text()
    assert not any(TOKEN in path.read_text("utf-8", "replace") for path in run.path.rglob("*") if path.is_file())
    with pytest.raises(RunStateError, match="did all its steps"):
        runs.resume(run)


# --- how jobs end


def test_job_that_fails_says_its_last_words(ann: HubServer, tmp_path: Path) -> None:
    """Before the run itself says anything; then it is over, and its disk gone."""
    ann.instead = prints("Collecting torch", "ERROR: no such version", code=3)
    run = followed(tmp_path)
    status = run.status()
    assert status.phase is Phase.FAILED
    assert str(status.error).startswith("The job ended with ERROR: exit code 3. Last output: ")
    assert f"See {ann.url}/jobs/ann/" in str(status.suggestion)
    with pytest.raises(RunStateError, match=r"has ended, and its disk is gone: start it again \(rerun\)"):
        runs.resume(run)
    runs.delete(run)


def test_run_that_fails_in_a_job_says_why(ann: HubServer, tmp_path: Path) -> None:
    """Its own error and what to do about it."""
    last = said(2, "status", phase="failed", step=4, error="The loss is nan.", suggestion="Lower it.", notes=["Hm."])
    ann.instead = prints(said(1, "status", phase="training", step=4, max_steps=9), last, code=1)
    status = followed(tmp_path).status()
    assert (status.phase, status.error, status.suggestion) == (Phase.FAILED, "The loss is nan.", "Lower it.")
    assert (status.step, status.notes[-1]) == (4, "Hm.")


def test_job_runs_out_of_time(ann: HubServer, tmp_path: Path) -> None:
    """Said, with what to set."""
    ann.instead = prints(said(1, "status", phase="training", step=1, max_steps=9), HANG_S)
    status = followed(tmp_path, engine={"flavor": "cpu-basic", "timeout": "1s"}).status()
    assert (status.phase, status.step) == (Phase.FAILED, 1)
    assert str(status.error).startswith("The job was ended after its timeout of 1s.")
    assert "Set a longer engine.timeout" in str(status.suggestion)


def test_request_to_stop_cancels_the_job(ann: HubServer, tmp_path: Path) -> None:
    """It does not come to its own end."""
    ann.instead = prints(said(1, "status", phase="training", step=1, max_steps=9), HANG_S)
    run = RunDir.create(tmp_path, spec_of())
    threading.Timer(0.5, run.ask, ("stop",)).start()
    Follower(run, Journal(run)).follow()
    assert (run.status().phase, run.status().error) == (Phase.STOPPED, None)
    assert [job.stage for job in ann.jobs.values()] == ["CANCELED"]


def test_killed_follower_is_replaced(ann: HubServer, tmp_path: Path) -> None:
    """The job goes on meanwhile: the run says so, is not deleted, and is followed again from where it was heard; told
    to end at once, the job is cancelled with it."""
    heard = [said(n, "metric", step=n, loss=1.0 / n) for n in (1, 2, 3)]
    status = said(9, "status", phase="training", step=3, max_steps=9)
    go_on = tmp_path / "go on"
    ann.instead = prints("first words", *heard[:2], go_on, *heard[2:], status, HANG_S)
    run = runs.start(spec_of(), tmp_path)
    wait_for(run, lambda status: len(run.metrics()) == 2 or ended(status))
    os.kill(run.process()[0] or 0, signal.SIGKILL)
    failed = wait_for(run, ended)
    assert failed.suggestion == "Its job is still running: resume the run to follow it again, or to stop it."
    with pytest.raises(RunStateError, match="may still run: resume the run, and stop it first"):
        runs.delete(run)
    go_on.touch()
    runs.resume(run)
    assert wait_for(run, lambda status: status.step == 3 or ended(status)).phase is Phase.TRAINING, run.log_tail()
    assert [line["step"] for line in read_lines(run.metrics_file)[0]] == [1, 2, 3]
    assert run.log_file.read_text().count("first words") == 1
    assert len(ann.jobs) == 1
    runs.stop(run, save=False)
    assert run.status().phase is Phase.STOPPED
    assert [job.stage for job in ann.jobs.values()] == ["CANCELED"]


def test_follower_that_is_told_to_end_leaves_the_job(ann: HubServer, tmp_path: Path) -> None:
    """As when the machine is shut down."""
    ann.instead = prints(HANG_S)
    run = RunDir.create(tmp_path, spec_of())
    follower = Follower(run, Journal(run))
    follower.jobs = Jobs()
    follower._begin(follower.jobs)
    run.ask("end")
    ann.fail(Fault.DROP, path="*/cancel", times=1)
    follower.leave()
    assert str(run.status().error).startswith(f"The job was not cancelled: The hub at {ann.url} cannot be reached")
    run.forget("end")
    follower.leave()
    assert (run.status().phase, run.status().error) == (
        Phase.FAILED,
        "The process that follows the job was told to end.",
    )
    assert str(run.status().suggestion).startswith(f"The job is still running at {ann.url}/jobs/ann/")
    assert [job.stage for job in ann.jobs.values()] == ["RUNNING"]
    run.job_file.write_text('{"id": ""}')  # it was killed before it knew which job it had submitted
    again = Follower(run, Journal(run))
    again._begin(follower.jobs)
    assert [again.kept["id"]] == list(ann.jobs)


def test_broken_connection_is_made_again(ann: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard is not written twice."""
    monkeypatch.setattr("training.follower.AGAIN_S", 0.1)
    last = said(2, "status", phase="succeeded", step=1, max_steps=1)
    ann.instead = prints("words", said(1, "metric", step=1, loss=2.0), last)
    ann.fail(Fault.DROP, path="*/logs", times=1)
    run = followed(tmp_path)
    assert run.status().phase is Phase.SUCCEEDED
    assert run.metrics() == [{"step": 1, "loss": 2.0}]


# --- what is refused


def test_refusals_of_jobs_are_explained(ann: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, a wrong one, a machine that is not there, no money, no right, no hub; the run has failed with it."""
    with pytest.raises(JobError, match=r"engine.flavor: there is no 'h900'. There are: cpu-basic, a10g-small"):
        followed(tmp_path, engine={"flavor": "h900", "timeout": "1h"})
    jobs = Jobs()

    def refused(status: int) -> str:
        def serve(*_: Any) -> bool:
            raise RefusedError(status, "", "no")

        monkeypatch.setattr("tests.support.hub_jobs.JobsApi.serve_jobs", serve)
        with pytest.raises(JobError) as error:
            jobs.flavors()
        return str(error.value)

    assert "want to be paid (402)" in refused(402)
    assert "This token may not run jobs (403)" in refused(403)
    assert "Hugging Face Jobs answered 418: " in refused(418)
    monkeypatch.undo()
    ann.fail(Fault.DROP, path="/api/jobs/hardware", times=1)
    with pytest.raises(JobError, match=f"The hub at {ann.url} cannot be reached: "):
        jobs.flavors()
    with pytest.raises(JobError, match="The hub does not know this token"):
        Jobs("hf_unknown12345")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    run = RunDir.create(tmp_path, spec_of())
    from training import follower

    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert follower.main(run.path) == 1
    assert str(run.status().error).startswith("There is no token: make one with write access and the right to run jobs")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": "tiny-chat"}, "model: tiny-chat is on this machine, where a job does not find it"),
        ({"method": "dpo", "preference": {"reference": "./x"}}, "preference.reference: ./x is on this machine"),
        ({"data": str(ROOT / "examples")}, "examples is a folder, and a job gets files alone"),
        ({"engine": {"flavor": "cpu-basic"}}, "engine.timeout: is missing"),
        ({"publish": None}, "publish: is missing: a job's disk is gone when it ends"),
    ],
)
def test_what_a_job_cannot_have_is_told_before(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    """Nothing is submitted, no folder made."""
    with pytest.raises(SpecError) as refused:
        runs.start(spec_of(**fields), tmp_path / "runs")
    assert told in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_large_files_belong_on_the_hub(tmp_path: Path) -> None:
    """Said with the command."""
    path = tmp_path / "rows.bin"
    path.write_bytes(os.urandom(800_000))
    with pytest.raises(
        SpecError, match=r"data: the file and the code are [\d,]+ kB packed, and a job takes 900. Put it"
    ):
        bundle.pack(spec_of(data=str(path)))


def test_bundle_holds_the_code_the_spec_and_the_rows(tmp_path: Path) -> None:
    """In parts that an environment takes; the spec trains on the machine where it is unpacked."""
    held_out = {"data": {"name": str(ROOT / "examples" / "data" / "messages.jsonl")}}
    engine = {**JOB["engine"], "processes": 2, "accelerate_config": "examples/engines/fsdp_config.yaml"}  # type: ignore[dict-item]
    packed = bundle.pack(spec_of(evaluation=held_out, engine=engine))
    parts = [packed[f"MASKSCOPE_{i}"] for i in range(int(packed["MASKSCOPE_PARTS"]))]
    assert all(len(part) <= bundle.PART for part in parts)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(parts)))) as archive:
        archive.extractall(tmp_path, filter="data")
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert spec["data"] == {"name": "data/question-answer.csv"}
    assert spec["evaluation"]["data"] == {"name": "evaluation-data/messages.jsonl"}
    assert spec["engine"] == {"processes": 2, "accelerate_config": "accelerate.yaml"}
    assert (tmp_path / "data" / "question-answer.csv").read_bytes() == Path(DATA).read_bytes()
    assert (tmp_path / "training" / "worker.py").is_file()
    assert not list(tmp_path.rglob("*.pyc"))


# --- lines


def test_lines_say_what_the_folder_says(tmp_path: Path) -> None:
    """Long ones in parts; what is heard twice counts once; damaged lines are left out."""
    from dataclasses import replace

    run = RunDir.create(tmp_path, spec_of())
    run.log_file.write_text("words\nmore wor")
    append_line(run.metrics_file, {"step": 1, "loss": 2.0})
    append_line(run.scores_file, {"texts": ["x" * 100] * 100})
    run.write_status(replace(run.written_status(), phase=Phase.STOPPED, step=1))
    written: list[str] = []
    assert tell(run, written.append) is Phase.STOPPED
    assert written[0] == "words"
    assert max(map(len, written)) < lines.LONGEST + 40
    listener = Listener()
    found = [heard for heard in map(listener.hear, written) if heard is not None]
    assert found[1:3] == [("metric", {"step": 1, "loss": 2.0}), ("score", {"texts": ["x" * 100] * 100})]
    assert found[3][1]["phase"] == "stopped"  # type: ignore[index]
    assert [listener.hear(line) for line in written if line.startswith(MARK)] == [None] * (len(written) - 1)
    assert Listener().hear(f"{MARK} 2/2 }}") is None
    assert Listener().hear(f"{MARK} oops") is None
    assert Listener().hear(f"{MARK} 1/1 3") is None


def test_run_command_prints_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run --lines`, as a job calls it: a run that fails ends with status 1."""
    spec = {"model": "tiny-chat", "data": "gone.csv", "sampling": {"max_new_tokens": 8}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    assert main(["run", str(tmp_path / "spec.yaml"), "--lines", "--runs", str(tmp_path / "runs")]) == 1
    heard = [Listener().hear(line) for line in capsys.readouterr().out.splitlines()]
    last = [value for kind, value in filter(lambda one: isinstance(one, tuple), heard) if kind == "status"][-1]  # type: ignore[misc]
    assert last["phase"] == "failed"
    assert "gone.csv" in last["error"]


def test_machines_and_prices(ann: HubServer, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table, and as JSON."""
    assert main(["jobs", "flavors"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["flavor", "CPU", "memory", "GPU", "GPU", "memory", "USD", "an", "hour"]
    assert table[2].split("  ")[0] == "a10g-small"
    assert table[2].endswith("1.0")
    assert main(["jobs", "flavors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[1]["gpu"] == "1 x A10G"
    assert (found[0]["usd_per_hour"], found[1]["gpu_memory"]) == (0.01, "24 GB")
    assert [seconds_of(time) for time in ("90s", "1.5h", "2d")] == [90, 5_400, 172_800]
