"""The reproduced masks are those of the originals: run beside them, or compared with what they were seen to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inspector.conversation import Conversation
from inspector.errors import StrategyRefusedError
from inspector.inspection import make_example
from inspector.strategies import Example, Labelled, Reason, label, tags
from inspector.strategies.modifiers import pack, truncated
from inspector.strategies.tags import generation_tags, overlap_bits, training_twin, trl_assistant_only
from tests import oracle, strategy_oracle
from tests.oracles import strategy_peers
from tests.oracles.strategy_peers import Outcome, differs, ours, transformers_mask
from tests.strategy_oracle import LIVE, MODELS, Recorded, recorded
from tests.support import models
from tests.support.corpus import CORPUS
from tests.support.fetch import fetched

Folders = Callable[[str], Path]

TAGGED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
)
BARE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
IN_A_SET = (
    "{% for m in messages %}{% set text %}{% generation %}{{ m.content }}{% endgeneration %}{% endset %}"
    "{{ '<|im_start|>' + m.role + text + '<|im_end|>' }}{% endfor %}"
)
IN_A_MACRO = (
    "{% macro answer(m) %}{{ m.role }}: {% generation %}{{ m.content }}{% endgeneration %}{% endmacro %}"
    "{% for m in messages %}{{ '<|im_start|>' + answer(m) + '<|im_end|>' }}{% endfor %}"
)


def made(template: str, chat: Any) -> Example:
    """An example with a tokenizer made in the tests."""
    model = models.model_of(models.model("chatml").tokenizer, template)
    return make_example(model, Conversation.parse(chat), template)


def bits_of(labelled: Labelled, text: tuple[str, ...]) -> str:
    """The text of the trained tokens."""
    return "".join(piece for piece, bit in zip(text, labelled.trained, strict=True) if bit)


# --- on real tokenizers


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("strategy", LIVE)
@pytest.mark.xdist_group("strategy-oracle")
def test_installed_originals_train_the_same_tokens(strategy: str, name: str, real_model_dir: Folders) -> None:
    """transformers' and TRL's own code on the corpus and on made-up conversations: ids, bits and refusals."""
    real_model_dir(name)
    report = fetched(lambda: strategy_oracle.compare(strategy, name))
    assert report.mismatches == []
    assert report.cases > 90


@pytest.mark.parametrize("case", recorded(), ids=lambda case: f"{case.strategy}-{case.model}")
@pytest.mark.xdist_group("strategy-oracle")
def test_recorded_originals_train_the_same_tokens(case: Recorded, real_model_dir: Folders) -> None:
    """What the projects that are not installed were seen to train, row by row."""
    real_model_dir(case.model)
    assert len(case.rows) >= 45
    assert strategy_oracle.recorded_mismatches(case) == []


def test_comparison_notices_a_difference() -> None:
    """Other bits, other ids and a refusal on one side only are each a mismatch; the bit of token 0 is not."""
    same = Outcome([1, 2, 3], [False, True, False])
    assert not differs(same, Outcome([1, 2, 3], [True, True, False]))
    assert differs(same, Outcome([1, 2, 3], [False, True, True]))
    assert differs(same, Outcome([1, 2, 4], [False, True, False]))
    assert differs(same, Outcome(None, None, "refused"))


# --- transformers' generation tags


@pytest.mark.parametrize("template", [TAGGED, BARE, IN_A_SET, IN_A_MACRO], ids=["plain", "bare", "set", "macro"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_tags_follow_transformers_at_every_truncation(template: str, side: str) -> None:
    """Every max_length on both sides, also where tags stand in blocks that shift their spans."""
    example = made(template, CORPUS["system, two turns"])
    kept_side, example.tokenizer.truncation_side = example.tokenizer.truncation_side, side
    try:
        for length in range(1, len(example) + 2):
            theirs = transformers_mask(example, template, max_length=length)
            labelled = generation_tags(example, max_length=length)
            kept = [i for i, reason in enumerate(labelled.reasons) if reason is not Reason.CUT]
            assert [example.tokens.ids[i] for i in kept] == theirs.ids
            assert theirs.bits is not None
            assert [labelled.trained[i] for i in kept][1:] == theirs.bits[1:], length
            assert not any(labelled.trained[i] for i in set(range(len(example))) - set(kept))
    finally:
        example.tokenizer.truncation_side = kept_side


def test_span_that_ends_in_the_first_token_marks_the_rest() -> None:
    """transformers takes token 0 for 'no end'; the exact rule does not."""
    example = made(BARE, [{"role": "assistant", "content": "a"}, {"role": "user", "content": "\n\nWhich river?"}])
    assert example.tokens.texts[0] == "a"
    labelled = generation_tags(example)
    assert bits_of(labelled, example.tokens.texts) == "\n\nWhich river?"
    assert "ends in token 0" in labelled.warnings[0]
    assert transformers_mask(example, BARE).bits == [True] * len(example)
    assert not any(generation_tags(example, exact=True).trained)


def test_empty_span_at_the_start_fails_on_both_sides() -> None:
    """There is no character before character 0."""
    example = made(BARE, [{"role": "assistant", "content": ""}, {"role": "user", "content": "Hi"}])
    assert transformers_mask(example, BARE).bits is None
    with pytest.raises(StrategyRefusedError, match="first generation span is empty"):
        generation_tags(example)


def test_left_truncation_loses_every_answer() -> None:
    """Where the first span begins in text that is cut off, transformers marks nothing at all."""
    example = made(TAGGED, CORPUS["two turns"])
    kept_side, example.tokenizer.truncation_side = example.tokenizer.truncation_side, "left"
    try:
        labelled = generation_tags(example, max_length=8)
    finally:
        example.tokenizer.truncation_side = kept_side
    assert not any(labelled.trained)
    assert "begins in no token" in labelled.warnings[0]


def test_exact_rule_marks_what_overlaps() -> None:
    """The processors' rule, half-open on both sides."""
    assert overlap_bits([(0, 2), (2, 4), (4, 6), (6, 6)], [(3, 5)]) == [False, True, True, False]
    example = made(TAGGED, CORPUS["two turns"])
    assert bits_of(generation_tags(example, exact=True), example.tokens.texts) == (
        "The Danube.<|im_end|>The Nile.<|im_end|>"
    )


