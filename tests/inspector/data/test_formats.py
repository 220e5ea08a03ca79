"""Every layout of a data set becomes the conversations that it means, and what is none says why."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import inspector
from inspector.data.formats import conversation_of, detect, read
from inspector.data.layouts import Format
from inspector.data.readers import ALPACA_PREAMBLE, Sample, text_template
from inspector.errors import ConversationError, FormatError
from tests.support import models

U = {"role": "user", "content": "Q"}
A = {"role": "assistant", "content": "A"}
B = {"role": "assistant", "content": "B"}
CALL = [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]
TOOL = {"type": "function", "function": {"name": "f"}}


def sample(row: dict[str, Any], **mapping: str) -> Sample:
    """The row through the layout detected from it alone."""
    return read(row, detect([row], mapping))


def messages(row: dict[str, Any], **mapping: str) -> list[Any]:
    """Its messages."""
    return list(sample(row, **mapping).conversation.messages)


@pytest.mark.parametrize(
    ("row", "mapping", "format", "expected"),
    [
        ({"messages": [U, A]}, {}, Format.MESSAGES, [U, A]),
        ({"messages": '[{"role": "user", "content": "Q"}]'}, {}, Format.MESSAGES, [U]),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}, {}, "messages", [U, A]),
        ({"conversation": [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}]}, {}, "messages",
         [{"role": "system", "content": "S"}, U]),
        ({"messages": [U, {**A, "name": None}], "system": "S"}, {}, "messages",
         [{"role": "system", "content": "S"}, U, A]),
        ({"messages": [U, {"role": "assistant", "content": "", "tool_calls": '[{"function": {"name": "f"}}]'}]}, {},
         "messages", [U, {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}]),
        ({"prompt": "Q", "completion": "A"}, {}, "prompt_completion", [U, A]),
        ({"prompt": [U], "completion": [A]}, {}, "prompt_completion", [U, A]),
        ({"instruction": "Q", "input": "", "output": "A"}, {}, "alpaca", [U, A]),
        ({"instruction": "Q", "input": "I", "output": "A"}, {}, "alpaca", [{"role": "user", "content": "Q\n\nI"}, A]),
        ({"instruction": "Q", "response": "A"}, {}, "alpaca", [U, A]),
        ({"question": "Q", "answer": "A"}, {}, "question_answer", [U, A]),
        ({"query": "Q", "answer": "A", "system_prompt": "S"}, {}, "question_answer",
         [{"role": "system", "content": "S"}, U, A]),
        ({"text": "T"}, {}, "text", [{"role": "text", "content": "T"}]),
        ({"id": 1, "ask": "Q", "reply": "A"}, {"question": "ask", "answer": "reply"}, "question_answer", [U, A]),
        ({"chat": [U, A]}, {"text_column": "chat"}, "messages", [U, A]),
        ({"body": "T"}, {"text_column": "body"}, "text", [{"role": "text", "content": "T"}]),
        ({"messages": [U, A], "text": "T"}, {"format": "text"}, "text", [{"role": "text", "content": "T"}]),
    ],
)  # fmt: skip
def test_layout_is_detected_and_read(
    row: dict[str, Any], mapping: dict[str, str], format: str, expected: list[Any]
) -> None:
    """From its columns and its first value; mapped columns win."""
    assert detect([row], mapping).format == format
    assert messages(row, **mapping) == expected


def test_tools_are_read_from_json_or_objects() -> None:
    """A list, or a text that is one; an empty one is none."""
    for tools in ([TOOL], '[{"type": "function", "function": {"name": "f"}}]'):
        assert sample({"messages": [U, A], "tools": tools}).conversation.tools == (TOOL,)
    assert sample({"messages": [U, A], "tools": []}).conversation.tools is None
    assert sample({"messages": [U, A], "tools": None}).conversation.tools is None
    assert sample({"messages": [U, A], "chat_template_kwargs": {"enable_thinking": False}}).conversation.keywords == {
        "enable_thinking": False
    }


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": [U], "chosen": [A], "rejected": [B]},
        {"prompt": "Q", "chosen": [U, A], "rejected": [U, B]},
        {"chosen": [U, A], "rejected": [U, B]},
    ],
)
def test_pairs_hold_both_answers(row: dict[str, Any]) -> None:
    """With the prompt in front of each, once."""
    pair = sample(row)
    assert pair.rejected is not None
    assert (list(pair.conversation.messages), list(pair.rejected.messages)) == ([U, A], [U, B])


def test_autotrain_names_a_pair_by_its_own_keys() -> None:
    """text_column is the chosen answer where there is a rejected one."""
    row = {"chosen_response": [U, A], "bad": [U, B], "p": "Q"}
    mapping = {"text_column": "chosen_response", "rejected_text_column": "bad", "prompt_text_column": "p"}
    layout = detect([row], mapping)
    assert layout.format is Format.PREFERENCE
    assert layout.columns == {"chosen": "chosen_response", "rejected": "bad", "prompt": "p"}


@pytest.mark.parametrize(("label", "is_good"), [(True, True), ("false", False), (1, True), ("0", False)])
def test_unpaired_rows_have_a_label(label: Any, is_good: bool) -> None:
    """As KTO takes them."""
    assert sample({"prompt": "Q", "completion": "A", "label": label}).is_good is is_good


def test_alpaca_prompts_are_the_original_ones() -> None:
    """With and without an input, rendered by the template of that name."""
    model = inspector.load("tiny-chat", template="alpaca")
    plain = sample({"instruction": "Q", "input": "", "output": "A"}, format="alpaca_prompt")
    text = inspector.inspect(model, plain.conversation).text
    assert text.startswith("Below is an instruction that describes a task. Write a response")
    full = sample({"instruction": "Q", "input": "I", "output": "A"}, format="alpaca_prompt")
    text = inspector.inspect(model, full.conversation).text
    assert text == f"{ALPACA_PREAMBLE}\n\n### Instruction:\nQ\n\n### Input:\nI\n\n### Response:\nA<|im_end|>"


@pytest.mark.parametrize(
    ("row", "mapping", "message"),
    [
        ({"a": 1, "b": 2}, {}, "No layout fits the columns 'a', 'b'. Say which column is which"),
        ({"text": "T"}, {"format": "xml"}, "There is no format 'xml'; there are: messages, "),
        ({"text": "T"}, {"chosn": "text"}, "There is no column 'chosn' to map; there are: messages, tools, "),
        ({"text": "T"}, {"prompt": "ask"}, "The data has no column 'ask'; it has: 'text'"),
        ({"text": "T"}, {"format": "preference"}, "The format preference needs the column 'chosen'; the data has: 'te"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(row: dict[str, Any], mapping: dict[str, str], message: str) -> None:
    """With the columns there are, and what to do."""
    with pytest.raises(FormatError, match=re.escape(message)):
        detect([row], mapping)
    with pytest.raises(FormatError, match="no row to see a layout in"):
        detect([], mapping)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": None}, "The column 'messages' is null, and must be a list of messages"),
        ({"messages": "Hello"}, "The column 'messages' is text, and must be a list of messages"),
        ({"messages": "[{"}, "messages is a text that begins like JSON and is not JSON"),
        ({"messages": ["Hi"]}, "messages[0] is text, and must be a message with role and content"),
        (
            {"messages": [{"role": "narrator", "content": "x"}]},
            "messages[0] has the role 'narrator', which is not one of: ",
        ),
        ({"messages": [{"from": "robot", "value": "x"}]}, "messages[0] has the role 'robot', which is not one of: "),
        ({"instruction": 1, "output": "A"}, "The column 'instruction' is a number, and must be text"),
        ({"instruction": "I", "input": 21, "output": "A"}, "The column 'input' is a number, and must be text"),
        (
            {"instruction": "I", "output": 42},
            "The column 'output' is a number, and must be text or a list of messages",
        ),
        ({"instruction": "I", "output": {"a": 1}}, "The column 'output' is an object, and must be text or a list of"),
        ({"messages": [U, A], "system": {"content": "S"}}, "The column 'system' is an object, and must be text"),
        ({"messages": [U, A], "history": 5}, "The column 'history' is a number, and must be a list of turns"),
        (
            {"messages": [{"author": "user", "content": "Q"}]},
            "messages[0] has no role; its fields are 'author', 'content'. A message has role and content, or",
        ),
        (
            {"prompt": "Q", "completion": "A", "label": "good"},
            "The column 'label' is 'good', and must be true or false",
        ),
    ],
)
def test_rows_that_are_none_say_why(row: dict[str, Any], message: str) -> None:
    """The column, and what it is instead."""
    with pytest.raises(FormatError, match=re.escape(message)):
        sample(row)


@pytest.mark.parametrize(
    ("first", "where", "expected"),
    [
        ({"instruction": "I", "output": "A"}, "instruction", "text"),
        ({"messages": [U, A]}, "messages", "a list of messages"),
        ({"prompt": "Q", "response_a": "A", "response_b": "B", "score_0": 1, "score_1": 2}, "score_0", "a score"),
    ],
)
def test_column_that_a_later_row_lacks_is_missing(first: dict[str, Any], where: str, expected: str) -> None:
    """It is not null: the row does not name it."""
    row = {name: value for name, value in first.items() if name != where}
    with pytest.raises(FormatError, match=f"The column '{where}' is missing, and must be {expected}"):
        read(row, detect([first]))


@pytest.mark.parametrize("beside", [{"system": "Be brief."}, {"history": [["1+1?", "2"]]}, {"system_prompt": "S"}])
def test_columns_beside_messages_are_read_alike_everywhere(beside: dict[str, Any]) -> None:
    """One row by itself is the conversation that the data set's row is."""
    row = {"messages": [U, A], **beside}
    assert conversation_of(row) == sample(row).conversation
    assert len(conversation_of(row).messages) > len([U, A])


