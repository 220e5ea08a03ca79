"""Headers of long conversations: few are rendered, and each is what its own render would have given."""

from __future__ import annotations

import random
from typing import Any

import pytest

from inspector.conversation import Conversation
from inspector.rendering import render as template
from inspector.rendering import situations
from tests import oracle
from tests.support.corpus import THOUGHT, WEATHER, agent_trace, assistant, call, user

SHARED = 24
"""Turns of the conversations that are compared."""


def mixed(seed: int, *, calls: bool, marks: bool) -> dict[str, Any]:
    """Answers with and without reasoning, in a field or in the content; rounds of calls; questions that switch it."""
    chance, messages = random.Random(seed), []
    while sum(message["role"] == "assistant" for message in messages) < SHARED:
        messages.append(user(f"Question {len(messages)}?" + chance.choice(["", "", " /no_think"]) * marks))
        for _ in range(chance.choice([0, 0, 1, 3]) * calls):
            made = call({"city": "Graz"}, content=chance.choice(["", "Let me see."]))
            messages.append(_thoughtful(chance, made, marks=marks))
            result = chance.choice(["clear", "<p>grey</p>"])
            messages.append({"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": result})
        messages.append(_thoughtful(chance, assistant(chance.choice(["Yes.", "\nNo."])), marks=marks))
    return {"messages": messages, **({"tools": [WEATHER]} if calls else {})}


def _thoughtful(chance: random.Random, message: dict[str, Any], *, marks: bool) -> dict[str, Any]:
    if chance.random() < 0.3:
        return {**message, "reasoning_content": THOUGHT}
    if marks and chance.random() < 0.3:
        return {**message, "content": f"<think>\n{THOUGHT}\n</think>\n\n{message['content']}"}
    return message


CONVERSATIONS = {
    "agent": agent_trace(SHARED),
    "chat": {"messages": [user("Hi?"), assistant("Ho.")] * SHARED},
    "reasoning": mixed(1, calls=False, marks=False),
    "marks": mixed(2, calls=False, marks=True),
    "calls": mixed(3, calls=True, marks=False),
    "calls and marks": mixed(4, calls=True, marks=True),
}


def headers(source: str, conversation: Conversation) -> tuple[template.Header, ...] | str:
    """The headers of a conversation, or the kind of error that the template ends in."""
    try:
        return template.render(source, conversation, oracle.SPECIAL_TOKENS).headers
    except Exception as error:  # a template may refuse the conversation with anything
        return type(error).__name__


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_headers_that_are_not_rendered_are_what_their_render_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over every template that is here: prompt, end, and whether the history is kept."""
    conversation, compared = Conversation.parse(CONVERSATIONS[name]), 0
    for title, source in oracle.stored_templates().items():
        some = headers(source, conversation)
        with monkeypatch.context() as patch:
            patch.setattr(situations, "FEW_TURNS", 2 * SHARED)
            assert headers(source, conversation) == some, title
        compared += not isinstance(some, str)
    assert compared > 30


@pytest.mark.parametrize("title", ["trl/gemma4", "trl/gemma4_v5", "trl/qwen3", "trl/gptoss", "tiny-chat"])
def test_an_agent_s_150_turns_cost_a_few_renders(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less than one whole render a header by far: at most eight of them, for all."""
    asked: list[int] = []
    measure = template._generation_prompt

    def counted(text: str, start: int, history: Any, plain: Any) -> Any:
        asked.append(len(history))
        return measure(text, start, history, plain)

    monkeypatch.setattr(template, "_generation_prompt", counted)
    found = headers(oracle.stored_templates()[title], Conversation.parse(agent_trace(150)))
    assert len(found) == 150
    assert all(header.measured for header in found if isinstance(header, template.Header))
    assert len(asked) <= 8


def test_turns_that_differ_from_each_other_are_measured_until_the_most() -> None:
    """A field of its own makes each message another kind; what is one too many is left out, in order."""
    messages = [{"role": role, "content": "Hi", f"f{i}": 1} for i in range(20) for role in ("user", "assistant")]
    turns = range(1, 40, 2)
    found = situations.measure_some("{{ 1 }}", messages, turns, lambda turn: turn, lambda turn, found: True, most=15)
    assert found == {turn: turn for turn in turns[:15]}


def test_a_group_that_does_not_agree_is_measured_one_by_one() -> None:
    """What was measured is not given to others, and what is not seen in a turn is measured there."""
    messages = [user("Hi"), assistant("Ho")] * 20
    turns = range(1, 40, 2)
    each = situations.measure_some("", messages, turns, lambda turn: turn, lambda turn, found: True, most=99)
    assert each == {turn: turn for turn in turns}
    odd = situations.measure_some("", messages, turns, lambda turn: turn == 9, lambda turn, found: turn != 9, most=99)
    assert odd == {turn: turn == 9 for turn in turns}
