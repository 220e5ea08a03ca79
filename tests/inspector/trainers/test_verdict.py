"""The verdict on a mask: every wrong token is of one kind, and the sentence says the worst."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.conversation import Conversation
from inspector.findings.codes import Code
from inspector.strategies import FACTS, STRATEGIES
from inspector.trainers.compare import compare
from inspector.trainers.verdict import Kind, Level, Verdict, trainer_of, truth_of, verdict_of, verdict_on
from tests.support.corpus import CORPUS
from tests.support.models import model

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is Oslo?"},
    {"role": "assistant", "content": "In Norway."},
    {"role": "user", "content": "And Rome?"},
    {"role": "assistant", "content": "In Italy."},
]


def verdict(strategy: str, chat: Any = CHAT, name: str = "tiny-chat", **options: Any) -> Verdict:
    """On a strategy's mask."""
    return verdict_on(inspector.inspect(model(name), chat, strategy, **options))


def on_bits(texts: list[str], chat: Any = CHAT) -> Verdict:
    """On a mask that is right but for the tokens with these texts, found one after the other."""
    shown = inspector.inspect(model("tiny-chat"), chat)
    bits, at = list(shown.labelled.trained), 0
    for text in texts:
        at = shown.example.tokens.texts.index(text, at)
        bits[at] = not bits[at]
        at += 1
    return verdict_of(shown.example, ("Mine", ""), bits, shown.labelled)


@pytest.mark.parametrize(
    ("strategy", "options", "says"),
    [
        ("traced", {}, "Exact: only the two answers are trained"),
        ("traced", {"turns": "last"}, "Exact: only the last of two answers is trained"),
        ("traced", {"turns": "every_token"}, "Exact: text of others is trained"),
        ("traced", {"stop": "never"}, "Exact: only the two answers are trained, but the stop token is not trained"),
        ("trl_assistant_only", {}, "TRL: only the two answers are trained"),
        ("full", {}, "No masking trains every token: also user text, the system message and more"),
        ("chatml", {}, "NVIDIA examples misses 2 tokens: the stop tokens"),
        ("prefix_render", {}, "open-instruct trains 2 tokens it should not: the newlines after answers"),
        (
            "trl_completion_only", {},
            "TRL misses 10 tokens (the first of two answers) and trains 1 token it should not (the newline after an "
            "answer)",
        ),
        ("responses_only", {"response_part": "nowhere"}, "Unsloth trains nothing: both answers are missing"),
    ],
)  # fmt: skip
def test_the_worst_is_said_in_one_sentence(strategy: str, options: dict[str, Any], says: str) -> None:
    """With the trainer's name, as its users call it."""
    assert verdict(strategy, **options).sentence == says


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["<|im_end|>", "<|im_end|>", "<|im_end|>"], "misses 1 token (the stop token) and trains 2 tokens"),
        (["<|im_start|>", "<|im_start|>"], "trains 2 tokens it should not: template text, twice"),
    ],
)
def test_tokens_are_named_by_what_they_are(texts: list[str], says: str) -> None:
    """Whose text they are, and why they should be trained or not."""
    assert on_bits(texts).short.startswith(says)


def test_a_tool_call_and_its_result_are_told_apart() -> None:
    """What is missing and what is too much."""
    call = {"type": "function", "function": {"name": "find", "arguments": {"city": "Oslo"}}}
    chat = [
        CHAT[1],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "Norway"},
        {"role": "assistant", "content": "It is in Norway."},
    ]
    shown = inspector.inspect(model("tiny-chat"), chat)
    places = [shown.example.tokens.origins(i) for i in range(len(shown.ids))]
    flipped = [
        any(o.top_field == "tool_calls" or (o.message_index, o.field) == (2, "content") for o in at) for at in places
    ]
    bits = [bit != flips for bit, flips in zip(shown.labelled.trained, flipped, strict=True)]
    found = verdict_of(shown.example, ("Mine", ""), bits, shown.labelled)
    assert [part.kind for part in found.extra] == [Kind.TOOL_RESULT]
    assert [part.kind for part in found.missing] == [Kind.TOOL_CALL]


@pytest.mark.parametrize("title", ["one turn", "two turns", "tool call", "thinking"])
def test_the_parts_are_the_differences(title: str) -> None:
    """Every token that differs is in one part, none else; the sentence counts them."""
    chat = CORPUS.get(title, CHAT)
    compared = compare(model("tiny-chat"), Conversation.parse(chat))
    for entry in compared.entries:
        if entry.disagreements is None:
            assert entry.verdict.level is Level.UNKNOWN
            continue
        listed = [i for part in (*entry.verdict.extra, *entry.verdict.missing) for i in part.tokens]
        assert sorted(listed) == [i for start, end in entry.disagreements for i in range(start, end)]
        assert (entry.verdict.level is Level.RIGHT) == (not listed)
        assert entry.verdict.sentence.startswith(trainer_of(entry.strategy, entry.options)[0])


@given(st.data())
def test_any_mask_has_a_verdict(data: st.DataObject) -> None:
    """Whatever is trained: each wrong token once, the worst kind first, and right only what is right."""
    shown = inspector.inspect(model("tiny-chat"), CHAT)
    bits = data.draw(st.lists(st.booleans(), min_size=len(shown.ids), max_size=len(shown.ids)))
    found = verdict_of(shown.example, ("Mine", ""), bits, shown.labelled)
    wrong = [i for i, (a, b) in enumerate(zip(bits, shown.labelled.trained, strict=True)) if a != b]
    assert sorted(i for part in (*found.extra, *found.missing) for i in part.tokens) == wrong
    assert (found.level is Level.RIGHT) == (not wrong)
    order = list(Kind)
    for parts in (found.extra, found.missing):
        assert [part.kind for part in parts] == sorted({part.kind for part in parts}, key=order.index)


def test_findings_decide_where_the_mask_is_right() -> None:
    """An error is what is said; a warning is added."""
    assert verdict("traced", [CHAT[1]]).sentence == "Exact: nothing is trained"
    assert verdict("traced", [CHAT[1]]).level is Level.WRONG
    merged = verdict("traced", [CHAT[1], {"role": "assistant", "content": "\nIn Norway."}])
    assert merged.sentence == "Exact: only the answer is trained, but one token spans two texts"
    assert merged.level is Level.WARNING


def test_what_should_be_trained_does_not_depend_on_what_is_shown() -> None:
    """A strategy's inspection is measured by the exact mask."""
    exact = inspector.inspect(model("tiny-chat"), CHAT)
    shown = inspector.inspect(model("tiny-chat"), CHAT, "full")
    assert truth_of(shown).trained == exact.labelled.trained
    assert truth_of(exact) is exact.labelled


def test_every_trainer_and_finding_has_a_name() -> None:
    """Two masks of one trainer differ in what is set."""
    names = [trainer_of(name, {}) for name in STRATEGIES]
    assert len(set(names)) == len(names)
    assert all("_" not in trainer for trainer, _ in names)
    assert {name for name, facts in FACTS.items() if facts.is_known} == {
        "full", "trl_assistant_only", "trl_vision", "responses_only", "content_diff", "torchtune",
    }  # fmt: skip
    headings = [code.heading for code in Code]
    assert all(headings)
    assert len(set(headings)) == len(headings)
