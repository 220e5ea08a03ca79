"""Labelled rows, and exported scripts that run: what was shown is what reaches the loss."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml

import inspector
from inspector.__main__ import main
from inspector.errors import ExportError
from inspector.exports import rows
from inspector.exports.targets import TARGETS, export, export_all, write_rows
from inspector.inspection import Inspection, inspect
from inspector.strategies import FACTS, STRATEGIES
from tests.oracles import trl_runs
from tests.oracles.export_reading import NAMES, flags, inspected, model
from tests.support.corpus import CORPUS

# --- the scripts run

NEEDED: dict[str, dict[str, Any]] = {
    "trl_completion_collator": {"response": [2, 1558, 203], "instruction": [2, 1507, 203]},
    "home_llm": {"prefix_ids": [2, 1558, 203], "suffix_ids": [3]},
    "home_llm_intended": {"prefix_ids": [2, 1558, 203], "suffix_ids": [3]},
    "string_span": {"response_template": "<|im_start|>assistant\n"},
    "llama3_sft": {"response_template": "<|im_start|>assistant\n"},
    "dpo_boundary": {"rejected": "The Rhine."},
    "trl_assistant_only": {"max_length": 25},
}


OF_TEXTS = [strategy for strategy in STRATEGIES if not FACTS[strategy].takes_images]


def every_strategy() -> list[Inspection]:
    """Two conversations through every strategy: some need a bos, one a template without tags. Some cut their rows."""
    marked = model("tiny-chat").with_special_tokens({"bos_token": "<|im_start|>"})
    untagged = marked.with_template("chatml")
    found = []
    for title in ("two turns", "answer starts with a line break"):
        for strategy in OF_TEXTS:
            own = untagged if strategy == "torchtune" else marked
            found.append(inspect(own, CORPUS[title], strategy, **NEEDED.get(strategy, {})))
    cut = {"max_length": 40, "truncation": "keep_end"}
    return [*found, inspect(marked, CORPUS["two turns"], modifiers=cut), inspect(marked, CORPUS["question only"])]


def test_labels_reach_the_loss_bit_for_bit(tmp_path: Path) -> None:
    """The script's first batch holds the labels of every strategy, padded, as they are shown; empty rows are gone."""
    inspections = every_strategy()
    assert {inspection.strategy for inspection in inspections} == set(OF_TEXTS)
    assert write_rows(inspections, tmp_path / "rows.parquet") == len(inspections)
    batch = trl_runs.first_batch(export(inspections[0], "trl_labels"), tmp_path)
    expected = [(tuple(ids), tuple(labels)) for ids, labels in (inspection.row for inspection in inspections)]
    assert sorted(batch) == sorted(row for row in expected if set(row[1]) != {-100})
    assert len({len(ids) for ids, _ in batch}) > 1
    assert any(set(labels) == {-100} for _, labels in expected)


def test_assistant_only_labels_reach_the_loss(tmp_path: Path) -> None:
    """The script runs on the exported template, for conversations as they are pasted, and trains what is shown."""
    titles = ("two turns", "one turn", "answer starts with a line break", "tools, no call", "dates and names")
    inspections = [inspect(model("tiny-chat/alpaca"), CORPUS[title]) for title in titles]
    pasted = [json.dumps(CORPUS[title]) for title in titles]
    (tmp_path / "data.jsonl").write_text("\n".join(pasted), encoding="utf-8")
    written = export(inspections[0], "trl_assistant_only")
    assert written.same
    batch = trl_runs.first_batch(written, tmp_path, here=True)
    assert sorted(batch) == sorted((tuple(row.ids), tuple(row.labels)) for row in inspections)


