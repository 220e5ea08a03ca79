"""Cells of CSV that hold more than text: what NumPy and Python print, and what only looks like it."""

from __future__ import annotations

from typing import Any

import pytest

import inspector
from inspector.data.formats import detect, read
from inspector.errors import InspectorError

CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
PRINTED = "[{'role': 'user', 'content': 'Q'}\n {'role': 'assistant', 'content': 'A'}]"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": PRINTED},
        {"messages": f"array({PRINTED}, dtype=object)"},
        {"prompt": "Q", "completion": PRINTED},
        {"prompt": PRINTED, "chosen": "A", "rejected": "B"},
        {"messages": CHAT, "tools": "[{'name': 'f'} {'name': 'g'}]"},
        {"input_ids": "[1 2 3 4]", "labels": "[1 2 3 4]"},
    ],
)
def test_arrays_that_numpy_printed_are_named(row: dict[str, Any]) -> None:
    """In cells of CSV: who wrote them so, and the way out; none of them trains as a text."""
    with pytest.raises(InspectorError, match=r"is an array as NumPy prints it, .* df\.to_json\(path, orient='records'"):
        read(row, detect([row]))


@pytest.mark.parametrize("text", ["[1 2 3] is what?", "[{a} {b}] is a pattern", "[INST] {x} {y}", "{a} {b}"])
def test_texts_that_look_like_arrays_stay_texts(text: str) -> None:
    """A prompt may begin with a bracket."""
    row = {"prompt": text, "completion": "A"}
    assert read(row, detect([row])).conversation.messages[0]["content"] == text


@pytest.mark.parametrize("is_object", [True, False])
def test_arguments_in_python_are_read(is_object: bool) -> None:
    """As a dict that str() has written: an object where the template takes one, else JSON; said, and left out."""
    arguments = "call.function.arguments" + (" | tojson" if is_object else "")
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for call in m.tool_calls or [] %}"
        f"{{{{ {arguments} }}}}{{% endfor %}}<|im_end|>\n{{% endfor %}}"
    )
    model = inspector.load("tiny-chat", template=template)
    call = {"type": "function", "function": {"name": "f", "arguments": "{'city': 'Oslo', 'now': True}"}}
    chat = [CHAT[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    found = inspector.inspect(model, chat)
    assert '{"city": "Oslo", "now": true}' in found.text
    (change,) = found.example.conversation.changes
    assert (change.step.value, change.where) == ("literals", "message 1 · tool_calls[0].function.arguments")
    assert "{'city': 'Oslo', 'now': True}" in inspector.inspect(model, chat, modifiers={"as_given": ["literals"]}).text