def test_saved_conversation_keeps_its_prompt_as_a_row() -> None:
    """The form that `to_json` writes trains in a data set what it trains by itself."""
    saved = sample({"prompt": [U, A, U], "completion": [B]}).conversation.to_json()
    assert sample(saved).conversation == conversation_of(saved)
    assert sample({**saved, "history": [["Q", "A"]]}).conversation.prompt_messages == 5
    with pytest.raises(FormatError, match="prompt_messages' is 'x', and must be the number of messages"):
        sample({**saved, "prompt_messages": "x"})


def test_system_text_in_parts_is_read() -> None:
    """As Anthropic's and Bedrock's rows have it."""
    row = {"system": [{"text": "Be brief."}], "messages": [U, A]}
    assert sample(row).conversation.messages[0] == {"role": "system", "content": [{"text": "Be brief."}]}


def test_empty_instruction_leaves_the_input() -> None:
    """No blank lines stand in its place."""
    (question, _) = sample({"instruction": "", "input": "2+2?", "output": "4"}).conversation.messages
    assert question["content"] == "2+2?"


@pytest.mark.parametrize("answer", ["chosen", "rejected"])
def test_answer_that_names_speakers_is_an_answer_to_its_prompt(answer: str) -> None:
    """It is not the whole chat; beside a prompt that is a dialogue it can be."""
    said = "User: Hi.\n\nAssistant: Hello."
    row = {"prompt": "Write a chat.", "chosen": "A", "rejected": "B", answer: said}
    pair = sample(row)
    side = pair.conversation if answer == "chosen" else pair.rejected
    assert side is not None
    assert [message["content"] for message in side.messages] == ["Write a chat.", said]
    assert sample({"prompt": "Write a chat.", "completion": said}).conversation.messages[1]["content"] == said
    whole = sample({"prompt": "\n\nHuman: Q\n\nAssistant:", "chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "B"})
    assert [message["content"] for message in whole.conversation.messages] == ["Q", "A"]


@pytest.mark.parametrize(("written", "role"), [("User ", "user"), ("Tool", "tool"), ("OBSERVATION", "observation")])
def test_roles_are_known_however_they_are_written(written: str, role: str) -> None:
    """With other cases and with spaces around them."""
    messages = sample({"messages": [{"role": written, "content": "x"}, U, A]}).conversation.messages
    assert messages[0]["role"] == role


def test_arrays_are_lists() -> None:
    """As pandas gives the rows of a Parquet file."""
    numpy = pytest.importorskip("numpy")
    row = {"messages": numpy.array([U, A], dtype=object), "history": numpy.array([])}
    assert list(sample(row).conversation.messages) == [U, A]


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"role": "assistant", "content": "", "tool_calls": json.dumps(CALL)}, CALL),
        ({"role": "assistant", "content": "A", "tool_calls": "[]"}, None),
        ({"role": "assistant", "content": "", "function_call": json.dumps(CALL[0]["function"])}, CALL),
        ({"role": "function_call", "content": str(CALL[0]["function"])}, CALL),
        ({"role": "function_call", "content": f"<think>t</think>\n{json.dumps(CALL[0]['function'])}"}, CALL),
    ],
)
def test_calls_in_texts_are_read(message: dict[str, Any], calls: Any) -> None:
    """JSON and Python's syntax, with the reasoning that stands before them."""
    read = sample({"messages": [U, message]}).conversation.messages[1]
    assert read.get("tool_calls") == calls
    assert "function_call" not in read


