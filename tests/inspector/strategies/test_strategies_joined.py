"""Trainers that join a row out of pieces: what is shown is their row, and whose it is is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.errors import StrategyRefusedError
from inspector.inspection import Inspection
from inspector.strategies import is_trained
from inspector.trainers.compare import compare
from tests import strategy_oracle
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = CORPUS["two turns"]
HEADED = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAST_IS_LOUD = HEADED.replace("m.content +", "(m.content | upper if loop.last else m.content) +")
"""A template that writes the last message otherwise than the others."""


def look(chat: Any, strategy: str, template: str = HEADED, **options: Any) -> Inspection:
    """An inspection with ChatML's tokenizer and a template."""
    return inspector.inspect(models.model_of(models.model("chatml").tokenizer, template), chat, strategy, **options)


def trained(chat: Any, strategy: str, template: str = HEADED, **options: Any) -> str:
    """The text of the trained tokens."""
    return models.trained_text(look(chat, strategy, template, **options))


# --- verl


def test_verl_trains_what_stands_after_as_many_tokens_as_a_header_has() -> None:
    """The line end after the stop token, too; the bos before each message is cut off but the first."""
    assert trained(CHAT, "verl") == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    assert look(CHAT, "verl").labelled.warnings == ()
    longer = HEADED.replace("m.role +", "m.role + ('!' if m.role == 'assistant' else '') +")
    assert trained(CHAT[:2], "verl", longer) == "\nThe Danube.<|im_end|>\n"


def test_verl_stops_where_the_joined_ids_are_others() -> None:
    """Unless it is told to train them; then they are what is shown, each character with its message."""
    with pytest.raises(StrategyRefusedError, match="do not give the ids of the whole conversation"):
        look(CHAT, "verl", LAST_IS_LOUD)
    shown = look(CHAT, "verl", LAST_IS_LOUD, ignore_input_ids_mismatch=True)
    assert "THE DANUBE." in shown.text
    assert models.trained_text(shown) == "THE DANUBE.<|im_end|>\nTHE NILE.<|im_end|>\n"
    assert "is not the one that the template gives" in shown.labelled.warnings[0]
    assert [i for i in shown.example.turns if is_trained(shown.example, shown.labelled, i)] == [1, 3]


def test_verl_renders_a_message_that_is_refused_alone_after_an_empty_question() -> None:
    """As templates that ask for a question do."""
    asks = "{% if messages[0].role == 'assistant' %}{{ raise_exception('ask first') }}{% endif %}" + HEADED.replace(
        "+ m.content", "+ (m.content if m.content is string else m.content[0].text)"
    )
    without_bos = asks.replace("{{ bos_token }}", "")
    assert trained(CHAT, "verl", without_bos) == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    with pytest.raises(StrategyRefusedError, match="do not give the ids"):
        look(CHAT, "verl", asks)  # what stands before a question is cut off once more
    never = "{% if 'Vienna' not in messages[0].content %}{{ raise_exception('no') }}{% endif %}" + HEADED
    with pytest.raises(StrategyRefusedError, match="verl renders empty questions"):
        look(CHAT, "verl", never)
    once = "{% if messages[-1].role == 'assistant' and messages | length < 3 %}{{ raise_exception('no') }}{% endif %}"
    with pytest.raises(StrategyRefusedError, match="verl renders message 1 alone and after an empty question"):
        look(CHAT, "verl", once + HEADED)


def test_verl_needs_content_and_reads_no_generation_prompt() -> None:
    """The row ends in the last message whatever is asked for."""
    with pytest.raises(StrategyRefusedError, match="verl stops at this row: message 1 has no content"):
        look(CORPUS["answer without content"], "verl", HEADED.replace("m.content", "(m.content or '')"))
    prompted = look(CORPUS["generation prompt after an answer"], "verl")
    assert prompted.text.endswith("The Danube.<|im_end|>\n")
    thinks = HEADED + "{% if enable_thinking is defined %}{{ enable_thinking }}{% endif %}"
    assert look({"messages": CHAT, "enable_thinking": None}, "verl", thinks).text.endswith("Nile.<|im_end|>\n")


# --- the joined row


@pytest.mark.parametrize(
    ("strategy", "options"), [("verl", {"ignore_input_ids_mismatch": True})]
)  # fmt: skip
@pytest.mark.parametrize("name", ["qwen3", "llama3_2"])
@pytest.mark.xdist_group("strategy-oracle")
def test_joined_rows_are_whole(
    strategy: str, options: dict[str, Any], name: str, real_model_dir: Callable[[str], Path]
) -> None:
    """Runs cover the text, tokens stand over it in order, and the texts of messages are where the row says."""
    real_model_dir(name)
    model = strategy_oracle.real_model(name)
    others = 0
    for chat in CORPUS.values():
        try:
            shown = inspector.inspect(model, chat, strategy, **options)
        except inspector.errors.InspectorError:
            continue
        example = shown.example
        others += any("is not the one that the template gives" in text for text in shown.labelled.warnings)
        assert sum(run.length for run in example.rendered.runs) == len(shown.text)
        if not example.tokens.uncovered:
            assert "".join(example.tokens.pieces()) == shown.text
        for start, end, run in example.rendered.spans():
            index = run.origin.message_index
            if run.offset is None or index is None or run.origin.field != "content":
                continue
            content = example.conversation.messages[index]["content"]
            if example.conversation.role(index) == "tool":  # some templates write it as JSON, which escapes
                continue
            assert content[run.offset : run.offset + run.length] == shown.text[start:end]
    assert others > 1


def test_rows_of_their_own_are_said_so_in_a_comparison() -> None:
    """Nothing can be laid side by side then."""
    both = compare(
        models.model_of(models.model("chatml").tokenizer, LAST_IS_LOUD), CHAT,
        [("verl", {"ignore_input_ids_mismatch": True}), ("verl", {})],
    )  # fmt: skip
    assert both.entries[0].verdict.sentence.startswith("verl trains other tokens, ")
    assert both.entries[1].verdict.sentence.startswith("verl does not take this row: verl stops at this row")
