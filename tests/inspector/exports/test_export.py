"""Exported settings do what their comments say: recomputed here from the written text alone, or run."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import inspector
from inspector.errors import ExportError
from inspector.exports.targets import TARGETS, Export, export, export_all
from inspector.inspection import inspect
from inspector.samples import sample_conversations
from inspector.trainers.markers import propose_markers
from tests.oracles.export_reading import (
    ROWS,
    cases,
    check_verdict,
    comment,
    constants,
    flags,
    inspected,
    model,
    trl_row,
)
from tests.support.corpus import CORPUS
from tests.support.wheel_templates import WHEELS

ROOT = Path(__file__).parents[3]
ENDLESS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}"
"""A template without stop tokens."""

QUICK = [target for target in TARGETS if target != "trl_assistant_only"]
"""Targets that are cheap to export for; the other one proves a training template each time."""


# --- what is written


@pytest.mark.parametrize("target", QUICK)
def test_verdicts_are_true(target: str) -> None:
    """The settings, read back and applied here, train what the comment says, and `same` is the comparison."""
    same = []
    for inspection in cases():
        written = export(inspection, target)
        check_form(written)
        is_said = written.same is None or written.verdict.startswith(("Refused", "Not possible"))
        if is_said or (
            target == "unsloth" and "max_length" in {**inspection.options, **inspection.modifiers.to_dict()}
        ):
            continue
        check_verdict(inspection, written, ROWS[target](inspection, written))
        same.append(written.same)
    assert len(same) > (25 if target == "llama_factory" else 40)  # it takes fewer rows than the others
    assert {True, False} & set(same) == ({True} if target == "trl_labels" else {True, False})


def check_form(written: Export) -> None:
    """It parses, begins with its comment, and is JSON in its public form."""
    assert json.loads(json.dumps(written.to_dict())) == written.to_dict()
    assert list(written.to_dict()) == [
        "target", "title", "filename", "language", "text", "verdict", "same", "files",
    ]  # fmt: skip
    assert comment(written).startswith(written.title)
    assert " ".join(written.verdict.split()) in comment(written)
    assert all(len(line) <= 120 or line.startswith("# $ ") for line in written.text.splitlines())
    if written.language == "python":
        compile(written.text, written.filename, "exec")
    elif written.language == "yaml":
        yaml.safe_load(written.text)
    else:
        assert written.language == "shell"


def test_all_targets_are_exported() -> None:
    """One of each, in the order of the registry."""
    inspection = inspect(model("tiny-chat"), CORPUS["one turn"])
    assert [written.target for written in export_all(inspection)] == list(TARGETS)
    assert set(TARGETS) == {
        "home_llm", "trl_labels", "trl_assistant_only", "trl_collator", "axolotl", "llama_factory", "unsloth",
        "autotrain",
    }  # fmt: skip


def test_an_unknown_target_is_refused_with_the_list() -> None:
    """The error names all of them."""
    with pytest.raises(ExportError) as raised:
        export(inspect(model("tiny-chat"), CORPUS["one turn"]), "megatron")
    assert str(raised.value) == (
        "There is no trainer 'megatron' to export for; there are: trl_labels, trl_assistant_only, trl_collator, "
        "home_llm, unsloth, axolotl, llama_factory, autotrain."
    )


def test_verdicts_read_like_this() -> None:
    """Word for word: what is trained too, what is left out, where, and what the trainer itself says."""
    chat = json.loads((ROOT / "examples" / "02-answer-starts-with-a-line-end.json").read_text())
    inspection = inspect(model("tiny-chat"), chat)
    assert export(inspection, "trl_labels").verdict == "Trains the 23 tokens that are shown."
    assert export(inspection, "home_llm").verdict == (
        "Misses 23 tokens (both answers) and trains 1 token it should not (the newline after an answer). "
        r"Trains 1 of 56 tokens, not the 23 that are shown: also '\n' (token 55), not '\n\nred\ngreen\nblue<|im_end|>' "
        r"(tokens 18-29), '\n\n\nyellow\nviolet<|im_end|>' (tokens 44-54). warning! example had no assistant response "
        "in it! The prefix and suffix were not found."
    )
    every = inspect(model("tiny-chat"), CORPUS["one turn"], "full")
    assert export(every, "autotrain").verdict == f"Trains the {len(every.ids) - 1} tokens that are shown."
    assert export(inspected("tiny-chat", "question only"), "axolotl").verdict == "Trains no token, as is shown."
    assert export(inspected("tiny-chat", "question only"), "trl_labels").verdict == (
        "Trains no token, as is shown. The script leaves such rows out."
    )
    many = inspect(model("tiny-chat"), CORPUS["one turn"] * 5, stop="never")
    assert export(many, "home_llm").verdict == (
        "Trains 6 tokens it should not: answers that are left out and the newline after an answer. "
        "Trains 36 of 135 tokens, not the 30 that are shown: also '<|im_end|>' (token 25), '<|im_end|>' (token 52), "
        "'<|im_end|>' (token 79) and 2 more places."
    )


def test_versions_are_those_that_were_compared() -> None:
    """A heading names the version whose behaviour the tests prove: the pinned trl, and the recorded others."""
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    recorded = json.loads((ROOT / "tests" / "data" / "strategy_vectors.json").read_text())["sources"]
    inspection = inspect(model("tiny-chat"), CORPUS["one turn"])
    headings = {written.target: written.text.splitlines()[0] for written in export_all(inspection)}
    version = re.search(r"^trl==(\S+)", pins, re.MULTILINE)
    assert version is not None
    assert f"(trl {version[1]})" in headings["trl_labels"]
    assert f"(trl {version[1]})" in headings["trl_assistant_only"]
    for target, strategy in (("trl_collator", "trl_completion_collator"), ("unsloth", "responses_only")):
        assert f"({recorded[strategy].split(',')[0]})" in headings[target]
    assert f"({recorded['content_diff'].split(',')[0]})" in headings["axolotl"]
    assert f"({WHEELS['llamafactory'][0].partition('==')[2]})" in headings["llama_factory"]


# --- each trainer


def test_home_llm_gets_the_ids_of_the_inspection() -> None:
    """Those that were inspected with; else those that are verified over many conversations."""
    given = inspected("tiny-chat", "two turns", "home_llm", json.dumps({"prefix_ids": [1558, 203], "suffix_ids": "3"}))
    assert given is not None
    found = flags(export(given, "home_llm", data="house.jsonl"))
    assert (found["prefix_ids"], found["suffix_ids"], found["train_dataset"]) == ("1558,203", "3", "house.jsonl")
    assert (found["run_name"], found["base_model"], found["ctx_size"]) == ("tiny-chat", "models/tiny-chat", "2048")
    merged = inspected("tiny-chat", "answer starts with a line break")
    assert merged is not None
    assert propose_markers([merged]).prefix_ids is None
    assert flags(export(merged, "home_llm"))["prefix_ids"] == "2,1558,203"


def test_without_anything_to_search_for_the_reason_is_given() -> None:
    """A comment instead of settings; ids that are not verified, or miss answers, come with a note."""
    bare = inspect(inspector.load("tiny-chat", template="{{ messages[-1].content }}"), CORPUS["one turn"])
    for target in ("home_llm", "trl_collator", "unsloth"):
        written = export(bare, target)
        assert written.same is False
        assert written.verdict == (
            "Not possible. No constant ids stand before the answers: use rows with exact labels instead."
        )
        assert all(line.startswith("# ") for line in written.text.splitlines())
    endless = inspect(inspector.load("tiny-chat", template=ENDLESS), CORPUS["two turns"])
    assert export(endless, "home_llm").verdict == (
        "Not possible. No constant ids end the answers: use rows with exact labels instead."
    )
    assert "No constant ids end the answers, so the ids" in comment(export(endless, "trl_collator"))
    rows = [inspect(model("tiny-chat"), chat) for chat in (CORPUS["one turn"], *sample_conversations())]
    found = propose_markers(rows)
    assert found.found < found.turns
    assert (
        f"Over {len(rows)} conversations the ids find {found.found} of {found.turns} answers, and match 0 times "
        "elsewhere; `python -m inspector markers` says where."
    ) in comment(export(rows[0], "home_llm"))


def test_unsloth_needs_texts_for_both_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a text alone has other ids than in a row there is none; one that was inspected with is taken."""
    given = inspect(model("tiny-chat"), CORPUS["one turn"], "responses_only", instruction_part="user\n")
    assert constants(export(given, "unsloth").text)["INSTRUCTION_PART"] == "user\n"
    markers = replace(propose_markers([inspect(model("tiny-chat"), CORPUS["one turn"])]), instruction_template=None)
    monkeypatch.setattr("inspector.exports.unsloth.verified_markers", lambda inspection: (markers, []))
    assert export(given, "unsloth").same is not None
    assert export(inspect(model("tiny-chat"), CORPUS["one turn"]), "unsloth").verdict == (
        "Not possible. No text has the same ids alone as before the messages, so there is no instruction_part: use "
        "rows with exact labels, or give one yourself (--strategy responses_only)."
    )


