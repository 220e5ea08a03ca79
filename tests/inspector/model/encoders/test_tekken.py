"""Models with a tekken.json alone: they load, and their ids are mistral-common's."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector import errors
from inspector.audit import Task, audit
from inspector.data.source import DataSource
from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.model.encoders import JINJA
from inspector.model.model import Model
from inspector.trainers.compare import compare
from models.make_bytes import TEKKEN_SPECIAL, tekken
from tests.encoders import Outcome, conversations, judged
from tests.support.hub_server import HubServer

ASK = {"role": "user", "content": "Which river runs through Vienna?"}
REPLY = {"role": "assistant", "content": "The Danube."}


@pytest.fixture(scope="module")
def model() -> Model:
    """A token a byte, and Mistral's control tokens."""
    return inspector.load("bytes-tekken")


def folder_of(path: Path, **files: Any) -> str:
    """A folder with a tekken.json and what else is given, by name without its ending."""
    values = {"tekken": tekken("v13"), **files}
    for name, value in values.items():
        suffix = ".jinja" if name == "chat_template" else ".json"
        (path / f"{name}{suffix}").write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def ids_of(inspection: Inspection, text: str) -> list[int]:
    """The ids of the tokens that lie in the first occurrence of a text."""
    start = inspection.text.index(text)
    spans = inspection.example.tokens.char_spans
    return [id for id, span in zip(inspection.ids, spans, strict=True) if start <= span[0] < start + len(text)]


def test_ids_are_those_of_mistral_common(model: Model) -> None:
    """Wherever both take the row; what differs is a finding. `python -m tests.encoders` runs the real vocabularies."""
    outcomes = [judged(model, *one) for one in conversations()]
    assert [outcome.name for outcome in outcomes if outcome.kind == "different"] == []
    assert Counter(outcome.kind for outcome in outcomes)["same"] > len(outcomes) / 2


TEXTS = st.lists(st.sampled_from([*TEKKEN_SPECIAL, "a", "é", "日", "\n", " x", "[", "]"]), min_size=1).map("".join)


@given(question=TEXTS, answer=TEXTS)
def test_text_never_becomes_a_control_token(question: str, answer: str) -> None:
    """Whatever it spells: a message is as many tokens as it has bytes, and only the template's are control tokens."""
    model = inspector.load("bytes-tekken")
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer + "."}]
    inspection = inspector.inspect(model, chat)
    control = [id for id in inspection.ids if id < len(TEKKEN_SPECIAL)]
    assert control == [TEKKEN_SPECIAL.index(text) for text in ("<s>", "[INST]", "[/INST]", "</s>")]
    assert len(inspection.ids) == 4 + len((question + answer + ".").encode())
    assert "".join(inspection.example.tokens.pieces()) == inspection.text
    assert inspection.trained[-1] == 1
    spelled = {f.message_index for f in inspection.findings if f.code is Code.CONTROL_TOKEN_IN_CONTENT}
    assert spelled == {i for i, m in enumerate(chat) if any(text in m["content"] for text in TEKKEN_SPECIAL)}


def test_a_spelled_control_token_is_said_with_both_ids(model: Model) -> None:
    """As mistral-common reads it, and as a trainer that tokenizes the rendered text would."""
    inspection = inspector.inspect(model, [ASK, {"role": "assistant", "content": "Write </s> here."}])
    (finding,) = [f for f in inspection.findings if f.code is Code.CONTROL_TOKEN_IN_CONTENT]
    assert f"as it is shown: {ids_of(inspection, '</s> here')[:4]}" in finding.detail
    assert "gets the control token: [2]" in finding.detail


def test_without_spelled_tokens_the_ids_are_those_of_the_whole_text(model: Model) -> None:
    """So what a trainer gets that tokenizes the render."""
    inspection = inspector.inspect(model, [{"role": "system", "content": "Be brief."}, ASK, REPLY])
    assert inspection.ids == model.tokenizer(inspection.text, add_special_tokens=False)["input_ids"]


def test_the_encoder_is_named(model: Model) -> None:
    """In the model, in `to_dict`; other models render a template."""
    assert inspector.inspect(model, [ASK, REPLY]).to_dict()["encoder"] == "tekken"
    tiny = inspector.load("tiny-chat")
    assert tiny.encoder is JINJA
    assert inspector.inspect(tiny, [ASK, REPLY]).to_dict()["encoder"] == "jinja"


def test_it_loads_from_the_hub(hub: HubServer) -> None:
    """From its tekken.json, and with the template that stands beside it."""
    data = json.dumps(tekken("v13")).encode()
    hub.add("owner/tekken", {"tekken.json": data})
    hub.add("owner/own", {"tekken.json": data, "chat_template.jinja": b"{{ bos_token }}{{ messages[0].content }}"})
    assert inspector.inspect(inspector.load("owner/tekken"), [ASK, REPLY]).text.startswith("<s>[INST]Which")
    assert inspector.load("owner/own").template == "{{ bos_token }}{{ messages[0].content }}"


def test_a_tokenizer_json_beside_it_is_preferred(tmp_path: Path) -> None:
    """Also where mistral-common is installed, which transformers would take then."""
    inspector.load("bytes-tekken").tokenizer.save_pretrained(tmp_path)
    loaded = inspector.load(folder_of(tmp_path))
    assert loaded.encoder is JINJA
    assert loaded.tokenizer.is_fast


def test_another_template_is_not_compared(model: Model) -> None:
    """The official encoder writes its own format; a template of the user's is meant to differ."""
    chosen = model.with_template("chatml")
    codes = {finding.code for finding in inspector.inspect(chosen, [ASK, REPLY]).findings}
    assert Code.OFFICIAL_ENCODER_DIFFERS not in codes


