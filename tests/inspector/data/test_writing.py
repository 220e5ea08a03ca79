"""An edited conversation goes back into the row that it came from, whatever the row's layout."""

from __future__ import annotations

from dataclasses import replace

import pytest

from inspector.data.formats import Format, detect, read
from inspector.data.writing import written_back
from inspector.errors import FormatError
from tests.oracles.row_formats import ROW_FORMATS, RowFormat

ONE_TEXT = {"LLaMA-Factory, alpaca", "ms-swift, query and response", "xLAM"}
"""Rows whose layout holds a question and its answer as texts, and whose conversation is more."""


@pytest.mark.parametrize("one", ROW_FORMATS, ids=[one.name for one in ROW_FORMATS])
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
