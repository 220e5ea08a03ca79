"""Files of rows, or pasted text -> their rows, one by one, each with its place in words.

A row that cannot be read is Unreadable. A file that cannot be read at all raises DataError.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inspector.data.columns import is_chat
from inspector.data.labelled import is_labelled
from inspector.errors import DataError, kind_of, quoted, short

MAX_LINE_BYTES = 64_000_000
"""Longest line of a JSONL file that is read; no chat is that long."""
MAX_RATIO = 100
"""Largest ratio of unpacked to packed size of a gzip file; chats have 3 to 30."""
UNPACKED_BYTES = 64_000_000
"""Unpacked bytes that every gzip file may have, whatever its ratio."""
MAX_BLANK_LINES = 1_000_000
"""Maximum number of blank lines between two rows."""
SPLITS_FILE, STATE_FILE = "dataset_dict.json", "state.json"
"""Files that `datasets` writes next to the Arrow files of a saved dictionary of data sets, and of a saved data set."""
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
"""Suffixes of data files; all but the last two may also be gzipped (.gz)."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read: why, and its text in the file; only the beginning if it is too long."""

    why: str
    raw: str


def path_of(name: str) -> Path:
    """The path of a name. Raises DataError for a name that no file can have."""
    try:
        path = Path(os.path.expanduser(name))
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{quoted(name, 120)} is not the name of a data set: {reason}.") from error
    return path


def files_in(folder: Path, split: str) -> list[Path]:
    """The data files of a folder whose name begins with `split`, in order of their names.

    In a folder that `save_to_disk` wrote these are its Arrow files; in a dictionary of data sets, those of `split`, by
    default `train` or the only one. Raises DataError.
    """
    if (folder / SPLITS_FILE).is_file():
        names = sorted(path.name for path in folder.iterdir() if (path / STATE_FILE).is_file())
        chosen = split or ("train" if "train" in names else names[0] if len(names) == 1 else "")
        if chosen not in names:
            which = f"has no split {split!r}" if split else "holds several data sets"
            raise DataError(f"The folder {folder} {which}: choose one of {', '.join(names)} with --split.")
        return files_in(folder / chosen, "")
    if (folder / STATE_FILE).is_file():
        return sorted(folder.glob("*.arrow"))
    files = sorted(path for path in folder.iterdir() if suffix_of(path) in SUFFIXES and path.name.startswith(split))
    if not files:
        which = f" whose name begins with {split!r}" if split else ""
        raise DataError(f"The folder {folder} holds no data file{which}: {', '.join(SUFFIXES)}, or these with .gz.")
    return files


def suffix_of(path: Path) -> str:
    """The suffix that names the kind of a file, packed or not: in lower case, with the dot."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def rows_of_file(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row with its place. Raises DataError."""
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        raise DataError(f"{path} is not a data file: its name must end in {', '.join(SUFFIXES)}, or these with .gz.")
    try:
        if reader in (_parquet, _arrow):
            yield from _columnar(reader, path)
        elif path.name.lower().endswith(".gz"):
            with io.BufferedReader(_Unpacked(path), 1 << 16) as stream:
                most = {"most": MAX_PACKED_JSON_BYTES} if reader is _json else {}
                yield from reader(stream, path.name, **most)
        else:
            with path.open("rb") as stream:
                yield from reader(stream, path.name)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


