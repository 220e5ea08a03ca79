"""Every finding has an example that triggers it, and the lesson of the merged template holds on real tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import inspector
from inspector.__main__ import main
from inspector.errors import GalleryError, InspectorError
from inspector.findings.codes import Code
from inspector.gallery import Entry, find_entry, gallery
from inspector.trainers.markers import propose_markers

FINDINGS = [entry for entry in gallery() if entry.section == "findings"]
DATA_SET = {Code.DUPLICATE_ANSWER, Code.NEAR_EMPTY_LOSS, Code.COLUMN_NOT_READ, Code.ONE_LABEL}
"""Codes about a data set as a whole; tests/inspector/audit/test_summary.py has their examples."""


def test_every_code_has_its_example() -> None:
    """One each, in the order of the codes."""
    assert [entry.code for entry in FINDINGS] == [code for code in Code if code not in DATA_SET]


@pytest.mark.parametrize("entry", FINDINGS, ids=lambda entry: entry.name)
def test_example_triggers_its_finding(entry: Entry) -> None:
    """On inspection, or as the reason why the template refuses it."""
    assert entry.title
    assert entry.about.endswith(".")
    try:
        found = [finding.code for finding in entry.setup.inspect().findings]
    except InspectorError as error:
        conversation = inspector.Conversation.parse(entry.setup.conversation)
        diagnosis = inspector.diagnose(entry.setup.load(), conversation, error)
        found = [diagnosis.code] if diagnosis else []
    assert entry.code in found


def test_command_lists_and_shows_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a name all of them; with one, what `inspect` shows."""
    assert main(["gallery"]) == 0
    listed = capsys.readouterr().out
    assert all(entry.name in listed for entry in gallery())
    assert main(["gallery", "boundary_merge"]) == 0
    assert "warning boundary_merge at token" in capsys.readouterr().out
    assert main(["gallery", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(gallery())
    assert main(["gallery", "pad_is_eos", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["setup"]["special_tokens"] == {"pad_token": "<|im_end|>"}
    assert shown["findings"][0]["code"] == "pad_is_eos"


def test_refused_example_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """The finding stands behind the error."""
    assert main(["gallery", "roles_must_alternate"]) == 2
    assert "roles_must_alternate: " in capsys.readouterr().err


def test_unknown_example_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names there are."""
    with pytest.raises(GalleryError, match="no example 'nothing'; there are: boundary_merge, "):
        find_entry("nothing")
    assert main(["gallery", "nothing"]) == 2
    assert "no example 'nothing'" in capsys.readouterr().err


# --- the seed notebook's lesson


def trained(name: str, model: inspector.Model | None = None) -> str:
    """The trained text of an entry, on its own model or another one's tokenizer."""
    setup = find_entry(name).setup
    if model is None:
        inspection = setup.inspect()
    else:
        model = model.with_template(setup.template).with_special_tokens(setup.special_tokens)
        inspection = inspector.inspect(model, setup.conversation, setup.strategy, **setup.options)
    pairs = zip(inspection.example.tokens.texts, inspection.trained, strict=True)
    return "".join(text for text, bit in pairs if bit)


LESSON = [
    ("1-the-response-template-merges", ""),
    ("2-bos-and-eos-in-the-collator", " perro agua"),
    ("3-bos-to-eos", " perro<|im_end|> agua<|im_end|>"),
    ("4-templates-as-special-tokens", " perro<|im_end|> agua<|im_end|>"),
    ("5-exact-labels", " perro<|im_end|> agua<|im_end|>"),
]


@pytest.mark.parametrize(("name", "text"), LESSON)
def test_lesson_on_our_tokenizer(name: str, text: str) -> None:
    """The template that merges trains nothing, the collator loses the stop token, each fix trains answer and stop."""
    assert trained(name) == text


@pytest.mark.parametrize(("name", "text"), LESSON)
def test_lesson_on_a_real_tokenizer(name: str, text: str, real_model_dir: Callable[[str], Path]) -> None:
    """Qwen2.5 merges the question mark with the line ends, too; its turns end in the same stop token."""
    assert trained(name, inspector.load(str(real_model_dir("qwen2_5")))) == text


def test_lesson_is_explained() -> None:
    """The finding shows the token that swallowed the boundary, and markers say that the text cannot be used."""
    inspection = find_entry("1-the-response-template-merges").setup.inspect()
    details = " ".join(finding.detail for finding in inspection.findings)
    assert "'?\\n\\n'" in details
    exact = find_entry("5-exact-labels").setup.inspect()
    assert propose_markers([exact]).response_template != "\n\n### Assistant:"
