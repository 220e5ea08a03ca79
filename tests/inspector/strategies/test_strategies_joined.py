"""Trainers that join a row out of pieces: what is shown is their row, and whose it is is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.conversation import Conversation
from inspector.errors import StrategyError, StrategyRefusedError
from inspector.inspection import Inspection
from inspector.strategies import is_trained
from inspector.strategies.joined.nemo import automodel_conversation
from inspector.trainers.compare import compare
from tests import strategy_oracle
from tests.support import models
from tests.support.corpus import CORPUS, THOUGHT

CHAT = CORPUS["two turns"]
HEADED = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAST_IS_LOUD = HEADED.replace("m.content +", "(m.content | upper if loop.last else m.content) +")
"""A template that writes the last message otherwise than the others."""


def look(chat: Any, strategy: str, source: str = HEADED, /, **options: Any) -> Inspection:
    """An inspection with ChatML's tokenizer and a template."""
    return inspector.inspect(models.model_of(models.model("chatml").tokenizer, source), chat, strategy, **options)


def trained(chat: Any, strategy: str, source: str = HEADED, /, **options: Any) -> str:
    """The text of the trained tokens."""
    return models.trained_text(look(chat, strategy, source, **options))


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


# --- LLaMA-Factory

CHATML = HEADED.replace("{{ bos_token }}", "")


def test_llama_factory_parses_the_tokenizers_template() -> None:
    """The answer's slot is its content and what ends the turn, the line end included."""
    assert trained(CHAT, "llama_factory", CHATML) == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    assert look(CHAT, "llama_factory", CHATML).labelled.warnings == ()
    assert trained(CHAT, "llama_factory", CHATML, mask_history=True) == "The Nile.<|im_end|>\n"
    everything = trained(CHAT[:2], "llama_factory", CHATML, train_on_prompt=True)
    assert everything.endswith("<|im_start|>assistant\nThe Danube.<|im_end|>\n")
    changed = HEADED.replace("m.content +", "(m.content | replace('{', '(')) +")
    with pytest.raises(StrategyRefusedError, match="cannot parse the tokenizer's template, whose system slot"):
        look(CHAT, "llama_factory", changed)


def test_llama_factory_renders_with_slots_of_its_own() -> None:
    """A header of the model's template that the slots do not have is not in the row."""
    named = HEADED.replace("m.role +", "m.role + '!' +")
    shown = look(CHAT[:2], "llama_factory", named, template="chatml")
    assert shown.text == (
        "<|im_start|>user\nWhich river runs through Vienna?<|im_end|>\n<|im_start|>assistant\nThe Danube.<|im_end|>\n"
    )
    assert shown.labelled.warnings[0].startswith("LLaMA-Factory puts the row together out of parts")
    assert models.trained_text(shown) == "The Danube.<|im_end|>\n"
    system = look(CORPUS["system"], "llama_factory", named, template="chatml", formatting="openai")
    assert "Answer in one word.\ndetailed thinking off<|im_end|>" in system.text
    with pytest.raises(StrategyRefusedError, match=r"adds '<\|eot_id\|>' to this tokenizer as a special token"):
        look(CHAT, "llama_factory", template="llama3")


def test_llama_factory_moves_thoughts() -> None:
    """An empty thought trains with thinking, and is the question's without; thoughts of history can be taken out."""
    plain = look(CHAT[:2], "llama_factory", CHATML, template="qwen3")
    assert models.trained_text(plain) == "<think>\n\n</think>\n\nThe Danube.<|im_end|>\n"
    off = look(CHAT[:2], "llama_factory", CHATML, template="qwen3", enable_thinking=False)
    assert off.text == plain.text
    assert models.trained_text(off) == "The Danube.<|im_end|>\n"
    chat = CORPUS["think in history"]
    assert THOUGHT not in look(chat, "llama_factory", CHATML, template="qwen3", mask_history=True).text
    kept = look(chat, "llama_factory", CHATML, template="qwen3", mask_history=True, preserve_thinking=True)
    assert THOUGHT in kept.text


