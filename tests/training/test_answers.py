"""Talking to a run's weights: before and after the training, from one process that comes and goes."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.conversation import Conversation
from tests.support.training_runs import FAST, run_here, waiting_worker
from tests.support.waiting import wait_until
from training.errors import AnswerError, RunStateError
from training.launch import answers
from training.run.folder import RunDir
from training.run.processes import is_alive
from training.spec import parse_spec
from training.weights.answers import generate, prompt_of
from training.weights.load import load_weights
from training.weights.trained import TrainedWeights

pytestmark = pytest.mark.xdist_group("training")
COLOURS = [{"role": "user", "content": "Name three colours."}]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run that has learned its rows."""
    return run_here(tmp_path_factory.mktemp("runs"), max_steps=30)


@pytest.fixture(autouse=True)
def no_process() -> Iterator[None]:
    """Nothing is left behind."""
    yield
    answers.let_go()


def whole(run: RunDir, messages: Any = COLOURS, *, is_trained: bool, **options: Any) -> answers.Answer:
    """The last that is said of an answer."""
    _, asked = begun(run, messages, is_trained=is_trained, **options)
    *_, last = asked
    return last


def begun(run: RunDir, messages: Any = COLOURS, **options: Any) -> tuple[answers.Answer, Any]:
    """The first that is said, and what says the rest."""
    with waiting_worker():
        asked = answers.ask(run, messages, **options)
        return next(asked), asked


def process_of(run: RunDir) -> int:
    """What holds its weights."""
    held = answers._held
    assert held is not None
    assert held.run_path == run.path
    return held.pid


def test_both_answer_as_they_did_in_the_run(taught: RunDir) -> None:
    """Before and after, as the run's own answers have it, in any order; the ids are those of prompt and answer."""
    said = {line["when"]: line["answer"] for line in taught.samples() if line["messages"] == COLOURS}
    assert said["before"] != said["after"]
    for is_trained, when in ((True, "after"), (False, "before"), (True, "after")):
        answer = whole(taught, is_trained=is_trained, max_new_tokens=16)
        assert answer.text + "<|im_end|>" == said[when]
    model = inspector.load("tiny-chat")
    assert model.tokenizer.decode(answer.ids) == said["after"]
    assert model.tokenizer.decode(answer.prompt_ids) == prompt_of(model, Conversation.parse(COLOURS))


def test_an_answer_grows(taught: RunDir) -> None:
    """First the weights are waited for, then each token is heard of; the ids come with the whole answer."""
    first, asked = begun(taught, is_trained=True)
    heard = [first, *asked]
    assert heard[0].waits_for == "the weights"
    texts = [one.text for one in heard[1:]]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert [bool(one.ids) for one in heard] == [False] * (len(heard) - 1) + [True]
    assert len(set(texts)) > 3


def test_who_stops_listening_stops_the_answer(taught: RunDir) -> None:
    """The same process answers the next question."""
    _, asked = begun(taught, [{"role": "user", "content": "Say a lot."}], is_trained=False, max_new_tokens=100_000)
    while not next(asked).text:
        pass
    before = process_of(taught)
    asked.close()
    assert whole(taught, is_trained=True).text == "Red, green and blue."
    assert process_of(taught) == before


def test_messages_that_are_none_are_refused_and_the_next_are_answered(taught: RunDir) -> None:
    """In the inspector's words; nothing is lost but that question."""
    with pytest.raises(AnswerError, match=r"^The weights gave no answer: message 0 has no `role`"):
        whole(taught, [{"content": "Hi?"}], is_trained=True)
    assert whole(taught, is_trained=True).text == "Red, green and blue."


def test_a_killed_process_is_told_of_and_replaced(taught: RunDir) -> None:
    """In the middle of an answer."""
    _, asked = begun(taught, is_trained=True, max_new_tokens=10_000)
    while not next(asked).text:
        pass
    os.killpg(process_of(taught), signal.SIGKILL)
    with pytest.raises(AnswerError, match="ended without a message: it was probably killed, or ran out of memory"):
        list(asked)
    assert not answers.is_held()
    assert whole(taught, is_trained=True).text == "Red, green and blue."


def test_weights_are_let_go_when_nobody_asks(taught: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and not before; a run that begins takes their place at once."""
    whole(taught, is_trained=True)
    assert answers.is_held()
    answers.let_go(RunDir(taught.path.with_name("another")))
    assert answers.is_held()
    monkeypatch.setattr(answers, "IDLE_S", 0.01)
    whole(taught, is_trained=True)
    wait_until(lambda: not answers.is_held())


def test_another_run_takes_the_place_of_the_first(taught: RunDir, tmp_path: Path) -> None:
    """All weights of it were trained: the base is a second copy."""
    other = run_here(tmp_path, lora=False, max_steps=30, learning_rate=3e-3)
    whole(taught, is_trained=True)
    first = process_of(taught)
    said = {line["when"]: line["answer"] for line in other.samples() if line["messages"] == COLOURS}
    for is_trained, when in ((False, "before"), (True, "after")):
        assert whole(other, is_trained=is_trained, max_new_tokens=16).text == said[when].removesuffix("<|im_end|>")
    wait_until(lambda: not is_alive(first, None))


def test_what_has_no_answers_says_so(tmp_path: Path) -> None:
    """A run without weights, and one that gives numbers."""
    run = RunDir.create(tmp_path, parse_spec(FAST))
    with pytest.raises(RunStateError, match=f"The run {run.label} has no weights yet: let it train first"):
        whole(run, is_trained=True)
    judge = RunDir.create(tmp_path, parse_spec({**FAST, "method": "reward"}))
    with pytest.raises(RunStateError, match="trained a reward model: it gives numbers and writes no text"):
        whole(judge, is_trained=True)
    assert not answers.is_held()


def test_a_switched_off_adapter_leaves_the_base_as_it_was(taught: RunDir) -> None:
    """The ids of fresh base weights; and the adapter is on again afterwards."""
    loaded, spec = TrainedWeights.of(taught), taught.spec()
    prompt = prompt_of(loaded.model, Conversation.parse(COLOURS))
    fresh = load_weights(spec.model_copy(update={"device": "cpu"}), loaded.model).eval()
    expected = generate(fresh, loaded.model, prompt, 16)
    with loaded.side(is_trained=False) as weights:
        assert generate(weights, loaded.model, prompt, 16) == expected
    with loaded.side(is_trained=True) as weights:
        assert generate(weights, loaded.model, prompt, 16) != expected