def test_the_collator_pads_with_a_token_of_its_own() -> None:
    """The eos as pad token would never train; the script makes another where the tokenizer has none."""
    own = model("llama3")
    bare = copy.deepcopy(own.tokenizer)
    bare.pad_token = None
    written = export(inspect(replace(own, tokenizer=bare), CORPUS["two turns"]), "trl_collator")
    assert written.same
    assert "The tokenizer has no pad token" in written.verdict
    assert '"pad_token": "<|pad|>"' in written.text


def test_only_the_last_answer_is_asked_for_where_only_it_trains() -> None:
    """However it was left out: by a policy or a modifier."""
    for inspection in (
        inspect(model("tiny-chat"), CORPUS["two turns"], turns="last"),
        inspect(model("tiny-chat"), CORPUS["two turns"], modifiers={"keep": "last_turn"}),
    ):
        assert constants(export(inspection, "trl_collator").text)["INSTRUCTION"] is None
        assert constants(export(inspection, "unsloth").text)["LAST_RESPONSE_ONLY"] is True
        assert export(inspection, "unsloth").same
        assert yaml.safe_load(export(inspection, "llama_factory").text)["mask_history"] is True
    every = inspect(model("tiny-chat"), CORPUS["two turns"])
    assert yaml.safe_load(export(every, "llama_factory").text)["mask_history"] is False


