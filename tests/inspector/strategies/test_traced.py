"""The traced strategy trains exactly what the assistant has to write, and its options leave out what they say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.errors import StrategyError
from inspector.inspection import Inspection
from inspector.strategies import REASON_TEXTS, Reason, StopPolicy, TurnPolicy
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

CHAT = CORPUS["system, two turns"]
NAMES = list(models.SOURCES)


def trace(name: str, conversation: Any, **options: Any) -> Inspection:
    """Inspect with one of the models made in the tests."""
    return inspector.inspect(models.model(name), conversation, **options)


def byte_trace(template: str, conversation: Any, **options: Any) -> Inspection:
    """Inspect with a template's own byte tokenizer."""
    source = oracle.stored_templates()[template]
    return inspector.inspect(models.model_of(oracle.tokenizer_for_source(source), source), conversation, **options)


def reasons(inspection: Inspection, reason: Reason) -> str:
    """The text of the tokens with this reason."""
    pieces = inspection.example.tokens.pieces()
    own = zip(pieces, inspection.labelled.reasons, strict=True)
    return "".join(piece for piece, given in own if given is reason)


# --- which turns


def test_every_assistant_turn_is_trained_with_its_stop_token() -> None:
    """The default: the answers and what ends them, nothing else."""
    assert models.trained_text(trace("chatml", CHAT)) == "The Danube.<|im_end|>The Nile.<|im_end|>"


def test_each_token_has_the_reason_for_its_bit() -> None:
    """Header, answer, stop token and the line break behind it are told apart."""
    inspection = trace("chatml", CORPUS["one turn"])
    assert reasons(inspection, Reason.HEADER) == "<|im_start|>assistant\n"
    assert reasons(inspection, Reason.ANSWER) == "The Danube."
    assert reasons(inspection, Reason.STOP) == "<|im_end|>"
    assert reasons(inspection, Reason.AFTER_STOP) == "\n"
    assert reasons(inspection, Reason.FIRST_TOKEN) == "<|im_start|>"
    assert reasons(inspection, Reason.CONTEXT) == "user\nWhich river runs through Vienna?<|im_end|>\n"
    bits = [reason.is_trained for reason in inspection.labelled.reasons]
    assert bits == [bool(bit) for bit in inspection.trained]


def test_last_trains_the_last_answer_only() -> None:
    """The answers before it are left out by the policy."""
    inspection = trace("chatml", CHAT, turns="last")
    assert models.trained_text(inspection) == "The Nile.<|im_end|>"
    assert "The Danube.<|im_end|>" in reasons(inspection, Reason.POLICY)


def test_flagged_trains_what_the_messages_say() -> None:
    """An assistant message that says nothing is trained, a user message that says so too."""
    chat = [
        {"role": "user", "content": "Repeat: one.", "train": True},
        {"role": "assistant", "content": "One.", "weight": 0},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Two."},
    ]
    inspection = trace("chatml", chat, turns="flagged")
    assert models.trained_text(inspection) == "Repeat: one.<|im_end|>Two.<|im_end|>"
    assert [finding.code for finding in inspection.findings] == []


def test_every_token_trains_all_but_the_first() -> None:
    """Nothing comes before the first token that could predict it."""
    inspection = trace("chatml", CHAT, turns="every_token")
    assert inspection.trained == [0] + [1] * (len(inspection.ids) - 1)
    assert inspection.labelled.reasons[0] is Reason.FIRST_TOKEN


def test_a_flag_changes_nothing_for_the_other_policies() -> None:
    """Flags count when they are asked for."""
    flagged = CORPUS["per-message flags"]
    assert models.trained_text(trace("chatml", flagged)) == "The Danube.<|im_end|>The Nile.<|im_end|>"
    assert models.trained_text(trace("chatml", flagged, turns="flagged")) == "The Nile.<|im_end|>"


# --- the stop token


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("every", "The Danube.<|im_end|>The Nile.<|im_end|>"),
        ("last", "The Danube.The Nile.<|im_end|>"),
        ("never", "The Danube.The Nile."),
    ],
)
def test_stop_policy_decides_over_the_stop_tokens_alone(stop: str, expected: str) -> None:
    """The answers stay trained."""
    assert models.trained_text(trace("chatml", CHAT, stop=stop)) == expected


def test_last_stop_is_that_of_the_last_trained_turn() -> None:
    """Also when the last turn of the conversation is not trained."""
    chat = [*CORPUS["two turns"][:3], {"role": "assistant", "content": "Not this.", "train": False}]
    inspection = trace("chatml", chat, turns="flagged", stop="last")
    assert models.trained_text(inspection) == "The Danube.<|im_end|>"


