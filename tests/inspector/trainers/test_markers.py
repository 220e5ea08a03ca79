"""Marker proposals: what stands before and behind answers, counted over rows, and the first seed's find_split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.samples import sample_conversations
from inspector.trainers.markers import WORDS, Markers, find_split, pieces, propose_markers
from tests.oracles import seed_log

PUBLISHED = {
    "llama3_1": ((128006, 78191, 128007, 271), (128009,)),
    "llama3_2": ((128006, 78191, 128007, 271), (128009,)),
    "qwen2_5": ((151644, 77091, 198), (151645,)),
    "qwen3": ((151644, 77091, 198), (151645,)),
    "gemma3": ((105, 4368, 107), (106,)),
    "smollm2": ((1, 520, 9531, 198), (2,)),
}
"""Prefix and suffix ids of the real tokenizers; Llama's and Qwen's are published by the first seed."""


def chat(*answers: str) -> list[dict[str, str]]:
    return [
        message
        for answer in answers
        for message in ({"role": "user", "content": "Go on."}, {"role": "assistant", "content": answer})
    ]


def proposed(model: Any, *conversations: Any) -> Markers:
    return propose_markers([inspector.inspect(model, conversation) for conversation in conversations])


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_ids_are_proposed(name: str, real_model_dir: Callable[[str], Path]) -> None:
    """Over varied rows the real models' own ids come out, match nowhere else, and every miss is accounted for."""
    markers = proposed(inspector.load(str(real_model_dir(name))), *sample_conversations())
    assert (markers.prefix_ids, markers.suffix_ids) == PUBLISHED[name]
    assert markers.turns == 30
    assert markers.false_hits == 0
    assert markers.found + sum(miss.count for miss in markers.misses) == markers.turns
    assert markers.response_template is not None
    assert markers.instruction_template is not None
    assert "user" in markers.instruction_template
    merges = name not in ("llama3_1", "llama3_2", "gemma3")
    assert bool(markers.misses) == merges


def test_a_miss_names_the_token_that_swallowed_the_boundary() -> None:
    """An answer that starts with a line end merges with the header: the miss shows the token and where it is."""
    markers = proposed(inspector.load("tiny-chat"), chat("Yes.", "\nNo."), chat("Maybe."))
    assert (markers.turns, markers.found) == (3, 2)
    (miss,) = markers.misses
    assert (miss.token, miss.count, miss.row, miss.message_index) == ("\n\n", 1, 0, 3)
    assert "2 of 3" in markers.advice


def test_text_that_looks_like_a_header_lengthens_the_prefix() -> None:
    """`assistant` and a line end in a message are no header: the ids go back to the special token."""
    model = inspector.load("tiny-chat")
    markers = proposed(model, [{"role": "user", "content": "Say assistant\n"}, *chat("ok")[1:]], chat("assistant\nhi"))
    assert markers.prefix_ids is not None
    assert markers.prefix_ids[0] == model.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert (markers.found, markers.false_hits) == (2, 0)


def test_control_text_in_an_answer_is_a_false_hit() -> None:
    """An answer that holds the stop token's text: the suffix grows past it where it can; where not, it is counted."""
    model = inspector.load("tiny-chat")
    stop, line_end = model.tokenizer.encode("<|im_end|>\n")
    grown = proposed(model, chat("It is <|im_end|> that stops."), chat("Fine."))
    assert (grown.suffix_ids, grown.false_hits) == ((stop, line_end), 0)
    hopeless = proposed(model, chat("It is <|im_end|>\n that stops."), chat("Fine."))
    assert (hopeless.suffix_ids, hopeless.false_hits) == ((stop, line_end), 1)


def test_rows_without_answers_propose_nothing() -> None:
    """No trained turn: no ids, and the advice says why."""
    model = inspector.load("tiny-chat")
    for markers in (proposed(model, [{"role": "user", "content": "Hi"}]), propose_markers([])):
        assert markers.prefix_ids is None
        assert markers.suffix_ids is None
        assert markers.turns == 0
        assert markers.advice.startswith("No row has an assistant turn")


def test_turns_that_end_in_different_tokens_have_no_suffix() -> None:
    """Where the stop token varies there is no constant suffix; none is proposed, and nothing counts as found."""
    varied = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{{ '<|endoftext|>' if loop.last else '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    markers = proposed(inspector.load("tiny-chat", template=varied), chat("One.", "Two."))
    assert markers.suffix_ids is None
    assert markers.found == 0


@given(st.lists(st.text("ab\n assistant<|im_end|>", min_size=1, max_size=12), min_size=1, max_size=4))
def test_counts_are_true_of_any_rows(answers: list[str]) -> None:
    """Found plus missed is all; every prefix hit that is no answer's start is counted, by a search of our own."""
    row = inspector.inspect(inspector.load("tiny-chat"), chat(*answers))
    markers = propose_markers([row])
    assert markers.found + sum(miss.count for miss in markers.misses) == markers.turns
    if markers.prefix_ids is None:
        return
    size = len(markers.prefix_ids)
    hits = [i for i in range(len(row.ids)) if tuple(row.ids[i : i + size]) == markers.prefix_ids]
    starts = {turn.answer_start for turn in row.example.turns.values() if turn.header}
    ends = [row.example.tokens.char_spans[i + size][0] if i + size < len(row.ids) else -1 for i in hits]
    assert markers.false_hits >= sum(end not in starts for end in ends)


def test_find_split_prints_what_the_first_seed_printed(real_model_dir: Callable[[str], Path]) -> None:
    """The seed's run on Llama 3.1: its template always writes a header, so the suffix holds the next one."""
    model = inspector.load(str(real_model_dir("llama3_1")), template=seed_log.LLAMA3_ALWAYS_PROMPTS)
    prefix, suffix = find_split(model)
    header = (128006, 78191, 128007, 271)
    assert prefix.text == "<|start_header_id|>assistant<|end_header_id|>\n\n"
    assert (prefix.alone, prefix.after_space, prefix.after_newline) == (header, (220, *header), (198, *header))
    assert suffix.alone == (128009, *header)
    assert suffix.after_space == (220, 128009, *header)
    assert suffix.after_newline == (198, 128009, *header)


def test_a_space_makes_another_token_of_the_word_behind_it(real_model_dir: Callable[[str], Path]) -> None:
    """The first seed's words: the space is no token between the same two, it is part of the second."""
    model = inspector.load(str(real_model_dir("qwen3")))
    together, apart = (pieces(model, word) for word in WORDS)
    assert ["".join(text for _, text in shown) for shown in (together, apart)] == list(WORDS)
    assert together[0] == apart[0] == (together[0][0], "Computer")
    assert apart[1][1] == " " + together[1][1]
    assert apart[1][0] != together[1][0]


def test_pieces_show_a_shared_character_once() -> None:
    """The bytes of one character are several tokens: the first shows it, the others nothing."""
    shown = pieces(inspector.load("tiny-chat"), "a\U0001f98a")
    assert "".join(text for _, text in shown) == "a\U0001f98a"
    assert len(shown) > 2
    assert pieces(inspector.load("tiny-chat"), "") == []


def test_header_of_an_answer_that_never_comes_is_no_false_hit() -> None:
    """A row that ends in a generation prompt matches the prefix, and there is nothing to find after it."""
    model = inspector.load("tiny-chat")
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    open_row = {"messages": messages, "add_generation_prompt": True}
    markers = propose_markers([inspector.inspect(model, row) for row in (messages, messages, open_row)])
    assert (markers.found, markers.turns, markers.false_hits, markers.open_headers) == (3, 3, 0, 1)
    assert markers.advice == "The ids find every answer and nothing else."
