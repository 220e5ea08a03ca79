"""Ways to write `{% generation %}` tags into a template, from the form of its rendered turns.

Turns a source and the `Seam`s of rendered conversations into patched sources. These are only proposals:
inspector.tagging.write proves whether a patched source is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from inspector.strategies import Example
from inspector.tagging.answer_tags import around_answer
from inspector.tagging.source import Insert, Loop, inner_loops, insert, message_loops

AROUND_ANSWER = "tags around the answer"
CAPTURED_TURN = "captured turn"
CAPTURED_WITH_QUOTES = "captured turn, without the messages quoted in it"

_MAX_TRIES = 8
"""Maximum number of places in one loop that are tried for tags around the answer."""


class Seam(NamedTuple):
    """One rendered assistant turn: its text, and the untrained parts at both ends.

    `opening`: the part that the generation prompt supplies. `stop`: the stop token ("" without one). `after`: the text
    after it. `content`: the message's content, if it is text. `switches`: the conversation's template keywords that are
    true or false. `after_tool`: whether the previous message is a tool's result. `is_last`: whether no message follows.
    """

    text: str
    opening: str
    stop: str
    after: str
    content: str
    switches: frozenset[tuple[str, bool]]
    after_tool: bool
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A patched source, and the name of the way it was made."""

    name: str
    source: str


def seams(example: Example) -> Iterator[Seam]:
    """The assistant turns of one rendered conversation."""
    text, keywords = example.rendered.text, example.conversation.keywords
    switches = frozenset((key, value) for key, value in keywords.items() if isinstance(value, bool))
    for turn in example.turns.values():
        if turn.header is None:
            continue
        content = example.conversation.messages[turn.message_index].get("content")
        stop, end = turn.end, turn.end
        if turn.stop_span is not None:
            stop, end = turn.stop_span
        yield Seam(
            text=text[turn.start : turn.end],
            opening=text[turn.start : turn.header.end],
            stop=text[stop:end],
            after=text[end : turn.end],
            content=content if isinstance(content, str) else "",
            switches=switches,
            after_tool=turn.message_index > 0 and example.conversation.role(turn.message_index - 1) == "tool",
            is_last=turn.message_index == len(example.conversation.messages) - 1,
        )


def rewrites(source: str, found: Sequence[Seam]) -> Iterator[Rewrite]:
    """Patched sources, the most readable first. Raises TemplateSourceError if none can be made."""
    loops = message_loops(source)
    openings, stops = _longest_first(found), sorted({seam.stop for seam in found if seam.stop})
    for loop in loops:
        for patched in islice(around_answer(source, loop, openings, stops), _MAX_TRIES):
            yield Rewrite(name=AROUND_ANSWER, source=patched)
    for loop in loops:
        yield Rewrite(name=CAPTURED_TURN, source=_captured(source, [loop], found))
    if len(loops) > 1:
        yield Rewrite(name=CAPTURED_TURN, source=_captured(source, loops, found))
    for loop in loops:
        quoting = inner_loops(source, loop)
        if len(quoting) == 1:
            yield Rewrite(name=CAPTURED_WITH_QUOTES, source=_captured(source, [loop], found, quoting[0]))


# --- the whole turn, captured and written again in pieces


def _captured(source: str, loops: Sequence[Loop], found: Sequence[Seam], quoting: Loop | None = None) -> str:
    """Open a `set` block at the head of each loop's body, close it at its foot, and write the text with tags there.

    All added tags strip the whitespace around them, except the two next to the loop's own tags, which repeat their
    signs. `quoting`: an inner loop that writes other messages, whose text is kept out of the tags.
    """
    names = {name: _free_name(source, name) for name in ("turn", "start", "end", "quotes", "part")}
    inserts = []
    for loop in loops:
        margin = _margin(source, loop)
        step = "" if margin is None else f"\n{margin}    "
        opens = loop.head.opens if margin is None else "{%-"
        first = f"{step}{opens} set {names['turn']} {loop.head.closes}"
        if quoting is not None:
            first = f"{step}{{%- set {names['quotes']} = namespace(text='') -%}}{first}"
        lines = _tail(names, loop, found, has_quotes=quoting is not None)
        inserts.append(Insert(loop.head.end, first))
        foot = f"{'' if margin is None else '    '}{loop.foot.opens} endset -%}}\n"
        foot += "".join(f"{margin or ''}    {line}\n" for line in lines)
        inserts.append(Insert(loop.foot.start, foot + (margin or "")))
    if quoting is not None:
        inserts += _captured_quotes(quoting, names["quotes"])
    return insert(source, inserts)