def test_stop_text_inside_an_answer_is_not_the_stop_token() -> None:
    """The turn ends where the template ends it."""
    chat = [CHAT[1], {"role": "assistant", "content": "Say <|im_end|> now."}]
    inspection = trace("chatml", chat)
    assert models.trained_text(inspection) == "Say <|im_end|> now.<|im_end|>"
    assert reasons(inspection, Reason.STOP) == "<|im_end|>"


def test_an_answer_that_ends_in_the_stop_text_keeps_both() -> None:
    """One is the message's, one the template's."""
    chat = [CHAT[1], {"role": "assistant", "content": "Done<|im_end|>"}]
    assert models.trained_text(trace("chatml", chat, stop="never")) == "Done<|im_end|>"


def test_the_next_header_can_close_the_turn() -> None:
    """GLM writes no stop token: its next header ends the turn, and is trained when the option says so."""
    chat = CORPUS["ends in a question"]
    without = byte_trace("trl/glm4moe", chat)
    assert models.trained_text(without) == "\n<think></think>\nThe Danube.\n<think></think>\nThe Nile."
    assert [finding.code for finding in without.findings].count("stop_token_not_trained") == 2
    closed = byte_trace("trl/glm4moe", chat, closing_header=True)
    assert models.trained_text(closed) == (
        "\n<think></think>\nThe Danube.<|user|>\n<think></think>\nThe Nile.<|user|>"
    )  # fmt: skip
    assert "stop_token_not_trained" not in [finding.code for finding in closed.findings]


def test_closing_header_obeys_the_stop_policy() -> None:
    """No stop token wanted, no closing header trained."""
    chat = CORPUS["ends in a question"]
    never = byte_trace("trl/glm4moe", chat, closing_header=True, stop="never")
    assert "<|user|>" not in models.trained_text(never)


def test_closing_header_changes_nothing_where_there_is_a_stop_token() -> None:
    """The option is for templates that write none."""
    assert trace("chatml", CHAT, closing_header=True).trained == trace("chatml", CHAT).trained


# --- parts of an answer


def test_reasoning_can_be_left_out() -> None:
    """With the template's tags around it; the answer and the stop token stay."""
    chat = CORPUS["reasoning field"]
    assert models.trained_text(trace("qwen3", chat)) == (
        f"<think>\n{chat[1]['reasoning_content']}\n</think>\n\nThe Danube.<|im_end|>"
    )
    assert models.trained_text(trace("qwen3", chat, reasoning=False)) == "The Danube.<|im_end|>"


def test_reasoning_inside_the_content_can_be_left_out() -> None:
    """`<think>` in the content is reasoning too."""
    chat = CORPUS["think in content"]
    assert models.trained_text(trace("chatml", chat, reasoning=False)) == "The Danube.<|im_end|>"


def test_tool_calls_can_be_left_out() -> None:
    """The call and its tags are not trained, words beside it are."""
    chat = CORPUS["tool call with content"]
    whole = models.trained_text(trace("qwen3", chat))
    assert whole.startswith("One moment.\n<tool_call>\n") or "<tool_call>" in whole
    without = models.trained_text(trace("qwen3", chat, tool_calls=False))
    assert "get_weather" not in without
    assert "<tool_call>" not in without
    assert "One moment." in without
    assert without.endswith("Clear skies.<|im_end|>")


def test_tool_call_left_out_keeps_the_stop_token() -> None:
    """A turn that is only a call still teaches to stop."""
    chat = {"messages": CORPUS["tool call"]["messages"], "tools": CORPUS["tool call"]["tools"]}
    text = models.trained_text(trace("tiny-chat", chat, tool_calls=False))
    assert text == "<|im_end|>"


def test_a_tool_result_is_never_trained() -> None:
    """Nor the called function's name in its header (gpt-oss), nor results in the assistant's loop turn (Gemma 4)."""
    gptoss = models.trained_text(byte_trace("trl/gptoss", CORPUS["tool round"]))
    assert gptoss.count("get_weather") == 1
    gemma = models.trained_text(byte_trace("trl/gemma4", CORPUS["tool round"]))
    assert "sky" not in gptoss + gemma
    assert "response:" not in gemma
    assert "<|turn>model" not in gemma


# --- headers


@pytest.mark.parametrize("name", ["llama3", "qwen3", "chatml", "tiny-chat"])
def test_header_of_an_assistant_who_speaks_first_is_not_trained(name: str) -> None:
    """Nobody asked before, and still the prompt supplies the header; nor is `<s>` in front of it trained."""
    inspection = trace(name, CORPUS["assistant first"])
    answer = models.ANSWERS[name]
    expected = [answer("Welcome!", False), answer("The Danube.", True)]
    assert models.trained_text(inspection) == "".join(text + models.STOPS[name] for text in expected)