# --- rows


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_rows_are_read_back(tmp_path: Path, suffix: str) -> None:
    """By the library that trainers read with: ids, labels, text and where they come from."""
    from datasets import load_dataset

    inspections = [
        inspect(model("tiny-chat"), CORPUS["two turns"]),
        inspect(model("tiny-chat"), CORPUS["emoji families"], "full"),
        inspect(model("tiny-chat"), CORPUS["two turns"], modifiers={"max_length": 30, "truncation": "keep_end"}),
    ]
    path = tmp_path / f"rows{suffix}"
    assert write_rows(iter(inspections), path) == 3
    kind = {".parquet": "parquet", ".jsonl": "json"}[suffix]
    read = load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert read.column_names == ["input_ids", "labels", "text", "model", "strategy"]
    for row, inspection in zip(read, inspections, strict=True):
        assert (row["input_ids"], row["labels"]) == inspection.row
        assert inspection.text.endswith(row["text"])
        assert (row["model"], row["strategy"]) == ("tiny-chat", inspection.strategy)
    assert read[0]["text"] == inspections[0].text
    assert len(read[2]["input_ids"]) == 30
    assert read[2]["text"] == model("tiny-chat").tokenizer.decode(read[2]["input_ids"])
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [path.name]


def test_rows_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches: no more than one of them is held at a time."""
    monkeypatch.setattr(rows, "_BATCH", 2)
    one = inspect(model("tiny-chat"), CORPUS["one turn"])
    assert write_rows((one for _ in range(5)), tmp_path / "rows.parquet") == 5
    assert pyarrow.parquet.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 3
    assert write_rows([], tmp_path / "none.parquet") == write_rows([], tmp_path / "none.jsonl") == 0


def test_rows_need_a_name_that_says_what_they_are(tmp_path: Path) -> None:
    """Two suffixes, and no others."""
    with pytest.raises(ExportError) as raised:
        write_rows([], tmp_path / "rows.csv")
    assert str(raised.value) == f"{tmp_path / 'rows.csv'} cannot hold rows: its name must end in .parquet or .jsonl."
    with pytest.raises(ExportError) as raised:
        write_rows([], tmp_path / "no" / "rows.jsonl")
    assert str(raised.value) == f"{tmp_path / 'no' / 'rows.jsonl'} cannot be written: No such file or directory."


def test_an_error_among_the_rows_leaves_the_old_file(tmp_path: Path) -> None:
    """A file is replaced once all rows are there; the error is the one that happened, also if it is an OSError."""
    path = tmp_path / "rows.jsonl"
    path.write_text("old")

    def failing() -> Iterator[Inspection]:
        yield inspect(model("tiny-chat"), CORPUS["one turn"])
        raise inspector.errors.TemplateTimeoutError("It took too long.")

    with pytest.raises(inspector.errors.TemplateTimeoutError):
        write_rows(failing(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


COMMANDS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("tiny-chat", {"strategy": "traced"}, {}, {}),
    ("tiny-chat", {"strategy": "traced", "turns": "last", "stop": "never"}, {"max_length": 30}, {}),
    (
        "tiny-chat/alpaca",
        {"strategy": "string_span", "response_template": "### Response:\n"},
        {"keep": "last_turn"},
        {},
    ),
    ("tiny-chat", {"strategy": "home_llm", "prefix_ids": [2, 1558, 203], "suffix_ids": [3]}, {}, {"pad_token": "[P]"}),
]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_the_command_in_the_comment_writes_the_rows(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is run as it stands; the rows are those shown."""
    name, options, modifiers, tokens = COMMANDS[number]
    own = model(name).with_special_tokens(tokens)
    inspection = inspect(own, CORPUS["two turns"], modifiers=modifiers, **options)
    (command,) = [line[4:] for line in export(inspection, "trl_labels").text.splitlines() if line.startswith("# $ ")]
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_text(json.dumps(CORPUS["two turns"]) + "\n" + json.dumps(CORPUS["one turn"]))
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "inspector"]
    assert main(words[3:]) == 0
    written = pyarrow.parquet.read_table("rows.parquet").to_pylist()
    assert (written[0]["input_ids"], written[0]["labels"]) == inspection.row
    assert len(written) == 2
    assert capsys.readouterr().err == "2 rows in rows.parquet\n"


# --- the command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs the command in a folder with `chat.json`; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat.json").write_text(json.dumps(CORPUS["two turns"]))

    def command(*words: str) -> tuple[int, str, str]:
        status = main(["export", "tiny-chat", *words])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


