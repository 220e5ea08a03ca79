"""Addresses that people write: which model, which row of which data set, whose mask."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from ui.data_tab.address import LAST, on_address
from ui.inspect_tab.events import on_open

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def opened(**fields: str) -> dict[str, Any]:
    """What the page opens with."""
    return dict(on_address("?" + urlencode(fields)))


def view(changes: Any) -> dict[str, Any]:
    """The token view."""
    shown: dict[str, Any] = json.loads(changes["view"])
    return shown


def test_a_query_names_model_template_trainer_and_conversation() -> None:
    """Each of them optional; what the page adds itself is passed over."""
    changes = opened(
        model="tiny-chat", template="zephyr", trainer="full", conversation=json.dumps(CHAT), __theme="dark"
    )
    assert view(changes)["verdict"]["sentence"].startswith("No masking trains every token")
    assert "<|user|>" in "".join(view(changes)["texts"])
    assert json.loads(changes["conversation"]) == CHAT
    assert view(opened(trainer="full"))["strategy"] == "full"


def test_a_query_names_a_row_of_a_data_set() -> None:
    """By its number from 0; where it is from is said."""
    changes = opened(dataset="messages.jsonl", row="1")
    assert view(changes)["row"] == [0, 1, "messages.jsonl, line 2"]
    assert "failure" not in view(changes)
    assert view(opened(dataset="alpaca.json", template="chatml"))["row"][2].startswith("alpaca.json")


def test_a_misspelt_name_is_said() -> None:
    """One that nearly is a field; what hosts add is not."""
    notices = str(view(opened(model="tiny-chat", datset="messages.jsonl", Row="3", __theme="dark", logs="container")))
    assert "The address has 'datset', which is not read. Did you mean 'dataset'?" in notices
    assert "The address has 'Row', which is not read. Did you mean 'row'?" in notices
    assert "__theme" not in notices
    assert "logs" not in notices


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"dataset": "messages.jsonl", "row": "x"}, "row is 'x', and must be a number from 0 on."),
        ({"dataset": "messages.jsonl", "row": "99999"}, "messages.jsonl has no row 99999; rows count from 0."),
        ({"dataset": "/etc/passwd"}, "dataset is '/etc/passwd', and must name a data set of the hub"),
        ({"dataset": "../data/rows.jsonl"}, "must name a data set of the hub"),
        ({"conversation": "["}, "Expecting value"),
        ({"template": "nope"}, "'tiny-chat' has no chat template 'nope'"),
        ({"trainer": "nobody"}, "There is no strategy 'nobody'"),
    ],
)
def test_what_a_query_gets_wrong_is_said(fields: dict[str, str], says: str) -> None:
    """In the view's place; the boxes hold what the page opens with."""
    changes = opened(**fields)
    assert says in view(changes)["failure"]["detail"]


def test_what_was_open_last_is_opened_again() -> None:
    """As long as it can be read; otherwise the page opens as for the first time."""
    link = view(opened(conversation=json.dumps(CHAT)))["link"]
    assert json.loads(on_address(LAST + link)["conversation"]) == CHAT
    assert on_address(LAST + link[:20]) == on_open("")
    assert "failure" in view(on_address(link[:20]))
