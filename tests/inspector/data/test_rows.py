"""Every kind of file gives its rows; broken ones are named with file and place, and never stop the others."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.data import files as row_files
from inspector.data.source import BadRow, DataSource, Row
from inspector.errors import DataError

EXAMPLES = Path(__file__).parents[3] / "examples" / "data"
ROWS = [{"question": "Q1", "answer": "A1"}, {"question": "Q2", "answer": "A\n2"}]

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a file and returns its path."""

    def file(name: str, data: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return file


def read(source: DataSource | Path) -> list[Row | BadRow]:
    """All rows."""
    return list((source if isinstance(source, DataSource) else DataSource(name=str(source))).rows())


def values(source: DataSource | Path) -> list[Any]:
    """The rows' values; all of them readable."""
    return [row.value for row in read(source) if isinstance(row, Row)]


JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = 'question,answer\nQ1,A1\nQ2,"A\n2"\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", JSONL),
        ("a.jsonl", "\ufeff" + JSONL + "\n\n"),
        ("a.ndjson", JSONL.rstrip("\n")),
        ("a.json", json.dumps(ROWS)),
        ("a.json", JSONL),
        ("a.json", json.dumps({"data": ROWS})),
        ("a.json", json.dumps({"question": ["Q1", "Q2"], "answer": ["A1", "A\n2"]})),
        ("a.json", json.dumps({"question": {"0": "Q1", "1": "Q2"}, "answer": {"0": "A1", "1": "A\n2"}})),
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.jsonl.gz", gzip.compress(JSONL.encode(), mtime=0)),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("A.JSONL", JSONL),
    ],
)
def test_file_gives_its_rows(write: Write, name: str, data: bytes | str) -> None:
    """Whatever the kind."""
    assert values(write(name, data)) == ROWS


@pytest.mark.parametrize("kind", ["parquet", "arrow stream", "arrow file"])
def test_columnar_files(tmp_path: Path, kind: str) -> None:
    """As pandas, datasets and pyarrow write them."""
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.Table.from_pylist(ROWS)
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        parquet.write_table(table, path)
    else:
        new = pyarrow.ipc.new_stream if kind == "arrow stream" else pyarrow.ipc.new_file
        with pyarrow.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)
    assert values(path) == ROWS
    assert DataSource(name=str(path)).count() == (2 if kind == "parquet" else None)


def test_pasted_text_is_json_jsonl_or_csv() -> None:
    """By how it begins."""
    for text in (JSONL, json.dumps(ROWS), CSV):
        assert values(DataSource(text=text)) == ROWS
    chat = [{"role": "user", "content": "Hi"}]
    assert values(DataSource(text=json.dumps(chat))) == [{"messages": chat}]
    assert values(DataSource(text=json.dumps([chat, chat]))) == [{"messages": chat}] * 2
    assert values(DataSource(text=json.dumps({"messages": chat}))) == [{"messages": chat}]


def test_folder_gives_its_files_in_order(write: Write, tmp_path: Path) -> None:
    """All data files, or those of a split."""
    write("train-0.jsonl", JSONL)
    write("train-1.jsonl", JSONL)
    write("test.jsonl", JSONL.splitlines()[0])
    write("notes.txt", "x")
    assert len(values(DataSource(name=str(tmp_path)))) == 5
    assert len(values(DataSource(name=str(tmp_path), split="train"))) == 4
    with pytest.raises(DataError, match="holds no data file whose name begins with 'valid'"):
        read(DataSource(name=str(tmp_path), split="valid"))


def test_shards_share_the_rows_out() -> None:
    """Each row is in one shard, with the number that it has in the whole."""
    whole = read(EXAMPLES / "messages.jsonl")
    parts = [read(DataSource(name=str(EXAMPLES / "messages.jsonl"), index=i, shards=3)) for i in range(3)]
    assert sorted((row for part in parts for row in part), key=lambda row: row.number) == whole
    assert [DataSource(name=str(EXAMPLES / "messages.jsonl"), index=i, shards=5).count() for i in range(5)] == [
        3, 3, 2, 2, 2,
    ]  # fmt: skip
    with pytest.raises(DataError, match="There is no shard 3 of 3"):
        read(DataSource(name="x.jsonl", index=3, shards=3))


BAD = [
    (
        "bad-json-at-line-17.jsonl",
        16,
        "bad-json-at-line-17.jsonl, line 17",
        "the line is not JSON: Invalid control character",
    ),
    ("wrong-encoding.jsonl", 1, "wrong-encoding.jsonl, line 2", "byte 45 of the line is not UTF-8"),
]


