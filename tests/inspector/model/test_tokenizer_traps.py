"""What transformers warns of when it loads a tokenizer, tried both ways; tokens that the model has no embedding for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import inspector
from inspector.findings.codes import Code, Finding, Severity
from inspector.model.model import Model

QUESTION = {"role": "user", "content": "Which river?"}


def findings(model: Model, answer: str, code: Code) -> list[Finding]:
    """Those of a code for a row with this answer."""
    found = inspector.inspect(model, [QUESTION, {"role": "assistant", "content": answer}]).findings
    return [finding for finding in found if finding.code is code]


@pytest.fixture(scope="module")
def mistral(real_model_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A real tokenizer of 128,000 tokens as a model of Mistral's that an older transformers saved."""
    folder = tmp_path_factory.mktemp("mistral") / "model"
    shutil.copytree(real_model_dir("llama3_1"), folder)
    config = {"model_type": "mistral", "transformers_version": "4.57.0"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return inspector.load(str(folder))


def test_mistrals_pattern_is_tried_both_ways(mistral: Model) -> None:
    """A row that the pattern cuts otherwise says how many tokens change; another one that none does."""
    (change,) = findings(mistral, "In 2025.", Code.TOKENIZER_IN_DOUBT)
    assert change.severity is Severity.WARNING
    assert "With fix_mistral_regex=True, 1 of the " in change.detail
    assert "'202' in 3 tokens there and in 1 here" in change.detail
    (none,) = findings(mistral, "The Danube.", Code.TOKENIZER_IN_DOUBT)
    assert (none.severity, none.token_span) == (Severity.NOTE, None)
    assert none.detail.endswith("no token of this row changes.")


def test_the_other_way_is_that_of_transformers(mistral: Model) -> None:
    """Token for token, as one gets it who sets what the warning asks for."""
    from transformers import AutoTokenizer

    assert mistral.alternative is not None
    set_so = AutoTokenizer.from_pretrained(mistral.name, fix_mistral_regex=True)
    for text in ("In 2025, it's 3.14.", "/tmp/x\n\n12345", "日本 2025"):
        assert mistral.alternative.tokenizer(text)["input_ids"] == set_so(text)["input_ids"]


def test_a_class_that_does_not_fit_is_tried(mistral: Model) -> None:
    """Llama's, which tokenizer_config.json names for a byte-level vocabulary."""
    (finding,) = findings(inspector.load("bytes-llama"), "The Danube.", Code.TOKENIZER_IN_DOUBT)
    assert "With LlamaTokenizer, the class that tokenizer_config.json names, " in finding.detail
    assert finding.severity is Severity.WARNING


def test_a_way_that_does_not_load_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The model loads as transformers loads it, and nothing is said."""
    import transformers

    def fails(*_: object, **__: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(transformers.LlamaTokenizer, "from_pretrained", fails)
    shutil.copytree(inspector.load("bytes-llama").tokenizer.name_or_path, tmp_path / "model")
    assert findings(inspector.load(str(tmp_path / "model")), "The Danube.", Code.TOKENIZER_IN_DOUBT) == []


@pytest.mark.parametrize(("count", "is_said"), [(256, True), (258, True), (259, False)])
def test_ids_beyond_the_embedding_are_an_error(tmp_path: Path, count: int, is_said: bool) -> None:
    """By config.json, also where the count stands with a multimodal model's language part."""
    folder = tmp_path / "model"
    shutil.copytree(inspector.load("bytes-bos").tokenizer.name_or_path, folder)
    for config in ({"vocab_size": count}, {"text_config": {"vocab_size": count}, "vocab_size": 1}):
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        found = findings(inspector.load(str(folder)), "The Danube.", Code.ID_WITHOUT_EMBEDDING)
        assert [finding.severity for finding in found] == [Severity.ERROR] * is_said


def test_tokens_of_the_users_own_are_no_fault() -> None:
    """A run resizes the embedding for them, and says so."""
    model = inspector.load("bytes-llama").with_special_tokens({"additional_special_tokens": ["<|mine|>"]})
    assert findings(model, "The <|mine|>", Code.ID_WITHOUT_EMBEDDING) == []


def test_plain_models_are_not_judged_by_row() -> None:
    """So that audits keep their fast path."""
    assert not inspector.load("tiny-chat").is_judged_by_row
    assert inspector.load("bytes-llama").is_judged_by_row
