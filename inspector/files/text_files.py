"""Reads and writes users' text files as a whole. Every refusal is an InputFileError."""

from __future__ import annotations

import sys
from pathlib import Path

from inspector.errors import InputFileError

MAX_FILE_BYTES = 50_000_000
"""Default limit for a file that is read whole, in bytes."""


def read_text(name: str, most: int = MAX_FILE_BYTES) -> str:
    """The text of a file of at most `most` bytes; `-` is standard input. Raises InputFileError."""
    if name == "-":
        text = sys.stdin.read(most + 1)
        if len(text) > most:
            raise InputFileError(_too_large("standard input", most))
        return text
    path = Path(name)
    try:
        if path.stat().st_size > most:
            raise InputFileError(_too_large(name, most))
        return path.read_text(encoding="utf-8")
    except InputFileError:
        raise
    except UnicodeDecodeError as error:
        raise InputFileError(f"{name} is not UTF-8 text: byte {error.start} cannot be read.") from error
    except OSError as error:
        raise InputFileError(f"{name} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a character that is not allowed in file names
        raise InputFileError(f"{name!a} cannot be read: that is not a file name ({error}).") from error


def write_text(name: str, text: str) -> None:
    """Write a text file. Raises InputFileError."""
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputFileError(f"{name} cannot be written: {error.strerror}.") from error


def _too_large(name: str, most: int) -> str:
    return f"{name} is over {most // 1_000_000} MB: give a part of it."
