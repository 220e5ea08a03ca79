"""The board on the page: its rows, and what opens of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ui.models_tab.tab import here, on_select, opened, packed
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import dump

CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]
ROWS: list[dict[str, Any]] = json.loads(packed())["models"]


def test_the_table_is_sent_once() -> None:
    """When the tab is seen first."""
    assert on_select(False) == {"board": packed(), "board_sent": True}
    assert on_select(True) == {}


def test_models_with_their_own_tokenizer_come_first() -> None:
    """The real ones before the templates that are tried with bytes."""
    own = [row["own"] for row in ROWS]
    assert own == sorted(own, reverse=True)
    assert {"tiny-chat", "real/gemma3"} <= {row["model"] for row in ROWS if row["own"]}


@pytest.mark.parametrize("name", [row["model"] for row in ROWS if row["canOpen"]])
def test_a_row_whose_model_is_here_opens_with_the_conversation(name: str) -> None:
    """The model is loaded, its template is shown, and the conversation stays."""
    boxes = Boxes(model="not-here", template="{{ mine }}", conversation=dump(CHAT), loaded=("not-here", ""))
    changes = opened(name, boxes)
    view = json.loads(changes["view"])
    assert "failure" not in view
    assert "Hello." in "".join(view["texts"])
    assert changes["model"] == "tiny-chat" == view["model"]
    assert changes["template_choice"]["value"] == (here(name) or ("", ""))[1] or name == "tiny-chat"


def test_other_rows_do_not_open() -> None:
    """Models that are elsewhere, names that are none."""
    assert [row["model"] for row in ROWS if row["model"].startswith("built in/") and not row["canOpen"]] == []
    for name in ("trl/gemma3", "real/gemma3", "built in/none", "chatml", "/etc", ""):
        assert opened(name, Boxes()) == {}
