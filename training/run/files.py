"""Files that others may read at any time: JSON is replaced in one step, lines of JSON are added whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.errors import RunFolderError


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step. Raises RunFolderError."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1))


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step. Raises RunFolderError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFolderError(f"{path} cannot be written: {error.strerror}.") from error


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add a whole line of JSON to a file; a line that a killed process left unfinished is ended first.

    Raises RunFolderError.
    """
    data = (json.dumps(value, ensure_ascii=False) + "\n").encode()
    try:
        with path.open("ab+", buffering=0) as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    data = b"\n" + data
            written = file.write(data)
            while written < len(data):  # the disk is nearly full: the next write raises
                written += file.write(data[written:])
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}.") from error


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """(the objects in the complete lines from a byte offset on, the offset after them). Unfinished and damaged lines
    are left out.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return list(_objects(data[:end])), offset + end


TAIL_BYTES = 64_000
"""Bytes at a file's end that are searched for its newest value."""


def last_with(path: Path, name: str) -> Any:
    """The newest value of a field in a file of lines; None if its end has none."""
    try:
        start = max(0, path.stat().st_size - TAIL_BYTES)
    except OSError:
        return None
    lines, _ = read_lines(path, start)
    return next((line[name] for line in reversed(lines) if name in line), None)


def _objects(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
