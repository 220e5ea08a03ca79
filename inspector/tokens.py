"""Rendered text -> tokens, each with its characters and their origins.

The ids are those of `tokenizer.apply_chat_template(messages, tokenize=True)`: the same text, tokenized with
`add_special_tokens=False`. If an encoder writes control tokens by their ids, each text between two of them is tokenized
by itself, and message text never becomes a control token. Fast tokenizers report the characters of each token. The
others are aligned by decoding, which is verified by a round trip: if tokens cannot be aligned, TokenizationError is
raised, and nothing is guessed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from inspector.errors import TokenizationError, excerpt, short
from inspector.model.encoders import JINJA, Encoder
from inspector.model.failures import is_panic
from inspector.model.tokenizer import Tokenizer, ids_alone, once_per_tokenizer, text_of
from inspector.rendering.origins import Origin, OriginKind, Run
from inspector.rendering.rendered import Rendered

_MAX_PARTS = 12
"""Maximum number of tokens that decode to one character: 4 bytes of UTF-8, with room for unusual tokenizers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """The tokens of a rendered conversation, one entry per token in every tuple.

    `char_spans`: half-open code point ranges of the text. Tokens that together encode one character share it: their
    spans overlap.
    `runs`: the runs of the text that the token overlaps, cut to it. `special`: the id is an added token, matched
    whole in the text before the rest is split; `control`: one of those that the tokenizer declares special.
    `uncovered`: character ranges that no token covers (a tokenizer that drops or normalises text away).
    `has_offsets`: False if the spans were found by decoding.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    char_spans: tuple[tuple[int, int], ...]
    runs: tuple[tuple[Run, ...], ...]
    special: tuple[bool, ...]
    control: tuple[bool, ...]
    uncovered: tuple[tuple[int, int], ...]
    has_offsets: bool

    def __len__(self) -> int:
        return len(self.ids)

    def origins(self, index: int) -> list[Origin]:
        """The distinct origins of a token's characters, in order."""
        return list(dict.fromkeys(run.origin for run in self.runs[index]))

    def turn(self, index: int) -> int | None:
        """The message in whose turn a token begins; None for the template's own text."""
        return next((run.turn for run in self.runs[index]), None)

    def pieces(self) -> list[str]:
        """The text of each token without characters that an earlier token has.

        Joined with `uncovered`, they are the text.
        """
        out, shown = [], 0
        for (start, end), text in zip(self.char_spans, self.texts, strict=True):
            out.append(text[max(0, shown - start) :])
            shown = max(shown, end)
        return out

    def is_part(self, index: int) -> bool:
        """Whether this token encodes only a part of a character, which it shares with a neighbour."""
        start, end = self.char_spans[index]
        before = index > 0 and self.char_spans[index - 1][1] > start
        after = index + 1 < len(self.ids) and self.char_spans[index + 1][0] < end
        return before or after

    def is_straddler(self, index: int) -> bool:
        """Whether a token merges text across a boundary: a message's with the template's, or two fields' text."""
        return len({owner(run.origin) for run in self.runs[index]}) > 1


def owner(origin: Origin) -> tuple[OriginKind, int | None, str | None]:
    """The key that must not change within a token: message text and its top-level field; all template lines are one."""
    if origin.kind is OriginKind.MESSAGE:
        return origin.kind, origin.message_index, origin.top_field
    return OriginKind.TEMPLATE, None, None


@contextmanager
def named_panics(tokenizer: Tokenizer) -> Iterator[None]:
    """Turn a panic of the tokenizers library in the block into a TokenizationError."""
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise TokenizationError(
            f"The tokenizer of {tokenizer.name_or_path!r} gave up on the text: {short(str(error), 200)}. Its "
            "normalizer or pre-tokenizer cannot cope with it: shorten what repeats, or use another model."
        ) from None


def tokenize(tokenizer: Tokenizer, rendered: Rendered, encoder: Encoder = JINJA) -> TokenTable:
    """Tokenize rendered text as an encoder does. Raises TokenizationError if tokens and text cannot be aligned."""
    if encoder.text_becomes_control:
        return table_of(tokenizer, rendered, *encoded(tokenizer, rendered.text))
    return table_of(tokenizer, rendered, *_encode_pieces(tokenizer, rendered), True)


def ids_by(encoder: Encoder, tokenizer: Tokenizer, rendered: Rendered) -> list[int]:
    """Only the ids that `tokenize` gives."""
    if encoder.text_becomes_control:
        return ids_alone(tokenizer, rendered.text)
    return _encode_pieces(tokenizer, rendered)[0]


def table_of(
    tokenizer: Tokenizer, rendered: Rendered, ids: Sequence[int], spans: list[tuple[int, int]], has_offsets: bool
) -> TokenTable:
    """The table of ids with known characters: `spans`, one per token, never go back."""
    added = tokenizer.added_tokens_decoder
    control_ids = frozenset(id for id, token in added.items() if token.special) | frozenset(tokenizer.all_special_ids)
    return TokenTable(
        ids=tuple(ids),
        texts=tuple(rendered.text[start:end] for start, end in spans),
        char_spans=tuple(spans),
        runs=tuple(_overlapping(rendered, spans)),
        control=tuple(token in control_ids for token in ids),
        special=tuple(token in control_ids or token in added for token in ids),
        uncovered=tuple(_gaps(spans, len(rendered.text))),
        has_offsets=has_offsets,
    )