def test_llama_factory_cuts_both_ends_of_a_pair() -> None:
    """The question's end and the answer's; what is shown is what is left."""
    whole = look(CHAT[:2], "llama_factory", CHATML)
    cut = look(CHAT[:2], "llama_factory", CHATML, cutoff_len=len(whole.ids) - 4)
    assert len(cut.ids) == len(whole.ids) - 4
    shorter = look(CHAT, "llama_factory", CHATML, cutoff_len=len(whole.ids))
    assert models.trained_text(shorter) == "The Danube.<|im_end|>\n"
    assert "row ends before the last" in shorter.labelled.warnings[0]


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        (CORPUS["consecutive users"], "drops this row: message 1 is of the role user, and questions and answers must"),
        (CORPUS["question only"], "drops this row: it does not end in an answer"),
        (CORPUS["developer"], "drops this row: message 0 is of the role developer, which it does not know"),
        (CORPUS["list content"], "stops at this row: the content of message 0 is not a text"),
        (CORPUS["tools, no call"], "What LLaMA-Factory writes of tools is not reproduced"),
    ],
)
def test_llama_factory_drops_and_stops(chat: Any, reason: str) -> None:
    """What it takes no row of."""
    with pytest.raises(StrategyRefusedError, match=reason):
        look(
            chat,
            "llama_factory",
            CHATML.replace("m.content", "(m.content if m.content is string else m.content[0].text)"),
        )


def test_llama_factory_joins_results_and_refuses_calls() -> None:
    """Results that follow each other are one."""
    result = {"role": "tool", "tool_call_id": "a", "content": "sunny"}
    chat = [*CHAT[:2], result, {**result, "content": "warm"}, {"role": "assistant", "content": "Nice."}]
    shown = look(chat, "llama_factory", CHATML, template="chatml", formatting="openai")
    assert "<|im_start|>tool\nsunny\n</tool_response>\n<tool_response>\nwarm<|im_end|>\n" in shown.text
    called = [*CHAT[:1], CORPUS["tool call"]["messages"][1]]
    with pytest.raises(StrategyRefusedError, match="What LLaMA-Factory writes of calls is not reproduced"):
        look(called, "llama_factory", formatting="openai")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "yi"}, "template is 'yi'; those that are reproduced are: chatml, "),
        ({"formatting": "alpaca"}, "formatting is 'alpaca', which is not one of: sharegpt, openai"),
        ({"cutoff_len": 0}, "cutoff_len is 0, and must be a number of tokens from 1 on"),
    ],
)
def test_llama_factory_names_wrong_options(options: dict[str, Any], message: str) -> None:
    """What is wrong, and what there is."""
    with pytest.raises(StrategyError, match=message):
        look(CHAT, "llama_factory", **options)


# --- ms-swift


def test_ms_swift_takes_the_template_that_gives_the_models_row() -> None:
    """Stop tokens train with the line end that the suffix has; without a template that fits, one must be named."""
    assert trained(CHAT, "ms_swift", CHATML) == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    assert look(CHAT, "ms_swift", CHATML).labelled.warnings == ()
    assert trained(CHAT, "ms_swift", CHATML, loss_scale="last_round") == "The Nile.<|im_end|>\n"
    assert trained(CHAT[:2], "ms_swift", CHATML, loss_scale="all").endswith("assistant\nThe Danube.<|im_end|>\n")
    with pytest.raises(
        StrategyRefusedError, match="none of those that are reproduced gives this model's row: name one"
    ):
        look(CHAT, "ms_swift", CHATML.replace("m.role", "m.role + '!'"))
    shown = look(CHAT[:2], "ms_swift", CHATML.replace("m.role", "m.role + '!'"), template_type="qwen3_nothinking")
    assert shown.labelled.warnings[0].startswith("ms-swift puts the row together out of parts")
    assert models.trained_text(shown) == "The Danube.<|im_end|>\n"


def test_ms_swift_tokenizes_answers_alone() -> None:
    """A line end that would merge with the header's is a token of its own: the same text, other ids."""
    model = inspector.load("tiny-chat").with_template("chatml")
    chat = CORPUS["answer starts with two line breaks"]
    shown = inspector.inspect(model, chat, "ms_swift")
    assert shown.text == inspector.inspect(model, chat).text
    assert models.trained_text(shown) == "\n\nThe Danube.<|im_end|>\n"


def test_ms_swift_moves_thoughts() -> None:
    """An empty one before an answer without, and none in the history of the last round."""
    shown = look(CHAT[:2], "ms_swift", CHATML, template_type="qwen3")
    assert models.trained_text(shown) == "<think>\n\n</think>\n\nThe Danube.<|im_end|>\n"
    chat = CORPUS["think in history"]
    assert THOUGHT in look(chat, "ms_swift", CHATML, template_type="qwen3").text
    last = look(chat, "ms_swift", CHATML, template_type="qwen3", loss_scale="last_round")
    assert THOUGHT not in last.text
    assert "assistant\nThe Danube.<|im_end|>" in last.text


def test_ms_swift_reads_the_messages_own_flags() -> None:
    """`loss` goes before the loss scale; a `loss_scale` of zero takes an answer out; the suffix trains in any case."""
    first, second = {**CHAT[1], "loss": False}, {**CHAT[3], "loss_scale": 0}
    chat = [CHAT[0], first, CHAT[2], second]
    assert trained(chat, "ms_swift", CHATML) == "<|im_end|>\n"
    also = [CHAT[0], {**CHAT[1], "loss": True}, *CHAT[2:]]
    assert "The Danube." in trained(also, "ms_swift", CHATML, loss_scale="last_round")


