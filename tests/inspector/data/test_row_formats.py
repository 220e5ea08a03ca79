"""Rows of every published format are read as their authors mean them; what is not read is known; the pass is stable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inspector
from inspector.audit.run import Task, audit
from inspector.conversation import Conversation, Step
from inspector.data.formats import detect, read
from inspector.data.layouts import Format
from inspector.data.normal import normalized
from inspector.data.source import DataSource
from inspector.data.tally import Tally
from inspector.rendering.takes import TemplateTakes
from tests import oracle
from tests.oracles import row_formats
from tests.oracles.row_formats import ROW_FORMATS, RowFormat, reading

NAMES = [one.name for one in ROW_FORMATS]


@pytest.mark.parametrize("one", ROW_FORMATS, ids=NAMES)
def test_row_is_read_as_its_author_means_it(one: RowFormat) -> None:
    """By its columns alone; every column is used or named as unused."""
    layout = detect([one.row], one.mapping, one.wanted)
    assert layout.format is one.format
    assert reading(read(one.row, layout)) == one.reads
    assert sorted([*layout.columns.values(), *layout.unused]) == sorted(one.row)
    assert sorted(layout.unused) == sorted(one.unused)


@pytest.mark.parametrize("one", ROW_FORMATS, ids=NAMES)
def test_row_is_audited(one: RowFormat, tmp_path: Path) -> None:
    """As JSONL, none of them is lost, and what trains is some of it; a text trains nothing by itself."""
    (tmp_path / "rows.jsonl").write_text(json.dumps(one.row) + "\n", encoding="utf-8")
    model = inspector.load("tiny-chat")
    report = audit(Task(model=model), DataSource(name=str(tmp_path / "rows.jsonl")), mapping=one.mapping, workers=1)
    assert (report.rows, report.bad, report.refused, report.inspected) == (1, 0, 0, 1)
    assert bool(report.trained) is (one.format is not Format.TEXT)


def test_table_of_the_documentation_is_made_from_these_rows() -> None:
    """`python -m tests.oracles.row_formats` writes it."""
    text = row_formats.DOCS.read_text(encoding="utf-8")
    assert row_formats.with_table(text) == text


# --- properties


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
EXTRA = st.dictionaries(st.sampled_from(["id", "source", "images", "history_of", "weights", "zzz"]), TEXTS, max_size=3)


@settings(max_examples=60, deadline=None)
@given(one=st.sampled_from(ROW_FORMATS), extra=EXTRA, data=st.data())
def test_used_and_unused_columns_are_all_columns(one: RowFormat, extra: dict[str, str], data: st.DataObject) -> None:
    """Whatever stands beside a layout, and in whatever order."""
    row = {**one.row, **{name: value for name, value in extra.items() if name not in one.row}}
    row = dict(data.draw(st.permutations(list(row.items()))))
    layout = detect([row], one.mapping, one.wanted)
    assert sorted([*layout.columns.values(), *layout.unused]) == sorted(row)
    assert reading(read(row, layout)) == one.reads


@pytest.mark.parametrize("source", ["trl/qwen2_5", "trl/qwen3", "trl/llama3_1", "trl/deepseekv3", "trl/qwen2_5_vl"])
@pytest.mark.parametrize("one", ROW_FORMATS, ids=NAMES)
def test_the_pass_applied_twice_changes_nothing(one: RowFormat, source: str) -> None:
    """Neither a conversation that was read, nor one that was brought into a template's form."""
    conversation = read(one.row, detect([one.row], one.mapping, one.wanted)).conversation
    takes = TemplateTakes.of(oracle.stored_templates()[source], {"bos_token": "<s>", "eos_token": "</s>"})
    once = normalized(conversation, takes)
    again = normalized(replace(once, changes=()), takes)
    assert (again, again.changes) == (once, ())
    assert normalized(Conversation.parse(once.to_json()), takes) == once


# --- each step, on and off


CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
TEXT_CALL = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USER, ASKED = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}
STEPS: Mapping[Step, tuple[dict[str, Any], str, Any]] = {
    Step.LITERALS: ({"messages": str([USER, {**ASKED, "content": "It's"}])}, "messages", None),
    Step.DIALOGUES: ({"chosen": "\n\nHuman: Hi\n\nAssistant: Ho", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
                     "chosen", None),
    Step.SPEAKERS: ({"data": ["Hi", "Ho"]}, "data", [USER, {**ASKED, "content": "Ho"}]),
    Step.RANKING: ({"prompt": "Hi", "responses": [{"text": text, "score": i} for i, text in enumerate("abc")]},
                   "responses · score", [2, 0]),
    Step.TURNS: ({"prompt": "Hi", "completion": "Ho"}, "prompt and completion", None),
    Step.PAIRS: ({"chosen": [USER, ASKED], "rejected": "No"}, "rejected", None),
    Step.SYSTEM: ({"messages": [{"role": "system", "content": "S"}, USER], "system": "T"}, "system", None),
    Step.NULLS: ({"messages": [{**USER, "name": None}, {**ASKED, "content": "Ho", "name": None}]},
                 "message 0 · name", None),
    Step.ROLES: ({"messages": [{**USER, "role": "Human"}, {**ASKED, "content": "Ho"}]}, "message 0 · role", "user"),
    Step.CALLS: ({"messages": [USER, {"role": "tool_call", "content": '{"name": "f", "arguments": {"a": 1}}'}]},
                 "message 1", {"role": "assistant", "content": "", "tool_calls": [CALL]}),
    Step.ARGUMENTS: ({"messages": [USER, {**ASKED, "tool_calls": [TEXT_CALL]}]},
                     "message 1 · tool_calls[0].function.arguments", {"a": 1}),
    Step.TOOLS: ({"messages": [USER, {**ASKED, "content": "Ho"}], "tools": '[{"name": "f"}]'}, "tools",
                 [{"type": "function", "function": {"name": "f"}}]),
    Step.LABELS: ({"input_ids": [9, 10, 11], "labels": [10, 11, -100]},
                  "labels, each of which stands at the token before its own", None),
    Step.CONTENT: ({"messages": [USER, {**ASKED, "content": [{"type": "text", "text": "Ho"}]}]},
                   "message 1 · content", "Ho"),
}  # fmt: skip
TOJSON = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for call in m.tool_calls or [] %}"
    "{{ call.function | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_recorded_and_can_be_left_out(step: Step) -> None:
    """The change has its place and its value; without the step there is none."""
    row, where, after = STEPS[step]
    model = inspector.load("tiny-chat").with_template(TOJSON)
    changes = [change for change in inspector.inspect(model, row).to_dict()["changes"] if change["step"] == step]
    assert [change["where"] for change in changes][:1] == [where]
    assert after is None or changes[0]["after"] == after
    try:
        left = inspector.inspect(model, row, modifiers={"as_given": [step.value]})
    except inspector.errors.InspectorError:
        return  # nothing else could be read of it
    assert step not in [change.step for change in left.example.conversation.changes]


def test_every_step_is_tested() -> None:
    """Dates have a test of their own, since no JSON holds them, and so have rows of ids and labels, and images."""
    assert {*STEPS, Step.DATES, Step.LABELS, Step.IMAGES} == set(Step)


def test_dates_become_text() -> None:
    """As a Parquet file holds them, in a message's own fields; bytes are refused."""
    from datetime import datetime

    row = {"messages": [{**USER, "at": datetime(2026, 5, 17, 9, 30)}, {**ASKED, "content": "Ho"}]}
    sample = read(row, detect([row]))
    assert sample.conversation.messages[0]["at"] == "2026-05-17T09:30:00"
    assert [change.step for change in sample.conversation.changes] == [Step.DATES]
    with pytest.raises(inspector.errors.ConversationError, match="holds a value of type datetime"):
        read(row, detect([row]), as_given=["dates"])
    with pytest.raises(inspector.errors.ConversationError, match="holds bytes, which no chat template can write"):
        read({"messages": [{**USER, "raw": b"x"}, ASKED]}, detect([row]))