@pytest.mark.parametrize(("name", "number", "place", "why"), BAD)
def test_broken_row_is_named_and_the_rest_goes_on(name: str, number: int, place: str, why: str) -> None:
    """File, line, reason, and how the line begins."""
    found = read(EXAMPLES / name)
    (bad,) = (row for row in found if isinstance(row, BadRow))
    assert (bad.number, bad.place) == (number, place)
    assert bad.why.startswith(why)
    assert bad.raw.startswith('{"messages"')
    assert [row.number for row in found] == list(range(len(found)))


@pytest.mark.parametrize(
    ("name", "data", "number", "why"),
    [
        ("a.jsonl", JSONL + "[1]\n", 2, "the row is a list, and must be an object with columns"),
        ("a.jsonl", JSONL + "null\n", 2, "the row is null"),
        ("a.jsonl", JSONL + "[" * 100_000 + "\n", 2, "the line is nested too deeply"),
        ("a.csv", CSV + "x\n", 2, "the line has 1 cells, the header 2"),
        ("a.csv", CSV + 'x,"y"z\n' + "Q,A\n", 2, "the line is not CSV: "),
        ("a.json", '["x", {"text": "T"}]', 0, "the row is text"),
    ],
)
def test_rows_that_are_none(write: Write, name: str, data: str, number: int, why: str) -> None:
    """Each with its number."""
    bad = [row for row in read(write(name, data)) if isinstance(row, BadRow)]
    assert [row.number for row in bad] == [number]
    assert why in bad[0].why


def test_enormous_line_is_refused_without_being_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line after it is read again."""
    monkeypatch.setattr(row_files, "MAX_LINE_BYTES", 1_000)
    found = read(write("a.jsonl", '{"text": "' + "x" * 5_000 + '"}\n{"text": "T"}\n'))
    assert isinstance(found[0], BadRow)
    assert "the line is over 0 MB" in found[0].why
    assert isinstance(found[1], Row)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.jsonl", "", "empty.jsonl is empty"),
        ("blank.jsonl", "\n\n", "blank.jsonl is empty"),
        ("empty.json", " ", "empty.json is empty"),
        ("empty.csv", "", "empty.csv is empty"),
        ("list.json", "[]", "list.json holds an empty list"),
        ("text.json", '"x"', "text.json holds text, and must hold rows"),
        ("bad.json", "[{", "bad.json is not JSON: "),
        ("deep.json", "[" * 100_000, "deep.json is nested too deeply"),
        ("latin.json", '["é"]'.encode("latin-1"), "latin.json is not UTF-8 text: byte 2"),
        ("latin.csv", "a,b\né,b\n".encode("latin-1"), "latin.csv is not UTF-8 text: byte"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), "It is UTF-16: iconv -f UTF-16 -t UTF-8 wide.csv > utf8-wide.csv"),
        ("twice.csv", "a,a\n1,2\n", "twice.csv names a column twice: a, a"),
        ("cut.jsonl.gz", gzip.compress(JSONL.encode() * 50, mtime=0)[:-20], "is not a whole gzip file"),
        ("none.jsonl.gz", JSONL, "is not a whole gzip file"),
        ("bad.parquet", "PAR1", "bad.parquet cannot be read: "),
        ("bad.arrow", "xxxxxxxx", "bad.arrow cannot be read: "),
        ("notes.txt", "x", "is not a data file: its name must end in .jsonl, "),
    ],
)
def test_file_that_cannot_be_read(write: Write, name: str, data: bytes | str, message: str) -> None:
    """The file, and why."""
    with pytest.raises(DataError, match=re.escape(message)):
        read(write(name, data))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A path, or a name that ends like a data file."""
    for name in (str(tmp_path / "x.jsonl"), "nothing-here.csv"):
        with pytest.raises(DataError, match="There is no file "):
            read(DataSource(name=name))


def test_too_large_json_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be read whole."""
    monkeypatch.setattr(row_files, "MAX_JSON_BYTES", 10)
    with pytest.raises(DataError, match="use JSONL, a row a line"):
        read(write("a.json", json.dumps(ROWS)))


def test_count_is_told_without_reading() -> None:
    """Lines of JSONL; nothing for what would have to be parsed."""
    assert DataSource(name=str(EXAMPLES / "messages.jsonl")).count() == 12
    assert DataSource(name=str(EXAMPLES / "sharegpt.json")).count() is None
    assert DataSource(text=CSV).count() is None
    assert DataSource(name="nothing.jsonl").count() is None
