"""Tiny Chat, the embedded default model: what it answers, what its template promises, and that it can be rebuilt."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER = Path(__file__).resolve().parents[3] / "models" / "tiny-chat"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


FRANCE = [said("user", "What is the capital of France?"), said("assistant", "The capital of France is Paris.")]
LOOKED_UP = [
    said("user", "What is the weather in Oslo?"),
    said("assistant", "", tool_calls=[CALL]),
    said("tool", '{"sky": "snowy", "degrees": 3}'),
]
CHATS = [
    [*FRANCE, said("user", "And Italy?"), said("assistant", "The capital of Italy is Rome.")],
    [said("system", "Be brief.\n"), said("user", "\n Why?\n\n"), said("assistant", "\n\nNo.\n"), said("user", "")],
    [said("system", "Be kind."), *LOOKED_UP, said("assistant", "It is snowy in Oslo, 3 degrees.")],
    [said("assistant", None, tool_calls=[CALL, CALL]), said("tool", "{}"), said("tool", "{}"), said("assistant", ".")],
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER, trust_remote_code=False)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER)


def rendered(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def answer(model, tokenizer, messages, tools=None):
    options = {"add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}
    prompt = tokenizer.apply_chat_template(messages, tools=tools, **options)
    return tokenizer.decode(model.generate(**prompt, max_new_tokens=60)[0, prompt["input_ids"].shape[1] :])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hello!", "Hello! How can I help you?"),
        ("Who are you?", "I am Tiny Chat, a very small language model."),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is the opposite of hot?", "The opposite of hot is cold."),
        ("What colour is the sky?", "The sky is blue."),
        ("What sound does a cow make?", "A cow says moo."),
        ("What is 3 plus 4?", "3 plus 4 is 7."),
        ("What comes after Monday?", "Tuesday comes after Monday."),
        ("Count to 5.", "1, 2, 3, 4, 5."),
        ("Who wrote the red book?", "I do not know that."),
    ],
)
def test_it_answers_a_question_of_its_world_and_stops(model, tokenizer, question, expected):
    """The greedy answer is exactly the expected one and ends with the stop token."""
    assert answer(model, tokenizer, [said("user", question)]) == expected + "<|im_end|>"


def test_it_follows_the_conversation(model, tokenizer):
    """A follow-up question is understood from the turn before it."""
    assert answer(model, tokenizer, [*FRANCE, said("user", "And Italy?")]) == "The capital of Italy is Rome.<|im_end|>"


@pytest.mark.parametrize(
    ("system", "expected"),
    [("Answer in capital letters.", "THE CAPITAL OF FRANCE IS PARIS."), ("Answer in one word.", "Paris.")],
)
def test_it_obeys_the_system_message(model, tokenizer, system, expected):
    """The system message changes the style of the answer."""
    assert answer(model, tokenizer, [said("system", system), FRANCE[0]]) == expected + "<|im_end|>"


def test_it_calls_a_tool_and_answers_from_the_result(model, tokenizer):
    """It writes the call as JSON, and with the tool's result it writes a sentence."""
    call = '<|tool_call|>{"name": "get_weather", "arguments": {"city": "Oslo"}}<|im_end|>'
    assert answer(model, tokenizer, LOOKED_UP[:1], [WEATHER]) == call
    assert answer(model, tokenizer, LOOKED_UP, [WEATHER]) == "It is snowy in Oslo, 3 degrees.<|im_end|>"


def test_the_special_tokens_are_what_the_files_say(model, tokenizer):
    """The stop token ends an answer, padding is a token of its own, and nothing begins a text."""
    assert tokenizer.is_fast
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (None, "<|im_end|>", "<|pad|>")
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.convert_tokens_to_ids("<|endoftext|>") not in {tokenizer.eos_token_id, tokenizer.pad_token_id}
    for token in ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>", "<|tool_call|>"):
        assert tokenizer.encode(token) == [tokenizer.convert_tokens_to_ids(token)]
        assert token in tokenizer.all_special_tokens


def test_the_folder_is_smaller_than_ten_megabytes():
    """Everything in the folder together stays below 10 MB."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 10_000_000


@pytest.mark.parametrize("text", [".\n", "?\n", "!\n", "\n\n", "?\n\n", ".\n\n"])
def test_a_sign_and_its_line_breaks_are_one_token(tokenizer, text):
    """Signs merge with the line breaks after them, and decode to themselves."""
    ids = tokenizer.encode(text)
    assert len(ids) == 1
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("tools", [None, [WEATHER]])
@pytest.mark.parametrize("messages", CHATS)
def test_a_shorter_chat_renders_to_the_start_of_a_longer_one(tokenizer, messages, tools):
    """Whatever comes later does not change what is already written, with the generation prompt or without."""
    for count in range(1, len(messages)):
        longer = rendered(tokenizer, messages[: count + 1], tools=tools)
        assert longer.startswith(rendered(tokenizer, messages[:count], tools=tools))
        if messages[count]["role"] == "assistant":
            prompt = rendered(tokenizer, messages[:count], tools=tools, add_generation_prompt=True)
            assert longer.startswith(prompt)


def test_the_template_writes_text_as_it_is(tokenizer):
    """White space around a message's text survives, and the whole chat reads as written here."""
    assert rendered(tokenizer, CHATS[1]) == (
        "<|im_start|>system\nBe brief.\n<|im_end|>\n<|im_start|>user\n\n Why?\n\n<|im_end|>\n"
        "<|im_start|>assistant\n\n\nNo.\n<|im_end|>\n<|im_start|>user\n<|im_end|>\n"
    )


def test_the_template_marks_answers_and_their_stop_tokens(tokenizer):
    """Between the generation tags are the assistant's text, its calls and the stop token, and nothing else."""
    options = {"return_dict": True, "return_assistant_tokens_mask": True}
    chat = tokenizer.apply_chat_template(CHATS[2], tools=[WEATHER], **options)
    trained = [token for token, ours in zip(chat["input_ids"], chat["assistant_masks"], strict=True) if ours]
    assert tokenizer.decode(trained) == (
        '<|tool_call|>{"name": "get_weather", "arguments": {"city": "Oslo"}}<|im_end|>'
        "It is snowy in Oslo, 3 degrees.<|im_end|>"
    )


def test_the_script_rebuilds_the_tokenizer_byte_for_byte(tmp_path):
    """A run of three steps goes from end to end and writes the same tokenizer files as the committed ones."""
    command = [sys.executable, str(FOLDER / "train.py"), "--steps", "3", "--check", "20", "--out", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "questions in wordings never trained on: 0 of 20 " in printed
    assert "fresh chats: 0 of " in printed
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    assert AutoModelForCausalLM.from_pretrained(tmp_path).config.vocab_size == 2048
