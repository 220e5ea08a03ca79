"""Columns beside the messages that a template reads by name reach it alike wherever a row is rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.__main__ import main
from inspector.audit.run import Task, audit
from inspector.audit.text import about_lines
from inspector.data.formats import detect, read
from inspector.data.layouts import Layout
from inspector.data.source import DataSource
from inspector.inspection import template_names
from training.rows.prepare import prepare
from training.spec import parse_spec

TEMPLATE = (
    "{% if date_string is defined %}<|im_start|>system\nToday is {{ date_string }}.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
ROWS: list[dict[str, Any]] = [
    {"messages": CHAT, "date_string": "1 May", "id": 1},
    {"conversations": SHAREGPT, "date_string": "1 May", "id": 1},
    {"prompt": "Hi", "completion": "Ho", "date_string": "1 May", "id": 1},
    {"prompt": "Hi", "chosen": "Ho", "rejected": "No", "date_string": "1 May", "id": 1},
]


def written(tmp_path: Path, *rows: dict[str, Any]) -> str:
    """A file of these rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("row", ROWS, ids=["messages", "sharegpt", "prompt", "pair"])
def test_column_that_the_template_reads_reaches_it(row: dict[str, Any], tmp_path: Path) -> None:
    """By itself, in an audit, in training, as it is saved; the report and the run say so."""
    name, model = written(tmp_path, row), inspector.load("tiny-chat", template=TEMPLATE)
    alone = inspector.inspect(model, row)
    assert "Today is 1 May." in alone.text
    report = audit(Task(model=model), DataSource(name=name), workers=1)
    assert (report.tokens, report.trained) == (len(alone.ids), sum(alone.trained))
    assert dict(about_lines(report))["rows"].endswith("; the template reads date_string)")
    assert Layout.from_dict(report.about["layout"]).keywords == ("date_string",)
    notes: list[str] = []
    spec = parse_spec({"model": "tiny-chat", "data": name, "template": TEMPLATE, "method": "sft"})
    (trained,) = prepare(spec, spec.data, model, [], notes)
    assert trained.input_ids == alone.ids
    assert "The template reads by name: 'date_string'." in notes
    saved = trained.conversation.to_json()
    assert saved["date_string"] == "1 May"
    assert "id" not in saved
    assert inspector.inspect(model, saved).ids == alone.ids


def test_commands_read_the_same_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """inspect by row and by file, and export."""
    (tmp_path / "t.jinja").write_text(TEMPLATE, encoding="utf-8")
    name, template = written(tmp_path, ROWS[1]), ["--template", str(tmp_path / "t.jinja")]
    for command in (["inspect"], ["inspect", "--row", "0"]):
        assert main([*command[:1], "tiny-chat", name, *command[1:], *template]) == 0
        assert "Today is 1 May." in capsys.readouterr().out
    assert main(["export", "tiny-chat", name, *template, "--rows", str(tmp_path / "out.jsonl")]) == 0
    assert "Today is 1 May." in json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["text"]


def test_other_columns_and_nulls_are_left_alone() -> None:
    """What the template does not read, what Arrow fills in, and columns that are read as something else."""
    names = template_names(inspector.load("tiny-chat", template=TEMPLATE))
    assert names == {"date_string"}
    layout = detect([{"messages": CHAT, "id": 1}]).for_template(names)
    assert (layout.keywords, layout.unused) == ((), ("id",))
    assert read({"messages": CHAT, "date_string": None}, layout).conversation.keywords == {}
    assert read({"messages": CHAT, "date_string": "1 May"}, layout).conversation.keywords == {"date_string": "1 May"}
    assert detect([{"text": "x", "date_string": "y"}]).for_template(names).unused == ("date_string",)
    mapped = detect([{"date_string": CHAT}], {"messages": "date_string"}).for_template(names)
    assert read({"date_string": CHAT}, mapped).conversation.keywords == {}
