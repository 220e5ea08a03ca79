"""Each reproduced strategy's rule, on ids and conversations small enough to check by hand, and its refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.errors import StrategyError, StrategyRefusedError, TemplateRefusedError
from inspector.inspection import Inspection
from inspector.strategies import REASON_TEXTS, STRATEGIES, Reason
from inspector.strategies.markers_in_ids import completion_collator_bits, home_llm_bits, id_list
from tests import strategy_oracle
from tests.oracles import seed_log
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = CORPUS["two turns"]
USER, ASSISTANT, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>"
RAISES_ON_PREFIX = (
    "{% if messages[-1].role != 'assistant' or messages | length < 4 %}{{ raise_exception('Whole chats only.') }}"
    "{% endif %}{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}"
)
LAST_IS_LOUD = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + (m.content | upper if loop.last else m.content) }}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def look(chat: Any, strategy: str, template: str | None = None, **options: Any) -> Inspection:
    """Inspect with a ChatML model made in the tests, or its tokenizer with another template."""
    model = models.model("chatml")
    model = model if template is None else models.model_of(model.tokenizer, template)
    return inspector.inspect(model, chat, strategy, **options)


def text(chat: Any, strategy: str, template: str | None = None, **options: Any) -> str:
    """What is trained, as text."""
    return models.trained_text(look(chat, strategy, template, **options))


def letters(string: str) -> list[int]:
    """One id a letter."""
    return [ord(letter) for letter in string]


def bits(string: str, trained: list[bool]) -> str:
    """The trained letters; dots for the others."""
    return "".join(letter if bit else "." for letter, bit in zip(string, trained, strict=True))


# --- the registry


def test_every_strategy_says_where_it_comes_from() -> None:
    """And every reason has a sentence; token 0 is trained by none."""
    for name, strategy in STRATEGIES.items():
        assert strategy.__name__ == name
        assert name == "traced" or re.search(r"Source: |No options|Ours", strategy.__doc__ or ""), name
    assert set(REASON_TEXTS) == set(Reason)
    assert all(REASON_TEXTS[reason].startswith("trained") == reason.is_trained for reason in Reason)
    assert look(CHAT, "full").trained == [0] + [1] * (len(look(CHAT, "full").ids) - 1)


def test_options_are_checked_by_name() -> None:
    """Unknown, missing and unusable options are StrategyErrors that name the option."""
    with pytest.raises(StrategyError, match="has no option 'suffix'"):
        look(CHAT, "home_llm", suffix=[1])
    with pytest.raises(StrategyError, match="needs the option 'prefix_ids'"):
        look(CHAT, "home_llm", suffix_ids=[1])
    with pytest.raises(StrategyError, match="exact is 1, and must be true or false"):
        look(CHAT, "generation_tags", exact=1)
    for ids in ([], "", "1,x", [1.5], [True], 7, None):
        with pytest.raises(StrategyError, match="must be at least one token id"):
            look(CHAT, "home_llm", prefix_ids=ids, suffix_ids=[1])
    assert id_list("prefix_ids", "151644, 77091,198") == [151644, 77091, 198]


# --- markers in ids: home-llm


@pytest.mark.parametrize(
    ("row", "trained"),
    [
        ("uuPQaaXYuu", "....aaX..u"),  # one of two suffix ids, and the last token of the row
        ("uuPQaaXYPQbXY", "....aaX...bXY"),
        ("uuPQaaXuu", "........u"),  # the suffix's first id without its second: the turn is lost
        ("PPQaXY", "...aXY"),  # a first id that is no prefix
        ("uuPQaaa", "....aaa"),  # no suffix: to the end
        ("uuuu", "...u"),
        ("PQXYu", "..X.u"),  # an empty response
        ("uuPQ", "...."),  # a row that ends in the prefix
        ("u", "u"),
        ("", ""),
    ],
)
def test_home_llm_row(row: str, trained: str) -> None:
    """Prefix PQ, suffix XY."""
    assert bits(row, home_llm_bits(letters(row), letters("PQ"), letters("XY"))[0]) == trained


@given(st.text("PQXYa", max_size=24), st.sampled_from(["P", "PQ", "PP"]), st.sampled_from(["X", "XY", "XX"]))
def test_home_llm_is_the_same_by_searching_a_string(row: str, prefix: str, suffix: str) -> None:
    """A second way to the same bits: each response with one id of its suffix, and mostly the last token."""
    expected, at = {len(row) - 1}, 0
    while (found := row.find(prefix, at)) >= 0:
        start = found + len(prefix)
        end = row.find(suffix[0], start)
        if end < 0:
            expected |= set(range(start, len(row)))
            expected -= {len(row) - 1} if start == len(row) else set()
            break
        is_whole = row.startswith(suffix, end)
        expected |= set(range(start, end + 1)) if is_whole else set()
        at = end + (len(suffix) if is_whole else 1)
    found_bits, _, _ = home_llm_bits(letters(row), letters(prefix), letters(suffix))
    assert {i for i, bit in enumerate(found_bits) if bit} == expected - {-1}


def test_home_llm_names_the_turns_it_loses() -> None:
    """Their tokens have the reason, and the warning the ids."""
    tokenizer = models.model("chatml").tokenizer
    prefix = tokenizer(ASSISTANT, add_special_tokens=False)["input_ids"]
    stop = tokenizer(END, add_special_tokens=False)["input_ids"]
    inspection = look(CHAT, "home_llm", prefix_ids=prefix, suffix_ids=[*stop, *prefix])
    assert "no assistant response in it" in inspection.labelled.warnings[0]
    assert "loses 2 turns" in inspection.labelled.warnings[1]
    assert Reason.LOST in inspection.labelled.reasons
    intended = text(CHAT, "home_llm_intended", prefix_ids=prefix, suffix_ids=stop)
    assert intended == "The Danube.<|im_end|>The Nile.<|im_end|>"
    nothing = look(CHAT, "home_llm_intended", prefix_ids=[1, 1, 1], suffix_ids=stop)
    assert not any(nothing.trained)
    assert "prefix was not found" in nothing.labelled.warnings[0]


@pytest.mark.parametrize("number", [0, 1])
def test_the_seed_log(number: int, real_model_dir: Callable[[str], Path]) -> None:
    """With a suffix that holds the next header, a template that writes no prompt by itself loses every turn."""
    folder = real_model_dir("llama3_1")
    chat = seed_log.conversation_of(seed_log.logged_ids(number), folder)
    ids = {"prefix_ids": [128006, 78191, 128007, 271], "suffix_ids": [128009, 128006, 78191, 128007, 271]}
    lost = inspector.inspect(strategy_oracle.real_model("llama3_1"), chat, "home_llm", **ids)
    assert sum(lost.trained) == 1
    assert "no assistant response" in lost.labelled.warnings[0]
    always = strategy_oracle.real_model("llama3_1", seed_log.LLAMA3_ALWAYS_PROMPTS)
    seen = inspector.inspect(always, chat, "home_llm", **ids)
    assert seen.ids == seed_log.logged_ids(number)
    answers = [message["content"] for message in chat if message["role"] == "assistant"]
    blank = "\n\n"  # the last token of the row, always trained
    assert models.trained_text(seen) == (f"{answers[-1]}<|eot_id|>{blank}" if answers else blank)


# --- markers in ids: TRL's collator


@pytest.mark.parametrize(
    ("row", "instruction", "trained", "missing"),
    [
        ("uRaaRbb", None, ".....bb", []),  # the last response only
        ("uuaa", None, "....", ["response"]),
        ("aIuuRbb", "I", ".....bb", []),
        ("IuRaaIuRbb", "I", "...aa...bb", []),
        ("uRaaIuRbb", "I", "..aa...bb", []),  # an answer before the first instruction: masked from 0
        ("IuRaaIu", "I", "...aa..", []),  # an instruction without its answer
        ("Iuuaa", "I", ".....", ["response", "instruction"]),  # the wipe hides the instruction too
        ("uRaa", "I", "....", ["instruction"]),
        ("IuRaRb", "I", "...aRb", []),
        ("IuRa_", "I", "...a.", []),  # the pad id
    ],
)
def test_completion_collator_row(row: str, instruction: str | None, trained: str, missing: list[str]) -> None:
    """Response template R, pad id _."""
    user = None if instruction is None else letters(instruction)
    found, said = completion_collator_bits(letters(row), letters("R"), user, ord("_"))
    assert (bits(row, found), said) == (trained, missing)


def test_completion_collator_takes_text_or_ids_and_warns() -> None:
    """Text is tokenized alone, as TRL did."""
    ids = models.model("chatml").tokenizer(ASSISTANT, add_special_tokens=False)["input_ids"]
    assert look(CHAT, "trl_completion_collator", response=ids).trained == (
        look(CHAT, "trl_completion_collator", response=ASSISTANT).trained
    )
    missed = look(CHAT, "trl_completion_collator", response="### Answer:", instruction=USER)
    assert any("Could not find response key" in warning for warning in missed.labelled.warnings)
    assert set(missed.labelled.reasons[1:]) == {Reason.LOST}
    with pytest.raises(StrategyError, match="which has no tokens"):
        look(CHAT, "trl_completion_collator", response="")
    with pytest.raises(StrategyError, match="at least one token id"):
        look(CHAT, "trl_completion_collator", response=[])


def test_pad_that_is_the_stop_token_is_never_trained() -> None:
    """pad == eos erases every stop token; without a pad token the collator would fail, and a warning says so."""
    tokenizer = models.model("chatml").tokenizer
    own, tokenizer.pad_token = tokenizer.pad_token, None
    assert "has no pad token" in look(CHAT, "trl_completion_collator", response=ASSISTANT).labelled.warnings[0]
    tokenizer.pad_token = END
    try:
        assert text(CHAT, "trl_completion_collator", response=ASSISTANT, instruction=USER) == "The Danube.\nThe Nile.\n"
    finally:
        tokenizer.pad_token = own


def test_bos_eos_alternates() -> None:
    """From behind a bos up to and including the next eos; a row without bos trains nothing."""
    mark = "('<|im_start|>' if loop.index is odd else '<|im_end|>')"
    template = "{% for m in messages %}{{ m.content + " + mark + " }}{% endfor %}"
    assert text(CHAT, "bos_eos", template) == "The Danube.<|im_end|>The Nile.<|im_end|>"
    assert "is not in the row" in look(CHAT, "bos_eos", "{{ messages[0].content }}").labelled.warnings[0]
    bare = models.trained_tokenizer(["<|im_end|>"], eos_token="<|im_end|>")
    with pytest.raises(StrategyRefusedError, match="has no bos token"):
        inspector.inspect(models.model_of(bare, "{{ messages[0].content }}"), CHAT, "bos_eos")


# --- line breaks at the seams, on Qwen's real vocabulary


def test_answers_that_start_with_a_line_break_are_lost_on_qwen(real_model_dir: Callable[[str], Path]) -> None:
    """The header's 198 becomes 271: responses_only finds no header, the collator with an instruction wipes the row."""
    real_model_dir("qwen2_5")
    model = strategy_oracle.real_model("qwen2_5")
    chat = CORPUS["answer starts with a line break"]
    seen = inspector.inspect(model, chat, "responses_only", instruction_part=USER, response_part=ASSISTANT)
    assert not any(seen.trained)
    assert "-100" in seen.labelled.warnings[0]
    both = [*CORPUS["one turn"], *chat]
    wiped = inspector.inspect(model, both, "trl_completion_collator", response=ASSISTANT, instruction=USER)
    assert models.trained_text(wiped) == "The Danube.<|im_end|>\n"
    assert wiped.labelled.warnings == ()


