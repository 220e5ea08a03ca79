"""Rows that came with ids and labels: shown, found in, laid beside traced and audited as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
from inspector.audit.run import Task, audit
from inspector.conversation import Conversation
from inspector.data.source import BadRow, DataSource
from inspector.errors import FormatError, InspectorError, RemedyError, StrategyRefusedError
from inspector.exports.targets import export_all, write_rows
from inspector.findings.codes import Code
from inspector.inspection import Inspection, inspect_rendered
from inspector.model.model import Model
from inspector.paths import EXAMPLES
from inspector.read_back import read_back
from inspector.remedies import apply_remedy, offers
from inspector.setup import Setup
from inspector.strategies import OWN_LABELS, Reason, Rule, label
from inspector.trainers.compare import compare
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = [{"role": "user", "content": "Capital of Norway?"}, {"role": "assistant", "content": "Oslo."}]
UNKNOWN = {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}
UNREAD = {"chatml": 3, "llama3": 4, "qwen3": 6, "tiny-chat": 3}
"""Rows of the corpus that cannot be read back: unknown roles, headers and stop tokens in texts, lost think blocks."""


def row_of(inspection: Inspection) -> dict[str, list[int]]:
    """A row as a trainer prepares it."""
    ids, labels = inspection.row
    return {"input_ids": ids, "labels": labels}


def tiny() -> inspector.Model:
    """The embedded model."""
    return inspector.load("tiny-chat")


def codes(inspection: Inspection) -> set[str]:
    """What was found."""
    return {finding.code.value for finding in inspection.findings}


@pytest.mark.parametrize("name", list(UNREAD))
def test_every_row_is_shown_as_it_is_given(name: str) -> None:
    """Ids, labels and text are the row's, and the turns those of the conversation that it was made from."""
    model, unread = models.model(name), 0
    for title, conversation in CORPUS.items():
        try:
            made = inspector.inspect(model, conversation)
        except InspectorError:
            continue
        shown = inspector.inspect(model, row_of(made))
        assert (shown.ids, shown.labels, shown.text) == (made.ids, made.labels, made.text), title
        assert shown.strategy == OWN_LABELS
        assert set(shown.labelled.reasons) <= {Reason.OWN_LABEL, Reason.NO_LABEL, Reason.FIRST_TOKEN}
        unread += bool(shown.example.unread)
        if shown.example.unread:
            assert {"turns_not_read"} <= codes(shown)
            assert not {"foreign_text_in_loss", "control_token_in_content"} & codes(shown)
        else:
            assert "ids_differ" not in codes(shown), title
            assert "labels_differ" not in codes(shown) or title == "thinking off", title
    assert unread == UNREAD[name]


NO_CONTENT = {f"trl/{name}{kind}" for name in ("idefics3", "smolvlm") for kind in ("", "_training")}
"""Templates that write no content that is a text, or refuse it."""


def test_rows_of_every_template_are_read_back() -> None:
    """Whatever it frames turns with, a system text without a header and in the user's turn included."""
    tokenizer = models.trained_tokenizer(
        ["<s>", "</s>", "<|im_start|>", "<|im_end|>"], bos_token="<s>", eos_token="</s>"
    )
    titles = ("system, two turns", "one turn")
    for name, source in oracle.stored_templates().items():
        model = models.model_of(tokenizer, source, name)
        (made, *_) = inspect_rendered(model, [Conversation.parse(CORPUS[title]) for title in titles]) or [None]
        if made is None or name in NO_CONTENT:
            continue
        shown = inspector.inspect(model, row_of(made))
        assert (shown.ids, shown.labels) == (made.ids, made.labels), name
        assert not shown.example.unread, name
        assert not {"labels_differ", "ids_differ"} & codes(shown), name


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from([*UNREAD, "slow"]))
def test_any_ids_are_shown(data: st.DataObject, name: str) -> None:
    """Whatever they decode to, parts of characters included; their texts add up to the text."""
    model = slow_model() if name == "slow" else models.model(name)
    ids = data.draw(st.lists(st.integers(0, len(model.tokenizer) - 1), min_size=1, max_size=30))
    shown = inspector.inspect(model, {"input_ids": ids, "labels": ids})
    assert shown.ids == ids
    assert shown.labels == [-100, *ids[1:]]
    assert "".join(shown.example.tokens.pieces()) == shown.text


