"""Strings that know their origins do what plain strings do, and never name a wrong origin."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.conversation import Conversation
from inspector.rendering.origins import TEMPLATE, UNKNOWN, Origin, OriginKind, OriginStr, Run, concat, merged
from inspector.rendering.render import render
from inspector.rendering.values import trace_value, traced_json, traced_repr

SHARED = "ab ,\n\tÄßﬁ😀"
"""Characters that every source may hold; all others are its own."""


def source(index: int, pattern: str) -> OriginStr:
    """A traced string: `.` in the pattern becomes a character that stands nowhere else."""
    text = "".join(chr(0x4E00 + 100 * index + i) if c == "." else c for i, c in enumerate(pattern))
    return OriginStr.of(text, Origin(OriginKind.MESSAGE, index, text), offset=0)


def check(traced: str, plain: str, *, known: bool = True) -> None:
    """The text is that of a plain string; each character is one of its source, at the place its run names."""
    assert isinstance(traced, OriginStr)
    assert str.__str__(traced) == plain
    assert sum(run.length for run in traced._runs) == len(plain)
    assert all(run.length for run in traced._runs)
    position = 0
    for run in traced._runs:
        for step in range(run.length):
            shown = plain[position + step]
            if run.origin is UNKNOWN:
                assert not known
                continue
            assert run.offset is not None
            whole = run.origin.field or ""
            assert shown.casefold() in whole[run.offset + step].casefold() + whole[run.offset + step].upper().casefold()
        position += run.length


Step = Callable[[str, str, int, int], str | list[str] | tuple[str, ...]]
STEPS: dict[str, Step] = {
    "+": lambda s, t, i, j: s + t,
    "radd": lambda s, t, i, j: str.__str__(t) + s,
    "*": lambda s, t, i, j: s * (i % 4),
    "rmul": lambda s, t, i, j: (i % 4) * s,
    "slice": lambda s, t, i, j: s[i:j],
    "step": lambda s, t, i, j: s[i : j : (i % 3) + 1],
    "backwards": lambda s, t, i, j: s[::-1],
    "negative": lambda s, t, i, j: s[-abs(i) :],
    "index": lambda s, t, i, j: s[i % len(s)] if s else s,
    "iterate": lambda s, t, i, j: list(s),
    "strip": lambda s, t, i, j: s.strip(),
    "strip characters": lambda s, t, i, j: s.strip("a ,"),
    "lstrip": lambda s, t, i, j: s.lstrip(),
    "rstrip": lambda s, t, i, j: s.rstrip("\n"),
    "removeprefix": lambda s, t, i, j: s.removeprefix(t[:1]),
    "removesuffix": lambda s, t, i, j: s.removesuffix(t[-1:]),
    "split": lambda s, t, i, j: s.split(),
    "split some": lambda s, t, i, j: s.split(None, i % 3),
    "split at": lambda s, t, i, j: s.split(",", i % 3 - 1),
    "rsplit": lambda s, t, i, j: s.rsplit(),
    "rsplit some": lambda s, t, i, j: s.rsplit(None, i % 3),
    "rsplit at": lambda s, t, i, j: s.rsplit("a", i % 3 - 1),
    "splitlines": lambda s, t, i, j: s.splitlines(),
    "splitlines with ends": lambda s, t, i, j: s.splitlines(keepends=True),
    "partition": lambda s, t, i, j: s.partition(","),
    "rpartition": lambda s, t, i, j: s.rpartition("a"),
    "join": lambda s, t, i, j: s.join([t, s, t]),
    "replace": lambda s, t, i, j: s.replace("a", t),
    "replace some": lambda s, t, i, j: s.replace(",", t, i % 3 - 1),
    "replace nothing": lambda s, t, i, j: s.replace("", t, i % 5 - 1),
    "remove": lambda s, t, i, j: s.replace("b", ""),
    "upper": lambda s, t, i, j: s.upper(),
    "lower": lambda s, t, i, j: s.lower(),
    "title": lambda s, t, i, j: s.title(),
    "capitalize": lambda s, t, i, j: s.capitalize(),
    "swapcase": lambda s, t, i, j: s.swapcase(),
    "casefold": lambda s, t, i, j: s.casefold(),
    "str": lambda s, t, i, j: str(s),
}
LOSES = {"title", "capitalize", "radd"}
"""Steps after which some characters may be unknown: their image depends on their neighbours, or a part is plain."""

PATTERN = st.text("...." + SHARED, max_size=12)
SMALL = st.integers(-6, 14)


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=40)
@given(one=PATTERN, other=PATTERN, i=SMALL, j=SMALL)
def test_each_operation_gives_what_str_gives_with_the_right_origins(
    name: str, one: str, other: str, i: int, j: int
) -> None:
    """Each character of the result is found in its source, at the offset that its run names."""
    s, t = source(0, one), source(1, other)
    traced, plain = STEPS[name](s, t, i, j), STEPS[name](str.__str__(s), str.__str__(t), i, j)
    pairs = [(traced, plain)] if isinstance(traced, str) else list(zip(traced, plain, strict=True))
    for mine, theirs in pairs:
        assert isinstance(theirs, str)
        check(mine, theirs, known=name not in LOSES)


@given(
    st.lists(PATTERN, min_size=2, max_size=3),
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), SMALL, SMALL, st.integers(0, 2)), max_size=6),
)
def test_any_sequence_of_operations_keeps_text_and_origins(
    patterns: list[str], steps: list[tuple[str, int, int, int]]
) -> None:
    """Also where one operation works on what another left."""
    sources = [source(index, pattern) for index, pattern in enumerate(patterns)]
    traced: str = sources[0]
    plain = str.__str__(traced)
    for name, i, j, which in steps:
        other = sources[which % len(sources)]
        mine, theirs = STEPS[name](traced, other, i, j), STEPS[name](plain, str.__str__(other), i, j)
        if not isinstance(mine, str):
            place = i % len(mine) if mine else 0
            mine, theirs = (mine[place], theirs[place]) if mine else (traced, plain)
        assert isinstance(theirs, str)
        traced, plain = mine, theirs[:500]
        traced = traced[:500]
        check(traced, plain, known=False)


def test_plain_text_is_of_unknown_origin() -> None:
    """Nothing guesses: what has no origin says so, and keeps saying so."""
    mixed = source(0, ".") + "plain"
    assert [run.origin.kind for run in mixed._runs] == [OriginKind.MESSAGE, OriginKind.UNKNOWN]
    assert ("plain" + source(0, "."))._runs[0].origin is UNKNOWN
    assert OriginStr("x")._runs == (Run(1, UNKNOWN),)


def test_operations_not_handled_give_plain_strings() -> None:
    """A format, a translation or a padding loses track rather than naming a wrong origin."""
    s = source(0, "ab.")
    for result in (s.center(9), s.translate({97: "x"}), "%s" % s, f"{s}", s.format(), s.expandtabs(), s.zfill(9)):  # noqa: UP031
        assert type(result) is str or all(run.origin is UNKNOWN for run in result._runs) or result == s


def test_empty_strings_have_no_runs() -> None:
    """So that runs always have a length."""
    assert OriginStr("")._runs == OriginStr.of("", TEMPLATE)._runs == concat([])._runs == concat(["", ""])._runs == ()
    assert (source(0, "ab") * 0)._runs == source(0, "ab")[5:]._runs == ()


def test_runs_that_go_on_are_made_one() -> None:
    """Cutting a string and joining it again gives the same runs."""
    s = source(0, "....,a.b")
    assert concat([s[:3], s[3:5], s[5:]])._runs == s._runs
    origin = Origin(OriginKind.TEMPLATE, line=1)
    parts = [Run(2, origin), Run(0, UNKNOWN), Run(3, origin), Run(1, origin, turn=1)]
    assert merged(parts) == [Run(5, origin), Run(1, origin, turn=1)]


def test_swapped_pieces_are_not_made_one() -> None:
    """The same origin, but not the text that follows."""
    s = source(0, "....")
    assert len((s[2:] + s[:2])._runs) == 2


def test_equality_hash_and_pickle_are_those_of_str() -> None:
    """A traced key finds what a plain one finds."""
    s = source(0, "ab.")
    assert s == str.__str__(s)
    assert {str.__str__(s): 1}[s] == 1
    assert pickle.loads(pickle.dumps(s))._runs == s._runs


def test_wrong_operands_are_refused_as_str_refuses_them() -> None:
    """A template's mistake must fail as it fails in transformers."""
    with pytest.raises(TypeError, match="unsupported operand"):
        source(0, "a") + 1  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        1 + source(0, "a")  # type: ignore[operator]
    with pytest.raises(TypeError, match="sequence item 1: expected str instance, int found"):
        source(0, ",").join(["a", 1])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="empty separator"):
        source(0, "a").split("")
    with pytest.raises(IndexError):
        source(0, "a")[1]