def test_questions_that_start_with_a_line_break_are_trained_on_qwen(real_model_dir: Callable[[str], Path]) -> None:
    """The second question's header is not found, so its text stays in the loss."""
    real_model_dir("qwen2_5")
    model = strategy_oracle.real_model("qwen2_5")
    chat = [*CORPUS["one turn"], *CORPUS["question starts with a line break"][2:]]
    seen = inspector.inspect(model, chat, "trl_completion_collator", response=ASSISTANT, instruction=USER)
    assert "And Cairo?" in models.trained_text(seen)
    assert [finding.code for finding in seen.findings if finding.code == "foreign_text_in_loss"]


# --- boundaries


def test_completion_only_trains_behind_the_prompt() -> None:
    """The last answer with all that the template writes behind it; the first answer is prompt."""
    assert text(CHAT, "trl_completion_only") == "The Nile.<|im_end|>\n"
    assert look(CHAT, "trl_completion_only").labelled.warnings == ()


def test_completion_only_warns_when_the_prompt_is_no_prefix() -> None:
    """A template that writes the last message otherwise: all from there on is trained."""
    inspection = look(CHAT, "trl_completion_only", LAST_IS_LOUD)
    assert "not a prefix" in inspection.labelled.warnings[0]
    assert "through Cairo?" in models.trained_text(inspection)