def _tail(names: dict[str, str], loop: Loop, found: Sequence[Seam], *, has_quotes: bool) -> list[str]:
    """The lines that write a captured turn again."""
    turn, start, end = names["turn"], names["start"], names["end"]
    cases = _cases(found, loop.message, turn)
    openings = sorted({opening for case in cases for opening in case.openings}, key=lambda text: (-len(text), text))
    is_ours = f"{loop.message}['role'] == 'assistant'"
    if "" not in openings:
        is_ours += f" and {turn}.startswith({_literals(openings)})"
    lines = [f"{{%- if {is_ours} -%}}"]
    if len(openings) == 1:
        lines.append(f"    {{%- set {start} = {_literal(openings[0])} | length -%}}")
    for word, case in zip(["if", *["elif"] * len(cases)], cases if len(openings) > 1 else (), strict=False):
        chosen = f"{{%- set {start} = {_choice(((text, text) for text in case.openings), f'{turn}.startswith')} -%}}"
        opened = f"{{%- {word} {case.condition} -%}}" if case.condition else "{%- else -%}"
        lines += [f"    {chosen}"] if len(cases) == 1 else [f"    {opened}", f"        {chosen}"]
    lines += ["    {%- endif -%}"] if len(cases) > 1 else []
    closings = {(seam.stop + seam.after, seam.after) for seam in found if seam.stop and seam.after}
    closed = sorted(closings, key=lambda pair: (-len(pair[0]), pair))
    cut = f" - {_choice(closed, f'{turn}.endswith')}" if closed else ""
    if cut and all(seam.is_last != bool(seam.stop) for seam in found):  # only the last turn is left open
        cut = f" - (0 if loop.last else {_choice(closed, f'{turn}.endswith')})"
    lines += [f"    {{%- set {end} = {turn} | length{cut} -%}}", f"    {{{{- {turn}[:{start}] -}}}}"]
    can_be_empty = has_quotes or any(len(seam.text) == len(seam.opening) + len(seam.after) for seam in found)
    answer = f"{turn}[{start}:{end}]"
    if has_quotes:
        quotes, part = f"{names['quotes']}.text", names["part"]
        lines += [
            f"    {{%- for {part} in ({answer}.split({quotes}, 1) if {quotes} else [{answer}]) -%}}",
            f"        {{{{- '' if loop.first else {quotes} -}}}}",
            f"        {_tagged(part, can_be_empty=True)}",
            "    {%- endfor -%}",
        ]
    else:
        lines.append(f"    {_tagged(answer, can_be_empty=can_be_empty)}")
    if closed:
        lines.append(f"    {{{{- {turn}[{end}:] -}}}}")
    return [*lines, "{%- else -%}", f"    {{{{- {turn} -}}}}", "{%- endif -%}"]


def _tagged(expression: str, *, can_be_empty: bool) -> str:
    tagged = f"{{%- generation -%}}{{{{- {expression} -}}}}{{%- endgeneration -%}}"
    return f"{{%- if {expression} -%}}{tagged}{{%- endif -%}}" if can_be_empty else tagged


def _captured_quotes(quoting: Loop, name: str) -> list[Insert]:
    """Capture the text of an inner loop, and write it again at once."""
    again = f"{{%- endset -%}}{{{{- {name}.text -}}}}"
    if quoting.foot.closes != "-%}":  # `%}` also takes the line end after it, `}}` does not
        again = f"{{%- endset -%}}{{%- if true -%}}{{{{- {name}.text -}}}}{{%- endif {quoting.foot.closes}"
    return [
        Insert(quoting.head.start, f"{quoting.head.opens} set {name}.text -%}}"),
        Insert(quoting.foot.end, again),
    ]


# --- common parts of the seams


class Case(NamedTuple):
    """The openings to search for, longest first, if a Jinja expression is true ("": in all remaining turns)."""

    condition: str
    openings: list[str]


