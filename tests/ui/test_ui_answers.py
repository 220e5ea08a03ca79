"""An answer is shown only while it is about what the page holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inspector.errors import SetupError
from inspector.setup import Setup
from ui.data_tab.boxes import shared_setup
from ui.inspect_tab.events import on_inspect, on_json, on_model
from ui.wiring.answers import CHANGED, LOADING, About, Answer, Answers
from ui.wiring.boxes import Boxes
from ui.wiring.open_setups import Rows

ASKED = Boxes(model="tiny-chat", conversation="[]", template="a", loaded=["tiny-chat", ""])


def taken(changes: dict[str, Any], now: dict[str, Any], about: About, *, asked: Boxes = ASKED) -> tuple[Any, bool]:
    """What is shown of an answer once the boxes hold something else; and whether a view is missing."""
    answers = Answers()
    answers.add(Answer(changes=changes, asked=asked))
    return answers.take(asked.with_changes(now), about, "report" if about is About.BOXES else "")


def said(value: str) -> str:
    """The text of a report."""
    return "".join(block["text"] for block in json.loads(value)["blocks"])


@pytest.mark.parametrize(
    "now", [{"model": "other"}, {"revision": "v1"}, {"template": "b"}, {"conversation": "[1]"}, {"strategy": "full"}]
)
def test_a_panes_answer_is_dropped_when_anything_has_changed(now: dict[str, Any]) -> None:
    """Its report says so in place of what it found; what it would have written into a box is gone as well."""
    changes = {"report": "Proven", "template": "tagged"}
    assert taken(changes, {}, About.BOXES) == (changes, False)
    shown, is_missing = taken(changes, now, About.BOXES)
    assert set(shown) == {"report"}
    assert said(shown["report"]) == CHANGED
    assert not is_missing


def test_a_pane_is_not_asked_while_a_model_loads() -> None:
    """Model and template do not belong together then."""
    loading = ASKED.with_changes({"model": "other"})
    shown, _ = taken({}, {}, About.BOXES, asked=loading)
    assert said(shown["report"]) == LOADING


def test_a_stale_view_is_dropped_and_asked_for_again() -> None:
    """What else the event changes is kept: the JSON's other forms are right whatever the template is."""
    changes = {"editor": "[]", "view": "of a"}
    assert taken(changes, {}, About.NOTHING) == (changes, False)
    assert taken(changes, {"template": "b"}, About.NOTHING) == ({"editor": "[]"}, True)
    assert taken(changes, {"model": "other"}, About.NOTHING) == ({"editor": "[]"}, False)  # its load brings one


def test_an_answer_about_another_row_is_dropped() -> None:
    """What was typed in a row does not come to the one that was opened meanwhile; what opens rows does."""
    rows = Rows(setups=(Setup(model="m", conversation=[]),) * 2, numbers=(4, 7))
    asked = ASKED.with_changes({"rows": rows})
    late = {"editor": "[]", "view": "of row 4"}
    assert taken(late, {}, About.NOTHING, asked=asked) == (late, False)
    assert taken(late, {"rows": rows.moved(1)}, About.NOTHING, asked=asked) == ({}, True)
    opens = {"rows": None, "conversation": "[1]"}
    assert taken(opens, {"rows": rows.moved(1)}, About.NOTHING, asked=asked) == (opens, False)


def test_a_loaded_model_fills_the_boxes_only_while_it_is_asked_for() -> None:
    """Another one was chosen meanwhile: nothing of it is shown. A message was typed meanwhile: all but the view."""
    loading = ASKED.with_changes({"model": "other"})
    changes = {"template": "b", "loaded": ("other", ""), "view": "of b"}
    assert taken(changes, {}, About.MODEL, asked=loading) == (changes, False)
    assert taken(changes, {"model": "third"}, About.MODEL, asked=loading) == ({}, False)
    filled = {"template": "b", "loaded": ("other", "")}
    assert taken(changes, {"conversation": "[1]"}, About.MODEL, asked=loading) == (filled, True)


def test_several_answers_are_shown_in_their_order() -> None:
    """Each is shown once."""
    answers = Answers()
    for text in ("one", "two"):
        answers.add(Answer(changes={"report": text}, asked=ASKED))
    assert answers.take(ASKED, About.BOXES) == ({"report": "two"}, False)
    assert answers.take(ASKED, About.BOXES) == ({}, False)


def test_nothing_is_made_of_a_model_and_anothers_template() -> None:
    """While a model loads there is no view of it, and the other tabs have no setup."""
    loading = ASKED.with_changes({"model": "someone/slow", "conversation": '[{"role": "user", "content": "Hi?"}]'})
    assert on_inspect(loading) == {}
    assert "view" not in on_json(loading)
    with pytest.raises(SetupError, match="still being loaded"):
        shared_setup(loading)
    assert on_model(ASKED)["loaded"] == ("tiny-chat", "")
