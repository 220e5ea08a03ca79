"""Conversations that tell templates and trainers apart, by name.

Each is what a user would paste: a list of messages, or an object with `messages` and template keywords. They are small,
they are ours, and every text that is to be found again in a render is unlike every other in its conversation.
"""

from __future__ import annotations

from typing import Any

SYSTEM = {"role": "system", "content": "Answer in one word."}
ASK = {"role": "user", "content": "Which river runs through Vienna?"}
REPLY = {"role": "assistant", "content": "The Danube."}
ASK_AGAIN = {"role": "user", "content": "And through Cairo?"}
REPLY_AGAIN = {"role": "assistant", "content": "The Nile."}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
ARGUMENTS = {"city": "Graz", "days": 3, "hourly": False, "limit": None, "box": {"low": -1.5, "tags": ["a", "bé"]}}
ASK_WEATHER = {"role": "user", "content": "Weather in Graz?"}
RESULT = {"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": '{"sky": "clear"}'}
REPORT = {"role": "assistant", "content": "Clear skies."}


def call(arguments: Any, **fields: Any) -> dict[str, Any]:
    """An assistant message that calls get_weather."""
    function = {"name": "get_weather", "arguments": arguments}
    return {
        "role": "assistant",
        **fields,
        "tool_calls": [{"id": "call00001", "type": "function", "function": function}],
    }


def user(content: Any) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> dict[str, Any]:
    """An assistant message."""
    return {"role": "assistant", "content": content, **fields}


def parts(*texts: str) -> list[dict[str, str]]:
    """List content: one text part each."""
    return [{"type": "text", "text": text} for text in texts]


TWO_TURNS = [ASK, REPLY, ASK_AGAIN, REPLY_AGAIN]
THOUGHT = "Austria's capital lies on one long stream."

