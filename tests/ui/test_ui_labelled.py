"""Rows of ids and labels on the page, without a browser: dropped, pasted, opened, linked."""

from __future__ import annotations

import json
from typing import Any

import pytest

import inspector
from inspector.paths import EXAMPLES
from tests.ui.test_ui_data import BOXES, CHAT, audited, pasted, said
from ui.data_tab.boxes import DataBoxes
from ui.data_tab.events import preview_of
from ui.data_tab.open import on_open, on_open_first
from ui.inspect_tab import events
from ui.inspect_tab.comparison import on_compare
from ui.inspect_tab.links import decode_link
from ui.inspect_tab.view import boxes_view
from ui.wiring.boxes import Boxes, conversation_values
from ui.wiring.conversation_json import ConversationJsonError, TemplateOptions, dump, read_options, write_options


def row() -> dict[str, Any]:
    """A row as a trainer prepares it."""
    ids, labels = inspector.inspect(inspector.load("tiny-chat"), CHAT).row
    return {"input_ids": ids, "labels": labels}


def viewed(conversation: Any, **fields: Any) -> dict[str, Any]:
    """What the token view shows of a conversation."""
    shown: dict[str, Any] = json.loads(boxes_view(Boxes(model="tiny-chat", conversation=dump(conversation), **fields)))
    return shown


@pytest.mark.parametrize("form", ["labels", "loss_mask"])
def test_a_pasted_row_is_shown_as_it_is(form: str) -> None:
    """In the JSON box; the turns are those of the conversation, and the exact mask is compared with it."""
    given = row()
    mask = {"input_ids": given["input_ids"], "loss_mask": [int(one != -100) for one in given["labels"]]}
    view = viewed(given if form == "labels" else mask)
    trained = [view["reasonTrains"][reason] for reason in view["reasons"]]
    assert trained == [one != -100 for one in given["labels"]]
    assert (view["strategy"], view["roles"], view["ids"]) == ("own_labels", ["user", "assistant"], given["input_ids"])
    assert view["verdict"]["sentence"] == "This row: only the answer is trained"
    shown = Boxes(model="tiny-chat", conversation=dump(given if form == "labels" else mask))
    compared = json.loads(on_compare(shown)["comparison"])
    assert compared["key"] == view["key"]
    assert {"traced", "full"} <= {entry["name"] for entry in compared["strategies"]}
    assert view["notices"] == []
    state = decode_link(view["link"])
    assert json.loads(state.conversation) == (given if form == "labels" else mask)


def test_another_strategy_changes_nothing_and_that_is_said() -> None:
    """Above the tokens."""
    view = viewed(row(), strategy="full")
    assert view["notices"] == [
        "own_labels says: The row's own labels are trained as they are, whatever is chosen: the strategy full."
    ]


def test_unknown_turns_are_no_template_of_their_own() -> None:
    """What is shown is the text of the ids."""
    view = viewed({"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]})
    assert (view["roles"], view["notices"]) == (["text"], [])
    assert [finding["code"] for finding in view["findings"]] == ["turns_not_read"]


def test_ids_of_another_model_fail_with_the_reason() -> None:
    """In the view's place."""
    view = viewed({"input_ids": [99999], "labels": [99999]})
    assert "Token 0 has the id 99999" in view["failure"]["detail"]


def test_template_options_are_none_of_such_a_row() -> None:
    """The boxes are empty, and what is written into them is refused."""
    text = dump(row())
    assert read_options(text) == TemplateOptions()
    assert write_options(text, TemplateOptions()) == text
    with pytest.raises(ConversationJsonError, match="This row is ids and labels: nothing is rendered"):
        write_options(text, TemplateOptions(generation_prompt=True))
    assert conversation_values(text)["keywords"] == ""
    changes = events.on_options(True, "on", "", "", "", Boxes(model="tiny-chat", conversation=text))
    assert "nothing is rendered" in json.loads(changes["view"])["failure"]["detail"]


@pytest.mark.parametrize("name", ["labelled.jsonl", "labelled-weights.jsonl", "labelled-targets.jsonl"])
def test_a_file_is_previewed_audited_and_opened(name: str) -> None:
    """As it is: each row opens in the token view with its labels."""
    data = DataBoxes(data_kind="file", data_file=str(EXAMPLES / "data" / name))
    preview = preview_of(data, BOXES)
    assert "labelled" in said(preview, "data_layout")
    shown = json.loads(preview["data_preview"])["rows"]
    assert [one["trained"] for one in shown] == [3, 6, 4]
    changes = on_open_first({"number": 1}, data, BOXES)
    assert sorted(json.loads(changes["conversation"])) == ["input_ids", "labels"]
    view = json.loads(changes["view"])
    assert sum(view["reasonTrains"][reason] for reason in view["reasons"]) == 6
    assert audited(data).report.trained == 13


def test_a_finding_opens_its_row() -> None:
    """At the token to blame."""
    given = row()
    done = audited(pasted({"input_ids": given["input_ids"], "labels": given["input_ids"]}))
    changes = on_open({"code": "foreign_text_in_loss", "at": 0}, done, BOXES)
    view = json.loads(changes["view"])
    assert view["strategy"] == "own_labels"
    assert view["selected"] is not None
