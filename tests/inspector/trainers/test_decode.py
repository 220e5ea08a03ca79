"""Pasted warnings: the first seed's log decodes exactly, its cause is named, and the right ids are proposed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import inspector
from inspector.errors import LogError
from inspector.read_back import read_conversation
from inspector.samples import sample_conversations
from inspector.trainers.decode import MAX_LOG_CHARS, decode_log
from tests.oracles import seed_log
from tests.support.commands import Called

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
]


def seed_text() -> str:
    """The log as the first seed's script prints it: both examples, then the warning."""
    return (
        f"...\n{[seed_log.logged_ids(0), seed_log.logged_ids(1)]}\nwarning! example had no assistant response in it!\n"
    )


@pytest.mark.parametrize("always_prompts", [False, True])
def test_the_first_seeds_log_is_explained(real_model_dir: Callable[[str], Path], always_prompts: bool) -> None:
    """Both examples come back id for id, whichever template is loaded; the suffix and the prompt are to blame."""
    template = seed_log.LLAMA3_ALWAYS_PROMPTS if always_prompts else None
    decoded = decode_log(inspector.load(str(real_model_dir("llama3_1")), template=template), seed_text())
    assert [example.is_exact for example in decoded.examples] == [True, True]
    assert [list(example.ids) for example in decoded.examples] == [seed_log.logged_ids(0), seed_log.logged_ids(1)]
    codes = [finding.code.value for finding in decoded.findings]
    assert codes[0] == "suffix_includes_next_header"
    assert "trailing_generation_prompt" in codes
    assert decoded.markers.prefix_ids == (128006, 78191, 128007, 271)
    assert decoded.markers.suffix_ids == (128009,)
    assert "home-llm" in decoded.meanings[0]


def test_suffix_ids_in_the_log_are_the_ones_blamed(real_model_dir: Callable[[str], Path]) -> None:
    """A log that shows its own command is explained with the ids of that command."""
    log = "train.py --prefix_ids 128006,78191,128007,271 --suffix_ids 128009,128006,78191,128007,271\n" + seed_text()
    decoded = decode_log(inspector.load(str(real_model_dir("llama3_1"))), log)
    assert "[128009, 128006, 78191, 128007, 271]" in decoded.findings[0].detail
    right = log.replace("128009,128006,78191,128007,271", "128009")
    codes = {
        finding.code.value for finding in decode_log(inspector.load(str(real_model_dir("llama3_1"))), right).findings
    }
    assert "suffix_includes_next_header" not in codes


def test_trls_instance_is_read_as_text() -> None:
    """The text behind "Could not find response key" is tokenized and read back."""
    model = inspector.load("tiny-chat")
    text = inspector.inspect(model, CHAT).text
    log = (
        f"UserWarning: Could not find response key `### Answer:` in the following instance: {text} This instance will "
        "be ignored in loss calculation."
    )
    (example,) = decode_log(model, log).examples
    assert example.inspection is not None
    assert list(example.inspection.example.conversation.messages) == CHAT


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("ZeroDivisionError: All labels in your dataset are -100.", "Unsloth"),
        ("RuntimeError: at least one example has no assistant tokens.", "generation tags mark nothing"),
        ("ValueError: The chat template is not training-compatible", "generation %} tags"),
        ("Could not find instruction key `x` in", "instruction template"),
    ],
)
def test_warnings_without_examples_are_put_in_other_words(log: str, says: str) -> None:
    """What the trainer meant, and ids verified for the model, though there is no example to show."""
    decoded = decode_log(inspector.load("tiny-chat"), log)
    assert says in decoded.meanings[0]
    assert decoded.examples == ()
    assert decoded.markers.prefix_ids is not None


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("", "no list of token ids"),
        ("everything is fine", "no list of token ids"),
        ("[1, 2, 3, 4, 999999]", "the id 999999, and tiny-chat has ids up to 2047"),
        ("x" * (MAX_LOG_CHARS + 1), "2,000,001 characters long"),
    ],
)
def test_logs_that_say_nothing_are_refused(log: str, says: str) -> None:
    """Each with what is missing."""
    with pytest.raises(LogError, match=says):
        decode_log(inspector.load("tiny-chat"), log)


def test_rendered_samples_are_read_back() -> None:
    """Reading is the inverse of rendering, wherever the text does not hold headers itself."""
    model = inspector.load("tiny-chat")
    for conversation in sample_conversations():
        text = inspector.inspect(model, conversation).text
        assert read_conversation(model, text) == list(conversation.messages)


def test_ids_of_something_else_are_shown_but_not_called_exact() -> None:
    """Ids that no conversation renders to are decoded; nothing more is claimed."""
    model = inspector.load("tiny-chat")
    decoded = decode_log(model, str(model.tokenizer.encode("just some text without any header at all")))
    (example,) = decoded.examples
    assert example.inspection is None
    assert not example.is_exact
    assert example.text == "just some text without any header at all"


def test_the_command_prints_text_and_json(
    called: Called, tmp_path: Path, real_model_dir: Callable[[str], Path]
) -> None:
    """`decode` names the cause in a terminal and as JSON; a log that says nothing ends in status 2."""
    log = tmp_path / "train.log"
    log.write_text(seed_text())
    command = ["decode", "--model", str(real_model_dir("llama3_1")), str(log)]
    done = called(*command)
    text = done.stdout
    assert done.returncode == 0
    assert "use  --prefix_ids 128006,78191,128007,271 --suffix_ids 128009" in text
    assert "the ids are exactly those of this conversation" in text
    done = called(*command, "--json")
    assert [example["exact"] for example in json.loads(done.stdout)["examples"]] == [True, True]
    log.write_text("nothing")
    failed = called(*command)
    assert failed.returncode == 2
    assert "no list of token ids" in failed.stderr
