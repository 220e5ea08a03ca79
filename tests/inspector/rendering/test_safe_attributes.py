"""What is remembered of Jinja's sandbox is what the sandbox answers, for every kind of object and its names."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from jinja2 import Undefined
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup

from inspector.conversation import Conversation
from inspector.rendering import safe_attributes
from inspector.rendering.jinja import tracing_environment
from inspector.rendering.origins import TEMPLATE, OriginStr
from inspector.rendering.plain_render import render_text
from inspector.rendering.safe_attributes import is_safe_attribute
from inspector.rendering.values import OriginDict


def generated() -> Iterator[int]:
    yield 1


async def awaited() -> None:
    pass


async def streamed() -> Any:
    yield 1


def _raised() -> BaseException:
    try:
        raise ValueError
    except ValueError as error:
        return error


def objects() -> list[Any]:
    """Of each kind that the sandbox tells apart, and what a template is given."""
    coroutine = awaited()
    coroutine.close()
    raised = _raised()
    return [
        generated, ImmutableSandboxedEnvironment().getattr, len, "".join, str, dict, type, generated.__code__, raised,
        raised.__traceback__, sys._getframe(), generated(), coroutine, streamed(), [], (), {}, set(), frozenset(),
        deque(), bytearray(), "", b"", 1, 1.5, True, None, ..., range(2), Undefined(), Namespace(a=1), Cycler(1, 2),
        Joiner(), Markup("a"), OriginStr.of("a", TEMPLATE), OriginDict({"a": 1}), LoopContext([1], Undefined),
        ImmutableSandboxedEnvironment(), tracing_environment(), tracing_environment().from_string("{{ 1 }}"), sys,
    ]  # fmt: skip


NAMES = (
    "mro",
    "append",
    "clear",
    "update",
    "_private",
    "__made_up__",
    "content",
    "role",
    "format",
    "items",
    "ag_frame",
)


def test_answers_are_the_sandbox_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is asked for the first time, and from memory."""
    monkeypatch.setattr(safe_attributes, "_KNOWN", {})
    environment, told = tracing_environment(), set()
    for obj in objects():
        for name in {*dir(type(obj)), *NAMES}:
            theirs = ImmutableSandboxedEnvironment.is_safe_attribute(environment, obj, name, None)
            assert [is_safe_attribute(environment, obj, name, None) for _ in range(2)] == [theirs] * 2, (obj, name)
            told.add(theirs)
    assert told == {True, False}


def test_few_answers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names a template makes up."""
    monkeypatch.setattr(safe_attributes, "_KNOWN", {})
    monkeypatch.setattr(safe_attributes, "MOST", 3)
    answers = [is_safe_attribute(tracing_environment(), "", name, None) for name in ("a", "b", "_c", "d", "_e", "_e")]
    assert answers == [True, True, False, True, False, False]
    assert len(safe_attributes._KNOWN) == 3


def test_transformers_answers_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own render asks, once for each kind and name."""
    known: dict[tuple[type, str], bool] = {}
    monkeypatch.setattr(safe_attributes, "_KNOWN", known)
    hi = Conversation.parse([{"role": "user", "content": "hi"}])
    assert render_text("{% for m in messages %}{{ m.content.upper() }}{% endfor %}", hi, {}) == "HI"
    assert known[str, "upper"] is True