def test_default_system_text_in_the_first_turn_is_not_trained() -> None:
    """Qwen2.5-VL writes one in the loop turn of the first message, whoever that is."""
    text = models.trained_text(byte_trace("trl/qwen2_5_vl", CORPUS["assistant alone"]))
    assert text == "Welcome!<|im_end|>"


def test_text_that_only_begins_like_the_prompt_is_trained() -> None:
    """`<a href` and the prompt's `<think>` both begin with `<`."""
    text = models.trained_text(byte_trace("trl/deepseek_r1_distill", CORPUS["content is markup"]))
    assert text == '<a href="x">A &amp; B</a><｜end▁of▁sentence｜>'


def test_a_token_that_only_begins_like_the_prompt_is_trained_whole() -> None:
    """`<tool_call>` and the prompt's `<think>` are different tokens."""
    source = oracle.stored_templates()["trl/qwen3_5_think"]
    tokenizer = oracle.byte_tokenizer(["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>"])
    inspection = inspector.inspect(models.model_of(tokenizer, source), CORPUS["tool round"])
    assert models.trained_text(inspection).startswith("<tool_call>\n<function=get_weather>")


def test_loop_over_numbers_has_turns_too() -> None:
    """A template may count its messages instead of walking over them."""
    source = (
        "{% for i in range(messages|length) %}{% set m = messages[i] %}{% set before = messages[i - 1] %}"
        "<|a|>{{ m.role }}\n{{ m.content }}<|b|>\n{% endfor %}{% if add_generation_prompt %}<|a|>assistant\n{% endif %}"
    )
    inspection = inspector.inspect(
        models.model_of(oracle.byte_tokenizer(["<|a|>", "<|b|>"]), source), CORPUS["two turns"]
    )
    assert models.trained_text(inspection) == "The Danube.<|b|>The Nile.<|b|>"


# --- straddlers


def test_straddler_is_trained_and_flagged_unless_left_out() -> None:
    """Content that starts with a line break merges with the header's."""
    chat = CORPUS["answer starts with a line break"]
    inspection = trace("chatml", chat)
    index = models.token_index(inspection, "\n\n")
    assert inspection.trained[index] == 1
    assert inspection.straddlers == [index]
    assert inspection.labelled.mixed == (index,)
    without = trace("chatml", chat, straddlers=False)
    assert without.trained[index] == 0
    assert without.labelled.reasons[index] is Reason.STRADDLER
    assert models.trained_text(without) == "The Danube.<|im_end|>"


def test_straddlers_off_leaves_clean_tokens_alone() -> None:
    """Without merges the option changes nothing."""
    assert trace("chatml", CHAT, straddlers=False).trained == trace("chatml", CHAT).trained


# --- a trailing generation prompt


def test_trailing_generation_prompt_is_not_trained() -> None:
    """It is the header of an answer that is still to come."""
    inspection = trace("chatml", CORPUS["generation prompt after an answer"])
    assert models.trained_text(inspection) == "The Danube.<|im_end|>"
    assert reasons(inspection, Reason.GENERATION_PROMPT) == "<|im_start|>assistant\n"


# --- labels


def test_labels_are_the_ids_where_trained() -> None:
    """Elsewhere the number that trainers ignore."""
    inspection = trace("chatml", CHAT)
    for id, bit, label in zip(inspection.ids, inspection.trained, inspection.labels, strict=True):
        assert label == (id if bit else -100)
    assert inspection.labelled.labels((7,) * len(inspection.ids), ignored=0).count(7) == sum(inspection.trained)


def test_first_token_is_never_trained() -> None:
    """A template that starts with the answer loses its first token: it is shown so."""
    tokenizer = oracle.byte_tokenizer(["<|b|>"])
    source = "{% for m in messages %}{{ m.content }}<|b|>{% endfor %}"
    inspection = inspector.inspect(models.model_of(tokenizer, source), CORPUS["assistant alone"])
    assert inspection.trained[0] == 0
    assert models.trained_text(inspection) == "elcome!<|b|>"


def test_every_reason_has_a_text_that_says_its_bit() -> None:
    """People read these beside each token."""
    assert list(REASON_TEXTS) == list(Reason)
    for reason, text in REASON_TEXTS.items():
        assert text.startswith("trained:" if reason.is_trained else "not trained:")


