"""What is asked for each token or turn is worked out once: the cheaper ways give what the plain ones do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.inspection import Inspection
from inspector.segments import FEW_TEXTS, ids_of_texts
from inspector.strategies.base import overlapping
from inspector.strategies.markers_in_ids import find_all
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "\nHo."}] * 2
LISTS = ("ids", "trained", "labels", "straddlers", "row", "row_texts", "row_turns")

_pairs = st.tuples(st.integers(0, 12), st.integers(0, 12))
_spans = st.lists(_pairs.map(lambda pair: (min(pair), max(pair))), max_size=8)


def inspected() -> Inspection:
    """A conversation with a token that straddles a boundary."""
    return inspector.inspect(models.model("chatml"), CHAT)


def test_lists_of_an_inspection_are_made_once() -> None:
    """They are asked for in loops over tokens."""
    inspection = inspected()
    for name in LISTS:
        assert getattr(inspection, name) is getattr(inspection, name), name
    assert inspection.labels == inspection.labelled.labels(inspection.ids)


def test_what_was_made_is_not_part_of_an_inspection() -> None:
    """It is equal to one that was not asked, and its state has the fields only."""
    asked, fresh = inspected(), inspected()
    before = fresh.__getstate__()
    for name in LISTS:
        getattr(asked, name)
    assert asked.labelled == fresh.labelled
    assert asked.__getstate__().keys() == before.keys() == Inspection.__dataclass_fields__.keys()
    assert asked.to_dict() == fresh.to_dict()
    assert asked.to_dict()["ids"] is not asked.ids
    kept = pickle.loads(pickle.dumps(asked.labelled))
    assert kept == asked.labelled


@given(offsets=_spans, spans=_spans)
def test_overlaps_are_those_of_each_with_each(offsets: list[Any], spans: list[Any]) -> None:
    """In any order, touching, empty, within each other."""
    assert overlapping(offsets, spans) == [any(a < end and start < b for a, b in spans) for start, end in offsets]


@given(ids=st.lists(st.integers(0, 2), max_size=20), marker=st.lists(st.integers(0, 2), min_size=1, max_size=3))
def test_places_of_a_marker_are_all_of_them(ids: list[int], marker: list[int]) -> None:
    """Overlapping ones, too."""
    assert find_all(ids, marker) == [at for at in range(len(ids)) if ids[at : at + len(marker)] == marker]


@pytest.mark.parametrize("name", ["chatml", "llama3", "qwen3", "tiny-chat"])
def test_texts_that_share_pieces_have_the_ids_of_each_alone(name: str) -> None:
    """Prefixes of a conversation, cut anywhere: in a special token, in a character of several tokens, in a word."""
    tokenizer = models.model(name).tokenizer
    text = inspector.inspect(models.model(name), CORPUS["emoji families"]).text + "".join(models.TEXTS[:5]) + "<|im_"
    texts = [text[:end] for end in range(0, len(text), 7)] + ["", text]
    assert len(texts) > FEW_TEXTS
    alone = [list(tokenizer(one, add_special_tokens=False)["input_ids"]) for one in texts]
    assert ids_of_texts(tokenizer, texts) == alone


def test_a_token_that_is_added_later_is_known() -> None:
    """What is remembered of a tokenizer is that of its present tokens."""
    tokenizer = copy.deepcopy(models.model("chatml").tokenizer)
    texts = [f"a<|new|>b{i}" for i in range(FEW_TEXTS + 1)]
    ids_of_texts(tokenizer, texts)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    assert ids_of_texts(tokenizer, texts) == [list(tokenizer(one)["input_ids"]) for one in texts]
