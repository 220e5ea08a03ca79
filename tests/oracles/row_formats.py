"""A row of every published format of training data, and what must be read of it.

`python -m tests.oracles.row_formats` writes the table of docs/audit.md from these rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.data.layouts import Format
from inspector.data.readers import Sample

DOCS = Path(__file__).parents[2] / "docs" / "audit.md"
BEGIN, END = "<!-- rows of every format -->\n", "<!-- end of the rows -->\n"
HEAD = "| format | a row | is read as |\n|---|---|---|\n"


@dataclass(frozen=True)
class RowFormat:
    """A row as its trainer's or data set's documentation has it. `reads`: as `reading` writes it."""

    name: str
    row: dict[str, Any]
    format: Format
    reads: str
    wanted: Format | None = None
    unused: Sequence[str] = ()
    mapping: dict[str, str] = field(default_factory=dict)


def reading(sample: Sample) -> str:
    """What was read, in one line: `user: Hi / assistant: Hello`, calls as `name({...})`, the prompt before `→`.

    Of ids and labels the ids, those that train in brackets, and so of texts with labels.
    """
    text = _messages(sample.conversation)
    if sample.rejected is not None:
        text += f" · rejected: {_messages(sample.rejected)}"
    if sample.is_good is not None:
        text += f" · {'good' if sample.is_good else 'bad'}"
    return text


def _messages(conversation: Conversation) -> str:
    if (given := conversation.labelled) is not None:
        both = zip(given.ids, given.labels, strict=True)
        return f"ids {' '.join(f'[{id}]' if id == label else str(id) for id, label in both)}"
    if conversation.segments:
        return " ".join(f"[{part.text!r}]" if part.label else repr(part.text) for part in conversation.segments)
    parts = []
    for index, message in enumerate(conversation.messages):
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        said = [str(message.get("content") or "")]
        said += [f"{call['name']}({json.dumps(call['arguments'])})" for call in calls]
        mark = "→ " if index and index == conversation.prompt_messages else ""
        parts.append(f"{mark}{message['role']}: {' '.join(filter(None, said))}".strip())
    beside = (
        [f"tools {', '.join(tool['function']['name'] for tool in conversation.tools)}"] if conversation.tools else []
    )
    beside += [f"{name} {json.dumps(value)}" for name, value in conversation.keywords.items()]
    return " / ".join(parts) + "".join(f" ({one})" for one in beside)


def _turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def _said(speaker: str, value: str) -> dict[str, Any]:
    return {"from": speaker, "value": value}


CHAT = [_turn("user", "2+2?"), _turn("assistant", "4")]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
BARE_TOOL = {"name": "weather", "description": "Weather of a city.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": BARE_TOOL}
ARGUMENTS = '{"city": "Oslo"}'
CALL_TEXT = '{"name": "weather", "arguments": {"city": "Oslo"}}'
WEATHER = 'user: Rain? / assistant: weather({"city": "Oslo"}) / tool: rain / assistant: Yes. (tools weather)'
IDS, LABELS, TRAINS = [11, 12, 13, 14], [-100, -100, 13, 14], "ids 11 12 [13] [14]"
RED = "user: A red fruit? / assistant: Apple. · rejected: user: A red fruit? / assistant: Pear."

ROW_FORMATS: tuple[RowFormat, ...] = (
    # TRL
    RowFormat("TRL, conversational", {"messages": CHAT}, Format.MESSAGES, "user: 2+2? / assistant: 4"),
    RowFormat("TRL, text", {"text": "2+2 is 4"}, Format.TEXT, "text: 2+2 is 4"),
    RowFormat(
        "TRL, prompt and completion", {"prompt": [CHAT[0]], "completion": [CHAT[1]]}, Format.PROMPT_COMPLETION,
        "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "TRL, prompt of several turns", {"prompt": [*CHAT, _turn("user", "+1?")], "completion": [_turn("assistant", "5")]},
        Format.PROMPT_COMPLETION, "user: 2+2? / assistant: 4 / user: +1? / → assistant: 5",
    ),
    RowFormat(
        "TRL, prompt and completion as texts", {"prompt": "2+2?", "completion": " 4"}, Format.PROMPT_COMPLETION,
        "user: 2+2? / assistant:  4",
    ),
    RowFormat(
        "TRL, preference", {"prompt": [_turn("user", "A red fruit?")], "chosen": [_turn("assistant", "Apple.")],
                            "rejected": [_turn("assistant", "Pear.")]}, Format.PREFERENCE, RED,
    ),
    RowFormat(
        "TRL, preference with the prompt in both", {"chosen": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")],
        "rejected": [_turn("user", "A red fruit?"), _turn("assistant", "Pear.")]}, Format.PREFERENCE, RED,
    ),
    RowFormat(
        "TRL, unpaired preference", {"prompt": "A red fruit?", "completion": "Apple.", "label": True}, Format.UNPAIRED,
        "user: A red fruit? / assistant: Apple. · good",
    ),
    RowFormat(
        "TRL, with tools and keywords", {"messages": CHAT, "tools": [TOOL], "chat_template_kwargs": {"enable_thinking": False}},
        Format.MESSAGES, "user: 2+2? / assistant: 4 (tools weather) (enable_thinking false)",
    ),
    # OpenAI
    RowFormat(
        "OpenAI, chat with weights", {"messages": [CHAT[0], {**CHAT[1], "weight": 0}]}, Format.MESSAGES,
        "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "OpenAI, tool calls", {"messages": [
            _turn("user", "Rain?"),
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}]},
            _turn("tool", "rain", tool_call_id="c"), _turn("assistant", "Yes.")], "tools": [TOOL],
            "parallel_tool_calls": False},
        Format.MESSAGES, WEATHER.replace('{"city": "Oslo"}', json.dumps(ARGUMENTS)), unused=("parallel_tool_calls",),
    ),
    RowFormat(
        "OpenAI, function_call", {"messages": [
            _turn("user", "Rain?"), {"role": "assistant", "function_call": {"name": "weather", "arguments": {"city": "Oslo"}}},
            _turn("function", "rain", name="weather"), _turn("assistant", "Yes.")], "functions": [BARE_TOOL]},
        Format.MESSAGES, WEATHER.replace("tool: rain", "function: rain"),
    ),
    RowFormat(
        "OpenAI, preference", {"input": {"messages": [_turn("user", "A red fruit?")], "tools": [TOOL], "parallel_tool_calls": True},
        "preferred_output": [_turn("assistant", "Apple.")], "non_preferred_output": [_turn("assistant", "Pear.")]},
        Format.PREFERENCE, "user: A red fruit? / assistant: Apple. (tools weather) · rejected: user: A red fruit? / "
        "assistant: Pear. (tools weather)",
    ),
    # LLaMA-Factory
    RowFormat(
        "LLaMA-Factory, alpaca", {"instruction": "Add.", "input": "2+2", "output": "4", "system": "Be brief.",
        "history": [["1+1?", "2"]]}, Format.ALPACA,
        "system: Be brief. / user: 1+1? / assistant: 2 / user: Add.\n\n2+2 / → assistant: 4",
    ),
    RowFormat(
        "LLaMA-Factory, alpaca preference", {"instruction": "A red", "input": "fruit?", "chosen": "Apple.", "rejected": "Pear."},
        Format.PREFERENCE, RED.replace("A red fruit?", "A red\n\nfruit?"),
    ),
    RowFormat(
        "LLaMA-Factory, kto", {"instruction": "A red fruit?", "input": "", "output": "Apple.", "kto_tag": False},
        Format.UNPAIRED, "user: A red fruit? / assistant: Apple. · bad",
    ),
    RowFormat(
        "LLaMA-Factory, ShareGPT with tools", {"conversations": [
            _said("human", "Rain?"), _said("function_call", CALL_TEXT), _said("observation", "rain"), _said("gpt", "Yes.")],
            "system": "", "tools": json.dumps([BARE_TOOL])}, Format.MESSAGES, WEATHER.replace("tool: rain", "observation: rain"),
    ),
    RowFormat(
        "LLaMA-Factory, ShareGPT preference", {"conversations": [_said("human", "A red fruit?")],
        "chosen": _said("gpt", "Apple."), "rejected": _said("gpt", "Pear.")}, Format.PREFERENCE, RED,
    ),
    RowFormat(
        "LLaMA-Factory, ShareGPT kto", {"conversations": [_said("human", "A red fruit?"), _said("gpt", "Apple.")],
        "kto_tag": True}, Format.UNPAIRED, "user: A red fruit? / assistant: Apple. · good",
    ),
    RowFormat(
        "LLaMA-Factory, images", {"messages": [_turn("user", "<image>What?"), _turn("assistant", "A cat.")],
        "images": ["cat.png"]}, Format.MESSAGES, "user: <image>What? / assistant: A cat.", unused=("images",),
    ),
    # axolotl
    RowFormat(
        "axolotl, chat_template", {"conversations": [_said("human", "2+2?"), _said("gpt", "4")]}, Format.MESSAGES,
        "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "axolotl, train flags", {"messages": [CHAT[0], {**CHAT[1], "training": False}]}, Format.MESSAGES,
        "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "axolotl, alpaca_w_system", {"system_prompt": "Be brief.", "question": "2+2?", "response": "4"},
        Format.QUESTION_ANSWER, "system: Be brief. / user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "axolotl, chatml.intel", {"system": "Be kind.", "question": "A red fruit?", "chosen": "Apple.", "rejected": "Pear."},
        Format.PREFERENCE, "system: Be kind. / user: A red fruit? / assistant: Apple. · rejected: system: Be kind. / "
        "user: A red fruit? / assistant: Pear.",
    ),
    RowFormat(
        "axolotl, chatml.argilla", {"instruction": "A red fruit?", "chosen_response": "Apple.", "rejected_response": "Pear."},
        Format.PREFERENCE, RED,
    ),
    # ms-swift
    RowFormat(
        "ms-swift, query and response", {"query": "+1?", "response": "5", "history": [["2+2?", "4"]]}, Format.QUESTION_ANSWER,
        "user: 2+2? / assistant: 4 / user: +1? / → assistant: 5",
    ),
    RowFormat(
        "ms-swift, preference", {"messages": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")],
        "rejected_response": "Pear."}, Format.PREFERENCE, RED,
    ),
    RowFormat(
        "ms-swift, query with a rejected response", {"query": "A red fruit?", "response": "Apple.", "rejected_response": "Pear."},
        Format.PREFERENCE, RED,
    ),
    RowFormat(
        "ms-swift, tools", {"messages": [
            _turn("user", "Rain?"), _turn("tool_call", CALL_TEXT, loss=False), _turn("tool_response", "rain"),
            _turn("assistant", "Yes.")], "tools": json.dumps([TOOL])}, Format.MESSAGES,
        WEATHER.replace("tool: rain", "tool_response: rain"),
    ),
    RowFormat(
        "ms-swift, calls as fields", {"messages": [
            _turn("user", "Rain?"), _turn("assistant", "<think>I look.</think>"),
            {"role": "tool_call", "name": "weather", "arguments": {"city": "Oslo"}}, _turn("tool", "rain"),
            _turn("assistant", "Yes.")], "tools": [TOOL]},
        Format.MESSAGES, WEATHER.replace("assistant: weather", "assistant: <think>I look.</think> weather"),
    ),
    RowFormat(
        "ms-swift, kto", {"messages": CHAT, "label": True}, Format.UNPAIRED, "user: 2+2? / assistant: 4 · good",
        wanted=Format.UNPAIRED,
    ),
    RowFormat(
        "ms-swift, ShareGPT", {"system": "Be brief.", "conversation": [{"human": "2+2?", "assistant": "4"}]}, Format.MESSAGES,
        "system: Be brief. / user: 2+2? / assistant: 4",
    ),
    # torchtune
    RowFormat(
        "torchtune, input and output", {"input": "2+2?", "output": "4"}, Format.QUESTION_ANSWER, "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "torchtune, preference", {"chosen_conversations": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")],
        "rejected_conversations": [_turn("user", "A red fruit?"), _turn("assistant", "Pear.")]}, Format.PREFERENCE, RED,
    ),
    # AutoTrain
    RowFormat(
        "AutoTrain, a CSV cell", {"text": "[{'role': 'user', 'content': '2+2?'}, {'role': 'assistant', 'content': \"It's 4\"}]"},
        Format.MESSAGES, "user: 2+2? / assistant: It's 4",
    ),
    RowFormat(
        "AutoTrain, mapped columns", {"q": "A red fruit?", "good": "Apple.", "bad": "Pear."}, Format.PREFERENCE, RED,
        mapping={"prompt_text_column": "q", "text_column": "good", "rejected_text_column": "bad"},
    ),
    RowFormat(
        "AutoTrain, a pair by its own names", {"prompt": "A red fruit?", "text": "Apple.", "rejected_text": "Pear."},
        Format.PREFERENCE, RED,
    ),
    # data sets
    RowFormat(
        "Dolly", {"instruction": "Who?", "context": "Ann sang.", "response": "Ann.", "category": "closed_qa"}, Format.ALPACA,
        "user: Who?\n\nAnn sang. / assistant: Ann.", unused=("category",),
    ),
    RowFormat(
        "Capybara", {"source": "x", "conversation": [{"input": "2+2?", "output": "4"}, {"input": "+1?", "output": "5"}]},
        Format.MESSAGES, "user: 2+2? / assistant: 4 / user: +1? / assistant: 5", unused=("source",),
    ),
    RowFormat(
        "Tülu", {"id": "a_1", "messages": CHAT, "source": "ai2-adapt"}, Format.MESSAGES, "user: 2+2? / assistant: 4",
        unused=("id", "source"),
    ),
    RowFormat(
        "UltraFeedback, for pairs", {"prompt": "A red fruit?", "chosen": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")],
        "rejected": [_turn("user", "A red fruit?"), _turn("assistant", "Pear.")],
        "messages": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")], "score_chosen": 9.0},
        Format.PREFERENCE, RED, wanted=Format.PREFERENCE, unused=("messages", "score_chosen"),
    ),
    RowFormat(
        "UltraFeedback, for sft", {"prompt": "A red fruit?", "chosen": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")],
        "rejected": [_turn("user", "A red fruit?"), _turn("assistant", "Pear.")],
        "messages": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")]},
        Format.MESSAGES, "user: A red fruit? / assistant: Apple.", unused=("prompt", "chosen", "rejected"),
    ),
    RowFormat(
        "hh-rlhf", {"chosen": "\n\nHuman: A red fruit?\n\nAssistant: Apple.", "rejected": "\n\nHuman: A red fruit?\n\nAssistant: Pear."},
        Format.PREFERENCE, RED,
    ),
    RowFormat(
        "WildChat", {"conversation": [_turn("user", "2+2?", language="English", toxic=False), _turn("assistant", "4", toxic=False)],
        "model": "m", "turn": 1}, Format.MESSAGES, "user: 2+2? / assistant: 4", unused=("model", "turn"),
    ),
    RowFormat(
        "xLAM", {"query": "Rain?", "answers": f"[{CALL_TEXT}]", "tools": json.dumps([BARE_TOOL]), "id": 0},
        Format.QUESTION_ANSWER, 'user: Rain? / assistant: weather({"city": "Oslo"}) (tools weather)', unused=("id",),
    ),
    RowFormat(
        "Hermes function calling", {"conversations": [
            _said("system", "You call functions."), _said("human", "Rain?"),
            _said("gpt", f"<tool_call>\n{CALL_TEXT}\n</tool_call>"), _said("tool", "<tool_response>\nrain\n</tool_response>")],
            "tools": json.dumps([TOOL]), "category": "weather"},
        Format.MESSAGES, f"system: You call functions. / user: Rain? / assistant: <tool_call>\n{CALL_TEXT}\n</tool_call> / "
        "tool: <tool_response>\nrain\n</tool_response> (tools weather)", unused=("category",),
    ),
    RowFormat(
        "glaive function calling", {
            "system": f"SYSTEM: You have functions. Use them if required -\n{json.dumps(BARE_TOOL, indent=4)}",
            "chat": "USER: Rain?\n\n\nASSISTANT: <functioncall> {\"name\": \"weather\", \"arguments\": '{\"city\": \"Oslo\"}'} "
            "<|endoftext|>\n\n\nFUNCTION RESPONSE: rain\n\n\nASSISTANT: Yes. <|endoftext|>"},
        Format.MESSAGES, f"system: You have functions. Use them if required - / {WEATHER}",
    ),
    RowFormat(
        "HelpSteer3", {"domain": "general", "context": [_turn("user", "A red fruit?")], "response1": "Pear.", "response2": "Apple.",
        "overall_preference": 2}, Format.PREFERENCE, RED, unused=("domain",),
    ),
    RowFormat(
        "SHP", {"history": "A red fruit?", "human_ref_A": "Apple.", "human_ref_B": "Pear.", "labels": 1, "score_A": 9, "score_B": 2},
        Format.PREFERENCE, RED, unused=("score_A", "score_B"),
    ),
    RowFormat(
        "Chatbot Arena", {"model_a": "m", "model_b": "n", "winner": "model_b",
        "conversation_a": [_turn("user", "A red fruit?"), _turn("assistant", "Pear.")],
        "conversation_b": [_turn("user", "A red fruit?"), _turn("assistant", "Apple.")]}, Format.PREFERENCE, RED,
        unused=("model_a", "model_b"),
    ),
    RowFormat(
        "PKU-SafeRLHF", {"prompt": "A red fruit?", "response_0": "Pear.", "response_1": "Apple.", "better_response_id": 1},
        Format.PREFERENCE, RED,
    ),
    RowFormat(
        "UltraFeedback, as it was collected", {"instruction": "A red fruit?", "completions": [
            {"model": "m", "response": "Plum.", "overall_score": 5.0}, {"model": "n", "response": "Apple.", "overall_score": 9.0},
            {"model": "o", "response": "Pear.", "overall_score": 1.0}]}, Format.PREFERENCE, RED,
    ),
    RowFormat(
        "NeMo-RL, preference", {"context": [_turn("user", "A red fruit?")], "completions": [
            {"rank": 0, "completion": [_turn("assistant", "Apple.")]}, {"rank": 1, "completion": [_turn("assistant", "Pear.")]}]},
        Format.PREFERENCE, RED,
    ),
    RowFormat(
        "OpenMathInstruct-1", {"question": "2+2?", "generated_solution": "4", "expected_answer": "4"}, Format.QUESTION_ANSWER,
        "user: 2+2? / assistant: 4", unused=("expected_answer",),
    ),
    RowFormat(
        "NuminaMath, OpenMathInstruct-2", {"problem": "2+2?", "solution": "2+2 is 4.", "answer": "4"}, Format.QUESTION_ANSWER,
        "user: 2+2? / assistant: 2+2 is 4.", unused=("answer",),
    ),
    RowFormat(
        "Aya, FLAN", {"inputs": "2+2?", "targets": "4", "language": "eng"}, Format.QUESTION_ANSWER, "user: 2+2? / assistant: 4",
        unused=("language",),
    ),
    RowFormat(
        "datasets, a Sequence of messages", {"messages": {"role": ["user", "assistant"], "content": ["2+2?", "4"]}},
        Format.MESSAGES, "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "UltraChat", {"id": "0", "data": ["2+2?", "4", "+1?", "5"]}, Format.MESSAGES,
        "user: 2+2? / assistant: 4 / user: +1? / assistant: 5", unused=("id",),
    ),
    RowFormat(
        "OASST, trees", {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "2+2?", "replies": [
            {"role": "assistant", "text": "5", "rank": 1, "replies": []}, {"role": "assistant", "text": "4", "rank": 0, "replies": []}]}},
        Format.MESSAGES, "user: 2+2? / assistant: 4", unused=("message_tree_id",),
    ),
    RowFormat(
        "Gemini, contents", {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
            {"role": "user", "parts": [{"text": "Rain?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"rain": True}}}]},
            {"role": "model", "parts": [{"text": "Yes."}]}], "tools": [{"functionDeclarations": [BARE_TOOL]}]},
        Format.MESSAGES, f"system: Be brief. / {WEATHER}".replace("tool: rain", "tool: {'rain': True}"),
    ),
    RowFormat(
        "Anthropic, tools", {"system": "Be brief.", "messages": [
            _turn("user", "Rain?"),
            _turn("assistant", [{"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "Oslo"}}]),
            _turn("user", [{"type": "tool_result", "tool_use_id": "t", "content": "rain"}]), _turn("assistant", "Yes.")],
            "tools": [{"name": "weather", "input_schema": SCHEMA}]},
        Format.MESSAGES, f"system: Be brief. / {WEATHER}",
    ),
    RowFormat(
        "LangChain, messages", {"messages": [
            {"type": "human", "content": "Rain?"},
            {"type": "ai", "content": "", "tool_calls": [{"name": "weather", "args": {"city": "Oslo"}, "id": "c", "type": "tool_call"}]},
            {"type": "tool", "content": "rain", "tool_call_id": "c"}, {"type": "ai", "content": "Yes."}], "tools": [BARE_TOOL]},
        Format.MESSAGES, WEATHER,
    ),
    RowFormat(
        "LangChain, with data", {"messages": [
            {"type": "human", "data": {"content": "2+2?", "additional_kwargs": {}}}, {"type": "ai", "data": {"content": "4"}}]},
        Format.MESSAGES, "user: 2+2? / assistant: 4",
    ),
    RowFormat(
        "OpenAI, items of Responses", {"messages": [
            _turn("user", "Rain?"), {"type": "function_call", "call_id": "c", "name": "weather", "arguments": ARGUMENTS},
            {"type": "function_call_output", "call_id": "c", "output": "rain"}, _turn("assistant", "Yes.", type="message")],
            "tools": [{"type": "function", **BARE_TOOL}]},
        Format.MESSAGES, WEATHER.replace('{"city": "Oslo"}', json.dumps(ARGUMENTS)),
    ),
    RowFormat(
        "axolotl, input_output", {"segments": [{"label": False, "text": "Q: 2+2?\n"}, {"label": True, "text": "4"}]},
        Format.SEGMENTS, "'Q: 2+2?\\n' ['4']",
    ),
    RowFormat(
        "TRL and LLaMA-Factory, a prepared pair", {
            "chosen_input_ids": IDS, "chosen_attention_mask": [1, 1, 1, 1], "chosen_labels": LABELS,
            "rejected_input_ids": [11, 12, 15], "rejected_labels": [-100, -100, 15]},
        Format.LABELLED, TRAINS, unused=("rejected_input_ids", "rejected_labels"),
    ),
    RowFormat(
        "TRL, prepared", {"input_ids": IDS, "completion_mask": [0, 1, 1, 1], "assistant_masks": [0, 0, 1, 1], "seq_lengths": [4]},
        Format.LABELLED, TRAINS,
    ),
    RowFormat(
        "axolotl, prepared", {"input_ids": IDS, "attention_mask": [1, 1, 1, 1], "labels": LABELS, "position_ids": [0, 1, 2, 3],
        "length": 4}, Format.LABELLED, TRAINS, unused=("length",),
    ),
    RowFormat(
        "LLaMA-Factory, tokenized_path", {"input_ids": IDS, "attention_mask": [1, 1, 1, 1], "labels": LABELS, "images": None},
        Format.LABELLED, TRAINS, unused=("images",),
    ),
    RowFormat(
        "ms-swift, cached", {"input_ids": IDS, "labels": LABELS, "loss_scale": [0.0, 0.0, 1.0, 1.0], "length": 4},
        Format.LABELLED, TRAINS, unused=("length",),
    ),
    RowFormat(
        "verl, MultiTurnSFTDataset", {"input_ids": [*IDS, 0], "attention_mask": [1, 1, 1, 1, 0], "position_ids": [0, 1, 2, 3, 3],
        "loss_mask": [0, 0, 1, 1, 0]}, Format.LABELLED, TRAINS,
    ),
    RowFormat(
        "verl, SFTDataset", {"input_ids": IDS, "attention_mask": [1, 1, 1, 1], "position_ids": [0, 1, 2, 3], "loss_mask": [0, 1, 1, 0]},
        Format.LABELLED_SHIFTED, TRAINS, mapping={"format": "labelled_shifted"},
    ),
    RowFormat(
        "tinker and Together, Datum", {
            "model_input": {"chunks": [{"type": "encoded_text", "tokens": IDS[:-1]}]},
            "loss_fn_inputs": {
                "target_tokens": {"data": IDS[1:], "dtype": "int64", "shape": [3]},
                "weights": {"data": [0.0, 1.0, 1.0], "dtype": "float32", "shape": [3]}}},
        Format.LABELLED, TRAINS,
    ),
    RowFormat(
        "Fireworks, render samples", {
            "source_jsonl_row_index": 4, "renderer": "qwen3", "token_ids": IDS, "decoded_tokens": ["a", "b", "c", "d"],
            "token_weights": [0.0, 0.0, 1.0, 1.0]},
        Format.LABELLED, TRAINS, unused=("source_jsonl_row_index", "renderer", "decoded_tokens"),
    ),
    RowFormat(
        "export --rows", {"input_ids": IDS, "labels": LABELS, "text": "abcd", "model": "tiny-chat", "strategy": "traced"},
        Format.LABELLED, TRAINS, unused=("text", "model", "strategy"),
    ),
)  # fmt: skip


def table() -> str:
    """The table of the documentation."""
    lines = [
        f"| {one.name} | `{_cell(json.dumps(one.row, ensure_ascii=False))}` | `{one.format}` {_cell(one.reads)} |\n"
        for one in ROW_FORMATS
    ]
    return HEAD + "".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;").split())


def with_table(text: str) -> str:
    """The document with the table between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    DOCS.write_text(with_table(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
