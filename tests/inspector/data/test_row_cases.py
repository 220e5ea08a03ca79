"""Small data sets as people have them, each with what must train of it and what must be said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import inspector
from inspector.__main__ import main
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.audit.summary import data_findings
from inspector.data.formats import detect, read
from inspector.data.layouts import Format
from inspector.data.source import DataSource, Row
from inspector.inspection import Inspection
from inspector.model.model import Model
from tests import oracle
from tests.support import models

ROWS = Path(__file__).parents[2] / "data" / "rows"


def qwen(version: str) -> Model:
    """Qwen's template, with a tokenizer made in the tests."""
    return models.model_of(models.model("qwen3").tokenizer, oracle.stored_templates()[f"trl/{version}"])


@dataclass(frozen=True)
class Seen:
    """A data set: the inspections of its rows, and the report of an audit."""

    inspections: list[Inspection]
    report: AuditReport

    @property
    def trained(self) -> list[str]:
        """What trains of each row."""
        return [models.trained_text(inspection) for inspection in self.inspections]

    @property
    def text(self) -> str:
        """All rows as they are rendered."""
        return "\n".join(inspection.text for inspection in self.inspections)

    @property
    def steps(self) -> set[str]:
        """The steps that changed something."""
        return {change.step.value for one in self.inspections for change in one.example.conversation.changes}

    @property
    def details(self) -> str:
        """All that the findings say, and why rows are not used."""
        found = [finding.detail for one in self.inspections for finding in one.findings]
        found += [finding.detail for finding in data_findings(self.report)]
        return "\n".join([*found, *self.report.reasons])