@pytest.mark.parametrize("strategy", ["trl_completion_only", "dpo_boundary"])
def test_boundaries_refuse_what_trl_cannot_prepare(strategy: str) -> None:
    """No answer, no prompt, a keyword that TRL sets itself, a prompt that the template refuses."""
    options = {"rejected": "No."} if strategy == "dpo_boundary" else {}
    with pytest.raises(StrategyRefusedError, match="no assistant message"):
        look(CORPUS["question only"], strategy, **options)
    with pytest.raises(StrategyRefusedError, match="comes first"):
        look(CORPUS["assistant alone"], strategy, **options)
    with pytest.raises(StrategyRefusedError, match="sets add_generation_prompt itself"):
        look({"messages": CHAT, "add_generation_prompt": False}, strategy, **options)
    with pytest.raises(StrategyRefusedError, match=r"the first 3 messages alone.*Whole chats only") as caught:
        look(CHAT, strategy, RAISES_ON_PREFIX, **options)
    assert isinstance(caught.value.__cause__, TemplateRefusedError)


def test_dpo_boundary_is_where_either_answer_parts() -> None:
    """An answer that merges with the header moves the boundary of both."""
    plain = look(CHAT, "dpo_boundary", rejected="No.")
    assert models.trained_text(plain) == "The Nile.<|im_end|>\n"
    merging = look(CHAT, "dpo_boundary", rejected="\nNo.")
    assert models.trained_text(merging) == "\nThe Nile.<|im_end|>\n"
    assert "not a prefix" in merging.labelled.warnings[0]
    as_messages = look(CHAT, "dpo_boundary", rejected=[{"role": "assistant", "content": "\nNo."}])
    assert as_messages.trained == merging.trained
    for rejected in (None, [], 7):
        with pytest.raises(StrategyError, match="rejected is"):
            look(CHAT, "dpo_boundary", rejected=rejected)