class _Unpacked(io.RawIOBase):
    """A gzip file's content. Raises DataError if the file unpacks to far more than any text would."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self._packed = path.open("rb")
        self._stream = gzip.GzipFile(fileobj=self._packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._read += count
        if self._read > UNPACKED_BYTES + MAX_RATIO * self._packed.tell():
            raise DataError(
                f"{self._path} unpacks to more than {MAX_RATIO} times its size, as no data set does: if it is one, "
                "unpack it yourself."
            )
        return count

    def close(self) -> None:
        self._packed.close()
        super().close()


def counted(file: Path) -> int | None:
    """The number of rows of a file; blank lines count, so it may be slightly too high."""
    if file.suffix in (".jsonl", ".ndjson"):
        with file.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    if file.suffix == ".parquet":
        from pyarrow import ArrowException, parquet

        try:
            return int(parquet.read_metadata(file).num_rows)
        except (ArrowException, ValueError, MemoryError):
            return None
    return None


def _jsonl(stream: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    number, is_empty, blank = 0, True, 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        place = f"{name}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            is_empty = False
            yield place, Unreadable(f"the line is over {MAX_LINE_BYTES // 1_000_000} MB", _shown(line[:200]))
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES)
            continue
        blank = 0 if line.strip() else blank + 1
        if blank > MAX_BLANK_LINES:
            raise DataError(f"{place}: there are more than {MAX_BLANK_LINES:,} blank lines before it.")
        if not blank:
            is_empty = False
            yield place, _json_line(line)
    if is_empty:
        raise DataError(f"{name} is empty.")


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unreadable(f"byte {error.start} of the line is not UTF-8", _shown(line))
    except RecursionError:
        return Unreadable("the line is nested too deeply", _shown(line))
    except ValueError as error:
        return Unreadable(f"the line is not JSON: {error}", _shown(line))


def _json(stream: IO[bytes], name: str, most: int | None = None) -> Iterator[tuple[str, Any]]:
    most = MAX_JSON_BYTES if most is None else most
    data = stream.read(most + 1)
    if len(data) > most:
        raise DataError(f"{name} is over {most // 1_000_000} MB of JSON in one piece: use JSONL, a row a line.")
    if not data.strip():
        raise DataError(f"{name} is empty.")
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        where = f"byte {error.start} cannot be read"
        raise DataError(f"{name} is not UTF-8 text: {where}. {_way_out(name, data)}") from error
    except RecursionError as error:
        raise DataError(f"{name} is nested too deeply to be a data set.") from error
    except ValueError as error:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith(b"{"):  # JSONL with another suffix
            yield from _jsonl(io.BytesIO(data), name)
            return
        raise DataError(f"{name} is not JSON: {error}.") from error
    yield from ((f"{name}, row {number}", row) for number, row in enumerate(_rows_of(value, name)))


MAX_JSON_BYTES = 1_000_000_000
"""Largest JSON file; it has to be read whole."""
MAX_PACKED_JSON_BYTES = 200_000_000
"""Largest gzipped JSON file, unpacked: a small upload must not fill the memory."""


def _rows_of(value: Any, name: str) -> list[Any]:
    """The rows of a JSON value: a list, one row (also of ids), `{"data": [...]}`, or columns as pandas writes them."""
    if isinstance(value, list):
        if not value:
            raise DataError(f"{name} holds an empty list.")
        if is_chat(value):
            return [{"messages": value}]
        return [{"messages": row} if isinstance(row, list) else row for row in value]
    if not isinstance(value, dict):
        raise DataError(f"{name} holds {kind_of(value)}, and must hold rows.")
    if is_labelled(value):
        return [value]
    columns = list(value.values())
    if columns and all(isinstance(column, dict) and column for column in columns):
        keys = list(columns[0])
        if all(list(column) == keys for column in columns) and all(key.isdecimal() for key in keys):
            return [{name: column[key] for name, column in value.items()} for key in keys]
    if len(value) == 1 and isinstance(columns[0], list) and not is_chat(columns[0]):
        return list(columns[0])
    lists = [column for column in columns if isinstance(column, list) and not is_chat(column)]
    if columns and len(lists) == len(columns) and len({len(column) for column in lists}) == 1:
        return [dict(zip(value, items, strict=True)) for items in zip(*lists, strict=True)]
    return [value]


def _way_out(name: str, data: bytes = b"") -> str:
    """How to convert a file to UTF-8. UTF-16 is recognised by its first bytes."""
    encoding = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
    certain = "It is" if encoding == "UTF-16" else "If it is"
    return f"{certain} {encoding}: iconv -f {encoding} -t UTF-8 {name} > utf8-{name}"


def _csv(stream: IO[bytes], name: str, delimiter: str = "") -> Iterator[tuple[str, Any]]:
    """Rows of a CSV file.

    `delimiter`: by default the most frequent one of comma, semicolon, tab and bar in the header.
    """
    if not delimiter:
        buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
        first = buffered.peek(1 << 16).split(b"\n", 1)[0].decode("utf-8", "replace")
        stream, delimiter = buffered, max(",;\t|", key=first.count)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    blank = 0
    while True:
        start = reader.line_num + 1
        place = f"{name}, line {start}"
        try:
            cells = next(reader)
        except StopIteration:
            break
        except UnicodeDecodeError as error:
            where = f"byte {error.start} after line {start} cannot be read"
            raise DataError(f"{name} is not UTF-8 text: {where}. {_way_out(name, error.object)}") from error
        except csv.Error as error:
            yield place, Unreadable(f"the line is not CSV: {error}", "")
            continue
        blank = 0 if cells else blank + 1
        if blank > MAX_BLANK_LINES:
            raise DataError(f"{place}: there are more than {MAX_BLANK_LINES:,} blank lines before it.")
        if header is None:
            header = cells
            if len(set(header)) < len(header):
                raise DataError(f"{name} names a column twice: {short(', '.join(header), 1000)}.")
        elif cells and len(cells) != len(header):
            why = f"the line has {len(cells)} cells, the header {len(header)}"
            named = dict(zip(header, cells, strict=False))
            more = {f"cell {i}": cell for i, cell in enumerate(cells[len(header) :], len(header) + 1)}
            yield place, Unreadable(why, json.dumps(named | more, ensure_ascii=False))
        elif cells:
            yield place, dict(zip(header, cells, strict=True))
    if header is None:
        raise DataError(f"{name} is empty.")


def _tsv(stream: IO[bytes], name: str) -> Iterator[tuple[str, Any]]:
    yield from _csv(stream, name, "\t")


def _columnar(reader: Callable[..., Any], path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow

    number = 0
    try:
        for batch in reader(path):
            batch.validate(full=True)  # a damaged file would end the process when it is read
            for row in batch.to_pylist():
                yield f"{path.name}, row {number}", row
                number += 1
    except (pyarrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from error


def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=256)


def _arrow(path: Path) -> Iterator[Any]:
    import pyarrow

    with pyarrow.OSFile(str(path)) as source:  # mapped memory would end the process if the file is cut meanwhile
        try:
            yield from pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            file = pyarrow.ipc.open_file(source)
            yield from (file.get_batch(i) for i in range(file.num_record_batches))


_READERS: Mapping[str, Callable[..., Iterator[Any]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".arrow": _arrow,
}


def rows_of_text(text: str) -> Iterator[tuple[str, Any]]:
    """JSON, JSONL, or CSV with a header."""
    data = text.strip().encode("utf-8", "surrogatepass")
    yield from (_json if data[:1] in (b"[", b"{") else _csv)(io.BytesIO(data), "the pasted text")


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\n")
