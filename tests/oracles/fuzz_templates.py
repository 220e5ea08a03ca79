"""Random chat templates: Jinja from a grammar, most of which compiles, with every filter and a few attacks."""

from __future__ import annotations

from hypothesis import strategies as st

_TEXTS = [
    "",
    "a",
    "assistant",
    "<|im_start|>",
    "é\\n",
    " b ",
    "{}",
    "%s",
    "</s>",
    "\\u202e",
    "x y z",
    "\\x00",
    "'",
    "ß",
]
_NAMES = [
    "messages", "messages[0]", "messages[-1].content", "messages[0].role", "m", "m.content", "m['role']", "m.role",
    "tools", "documents", "bos_token", "eos_token", "add_generation_prompt", "nothing", "loop.index", "loop.last",
    "loop.previtem", "x", "ns.a", "messages|length", "m.tool_calls", "m.missing", "m.items()", "m.keys()", "self",
    "m.content[0].text", "caller", "varargs", "loop",
]  # fmt: skip
_METHODS = [
    "upper()", "lower()", "strip()", "lstrip('a')", "split()", "split('a')", "split('a', 1)[0]", "rsplit(' ', 1)[-1]",
    "replace('a', 'bb')", "replace('', '-')", "startswith('a')", "endswith('a')", "title()", "capitalize()",
    "splitlines()", "partition('a')[2]", "removeprefix('a')", "format(1)", "format(messages)", "join(['a', 'b'])",
    "find('a')", "count('a')", "zfill(9)", "ljust(9)", "center(9, '*')", "expandtabs()", "swapcase()", "casefold()",
    "isdigit()", "encode()", "get('content')", "get('a', 'b')", "values()|list", "copy()", "index('a')",
    "translate({})",
    "__class__", "__globals__", "_runs", "mro()", "append(1)", "content", "role", "text", "rstrip()[:3]", "update({})",
]  # fmt: skip
_FILTERS = [
    "trim", "upper", "lower", "tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "length", "list", "string",
    "first", "last", "join", "join(', ')", "join(', ', attribute='role')", "map(attribute='content')|list", "safe", "e",
    "string|reverse", "reverse|list", "sort", "unique|list", "default('d')", "default('d', true)", "int", "float",
    "abs", "round", "title", "capitalize", "replace('a', 'b')", "indent", "indent(2, true)", "center(20)",
    "truncate(5)", "wordwrap(5)", "wordcount", "striptags", "urlencode", "format(1)", "batch(2)|list", "slice(2)|list",
    "sum",
    "selectattr('role', 'equalto', 'user')|list", "rejectattr('content')|list", "select('string')|list",
    "map('upper')|list", "groupby('role')", "dictsort", "items|list", "min", "max", "pprint", "filesizeformat", "count",
    "xmlattr", "forceescape", "attr('content')", "attr('__class__')", "urlize", "d", "nosuchfilter", "escape|upper",
    "tojson|length", "safe|upper", "trim('a')", "string|upper", "list|join('-')", "tojson(sort_keys=true)",
]  # fmt: skip
_TESTS = [
    "defined",
    "none",
    "string",
    "mapping",
    "iterable",
    "number",
    "sequence",
    "undefined",
    "true",
    "odd",
    "sameas m",
]
_OPERATORS = ["+", "~", "==", "!=", "<", "in", "not in", "and", "or", "*", "-", "%", "//", "/"]
_ATTACKS = [
    "range(10**9)", "'a' * 10**9", "9**99999999", "cycler.__init__.__globals__", "''.__class__.__mro__[1]", "[0]*10**9",
    "'%1000000000d' % 1", "raise_exception('no')", "raise_exception(messages)", "lipsum.__globals__['os']",
    "range(99999)|list|length", "dict(a=1)", "namespace(a=1).a", "joiner(',')()", "cycler('a','b').next()", "(1).real",
    "strftime_now('%Y')", "'{0.__class__}'.format(messages)", "messages.append(1)", "1/0", "'\\ud800'", "[[]]*3",
]  # fmt: skip
_DATA = [
    "",
    "\n",
    "text",
    "  ",
    "<|im_end|>\n",
    "<script>alert(1)</script>",
    "{",
    "%}",
    "#",
    "\u202e\u2066",
    "é🙂",
    "\t\r\n",
    "{{",
]

