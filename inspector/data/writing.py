"""An edited conversation -> the row that it came from, in the row's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from inspector.conversation import IGNORED, Conversation, LabelledIds, Message
from inspector.data.columns import Columns
from inspector.data.dialogues import dialogue
from inspector.data.labelled import MASKS
from inspector.data.layouts import Format, Layout
from inspector.data.readers import ALL_ANSWERS, answered, holds_prompt
from inspector.data.verdicts import judged
from inspector.errors import FormatError

_PROMPTS = ("instruction", "question", "problem")
"""Columns that hold one text."""


def written_back(row: Mapping[str, Any], layout: Layout, conversation: Conversation) -> dict[str, Any]:
    """The row with another conversation in the columns that it was read from; in a pair, in the chosen answer.

    Reading the row again gives this conversation. Raises FormatError for one that the layout cannot hold.
    """
    values, names = dict(row), layout.columns
    if conversation.segments and layout.format is Format.SEGMENTS:
        return values | {names["segments"]: conversation.to_json()["segments"]}
    if conversation.labelled is not None and layout.format.is_labelled and "segments" not in names:
        return values | _labelled(layout, conversation.labelled)
    if "first" in names and not layout.format.is_labelled:
        names = judged(Columns(row, names, layout.roles, ())).names
    messages = [dict(message) for message in conversation.messages]
    for beside, empty in (("system", ""), ("history", [])):
        if beside in names:
            values[names[beside]] = empty
    if conversation.tools or "tools" in names:
        _put(values, names.get("tools", "tools"), list(conversation.tools or ()))
    if layout.format is Format.TEXT and "text" in names:
        values[names["text"]] = messages[0]["content"]
        return values
    if layout.format.is_labelled or layout.format is Format.ALPACA_PROMPT or {"tree", "ranked"} & set(names):
        raise FormatError(f"A row of the layout {layout.format} cannot be written from a conversation.")
    if layout.format is Format.MESSAGES or ("messages" in names and "chosen" not in names):
        _put(values, names["messages"], messages)
        return values
    answer = "chosen" if "chosen" in names else next(name for name in ALL_ANSWERS if name in names)
    at = answered(messages)
    before = row.get(names[answer])
    if holds_prompt(dialogue(before) if isinstance(before, str) else before):
        values[names[answer]] = messages
        return values
    values[names[answer]] = messages[at:]
    if name := next((name for name in ("messages", "prompt", "input") if name in names and name != "input"), ""):
        values[names[name]] = messages[:at]
    elif "input" in names and "instruction" not in names:
        values[names["input"]] = {"messages": messages[:at]}
    elif "history" in names and "first" in names:
        values[names["history"]] = messages[:at]
    else:
        _put_texts(values, layout, messages, answer)
    return values


def _labelled(layout: Layout, labelled: LabelledIds) -> dict[str, Any]:
    """The columns of a row of ids and labels. Raises FormatError for columns that cannot hold them."""
    trained = [int(label != IGNORED) for label in labelled.labels]
    is_shifted = layout.format is Format.LABELLED_SHIFTED
    mask = [*trained[1:], 0] if is_shifted else trained
    count = len(trained)
    lists = {
        **dict.fromkeys(MASKS, mask), "input_ids": list(labelled.ids), "attention_mask": [1] * count,
        "position_ids": list(range(count)), "seq_lengths": [count],
    }  # fmt: skip
    if not is_shifted:
        lists["labels"] = list(labelled.labels)
    if odd := next((column for name, column in layout.columns.items() if name not in lists), None):
        raise FormatError(f"The column {odd!r} cannot be rewritten: write the rows with input_ids and labels first.")
    return {column: lists[name] for name, column in layout.columns.items()}


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    """A column's new value; as JSON text if the column held text."""
    values[name] = json.dumps(value, ensure_ascii=False) if isinstance(values.get(name), str) else value


def _put_texts(values: dict[str, Any], layout: Layout, messages: Sequence[Message], answer: str) -> None:
    """A question and its answer in text columns, and a system text if there is a column for it."""
    names, rest = layout.columns, list(messages)
    if "system" in names and rest[0]["role"] == "system":
        values[names["system"]] = rest.pop(0)["content"]
    if [message["role"] for message in rest] != ["user", "assistant"] or set(rest[1]) - {"role", "content"}:
        raise FormatError(
            f"A row of the layout {layout.format} holds one question and its answer, and this conversation is "
            f"{', '.join(message['role'] for message in messages)}: write the data set as messages first."
        )
    values[names[next(name for name in _PROMPTS if name in names)]] = rest[0]["content"]
    values[names[answer]] = rest[1]["content"]
    if "input" in names:
        values[names["input"]] = ""