def test_ms_swift_joins_messages_of_one_role() -> None:
    """Questions are one text, answers keep their own weights; a first answer gets an empty question."""
    assert (
        "Vienna?And through Cairo?"
        in look(CORPUS["consecutive users"], "ms_swift", CHATML, template_type="qwen3_nothinking").text
    )
    answers = trained(CORPUS["consecutive assistants"], "ms_swift", CHATML, template_type="qwen3_nothinking")
    assert answers == "The Danube.The Nile.<|im_end|>\n"
    first = look(CORPUS["assistant alone"], "ms_swift", CHATML, template_type="qwen3_nothinking")
    assert first.text == "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\nWelcome!<|im_end|>\n"
    asked = look(CORPUS["question only"], "ms_swift", CHATML, template_type="qwen3")
    assert asked.text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert not any(asked.trained)


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        (CORPUS["developer"], "Messages of the role developer are not reproduced here: message 0"),
        (CORPUS["tools, no call"], "What ms-swift writes of tools is not reproduced here"),
        ([*CHAT, {"role": "tool", "content": "x"}], "What ms-swift writes of tools is not reproduced here: message 4"),
        (
            [CHAT[0], CORPUS["tool call"]["messages"][1]],
            "What ms-swift writes of calls is not reproduced here: message 1",
        ),
        (CORPUS["system only"], "ms-swift stops at this row: it has no message but the system's"),
        (CORPUS["image in a question"], r"message 0 · content\[0\], which is not a text, is not reproduced"),
    ],
)
def test_ms_swift_stops(chat: Any, reason: str) -> None:
    """What it takes no row of, and what is not reproduced."""
    lenient = CHATML.replace("m.content", "(m.content if m.content is string else m.content[0].text or '')")
    with pytest.raises(StrategyRefusedError, match=reason):
        look(chat, "ms_swift", lenient, template_type="qwen3")


def test_ms_swift_names_wrong_options() -> None:
    """What is wrong, and what there is."""
    with pytest.raises(StrategyError, match="template_type is 'yi'; those that are reproduced are: qwen3, "):
        look(CHAT, "ms_swift", template_type="yi")
    with pytest.raises(StrategyError, match="loss_scale is 'hermes'; those that are reproduced are: default, "):
        look(CHAT, "ms_swift", loss_scale="hermes")


# --- OpenRLHF


def test_openrlhf_trains_the_last_answer_and_writes_the_eos_token() -> None:
    """The row ends before the last line end; with multiturn each answer trains by its count of tokens."""
    shown = look(CHAT, "openrlhf")
    assert models.trained_text(shown) == "The Nile.<|im_end|>"
    assert shown.labelled.warnings == ("OpenRLHF's row ends before the last 1 of the tokens shown.",)
    assert trained(CHAT, "openrlhf", multiturn=True) == "The Danube.<|im_end|>\nThe Nile.<|im_end|>"
    without = HEADED.replace("<|im_end|>\n", "$\n")
    assert look(CHAT[:2], "openrlhf", without).text.endswith("The Danube.$ <|im_end|>")


def test_openrlhf_cuts_answers_by_characters() -> None:
    """Also where the whole does not begin with the prompt: then the row is of both."""
    shown = look(CHAT, "openrlhf", LAST_IS_LOUD)
    assert "AND THROUGH CAIRO?" in shown.text
    assert shown.text.endswith("assistant\nTHE NILE.<|im_end|>")


def test_openrlhf_stops_and_drops() -> None:
    """An answer needs something before it and something in it."""
    with pytest.raises(StrategyRefusedError, match="renders what stands before an answer, and that is no message"):
        look(CORPUS["assistant alone"], "openrlhf")
    with pytest.raises(StrategyRefusedError, match="its prompt or its answer is empty"):
        look(CHAT[:2], "openrlhf", "{{ messages[0].content }}")
    with pytest.raises(StrategyRefusedError, match="OpenRLHF renders the first 1 messages"):
        look(CHAT[:2], "openrlhf", "{% if messages | length < 2 %}{{ raise_exception('no') }}{% endif %}" + HEADED)


# --- NeMo


