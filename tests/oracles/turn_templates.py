"""Chat templates put together from the ways templates have of walking over messages, and whose each character is.

A template here has one of several ways to write its turns (`WALKS`), over a list that was made anew in some ways
(`LISTS`), with other messages quoted in between (`QUOTES`). `expected` reads off the rendered text, without looking at
the template, which characters the assistant writes: every message's fields are unique, turns are framed in one way, and
quotes stand in marks of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

OPEN, END = "<|im_start|>", "<|im_end|>"
_TURN = re.compile(re.escape(OPEN) + r"(\w+)\n(.*?)" + re.escape(END), re.DOTALL)
_QUOTE = re.compile(r"\(quote:(.*?)\)", re.DOTALL)

CALLS = "{% for c in M.calls or [] %}[{{ c.name }}({{ c.arguments }})]{% endfor %}"
"""How a turn writes the calls of a message `M`."""


def conversation(roles: str, prefix: str = "") -> list[dict[str, Any]]:
    """Messages by the first letters of their roles; every field is a text that occurs nowhere else."""
    names = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}
    out: list[dict[str, Any]] = []
    for index, letter in enumerate(roles):
        message: dict[str, Any] = {"role": names[letter], "content": f"{prefix}text{index}w"}
        if letter == "c":
            message["calls"] = [{"name": f"{prefix}name{index}w", "arguments": f"{prefix}arg{index}w"}]
        out.append(message)
    return out


def expected(text: str, messages: list[dict[str, Any]]) -> set[int]:
    """The positions that the assistant writes: in its turns all after the header, up to the end mark, but quotes."""
    chosen: set[int] = set()
    for match in _TURN.finditer(text):
        if match[1] == "assistant":
            chosen |= set(range(match.start(2), match.end()))
            own = _QUOTE.sub("", match[2])
            for quote in _QUOTE.finditer(text, match.start(2), match.end()):
                if quote[1] not in own:  # what an answer repeats of itself is its own
                    chosen -= set(range(*quote.span(1)))
    return chosen


# --- the list that is walked over: Jinja that sets `NEW` from `OLD`

LISTS: Mapping[str, str] = {
    "slices": "{% set NEW = OLD[:1] + OLD[1:] %}",
    "reversed twice": "{% set NEW = OLD | reverse | list | reverse | list %}",
    "selected": "{% set NEW = OLD | selectattr('role') | list %}",
    "copied dicts": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% set ns.kept = ns.kept + ["
        "{'role': m.role, 'content': m.content, 'calls': m.calls}] %}{% endfor %}{% set NEW = ns.kept %}"
    ),
    "dicts of dict()": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% set ns.kept = ns.kept + ["
        "dict(role=m.role, content=m.content, calls=m.calls)] %}{% endfor %}{% set NEW = ns.kept %}"
    ),
    "namespaces": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% set ns.kept = ns.kept + ["
        "namespace(role=m.role, content=m.content, calls=m.calls)] %}{% endfor %}{% set NEW = ns.kept %}"
    ),
    "own words for roles": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% set r = 'assistant' if m.role == 'assistant' else "
        "('tool' if m.role == 'tool' else 'user') %}{% set ns.kept = ns.kept + ["
        "{'role': r, 'content': m.content, 'calls': m.calls}] %}{% endfor %}{% set NEW = ns.kept %}"
    ),
    "trimmed": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% set ns.kept = ns.kept + ["
        "{'role': m['role'] | trim, 'content': m['content'] | trim, 'calls': m.calls}] %}{% endfor %}"
        "{% set NEW = ns.kept %}"
    ),
    "neighbours merged": (
        "{% set ns = namespace(kept=[]) %}{% for m in OLD %}{% if ns.kept and ns.kept[-1].role == m.role and not "
        "m.calls and not ns.kept[-1].calls %}{% set ns.kept = ns.kept[:-1] + [{'role': m.role, 'content': "
        "ns.kept[-1].content + '\\n' + m.content, 'calls': m.calls}] %}{% else %}{% set ns.kept = ns.kept + ["
        "{'role': m.role, 'content': m.content, 'calls': m.calls}] %}{% endif %}{% endfor %}{% set NEW = ns.kept %}"
    ),
}

# --- how a turn is written; `M` is the message, `BEFORE` and `AFTER` are quotes in the turn

TURN = OPEN + "{{ M.role }}\nBEFORE{{ M.content }}" + CALLS + "AFTER" + END + "\n"
CONCAT = "{{ '" + OPEN + "' + M.role + '\\n' }}BEFORE{{ M.content }}" + CALLS + "AFTER{{ '" + END + "' ~ '\\n' }}"
BRANCHES = (
    "{% if M.role == 'assistant' %}" + OPEN + "assistant\nBEFORE{{ M.content }}" + CALLS + "AFTER" + END + "\n"
    "{% elif M.role == 'tool' %}" + OPEN + "tool\nBEFORE{{ M.content }}AFTER" + END + "\n"
    "{% else %}" + OPEN + "user\nBEFORE{{ M.content }}AFTER" + END + "\n{% endif %}"
)
BODIES: Mapping[str, str] = {"text": TURN, "joined": CONCAT, "branches": BRANCHES}


def _is(body: str, message: str) -> str:
    return re.sub(r"\bM\b", message, body)


def _loop(body: str) -> str:
    return "{% for m in LIST %}" + _is(body, "m") + "{% endfor %}"


def _macro(body: str) -> str:
    macro = "{% macro turn(x) %}" + _is(body, "x") + "{% endmacro %}"
    return macro + "{% for m in LIST %}{{ turn(m) }}{% endfor %}"


def _of_fields(body: str) -> str:
    return body.replace("M.role", "r").replace("M.content", "t").replace("M.calls", "k")


def _macro_of_fields(body: str) -> str:
    body = _of_fields(body)
    macro = "{% macro turn(r, t, k) %}" + body + "{% endmacro %}"
    return macro + "{% for m in LIST %}{{ turn(m.role, m.content, m.calls) }}{% endfor %}"


def _pairs_of_fields(body: str) -> str:
    body = _of_fields(body)
    pairs = "{% set pp.kept = pp.kept + [(m.role, m.content, m.calls)] %}"
    made = "{% set pp = namespace(kept=[]) %}{% for m in LIST %}" + pairs + "{% endfor %}"
    return made + "{% for r, t, k in pp.kept %}" + body + "{% endfor %}"


def _numbers(body: str) -> str:
    return "{% for i in range(LIST | length) %}{% set m = LIST[i] %}" + _is(body, "m") + "{% endfor %}"


def _numbers_unnamed(body: str) -> str:
    return "{% for i in range(LIST | length) %}" + _is(body, "LIST[i]") + "{% endfor %}"


def _macro_that_finds(body: str) -> str:
    macro = "{% macro turn(i) %}{% set m = LIST[i] %}" + _is(body, "m") + "{% endmacro %}"
    return macro + "{% for i in range(LIST | length) %}{{ turn(i) }}{% endfor %}"


def _recursive_macro(body: str) -> str:
    macro = (
        "{% macro turns(rest) %}{% if rest %}" + _is(body, "rest[0]") + "{{ turns(rest[1:]) }}{% endif %}{% endmacro %}"
    )
    return macro + "{{ turns(LIST) }}"


def _recursive_loop(body: str) -> str:
    return (
        "{% set ii = namespace(at=0) %}{% for m in LIST[:1] recursive %}"
        + _is(body, "m")
        + "{% set ii.at = ii.at + 1 %}"
        "{% if ii.at < LIST | length %}{{ loop([LIST[ii.at]]) }}{% endif %}{% endfor %}"
    )


def _batches(body: str) -> str:
    return "{% for b in LIST | batch(2) %}{% for m in b %}" + _is(body, "m") + "{% endfor %}{% endfor %}"


def _batches_unrolled(body: str) -> str:
    second = "{% if b | length > 1 %}" + _is(body, "b[1]") + "{% endif %}"
    return "{% for b in LIST | batch(2) %}" + _is(body, "b[0]") + second + "{% endfor %}"


def _late(body: str) -> str:
    """A message is written when the next one comes, the last one after the loop."""
    return (
        "{% set late = namespace(m=none) %}{% for m in LIST %}{% if late.m %}" + _is(body, "late.m") + "{% endif %}"
        "{% set late.m = m %}{% endfor %}{% if late.m %}" + _is(body, "late.m") + "{% endif %}"
    )


def _last_after(body: str) -> str:
    return "{% for m in LIST[:-1] %}" + _is(body, "m") + "{% endfor %}{% set z = LIST[-1] %}" + _is(body, "z")


def _first_before(body: str) -> str:
    return _is(body, "LIST[0]") + "{% for m in LIST[1:] %}" + _is(body, "m") + "{% endfor %}"


def _captured(body: str) -> str:
    return (
        "{% set out = namespace(text='') %}{% for m in LIST %}{% set t %}" + _is(body, "m") + "{% endset %}"
        "{% set out.text = out.text + t %}{% endfor %}{{ out.text }}"
    )


def _parts_joined(body: str) -> str:
    return (
        "{% set out = namespace(parts=[]) %}{% for m in LIST %}{% set t %}" + _is(body, "m") + "{% endset %}"
        "{% set out.parts = out.parts + [t] %}{% endfor %}{{ out.parts | join }}"
    )


def _pieces_joined(body: str) -> str:
    """Header, content and end are items of one list, joined after the loop; there are no quotes in it."""
    calls = "(m.calls[0].name ~ '(' ~ m.calls[0].arguments ~ ')' if m.calls else '')"
    return (
        "{% set out = namespace(parts=[]) %}{% for m in LIST %}{% set out.parts = out.parts + ['" + OPEN + "', m.role, "
        "'\\n', m.content, " + calls + ", '" + END + "', '\\n'] %}{% endfor %}{{ out.parts | join('') }}"
    )


def _with(body: str) -> str:
    return "{% for i in range(LIST | length) %}{% with m = LIST[i] %}" + _is(body, "m") + "{% endwith %}{% endfor %}"


def _called(body: str) -> str:
    macro = "{% macro framed(r) %}" + OPEN + "{{ r }}\n{{ caller() }}" + END + "\n{% endmacro %}"
    return (
        macro
        + "{% for m in LIST %}{% call framed(m.role) %}BEFORE{{ m.content }}"
        + _is(CALLS, "m")
        + ("AFTER{% endcall %}{% endfor %}")
    )


def _answer_in_the_question(body: str) -> str:
    """Each round over a message that is no answer also writes the answers that follow it."""
    return (
        "{% set seen = namespace(any=false) %}{% for m in LIST %}{% if m.role != 'assistant' or loop.first %}"
        + _is(body, "m")
        + "{% set st = namespace(on=true) %}{% for n in LIST[loop.index:] %}"
        "{% if n.role != 'assistant' %}{% set st.on = false %}{% endif %}{% if st.on %}"
        + _is(body, "n")
        + "{% endif %}{% endfor %}{% endif %}{% endfor %}"
    )


def _outer_loop(body: str) -> str:
    return "{% for part in [LIST[:2], LIST[2:]] %}{% for m in part %}" + _is(body, "m") + "{% endfor %}{% endfor %}"


def _system_first(body: str) -> str:
    return (
        "{% for m in LIST | selectattr('role', 'equalto', 'system') %}" + _is(body, "m") + "{% endfor %}"
        "{% for m in LIST | rejectattr('role', 'equalto', 'system') %}" + _is(body, "m") + "{% endfor %}"
    )


def _unrolled(body: str) -> str:
    return "".join(
        "{% if LIST | length > " + str(i) + " %}" + _is(body, f"LIST[{i}]") + "{% endif %}" for i in range(9)
    )


WALKS: Mapping[str, Callable[[str], str]] = {
    walk.__name__.strip("_").replace("_", " "): walk
    for walk in (
        _loop, _macro, _macro_of_fields, _pairs_of_fields, _numbers, _numbers_unnamed, _macro_that_finds,
        _recursive_macro, _recursive_loop, _batches, _batches_unrolled, _late, _last_after, _first_before, _captured,
        _parts_joined, _pieces_joined, _with, _called, _answer_in_the_question, _outer_loop, _system_first, _unrolled,
    )
}  # fmt: skip

# --- quotes: other messages' text in a turn, always in marks of their own

QUOTES: Mapping[str, str] = {
    "none": "",
    "first question": "(quote:{{ messages[0].content }})",
    "last user": (
        "{% for q in messages %}{% if q.role == 'user' and loop.index0 < 1 %}(quote:{{ q.content }}){% endif %}"
        "{% endfor %}"
    ),
    "names of calls": (
        "{% for q in messages %}{% for c in q.calls or [] %}{% if q.role == 'assistant' and M.role == 'tool' %}"
        "(quote:{{ c.name }}){% endif %}{% endfor %}{% endfor %}"
    ),
    "number of calls": "{% for q in messages %}{% for c in q.calls or [] %}.{% endfor %}{% endfor %}",
}
TOPS: Mapping[str, str] = {
    "none": "",
    "summary": OPEN + "system\n{% for q in messages %}(quote:{{ q.content[:3] }}){% endfor %}" + END + "\n",
    "whole": OPEN + "system\n{% for q in messages %}(quote:{{ q.content }}){% endfor %}" + END + "\n",
    "roles": OPEN + "system\n{% for q in messages %}{{ q.role }} {% endfor %}" + END + "\n",
    "last": OPEN + "system\n(quote:{{ messages[-1].content }})" + END + "\n",
}
ENDS = "{% if add_generation_prompt %}" + OPEN + "assistant\n{% endif %}"


def template(walk: str, lists: list[str], body: str, before: str, after: str, top: str) -> str:
    """One template. Quotes in turns are left out of walks that have no place for them."""
    source, name = "", "messages"
    for count, key in enumerate(lists):
        source += LISTS[key].replace("NEW", f"list{count}").replace("OLD", name)
        name = f"list{count}"
    turn = BODIES[body].replace("BEFORE", QUOTES[before]).replace("AFTER", QUOTES[after])
    written = WALKS[walk](turn).replace("BEFORE", "").replace("AFTER", "")
    return TOPS[top] + source + re.sub(r"\bLIST\b", name, written) + ENDS
