"""A check with nothing but ids and labels, on many templates: no right mask is called wrong, wrong ones are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from inspector.conversation import Conversation
from inspector.inspection import Inspection, inspect_rendered
from inspector.live import check
from inspector.tagging.conversations import proof_conversations
from inspector.trainers.board import CHAT
from tests import oracle
from tests.support import models

TEMPLATES = [
    "trl/deepseekv3", "trl/gemma", "trl/gemma4", "trl/glm4moe", "trl/gptoss", "trl/llama3", "trl/nemotron_3_nano",
    "trl/phi3", "trl/qwen2_5", "trl/qwen3", "trl/qwen3_5_think", "trl/qwen3_training",
]  # fmt: skip
"""Those that write reasoning, calls and results in many ways, and the plain ones."""
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<s>",
    "</s>", "<start_of_turn>", "<end_of_turn>", "<|start|>", "<|end|>", "<|return|>", "<|endoftext|>",
]  # fmt: skip


@cache
def _inspections(template: str) -> tuple[dict[str, Inspection], models.Model]:
    tokenizer = models.trained_tokenizer(SPECIAL, eos_token="</s>", bos_token="<s>")
    model = models.model_of(tokenizer, oracle.stored_templates()[template], template)
    conversations = proof_conversations()
    chat = inspect_rendered(model, [conversations[CHAT]])
    return {str(i): one for i, one in enumerate([*chat, *inspect_rendered(model, conversations.values())])}, model


@pytest.mark.parametrize("template", TEMPLATES)
def test_right_masks_are_never_called_wrong(template: str) -> None:
    """Rows of chats, calls, results and reasoning, read back from their ids: right, or said to be unknown."""
    inspections, model = _inspections(template)
    rows = [{"input_ids": one.ids, "labels": one.labels} for one in inspections.values() if any(one.trained)]
    report = check(rows, tokenizer=model)
    assert [(one.kind, one.row.around(one.span)) for one in report.problems if one.level == "wrong"] == []
    assert sum(row.verdict.level == "right" for row in report.rows) > len(rows) / 2


def _all(one: Inspection) -> list[int]:
    return one.ids


def _no_stops(one: Inspection) -> list[int]:
    stops = {turn.stop_token for _, turn in one.example.answers()}
    return [-100 if i in stops else label for i, label in enumerate(one.labels)]


def _question_too(one: Inspection) -> list[int]:
    tokens = {
        i for index, turn in one.example.turns.items() if one.example.conversation.role(index) == "user"
        for i in turn.tokens
    }  # fmt: skip
    return [id if i in tokens else label for i, (id, label) in enumerate(zip(one.ids, one.labels, strict=True))]


def _last_alone(one: Inspection) -> list[int]:
    last = list(one.example.answers())[-1][1].tokens[0]
    return [label if i >= last else -100 for i, label in enumerate(one.labels)]


def _nothing(one: Inspection) -> list[int]:
    return [-100] * len(one.ids)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("labels", "kinds"),
    [
        (_all, {"extra:user"}),
        (_no_stops, {"missing:stop"}),
        (_question_too, {"extra:user"}),
        (_last_alone, {"missing:answer"}),
        (_nothing, {"missing:answer"}),
    ],
)
def test_wrong_masks_are_named(template: str, labels: Callable[[Inspection], list[int]], kinds: set[str]) -> None:
    """On a chat of two turns each mistake is of its kind, where the template's stops are tokens of their own."""
    inspections, model = _inspections(template)
    chat = inspections["0"]
    if labels is _no_stops and None in {turn.stop_token for _, turn in chat.example.answers()}:
        pytest.skip("its stop is text to this tokenizer")
    report = check([{"input_ids": chat.ids, "labels": labels(chat)}], tokenizer=model)
    assert kinds <= {one.kind for one in report.problems if one.level == "wrong"}


def test_reasoning_that_the_prompt_may_hold() -> None:
    """An empty `<think></think>` that is left out may be the end of a prompt without thinking."""
    inspections, model = _inspections("trl/qwen3")
    one = inspections["0"]
    last = list(one.example.answers())[-1][1]
    begin = one.example.rendered.text.index("</think>", last.start)
    labels = [
        -100 if span[1] <= begin + len("</think>\n\n") else label
        for label, span in zip(one.labels, one.example.tokens.char_spans, strict=True)
    ]
    report = check([{"input_ids": one.ids, "labels": labels}], tokenizer=model, turns="last")
    assert report.ok
    assert [one.kind for one in report.problems if one.level == "unknown"] == ["doubtful"]


def test_reasoning_is_read_where_the_template_always_writes_it() -> None:
    """TRL's template for Qwen3 begins every answer with `<think>`; reasoning is read between its marks."""
    _, model = _inspections("trl/qwen3_training")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "reasoning_content": "Hm.", "content": "Hello!"}]
    (one,) = inspect_rendered(model, [Conversation(messages=tuple(chat))])
    report = check([{"input_ids": one.ids, "labels": one.labels}], tokenizer=model)
    assert report.ok
    assert report.rows[0].verdict.level == "right"
