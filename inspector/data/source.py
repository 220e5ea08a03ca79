"""Data sets -> rows, one at a time: files, folders, pasted text, the hub. Everything that can be streamed is streamed.

A row that cannot be read is a BadRow with its file, its place and the reason; it never stops the others. A source that
cannot be read at all (no such file, no readable row format) raises DataError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from inspector.data.columns import is_chat
from inspector.data.files import (
    SUFFIXES,
    Unreadable,
    counted,
    files_in,
    path_of,
    rows_of_file,
    rows_of_text,
    suffix_of,
)
from inspector.data.formats import detect
from inspector.data.labelled import rows_of_batch
from inspector.data.layouts import Format, Layout
from inspector.errors import DataError, kind_of, quoted, short
from inspector.model.model import Token

DETECTED_FROM = 20
"""Number of rows from which the layout is detected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `number` counts from 0 over the whole data set; `place` says where it is, in words."""

    number: int
    place: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used, and why. `raw`: the row as JSON, or its text in the file if it is not JSON."""

    number: int
    place: str
    why: str
    raw: str = ""


def raw_of(value: Any) -> str:
    """A row's value as a line of JSON, which can be corrected and read again.

    A value that JSON cannot represent (a date, bytes) becomes text; half of a surrogate pair becomes its escape.
    """
    line = json.dumps(value, ensure_ascii=False, default=str)
    has_half = any("\ud800" <= char <= "\udfff" for char in line)
    return json.dumps(value, default=str) if has_half else line


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A source of rows. `name`: a file, a folder of files, or a hub id; `text`: pasted JSON, JSONL or CSV instead.

    `split`, `config`: of a hub data set; in a folder, `split` picks the files whose name begins with it. Shard `index`
    of `shards` has the rows whose number modulo `shards` is `index`. `edits`: edited rows by number, which replace
    those of the source.
    """

    name: str = ""
    text: str = ""
    split: str = ""
    config: str = ""
    revision: str = ""
    index: int = 0
    shards: int = 1
    edits: Mapping[int, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    def rows(self, token: Token = None) -> Iterator[Row | BadRow]:
        """Every row of the shard, in order. Raises DataError."""
        if not 0 <= self.index < self.shards:
            raise DataError(f"There is no shard {self.index} of {self.shards}: shards count from 0.")
        for number, (place, value) in enumerate(_each(self._values(token))):
            if number % self.shards != self.index:
                continue
            if isinstance(value, Unreadable):
                yield BadRow(number=number, place=place, why=value.why, raw=value.raw)
            elif not isinstance(value, Mapping):
                why = f"the row is {kind_of(value)}, and must be an object with columns"
                yield BadRow(number=number, place=place, why=why, raw=raw_of(value))
            else:
                yield Row(number=number, place=place, value=self.edits.get(number, value))

    def count(self) -> int | None:
        """The number of rows of the shard, if it can be told without reading them: lines and Parquet files."""
        if self.text:
            return None
        try:
            path = path_of(self.name)
            files = files_in(path, self.split) if path.is_dir() else [path]
            counts = [counted(file) for file in files]
        except (DataError, OSError):
            return None
        if None in counts:
            return None
        total = sum(filter(None, counts))
        return len(range(self.index, total, self.shards))

    def about(self, limit: int | None = None) -> dict[str, Any]:
        """The description of the source in a report. `limit`: maximum number of rows read."""
        return {
            "name": self.name,
            "config": self.config,
            "split": self.split,
            "revision": self.revision,
            "limit": limit,
            "shard": self.index,
            "shards": self.shards,
        }

    def _values(self, token: Token) -> Iterator[tuple[str, Any]]:
        if self.text:
            yield from rows_of_text(self.text)
            return
        path = path_of(self.name)
        if path.is_dir():
            for file in files_in(path, self.split):
                yield from rows_of_file(file)
        elif path.exists() or self.name.startswith((".", "/", "~")) or suffix_of(path) in SUFFIXES:
            yield from rows_of_file(path)
        else:
            yield from _hub(self, token)


def _each(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The values of the rows; a list of messages becomes a row, a batch of tokenized rows becomes its rows in order."""
    for place, given in values:
        value = {"messages": given} if isinstance(given, list) and is_chat(given) else given
        batch = rows_of_batch(value) if isinstance(value, Mapping) else []
        yield from ((f"{place}, item {i}", row) for i, row in enumerate(batch)) if batch else ((place, value),)


def _keep_inside() -> None:
    """Make `datasets` refuse files outside of a hub data set that its settings name, before it looks for them."""
    from datasets import data_files

    resolve = data_files.resolve_pattern
    if getattr(resolve, "keeps_inside", False):
        return

    @wraps(resolve)
    def resolve_inside(pattern: str, base_path: str, *args: Any, **options: Any) -> list[str]:
        is_outside = pattern.startswith(("/", "~")) or "::" in pattern or re.match(r"(?!hf:)[a-z0-9+]+:", pattern, re.I)
        if base_path.startswith("hf://") and is_outside:
            raise ValueError(f"it names {quoted(pattern, 120)}, which is not one of its files")
        return list(resolve(pattern, base_path, *args, **options))

    resolve_inside.keeps_inside = True  # type: ignore[attr-defined]
    data_files.resolve_pattern = resolve_inside


def _hub(source: DataSource, token: Token) -> Iterator[tuple[str, Any]]:
    """Rows of a hub data set, streamed; images and sounds stay undecoded. Raises DataError with the hub's message."""
    import datasets

    _keep_inside()
    split = source.split or "train"
    try:
        builder = datasets.load_dataset_builder(
            source.name, source.config or None, revision=source.revision or None, token=token
        )
        is_arrow = any(kind.__name__ == "Arrow" for kind in type(builder).__mro__)
        if token is False and is_arrow:  # a server's visitor: a damaged file would end the server
            raise ValueError("it holds Arrow files, which are read from an upload only")
        rows = builder.as_streaming_dataset(split=split)
        for number, row in enumerate(rows.decode(False)):  # decoding opens paths and addresses that a row names
            yield f"{source.name}, {split} row {number}", row
    except Exception as error:  # the libraries raise nothing more precise
        reason = short(str(error).splitlines()[0], 300) if str(error) else type(error).__name__
        raise DataError(
            f"The data set {source.name!r} ({split}) cannot be read from the hub: {reason}. Check its name, config and "
            "split, and that it may be read."
        ) from error


def detect_rows(
    head: Sequence[Row | BadRow], mapping: Mapping[str, str] | None, wanted: Format | None = None
) -> Layout:
    """The layout of a data set from its first rows, for what is `wanted` (see `formats.detect`).

    Raises DataError when none of them can be read, and FormatError.
    """
    if not head:
        raise DataError("The data set has no rows.")
    readable = [row.value for row in head if isinstance(row, Row)]
    if not readable:
        first = next(row for row in head if isinstance(row, BadRow))
        raise DataError(f"None of the first {len(head)} rows can be read; {first.place}: {first.why}.")
    return detect(readable, mapping, wanted)