def test_an_origin_as_plain_values() -> None:
    """The public form."""
    assert Origin(OriginKind.MESSAGE, 2, "content[0].text").to_dict() == {
        "kind": "message",
        "message_index": 2,
        "field": "content[0].text",
        "line": None,
    }
    assert Origin(OriginKind.MESSAGE, 2, "content[0].text").top_field == "content"
    assert TEMPLATE.top_field == ""


# --- JSON and Python text

WORDS = st.text("ab\"\\/\n\t\x00\x1f\x7fé維😀\u2028'", max_size=6)
KEYS = st.sampled_from(["a", "key", "é", 'qu"ote', "b"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, width=16) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "ensure_ascii": st.booleans(),
        "indent": st.none() | st.integers(0, 3) | st.sampled_from(["", "\t", "--"]),
        "separators": st.none() | st.sampled_from([(",", ":"), (", ", ": "), (" ;\n", "=")]),
        "sort_keys": st.booleans(),
    },
)


def strings(value: Any, path: str) -> dict[str, str]:
    """Path -> text, for every string inside a value."""
    if isinstance(value, str):
        return {path: value}
    if isinstance(value, dict):
        items = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
    else:
        items = [(f"{path}[{i}]", item) for i, item in enumerate(value)] if isinstance(value, list) else []
    return {place: text for where, item in items for place, text in strings(item, where).items()}


