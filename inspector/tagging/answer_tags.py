"""Puts generation tags where a person would: in the assistant's branch, around the answer and its stop token.

Turns a source into patched sources in which one output is cut in two before the answer and one after the stop token.
That is possible if both are in the branch itself, not in an inner branch or loop. As in inspector.tagging.rewrites, the
result is a proposal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from inspector.tagging.source import Loop, Piece

_OPAQUE = frozenset(("if", "else", "or", "and", "not", "in", "is", ",", "-", "*", "/", "//", "%", "**"))
_OPAQUE |= {"==", "!=", "<", ">", "<=", ">="}
"""Operators that bind weaker than `+`, or differently: such an expression is not cut."""

_CHARACTER = re.compile(r"\\(?:x..|u.{4}|U.{8}|[0-7]{1,3}|.)|.", re.DOTALL)
"""One character of a string as it is written."""

_NEEDED = 3
"""Number of characters before a cut that must match the end of an opening, or all if there are fewer."""


class Cut(NamedTuple):
    """A place for a tag: `source[start:end]` is replaced by `left`, the tag, and `right`.

    `before`: the text in front.
    """

    start: int
    end: int
    left: str
    right: str
    before: str


def around_answer(source: str, loop: Loop, openings: Sequence[str], stops: Sequence[str]) -> Iterator[str]:
    """Patched sources.

    `openings`: the parts of turns that the generation prompt supplies; `stops`: the stop tokens' texts.
    """
    for branch in _assistant_branches(loop):
        cuts = [cut for piece in branch for cut in _cuts(source, piece, stops)]
        for first in cuts:
            if not any(_agrees(first.before, opening) for opening in openings):
                continue
            for last in cuts:
                if first.end <= last.start and (last.before in stops or last.before == "eos_token"):
                    yield "".join(
                        [
                            source[: first.start],
                            _tag(first, "generation"),
                            source[first.end : last.start],
                            _tag(last, "endgeneration"),
                            source[last.end :],
                        ]
                    )


def _agrees(before: str, opening: str) -> bool:
    if not opening:
        return not before
    needed = min(len(before), len(opening), _NEEDED)
    return needed > 0 and before[-needed:] == opening[-needed:]


def _tag(cut: Cut, word: str) -> str:
    """The tag between the two halves; in text it strips nothing."""
    return f"{cut.left}{{%- {word} -%}}{cut.right}" if cut.left or cut.right else f"{{% {word} %}}"


def _assistant_branches(loop: Loop) -> Iterator[list[Piece]]:
    """The pieces in a branch for the assistant's role, except those inside further blocks."""
    for at, tag in enumerate(loop.pieces):
        is_ours = any(word in ("'assistant'", '"assistant"') for word in tag.words) and "==" in tag.words
        if tag.name not in ("if", "elif") or not is_ours:
            continue
        depth = 0
        branch: list[Piece] = []
        for piece in loop.pieces[at + 1 :]:
            if depth == 0 and (piece.name in ("elif", "else") or piece.name.startswith("end")):
                break
            depth += piece.is_block
            depth -= piece.name.startswith("end")
            if depth == 0:
                branch.append(piece)
        yield branch


def _cuts(source: str, piece: Piece, stops: Sequence[str]) -> Iterator[Cut]:
    """The places around and in one piece: after an operand, and in a string after each of its characters."""
    if not piece.opens:  # text between tags
        text = source[piece.start : piece.end]
        for stop in stops:
            at = text.find(stop)
            if at >= 0:
                yield Cut(piece.start + at + len(stop), piece.start + at + len(stop), "", "", stop)
        yield Cut(piece.end, piece.end, "", "", text)
    if piece.name != "=" or not piece.opens:
        return
    yield Cut(piece.start, piece.start, "", "", "")
    operands = _operands(source, piece)
    for at, (start, end) in enumerate(operands):
        value = _string(source[start:end])
        if value is not None:
            yield from _cuts_in_string(source[start:end], start)
        before = value if value is not None else source[start:end]
        if at + 1 < len(operands):
            yield Cut(end, operands[at + 1][0], " -}}", "{{- ", before)
        else:
            yield Cut(piece.end, piece.end, "", "", before)


def _cuts_in_string(literal: str, start: int) -> Iterator[Cut]:
    quote, at, shown = literal[0], start + 1, ""
    characters = _CHARACTER.findall(literal[1:-1])
    for written in characters[:-1]:
        at += len(written)
        shown += _string(f"{quote}{written}{quote}") or ""
        yield Cut(at, at, f"{quote} -}}}}", f"{{{{- {quote}", shown)


def _operands(source: str, piece: Piece) -> list[tuple[int, int]]:
    """The positions of the operands of `+` and `~` at the top of an expression.

    The whole expression if it has others.
    """
    at = piece.start + len(piece.opens)
    depth = 0
    found: list[tuple[int, int]] = []
    start = end = -1
    for word in piece.words:
        at = source.index(word, at)
        depth += word in ("(", "[", "{")
        depth -= word in (")", "]", "}")
        if depth == 0 and word in _OPAQUE:
            return []
        if depth == 0 and word in ("+", "~"):
            found.append((start, end))
            start = -1
        else:
            start = at if start < 0 else start
            end = at + len(word)
        at += len(word)
    return [*found, (start, end)] if start >= 0 else []


def _string(literal: str) -> str | None:
    """The text of a string as Jinja reads it; None for any other expression."""
    if len(literal) < 2 or literal[0] not in "'\"" or literal.find(literal[0], 1) != len(literal) - 1:
        return None
    return literal[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")