def _cases(found: Sequence[Seam], message: str, turn: str) -> list[Case]:
    """The openings of turns: one list, or several if the text alone does not decide.

    Qwen3's `<think>` block belongs to the prompt with `enable_thinking=False`, and to the model otherwise; Nemotron's
    `<think>` belongs to the prompt, unless the message has its own.
    """
    left, cases = list(found), []
    while wrong := _wrong(left):
        best = None
        for condition in _conditions(left, message, turn):
            with_it = [seam for seam in left if condition.holds(seam)]
            without = [seam for seam in left if not condition.holds(seam)]
            if not _wrong(with_it) and _wrong(without) < wrong:
                wrong, best = _wrong(without), (Case(condition.text, _longest_first(with_it)), without)
        if best is None:
            break
        cases.append(best[0])
        left = best[1]
    return [*cases, Case("", _longest_first(left))]


class _Condition(NamedTuple):
    """A Jinja expression, and the same in Python."""

    text: str
    holds: Callable[[Seam], bool]


def _conditions(found: Sequence[Seam], message: str, turn: str) -> Iterator[_Condition]:
    """Conditions that a template can test: the previous message, keywords, and whether the answer has the text."""
    after_tool = "loop.previtem is defined and loop.previtem['role'] == 'tool'"
    yield _Condition(after_tool, _is_after_tool)
    for switch in sorted({switch for seam in found for switch in seam.switches}):
        text = f"{switch[0]} is {str(switch[1]).lower()}"
        yield _Condition(text, partial(_is_switched, switch))
        yield _Condition(f"{text} and {after_tool}", partial(_is_switched_after_tool, switch))
    openings = _longest_first(found)
    rests = {long[len(short) :].strip() for long in openings for short in openings if short and long.startswith(short)}
    for rest in sorted(rests - {""}):
        brings = f"{message}['content'] is string and {_literal(rest)} in {message}['content']"
        yield _Condition(brings, partial(_brings, rest))
        yield _Condition(f"{brings} and {message}['content'] | trim in {turn}", partial(_brings_whole, rest))


def _is_after_tool(seam: Seam) -> bool:
    return seam.after_tool


def _is_switched(switch: tuple[str, bool], seam: Seam) -> bool:
    return switch in seam.switches


def _is_switched_after_tool(switch: tuple[str, bool], seam: Seam) -> bool:
    return switch in seam.switches and seam.after_tool


def _brings(text: str, seam: Seam) -> bool:
    return text in seam.content


def _brings_whole(text: str, seam: Seam) -> bool:
    return text in seam.content and seam.content.strip() in seam.text


def _longest_first(found: Iterable[Seam]) -> list[str]:
    return sorted({seam.opening for seam in found}, key=lambda text: (-len(text), text))


def _wrong(found: Sequence[Seam]) -> int:
    """The number of turns that begin with an opening longer than their own."""
    openings = _longest_first(found)
    return sum(next(text for text in openings if seam.text.startswith(text)) != seam.opening for seam in found)


# --- Jinja text


def _choice(pairs: Iterable[tuple[str, str]], test: str) -> str:
    """An expression: the length of the second text of the first pair whose first text passes the test, or 0."""
    cases = [f"{_literal(value)} if {test}({_literal(text)}) else " for text, value in pairs if text]
    return f"({''.join(cases)}'') | length" if cases else "0"


def _literals(texts: Sequence[str]) -> str:
    return _literal(texts[0]) if len(texts) == 1 else f"({', '.join(map(_literal, texts))})"


def _literal(text: str) -> str:
    """A Jinja string; the escapes are Python's."""
    escaped = "".join(
        character if character.isprintable() and character not in "\\'" else f"\\{character}" if character in "\\'"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )  # fmt: skip
    return f"'{escaped}'"


def _free_name(source: str, wanted: str) -> str:
    """A name that occurs nowhere in the template."""
    while re.search(rf"\b{wanted}\b", source):
        wanted += "_"
    return wanted


def _margin(source: str, loop: Loop) -> str | None:
    """The indentation of the loop's tags if each is alone on its line, else None."""
    margins = []
    for piece in (loop.head, loop.foot):
        line = source.rfind("\n", 0, piece.start) + 1
        margins.append(source[line : piece.start])
    if any(margin.strip() for margin in margins) or source[loop.head.end : loop.head.end + 1] not in ("\n", "\r"):
        return None
    return margins[0]