_literal = st.one_of(
    st.sampled_from(_TEXTS).map(lambda text: f"'{text}'" if "'" not in text else '"\'"'),
    st.integers(-2, 12).map(str),
    st.sampled_from(["true", "false", "none", "1.5", "[]", "{}", "[1, 'a']", "{'a': 'b'}", "('a', 'b')", "0"]),
)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(_FILTERS)).map(lambda own: f"({own[0]})|{own[1]}"),
        st.tuples(inner, st.sampled_from(_METHODS)).map(lambda own: f"({own[0]}).{own[1]}"),
        st.tuples(inner, st.sampled_from(_FILTERS)).map(lambda own: f"({own[0]})|{own[1]}"),
        st.tuples(inner, st.sampled_from(_TESTS)).map(lambda own: f"({own[0]} is {own[1]})"),
        st.tuples(pair, st.sampled_from(_OPERATORS)).map(lambda own: f"({own[0][0]} {own[1]} {own[0][1]})"),
        st.tuples(inner, inner, inner).map(lambda own: f"({own[0]} if {own[1]} else {own[2]})"),
        st.tuples(inner, st.sampled_from(["0", "-1", "'content'", "1:", ":-1", "::-1", "::2", "9"])).map(
            lambda own: f"({own[0]})[{own[1]}]"
        ),
        pair.map(lambda own: f"[{own[0]}, {own[1]}]"),
        pair.map(lambda own: f"{{{own[0]}: {own[1]}}}"),
    )


def expressions() -> st.SearchStrategy[str]:
    """An expression; one in a hundred or so tries to get out, or to take all there is."""
    names = st.sampled_from(_NAMES)
    small = st.one_of(names, names, names, _literal)
    return st.recursive(small, _grown, max_leaves=5)


def _statements(body: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    said = expressions()
    return st.one_of(
        st.tuples(body, body).map("".join),
        st.tuples(body, body, body).map("".join),
        st.tuples(said, body).map(lambda own: f"{{% if {own[0]} %}}{own[1]}{{% endif %}}"),
        st.tuples(said, body, body).map(lambda own: f"{{%- if {own[0]} -%}}{own[1]}{{%- else %}}{own[2]}{{% endif %}}"),
        body.map(lambda own: f"{{% for m in messages %}}{own}{{% endfor %}}"),
        body.map(lambda own: f"{{%- for m in messages -%}}\n{own}\n{{%- endfor -%}}\n"),
        st.tuples(said, body).map(lambda own: f"{{% for x in {own[0]} %}}{own[1]}{{% else %}}-{{% endfor %}}"),
        body.map(lambda own: f"{{% for i in range(messages|length) %}}{{% set m = messages[i] %}}{own}{{% endfor %}}"),
        st.tuples(said, body).map(
            lambda own: f"{{% for k, v in ({own[0]}) %}}{{{{ k }}}}{own[1]}{{{{ v }}}}{{% endfor %}}"
        ),
        st.tuples(said, body).map(lambda own: f"{{% set x = {own[0]} %}}{own[1]}"),
        st.tuples(body, body).map(lambda own: f"{{% set x %}}{own[0]}{{% endset %}}{{{{ x }}}}{own[1]}"),
        st.tuples(said, body).map(lambda own: f"{{% set ns = namespace(a={own[0]}) %}}{own[1]}{{% set ns.a = ns.a %}}"),
        st.tuples(body, said).map(
            lambda own: f"{{% macro f(x, y='d') %}}{own[0]}{{{{ x }}}}{{% endmacro %}}{{{{ f({own[1]}) }}}}"
        ),
        st.tuples(body, body).map(
            lambda own: (
                f"{{% macro g() %}}{own[0]}{{{{ caller() }}}}{{% endmacro %}}{{% call g() %}}{own[1]}{{% endcall %}}"
            )
        ),
        body.map(lambda own: f"{{% filter upper|trim %}}{own}{{% endfilter %}}"),
        body.map(lambda own: f"{{% generation %}}{own}{{% endgeneration %}}"),
        body.map(lambda own: f"{{% raw %}}{own}{{% endraw %}}" if "endraw" not in own else own),
        body.map(lambda own: f"{{% for m in messages if m.role != 'user' %}}{own}{{% break %}}{{% endfor %}}"),
        st.tuples(said, body).map(lambda own: f"{{% with x = {own[0]} %}}{own[1]}{{% endwith %}}"),
        body.map(lambda own: f"{{# note #}}{own}"),
    )


def templates() -> st.SearchStrategy[str]:
    """A whole template."""
    said = expressions()
    leaf = st.one_of(
        said.map(lambda own: f"{{{{ {own} }}}}"),
        said.map(lambda own: f"{{{{- {own} -}}}}"),
        st.sampled_from(_DATA),
        st.just("{{ m.role }}: {{ m.content }}\n"),
    )
    return st.recursive(leaf, _statements, max_leaves=6)


def attacks() -> st.SearchStrategy[str]:
    """A template that tries to get out, or to take all there is; most fail in a moment."""
    quick = [own for own in _ATTACKS if "9**9" not in own]
    return st.tuples(st.sampled_from(quick), st.sampled_from(_FILTERS)).map(
        lambda own: f"{{{{ ({own[0]})|{own[1]} }}}}"
    )
