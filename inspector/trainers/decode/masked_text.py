"""Texts in which each untrained token is a space: the result of `tokenizer.decode` with -100 replaced by a space.

Notebooks print the decoded row, and then its decoded labels with a space for each -100. With both, the labels are
recovered by walking through the text token by token. With the second alone, only the trained text is known.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence

from inspector.model.model import Model
from inspector.model.tokenizer import ids_alone
from inspector.strategies.base import IGNORED
from inspector.tokens import named_panics
from inspector.trainers.decode.rows import LoggedRow
from inspector.trainers.markers import pieces

_MASKING = re.compile(
    r"\bif\s+\w+\s*(?:==\s*-100|!=\s*-100|<\s*0|>=?\s*-?\d+)\s+else\b|masked_fill|np\.where\(\s*\w*labels"
)
_DECODING = re.compile(r"\bdecode\(")
_SETUP = re.compile(r"\s*(?:>>>|In\s*\[\d*\]:|space\s*=\s*tokenizer)")
_OUT = re.compile(r"^\s*Out\s*\[\d*\]:\s?")
_QUOTED = re.compile(r"\s*((['\"])(?:\\.|(?!\2)[^\\])*\2)", re.DOTALL)
_NUMBERS = re.compile(r"\s*(?:tensor\(|array\()?\[+\s*-?\d+\s*[,\s]")
_MOST_PLACES = 64


def masked_rows(model: Model, log: str, stops: Sequence[str]) -> list[LoggedRow]:
    """The row of a text in which spaces are masks; empty if the log holds no such text.

    `stops`: texts that end turns. Without the code that printed it, a text counts only if it begins with spaces and
    holds a stop.
    """
    outputs = [(text, is_masked) for text, is_masked in _outputs(log) if not _NUMBERS.match(text)]
    masked = [text for text, is_masked in outputs if is_masked]
    wholes = [text for text, is_masked in outputs if not is_masked and text.strip()]
    if not masked:
        texts = [text for text, _ in outputs] or [_literal(log)]
        masked = [text for text in texts if text.startswith("    ") and any(stop in text for stop in stops)]
        wholes = [text for text in wholes if text not in masked]
    pad = model.tokenizer.pad_token
    if pad and pad not in stops:
        masked = [text.replace(pad, " ") for text in masked]
    return [_row(model, wholes[0] if wholes else None, text) for text in masked[:1]]


def rendered_rows(model: Model, log: str, headers: Collection[str]) -> list[LoggedRow]:
    """The log itself as the text of a row, if it begins as this model's template does."""
    text = _literal(log)
    bos = model.tokenizer.bos_token or ""
    if not text.startswith(tuple(headers)) and not text.removeprefix(bos).startswith(tuple(headers)):
        return []
    return [LoggedRow(ids=_ids(model, text), from_text=True)]


def _outputs(log: str) -> Iterator[tuple[str, bool]]:
    """(the text printed by a call of decode, whether the code replaces -100), in order."""
    is_masked: bool | None = None
    lines: list[str] = []
    depth = 0
    for line in log.split("\n"):
        is_code = bool(_DECODING.search(line) or _MASKING.search(line))
        if not is_code and not depth and not _SETUP.match(line):
            lines += [line] * (is_masked is not None and not line.startswith("```"))
            continue
        if is_masked is not None and "".join(lines):
            yield _literal("\n".join(lines)), is_masked
            is_masked = None
        lines = []
        if is_code or depth:
            depth = max(0, depth + sum(line.count(mark) for mark in "([") - sum(line.count(mark) for mark in ")]"))
        if is_code:
            is_masked = bool(_MASKING.search(line)) or bool(is_masked)
    if is_masked is not None and "".join(lines):
        yield _literal("\n".join(lines)), is_masked


def _literal(text: str) -> str:
    """A text before a notebook displayed it: quoted text without its quotes and escapes."""
    shown = _OUT.sub("", text.strip("\n"))
    quoted = _QUOTED.match(shown)
    if quoted is None:
        return shown
    try:
        return str(ast.literal_eval(quoted.group(1).replace("\n", "\\n")))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return shown


def _row(model: Model, whole: str | None, masked: str) -> LoggedRow:
    if whole is not None:
        ends = [("", ""), ("\n", ""), ("", " "), ("\n", " ")]  # a copy may have lost these
        for end_of_text, end in ends:
            with named_panics(model.tokenizer):
                tokens = pieces(model, whole + end_of_text)
            labels = _aligned(tokens, masked + end)
            if labels is None:
                continue
            return LoggedRow(ids=tuple(id for id, _ in tokens), labels=labels, trainer="Unsloth", from_text=True)
    labels = ()
    for piece in re.split(r"( {2,}|^ | $)", masked):
        labels += _ids(model, piece) if piece.strip(" ") else (IGNORED,) * len(piece)
    trained = tuple(label for label in labels if label != IGNORED)
    return LoggedRow(ids=trained, labels=labels, trainer="Unsloth", is_partial=True)


def _aligned(tokens: Sequence[tuple[int, str]], masked: str) -> tuple[int, ...] | None:
    """The labels with which the tokens give the masked text; None if there are none.

    A token that is a space itself shows no difference: it gets the label of the next token.
    """
    steps: list[dict[int, list[tuple[int, bool]]]] = []
    places = {0}
    for _, text in tokens:
        came: dict[int, list[tuple[int, bool]]] = {}
        for place in places:
            if masked.startswith(text, place):
                came.setdefault(place + len(text), []).append((place, True))
            if masked.startswith(" ", place):
                came.setdefault(place + 1, []).append((place, False))
        if not came or len(came) > _MOST_PLACES:
            return None
        steps.append(came)
        places = set(came)
    ends = [place for place in places if not masked[place:].strip("\n")]
    if not ends:
        return None
    labels, place, follows = [], max(ends), False
    for came, (id, _) in zip(reversed(steps), reversed(tokens), strict=True):
        place, follows = min(came[place], key=lambda step: step[1] is not follows)
        labels.append(id if follows else IGNORED)
    return tuple(reversed(labels))


def _ids(model: Model, text: str) -> tuple[int, ...]:
    with named_panics(model.tokenizer):
        return tuple(ids_alone(model.tokenizer, text))