# --- errors


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        ("magic", {}, r"There is no strategy 'magic'; there are: traced"),
        ("traced", {"turn": "all"}, r"Strategy 'traced' has no option 'turn'; its options are: turns, stop, r"),
        ("traced", {"example": 1}, r"has no option 'example'"),
        ("traced", {"turns": "some"}, r"turns is 'some', which is not one of: all, last, flagged, every_token\."),
        ("traced", {"stop": "maybe"}, r"'traced': stop is 'maybe', which is not one of: every, last, never\."),
        ("traced", {"turns": None}, r"turns is None, which is not one of"),
        ("traced", {"stop": ["every"]}, r"stop is \['every'\], which is not one of"),
        ("traced", {"reasoning": "yes"}, r"reasoning is 'yes', and must be true or false\."),
        ("traced", {"straddlers": 1}, r"straddlers is 1, and must be true or false\."),
    ],
)  # fmt: skip
def test_unknown_strategy_option_or_value_is_refused(strategy: str, options: dict[str, Any], said: str) -> None:
    """The message lists what there is."""
    with pytest.raises(StrategyError, match=said):
        trace("chatml", CHAT, strategy=strategy, **options)


# --- over generated conversations

TEXT = st.lists(
    st.sampled_from(
        [*"a\t?!é維\n ", "river", "Danube", "\n\n", "👩‍👩‍👧", "<|im_end|>", "<|eot_id|>", "<|im_start|>"]
    ),
    max_size=6,
).map("".join)  # fmt: skip
CHATS = st.builds(
    lambda system, turns: [
        *([{"role": "system", "content": system}] if system is not None else []),
        *itertools.chain.from_iterable(
            ({"role": "user", "content": user}, {"role": "assistant", "content": answer}) for user, answer in turns
        ),
    ],
    st.none() | TEXT,
    st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3),
)


@pytest.mark.parametrize("name", NAMES)
def test_over_any_conversation_only_answers_and_stops_are_trained(name: str) -> None:
    """Trained text, less what straddlers bring along, is each answer and its stop token, for every template."""

    @given(CHATS)
    def check(chat: list[dict[str, Any]]) -> None:
        inspection = trace(name, chat)
        tokens, labelled = inspection.example.tokens, inspection.labelled
        assert oracle.wrong_tokens(tokens, inspection.text) == []
        exact = trained_characters(inspection, without_foreign=True)
        assert exact == "".join(expected_answers(name, chat))
        for index, bit in enumerate(labelled.trained):
            roles = {
                chat[run.origin.message_index]["role"]
                for run in tokens.runs[index]
                if run.origin.message_index is not None and run.origin.field != "role"
            }
            assert not bit or roles <= {"assistant"} or index in inspection.straddlers
        for index, turn in inspection.example.turns.items():
            if chat[index]["role"] == "assistant":
                assert turn.stop_token is not None
                assert labelled.trained[turn.stop_token]
                assert tokens.texts[turn.stop_token] == models.STOPS[name]

    check()


def expected_answers(name: str, chat: list[dict[str, Any]]) -> list[str]:
    """What the template has the model write, turn by turn."""
    answers = [message["content"] for message in chat if message["role"] == "assistant"]
    last = len(answers) - 1
    return [models.ANSWERS[name](text, i == last) + models.STOPS[name] for i, text in enumerate(answers)]


def trained_characters(inspection: Inspection, *, without_foreign: bool) -> str:
    """The characters under trained tokens, without those before or behind the turn's own part in a straddler."""
    trained = oracle.trained_chars(inspection.example.tokens, inspection.labelled.trained)
    if without_foreign:
        turns = [
            t for i, t in inspection.example.turns.items() if inspection.example.conversation.role(i) == "assistant"
        ]
        stops = {t.message_index: inspection.example.tokens.char_spans[t.stop_token or 0][1] for t in turns}
        trained = {p for p in trained if any(t.answer_start <= p < stops[t.message_index] for t in turns)}
    return "".join(inspection.text[position] for position in sorted(trained))


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_over_any_conversation_policies_only_leave_out(name: str) -> None:
    """What a narrower policy trains, the default trains too."""

    @given(CHATS, st.sampled_from(["all", "last", "flagged"]), st.sampled_from(list(StopPolicy)), st.booleans())
    def check(chat: list[dict[str, Any]], turns: str, stop: str, straddlers: bool) -> None:
        narrow = trace(name, chat, turns=turns, stop=stop, straddlers=straddlers)
        wide = trace(name, chat)
        assert narrow.ids == wide.ids
        assert all(a <= b for a, b in zip(narrow.trained, wide.trained, strict=True))
        full = trace(name, chat, turns=TurnPolicy.EVERY_TOKEN)
        assert sum(full.trained) == len(full.ids) - 1

    check()


def test_decoded_trained_tokens_are_the_answers() -> None:
    """The ids themselves, not only their spans, spell the answers."""
    for name in NAMES:
        inspection = trace(name, CHAT)
        ids = [id for id, bit in zip(inspection.ids, inspection.trained, strict=True) if bit]
        decoded = models.model(name).tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        assert decoded == "".join(expected_answers(name, CHAT)), name
