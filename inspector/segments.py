"""Finds the starts of tokens in many texts fast: byte lengths replace offsets, and shared segments are tokenized once.

There are two shortcuts. Each is used only if the tokenizer's description allows it, and tests prove each equal. Tokens
of byte-level BPE have as many bytes as their vocabulary entries have letters, so their places follow from the ids. And
a tokenizer first splits a text at its added tokens, so a long segment between two of them (a system prompt, a tool
schema) has the same ids in every text, if nothing in the tokenizer looks across.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from unicodedata import is_normalized

import numpy as np
from numpy.typing import NDArray

from inspector.model.tokenizer import Tokenizer, once_per_tokenizer

SHORTEST = 256
"""Minimum characters of a segment that is worth caching."""
REMEMBERED = 256
"""Maximum number of cached segments."""
FEW_TEXTS = 8
"""Up to this many texts are tokenized whole."""
SEEN = 20_000
"""Maximum number of hashes of segments that were seen once."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A stretch of text and its tokens. Positions are in the cache's unit (see `SegmentCache.measure`).

    `starts`: the start of each token; `is_clean`: whether no earlier token reaches over that place, None if this holds
    for all. `special`: the number of special tokens other than whitespace. `is_whole`: whether all of the text is in
    tokens.
    """

    ids: Sequence[int]
    length: int
    starts: NDArray[np.int64]
    is_clean: NDArray[np.bool_] | None
    special: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's tokens, in segments."""

    segments: Sequence[Segment]

    @property
    def size(self) -> int:
        """The number of ids."""
        return sum(len(segment.ids) for segment in self.segments)

    @property
    def special(self) -> int:
        """The number of special tokens other than whitespace."""
        return sum(segment.special for segment in self.segments)

    @property
    def is_whole(self) -> bool:
        """Whether all of the text is in tokens."""
        return all(segment.is_whole for segment in self.segments)

    @property
    def ids(self) -> list[int]:
        """All ids."""
        return [id for segment in self.segments for id in segment.ids]

    def tokens_at(self, positions: Sequence[int]) -> list[int] | None:
        """The tokens that begin exactly at these positions, in order.

        None if none begins at one, or a token crosses one.
        """
        bounds = [0, *accumulate(segment.length for segment in self.segments)]
        first = [0, *accumulate(len(segment.ids) for segment in self.segments)]
        out: list[int] = []
        at = 0
        while at < len(positions):
            number = min(bisect_right(bounds, positions[at]), len(self.segments)) - 1
            end = at + 1
            while end < len(positions) and positions[end] < bounds[number + 1]:
                end += 1
            segment = self.segments[number]
            wanted = np.asarray(positions[at:end]) - bounds[number]
            tokens = np.searchsorted(segment.starts, wanted)
            if not len(segment.starts) or tokens[-1] >= len(segment.starts):
                return None
            if (segment.starts[tokens] != wanted).any():
                return None
            if segment.is_clean is not None and not segment.is_clean[tokens].all():
                return None
            out += (tokens + first[number]).tolist()
            at = end
        return out


