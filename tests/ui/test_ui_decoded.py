"""What the page says of a pasted log: whose message it is, what was shown, and settings in that trainer's names."""

from __future__ import annotations

import json

import inspector
from inspector.setup import Setup
from ui.inspect_tab.view import decoded_conversation

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def test_a_message_without_rows_leaves_the_conversation() -> None:
    """Meaning and causes in one notice, settings in the next; no ids of home-llm's command line."""
    log = "ZeroDivisionError: Unsloth: All labels in your dataset are -100."
    text, notices = decoded_conversation(log, Setup(model="tiny-chat", conversation=CHAT))
    assert text is None
    assert notices[0].startswith("Unsloth: ")
    assert notices[1].startswith("Set in Unsloth:\n")
    assert "train_on_responses_only(" in notices[1]
    assert "prefix_ids" not in " ".join(notices)


def test_rows_with_labels_are_shown_with_what_differs() -> None:
    """The first row becomes the conversation; what its labels miss is said."""
    row = inspector.inspect(inspector.load("tiny-chat"), CHAT)
    log = str({"input_ids": row.ids, "labels": [-100] * len(row.ids)})
    text, notices = decoded_conversation(log, Setup(model="tiny-chat", conversation=CHAT))
    assert text is not None
    assert json.loads(text) == CHAT
    assert any("Nothing trains" in notice for notice in notices)
    assert any("exactly the logged ones" in notice for notice in notices)
