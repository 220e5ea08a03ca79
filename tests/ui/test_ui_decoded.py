"""What the page says of a pasted log: whose message it is, what was shown, and settings in that trainer's names."""

from __future__ import annotations

import json
from typing import Any

import inspector
from inspector.setup import Setup
from ui.inspect_tab.decode_pane import explained, on_decode
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import dump

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
BOXES = Boxes(model="tiny-chat", conversation=dump(CHAT))


def blocks(changes: Any) -> list[dict[str, Any]]:
    """What the pane shows."""
    shown: list[dict[str, Any]] = json.loads(changes["decode_report"])["blocks"]
    return shown


def test_a_message_without_rows_leaves_the_conversation() -> None:
    """What it means, then the settings to copy, then why; no ids of home-llm's command line."""
    log = "ZeroDivisionError: Unsloth: All labels in your dataset are -100."
    changes = on_decode(log, BOXES)
    assert set(changes) == {"decode_report"}
    meaning, settings, *_ = blocks(changes)
    assert meaning["text"].startswith("Unsloth: ")
    assert (settings["kind"], settings["label"]) == ("code", "Set in Unsloth")
    assert "train_on_responses_only(" in settings["text"]
    assert "prefix_ids" not in str(blocks(changes))


def test_rows_with_labels_are_shown_with_what_differs() -> None:
    """The first row becomes the conversation; what its labels miss is said."""
    row = inspector.inspect(inspector.load("tiny-chat"), CHAT)
    log = str({"input_ids": row.ids, "labels": [-100] * len(row.ids)})
    conversation, found, place = explained(log, Setup(model="tiny-chat", conversation=CHAT))
    assert conversation is not None
    assert json.loads(conversation) == CHAT
    assert "Nothing is trained" in str(found)
    assert place == "This is row 1 of 1 in the trainer's output. Its ids are exactly the printed ones."
    changes = on_decode(log, BOXES)
    assert json.loads(changes["conversation"]) == CHAT
    assert json.loads(changes["view"])["notices"] == [place]


def test_what_is_no_trainers_output_is_said_in_the_pane() -> None:
    """The view stays as it is."""
    (block,) = blocks(on_decode("nothing of the kind", BOXES))
    assert "no list of token ids" in block["text"]
    assert block["sign"] == "✗"


def test_ids_to_search_for_come_first() -> None:
    """Each with a button that copies it, and how often they are found."""
    row = inspector.inspect(inspector.load("tiny-chat"), CHAT)
    found = blocks(on_decode(f"{row.ids}\nwarning! example had no assistant response in it!", BOXES))
    code = {block["label"]: block["text"] for block in found if block["kind"] == "code"}
    assert (code["prefix_ids"], code["suffix_ids"]) == ("2,1558,203", "3")
    assert any(block.get("text", "").startswith("Found ") for block in found)
