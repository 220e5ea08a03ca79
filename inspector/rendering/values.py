"""Values of a conversation that know their place in it, and their text.

Turns JSON values into copies whose strings, keys, lists and dicts carry origins, and these into JSON (`tojson`) or
Python text (a template that prints a list as it is) with origins: punctuation around a traced list or dict belongs to
that field, a number to the key before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from inspector.rendering.origins import TEMPLATE, Origin, OriginKind, OriginStr, Run, concat, merged

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""Matches characters that JSON writes as several."""
_ESCAPED_ASCII = re.compile(r'["\\\x00-\x1f]|[^\x00-\x7e]')
_ANY = re.compile(r".", re.DOTALL)


class OriginDict(dict[str, Any]):
    """A dict of the conversation that knows its place in it."""

    __slots__ = ("_origin",)
    _origin: Origin

    def __str__(self) -> str:
        return traced_repr(self)


class OriginList(list[Any]):
    """A list of the conversation that knows its place in it."""

    __slots__ = ("_origin",)
    _origin: Origin

    def __str__(self) -> str:
        return traced_repr(self)


def trace_value(value: Any, message_index: int | None, field: str) -> Any:
    """A copy of a JSON value in which every string, key, list and dict knows its origin.

    A key's field is that of its value, so that a number, which carries no origin, can use its key's origin.
    """
    origin = Origin(OriginKind.MESSAGE, message_index, field)
    if isinstance(value, str):
        return OriginStr.of(value, origin, offset=0)
    if isinstance(value, dict):
        out = OriginDict()
        for key, item in value.items():
            path = f"{field}.{key}" if field else key
            traced_key = OriginStr.of(key, Origin(OriginKind.MESSAGE, message_index, path))
            out[traced_key] = trace_value(item, message_index, path)
        out._origin = origin
        return out
    if isinstance(value, list | tuple):
        items = OriginList(trace_value(item, message_index, f"{field}[{i}]") for i, item in enumerate(value))
        items._origin = origin
        return items
    return value


def traced_json(value: Any, **options: Any) -> OriginStr:
    """`json.dumps(value, **options)` that keeps origins.

    Punctuation around a traced list or dict counts as that field's text; around anything else, as the template's.
    The walk is our own, so its text is compared with that of `json.dumps`; if they differ, the origin is unknown.
    """
    text = json.dumps(value, **options)
    indent = options.get("indent")
    item_separator, key_separator = options.get("separators") or (", " if indent is None else ",", ": ")
    writer = _JsonWriter(
        ensure_ascii=bool(options.get("ensure_ascii", True)),
        indent=" " * indent if isinstance(indent, int) else indent,
        item_separator=item_separator,
        key_separator=key_separator,
        sort_keys=bool(options.get("sort_keys")),
    )
    traced = concat(writer.write(value, TEMPLATE, 0))
    return traced if traced == text else OriginStr(text)


def traced_repr(value: Any) -> OriginStr:
    """`repr(value)` that keeps origins, for templates that write a list or a dict in Python syntax."""
    text = repr(value)
    writer = _ReprWriter(ensure_ascii=False, indent=None, item_separator=", ", key_separator=": ", sort_keys=False)
    traced = concat(writer.write(value, TEMPLATE, 0))
    return traced if traced == text else OriginStr(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _JsonWriter:
    ensure_ascii: bool
    indent: str | None
    item_separator: str
    key_separator: str
    sort_keys: bool

    def write(self, value: Any, owner: Origin, depth: int) -> Iterator[OriginStr]:
        """Yield the pieces of `value` as JSON; `owner` is the origin of values without one."""
        if isinstance(value, str):
            yield self._string(value, owner)
        elif isinstance(value, dict):
            yield from self._container(value, "{}", getattr(value, "_origin", owner), depth)
        elif isinstance(value, list | tuple):
            yield from self._container(value, "[]", getattr(value, "_origin", owner), depth)
        else:
            yield _owned(self._scalar(value), owner)

    def _container(self, value: Any, brackets: str, owner: Origin, depth: int) -> Iterator[OriginStr]:
        items = value.items() if isinstance(value, dict) else value
        if self.sort_keys and isinstance(value, dict):
            items = sorted(items)
        if not items:
            yield _owned(brackets, owner)
            return
        before, between, after = "", self.item_separator, ""
        if self.indent is not None:
            before = "\n" + self.indent * (depth + 1)
            between, after = self.item_separator + before, "\n" + self.indent * depth
        yield _owned(brackets[0] + before, owner)
        for i, item in enumerate(items):
            if i:
                yield _owned(between, owner)
            if not isinstance(value, dict):
                yield from self.write(item, owner, depth + 1)
                continue
            key, inner = item
            yield self._string(key if isinstance(key, str) else self._scalar(key), owner)
            yield _owned(self.key_separator, owner)
            yield from self.write(
                inner, key._runs[0].origin if isinstance(key, OriginStr) and key else owner, depth + 1
            )
        yield _owned(after + brackets[1], owner)

    def _scalar(self, value: Any) -> str:
        return json.dumps(value)

    def _string(self, value: str, owner: Origin) -> OriginStr:
        escaped = json.dumps(str.__str__(value), ensure_ascii=self.ensure_ascii)
        pattern = _ESCAPED_ASCII if self.ensure_ascii else _ESCAPED
        return _quoted(value, escaped, owner, pattern, self._image)

    def _image(self, character: str) -> str:
        return json.dumps(character, ensure_ascii=self.ensure_ascii)[1:-1]


class _ReprWriter(_JsonWriter):
    """The same walk, written as Python's `repr`."""

    def _scalar(self, value: Any) -> str:
        return repr(value)

    def _string(self, value: str, owner: Origin) -> OriginStr:
        text = repr(str.__str__(value))

        def image(character: str) -> str:
            return f"\\{character}" if character == text[0] else repr(character)[1:-1]

        return _quoted(value, text, owner, _ANY, image)


def _quoted(value: str, text: str, owner: Origin, pattern: re.Pattern[str], image: Callable[[str], str]) -> OriginStr:
    """`text`, which is `value` in quotes; each character that matches `pattern` is replaced by its escape."""
    if not isinstance(value, OriginStr):
        return _owned(text, owner)
    quote_owner = value._runs[0].origin if value._runs and value._runs[0].origin.kind == "message" else owner
    opening, closing = _owned(text[0], quote_owner), _owned(text[-1], quote_owner)
    if len(text) == len(value) + 2:
        return concat((opening, value, closing))
    runs: list[Run] = []
    done = 0
    for match in pattern.finditer(value):
        runs += value._cut(done, match.start())
        runs += value._cut(match.start(), match.end()) * len(image(match.group()))
        done = match.end()
    runs += value._cut(done, len(value))
    return concat((opening, OriginStr(text[1:-1], merged(runs)), closing))


def _owned(text: str, owner: Origin) -> OriginStr:
    return OriginStr.of(text, owner)
