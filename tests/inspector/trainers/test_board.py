"""What stands on the board of models is true of them; and where two models part."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import inspector
from inspector.__main__ import main
from inspector.inspection import inspect_rendered
from inspector.model.model import Model
from inspector.tagging.conversations import proof_conversations
from inspector.trainers.board import CHAT, partings, standing_of
from inspector.trainers.compare import compare
from inspector.trainers.verdict import Level
from tests.board import DATA, PAGE, data, page, row, table
from tests.generation_table import model
from tests.support import models


@pytest.fixture(scope="module")
def tiny() -> Model:
    """The embedded model."""
    return inspector.load("tiny-chat")


def test_counts_are_those_of_the_conversations(tiny: Model) -> None:
    """Rendered, exact, asked of the official encoder."""
    standing = standing_of(tiny)
    conversations = list(proof_conversations().values())
    assert (standing.tried, standing.rendered) == (len(conversations), len(inspect_rendered(tiny, conversations)))
    assert 0 < standing.exact <= standing.rendered
    assert (standing.official, standing.encoder, standing.problem) == (0, "jinja", "")
    assert standing.is_tagged


def test_trainers_are_told_as_compare_tells_them(tiny: Model) -> None:
    """In the same few words, and only the known ones."""
    standing = standing_of(tiny)
    entries = compare(tiny, proof_conversations()[CHAT]).entries
    said = {
        (one.verdict.trainer, "exact" if one.verdict.level is Level.RIGHT else one.verdict.short) for one in entries
    }
    assert set(standing.trainers.items()) <= said
    assert {"TRL", "Unsloth", "axolotl", "torchtune"} <= set(standing.trainers)


def test_trainers_come_worst_first(tiny: Model) -> None:
    """Who misses stop tokens before who trains newlines, who is exact after them; who takes no such row last."""
    found = row(standing_of(model("tiny-chat")))["trainers"]  # the template alone
    assert [one[:2] for one in found] == [
        ["No masking", "wrong"], ["axolotl", "wrong"], ["Unsloth", "wrong"], ["TRL", "right"], ["torchtune", "unknown"],
    ]  # fmt: skip


def test_a_template_that_loses_an_answer_is_not_exact(tiny: Model) -> None:
    """The same template without the answers' text: it renders, and no conversation with an answer is exact."""
    lost = "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content if m.role == 'user' }}{% endfor %}"
    standing = standing_of(tiny.with_template(lost))
    with_answers = [one for one in proof_conversations().values() if one.assistant_indices()]
    assert standing.rendered - standing.exact > len(with_answers) / 2


def test_the_official_encoder_is_counted() -> None:
    """Those that it takes, and those that it gives the same ids."""
    standing = standing_of(inspector.load("bytes-tekken"))
    assert standing.encoder == "tekken"
    assert 0 < standing.same_as_official < standing.official <= standing.rendered


def test_models_part_in_text_then_ids_then_mask(tiny: Model) -> None:
    """The first that differs is said, with where; equal models do not part."""
    assert list(partings(tiny, tiny)) == []
    other_text = tiny.with_template(tiny.template + "{{ '!' }}")
    assert {one.what for one in partings(tiny, other_text)} == {"text"}
    chatml = models.model("chatml")
    other_ids = replace(tiny, tokenizer=chatml.tokenizer, template=chatml.template, name="other")
    same_text = replace(tiny, template=chatml.template)
    assert "ids" in {one.what for one in partings(same_text, other_ids)}
    refusing = tiny.with_template("{{ raise_exception('no') }}{{ messages }}")
    parting = next(partings(tiny, replace(refusing, name="refusing")))
    assert parting.detail == "tiny-chat renders it, refusing does not"


def test_the_command_prints_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """1 where a model is unusable; the others are told all the same."""
    assert main(["board", "tiny-chat", "./not-there"]) == 1
    out = capsys.readouterr().out
    assert "tiny-chat  template " in out
    assert "conversations render, " in out
    assert "./not-there  The folder './not-there' does not exist on this machine." in out
    assert main(["board", "tiny-chat", "--json"]) == 0
    (standing,) = json.loads(capsys.readouterr().out)
    assert (standing["model"], standing["problem"]) == ("tiny-chat", "")


def test_the_command_compares_two(capsys: pytest.CaptureFixture[str]) -> None:
    """1 where they part, 0 where they do not, 2 where there are not two."""
    assert main(["board", "--diff", "tiny-chat", "tiny-chat"]) == 0
    assert capsys.readouterr().out == "They write the same text, ids and masks.\n"
    assert main(["board", "--diff", "tiny-chat", "bytes-bos"]) == 1
    assert "sample 0: other text, character 2" in capsys.readouterr().out
    assert main(["board", "--diff", "tiny-chat", "bytes-bos", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["what"] == "text"
    assert main(["board", "--diff", "tiny-chat"]) == 2
    assert "--diff compares two models: give two, not 1." in capsys.readouterr().err


def test_the_page_has_a_row_each(tiny: Model) -> None:
    """With the columns of the trainers."""
    head, _, line = table([row(standing_of(tiny))]).strip().split("\n")
    assert head.startswith("| Template | Renders | Official | Exact | Tags | No masking | TRL | ")
    assert line.startswith("| tiny-chat | 63 |  | ")
    assert head.count("|") == line.count("|")


def test_both_files_say_the_same() -> None:
    """The Markdown is that of the JSON's rows, and the JSON as it is written."""
    kept = json.loads(DATA.read_text(encoding="utf-8"))
    assert page(kept["tried"], kept["models"]) == PAGE.read_text(encoding="utf-8")
    assert data(kept["tried"], kept["models"]) == DATA.read_text(encoding="utf-8")


def test_the_row_of_the_embedded_model_is_kept_up(tiny: Model) -> None:
    """What the file says of it is what is found now."""
    kept = json.loads(DATA.read_text(encoding="utf-8"))["models"]
    assert [one for one in kept if one["model"] == tiny.name] == [row(standing_of(tiny))]
