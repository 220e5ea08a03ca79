"""The built-in chat templates, rendered by transformers itself."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from inspector.model.model import BUILT_IN_TEMPLATES, TEMPLATE_FOLDER

SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = [
    {"role": "user", "content": "Hi  "},
    {"role": "assistant", "content": " Hello!"},
    {"role": "user", "content": "Name a\ncolour."},
    {"role": "assistant", "content": "Red"},
    {"role": "user", "content": "<b>Why?</b>"},
    {"role": "assistant", "content": "Because."},
]
EXPECTED = {
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\nHi  </s>\n<|assistant|>\n Hello!</s>\n"
    "<|user|>\nName a\ncolour.</s>\n<|assistant|>\nRed</s>\n<|user|>\n<b>Why?</b></s>\n<|assistant|>\nBecause.</s>\n",
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi  <|im_end|>\n"
    "<|im_start|>assistant\n Hello!<|im_end|>\n<|im_start|>user\nName a\ncolour.<|im_end|>\n"
    "<|im_start|>assistant\nRed<|im_end|>\n<|im_start|>user\n<b>Why?</b><|im_end|>\n"
    "<|im_start|>assistant\nBecause.<|im_end|>\n",
    "llama-2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] Name a\ncolour. [/INST] "
    "Red </s><s>[INST] <b>Why?</b> [/INST] Because. </s>",
    "alpaca": "<s>Be brief.\n\n### Instruction:\nHi  \n\n### Response:\n Hello!</s>\n\n"
    "### Instruction:\nName a\ncolour.\n\n### Response:\nRed</s>\n\n"
    "### Instruction:\n<b>Why?</b>\n\n### Response:\nBecause.</s>",
    "human-assistant": "<s>Be brief.\n### Human: Hi  \n### Assistant:  Hello!</s>\n### Human: Name a\ncolour.\n"
    "### Assistant: Red</s>\n### Human: <b>Why?</b>\n### Assistant: Because.</s>",
}
WITHOUT_SYSTEM = {
    "zephyr": "<|user|>\nHi  </s>\n",
    "chatml": "<|im_start|>user\nHi  <|im_end|>\n",
    "llama-2": "<s>[INST] Hi [/INST]",
    "alpaca": "<s>Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\nHi  ",
    "human-assistant": "<s>### Human: Hi  ",
}
PROMPT = {
    "zephyr": "<|assistant|>\n",
    "chatml": "<|im_start|>assistant\n",
    "llama-2": "",
    "alpaca": "\n\n### Response:\n",
    "human-assistant": "\n### Assistant:",
}


@pytest.fixture(scope="module")
def render() -> Any:
    """A function (template name, messages, **settings) -> text, through apply_chat_template."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>")

    def render(name: str, messages: list[dict[str, Any]], **settings: Any) -> str:
        source = (TEMPLATE_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        return tokenizer.apply_chat_template(messages, chat_template=source, tokenize=False, **settings)

    return render


def test_every_built_in_template_is_tested() -> None:
    """A new template needs its expected text here."""
    assert set(BUILT_IN_TEMPLATES) == set(EXPECTED) == set(WITHOUT_SYSTEM) == set(PROMPT)


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
def test_three_turns_with_a_system_message_render_as_the_format_says(render: Any, name: str) -> None:
    """Content is verbatim, but for Llama 2, which strips the edges of each turn."""
    assert render(name, [SYSTEM, *CHAT]) == EXPECTED[name]


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
def test_system_message_may_be_missing(render: Any, name: str) -> None:
    """Alpaca then opens with its usual preamble."""
    assert render(name, CHAT[:1]) == WITHOUT_SYSTEM[name]


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
def test_generation_prompt_is_how_the_answer_begins(render: Any, name: str) -> None:
    """What generation starts from is what training showed."""
    prompt = render(name, [SYSTEM, *CHAT[:3]], add_generation_prompt=True)
    assert prompt == render(name, [SYSTEM, *CHAT[:3]]) + PROMPT[name]
    assert EXPECTED[name].startswith(prompt)


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
@pytest.mark.parametrize("chat", [CHAT, [SYSTEM, *CHAT]], ids=["plain", "system"])
def test_more_messages_only_add_text(render: Any, name: str, chat: list[dict[str, Any]]) -> None:
    """Prefix stability: each shorter conversation is the beginning of the longer one."""
    texts = [render(name, chat[:length]) for length in range(1, len(chat) + 1)]
    for shorter, longer in itertools.pairwise(texts):
        assert longer.startswith(shorter)
        assert len(longer) > len(shorter)


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
def test_answer_ends_with_the_end_token(render: Any, name: str) -> None:
    """A model never shown where to stop never stops."""
    end = "<|im_end|>" if name == "chatml" else "</s>"
    assert render(name, CHAT[:2]).rstrip("\n").endswith(f"Hello!{' ' if name == 'llama-2' else ''}{end}")


@pytest.mark.parametrize("name", BUILT_IN_TEMPLATES)
def test_message_without_text_is_refused(render: Any, name: str) -> None:
    """A tool call that would silently vanish is an error instead."""
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
    with pytest.raises(Exception, match=rf"{name} writes text only: message 1 has no text content"):
        render(name, [CHAT[0], call])


@pytest.mark.parametrize("name", sorted(set(BUILT_IN_TEMPLATES) - {"chatml"}))
def test_unknown_role_is_refused(render: Any, name: str) -> None:
    """A message no format has a place for is not dropped."""
    with pytest.raises(Exception, match=rf"{name} .*message 1 "):
        render(name, [CHAT[0], {"role": "tool", "content": "22"}])


def test_chatml_takes_any_role(render: Any) -> None:
    """ChatML names the role in its header."""
    assert render("chatml", [{"role": "tool", "content": "22"}]) == "<|im_start|>tool\n22<|im_end|>\n"


def test_llama_2_refuses_two_user_messages_in_a_row(render: Any) -> None:
    """The format has no way to write them."""
    with pytest.raises(Exception, match=r"llama-2 takes user and assistant in turns .*message 1 is user"):
        render("llama-2", [CHAT[0], CHAT[0]])


@pytest.mark.parametrize("name", ["alpaca", "human-assistant", "llama-2"])
def test_late_system_message_is_refused(render: Any, name: str) -> None:
    """Only the first message may be a system message."""
    with pytest.raises(Exception, match=rf"{name} takes .*message 1 is system"):
        render(name, [CHAT[0], SYSTEM])