AXOLOTL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "every stop": ({}, {"train_on_eos": "turn", "train_on_eot": "turn", "roles_to_train": ["assistant"]}),
    "last stop": ({"stop": "last"}, {"train_on_eos": "last", "train_on_eot": "last"}),
    "no stop": ({"stop": "never"}, {"train_on_eos": "none", "train_on_eot": "none"}),
    "own flags": ({"turns": "flagged"}, {"message_field_training": "train"}),
    "every token": ({"turns": "every_token"}, {"train_on_eos": "all", "roles_to_train": ["user", "assistant"]}),
}


@pytest.mark.parametrize("name", AXOLOTL)
def test_axolotl_gets_the_policy(name: str) -> None:
    """As far as it has one."""
    options, expected = AXOLOTL[name]
    inspection = inspect(model("tiny-chat"), CORPUS["per-message flags"], **options)
    (dataset,) = yaml.safe_load(export(inspection, "axolotl", data="chats.jsonl").text)["datasets"]
    assert {key: dataset[key] for key in expected} == expected
    assert (dataset["path"], dataset["type"]) == ("chats.jsonl", "chat_template")
    assert ("message_field_training" in dataset) == (name == "own flags")


def test_axolotl_learns_of_a_stop_token_that_is_not_the_eos() -> None:
    """Named under eot_tokens."""
    other = model("tiny-chat").with_special_tokens({"eos_token": "<|endoftext|>"})
    written = export(inspect(other, CORPUS["two turns"]), "axolotl")
    assert yaml.safe_load(written.text)["eot_tokens"] == ["<|im_end|>"]
    assert written.same