def ids_of_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, `tokenizer(text, add_special_tokens=False)`; shared segments are tokenized once.

    If the tokenizer may look across an added token, or there are only a few texts, each is tokenized whole.
    """
    pattern = _pattern_of(tokenizer) if len(texts) > FEW_TEXTS else None
    plans = [[text] if pattern is None else [piece for piece in pattern.split(text) if piece] for text in texts]
    pieces = list(dict.fromkeys(piece for plan in plans for piece in plan))
    if not pieces:
        return [[] for _ in texts]
    called = tokenizer(pieces, add_special_tokens=False, padding=False, truncation=False, verbose=False)
    known = dict(zip(pieces, called["input_ids"], strict=True))
    return [[id for piece in plan for id in known[piece]] for plan in plans]


@once_per_tokenizer
def _pattern_of(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """A pattern for the added tokens of a tokenizer, if texts can be split at them; otherwise None."""
    described = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    is_plain = tokenizer.is_fast and _byte_lengths(tokenizer, described) is not None
    return _added_pattern(described) if is_plain and _is_separable(described) else None


class SegmentCache:
    """Encodes texts with a fast tokenizer; long segments that recur are tokenized once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        described = json.loads(tokenizer.backend_tokenizer.to_str())
        self._is_nfc = (described.get("normalizer") or {}).get("type") == "NFC"
        self._byte_lengths = _byte_lengths(tokenizer, described)
        self._special = _special(tokenizer)
        self._pattern = _added_pattern(described) if _is_separable(described) else None
        self._thread = ThreadPoolExecutor(1, "tokenizer")
        self._kept: OrderedDict[str, Segment] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()

    def measure(self, text: str) -> int:
        """The length of a text in the unit of all positions: bytes of UTF-8, or characters."""
        return len(text) if self._byte_lengths is None or text.isascii() else len(text.encode())

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """The tokens of each text: those of `tokenizer(text, add_special_tokens=False)`."""
        return self.begin(texts)()

    def begin(self, texts: Sequence[str]) -> Callable[[], list[Encoded]]:
        """Begin to tokenize in a thread; returns a function that waits for it and returns the result of `encode`."""
        plans = [self._plan(text) for text in texts]
        pieces = dict.fromkeys(piece for plan in plans for piece in plan)
        known = {piece: self._kept[piece] for piece in pieces if piece in self._kept}
        wanted = [piece for piece in pieces if piece not in known]
        encodings = self._thread.submit(self._encodings, wanted)

        def end() -> list[Encoded]:
            segment_of = self._by_offsets if self._byte_lengths is None else self._by_bytes
            fresh = {text: segment_of(text, one) for text, one in zip(wanted, encodings.result(), strict=True)}
            self._keep(fresh)
            segments = known | fresh
            return [Encoded([segments[piece] for piece in plan]) for plan in plans]

        return end

    def _keep(self, fresh: Mapping[str, Segment]) -> None:
        """Cache the long segments that were seen before."""
        for piece, segment in fresh.items():
            if len(piece) >= SHORTEST and hash(piece) in self._seen:
                self._kept[piece] = segment
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    def _plan(self, text: str) -> list[str]:
        """The pieces to encode: the whole text, or its segments if a long one of them is known."""
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

    def _encodings(self, texts: list[str]) -> Sequence[Any]:
        if self._byte_lengths is not None:
            return list(self._tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        if not texts:
            return []  # transformers refuses an empty batch
        called = self._tokenizer(texts, padding=False, truncation=False, add_special_tokens=False, verbose=False)
        return list(called.encodings)

    def _by_bytes(self, text: str, encoding: Any) -> Segment:
        assert self._byte_lengths is not None
        ids = encoding.ids
        index = np.asarray(ids, dtype=np.int64)
        lengths = self._byte_lengths[index]
        ends = np.cumsum(lengths)
        length = self.measure(text)
        is_whole = bool(len(ids)) and int(ends[-1]) == length and (not self._is_nfc or is_normalized("NFC", text))
        return Segment(ids, length, ends - lengths, None, int(np.count_nonzero(self._special[index])), is_whole)

    def _by_offsets(self, text: str, encoding: Any) -> Segment:
        spans = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
        reached = np.maximum.accumulate(np.concatenate((np.zeros(1, dtype=np.int64), spans[:, 1])))
        starts, before = spans[:, 0], reached[:-1]
        is_whole = bool((starts <= before).all()) and int(reached[-1]) == len(text)
        is_clean = before <= starts
        special = int(self._special[np.asarray(encoding.ids, dtype=np.int64)].sum())
        return Segment(encoding.ids, len(text), np.maximum.accumulate(starts), is_clean, special, is_whole)


def _special(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Id -> whether it is a special token, other than whitespace: Gemma's "\\n\\n" is an added token."""
    added = tokenizer.added_tokens_decoder
    blank = {id for id, token in added.items() if not token.content.strip()}
    special = (set(added) | set(tokenizer.all_special_ids)) - blank
    table = np.zeros(max(len(tokenizer), *special, 1) + 1, dtype=np.bool_)
    table[list(special)] = True
    return table


def _byte_lengths(tokenizer: Tokenizer, described: dict[str, Any]) -> NDArray[np.int64] | None:
    """Id -> the number of bytes of its text; None if ids do not show it, or the class works differently."""
    from transformers import PreTrainedTokenizerFast

    encode_plus = getattr(type(tokenizer), "_encode_plus", None)
    is_plain = encode_plus is PreTrainedTokenizerFast._encode_plus
    if not is_plain or not _is_byte_level(described) or getattr(tokenizer, "split_special_tokens", False):
        return None
    vocabulary = tokenizer.get_vocab()
    lengths = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for text, id in vocabulary.items():
        lengths[id] = len(text)
    for id, token in tokenizer.added_tokens_decoder.items():
        lengths[id] = len(token.content.encode())
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return lengths


def _is_byte_level(described: dict[str, Any]) -> bool:
    """Whether tokens are runs of bytes, every byte of the text in one of them."""
    steps = described.get("pre_tokenizer") or {}
    kinds = [step["type"] for step in steps.get("pretokenizers", [steps])] if steps else []
    kept = all(step.get("behavior", "Isolated") == "Isolated" for step in steps.get("pretokenizers", [steps]))
    prefixed = '"add_prefix_space": true' in json.dumps(steps)
    normalizer = (described.get("normalizer") or {"type": "NFC"})["type"]
    return kinds[-1:] == ["ByteLevel"] and kept and not prefixed and normalizer == "NFC" and not _strips(described)


def _is_separable(described: dict[str, Any]) -> bool:
    """Whether the text between two added tokens is tokenized by itself, whatever surrounds it."""
    return _is_byte_level(described) and bool(described.get("added_tokens"))


def _strips(described: dict[str, Any]) -> bool:
    """Whether an added token consumes text around it, or is searched for in normalised text."""
    added = described.get("added_tokens") or []
    return any(token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"] for token in added)


def _added_pattern(described: dict[str, Any]) -> re.Pattern[str]:
    texts = sorted((token["content"] for token in described["added_tokens"]), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, texts))})")