def test_nemo_automodel_trains_what_each_answer_adds() -> None:
    """The header too, unless the generation prompt is to be left out; tags decide where there are any."""
    header = "<|im_start|>assistant\n"
    assert trained(CHAT[:2], "nemo_automodel") == header + "The Danube.<|im_end|>\n"
    assert trained(CHAT, "nemo_automodel", mask_history=True) == header + "The Nile.<|im_end|>\n"
    both = trained(CHAT, "nemo_automodel", mask_generation_prompt=True)
    assert both == "The Danube.<|im_end|>\nThe Nile.<|im_end|>\n"
    tagged = HEADED.replace("{{ '<|im_start|>'", "{% generation %}{{ '<|im_start|>'").replace(
        "{% endfor %}", "{% endgeneration %}{% endfor %}"
    )
    assert "Which river" in trained(CHAT, "nemo_automodel", tagged)


def _calling(*calls: Any) -> list[Any]:
    return [CHAT[0], {"role": "assistant", "content": "", "tool_calls": list(calls)}]


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        (CORPUS["question only"], "it has no assistant message"),
        (CORPUS["assistant first"], "message 0 is an answer, and transformers renders no conversation"),
        (CORPUS["developer"], "message 0 has the role 'developer', which it does not know"),
        ([CHAT[0], {"role": "assistant", "content": "", "reasoning_content": 1}], "reasoning_content is not a text"),
        ([*CHAT, {"role": "tool", "content": "x"}], "message 4 is a tool's result without a tool_call_id"),
        (_calling({}), r"tool_calls\[0\] has no function with a name"),
        (_calling({"function": {"name": "f"}}), r"tool_calls\[0\] has no arguments"),
        (_calling({"id": 1, "function": {"name": "f", "arguments": {}}}), r"tool_calls\[0\] has an id or a type"),
    ],
)
def test_nemo_automodel_stops(chat: Any, reason: str) -> None:
    """What it takes no row of."""
    with pytest.raises(StrategyRefusedError, match=f"NeMo Automodel stops at this row: .*{reason}"):
        look(chat, "nemo_automodel")


def test_nemo_automodel_stops_where_the_history_is_rewritten() -> None:
    """And at calls that are not a list, which no template takes either."""
    with pytest.raises(StrategyRefusedError, match="the first 1 messages render to other tokens than those"):
        look(CHAT, "nemo_automodel", LAST_IS_LOUD)
    called = {"role": "assistant", "content": "", "tool_calls": {}}
    with pytest.raises(StrategyRefusedError, match="message 1 · tool_calls is not a list"):
        automodel_conversation(Conversation(messages=(CHAT[0], called)))


def test_nemo_automodel_joins_parts_by_blanks() -> None:
    """And shows the row that it makes; the template need not take the one that was given."""
    assert "First half,  second half." in look(CORPUS["list content, two parts"], "nemo_automodel").text


def test_nemo_rl_trains_what_each_answer_adds_to_the_text() -> None:
    """Headers are the questions' with a generation prompt; both ends get their tokens."""
    header = "<|im_start|>assistant\n"
    assert trained(CHAT[:2], "nemo_rl") == header + "The Danube.<|im_end|>\n"
    assert trained(CHAT[:2], "nemo_rl", add_generation_prompt=True) == "The Danube.<|im_end|>\n"
    assert trained(CHAT, "nemo_rl", only_unmask_final=True) == header + "The Nile.<|im_end|>\n"
    bare = CHATML.replace("<|im_end|>", "$").replace("<|im_start|>", "@")
    whole, bos = look(CHAT, "full", bare).text, models.model("chatml").tokenizer.bos_token
    assert look(CHAT, "nemo_rl", bare).text == f"{bos}{whole}<|im_end|>"
    assert look(CHAT, "nemo_rl", bare, add_bos=False, add_eos=False).text == whole


def test_nemo_rl_joins_what_no_render_has() -> None:
    """Where the history is rewritten, a part begins in the middle of a message that was there already."""
    shown = look(CHAT, "nemo_rl", LAST_IS_LOUD)
    assert "WHICH RIVER" in shown.text
    assert "hich river" in shown.text
    assert "is not the one that the template gives" in shown.labelled.warnings[0]


# --- the joined row


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("verl", {"ignore_input_ids_mismatch": True}),
        ("llama_factory", {}),
        ("ms_swift", {"template_type": "qwen3"}),
        ("openrlhf", {"multiturn": True}),
        ("nemo_rl", {}),
    ],
)
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
    assert others


def test_rows_of_their_own_are_said_so_in_a_comparison() -> None:
    """Nothing can be laid side by side then."""
    both = compare(
        models.model_of(models.model("chatml").tokenizer, LAST_IS_LOUD), CHAT,
        [("verl", {"ignore_input_ids_mismatch": True}), ("verl", {})],
    )  # fmt: skip
    assert both.entries[0].verdict.sentence.startswith("verl trains other tokens, ")
    assert both.entries[1].verdict.sentence.startswith("verl does not take this row: verl stops at this row")