def seen(name: str, model: Model) -> Seen:
    """The rows of a file, inspected and audited."""
    source = DataSource(name=str(ROWS / name))
    rows = [row.value for row in source.rows() if isinstance(row, Row)]
    layout = detect(rows)
    inspections = []
    for row in rows:
        try:
            inspections.append(inspector.inspect(model, read(row, layout).conversation))
        except inspector.errors.InspectorError:
            continue
    return Seen(inspections, audit(Task(model=model), source, workers=1))


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call><|im_end|>'
CASES: Mapping[str, Callable[[Seen], bool]] = {
    "01_multi_turn_prompt.jsonl": lambda s: s.trained == ["Oslo.<|im_end|>"],
    "02_arrow_nulls_in_tools.jsonl": lambda s: "null" not in s.text and s.steps == {"nulls"}
    and "3 fields" in s.details,
    "03_content_list.json": lambda s: s.trained == ["A cat.<|im_end|>"] and "{'" not in s.text,
    "03b_answer_as_object.json": lambda s: s.trained == ['{"city": "Oslo", "rain": true}<|im_end|>'],
    "03c_tool_result_as_object.json": lambda s: '\n{"rain": true, "note": null}\n' in s.text and "{'" not in s.text,
    "04_llama_factory_alpaca_preference.json": lambda s: "user\nName a fruit.\n\nIt must be red.<|im_end|>" in s.text
    and s.report.about["layout"]["format"] == "preference" and not s.report.unread,
    "06_alpaca_history.json": lambda s: s.trained == ["Oslo.<|im_end|>"] and "Stockholm" in s.text
    and "Answer in one word." in s.text and not s.report.unread,
    "07_sharegpt_function_call.jsonl": lambda s: s.trained == [CALL + "Yes, it rains.<|im_end|>"]
    and '"type": "function"' in s.text and "<tool_response>\n" in s.text,
    "08_arguments_as_text.json": lambda s: s.trained == [CALL + "Yes, it rains.<|im_end|>"]
    and s.steps == {"arguments"},
    "11_llama_factory_sharegpt_preference.json": lambda s: s.report.about["layout"]["format"] == "preference"
    and s.trained[0] == "Apple.<|im_end|>" and not s.report.unread,
    "13_system_content_null.jsonl": lambda s: "message N (system) has no content" in s.details and len(s.trained) == 1,
    "13b_null_content_with_tool_calls.json": lambda s: s.trained == [CALL] and s.steps == {"content"},
    "14_save_to_disk": lambda s: len(s.trained) == 3 and not s.report.bad,
    "14b_save_to_disk_splits": lambda s: len(s.trained) == 3 and not s.report.bad,
    "15_python_literal.csv": lambda s: s.trained == ["It's Oslo.<|im_end|>"] and s.steps == {"literals"},
    "15b_python_literal_messages.csv": lambda s: s.trained == ["It's Oslo.<|im_end|>"] and s.steps == {"literals"},
    "18_weight_zero.jsonl": lambda s: "message 1 has weight: 0, and" in s.details,
    "19_empty_tool_calls.json": lambda s: s.steps == {"calls"} and s.trained == ["Hello.<|im_end|>"],
    "21_kto_one_class.jsonl": lambda s: "All 2 judged rows are good (2 to 0)" in s.details,
    "22_roles_human_assistant.jsonl": lambda s: s.trained == ["4<|im_end|>"] and s.steps == {"roles"},
    "22b_role_model.jsonl": lambda s: s.trained == ["4<|im_end|>"] and s.steps == {"roles"},
    "22c_roles_tool_call_tool_response.jsonl": lambda s: s.trained == [CALL + "Yes, it rains.<|im_end|>"]
    and "<tools>\n{" in s.text and "<tool_response>\n" in s.text,
    "23_tools_list_of_texts.jsonl": lambda s: '<tools>\n{"type": "function", "function": {"name": "weather"' in s.text,
    "23b_tools_text_null.jsonl": lambda s: "<tools>" not in s.text and s.trained == ["Hello.<|im_end|>"] * 3,
    "25_prompt_completion_text.jsonl": lambda s: "are put into turns of the chat template" in s.details,
    "28_images_column.json": lambda s: "not read: 'images' (1 row)" in s.details,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_data_set_is_read_as_it_is_meant(name: str) -> None:
    """What trains, and what is said."""
    found = seen(name, qwen("qwen2_5"))
    assert CASES[name](found), (found.trained, found.steps, found.details, found.text)


@pytest.mark.parametrize("name", ["10_enable_thinking_column.jsonl", "10b_chat_template_kwargs.jsonl"])
def test_keywords_beside_the_messages_reach_the_template(name: str) -> None:
    """As a column, and as TRL's column of keywords: the empty thought is the prompt's."""
    (inspection,) = seen(name, qwen("qwen3")).inspections
    assert sum(inspection.trained) == 2
    assert models.trained_text(inspection) == "4<|im_end|>"


@pytest.mark.parametrize(("split", "status"), [("train", 0), ("test", 0), ("validation", 2)])
def test_saved_splits_are_chosen_by_name(split: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is not there is refused with those that are."""
    name = str(ROWS / "14b_save_to_disk_splits")
    assert main(["audit", "tiny-chat", name, "--split", split, "--fail-on", "never"]) == status
    printed = capsys.readouterr()
    assert ("3 of 3 rows inspected" in printed.out) is (status == 0)
    assert ("has no split 'validation': choose one of test, train with --split." in printed.err) is (status == 2)


def test_no_case_is_left_out() -> None:
    """Each file has its right value."""
    assert {*CASES, "10_enable_thinking_column.jsonl", "10b_chat_template_kwargs.jsonl"} == {
        p.name for p in ROWS.iterdir()
    }


@pytest.mark.parametrize("wanted", [Format.PREFERENCE, None])
def test_rows_are_read_for_what_is_going_to_be_done(wanted: Format | None) -> None:
    """Pairs beside messages are found where they are wanted."""
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    row = {"messages": chat, "chosen": chat, "rejected": [chat[0], {"role": "assistant", "content": "B"}]}
    assert detect([row], None, wanted).format is (wanted or Format.MESSAGES)
