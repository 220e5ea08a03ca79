"""The key-values at the beginning of a GGUF file: the model's name, its vocabulary, its chat templates.

They are read as a stream, and never further: the tensors follow. A file states the lengths of its own texts and lists,
so everything is limited: total bytes, keys, elements of a list. Nested lists are refused.
Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3.
"""

from __future__ import annotations

import struct
from typing import Any

from inspector.model.encoders.encoder import Stream

MAX_BYTES = 40_000_000
"""Maximum bytes that are read; the largest vocabularies in use need a third of that."""
MAX_KEYS = 10_000
MAX_ELEMENTS = 2_000_000
_KEPT = ("general.", "tokenizer.")
_STRING, _LIST = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The types of values by their number, as `struct` names them."""


class HeaderError(ValueError):
    """The bytes are not a header of a GGUF file; the message says what is wrong with them, as a clause."""


def read_header(stream: Stream) -> dict[str, Any]:
    """The values of the keys `general.*` and `tokenizer.*`. Raises HeaderError, and the stream's errors."""
    header = _Header(stream)
    if stream.read(4) != b"GGUF":
        raise HeaderError("it does not begin with GGUF")
    version = header.number("I")
    if version not in (2, 3):
        raise HeaderError(f"it is of version {version}, and 2 and 3 are read")
    header.number("Q")  # the number of tensors
    count = header.number("Q")
    if count > MAX_KEYS:
        raise HeaderError(f"it says that it has {count:,} keys; up to {MAX_KEYS:,} are read")
    values: dict[str, Any] = {}
    for _ in range(count):
        key = header.text()
        is_kept = key.startswith(_KEPT)
        value = header.value(header.number("I"), is_kept)
        if is_kept:
            values[key] = value
    return values


class _Header:
    """Reads values from a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._left = stream, MAX_BYTES

    def take(self, size: int) -> bytes:
        if size > self._left:
            raise HeaderError(f"its key-values are longer than {MAX_BYTES:,} bytes")
        self._left -= size
        data = self._stream.read(size)
        if len(data) != size:
            raise HeaderError("it ends within its key-values")
        return data

    def number(self, kind: str) -> Any:
        (number,) = struct.unpack("<" + kind, self.take(struct.calcsize("<" + kind)))
        return number

    def text(self) -> str:
        data = self.take(self.number("Q"))
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise HeaderError("it has a text that is not UTF-8") from None

    def value(self, kind: int, is_kept: bool) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _LIST:
            return self._list(is_kept)
        if kind not in _NUMBERS:
            raise HeaderError(f"it has a value of type {kind}, which there is not")
        return self.number(_NUMBERS[kind])

    def _list(self, is_kept: bool) -> list[Any] | None:
        kind, count = self.number("I"), self.number("Q")
        if count > MAX_ELEMENTS:
            raise HeaderError(f"it has a list of {count:,} elements; up to {MAX_ELEMENTS:,} are read")
        if kind == _STRING:
            texts = [self.text() for _ in range(count)]
            return texts if is_kept else None
        if kind not in _NUMBERS:
            raise HeaderError(f"it has a list of values of type {kind}, which is not read")
        layout = f"<{count}{_NUMBERS[kind]}"
        data = self.take(struct.calcsize(layout))
        return list(struct.unpack(layout, data)) if is_kept else None
