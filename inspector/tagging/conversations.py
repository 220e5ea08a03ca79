"""Conversations that a rewritten template must render unchanged: every shape that templates treat differently.

The varied texts of inspector.samples, the orders of roles, missing and empty content, whitespace at the seams,
reasoning, tools, list content; for every keyword that a template reads, both truth values; and, once the texts around
its turns are known, messages that contain those texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inspector.conversation import Conversation
from inspector.samples import sample_conversations

_ASK = {"role": "user", "content": "Which river runs through Vienna?"}
_REPLY = {"role": "assistant", "content": "The Danube."}
_ASK_AGAIN = {"role": "user", "content": "And through Cairo?"}
_REPLY_AGAIN = {"role": "assistant", "content": "The Nile."}
_TWO_TURNS = [_ASK, _REPLY, _ASK_AGAIN, _REPLY_AGAIN]
_SYSTEM = {"role": "system", "content": "Answer in one word."}
_THOUGHT = "Austria's capital lies on one long stream."
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}},
            "required": ["city"],
        },
    },
}
_ASK_WEATHER = {"role": "user", "content": "Weather in Graz?"}
_RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": '{"sky": "clear"}'}
_REPORT = {"role": "assistant", "content": "Clear skies."}


def _says(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def _asks(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _calls(arguments: Any, count: int = 1, **fields: Any) -> dict[str, Any]:
    call = {"id": "call00001", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    return {"role": "assistant", **fields, "tool_calls": [call] * count}


def _parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


_CITY = {"city": "Graz"}
_PLAIN: dict[str, list[dict[str, Any]]] = {
    "two turns": _TWO_TURNS,
    "system, two turns": [_SYSTEM, *_TWO_TURNS],
    "developer": [{"role": "developer", "content": "Be terse."}, _ASK, _REPLY],
    "question only": [_ASK],
    "late system": [_ASK, _REPLY, _SYSTEM, _ASK_AGAIN, _REPLY_AGAIN],
    "consecutive assistants": [_ASK, _REPLY, _REPLY_AGAIN],
    "consecutive users": [_ASK, _ASK_AGAIN, _REPLY],
    "assistant first": [_says("Welcome!"), _ASK, _REPLY],
    "assistant alone": [_says("Welcome!")],
    "ends in a question": [*_TWO_TURNS, _asks("And Paris?")],
    "unknown role": [{"role": "narrator", "content": "Night falls."}, _ASK, _REPLY],
    "empty answers": [_ASK, _says(""), _ASK_AGAIN, _says("")],
    "null answer": [_ASK, _says(None)],
    "answer without content": [_ASK, {"role": "assistant"}],
    "answers begin in whitespace": [_asks("\nOne?"), _says("\nOne."), _asks(" Two?"), _says("\n\n Two.")],
    "answers end in whitespace": [_asks("One?\n"), _says("One. \n\n"), _asks("Two?\t"), _says("Two.\t")],
    "answer is whitespace": [_ASK, _says(" \n "), _ASK_AGAIN, _says("\n")],
    "windows line ends": [_asks("One\r\nriver?"), _says("\r\nThe\r\nDanube.\r\n")],
    "roles as content": [_asks("assistant"), _says("user"), _asks("system"), _says("assistant")],
    "think in content": [_ASK, _says(f"<think>\n{_THOUGHT}\n</think>\n\nThe Danube.")],
    "think in history": [_ASK, _says(f"<think>\n{_THOUGHT}\n</think>\n\nThe Danube."), _ASK_AGAIN, _REPLY_AGAIN],
    "empty think": [_ASK, _says("<think>\n\n</think>\n\nThe Danube."), _ASK_AGAIN, _says("<think></think>The Nile.")],
    "unclosed think": [_ASK, _says("<think>\nHm, the")],
    "reasoning": [_ASK, _says("The Danube.", reasoning_content=_THOUGHT)],
    "reasoning in history": [_ASK, _says("The Danube.", reasoning_content=_THOUGHT), _ASK_AGAIN, _REPLY_AGAIN],
    "empty reasoning": [_ASK, _says("The Danube.", reasoning_content="")],
    "list content": [_asks(_parts("Which river?")), _says(_parts("The Danube."))],
    "list content, two parts": [_SYSTEM, _asks(_parts("First,", " second.")), _says(_parts("One.", "Two."))],
    "right to left": [_asks("أي نهر؟"), _says("הדנובה, \u200fוגם נהר.")],
}  # fmt: skip
_WITH_TOOLS: dict[str, list[dict[str, Any]]] = {
    "tools, no call": _TWO_TURNS,
    "tool call": [_ASK_WEATHER, _calls(_CITY, content="")],
    "tool round": [_SYSTEM, _ASK_WEATHER, _calls(_CITY, content=""), _RESULT, _REPORT, _ASK_AGAIN, _REPLY_AGAIN],
    "tool call without content": [_ASK_WEATHER, _calls(_CITY), _RESULT, _REPORT],
    "tool call with content": [_ASK_WEATHER, _calls(_CITY, content="One moment."), _RESULT, _REPORT],
    "tool call with reasoning": [
        _ASK_WEATHER,
        _calls(_CITY, content="", reasoning_content=_THOUGHT),
        _RESULT,
        _says("Clear.", reasoning_content=_THOUGHT),
    ],
    "arguments as text": [_ASK_WEATHER, _calls('{"city": "Graz"}', content=""), _RESULT, _REPORT],
    "two calls": [_ASK_WEATHER, _calls(_CITY, 2, content=""), _RESULT, {**_RESULT, "content": "grey"}, _REPORT],
}  # fmt: skip
_SWITCHED = ("two turns", "think in history", "reasoning in history", "tool round", "tool call with reasoning")
"""Conversations in which every keyword is switched on and off."""


def proof_conversations(keywords: Iterable[str] = ()) -> dict[str, Conversation]:
    """Name -> conversation. `keywords`: the template's own keywords, which are switched on and off."""
    samples = sample_conversations()
    found = {f"sample {i}": conversation for i, conversation in enumerate(samples)}
    found |= {f"sample {i}, list content": _in_parts(samples[i]) for i in range(0, len(samples), 3)}
    shapes: dict[str, dict[str, Any]] = {name: {"messages": messages} for name, messages in _PLAIN.items()}
    shapes |= {name: {"messages": messages, "tools": [_TOOL]} for name, messages in _WITH_TOOLS.items()}
    found |= {name: Conversation.parse(shape) for name, shape in shapes.items()}
    for keyword in sorted(keywords):
        for value in (True, False):
            for name in _SWITCHED:
                found[f"{name}, {keyword}={str(value).lower()}"] = Conversation.parse({**shapes[name], keyword: value})
    return found


def _in_parts(conversation: Conversation) -> Conversation:
    """The same with every content a list of one text part: some templates take nothing else."""
    return Conversation.parse([{**message, "content": _parts(message["content"])} for message in conversation.messages])


def imitating_conversations(texts: Iterable[str]) -> dict[str, Conversation]:
    """Messages that begin with, end in and consist of texts that the template writes around a turn."""
    found = {}
    for text in dict.fromkeys(texts):
        if text.strip():
            found[f"messages that begin with {text!a}"] = [_asks(f"{text}Hm?"), _says(f"{text}Ha.")]
            found[f"messages that end in {text!a}"] = [_asks(f"Hm?{text}"), _says(f"Ha.{text}"), _ASK, _REPLY]
            found[f"messages that are {text!a}"] = [_asks(text), _says(text)]
    return {name: Conversation.parse(messages) for name, messages in found.items()}