def test_llama_factory_gets_its_description_of_the_data() -> None:
    """Without a template, which it then makes from the tokenizer's."""
    written = export(inspect(model("tiny-chat"), CORPUS["two turns"]), "llama_factory", data="chats.jsonl")
    assert written.same is False
    assert written.verdict.startswith("Trains 2 tokens it should not: ")
    config = yaml.safe_load(written.text)
    assert (config["stage"], config["train_on_prompt"], config["dataset"]) == ("sft", False, "chats")
    assert "template" not in config
    description = json.loads(written.files["dataset_info.json"])[config["dataset"]]
    assert description["file_name"] == "chats.jsonl"
    assert description["columns"] == {"messages": "messages"}


def test_autotrain_has_the_keys_of_its_documentation() -> None:
    """Those of the configuration in AutoTrain's own guide, the secrets left to the environment."""
    config = yaml.safe_load(export(inspect(model("tiny-chat"), CORPUS["one turn"]), "autotrain", data="a/b.jsonl").text)
    assert list(config) == ["task", "base_model", "project_name", "log", "backend", "data", "params", "hub"]
    assert config["task"] == "llm-sft"
    assert config["data"] == {
        "path": "a", "train_split": "b", "valid_split": None, "chat_template": "tokenizer",
        "column_mapping": {"text_column": "messages"},
    }  # fmt: skip
    assert config["hub"] == {"username": "${HF_USERNAME}", "token": "${HF_TOKEN}", "push_to_hub": True}
    assert isinstance(config["params"]["lr"], float)


def test_autotrain_tokenizes_the_text_again() -> None:
    """A tokenizer that adds special tokens to a text gives other rows, and the verdict says so."""
    every = inspect(model("bytes-slow"), CORPUS["one turn"], "full")
    written = export(every, "autotrain")
    assert written.same is False
    assert f"{len(every.ids) + 1} tokens, not {len(every.ids)}." in written.verdict


def test_truncation_is_exported() -> None:
    """The length goes into each trainer's own setting."""
    cut = inspect(model("tiny-chat"), CORPUS["two turns"], modifiers={"max_length": 30})
    assert flags(export(cut, "home_llm"))["ctx_size"] == "30"
    assert constants(export(cut, "trl_collator").text)["KEPT"] == slice(30)
    assert constants(export(cut, "trl_assistant_only").text)["MAX_LENGTH"] == 30
    assert yaml.safe_load(export(cut, "axolotl").text)["sequence_len"] == 30
    assert yaml.safe_load(export(cut, "llama_factory").text)["cutoff_len"] == 30
    assert yaml.safe_load(export(cut, "autotrain").text)["params"]["block_size"] == 30
    end = inspect(model("tiny-chat"), CORPUS["two turns"], modifiers={"max_length": 20, "truncation": "keep_end"})
    found = constants(export(end, "unsloth").text)
    assert (found["KEPT"], found["MAX_LENGTH"], export(end, "unsloth").same) == (slice(-20, None), 20, True)
    assert constants(export(end, "trl_assistant_only").text)["TRUNCATION"] == "keep_end"
    assert export(end, "axolotl").same is False
    long = inspect(model("tiny-chat"), CORPUS["two turns"] * 50)
    assert int(flags(export(long, "home_llm"))["ctx_size"]) >= len(long.ids) > 2048


