"""Tools as TypeScript, against the implementation in `renderers` and in plain sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.model.encoders.typescript import declarations
from tests.support.fetch import fetched, kimi_tools

NOTES = {
    "description": st.sampled_from(["", "One line", "Two\n\nlines", "ü 中"]),
    "default": st.sampled_from([1, "é", None, {"a": [1]}, False]),
}
LIMITS = {
    "string": {"maxLength": st.just(5), "minLength": st.just(1), "pattern": st.just("^a$")},
    "number": {"minimum": st.just(1), "maximum": st.just(2.5)},
    "integer": {"maximum": st.just(9)},
}
TYPES = st.lists(st.sampled_from(["string", "number", "integer", "boolean", "null", "object", "array"]), min_size=1)


def plain(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """A schema of a type without parts."""
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=NOTES | LIMITS.get(kind, {}))


LEAVES = (
    st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object"]).flatmap(plain)
    | st.fixed_dictionaries({"enum": st.lists(st.sampled_from(["a", 1, None, True]), min_size=1)}, optional=NOTES)
    | st.fixed_dictionaries({"type": TYPES}, optional=NOTES)
    | st.sampled_from(["#/$defs/D", "#/$defs/E", "#", "#/$defs/none"]).map(lambda name: {"$ref": name})
    | st.sampled_from([{}, True, False, {"title": "no type"}])
)


def objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas of objects."""
    optional = {
        "properties": st.dictionaries(st.sampled_from(["b", "a", "zz", "c_1", "Z"]), parts, max_size=4),
        "required": st.lists(st.sampled_from(["a", "zz", "Z"]), unique=True),
        "additionalProperties": parts,
    }
    return st.fixed_dictionaries({"type": st.just("object")}, optional=NOTES | optional)


SCHEMAS = st.recursive(
    LEAVES,
    lambda parts: (
        objects(parts)
        | st.fixed_dictionaries({"type": st.just("array"), "items": parts}, optional=NOTES | {"minItems": st.just(1)})
        | st.fixed_dictionaries({"anyOf": st.lists(parts, min_size=1, max_size=3)}, optional=NOTES)
    ),
    max_leaves=8,
)
DEFINED = st.fixed_dictionaries({"D": objects(SCHEMAS), "E": SCHEMAS})
PARAMETERS = st.tuples(objects(SCHEMAS), DEFINED).map(lambda both: both[0] | {"$defs": both[1]}) | objects(SCHEMAS)
FUNCTIONS = st.fixed_dictionaries(
    {"name": st.just("f")}, optional={"description": NOTES["description"], "parameters": PARAMETERS}
)
TOOLS = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["function", "function", "other"]), "function": FUNCTIONS}),
    max_size=3,
)


@pytest.fixture(scope="module")
def kimis() -> Callable[[list[Any]], str]:
    """The published implementation."""
    return fetched(kimi_tools)


def attempt(write: Callable[[list[Any]], str], tools: list[Any]) -> str | None:
    """What is written of tools, None where they are refused."""
    try:
        return write(tools)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


@settings(max_examples=1000)
@given(tools=TOOLS)
def test_declarations_are_those_of_the_published_rules(kimis: Callable[[list[Any]], str], tools: list[Any]) -> None:
    """Nested objects, references to each other and to the whole, limits, defaults, and what the rules refuse."""
    assert attempt(declarations, tools) == attempt(kimis, tools)


def test_a_function_in_plain_sight() -> None:
    """What the model reads."""
    parameters = {
        "type": "object",
        "properties": {
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "city": {"type": "string", "description": "Where", "maxLength": 9},
            "days": {"type": "array", "items": {"type": "integer", "description": "From today"}},
        },
        "required": ["city"],
    }
    function = {"name": "weather", "description": "Tells the weather", "parameters": parameters}
    assert declarations([{"type": "function", "function": function}]) == (
        "# Tools\n\n## functions\nnamespace functions {\n// Tells the weather\ntype weather = (_: {\n"
        "  // Where\n  // maxLength: 9\n  city: string,\n"
        "  days?: Array<\n    // From today\n    number\n  >,\n"
        '  // Default: "C"\n  unit?: "C" | "F"\n}) => any;\n}\n'
    )
