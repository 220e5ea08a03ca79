"""Runs take turns on a device, start warm, are named, run again, measured, and end with a card that is true."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.training_runs import FAST, ROOT, assert_nothing_runs, begin, ended, run_here, wait_for
from tests.support.waiting import HANG_S, wait_until
from training import worker
from training.__main__ import main
from training.errors import SpecError
from training.launch import idle, runs
from training.run.folder import Phase, RunDir, Status, read_lines
from training.run.queue import turn
from training.spec import parse_spec

ANSWERS = {"max_new_tokens": 16, "endpoint": {"url": "http://127.0.0.1:9", "model": "nobody"}}
"""Nobody listens there."""


# --- the queue


@dataclass(frozen=True)
class Queue:
    """Three runs that were started at once: killed, stopped while it waited, trained after the first was gone."""

    killed: RunDir
    stopped: RunDir
    trained: RunDir
    while_first_trained: tuple[Status, Status]


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """One trains until it is killed; of the others one is stopped, the other trains then."""
    root = tmp_path_factory.mktemp("runs")
    first = begin(root, max_steps=100_000, log_every=1000)
    wait_for(first, lambda status: status.phase is Phase.TRAINING)
    second = begin(root, max_steps=10, name="ten steps", sampling=ANSWERS)
    waiting = [wait_for(second, lambda status: status.waits_for is not None)]
    third = begin(root, max_steps=10)
    waiting.append(wait_for(third, lambda status: status.waits_for is not None))
    runs.stop(third)
    os.kill(first.process()[0] or 0, signal.SIGKILL)
    wait_for(second, ended)
    yield Queue(first, third, second, (waiting[0], waiting[1]))
    for run in (first, second, third):
        runs.kill(run)


def test_runs_wait_for_their_turn(queue: Queue) -> None:
    """Queued, and behind whom; who asked first is next."""
    assert [status.phase for status in queue.while_first_trained] == [Phase.QUEUED, Phase.QUEUED]
    assert queue.while_first_trained[0].waits_for == queue.killed.run_id
    assert queue.while_first_trained[1].waits_for in (queue.killed.run_id, queue.trained.run_id)
    assert f"Waits for {queue.killed.run_id}, which has the cpu." in queue.trained.log_file.read_text()


def test_queued_run_stops_at_once(queue: Queue) -> None:
    """Nothing has begun that could be saved."""
    status = queue.stopped.status()
    assert (status.phase, status.step, status.waits_for) == (Phase.STOPPED, 0, None)
    assert_nothing_runs(queue.stopped)


def test_killed_run_frees_the_device(queue: Queue) -> None:
    """The lock dies with its process; the next one trains to its end."""
    assert queue.killed.status().phase is Phase.FAILED
    status = queue.trained.status()
    assert (status.phase, status.step, status.waits_for) == (Phase.SUCCEEDED, 10, None), queue.trained.log_tail()
    assert [path.name for path in (queue.trained.path.parent / ".queue").iterdir()] == ["cpu"]


def test_stop_request_reaches_a_queued_run(tmp_path: Path) -> None:
    """Tickets of processes that are gone do not count; what the wait raises ends it, and takes the ticket back."""
    one, other = (RunDir.create(tmp_path, parse_spec(FAST)) for _ in range(2))
    with turn(one, "cpu", lambda front: None):
        (tmp_path / ".queue" / "cpu-1-gone").touch()
        fronts: list[str] = []

        def waiting(front: str) -> None:
            fronts.append(front)
            if len(fronts) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), turn(other, "cpu", waiting):
            raise AssertionError("two runs have the device")
        assert fronts == [one.run_id] * 2
        with turn(other, "cuda", lambda front: pytest.fail("another device is free")):
            pass
    assert sorted(path.name for path in (tmp_path / ".queue").iterdir()) == ["cpu", "cuda"]


# --- the warm worker


@pytest.mark.skipif(not worker.can_fork(), reason="where there is a GPU a run has the process that waited")
def test_runs_of_one_waiting_worker_are_those_of_two(tmp_path: Path) -> None:
    """Each has a process, a group and a log of its own, and trains what a run trains that was not forked; the worker
    goes on waiting.
    """
    forked = [begin(tmp_path / "runs", max_steps=4) for _ in range(2)]
    waiting = idle._waiting
    assert waiting is not None
    groups = [os.getpgid(run.process()[0] or 0) for run in forked]
    assert groups == [run.process()[0] for run in forked]
    assert len({*groups, waiting.process.pid}) == 3
    alone = run_here(tmp_path / "here", max_steps=4)
    for run in forked:
        assert wait_for(run, ended).phase is Phase.SUCCEEDED, run.log_tail()
        assert_nothing_runs(run)
        assert run.log_file.read_text().count("Ended after") == 1
        for read in (RunDir.samples, lambda run: [line.get("loss") for line in run.metrics()]):
            assert read(run) == read(alone)
        assert (run.adapter / "adapter_model.safetensors").read_bytes() == (
            alone.adapter / "adapter_model.safetensors"
        ).read_bytes()
    assert idle._waiting is waiting
    assert idle.is_warm()


def test_an_optimizer_of_8_bits_trains(tmp_path: Path) -> None:
    """Though the worker that waited has kept bitsandbytes out, which it is made of."""
    run = begin(tmp_path, optimizer="adamw_bnb_8bit", max_steps=2)
    assert wait_for(run, ended).phase is Phase.SUCCEEDED, run.log_tail()


def test_worker_of_another_environment_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting changed since it was started would be lost; without one that waits, runs start cold."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    idle.warm_up()
    first = idle._waiting
    assert first is not None
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert idle.take(tmp_path) is None
    assert idle.take(tmp_path) is None
    first.process.wait(HANG_S)
    assert not idle.is_warm()


def test_worker_that_cannot_be_forked_has_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has everything imported, works at the run itself, and another one waits afterwards."""
    code = "from training import worker; worker.can_fork = lambda: False; worker.wait_for_run()()"
    monkeypatch.setattr(idle, "command", lambda: [sys.executable, "-c", code])
    idle.cool_down()
    run = begin(tmp_path, max_steps=1)
    try:
        assert idle._waiting is None
        assert os.getpgid(run.process()[0] or 0) == run.process()[0]
        assert wait_for(run, ended).phase is Phase.SUCCEEDED, run.log_tail()
        wait_until(lambda: idle._waiting)
    finally:
        idle.cool_down()
        runs.kill(run)