def check_written(traced: OriginStr, value: Any, image: Callable[[str], str]) -> None:
    """Every character of every string is there, as its image; everything else belongs to a field."""
    found = strings(value, "f")
    shown: dict[str, set[int]] = {path: set() for path in found}
    position = 0
    for run in traced._runs:
        assert run.origin.kind is OriginKind.MESSAGE or value == ""
        for step in range(run.length if run.offset is not None else 0):
            path, place = run.origin.field or "", (run.offset or 0) + step
            assert str.__str__(traced)[position + step] in image(found[path][place])
            shown[path].add(place)
        position += run.length
    assert {path: len(own) for path, own in shown.items()} == {path: len(text) for path, text in found.items()}


@settings(max_examples=200)
@given(VALUES, OPTIONS)
def test_json_is_that_of_json_dumps_with_the_right_origins(value: Any, options: dict[str, Any]) -> None:
    """All combinations of the options a template can give."""
    traced = traced_json(trace_value({"": value}[""], 0, "f"), **options)
    assert traced == json.dumps(value, **options)
    if isinstance(value, str | dict | list):
        ensure_ascii = options.get("ensure_ascii", True)
        pieces = OriginStr(str.__str__(traced), traced._runs)
        check_written(pieces, value, lambda c: json.dumps(c, ensure_ascii=ensure_ascii)[1:-1])


@settings(max_examples=200)
@given(st.lists(VALUES, max_size=3) | st.dictionaries(KEYS, VALUES, max_size=3))
def test_python_text_is_that_of_repr_with_the_right_origins(value: Any) -> None:
    """What a template writes when it prints a list as it is."""
    traced = str(trace_value(value, 0, "f"))
    assert isinstance(traced, OriginStr)
    assert traced == repr(value) == traced_repr(trace_value(value, 0, "f"))
    assert {run.origin.kind for run in traced._runs} == {OriginKind.MESSAGE}
    texts = strings(value, "f")
    for path, group in groupby((run for run in traced._runs if run.offset is not None), key=lambda r: r.origin.field):
        covered = {run.offset + i for run in group for i in range(run.length if run.length else 0)}
        assert min(covered) < len(texts[path or ""])


def test_a_number_belongs_to_its_key() -> None:
    """It carries no origin itself; punctuation belongs to the field around it."""
    traced = traced_json(trace_value({"a": 1, "b": [True]}, 3, "args"))
    fields = {str(piece): piece._runs[0].origin.field for piece in (traced[6:7], traced[0:1], traced[15:19])}
    assert fields == {"1": "args.a", "{": "args", "true": "args.b"}


def test_json_of_what_is_not_of_the_conversation_is_the_template_s() -> None:
    """A list that the template made itself."""
    assert {run.origin for run in traced_json([1, "a", None])._runs} == {TEMPLATE}


# --- in templates

