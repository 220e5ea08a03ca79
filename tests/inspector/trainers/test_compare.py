"""Strategies beside the truth: counts, agreement and differences are those of the bits; refusals stay entries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import inspector
from inspector.strategies import STRATEGIES
from inspector.trainers.compare import Comparison, compare, compare_with, default_choices
from inspector.trainers.markers import propose_markers
from tests.support import models
from tests.support.commands import Called

CHAT = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "\nParis."},
    {"role": "user", "content": "And of Spain?"},
    {"role": "assistant", "content": "Madrid."},
]
NEEDS_MORE = {"traced", "dpo_boundary", "content_diff_legacy", "llama3_sft"}
"""Strategies left out by default: the truth, one that needs a second answer, and two that nobody meant."""


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(inspector.load("tiny-chat"), CHAT)


def test_every_strategy_is_compared(comparison: Comparison) -> None:
    """One entry at least for each strategy that one conversation suffices for."""
    assert {entry.strategy for entry in comparison.entries} == set(STRATEGIES) - NEEDS_MORE - {"trl_vision"}


def test_agreement_and_differences_are_those_of_the_bits(comparison: Comparison) -> None:
    """Counted again here, token by token, from the public form."""
    data = json.loads(json.dumps(comparison.to_dict()))
    for entry in data["strategies"]:
        if entry["agreement"] is None:
            assert entry["error"]
            continue
        assert entry["count"] == sum(entry["trained"])
        differing = [i for i, (a, b) in enumerate(zip(entry["trained"], data["trained"], strict=True)) if a != b]
        assert entry["agreement"] == pytest.approx(1 - len(differing) / len(data["ids"]))
        assert [i for start, end in entry["disagreements"] for i in range(start, end)] == differing
        assert all(a[1] < b[0] for a, b in zip(entry["disagreements"], entry["disagreements"][1:], strict=False))


def test_each_entry_is_what_inspect_says(comparison: Comparison) -> None:
    """A strategy beside the truth trains what it trains alone."""
    model = inspector.load("tiny-chat")
    for entry in comparison.entries:
        if entry.labelled is not None and entry.agreement is not None:
            alone = inspector.inspect(model, CHAT, entry.strategy, **entry.options)
            assert alone.labelled.trained == entry.labelled.trained


def test_a_row_that_goes_on_is_laid_beside_the_tokens_shown() -> None:
    """And the entry says what follows, as the header of an answer to come."""
    headed = (
        "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    chat = [{**message, "content": message["content"].strip()} for message in CHAT]
    both = compare(models.model_of(models.model("chatml").tokenizer, headed), chat, [("torchtune", {})])
    (entry,) = both.entries
    assert entry.error is None
    assert entry.labelled is not None
    assert len(entry.labelled.trained) == len(both.truth.ids)
    wrong = [i for start, end in entry.disagreements or () for i in range(start, end)]
    assert "".join(both.truth.example.tokens.texts[i] for i in wrong) == "<|im_start|>assistant\n" * 2
    count = len(both.truth.example.ids_of("<|im_start|>assistant\n"))
    assert entry.labelled.warnings[-1] == (
        f"The trainer's row goes on after the tokens shown: '<|im_start|>assistant\\n', {count} tokens, {count} of "
        "them trained."
    )


def test_a_refusal_is_an_entry_with_its_reason(comparison: Comparison) -> None:
    """tiny-chat has no bos token: bos_eos says so, and the others are compared all the same."""
    (entry,) = [entry for entry in comparison.entries if entry.strategy == "bos_eos"]
    assert entry.labelled is None
    assert entry.agreement is None
    assert "bos" in str(entry.error)


def test_other_tokens_are_not_laid_side_by_side() -> None:
    """Where a trainer renders with a template of its own and gets other tokens, nothing is compared."""
    from tests import oracle

    model = inspector.load("tiny-chat", template=oracle.stored_templates()["trl/qwen3"])
    (entry,) = compare(model, CHAT, [("trl_assistant_only", {})]).entries
    if entry.labelled is not None and entry.labelled.example is not None:
        same = entry.labelled.example.tokens.ids == tuple(compare(model, CHAT, []).truth.ids)
        assert (entry.agreement is None) == (not same)


def test_without_constant_markers_the_searching_strategies_are_left_out() -> None:
    """No proposal, no search: nothing is compared with ids that were never verified."""
    truth = inspector.inspect(inspector.load("tiny-chat"), [{"role": "user", "content": "Hi"}])
    names = {name for name, _ in default_choices(propose_markers([truth]))}
    assert names.isdisjoint({"home_llm", "home_llm_intended", "trl_completion_collator", "string_span"})
    assert len(compare_with(truth).entries) == len(names)


def test_the_command_prints_a_table_and_json(called: Called, tmp_path: Path) -> None:
    """`compare` in a terminal has a line per strategy; with --json it is the public form."""
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    done = called("compare", "tiny-chat", str(file))
    text = done.stdout
    assert done.returncode == 0
    assert "strategy" in text
    assert "trl_completion_collator + instruction" in text
    assert "Exact: only the two answers are trained, but one token spans two texts" in text
    assert "misses 2 tokens: the stop tokens" not in text
    assert "; first at token " in text
    done = called("compare", "tiny-chat", str(file), "--json")
    assert json.loads(done.stdout) == json.loads(json.dumps(compare(inspector.load("tiny-chat"), CHAT).to_dict()))


def test_the_markers_command_prints_text_and_json(called: Called, tmp_path: Path) -> None:
    """`markers` over one's own rows, as text and as JSON; unusable rows are named."""
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"messages": CHAT}) for _ in range(2)))
    command = ["markers", "tiny-chat", "--data", str(file)]
    done = called(*command)
    text = done.stdout
    assert done.returncode == 0
    assert "4 answers in 2 conversations" in text
    assert "find_split" in text
    data = json.loads(called(*command, "--json").stdout)
    assert (data["turns"], data["found"], data["rows"]) == (4, 2, 2)
    file.write_text('{"messages": [{"content": "x"}]}')
    failed = called(*command)
    assert failed.returncode == 2
    assert "row 0: message 0 has no `role`" in failed.stderr
    file.write_text("")
    failed = called(*command)
    assert "holds no conversation" in failed.stderr


def test_modifiers_apply_to_every_strategy() -> None:
    """What is cut off trains nowhere, and is no difference."""
    chat = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi, how can I help you today?"}]
    truth = inspector.inspect(models.model("chatml"), chat, modifiers={"max_length": 14})
    entry = next(e for e in compare_with(truth).entries if e.strategy == "content_diff")
    assert entry.labelled is not None
    assert not any(entry.labelled.trained[14:])
    assert entry.disagreements == ()