def test_reasoning_before_a_call_is_kept() -> None:
    """As the content of the message."""
    text = f"<think>t</think>\n{json.dumps(CALL[0]['function'])}"
    assert sample({"messages": [U, {"role": "tool_call", "content": text}]}).conversation.messages[1]["content"] == (
        "<think>t</think>"
    )


@pytest.mark.parametrize("content", ['{"name": "w"', "", "Hello"])
def test_call_that_is_none_is_refused(content: str) -> None:
    """It would train as plain text."""
    with pytest.raises(
        ConversationError, match=r"message 1 \(function_call\) is .*, and must be a call: JSON with a name"
    ):
        sample({"messages": [U, {"role": "function_call", "content": content}]})


def test_schema_of_a_tool_has_one_name() -> None:
    """Anthropic's `input_schema` is what templates know as `parameters`."""
    (tool,) = (
        sample({"messages": [U, A], "tools": [{"name": "w", "input_schema": {"type": "object"}}]}).conversation.tools
        or ()
    )
    assert tool["function"] == {"name": "w", "parameters": {"type": "object"}}


def test_tools_within_a_column_are_the_rows_tools() -> None:
    """Of a pair whose sides are JSON texts, each with its own."""
    side = json.dumps({"messages": [U, A], "tools": [{"type": "function", "function": {"name": "w"}}]})
    pair = sample({"chosen": side, "rejected": side.replace('"A"', '"B"')})
    assert pair.conversation.tools == ({"type": "function", "function": {"name": "w"}},)