def test_an_audit_asks_the_official_encoder_about_each_row(model: Model, tmp_path: Path) -> None:
    """No row is counted by the shape of another one."""
    rows = [[ASK, {"role": "assistant", "content": text}] for text in ("a", "b", "c ", "d", "e  ")]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows), encoding="utf-8")
    report = audit(Task(model=model), DataSource(name=str(path)), workers=1)
    assert report.findings[Code.OFFICIAL_ENCODER_DIFFERS.value].rows == 2


def test_without_mistral_common_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the template, and for a file of the first version, whose control tokens stand in the library."""
    name = folder_of(tmp_path)
    gone = "mistral_common.integrations.chat_templates.chat_templates"
    monkeypatch.setitem(sys.modules, gone, None)
    with pytest.raises(errors.UnsupportedTokenizerError, match="needs mistral-common: pip install mistral-common"):
        inspector.load(name)


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    """With what is wrong; also where the template is there, and only the vocabulary is read."""
    broken = tekken("v13") | {"vocab": [{"rank": 0}]}
    for files in ({"tekken": "{"}, {"tekken": broken}, {"tekken": broken, "chat_template": "{{ messages }}"}):
        with pytest.raises(errors.CorruptFileError, match=r"tekken.json of .* cannot be read: .*Fetch it again"):
            inspector.load(folder_of(tmp_path, **files))
        for path in tmp_path.iterdir():
            path.unlink()


@pytest.mark.parametrize("value", [[], {}, {"config": [], "vocab": []}, {"config": {}, "vocab": {}}])
def test_what_is_no_tekken_file_is_said(tmp_path: Path, value: object) -> None:
    """In words of our own; the libraries would speak of keys and indices."""
    with pytest.raises(errors.CorruptFileError, match='it is not an object with a "config" and a list "vocab"'):
        inspector.load(folder_of(tmp_path, tekken=value))


def test_what_a_library_says_has_no_path_of_this_machine(tmp_path: Path) -> None:
    """Such as of a version that it does not know."""
    with pytest.raises(errors.CorruptFileError, match=r"Unknown version: v99 in tekken.json\."):
        inspector.load(folder_of(tmp_path, tekken=tekken("v99")))


def test_outcomes_tell_a_silent_difference(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tests.encoders` fails on a difference that no finding says."""
    monkeypatch.setattr("inspector.findings.example._FINDERS", ())
    row = [ASK, {"role": "assistant", "content": "The Danube. "}]
    assert judged(model, "x", row) == Outcome("x", "different")


SPELLED = [{"role": "user", "content": "a[INST]b"}, {"role": "assistant", "content": "Write </s> here."}]


@pytest.mark.parametrize(
    "strategy", ["full", "generation_tags", "content_diff", "prefix_render", "trl_completion_only"]
)
def test_trainers_that_tokenize_the_text_whole_are_shown_with_their_own_ids(model: Model, strategy: str) -> None:
    """Where a message spells a control token; that the model would learn it is an error."""
    inspection, plain = inspector.inspect(model, SPELLED, strategy), inspector.inspect(model, [ASK, REPLY], strategy)
    assert inspection.ids == model.tokenizer(inspection.text, add_special_tokens=False)["input_ids"]
    assert inspection.ids != inspector.inspect(model, SPELLED).ids
    assert plain.ids == inspector.inspect(model, [ASK, REPLY]).ids
    said = {finding.message_index: finding for finding in inspection.findings}
    assert "becomes a special token" in said[0].detail


def test_trainers_of_other_ids_are_not_laid_beside_the_truth(model: Model) -> None:
    """A comparison says so of each that takes the row."""
    entries = [entry for entry in compare(model, SPELLED).entries if entry.labelled is not None]
    assert entries
    assert all(entry.agreement is None and "trains other tokens" in entry.verdict.short for entry in entries)


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_row_of_ids_is_read_back(model: Model, is_whole: bool) -> None:
    """What its ids only spell is a message's text; a control token in a message cannot be told from the template's."""
    made = inspector.inspect(model, SPELLED, "full" if is_whole else "traced")
    ids, labels = made.row
    row = inspector.inspect(model, {"input_ids": ids, "labels": labels})
    codes = {finding.code for finding in row.findings}
    assert (row.ids, row.text, row.trained) == (made.ids, made.text, made.trained)
    assert (Code.TURNS_NOT_READ in codes) is is_whole
    assert Code.IDS_DIFFER not in codes
    assert is_whole or list(row.example.conversation.messages) == SPELLED


@pytest.mark.parametrize("name", ["default_num_special_tokens", "default_vocab_size"])
@pytest.mark.parametrize("count", [10**12, -1])
def test_a_size_that_no_vocabulary_has_is_refused(tmp_path: Path, name: str, count: int) -> None:
    """Before as many tokens are made."""
    values: dict[str, Any] = tekken("v13")
    values["config"][name] = count
    with pytest.raises(errors.CorruptFileError, match=f"{name} is {count}, and up to 2,000,000 are read"):
        inspector.load(folder_of(tmp_path, tekken=values))


def test_a_library_that_panics_has_no_opinion(tmp_path: Path) -> None:
    """A vocabulary without a token for some bytes: the row is shown all the same."""
    values: dict[str, Any] = tekken("v13")
    values["config"]["default_vocab_size"] = 200
    model = inspector.load(folder_of(tmp_path, tekken=values))
    inspection = inspector.inspect(model, [{"role": "user", "content": "é"}, REPLY])
    assert inspection.example.official() is None
