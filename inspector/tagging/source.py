"""Find the loop over the messages in a chat template's source, and edit the source around it.

Turns Jinja source into positions of tags; an edit only inserts, so every character of the source stays. Raises
TemplateSourceError for a source without such a loop, or with a loop in which text cannot be captured.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MESSAGES = "messages"
"""The name of the messages in templates."""

_BLOCKS = frozenset({"for", "if", "macro", "call", "filter", "set", "generation", "block", "with", "autoescape"})
_HIDDEN = frozenset({"macro", "call", "filter", "set", "block", "generation"})
"""Tags in whose blocks transformers records wrong positions, or which may not hold a generation tag."""


class TemplateSourceError(ValueError):
    """The source has no loop over messages for generation tags; the message says why."""


class Piece(NamedTuple):
    """A tag, or the text between tags. Positions are those of the source, half open.

    `name`: the first word of a `{% %}` tag, "=" for `{{ }}`, "" for text and comments. `words`: the tokens inside the
    tag, without whitespace. `opens`, `closes`: how a tag is written (`{%-`, `%}`).
    """

    name: str
    start: int
    end: int
    words: tuple[str, ...] = ()
    opens: str = ""
    closes: str = ""

    @property
    def is_block(self) -> bool:
        """Whether the tag opens a block; `{% set a = 1 %}` does not."""
        return self.name in _BLOCKS and not (self.name == "set" and "=" in self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop over messages: `head` is its `for` tag, `foot` the tag that ends its body (`endfor` or `else`).

    `message`: the expression that is the round's message after the body. `parents`: the tags around it.
    `pieces`: the body.
    """

    head: Piece
    foot: Piece
    message: str
    parents: tuple[Piece, ...]
    pieces: tuple[Piece, ...]

    @property
    def writes(self) -> bool:
        """Whether anything in the body can write text."""
        return any(piece.name == "=" for piece in self.pieces)


class Insert(NamedTuple):
    """Text to be inserted before the character `position` of the source."""

    position: int
    text: str


def insert(source: str, inserts: Sequence[Insert]) -> str:
    """The source with all texts inserted; several for one position keep their order."""
    out, at = [], 0
    for position, text in sorted(inserts, key=lambda item: item.position):
        out += [source[at:position], text]
        at = position
    return "".join([*out, source[at:]])


def read_pieces(source: str) -> list[Piece]:
    """The source, cut into tags and text, by Jinja's own lexer. Raises Jinja's TemplateSyntaxError.

    The lexer reads every line end as one character and drops the whitespace that a `-` strips: positions are counted
    around both.
    """
    from jinja2 import Environment
    from jinja2.lexer import newline_re

    plain = newline_re.sub("\n", source)
    pairs = [match.start() - i for i, match in enumerate(re.finditer("\r\n", source))]
    pieces: list[Piece] = []
    begin = ("", 0)
    words: list[str] = []
    at = 0
    for _, kind, value in Environment(keep_trailing_newline=True).lexer.tokeniter(source, None):
        start = plain.index(value, at)
        at = start + len(value)
        if kind in ("block_begin", "variable_begin"):
            begin, words = (value, start), []
        elif kind in ("block_end", "variable_end"):
            name = words[0] if kind == "block_end" and words else "="
            end = start + len(value.rstrip())
            opens, closes = begin[0], value.rstrip()
            pieces.append(Piece(name, begin[1], end, tuple(words), opens, closes))
            begin = ("", 0)
        elif begin[0]:
            words += [] if kind == "whitespace" else [value]
        else:
            pieces.append(Piece("" if kind != "data" or not value.strip() else "=", start, at))
    return [
        piece._replace(start=_original(piece.start, pairs), end=_original(piece.end, pairs)) for piece in pieces
    ]  # fmt: skip


def _original(position: int, pairs: list[int]) -> int:
    """The position in the source of a position counted with each line end as one character."""
    return position + bisect_right(pairs, position - 1)


def without_tags(source: str) -> str:
    """The source with its generation tags replaced by tags without effect; whitespace is stripped as before."""
    out, at = [], 0
    for piece in read_pieces(source):
        if piece.name in ("generation", "endgeneration"):
            word = "if true" if piece.name == "generation" else "endif"
            out += [source[at : piece.start], f"{piece.opens} {word} {piece.closes}"]
            at = piece.end
    return "".join([*out, source[at:]])


def keywords_among(source: str, names: Iterable[str]) -> set[str]:
    """The names that the template reads before it sets them, so that a caller can set them."""
    pieces = [piece for piece in read_pieces(source) if piece.name != "macro"]
    return {name for name in names if _is_read_first(pieces, name)}


def _is_read_first(pieces: list[Piece], name: str) -> bool:
    for piece in pieces:
        uses = [at for at, word in enumerate(piece.words) if word == name and piece.words[at - 1] != "."]
        if uses:
            return piece.name not in ("set", "for") or uses[-1] > 1
    return False


