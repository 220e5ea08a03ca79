"""Template text belongs to the message whose own text it stands around, however the template walks over messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.conversation import Conversation
from inspector.findings.codes import Code
from inspector.findings.example import find_all
from inspector.rendering.render import render
from inspector.strategies import Example, Labelled, label
from tests import oracle
from tests.oracles import turn_templates
from tests.oracles.turn_templates import BODIES, END, LISTS, OPEN, QUOTES, TOPS, WALKS
from tests.support.mistral_templates import mistral_templates

DATA = Path(__file__).parents[1] / "data" / "turns"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TOKENIZER = oracle.byte_tokenizer([OPEN, END, "<s>", "</s>"], eos_token=END)
ROLES = ["ua", "uaua", "suaua", "uctaua", "uctctacta", "aua", "uaaua", "uuaa", "scta", "ucttau"]


def labelled(source: str, messages: Any, tokenizer: Any = TOKENIZER, **keywords: Any) -> tuple[Example, Labelled]:
    """A conversation through a template, and what traced trains."""
    conversation = Conversation.parse({"messages": messages, **keywords})
    example = oracle.example(source, conversation, render(source, conversation, SPECIAL), tokenizer)
    return example, label(example, "traced", {})


def shown(example: Example, answer: Labelled) -> str:
    """The text with what trains in marks."""
    trained = oracle.trained_chars(example.tokens, answer.trained)
    text = "".join(f"«{char}»" if at in trained else char for at, char in enumerate(example.rendered.text))
    return text.replace("»«", "")


# --- templates as models have them


@pytest.mark.parametrize(
    ("name", "conversation", "trained"),
    [
        ("rebuilt_messages", "plain", ["Apple.", "Pear."]),
        ("last_message_after_the_loop", "plain", ["Apple.", "Pear."]),
        ("call_numbered_by_a_macro", "calls", ["[weather]", "No rain.", "[weather]", "It rains."]),
        ("name_looked_up_for_the_result", "calls", ["[weather]", "No rain.", "[weather]", "It rains."]),
    ],
)
def test_each_answer_trains_with_its_stop_and_nothing_else(name: str, conversation: str, trained: list[str]) -> None:
    """Lists made anew, the last message after the loop, loops in macros and in turns: none of them moves an answer."""
    source = (DATA / f"{name}.jinja").read_text(encoding="utf-8")
    messages = json.loads((DATA / f"{conversation}.json").read_text(encoding="utf-8"))
    example, answer = labelled(source, messages)
    assert re.findall("«(.*?)»", shown(example, answer), re.DOTALL) == [text + END for text in trained]
    assert Code.STOP_TOKEN_NOT_TRAINED not in {finding.code for finding in find_all(example, answer)}


def test_last_tool_call_after_the_loop_has_its_frame() -> None:
    """A call that the template writes after its loop trains with its brackets and its stop."""
    source = (DATA / "last_message_after_the_loop.jinja").read_text(encoding="utf-8")
    frame = "{% for c in ns.last.tool_calls or [] %}<call>{{ c.function | tojson }}</call>{% endfor %}"
    source = source.replace("{{ ns.last.content }}", "{{ ns.last.content }}" + frame)
    messages = json.loads((DATA / "calls.json").read_text(encoding="utf-8"))[:2]
    found = re.findall("«(.*?)»", shown(*labelled(source, messages)), re.DOTALL)
    assert found == ['<call>{"name": "weather", "arguments": {"city": "Oslo"}}</call>' + END]


_CITY = {"type": "function", "id": "abcdefgh1", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
_FRUIT = [{"role": "user", "content": "A fruit?"}, {"role": "assistant", "content": "Apple."}]
_MORE = [{"role": "user", "content": "Another?"}, {"role": "assistant", "content": "Pear."}]


@pytest.fixture(scope="module")
def mistral() -> Mapping[str, str]:
    """The templates that mistral-common generates."""
    return mistral_templates()


def test_generated_mistral_templates_train_every_stop(mistral: Mapping[str, str]) -> None:
    """transformers attaches these when it converts tekken files; they rebuild and merge the messages first."""
    assert len(mistral) >= 10
    merged = [*_FRUIT, {"role": "assistant", "content": "Plum."}, *_MORE]
    for name, source in mistral.items():
        special = sorted({*re.findall(r"\[/?[A-Z_]+\]", source), "<s>", "</s>"})
        tokenizer = oracle.byte_tokenizer(special, **SPECIAL)
        for messages, trained in (
            ([*_FRUIT, *_MORE], ["Apple.", "Pear."]),
            (merged, ["Apple.\n\nPlum.", "Pear."]),
        ):
            found = re.findall("«(.*?)»", shown(*labelled(source, messages, tokenizer)), re.DOTALL)
            assert [text.strip() for text in found] == [text + "</s>" for text in trained], name


def test_generated_mistral_templates_train_calls(mistral: Mapping[str, str]) -> None:
    """A call with all that the template writes around it, and the answer after its result."""
    call = {"role": "assistant", "content": "", "tool_calls": [_CITY]}
    result = {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": "dry"}
    answer = {"role": "assistant", "content": "Dry."}
    for name, source in mistral.items():
        if name.split()[0] == "v1":  # has no calls
            continue
        special = sorted({*re.findall(r"\[/?[A-Z_]+\]", source), "<s>", "</s>"})
        tokenizer = oracle.byte_tokenizer(special, **SPECIAL)
        example, answered = labelled(source, [_FRUIT[0], call, result, answer, *_MORE], tokenizer, tools=[])
        found = [text.strip() for text in re.findall("«(.*?)»", shown(example, answered), re.DOTALL)]
        assert found[-1] == "Pear.</s>", name
        if "Oslo" in example.rendered.text:  # older versions drop calls that lie before the last question
            assert found[0].startswith("[TOOL_CALLS]"), name
            assert found[0].endswith("</s>"), name
            assert found[1] == "Dry.</s>", name


# --- templates put together


def wrong(template: str, roles: str, *, opens: bool = False) -> str:
    """What trains beside or instead of what the text itself says; "" when all is right, or said to be unknown."""
    messages = turn_templates.conversation(roles)
    example, answer = labelled(template, messages, add_generation_prompt=opens)
    text = example.rendered.text
    trained = oracle.trained_chars(example.tokens, answer.trained)
    expected = turn_templates.expected(text, messages)
    if trained == expected:
        return ""
    if example.rendered.unknown_turns:
        codes = {finding.code for finding in find_all(example, answer)}
        assert Code.TURN_UNKNOWN in codes or not any(answer.trained)
        return ""
    return f"{template}\n{shown(example, answer)}"


VARIANTS: list[tuple[list[str], str, str, str]] = [
    ([], "none", "none", "none"),
    *(([name], "none", "none", "none") for name in LISTS),
    *(([], name, "none", "none") for name in QUOTES),
    *(([], "none", name, "none") for name in QUOTES),
    *(([], "none", "none", name) for name in TOPS),
]
"""Each way to make the list anew, each quote before and after a turn, and each text above them."""


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_walk_over_messages(walk: str, variant: tuple[list[str], str, str, str]) -> None:
    """One way to walk, one thing beside it, and every order of roles: a template is compiled once for all of them."""
    lists, before, after, top = variant
    template = turn_templates.template(walk, lists, "text", before, after, top)
    assert not [said for roles in ROLES if (said := wrong(template, roles))]


@given(
    walk=st.sampled_from(list(WALKS)),
    lists=st.lists(st.sampled_from(list(LISTS)), max_size=3),
    body=st.sampled_from(list(BODIES)),
    before=st.sampled_from(list(QUOTES)),
    after=st.sampled_from(list(QUOTES)),
    top=st.sampled_from(list(TOPS)),
    roles=st.sampled_from(ROLES),
    opens=st.booleans(),
)
@example(
    walk="loop", lists=["neighbours merged"], body="text", before="none", after="none", top="none", roles="uuaa",
    opens=True,
)  # fmt: skip
def test_walks_in_each_other(
    walk: str, lists: list[str], body: str, before: str, after: str, top: str, roles: str, opens: bool
) -> None:
    """Any list of any lists, walked over in any way, with any quotes: only what the assistant says, and all of it."""
    assert not wrong(turn_templates.template(walk, lists, body, before, after, top), roles, opens=opens)


def test_few_turns_are_unknown() -> None:
    """Unknown is for templates that write a turn differently each time, not for those that were not looked at."""
    plain = [turn_templates.template(walk, [], "text", "none", "none", "none") for walk in WALKS]
    for source in plain:
        for roles in ROLES:
            example, _ = labelled(source, turn_templates.conversation(roles))
            assert example.rendered.unknown_turns == ()


def test_a_turn_that_cannot_be_told_is_said_to_be_unknown() -> None:
    """A template that counts future messages in every turn, and has no loop round for one: nothing is claimed."""
    source = turn_templates.template("unrolled", [], "text", "none", "number of calls", "none")
    example, answer = labelled(source, turn_templates.conversation("uctctacta"))
    found = {finding.code: finding for finding in find_all(example, answer)}
    assert example.rendered.unknown_turns
    assert "guess" in found[Code.TURN_UNKNOWN].detail
    claims = [finding for finding in find_all(example, answer) if finding.code is Code.STOP_TOKEN_NOT_TRAINED]
    assert not {finding.message_index for finding in claims} & set(example.rendered.unknown_turns)


def test_a_turn_read_off_beginnings_says_so() -> None:
    """Where the loop alone had it wrong, a note says how the turn was found."""
    source = (DATA / "last_message_after_the_loop.jinja").read_text(encoding="utf-8")
    example, answer = labelled(source, [*_FRUIT, *_MORE])
    found = {finding.code: finding for finding in find_all(example, answer)}
    assert example.rendered.read_off == (3,)
    assert found[Code.TURN_READ_OFF].message_index == 3