@lru_cache(maxsize=1)
def slow_model() -> Model:
    """ByT5's tokenizer, which reports no offsets."""
    from transformers import ByT5Tokenizer

    return models.model_of(ByT5Tokenizer(extra_ids=0), oracle.stored_templates()["built in/chatml"])


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_any_beginning_of_a_row_keeps_its_ids(name: str) -> None:
    """Cut anywhere, in the middle of a character too, as a trainer's max_length does."""
    model = models.model(name)
    made = inspector.inspect(model, CORPUS["emoji families"])
    ids, labels = made.row
    for end in range(1, len(ids)):
        shown = inspector.inspect(model, {"input_ids": ids[:end], "labels": labels[:end]})
        assert (shown.ids, shown.labels) == (ids[:end], labels[:end])
        assert "".join(shown.example.tokens.pieces()) == shown.text
    assert "no_trained_tokens" not in codes(shown)


def test_a_cut_answer_is_named() -> None:
    """The template would go on; the row ends before."""
    made = row_of(inspector.inspect(tiny(), CHAT))
    end = made["input_ids"].index(3, 12)  # the stop token of the answer
    shown = inspector.inspect(tiny(), {name: values[:end] for name, values in made.items()})
    (finding,) = shown.findings
    assert finding.code is Code.STOP_TOKEN_NOT_TRAINED
    assert "the row ends before message 1 does" in finding.detail
    assert finding.remedy.startswith("The labels are the row's own")


def test_what_trains_wrongly_is_found() -> None:
    """A user's words, a header, a stop token left out: as in any conversation, and beside traced."""
    ids, labels = inspector.inspect(tiny(), CHAT).row
    whole = inspector.inspect(tiny(), {"input_ids": ids, "labels": ids})
    assert codes(whole) == {"foreign_text_in_loss", "prompt_text_in_loss", "labels_differ"}
    nothing = inspector.inspect(tiny(), {"input_ids": ids, "labels": [-100] * len(ids)})
    assert codes(nothing) == {"no_trained_tokens", "labels_differ"}
    assert "the row's own labels leave all of them out" in nothing.findings[0].detail
    without_stop = [-100 if id == 3 else one for id, one in zip(ids, labels, strict=True)]
    assert codes(inspector.inspect(tiny(), {"input_ids": ids, "labels": without_stop})) == {
        "stop_token_not_trained", "labels_differ",
    }  # fmt: skip
    prompt = inspector.inspect(tiny(), {"messages": CHAT[:1], "add_generation_prompt": True})
    (finding,) = [f for f in inspector.inspect(tiny(), row_of(prompt)).findings if f.code.value.startswith("trail")]
    assert finding.detail.endswith("the row holds no answer after it.")


def test_a_mask_about_the_next_token_is_found() -> None:
    """Moving it makes it that of traced, so the cause is shown."""
    ids, labels = inspector.inspect(tiny(), CHAT).row
    mask = [int(one != -100) for one in labels[1:]] + [0]
    shown = inspector.inspect(tiny(), {"input_ids": ids, "loss_mask": mask})
    (finding,) = [finding for finding in shown.findings if finding.code is Code.LABELS_DIFFER]
    assert (finding.severity, finding.remedy) == ("warning", "Read the rows with format: labelled_shifted.")
    assert "Moved by one token they are those of traced" in finding.detail