def test_nulls_that_somebody_wrote_stay() -> None:
    """In messages of different fields, in lists, in defaults of a schema, and in arguments that are JSON text."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": None}}}
    schema = {"type": "object", "properties": {"a": {"default": None, "enum": [None, 1], "title": None}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    written = normalized({"messages": [USER, {**ASKED, "tool_calls": [call]}], "tools": tools})
    assert written.messages[1]["tool_calls"][0]["function"]["arguments"] == {"a": None}
    filled = normalized({"messages": [{**USER, "tool_calls": None}, {**ASKED, "tool_calls": [call]}], "tools": tools})
    assert filled.messages[1]["tool_calls"][0]["function"]["arguments"] == {}
    assert filled.tools is not None
    assert filled.tools[0]["function"]["parameters"]["properties"]["a"] == {"default": None, "enum": [None, 1]}


def test_a_system_text_is_not_dropped_without_a_word() -> None:
    """Where the messages begin with one: the column's is left out, said, and kept with the step left out."""
    own = {"role": "system", "content": "S"}
    row = {"messages": [own, USER, {**ASKED, "content": "Ho"}], "system": "T"}
    assert reading(read(row, detect([row]))) == "system: S / user: Hi / assistant: Ho"
    findings = inspector.inspect(inspector.load("tiny-chat"), row).findings
    assert [f.severity.value for f in findings if f.code == "row_changed"] == ["warning"]
    both = read(row, detect([row]), ["system"])
    assert reading(both) == "system: T / system: S / user: Hi / assistant: Ho"
    same = {**row, "system": "S"}
    assert read(same, detect([same])).conversation.changes == ()


def test_columns_beside_a_chat_are_read_in_later_rows_too() -> None:
    """The layout was told from rows without them, and nothing counts them as unread."""
    plain = {"messages": [USER, {**ASKED, "content": "Ho"}]}
    layout = detect([plain])
    late = {**plain, "system_prompt": "S", "id": 1}
    sample = read(late, layout)
    assert reading(sample) == "system: S / user: Hi / assistant: Ho"
    tally = Tally(layout)
    tally.add(late, sample)
    assert not tally.unread


def test_columns_that_are_not_read_are_said_of_a_single_row() -> None:
    """As an audit says them of a data set; and a pair of two equal answers is none."""
    model = inspector.load("tiny-chat")
    row = {
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
        "images": ["a"],
        "id": 1,
    }
    (finding,) = inspector.inspect(model, row).findings
    assert (finding.code, finding.severity.value) == ("column_not_read", "warning")
    assert finding.detail.startswith("Columns that are not read: 'images' (1 row).")
    same = {"prompt": "Q", "chosen": "A", "rejected": "A"}
    with pytest.raises(inspector.errors.FormatError, match="chosen and rejected are the same"):
        read(same, detect([same]))


@pytest.mark.parametrize("other", [[USER, {**ASKED, "content": "No"}], "\n\nHuman: Hi\n\nAssistant: No"])
def test_a_prompt_of_its_own_is_laid_beside_the_row_s(other: Any) -> None:
    """One side holds its prompt, the other is given the row's: where they differ the pair compares nothing."""
    rows = [{"prompt": [{**USER, "content": text}], "chosen": "Ho", "rejected": other} for text in ("Hi", "Hello")]
    if isinstance(other, str):
        rows = [
            {**row, "prompt": f"\n\nHuman: {text}\n\nAssistant:"}
            for row, text in zip(rows, ("Hi", "Hello"), strict=True)
        ]
    found = [inspector.inspect(inspector.load("tiny-chat"), row).findings for row in rows]
    assert [any(f.code == "pair_prompts_differ" for f in findings) for findings in found] == [False, True]


def test_roles_can_be_mapped() -> None:
    """A name that nobody knows is refused with the way out, which is taken."""
    row = {"messages": [{"role": "pilot", "content": "Hi"}, {"role": "tower", "content": "Ho"}]}
    with pytest.raises(inspector.errors.FormatError, match=r"the role 'pilot'.* Map it: role\.pilot=assistant\."):
        read(row, detect([row]))
    layout = detect([row], {"role.pilot": "user", "role.tower": "assistant"})
    assert reading(read(row, layout)) == "user: Hi / assistant: Ho"
    assert layout.to_dict()["roles"] == {"pilot": "user", "tower": "assistant"}