@pytest.mark.parametrize("depth", [200, 900])
def test_deeply_nested_values_are_refused(depth: int) -> None:
    """They do not end the run."""
    deep: Any = []
    for _ in range(depth):
        deep = [deep]
    for broken in (
        {"messages": [U, A], "tools": [{"name": "w", "parameters": deep}]},
        {"messages": [{**U, "x": deep}]},
    ):
        with pytest.raises((ConversationError, FormatError), match="nested"):
            sample(broken)
        with pytest.raises((ConversationError, FormatError), match="nested"):
            conversation_of(broken)


def test_role_that_is_none_is_refused() -> None:
    """Whatever it is."""
    with pytest.raises(ConversationError, match="role"):
        conversation_of({"messages": [{"role": [], "content": "Q", "tool_calls": []}]})


def test_row_without_messages_is_refused() -> None:
    """An empty list is no conversation."""
    with pytest.raises(ConversationError, match="`messages` is empty"):
        sample({"messages": []})


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_text_is_tokenized_as_the_trainer_does(name: str) -> None:
    """With the tokenizer's own special tokens, and eos at the end, once."""
    tokenizer = models.model(name).tokenizer
    model = models.model(name).with_template(text_template(tokenizer))
    for text in ("Hello there.", f"Hello there.{tokenizer.eos_token}"):
        row = sample({"text": text}).conversation
        ended = text if text.endswith(tokenizer.eos_token) else text + tokenizer.eos_token
        assert inspector.inspect(model, row, "full").ids == tokenizer(ended)["input_ids"]


def test_text_gets_the_bos_that_its_tokenizer_adds() -> None:
    """bytes-bos writes one in front of every text."""
    model = inspector.load("bytes-bos")
    model = model.with_template(text_template(model.tokenizer))
    row = sample({"text": "Hi"}).conversation
    assert inspector.inspect(model, row, "full").ids == model.tokenizer("Hi<|im_end|>")["input_ids"]


def test_text_is_nobodys() -> None:
    """Exact labels cannot be read off it, and the finding says so; a search can."""
    model = inspector.load("tiny-chat")
    model = model.with_template(text_template(model.tokenizer))
    row = sample({"text": "### Human: Hi\n\n### Assistant: Hello."}).conversation
    (finding,) = inspector.inspect(model, row).findings
    assert "nothing in it says who wrote which part" in finding.detail
    found = inspector.inspect(model, row, "string_span", response_template="### Assistant:")
    assert models.trained_text(found) == " Hello.<|im_end|>"
    missed = inspector.inspect(model, row, "string_span", response_template="### Bot:")
    assert any("what the strategy looks for is not in the text" in finding.detail for finding in missed.findings)
