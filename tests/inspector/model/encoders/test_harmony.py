"""gpt-oss: rendered by its template, with openai-harmony as the second opinion."""

from __future__ import annotations

import copy
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.model.encoders import JINJA
from inspector.model.encoders.harmony import CONTROL, HARMONY
from inspector.model.model import Model
from tests.encoders import conversations, harmony_files, judged
from tests.support.corpus import ASK, CORPUS, REPLY
from tests.support.fetch import fetched


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """gpt-oss's own tokenizer and template."""
    ((_, folder),) = fetched(lambda: list(harmony_files(tmp_path_factory.mktemp("harmony"))))
    return inspector.load(str(folder))


def said(inspection: Inspection) -> str:
    """What the finding about the official encoder says; "" where there is none."""
    details = [f.detail for f in inspection.findings if f.code is Code.OFFICIAL_ENCODER_DIFFERS]
    return details[0] if details else ""


def test_differences_are_said_and_nothing_else_is(model: Model) -> None:
    """Over the corpus and conversations of odd pieces."""
    outcomes = [judged(model, *one) for one in conversations()]
    assert model.encoder is HARMONY
    assert [outcome.name for outcome in outcomes if outcome.kind == "different"] == []
    assert sum(outcome.kind == "same" for outcome in outcomes) > 20
    assert sum(outcome.kind == "explained" for outcome in outcomes) > 5


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("tool call", "' <|constrain|>json' there", "' json' here"),
        ("tool round", """'{"' there""", """'"{\\\\"' here"""),
        ("reasoning field", "'' there", '"analysis<|message|>Austria'),
        ("system", "'.' there", "'.\\n\\n' here"),
    ],
)
def test_each_difference_is_named(model: Model, name: str, theirs: str, ours: str) -> None:
    """The constrain marker, quoted results of tools, reasoning that is dropped, the end of the instructions."""
    detail = said(inspector.inspect(model, CORPUS[name]))
    assert detail.startswith("openai-harmony encodes this conversation in ")
    assert theirs in detail
    assert ours in detail


def test_keywords_reach_both(model: Model) -> None:
    """The reasoning effort and the identity stand in the system message of either."""
    row = {"messages": [ASK, REPLY], "reasoning_effort": "high", "model_identity": "You are a river guide."}
    inspection = inspector.inspect(model, row)
    assert "Reasoning: high" in inspection.text
    assert said(inspection) == ""


CALL = {"function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK, {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}]},
        {"messages": [ASK, REPLY], "builtin_tools": ["python"]},
        {"messages": [ASK], "add_generation_prompt": True},
    ],
    ids=["text beside a call", "built-in tools", "generation prompt"],
)
def test_what_harmony_has_no_one_form_for_gets_no_opinion(model: Model, row: Any) -> None:
    """Nothing is claimed."""
    inspection = inspector.inspect(model, row)
    assert model.encoder.official(model.tokenizer, inspection.example.conversation) is None
    assert said(inspection) == ""


def test_another_vocabulary_gets_no_opinion(model: Model) -> None:
    """The library knows one."""
    other = model.with_special_tokens({"additional_special_tokens": ["<|mine|>"]})
    assert said(inspector.inspect(other, CORPUS["tool call"])) == ""
    tiny = inspector.load("tiny-chat").with_special_tokens({"additional_special_tokens": sorted(CONTROL)})
    assert HARMONY.official(tiny.tokenizer, inspector.Conversation.parse([ASK, REPLY])) is None


def test_without_the_library_nothing_is_claimed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """And audits take the fast path again."""
    monkeypatch.setitem(sys.modules, "openai_harmony", None)
    assert said(inspector.inspect(model, CORPUS["tool call"])) == ""
    monkeypatch.setattr("inspector.model.encoders.encoder.find_spec", lambda name: None)
    assert not model.encoder.has_opinion


def test_it_reaches_for_no_network(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vocabulary is written from the tokenizer, and the environment is as it was."""
    fresh = replace(model, tokenizer=copy.deepcopy(model.tokenizer))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it connects"))
    monkeypatch.setenv("TIKTOKEN_ENCODINGS_BASE", str(tmp_path))
    assert said(inspector.inspect(fresh, CORPUS["tool call"]))
    assert os.environ["TIKTOKEN_ENCODINGS_BASE"] == str(tmp_path)


def test_other_models_have_no_second_opinion() -> None:
    """Theirs is the template."""
    assert inspector.load("tiny-chat").encoder is JINJA