# --- names, and the same again


def test_run_is_listed_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others look at the folder of runs while one is made: what they find has a state."""
    replace = os.replace

    def looked(*paths: Path) -> None:
        assert [run.status().phase for run in runs.list_runs(tmp_path)] == []
        replace(*paths)

    monkeypatch.setattr("training.run.files.os.replace", looked)
    made = RunDir.create(tmp_path, parse_spec(FAST))
    assert [run.run_id for run in runs.list_runs(tmp_path)] == [made.run_id]
    assert made.status().phase is Phase.QUEUED


def test_run_is_renamed_and_found_by_its_name(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the spec, which never changes."""
    run, root = queue.trained, str(queue.trained.path.parent)
    spec = run.spec_file.read_bytes()
    assert run.name == "ten steps"
    assert main(["rename", run.run_id, "  five\nwords ", "--runs", root]) == 0
    assert (run.name, run.spec().name, run.spec_file.read_bytes()) == ("five words", "ten steps", spec)
    assert "is now called five words." in capsys.readouterr().out
    assert main(["show", "five words", "--runs", root]) == 0
    assert f"{run.run_id} (five words): succeeded" in capsys.readouterr().out
    assert main(["list", "--runs", root]) == 0
    assert "five words" in capsys.readouterr().out
    assert main(["compare", run.run_id, queue.stopped.run_id, "--json", "--runs", root]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == ["five words", ""]
    assert main(["rename", run.run_id, " ", "--runs", root]) == 2
    assert "error: name: is empty. Choose another." in capsys.readouterr().err
    with pytest.raises(SpecError, match="is longer than 100 characters"):
        runs.rename(run, "x" * 101)


def test_run_is_run_again(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    """A new run of the same spec, in the same folder of runs."""
    root = queue.trained.path.parent
    assert main(["rerun", queue.trained.run_id, "--json", "--runs", str(root)]) == 0
    again = runs.find(json.loads(capsys.readouterr().out)["run_id"], root)
    runs.stop(again, save=False)
    assert again.run_id != queue.trained.run_id
    assert again.spec() == queue.trained.spec()
    assert again.status().phase is Phase.STOPPED


# --- metrics


def test_first_rows_are_scored_before_and_after(queue: Queue) -> None:
    """Three rows each time, a loss for each token but the first."""
    lines, _ = read_lines(queue.trained.scores_file)
    assert [(line["when"], line["step"]) for line in lines] == [("before", 0)] * 3 + [("after", 10)] * 3
    assert all(line["losses"][0] is None and all(loss >= 0 for loss in line["losses"][1:]) for line in lines)
    assert lines[0]["losses"] != lines[3]["losses"]


def test_silent_endpoint_is_noted(queue: Queue) -> None:
    """Its answers would stand beside the run's own; the run is no worse without."""
    notes = " ".join(queue.trained.status().notes)
    assert "The endpoint gave no answers: http://127.0.0.1:9/chat/completions cannot be reached" in notes
    assert queue.trained.manifest()["notes"] == list(queue.trained.status().notes)


def test_metrics_have_rates_and_memory(queue: Queue) -> None:
    """Over the steps since the last line; on a CPU nothing is said of a GPU."""
    lines = [line for line in queue.trained.metrics() if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 11))
    assert all(0 < line["trained_tokens_per_second"] < line["tokens_per_second"] for line in lines)
    assert all(line["memory_mb"] > 100 for line in lines)
    assert not any(name.startswith("gpu") for line in lines for name in line)


def test_tokens_are_counted_as_they_enter_the_model() -> None:
    """Without padding, without evaluation, without a row's first label, which nothing predicts."""
    import torch

    from training.trainer.rates import TokenCount

    class Model(torch.nn.Module):
        def forward(self, **values: torch.Tensor) -> None:
            pass

    model, count = Model(), TokenCount()
    count.watch(model)
    ids, labels = torch.ones(2, 4, dtype=torch.long), torch.tensor([[5, 5, -100, 5], [-100, -100, 5, -100]])
    model(input_ids=ids, labels=labels, attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))
    model(input_ids=ids, shift_labels=torch.tensor([[5, 5]]))
    model.eval()
    model(input_ids=ids, labels=labels)
    rates = count.rates()
    assert rates["tokens_per_second"] / rates["trained_tokens_per_second"] == pytest.approx((7 + 8) / (3 + 2), 0.01)
    assert count.rates() == {}
    count.leave()
    model.train()
    model(input_ids=ids)
    assert count.rates() == {}