def test_a_chosen_template_goes_along() -> None:
    """Trainers would render with the model's own; each is told of the file in its own way."""
    other = inspector.load("tiny-chat", template="alpaca")
    inspection = inspect(other, CORPUS["two turns"])
    for target in QUICK:
        if target != "llama_factory":
            assert export(inspection, target).files == {"chat_template.jinja": other.template}
    assert flags(export(inspection, "home_llm"))["prompt_template_file"] == "chat_template.jinja"
    assert constants(export(inspection, "unsloth").text)["TEMPLATE"] == "chat_template.jinja"
    assert yaml.safe_load(export(inspection, "axolotl").text)["chat_template_jinja"] == "chat_template.jinja"
    assert "put chat_template.jinja into a folder" in comment(export(inspection, "autotrain"))
    own = inspect(inspector.load("tiny-chat", template="default"), CORPUS["two turns"])
    assert all(not export(own, target).files for target in QUICK if target != "llama_factory")


def test_special_tokens_that_a_trainer_does_not_know_are_named() -> None:
    """With what to do about them."""
    padded = model("tiny-chat").with_special_tokens({"pad_token": "[PAD]"})
    for written in export_all(inspect(padded, CORPUS["one turn"])):
        assert 'The tokenizer is shown with {"pad_token": "[PAD]"}, which a trainer does not know of' in comment(
            written
        )


def test_a_hub_model_is_pinned_to_its_commit() -> None:
    """What is said holds for that commit only."""
    pinned = replace(model("chatml"), name="owner/name", revision="a" * 40)
    inspection = inspect(pinned, CORPUS["one turn"])
    for target in ("trl_labels", "trl_collator", "unsloth"):
        found = constants(export(inspection, target).text)
        assert (found["MODEL"], found["REVISION"]) == ("owner/name", "a" * 40)
    assert yaml.safe_load(export(inspection, "axolotl").text)["revision_of_model"] == "a" * 40
    assert yaml.safe_load(export(inspection, "llama_factory").text)["model_revision"] == "a" * 40
    assert flags(export(inspection, "home_llm"))["run_name"] == "name"
    assert f"--revision {'a' * 40}" in export(inspection, "trl_labels").text


# --- TRL's assistant_only_loss

ASSISTANT_ONLY = [
    ("tiny-chat", "two turns", {}),
    ("tiny-chat", "two turns", {"turns": "last"}),
    ("tiny-chat/alpaca", "two turns", {}),
    ("llama3", "answer starts with a line break", {}),
    ("qwen3", "think in history", {}),
]


@pytest.mark.parametrize(("name", "title", "options"), ASSISTANT_ONLY)
def test_assistant_only_is_what_trl_does(name: str, title: str, options: dict[str, Any]) -> None:
    """TRL's own preparation, given what was exported, trains what the verdict says."""
    inspection = inspect(model(name), CORPUS[title], **options)
    written = export(inspection, "trl_assistant_only")
    compile(written.text, "train.py", "exec")
    check_verdict(inspection, written, trl_row(inspection, written))
    assert written.same == (not options)


def test_a_proven_template_replaces_one_that_trl_refuses() -> None:
    """It goes along, and the comment says why and what was proven."""
    written = export(inspect(model("tiny-chat/alpaca"), CORPUS["two turns"]), "trl_assistant_only")
    assert list(written.files) == ["training_template.jinja"]
    assert "generation" in written.files["training_template.jinja"]
    assert constants(written.text)["TEMPLATE"] == "training_template.jinja"
    assert "With the template as it is: Refused: TRL refuses this template" in comment(written)
    assert "the tags mark exactly what traced trains" in comment(written)


def test_where_no_template_can_be_proven_the_reason_is_given() -> None:
    """Neither TRL's own way nor ours: a comment says both reasons."""
    stubborn = inspector.load("tiny-chat", template="{{ messages[-1].content }}")
    written = export(inspect(stubborn, CORPUS["one turn"]), "trl_assistant_only")
    assert written.same is False
    assert written.verdict.startswith("Not possible. Refused: TRL refuses this template")
    assert "Better tags cannot be written: " in written.verdict
    assert not written.files
    slow = export(inspect(model("bytes-slow"), CORPUS["one turn"]), "trl_assistant_only")
    assert slow.verdict.startswith("Not possible. Refused: ByT5Tokenizer cannot say which token a character is in")
    assert slow.same is False