def decoded(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]], bool]:
    """(the text of ids, the characters of each, whether the tokenizer gives these ids for the text, with offsets).

    If it gives others, each token is decoded after the previous one; tokens that form one character share it.
    """
    text = text_of(tokenizer, ids)
    if tokenizer.is_fast:
        own, spans, _ = encoded(tokenizer, text)
        if own == list(ids):
            return text, spans, True
    pieces: list[str] = []
    spans, position, before, start = [], 0, 0, 0
    for end in range(1, len(ids) + 1):
        known = text_of(tokenizer, ids[before:start])
        both = text_of(tokenizer, ids[before:end])
        piece = both[len(known) :] if both.startswith(known) else text_of(tokenizer, ids[start:end])
        if piece.endswith("\ufffd") and end - start < _MAX_PARTS and end < len(ids):
            continue
        spans += [(position, position + len(piece))] * (end - start)
        pieces.append(piece)
        position, before, start = position + len(piece), start, end
    return "".join(pieces), spans, False


def encoded(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]], bool]:
    """(the ids of a text alone, the characters of each, whether the tokenizer told those itself).

    Raises TokenizationError as `tokenize`.
    """
    if tokenizer.is_fast:
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoding["input_ids"]), _ordered(encoding["offset_mapping"]), True
    ids = ids_alone(tokenizer, text)
    return ids, _aligned_by_decoding(tokenizer, text, ids), False


def _encode_pieces(tokenizer: Tokenizer, rendered: Rendered) -> tuple[list[int], list[tuple[int, int]]]:
    """The ids and spans of a text in which only the template's control tokens count as such."""
    controls, as_text = control_tokens(tokenizer), _as_text(tokenizer)
    ids: list[int] = []
    spans: list[tuple[int, int]] = []

    def add_text(start: int, end: int) -> None:
        encoding = as_text.encode(rendered.text[start:end], add_special_tokens=False)
        ids.extend(encoding.ids)
        spans.extend((start + first, start + last) for first, last in _ordered(encoding.offsets))

    position = 0
    for start, end in _template_stretches(rendered):
        for found in controls.finditer(rendered.text, start, end):
            add_text(position, found.start())
            ids.append(tokenizer.convert_tokens_to_ids(found[0]))
            spans.append(found.span())
            position = found.end()
    add_text(position, len(rendered.text))
    return ids, spans


def _template_stretches(rendered: Rendered) -> Iterator[tuple[int, int]]:
    """The longest stretches of text that no message wrote."""
    for is_message, group in groupby(rendered.spans(), lambda span: span[2].origin.kind is OriginKind.MESSAGE):
        spans = list(group)
        if not is_message:
            yield spans[0][0], spans[-1][1]


@once_per_tokenizer
def control_tokens(tokenizer: Tokenizer) -> re.Pattern[str]:
    """A pattern for a tokenizer's special tokens in a text, longest first."""
    texts = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or r"(?!)")


@once_per_tokenizer
def _as_text(tokenizer: Tokenizer) -> Any:
    """A copy of a tokenizer's backend that reads special tokens as text."""
    backend = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.encode_special_tokens = True
    return backend


def _ordered(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets with starts that never go back.

    Some tokenizers report an empty or an earlier span for the parts of one character: these get the span of the
    previous part.
    """
    out: list[tuple[int, int]] = []
    for start, end in offsets:
        previous = out[-1] if out else (0, 0)
        if start < previous[0] or end < previous[1]:
            start, end = previous
        out.append((start, end))
    return out


def _aligned_by_decoding(tokenizer: Tokenizer, text: str, ids: list[int]) -> list[tuple[int, int]]:
    """Spans of a tokenizer without offsets: the shortest groups of tokens that decode to the next text."""
    spans: list[tuple[int, int]] = []
    position, group = 0, 0
    for index in range(len(ids)):
        decoded = tokenizer.decode(
            ids[group : index + 1], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        found = (len(piece) for piece in (decoded, " " + decoded) if piece and text.startswith(piece, position))
        size = next(found, None)  # a part of a character may decode to nothing at all
        if size is None or "\ufffd" in decoded:
            if index - group + 1 >= _MAX_PARTS:
                break
            continue
        spans += [(position, position + size)] * (index - group + 1)
        position, group = position + size, index + 1
    if len(spans) != len(ids) or position != len(text):
        raise TokenizationError(
            f"{type(tokenizer).__name__} reports no character offsets, and decoding its tokens does not give the text "
            f"back: they part at character {position} ({excerpt(text, position)}, token "
            f"{min(len(spans), len(ids))} of {len(ids)}). Its tokens cannot be shown over the text; use the model's "
            "fast tokenizer."
        )
    return spans


def _overlapping(rendered: Rendered, spans: list[tuple[int, int]]) -> Iterator[tuple[Run, ...]]:
    """Yield, for each span, the parts of the runs that it overlaps. One sweep: spans never go back."""
    runs = list(rendered.spans())
    first = 0
    for start, end in spans:
        while first < len(runs) and runs[first][1] <= start:
            first += 1
        parts, at = [], first
        while at < len(runs) and runs[at][0] < end:
            run_start, run_end, run = runs[at]
            low, high = max(start, run_start), min(end, run_end)
            if low < high:
                parts.append(run.cut(low - run_start, high - run_start))
            at += 1
        yield tuple(parts)


def _gaps(spans: list[tuple[int, int]], length: int) -> Iterator[tuple[int, int]]:
    reached = 0
    for start, end in spans:
        if start > reached:
            yield reached, start
        reached = max(reached, end)
    if reached < length:
        yield reached, length