def test_steps_made_again_count_once(tmp_path: Path) -> None:
    """After a restart from an earlier checkpoint the newest line of a step is the one that counts."""
    from training.run.folder import append_line

    run = RunDir.create(tmp_path, parse_spec(FAST))
    logged = [(1, "loss"), (2, "loss"), (2, "eval_loss"), (3, "loss"), (2, "loss"), (2, "eval_loss"), (3, "loss")]
    for number, (step, name) in enumerate(logged):
        append_line(run.metrics_file, {"step": step, name: float(number)})
    assert [list(line.values()) for line in run.metrics()] == [[1, 0.0], [2, 4.0], [2, 5.0], [3, 6.0]]


# --- the card


def test_card_says_what_the_run_was(queue: Queue) -> None:
    """Front matter for the hub, the proof's sentence, the spec, the losses, the answers."""
    text = (queue.trained.adapter / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "base_model": "tiny-chat", "library_name": "peft", "pipeline_tag": "text-generation",
        "tags": ["sft", "lora", "maskscope"],
    }  # fmt: skip
    assert queue.trained.manifest()["proof"]["sentence"] in body
    assert "12 rows of question-answer.csv" in body
    spec = yaml.safe_load(re.search(r"```yaml\n(.*?)```", body, re.DOTALL)[1])  # type: ignore[index]
    assert spec == {**yaml.safe_load(queue.trained.spec().to_yaml()), "data": {"name": "question-answer.csv"}}
    assert f"After 10 steps: loss {queue.trained.metrics()[-1]['loss']:.4g}." in body
    assert str(ROOT / "examples") not in text
    assert "| question | before | after | reference |" in body


def test_code_of_the_card_gives_the_answer_of_the_run(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run as it stands, in the adapter's folder."""
    text = (queue.trained.adapter / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(queue.trained.adapter)
    capsys.readouterr()
    exec(compile(code[1], "README.md", "exec"), {})
    after = next(s["answer"] for s in queue.trained.samples() if s["when"] == "after")
    assert capsys.readouterr().out.strip() == after.strip()


def test_card_of_hub_data_and_full_weights(tmp_path: Path) -> None:
    """Names the data set, and loads the folder itself; special tokens resize the base model."""
    from training.publish.card import card

    whole = RunDir.create(tmp_path, parse_spec({"model": "a/b", "data": "some/chats", "lora": False}))
    text = card(whole, "bf16")
    assert yaml.safe_load(text.split("---\n")[1])["datasets"] == ["some/chats"]
    assert "library_name: transformers" in text
    assert "AutoModelForCausalLM.from_pretrained(\".\", dtype='bfloat16')" in text
    assert "peft" not in text.split("```python")[1].split("```")[0]
    grown = RunDir.create(tmp_path, parse_spec({**FAST, "special_tokens": {"pad_token": "<pad>"}}))
    assert "resize_token_embeddings" in card(grown, "fp32")
    assert "None were asked for." in card(grown, "fp32")