CONTENT = "One, two\nthree <b>&</b>  "
EXPRESSIONS = [
    "c", "c|trim", "c|string", "c|upper", "c|lower", "c|title", "c|capitalize", "c|replace('o', 'xy')", "c|indent",
    "c|indent(2, true, true)", "c|indent('> ')", "c|tojson", "c|tojson(indent=2)", "c|safe", "(c|tojson|safe) ~ c",
    "c.split(',')|join('+')", "c.splitlines()|join", "c ~ '!' ~ c", "c + '!' + c", "c[1:-1]", "c[::-1]", "c * 2",
    "c.strip().split(' ')[-1]", "[c, c]|join(', ')", "messages|map(attribute='content')|join('|')", "(c, 'x')|first",
    "messages|tojson", "messages[0]|tojson(indent=1)", "c if c is string else ''", "c|default('none')", "c or 'none'",
    "c.replace('\n', ' ')", "(c|trim).removeprefix('One')", "c|list|join", "c.partition(',')[2]",
    "c|reverse", "'%s' % c", "c|format",
    "c|first", "c|last", "namespace(x=c).x", "dict(a=c).a", "{'a': c}['a']", "c|trim|safe|string",
    "messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first",
]  # fmt: skip
LOSING = ["c|escape", "messages|string", "c|center(60)", "c|wordwrap(5)", "c|length", "c|truncate(9)", "'%5s.' % c",
          "c|forceescape", "c|wordcount", "c|urlencode", "'{}'.format(c)", "(c|safe) + '<'", "'<' + (c|safe)",
          "messages|list", "c|int", "c is string", "c|striptags", "[c]"]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_filters_and_operators_of_templates_keep_origins(expression: str) -> None:
    """The text is transformers' (render checks it), and none of it is of unknown origin."""
    rendered = render(
        "{% set c = messages[0].content %}\n{{ " + expression + " }}",
        Conversation.parse([{"role": "user", "content": CONTENT}]),
        {},
    )
    assert rendered.text
    assert {run.origin.kind for run in rendered.runs} <= {OriginKind.MESSAGE, OriginKind.TEMPLATE}
    position = 0
    for run in rendered.runs:
        if run.offset is not None and run.origin.field == "content":
            for step in range(run.length):
                own = CONTENT[run.offset + step]
                assert rendered.text[position + step].casefold() in own.casefold() + json.dumps(own)
        position += run.length


@pytest.mark.parametrize("expression", LOSING)
def test_what_loses_track_has_transformers_text_and_says_unknown(expression: str) -> None:
    """With the line that wrote it."""
    rendered = render(
        "{% set c = messages[0].content %}\n{{ " + expression + " }}",
        Conversation.parse([{"role": "user", "content": CONTENT}]),
        {},
    )
    lost = [run for run in rendered.runs if run.origin.kind is OriginKind.UNKNOWN]
    assert all(run.origin.line == 2 for run in lost)
    assert lost or rendered.text == ""


def test_template_text_knows_its_line_and_its_turn() -> None:
    """Constants, text between tags over several lines, macros, special tokens and text kept for later."""
    source = (
        "{{ bos_token }}{% macro tag(x) %}\n<{{ x }}>\n{% endmacro %}\n"
        "head\nmore\n"
        "{% for m in messages %}\n"
        "{{ tag(m.role) }}{% set kept = '[' ~ m.content ~ ']' %}\n"
        "{{ kept }}\n"
        "{% endfor %}\n"
        "{{ 'tail' }}"
    )
    rendered = render(source, Conversation.parse([{"role": "user", "content": "Hi"}]), {"bos_token": "<s>"})
    pieces = [
        (rendered.text[start:end], run.origin.line, run.turn)
        for start, end, run in rendered.spans()
        if run.origin.kind is OriginKind.TEMPLATE
    ]
    assert pieces == [
        ("<s>", 1, None), ("head\n", 4, None), ("more\n", 5, None), ("<", 2, 0), (">\n", 2, 0),
        ("[", 7, 0), ("]", 7, 0), ("\n", 8, 0), ("tail", 10, None),
    ]  # fmt: skip


def test_conversation_outside_the_messages_is_named_by_its_field() -> None:
    """Tools, documents and keywords are the user's text, and no message's."""
    conversation = Conversation.parse(
        {"messages": [{"role": "user"}], "tools": [{"name": "f"}], "documents": [{"text": "d"}], "mood": "glad"}
    )
    rendered = render("{{ tools[0].name }}{{ documents[0].text }}{{ mood }}", conversation, {})
    origins = [run.origin for run in rendered.runs]
    assert [origin.field for origin in origins] == ["tools[0].name", "documents[0].text", "mood"]
    assert {(origin.kind, origin.message_index) for origin in origins} == {(OriginKind.MESSAGE, None)}


def test_generation_spans_are_those_of_transformers() -> None:
    """A tag inside a macro records where the text so far ended, as transformers does."""
    source = (
        "{% macro answer(m) %}{% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
        "ab{% for m in messages %}{{ 'x' }}{{ answer(m) }}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    )
    conversation = Conversation.parse([{"role": "assistant", "content": "Hi"}])
    from tests.oracle import theirs

    expected = theirs(source, conversation, {})
    rendered = render(source, conversation, {})
    assert (rendered.text, list(rendered.generation_spans)) == expected
    assert re.fullmatch("abxHiHi", rendered.text)
