"""Modifiers only take tokens out of training, and say why."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.errors import StrategyError
from inspector.inspection import Inspection
from inspector.strategies import Example, Keep, Labelled, Reason
from inspector.strategies.modifiers import (
    flagged_only,
    kept_range,
    last_response_only,
    last_turn_only,
    pack,
    truncated,
)
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = CORPUS["two turns"]


def look(name: str, strategy: str = "traced") -> Inspection:
    """Inspect a conversation of the corpus with ChatML."""
    return inspector.inspect(models.model("chatml"), CORPUS[name], strategy)


def trained(example: Example, labelled: Labelled) -> str:
    """The trained text."""
    pairs = zip(example.tokens.texts, labelled.trained, strict=True)
    return "".join(piece for piece, bit in pairs if bit)


def test_last_response_only_keeps_the_last_answer() -> None:
    """The turn of the last assistant message, whatever follows it."""
    seen = look("ends in a question")
    kept = last_response_only(seen.example, seen.labelled)
    assert trained(seen.example, kept) == "The Nile.<|im_end|>"
    assert kept.reasons.count(Reason.POLICY) > 0
    question = look("question only", "full")
    assert not any(last_response_only(question.example, question.labelled).trained)


def test_last_turn_only_keeps_what_follows_the_last_question() -> None:
    """Two answers in a row both stay; a chat that ends in a question keeps nothing."""
    seen = look("consecutive assistants")
    assert last_turn_only(seen.example, seen.labelled).trained == seen.labelled.trained
    two = look("two turns")
    assert trained(two.example, last_turn_only(two.example, two.labelled)) == "The Nile.<|im_end|>"
    asked = look("ends in a question")
    assert not any(last_turn_only(asked.example, asked.labelled).trained)
    alone = look("assistant alone")
    assert last_turn_only(alone.example, alone.labelled) == alone.labelled


def test_flagged_only_leaves_out_messages_that_say_no() -> None:
    """Also of a strategy that knows no flags."""
    seen = look("per-message flags", "full")
    kept = flagged_only(seen.example, seen.labelled)
    assert "Danube" not in trained(seen.example, kept)
    assert "The Nile." in trained(seen.example, kept)
    assert "Vienna" not in trained(seen.example, kept)


def test_truncation_keeps_one_end() -> None:
    """And the first token that is left has nothing before it."""
    seen = look("two turns", "full")
    count = len(seen.ids)
    start = truncated(seen.labelled, 5)
    assert start.reasons[5:] == (Reason.CUT,) * (count - 5)
    assert start.trained[:5] == (False, True, True, True, True)
    end = truncated(seen.labelled, 5, "keep_end")
    assert end.reasons[: count - 5] == (Reason.CUT,) * (count - 5)
    assert end.reasons[count - 5] is Reason.FIRST_TOKEN
    assert end.trained[count - 4 :] == (True,) * 4
    assert truncated(seen.labelled, None) == seen.labelled


def test_truncation_refuses_unknown_modes_and_lengths() -> None:
    """With the value in the message."""
    with pytest.raises(ValueError, match="mode is 'keep_middle'"):
        kept_range(5, 3, "keep_middle")
    with pytest.raises(ValueError, match="max_length is 0"):
        kept_range(5, 0)


@given(st.integers(0, 30), st.integers(1, 40), st.sampled_from(["keep_start", "keep_end"]))
def test_truncation_keeps_a_slice(count: int, length: int, mode: str) -> None:
    """The same tokens as the slices that trainers take."""
    row = list(range(count))
    expected = row[:length] if mode == "keep_start" else row[-length:]
    assert list(kept_range(count, length, mode)) == expected


@given(st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=5))
def test_packed_rows_can_be_told_apart(rows: list[list[int]]) -> None:
    """Boundaries cut the ids into the rows again; each row's first label is ignored and its positions start at 0."""
    packed = pack([(row, row) for row in rows])
    bounds = list(zip(packed.boundaries, packed.boundaries[1:], strict=False))
    assert [list(packed.ids[a:b]) for a, b in bounds] == [row for row in rows if row]
    assert all(packed.labels[a] == -100 and packed.labels[a + 1 : b] == packed.ids[a + 1 : b] for a, b in bounds)
    assert all(list(packed.position_ids[a:b]) == list(range(b - a)) for a, b in bounds)


def test_packing_refuses_rows_that_do_not_fit_their_labels() -> None:
    """The row is named."""
    with pytest.raises(ValueError, match="row 1 has 2 ids and 1 labels"):
        pack([([1], [1]), ([1, 2], [1])])


# --- as inspect takes them


@pytest.mark.parametrize("keep", list(Keep))
def test_inspect_applies_what_is_named(keep: Keep) -> None:
    """The same as the functions themselves, by name, after any strategy."""
    functions = {
        Keep.ALL: lambda example, labelled: labelled,
        Keep.LAST_RESPONSE: last_response_only,
        Keep.LAST_TURN: last_turn_only,
        Keep.FLAGGED: flagged_only,
        Keep.PROMPT_TOO: lambda example, labelled: labelled,
    }
    for name, strategy in ((name, strategy) for name in ("two turns", "own flags") for strategy in ("traced", "full")):
        if name not in CORPUS:
            continue
        whole = look(name, strategy)
        seen = inspector.inspect(models.model("chatml"), CORPUS[name], strategy, {"keep": keep.value, "max_length": 20})
        expected = truncated(functions[keep](whole.example, whole.labelled), 20)
        assert seen.labelled.trained == expected.trained
        assert seen.row == (whole.ids[:20], expected.labels(whole.ids)[:20])
        assert seen.modifiers.to_dict() == {"max_length": 20} | ({} if keep is Keep.ALL else {"keep": keep.value})


@pytest.mark.parametrize(
    ("modifiers", "message"),
    [
        ({"keep": "some"}, "keep is 'some', which is not one of: all, last_response, last_turn, flagged"),
        ({"truncation": "middle"}, "truncation is 'middle', which is not one of: keep_start, keep_end"),
        ({"max_length": 0}, "max_length is 0, and must be a number of tokens from 1 on, or None"),
        ({"max_length": "9"}, "max_length is '9', and must be a number"),
        ({"max_length": True}, "max_length is True, and must be a number"),
        ({"packing": True}, "There is no modifier 'packing'; there are: keep, max_length, truncation"),
    ],
)
def test_modifiers_that_mean_nothing_are_refused(modifiers: dict[str, Any], message: str) -> None:
    """Before anything is rendered."""
    with pytest.raises(StrategyError, match=re.escape(message)):
        inspector.inspect(models.model("chatml"), CHAT, modifiers=modifiers)