def test_template_without_tags_trains_nothing_and_says_so() -> None:
    """transformers only logs it."""
    example = made(TAGGED.replace("{% generation %}", "").replace("{% endgeneration %}", ""), CORPUS["one turn"])
    labelled = generation_tags(example)
    assert not any(labelled.trained)
    assert set(labelled.reasons[1:]) == {Reason.LOST}
    assert "{% generation %}" in labelled.warnings[0]


def test_tags_need_offsets_and_a_sound_length() -> None:
    """A tokenizer without offsets is refused, and so is a length that is none."""
    example = made(TAGGED, CORPUS["one turn"])
    slow = replace(example, tokens=replace(example.tokens, has_offsets=False))
    with pytest.raises(StrategyRefusedError, match="cannot say which token"):
        generation_tags(slow)
    for length in (0, -1, True, "7"):
        with pytest.raises(ValueError, match="max_length is"):
            generation_tags(example, max_length=length)  # type: ignore[arg-type]


# --- TRL


@pytest.mark.parametrize("length", [1, 12, 17, 25, 44, 45, 500])
@pytest.mark.xdist_group("strategy-oracle")
def test_trl_truncates_the_labelled_row(length: int, real_model_dir: Folders) -> None:
    """max_length cuts behind the mask, and a row without labels is dropped."""
    real_model_dir("qwen3")
    example = strategy_oracle.examples("qwen3")["two turns"]
    theirs = strategy_peers.trl_assistant_only(example, max_length=length)
    labelled = trl_assistant_only(example, max_length=length)
    assert theirs.bits is not None
    if theirs.said == "dropped":
        assert not any(labelled.trained)
        assert "drops this row" in labelled.warnings[-1]
        return
    kept = len([reason for reason in labelled.reasons if reason is not Reason.CUT])
    assert kept == len(theirs.bits)
    assert list(labelled.trained[1:kept]) == theirs.bits[1:]