def test_ids_of_another_tokenization_are_kept_and_named() -> None:
    """Texts that were tokenized apart; the turns are known all the same."""
    model = models.model("chatml")
    made = inspector.inspect(model, CHAT)
    apart = [id for text in made.text for id in model.tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert apart != made.ids
    text, rest = (
        made.text[len("<|im_start|>") :],
        model.tokenizer("<|im_start|>", add_special_tokens=False)["input_ids"],
    )
    ids = [*rest, *(id for char in text.split("<|im_end|>")[0] for id in model.tokenizer(char)["input_ids"])]
    shown = inspector.inspect(model, {"input_ids": ids, "labels": ids})
    assert shown.ids == ids
    assert not shown.example.unread
    (finding,) = [finding for finding in shown.findings if finding.code is Code.IDS_DIFFER]
    assert "The ids are not those that the tokenizer gives for the text: from token" in finding.detail


def test_two_bos_are_named_and_the_turns_known() -> None:
    """As of a rendered text that was tokenized with special tokens."""
    model = models.model("llama3")
    ids, labels = inspector.inspect(model, CHAT).row
    shown = inspector.inspect(model, {"input_ids": [ids[0], *ids], "labels": [-100, *labels]})
    assert shown.labels == [-100, *labels]
    assert (sorted(shown.example.turns), codes(shown)) == ([0, 1], {"double_bos"})


def test_unknown_turns_claim_nothing() -> None:
    """The labels are shown, why is said, and what needs turns is silent."""
    shown = inspector.inspect(tiny(), UNKNOWN)
    assert shown.labels == UNKNOWN["labels"]
    assert codes(shown) == {"turns_not_read"}
    assert "no header that the template writes stands in its text" in shown.findings[0].detail
    held = read_back(
        models.model("chatml"), inspector.inspect(models.model("chatml"), CORPUS["answer holds stop tokens"]).ids
    )
    assert held.why == "a message that its text reads as holds '<|im_end|>', which begins or ends turns"


def test_ids_of_another_model_are_refused() -> None:
    """With the place, and how many ids there are."""
    with pytest.raises(FormatError, match="Token 1 has the id 99999, and tiny-chat has ids from 0 to 2047"):
        inspector.inspect(tiny(), {"input_ids": [1, 99999], "labels": [1, 99999]})


def test_a_strategy_is_not_asked_and_that_is_said() -> None:
    """Nor is `keep`; `max_length` cuts as ever."""
    row = row_of(inspector.inspect(tiny(), CHAT))
    asked = inspector.inspect(tiny(), row, "home_llm", modifiers={"keep": "last_turn"}, prefix_ids=[1], suffix_ids=[2])
    assert asked.labels == row["labels"]
    assert asked.labelled.warnings == (
        "The row's own labels are trained as they are, whatever is chosen: the strategy home_llm with its options and "
        "keep: last_turn.",
    )
    assert inspector.inspect(tiny(), row).labelled.warnings == ()
    cut = inspector.inspect(tiny(), row, modifiers={"max_length": 5})
    assert cut.row == (row["input_ids"][:5], row["labels"][:5])
    with pytest.raises(StrategyRefusedError, match="The row came without ids and labels"):
        label(inspector.inspect(tiny(), CHAT).example, OWN_LABELS, {})


def test_a_setup_holds_such_a_row() -> None:
    """As JSON: in a link, a file, a box of the page."""
    row = row_of(inspector.inspect(tiny(), CHAT))
    setup = Setup.from_dict(json.loads(json.dumps(Setup(model="tiny-chat", conversation=row).to_dict())))
    assert setup.inspect().labels == row["labels"]
    example = setup.inspect().example
    assert [message["role"] for message in example.conversation.messages] == ["user", "assistant"]
    assert example.conversation.to_json() == row
    reads_rows = replace(setup, strategy="content_diff")
    assert reads_rows.inspect().labels == row["labels"]


def test_compare_lays_traced_beside_it() -> None:
    """First of all, and where nothing is known of turns that alone, with why."""
    row = row_of(inspector.inspect(tiny(), CHAT))
    entries = compare(tiny(), {"input_ids": row["input_ids"], "labels": row["input_ids"]}).entries
    assert entries[0].strategy == "traced"
    assert entries[0].agreement is not None
    assert entries[0].agreement < 1
    assert {entry.strategy for entry in entries} > {"traced", "full", "home_llm"}
    (entry,) = compare(tiny(), UNKNOWN).entries
    assert entry.error is not None
    assert entry.error.startswith("The turns of this row are unknown: no header")


def test_the_remedy_labels_the_messages_anew() -> None:
    """The ids become messages, and a strategy labels them; no other remedy pretends to change them."""
    ids = inspector.inspect(tiny(), CHAT).ids
    setup = Setup(model="tiny-chat", conversation={"input_ids": ids, "labels": ids})
    offered = {remedy.name for remedies in offers(setup.inspect()).values() for remedy in remedies}
    assert offered == {"label_anew"}
    (changed,) = apply_remedy("label_anew", setup)
    assert changed.conversation == CHAT
    with pytest.raises(RemedyError, match="The messages of this row are unknown: no header"):
        apply_remedy("label_anew", Setup(model="tiny-chat", conversation=UNKNOWN))
    with pytest.raises(RemedyError, match="nothing to change here"):
        apply_remedy("label_anew", Setup(model="tiny-chat", conversation=CHAT))
    assert offers(inspector.inspect(tiny(), UNKNOWN)) == {}


def test_exports_of_labelled_rows_are_rows(tmp_path: Path) -> None:
    """Settings for messages are refused; rows go round."""
    shown = inspector.inspect(tiny(), UNKNOWN)
    exports = {one.target: one for one in export_all(shown)}
    assert exports.pop("trl_labels").same
    assert all(one.verdict.startswith("Not possible. The rows came with ids and labels") for one in exports.values())
    write_rows([shown], tmp_path / "rows.parquet")
    (row,) = DataSource(name=str(tmp_path / "rows.parquet")).rows()
    assert not isinstance(row, BadRow)
    assert row.value["strategy"] == OWN_LABELS
    assert inspector.inspect(tiny(), dict(row.value)).row == shown.row


# --- audits


@pytest.mark.parametrize("name", ["labelled.jsonl", "labelled-weights.jsonl", "labelled-targets.jsonl"])
def test_an_audit_counts_what_the_labels_say(name: str) -> None:
    """Whatever strategy is asked for; nothing goes the short way."""
    source = DataSource(name=str(EXAMPLES / "data" / name))
    report = audit(Task(model=tiny(), rule=Rule(strategy="full")), source, workers=1)
    assert (report.rows, report.bad, report.refused) == (3, 0, 0)
    assert (report.tokens, report.trained) == (85, 13)
    assert report.about["strategy"] == OWN_LABELS
    assert not report.findings
    assert report.about["layout"]["format"] == "labelled"


def test_an_audit_says_which_rows_cannot_be_used() -> None:
    """Each with its reason; the others count."""
    rows: list[dict[str, Any]] = [
        UNKNOWN,
        {"input_ids": [1, 2], "labels": [1]},
        {"input_ids": [99999], "labels": [99999]},
    ]
    bad: list[BadRow] = []
    source = DataSource(text="\n".join(map(json.dumps, rows)))
    report = audit(Task(model=tiny()), source, workers=1, on_bad_row=bad.append)
    assert (report.rows, report.bad) == (3, 2)
    assert [row.why for row in bad] == [
        "labels is a list of 1, and input_ids one of 2: each token must have an entry.",
        "Token 0 has the id 99999, and tiny-chat has ids from 0 to 2047: the row was made with the tokenizer of "
        "another model.",
    ]
    assert [json.loads(row.raw) for row in bad] == rows[1:]


def test_moved_masks_are_audited_as_asked() -> None:
    """With the format of such rows nothing is found."""
    source = DataSource(name=str(EXAMPLES / "data" / "labelled-shifted.jsonl"))
    plain = audit(Task(model=tiny()), source, workers=1)
    assert set(plain.findings) == {"prompt_text_in_loss", "labels_differ", "stop_token_not_trained"}
    moved = audit(Task(model=tiny()), source, mapping={"format": "labelled_shifted"}, workers=1)
    assert (moved.trained, set(moved.findings)) == (13, set())


def test_ids_beyond_the_embedding_are_said_of_given_rows() -> None:
    """As of rendered ones: the trainer fails at the first of them."""
    model = inspector.load("bytes-llama")
    assert Code.ID_WITHOUT_EMBEDDING.value in codes(inspector.inspect(model, row_of(inspector.inspect(model, CHAT))))