def test_one_target_is_printed_bare(run: Run) -> None:
    """So that it can be piped into a file."""
    inspection = inspect(model("tiny-chat"), CORPUS["two turns"], stop="never")
    status, out, err = run("chat.json", "--to", "axolotl", "--option", "stop=never")
    assert (status, out, err) == (0, export(inspection, "axolotl").text, "")


def test_all_targets_are_printed_under_their_names(run: Run) -> None:
    """With the files that they need; as JSON they are their public form."""
    status, out, _ = run("chat.json")
    assert status == 0
    titles = [line[5:] for line in out.splitlines() if line.startswith("──── ")]
    assert titles[:2] == ["trl_labels/train.py", "trl_assistant_only/train.py"]
    assert "llama_factory/dataset_info.json" in titles
    status, out, _ = run("chat.json", "--json")
    expected = [written.to_dict() for written in export_all(inspect(model("tiny-chat"), CORPUS["two turns"]))]
    assert json.loads(out) == expected


def test_files_are_written_and_never_over_others(run: Run, tmp_path: Path) -> None:
    """One trainer's into the folder, several into a folder each; what exists is named and kept."""
    status, out, _ = run("chat.json", "--to", "llama_factory", "--out", "one")
    assert (status, out.splitlines()) == (0, ["one/config.yaml", "one/dataset_info.json"])
    assert yaml.safe_load((tmp_path / "one" / "config.yaml").read_text())["stage"] == "sft"
    assert run("chat.json", "--out", "all")[0] == 0
    assert {path.name for path in (tmp_path / "all").iterdir()} == set(TARGETS)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "dataset_info.json").write_text("mine")
    status, out, err = run("chat.json", "--to", "llama_factory", "--out", "two")
    assert (status, out) == (2, "")
    assert err == "error: two/dataset_info.json already exists: move it away, or choose another name.\n"
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["dataset_info.json"]
    assert (tmp_path / "two" / "dataset_info.json").read_text() == "mine"
    status, _, err = run("chat.json", "--to", "axolotl", "--out", "chat.json")
    assert (status, err) == (2, "error: chat.json cannot be made: File exists.\n")


def test_rows_of_all_conversations_are_written(run: Run, tmp_path: Path) -> None:
    """From a list or .jsonl; rows alone print no settings; a file that exists is kept."""
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps(CORPUS[title]) for title in NAMES[:4]))
    status, out, err = run("chats.jsonl", "--rows", "rows.jsonl")
    assert (status, out, err) == (0, "", "4 rows in rows.jsonl\n")
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["labels"] for row in written] == [inspected("tiny-chat", title).labels for title in NAMES[:4]]
    status, _, err = run("chats.jsonl", "--rows", "rows.jsonl")
    assert (status, err) == (2, "error: rows.jsonl already exists: move it away, or choose another name.\n")
    status, out, err = run("chats.jsonl", "--rows", "more.parquet", "--to", "home_llm")
    assert (
        flags(export(inspected("tiny-chat", NAMES[0]), "home_llm", data="chats.jsonl")).items()
        <= {
            word.strip("- \\").split()[0]: word.strip(" \\").split()[1] for word in out.splitlines() if "--" in word[:6]
        }.items()
    )
    assert err.splitlines() == [
        "What they train is said of the first of 4 conversations.",
        "4 rows in more.parquet",
    ]


def test_what_goes_wrong_is_said(run: Run, tmp_path: Path) -> None:
    """One line, and the conversation that it is about; nothing is left behind."""
    status, out, err = run("chat.json", "--to", "nobody")
    assert (status, out) == (2, "")
    assert err.startswith("error: There is no trainer 'nobody' to export for; there are: trl_labels, ")
    assert run("chat.json", "--rows", "rows.txt")[2].startswith("error: rows.txt cannot hold rows")
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps(CORPUS['one turn'])}\n{json.dumps(CORPUS['question only'])}")
    status, _, err = run("chats.jsonl", "--rows", "rows.jsonl", "--strategy", "trl_completion_only")
    assert status == 2
    assert err.splitlines()[0] == "error: There is no assistant message, so there is no completion to train."
    assert err.splitlines()[-1] == "This is about conversation 1; no row was written."
    assert {path.name for path in tmp_path.iterdir()} == {"chat.json", "chats.jsonl"}