CORPUS: dict[str, Any] = {
    # the usual shapes
    "one turn": [ASK, REPLY],
    "two turns": TWO_TURNS,
    "system": [SYSTEM, ASK, REPLY],
    "system, two turns": [SYSTEM, *TWO_TURNS],
    "developer": [{"role": "developer", "content": "Be terse."}, ASK, REPLY],
    "question only": [ASK],
    "system only": [SYSTEM],
    "late system": [ASK, REPLY, SYSTEM, ASK_AGAIN, REPLY_AGAIN],
    # the order of roles
    "consecutive assistants": [ASK, REPLY, REPLY_AGAIN],
    "consecutive users": [ASK, ASK_AGAIN, REPLY],
    "assistant first": [assistant("Welcome!"), ASK, REPLY],
    "assistant alone": [assistant("Welcome!")],
    "ends in a question": [*TWO_TURNS, user("And Paris?")],
    "unknown role": [{"role": "narrator", "content": "Night falls."}, ASK, REPLY],
    # missing and empty content
    "empty answer": [ASK, assistant("")],
    "empty answer in history": [ASK, assistant(""), ASK_AGAIN, REPLY_AGAIN],
    "empty question": [user(""), REPLY],
    "empty system": [{"role": "system", "content": ""}, ASK, REPLY],
    "null answer": [ASK, assistant(None)],
    "answer without content": [ASK, {"role": "assistant"}],
    # whitespace at the seams
    "answer starts with a line break": [ASK, assistant("\nThe Danube.")],
    "answer starts with two line breaks": [ASK, assistant("\n\nThe Danube.")],
    "answer starts with a space": [ASK, assistant(" The Danube.")],
    "answer starts with a tab": [ASK, assistant("\tThe Danube.")],
    "answer ends in whitespace": [ASK, assistant("The Danube. \n\n"), ASK_AGAIN, assistant("The Nile.\t")],
    "answer is whitespace": [ASK, assistant(" \n ")],
    "question starts with a line break": [user("\nWhich river?"), REPLY, user("\n\nAnd Cairo?"), REPLY_AGAIN],
    "question ends in a line break": [user("Which river?\n"), REPLY],
    "windows line ends": [user("One\r\nriver?"), assistant("The\r\nDanube.\r\n")],
    "system in whitespace": [{"role": "system", "content": "  Be kind.\n"}, ASK, REPLY],
    # text that looks like scaffold
    "answer holds stop tokens": [
        ASK,
        assistant("Say <|im_end|> or <|eot_id|> or </s> or <end_of_turn> now."),
        ASK_AGAIN,
        REPLY_AGAIN,
    ],
    "question holds an assistant header": [
        user("<|im_start|>assistant\nHa<|start_header_id|>assistant<|end_header_id|>\n\nHo<start_of_turn>model\nHe"),
        REPLY,
    ],
    "content is a role name": [user("assistant"), assistant("user"), user("system"), assistant("assistant")],
    "content is a probe of other tools": [user("%%%%"), assistant("[[dummy_message]]"), user("zz"), assistant("%%%%")],
    "content is template code": [user("{{ messages }}"), assistant("{% for m in messages %}{{ m }}{% endfor %}")],
    "content is markup": [user("<b>Bold & 'quoted'</b>"), assistant('<a href="x">A &amp; B</a>')],
    "same text twice": [user("Same."), assistant("Same."), user("Same."), assistant("Same.")],
    "answer of one letter": [user("Pick a letter"), assistant("Q")],
    # reasoning
    "think in content": [ASK, assistant(f"<think>\n{THOUGHT}\n</think>\n\nThe Danube.")],
    "think in history": [ASK, assistant(f"<think>\n{THOUGHT}\n</think>\n\nThe Danube."), ASK_AGAIN, REPLY_AGAIN],
    "think in the last of two": [ASK, REPLY, ASK_AGAIN, assistant("<think>\nEgypt.\n</think>\n\nThe Nile.")],
    "unclosed think": [ASK, assistant("<think>\nHm, the")],
    "reasoning field": [ASK, assistant("The Danube.", reasoning_content=THOUGHT)],
    "reasoning in history": [ASK, assistant("The Danube.", reasoning_content=THOUGHT), ASK_AGAIN, REPLY_AGAIN],
    "thinking field": [ASK, assistant("The Danube.", thinking=THOUGHT)],
    "empty reasoning": [ASK, assistant("The Danube.", reasoning_content="")],
    # tools
    "tool call": {"messages": [ASK_WEATHER, call(ARGUMENTS, content="")], "tools": [WEATHER]},
    "tool round": {
        "messages": [SYSTEM, ASK_WEATHER, call(ARGUMENTS, content=""), RESULT, REPORT, ASK_AGAIN, REPLY_AGAIN],
        "tools": [WEATHER],
    },
    "tool call without content": {"messages": [ASK_WEATHER, call(ARGUMENTS), RESULT, REPORT], "tools": [WEATHER]},
    "tool call with content": {
        "messages": [ASK_WEATHER, call(ARGUMENTS, content="One moment."), RESULT, REPORT],
        "tools": [WEATHER],
    },
    "tool call with reasoning": {
        "messages": [ASK_WEATHER, call(ARGUMENTS, content="", reasoning_content=THOUGHT), RESULT, REPORT],
        "tools": [WEATHER],
    },
    "arguments as text": {
        "messages": [ASK_WEATHER, call('{"city": "Graz", "days": 3}', content=""), RESULT, REPORT],
        "tools": [WEATHER],
    },
    "two calls, two results": {
        "messages": [
            ASK_WEATHER,
            {"role": "assistant", "content": "", "tool_calls": call({"city": "Graz"})["tool_calls"] * 2},
            RESULT,
            {**RESULT, "content": '{"sky": "grey"}'},
            REPORT,
        ],
        "tools": [WEATHER],
    },
    "tools, no call": {"messages": TWO_TURNS, "tools": [WEATHER]},
    "no tools at all": {"messages": [ASK, REPLY], "tools": []},
    # list content
    "list content": [user(parts("Which river?")), assistant(parts("The Danube."))],
    "list content, two parts": [
        {"role": "system", "content": parts("Be brief.", "Be kind.")},
        user(parts("First half,", " second half.")),
        assistant(parts("One.", "Two.")),
    ],
    "image in a question": [user([{"type": "image"}, {"type": "text", "text": "What is shown?"}]), assistant("A cat.")],
    # scripts
    "chinese and japanese": [user("维也纳有哪条河？"), assistant("多瑙河。ドナウ川です。")],
    "emoji families": [user("👨‍👩‍👧‍👦 or 🏳️‍🌈?"), assistant("👩🏽‍🚀 and 🇦🇹🇪🇬, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢.")],
    "combining marks": [user("Cafe\u0301 or na\u0131\u0308ve?"), assistant("Z\u0351\u036ba\u0316lgo e\u0301\u0323.")],
    "right to left": [user("أي نهر؟ \u202bمثال\u202c"), assistant("הדנובה, \u200fוגם נהר.")],
    "zero width": [user("a\u200bb\u200cc\u2060d\ufeff"), assistant("\u200bx\u00ad y\u00a0z\u2028w")],
    "other spaces": [user("\u3000wide\u2003"), assistant("\u00a0Danube\u202f")],
    "letters that grow in upper case": [user("Straße ŉ ǰ"), assistant("ﬁn ΐ İstanbul")],
    "control characters": [user("bell\x07 tab\t nul\x00?"), assistant("esc\x1b[0m del\x7f.")],
    # template keywords
    "generation prompt": {"messages": [ASK], "add_generation_prompt": True},
    "generation prompt after an answer": {"messages": [ASK, REPLY], "add_generation_prompt": True},
    "generation prompt, thinking": {"messages": [ASK], "add_generation_prompt": True, "enable_thinking": True},
    "generation prompt, no thinking": {"messages": [ASK], "add_generation_prompt": True, "enable_thinking": False},
    "thinking on": {"messages": TWO_TURNS, "enable_thinking": True},
    "thinking off": {"messages": TWO_TURNS, "enable_thinking": False},
    "documents": {
        "messages": [ASK, REPLY],
        "documents": [{"title": "Rivers", "text": "The Danube is long.", "contents": "It ends in a delta."}],
    },
    "dates and names": {
        "messages": [SYSTEM, ASK, REPLY],
        "date_string": "26 Jul 2024",
        "custom_tools": None,
        "tools_in_user_message": False,
        "model_identity": "You are Nobody.",
        "reasoning_effort": "low",
    },
    "other keywords": {
        "messages": [SYSTEM, ASK, assistant("The Danube.", reasoning_content=THOUGHT), ASK_AGAIN, REPLY_AGAIN],
        "preserve_thinking": True,
        "clear_thinking": False,
        "truncate_history_thinking": False,
        "keep_past_thinking": True,
        "builtin_tools": ["browser", "python"],
        "low_effort": True,
    },
    "per-message flags": [ASK, assistant("The Danube.", train=False), ASK_AGAIN, assistant("The Nile.", weight=1)],
}  # fmt: skip
"""Name -> what `Conversation.parse` takes."""


def agent_trace(turns: int) -> dict[str, Any]:
    """A task, then calls and results in turn, then a report."""
    messages = [{"role": "system", "content": "You repair programs."}, user("Mend it.")]
    for step in range(turns - 1):
        messages.append(call({"city": f"c{step}"}, content=f"Step {step}."))
        messages.append({"role": "tool", "name": "get_weather", "tool_call_id": "call00001", "content": f"r{step}"})
    return {"messages": [*messages, assistant("Done.")], "tools": [WEATHER]}
