"""An edited conversation goes back into the row that it came from, whatever the row's layout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inspector.conversation import Conversation
from inspector.data.formats import detect, read
from inspector.data.layouts import Format
from inspector.data.writing import written_back
from inspector.errors import FormatError
from tests.oracles.row_formats import ROW_FORMATS, RowFormat

ONE_TEXT = {"LLaMA-Factory, alpaca", "ms-swift, query and response", "xLAM"}
"""Rows whose layout holds a question and its answer as texts, and whose conversation is more."""
NOT_WRITTEN = {"UltraFeedback, as it was collected", "NeMo-RL, preference", "OASST, trees"}
"""Rows that hold several answers, of which one was read."""


CHATS = [one for one in ROW_FORMATS if not one.format.is_labelled]
LABELLED = [one for one in ROW_FORMATS if one.format.is_labelled and one.format is not Format.SEGMENTS]


@pytest.mark.parametrize("one", LABELLED, ids=[one.name for one in LABELLED])
def test_edited_labels_are_read_again(one: RowFormat) -> None:
    """Other ids and labels, in every column that says of a token whether it trains; tinker's objects are refused."""
    layout = detect([one.row], one.mapping)
    edited = Conversation.parse({"input_ids": [7, 8, 9], "labels": [-100, 8, -100]})
    if "model_input" in layout.columns:
        with pytest.raises(FormatError, match="The column 'model_input' cannot be rewritten"):
            written_back(one.row, layout, edited)
        return
    row = written_back(one.row, layout, edited)
    assert read(row, detect([row], one.mapping)).conversation == edited
    assert {name: row[name] for name in layout.unused} == {name: one.row[name] for name in layout.unused}


def test_edited_segments_are_read_again() -> None:
    """Texts with labels; ids of tokens cannot become texts."""
    row = {"id": 1, "segments": [{"label": False, "text": "Q"}, {"label": True, "text": "A"}]}
    layout = detect([row])
    edited = Conversation.parse({"segments": [{"label": True, "text": "Other"}]})
    again = written_back(row, layout, edited)
    assert again == {"id": 1, "segments": [{"label": True, "text": "Other"}]}
    assert read(again, layout).conversation == edited
    with pytest.raises(FormatError, match="layout segments cannot be written"):
        written_back(row, layout, Conversation.parse({"input_ids": [7], "labels": [7]}))


@pytest.mark.parametrize("one", CHATS, ids=[one.name for one in CHATS])
def test_what_was_written_back_is_read_again(one: RowFormat) -> None:
    """The edited answer, everything else as it was; what a layout cannot hold is refused."""
    layout = detect([one.row], one.mapping, one.wanted)
    before = read(one.row, layout)
    *rest, last = before.conversation.messages
    edited = replace(before.conversation, messages=(*rest, {**last, "content": "Edited."}))
    if one.name in ONE_TEXT:
        with pytest.raises(FormatError, match="holds one question and its answer, and this conversation is "):
            written_back(one.row, layout, edited)
        return
    if one.name in NOT_WRITTEN:
        with pytest.raises(FormatError, match=f"layout {one.format} cannot be written from a conversation"):
            written_back(one.row, layout, edited)
        return
    row = written_back(one.row, layout, edited)
    again = read(row, detect([row], one.mapping, one.wanted))
    assert again.conversation.messages == edited.messages
    assert again.conversation.tools == edited.tools
    assert (again.is_good, again.rejected) == (before.is_good, before.rejected)
    assert {name: row[name] for name in layout.unused} == {name: one.row[name] for name in layout.unused}


def test_rows_in_the_prompts_of_a_template_are_refused() -> None:
    """Alpaca's own prompts cannot be taken apart again."""
    row = {"instruction": "Q", "output": "A"}
    layout = detect([row], {"format": "alpaca_prompt"})
    assert layout.format is Format.ALPACA_PROMPT
    with pytest.raises(FormatError, match="layout alpaca_prompt cannot be written from a conversation"):
        written_back(row, layout, read(row, layout).conversation)