def message_loops(source: str) -> list[Loop]:
    """The outermost loops over messages that write something, longest first.

    Raises TemplateSourceError if there is none, or none outside of macros and captured blocks.
    """
    pieces = read_pieces(source)
    names = _message_names(pieces)
    found = [loop for loop in _loops(pieces, names) if loop.writes]
    if not found:
        raise TemplateSourceError("The template has no loop over its messages that writes text.")
    outer = [loop for loop in found if not any(_is_inside(loop, other) for other in found)]
    usable = [loop for loop in outer if not any(tag.name in _HIDDEN for tag in loop.parents)]
    if not usable:
        where = next(tag.name for loop in outer for tag in loop.parents if tag.name in _HIDDEN)
        raise TemplateSourceError(
            f"The loop over the messages is inside a `{where}` block, where transformers records generation tags at "
            "wrong positions."
        )
    named = [loop for loop in usable if loop.message]
    if not named:
        raise TemplateSourceError(
            f"The loop `{_text(source, usable[0].head)}` has no variable for one message, so its role is unknown."
        )
    return sorted(named, key=lambda loop: loop.head.end - loop.foot.start)


def inner_loops(source: str, loop: Loop) -> list[Loop]:
    """The writing loops over messages inside the body of another one: they quote other messages there."""
    pieces = read_pieces(source)
    found = [inner for inner in _loops(pieces, _message_names(pieces)) if inner.writes and _is_inside(inner, loop)]
    return [inner for inner in found if not any(_is_inside(inner, other) for other in found)]


def _is_inside(loop: Loop, other: Loop) -> bool:
    return other.head.end <= loop.head.start and loop.foot.end <= other.foot.start


def _loops(pieces: list[Piece], names: frozenset[str]) -> Iterator[Loop]:
    stack: list[tuple[int, Piece]] = []
    feet: dict[int, int] = {}
    for index, piece in enumerate(pieces):
        if piece.is_block:
            stack.append((index, piece))
        elif piece.name == "else" and stack and stack[-1][1].name == "for":
            feet[stack[-1][0]] = index
        elif piece.name.startswith("end") and stack:
            opened, head = stack.pop()
            if head.name == "for" and _is_over(head.words, names):
                foot = feet.get(opened, index)
                body = tuple(pieces[opened + 1 : foot])
                parents = tuple(tag for _, tag in stack)
                yield Loop(
                    head=head,
                    foot=pieces[foot],
                    message=_message(head, body, names),
                    parents=parents,
                    pieces=body,
                )


def _is_over(words: tuple[str, ...], names: frozenset[str]) -> bool:
    """Whether a loop is over messages or their numbers, and not over the parts of one message."""
    over = _dotted(words[words.index("in") + 1 :])
    return any(
        word in names and over[at + 1 : at + 2] != (".",) and (over[at + 1 : at + 2] != ("[",) or ":" in over[at + 1 :])
        for at, word in enumerate(over)
    )


def _dotted(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words in which a name and its attribute are one: `ns.kept`."""
    out: list[str] = []
    for word in words:
        if len(out) > 1 and out[-1] == "." and out[-2].isidentifier():
            out[-2:] = [f"{out[-2]}.{word}"]
        else:
            out.append(word)
    return tuple(out)


def _message_names(pieces: list[Piece]) -> frozenset[str]:
    """`messages`, variables set from all or part of it (`loop_messages`), and lists built in a loop over it."""
    names = {MESSAGES}
    while True:
        found: set[str] = set()
        loops: list[bool] = []  # for each open block: whether it is a loop over messages
        for piece in pieces:
            if piece.is_block:
                loops.append(piece.name == "for" and _is_over(piece.words, frozenset(names)))
            elif piece.name.startswith("end") and loops:
                loops.pop()
            elif piece.name == "set" and "=" in piece.words:
                target, _, *value = _dotted(piece.words[1:])
                if _is_list(value, names) or (any(loops) and value[:3] == [target, "+", "["]):
                    found.add(target)
        if found <= names:
            return frozenset(names)
        names |= found


_LISTS = frozenset({"list", "reverse", "selectattr", "rejectattr", "select", "reject", "sort", "unique"})
"""Filters that turn a list of messages into another."""


def _is_list(words: Sequence[str], names: set[str]) -> bool:
    """Whether an expression is the messages, a slice of them or a list of some, not one of them or their number."""
    if not words or words[0] not in names:
        return False
    follows = words[1] if len(words) > 1 else ""
    return (
        not follows
        or (follows == "[" and ":" in words)
        or (follows == "|" and all(words[at + 1] in _LISTS for at, word in enumerate(words) if word == "|"))
    )


def _message(head: Piece, body: tuple[Piece, ...], names: frozenset[str]) -> str:
    """The expression of the round's message: the loop's variable, or `messages[i]` in a loop over numbers."""
    target = head.words[1]
    if head.words[2] != "in":
        return ""
    if "range" not in head.words:
        return target
    for piece in body:
        words = piece.words
        for at in range(len(words) - 3):
            if words[at] in names and words[at + 1 : at + 4] == ("[", target, "]"):
                return f"{words[at]}[{target}]"
    return ""


def _text(source: str, piece: Piece) -> str:
    return source[piece.start : piece.end]