@pytest.mark.parametrize("mode", ["keep_start", "keep_end"])
@pytest.mark.xdist_group("strategy-oracle")
def test_truncation_is_trls(mode: str, real_model_dir: Folders) -> None:
    """Both modes, at every length that leaves a label."""
    real_model_dir("qwen3")
    example = strategy_oracle.examples("qwen3")["two turns"]
    whole = label(example, "full", {})
    for length in (1, 2, 7, len(example) - 1, len(example), len(example) + 5):
        labelled = truncated(whole, length, mode)
        (row,) = strategy_peers.trl_rows(
            example.tokenizer,
            {"messages": list(example.conversation.messages)},
            example.template,
            max_length=length,
            truncation_mode=mode,
        )
        kept = [i for i, reason in enumerate(labelled.reasons) if reason is not Reason.CUT]
        assert [example.tokens.ids[i] for i in kept] == row["input_ids"]
        assert [labelled.trained[i] for i in kept] == [False] + [True] * (len(kept) - 1)


@pytest.mark.xdist_group("strategy-oracle")
def test_packing_is_trls() -> None:
    """Ids, labels, positions and boundaries of its padding-free collator."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [([5, 6, 7], [5, -100, 7]), ([8, 9], [-100, 9]), ([4], [4])]
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(
        [{"input_ids": ids, "labels": labels} for ids, labels in rows]
    )
    packed = pack(rows)
    assert list(packed.ids) == batch["input_ids"][0].tolist()
    assert list(packed.labels) == batch["labels"][0].tolist()
    assert list(packed.position_ids) == batch["position_ids"][0].tolist()
    assert list(packed.boundaries) == batch["cu_seq_lens_q"].tolist()


@pytest.mark.xdist_group("strategy-oracle")
def test_twins_are_those_trl_chooses() -> None:
    """Every template that trl stores: the same twin, or a refusal on both sides."""
    from trl import chat_template_utils as trl_templates

    for name, source in oracle.stored_templates().items():
        if "{% generation" in source or "{%- generation" in source:
            continue
        twin = oracle.stored_templates().get(f"{name}_training")
        if twin is None:
            with pytest.raises(StrategyRefusedError, match="TRL refuses this template"):
                training_twin(source)
            continue
        assert training_twin(source) == twin
        assert getattr(trl_templates, f"{name.removeprefix('trl/')}_training_chat_template") == twin


def test_where_the_twin_writes_other_text_that_text_is_shown(real_model_dir: Folders) -> None:
    """TRL's Qwen3 twin keeps the think block of earlier answers: the page must show the ids that train."""
    real_model_dir("qwen3")
    model = strategy_oracle.real_model("qwen3")
    import inspector

    inspection = inspector.inspect(model, CORPUS["two turns"], "trl_assistant_only")
    assert inspection.text.count("<think>") == 2
    assert inspector.inspect(model, CORPUS["two turns"]).text.count("<think>") == 1
    assert inspection.template == oracle.stored_templates()["trl/qwen3_training"]
    assert any("another text" in warning for warning in inspection.labelled.warnings)


def test_qwen2_5_twin_trains_the_end_of_the_header(real_model_dir: Folders) -> None:
    """The twin's tag begins one line break early."""
    real_model_dir("qwen2_5")
    example = strategy_oracle.examples("qwen2_5")["one turn"]
    labelled = label(example, "trl_assistant_only", {})
    assert bits_of(labelled, example.tokens.texts).startswith("\nThe Danube.")
    assert ours(example, "traced").bits != list(labelled.trained)


def test_without_trl_there_are_no_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which package is missing."""
    monkeypatch.setattr(tags, "_trl_templates", lambda: None)
    with pytest.raises(StrategyRefusedError, match="trl, which keeps patched twins of some, is not installed"):
        trl_assistant_only(made(models.model("chatml").template, CORPUS["one turn"]))
