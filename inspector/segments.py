"""Texts that share long segments, tokenized once: system prompts, tool schemas.

A tokenizer cuts a text at its added tokens first and tokenizes what stands between them by itself, so the ids of a text
are those of its segments in a row, if nothing in the tokenizer looks across an added token. Where something might
(stripping added tokens, prefix spaces, a normalizer), no segment is ever taken from the cache.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

SHORTEST = 256
"""Characters from which on a segment is worth remembering."""
REMEMBERED = 256
"""Segments kept with their tokens."""
SEEN = 20_000
"""Hashes kept of segments that were seen once."""


@dataclass(slots=True)
class Segment:
    """A stretch of text and its tokens. `size`: of ids; `special`: how many of them are special tokens, but
    whitespace; `is_whole`: no gaps."""

    encoding: Any
    length: int
    size: int
    special: int
    is_whole: bool


@dataclass(slots=True)
class Encoded:
    """A text's tokens, in segments. Positions are characters of the whole text, tokens count over all of it."""

    segments: list[Segment]
    chars: list[int]
    tokens: list[int]

    @classmethod
    def of(cls, segments: list[Segment]) -> Encoded:
        """The segments in a row."""
        chars = [0, *accumulate(segment.length for segment in segments)]
        tokens = [0, *accumulate(segment.size for segment in segments)]
        return cls(segments, chars, tokens)

    @property
    def size(self) -> int:
        """The number of ids."""
        return self.tokens[-1]

    @property
    def special(self) -> int:
        """How many of them are special tokens, other than whitespace."""
        return sum(segment.special for segment in self.segments)

    @property
    def is_whole(self) -> bool:
        """Whether every character is in a token."""
        return all(segment.is_whole for segment in self.segments)

    @property
    def ids(self) -> list[int]:
        """All ids."""
        return [id for segment in self.segments for id in segment.encoding.ids]

    def token_at(self, position: int) -> int | None:
        """The token that begins exactly at a character, with no token across it; None when there is none."""
        at = min(bisect_right(self.chars, position) - 1, len(self.segments) - 1)
        encoding, inside = self.segments[at].encoding, position - self.chars[at]
        token = encoding.char_to_token(inside)
        if token is None or encoding.token_to_chars(token)[0] != inside:
            return None
        if token and encoding.token_to_chars(token - 1)[1] > inside:
            return None
        return self.tokens[at] + int(token)


class SegmentCache:
    """Encodes texts with a fast tokenizer; long segments that come again are tokenized once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        blank = {id for id, token in added.items() if not token.content.strip()}  # Gemma's "\n\n" is an added token
        self._special = (frozenset(added) | frozenset(tokenizer.all_special_ids)) - blank
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        self._covers_all = described.get("normalizer") is None and "ByteLevel" in json.dumps(described["pre_tokenizer"])
        self._pattern = _added_pattern(described) if _is_separable(described) else None
        self._kept: OrderedDict[str, Segment] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of each text: those of `tokenizer(text, add_special_tokens=False)`."""
        plans = [self._plan(text) for text in texts]
        wanted = list(dict.fromkeys(piece for plan in plans for piece in plan if piece not in self._kept))
        fresh = dict(zip(wanted, self._encode(wanted), strict=True))
        out = [Encoded.of([fresh.get(piece) or self._kept[piece] for piece in plan]) for plan in plans]
        for piece, segment in fresh.items():
            if hash(piece) in self._seen and len(piece) >= SHORTEST:
                self._kept[piece] = segment
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return out

    def _plan(self, text: str) -> list[str]:
        """The pieces to encode: the whole text, or its segments when a long one of them is known."""
        if self._pattern is None or len(text) < SHORTEST:
            return [text]
        pieces = [piece for piece in self._pattern.split(text) if piece]
        is_known = False
        for piece in pieces:
            if len(piece) < SHORTEST:
                continue
            if piece in self._kept:
                self._kept.move_to_end(piece)
                is_known = True
            elif hash(piece) in self._seen:
                is_known = True
            else:
                self._seen[hash(piece)] = None
                if len(self._seen) > SEEN:
                    self._seen.popitem(last=False)
        return pieces if is_known else [text]

    def _encode(self, texts: list[str]) -> list[Segment]:
        if not texts:
            return []
        encoded = self._tokenizer(texts, padding=False, truncation=False, add_special_tokens=False, verbose=False)
        return [self._segment(text, encoding) for text, encoding in zip(texts, encoded.encodings, strict=True)]

    def _segment(self, text: str, encoding: Any) -> Segment:
        ids = encoding.ids
        special = sum(map(self._special.__contains__, ids))
        is_whole = self._covers_all or _is_whole(encoding.offsets, len(text))
        return Segment(encoding, len(text), len(ids), special, is_whole)


def _is_separable(described: dict[str, Any]) -> bool:
    """Whether what stands between two added tokens is tokenized by itself, whatever stands around it."""
    added = described.get("added_tokens") or []
    strips = any(token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"] for token in added)
    steps = described.get("pre_tokenizer") or {}
    kinds = [step["type"] for step in steps.get("pretokenizers", [steps])]
    prefixed = '"add_prefix_space": true' in json.dumps(steps)
    normalizer = (described.get("normalizer") or {"type": "NFC"})["type"]
    return not strips and not prefixed and kinds[-1:] == ["ByteLevel"] and normalizer == "NFC" and bool(added)


def _added_pattern(described: dict[str, Any]) -> re.Pattern[str]:
    texts = sorted((token["content"] for token in described["added_tokens"]), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, texts))})")


def _is_whole(offsets: Sequence[tuple[int, int]], length: int) -> bool:
    reached = 0
    for start, end in offsets:
        if start > reached:
            return False
        reached = max(reached, end)
    return reached == length
