"""Values of a conversation that know their place in it, and JSON of them.

Turns JSON values into copies whose strings, keys, lists and dicts carry origins, and those into JSON text that still
does: punctuation around a traced list or dict belongs to that field, a number to the key it stands behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inspector.origins import TEMPLATE, Origin, OriginKind, OriginStr, Run, concat, merged

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
"""Characters that JSON writes as several."""
_ESCAPED_ASCII = re.compile(r'["\\\x00-\x1f]|[^\x00-\x7e]')


class OriginDict(dict[str, Any]):
    """A dict of the conversation that knows its place in it."""

    __slots__ = ("_origin",)
    _origin: Origin


class OriginList(list[Any]):
    """A list of the conversation that knows its place in it."""

    __slots__ = ("_origin",)
    _origin: Origin


def trace_value(value: Any, message_index: int | None, field: str) -> Any:
    """A copy of a JSON value in which every string, key, list and dict knows its origin.

    A key's field is that of its value, so that a number, which carries no origin, can borrow its key's.
    """
    origin = Origin(OriginKind.MESSAGE, message_index, field)
    if isinstance(value, str):
        return OriginStr.of(value, origin, offset=0, turn=message_index)
    if isinstance(value, dict):
        out = OriginDict()
        for key, item in value.items():
            path = f"{field}.{key}" if field else key
            traced_key = OriginStr.of(key, Origin(OriginKind.MESSAGE, message_index, path), turn=message_index)
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
        ensure_ascii=bool(options.get("ensure_ascii")),
        indent=" " * indent if isinstance(indent, int) else indent,
        item_separator=item_separator,
        key_separator=key_separator,
        sort_keys=bool(options.get("sort_keys")),
    )
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
        """Yield the pieces of `value` as JSON; `owner` is the origin of what carries none itself."""
        if isinstance(value, str):
            yield self._string(value, owner)
        elif isinstance(value, dict):
            yield from self._container(value, "{}", getattr(value, "_origin", owner), depth)
        elif isinstance(value, list | tuple):
            yield from self._container(value, "[]", getattr(value, "_origin", owner), depth)
        else:
            yield _owned(json.dumps(value), owner)

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
            yield self._string(key if isinstance(key, str) else json.dumps(key), owner)
            yield _owned(self.key_separator, owner)
            yield from self.write(
                inner, key._runs[0].origin if isinstance(key, OriginStr) and key else owner, depth + 1
            )
        yield _owned(after + brackets[1], owner)

    def _string(self, value: str, owner: Origin) -> OriginStr:
        escaped = json.dumps(str.__str__(value), ensure_ascii=self.ensure_ascii)
        if not isinstance(value, OriginStr):
            return _owned(escaped, owner)
        quote_owner = value._runs[0].origin if value._runs and value._runs[0].origin.kind == "message" else owner
        quote = _owned('"', quote_owner)
        if len(escaped) == len(value) + 2:
            return concat((quote, value, quote))
        runs: list[Run] = []
        done = 0
        for match in (_ESCAPED_ASCII if self.ensure_ascii else _ESCAPED).finditer(value):
            image = json.dumps(match.group(), ensure_ascii=self.ensure_ascii)[1:-1]
            runs += value._cut(done, match.start())
            runs += value._cut(match.start(), match.end()) * len(image)
            done = match.end()
        runs += value._cut(done, len(value))
        return concat((quote, OriginStr(escaped[1:-1], merged(runs)), quote))


def _owned(text: str, owner: Origin) -> OriginStr:
    return OriginStr.of(text, owner, turn=owner.message_index)
