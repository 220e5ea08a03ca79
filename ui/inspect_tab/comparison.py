"""Compares the masks of other trainers for the shown conversation, after its tokens are painted.

In a long conversation that takes seconds, so it is done only on a click.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from inspector.errors import InspectorError
from inspector.strategies import EXACT, FACTS, Reason
from inspector.trainers.compare import Comparison, Entry, compare_with
from inspector.trainers.verdict import truth_of
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json, key_of
from ui.parts.tokens import tokens_script
from ui.wiring.boxes import POLICY_DEFAULTS, Boxes, load_boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.wires import Changes, Wires

ASKED_FROM = 4_000
"""A conversation with at least this many tokens is compared only on a click."""


def build_comparison() -> dict[str, Any]:
    """The widget, by name."""
    return {"comparison": build_drawn("comparison", tokens_script("token_view/comparison.js"), "comparison")}


def connect_comparison(wires: Wires) -> None:
    """Compare with each new view, or on a click if it is long."""
    wires.on(wires["view"].change, on_compare, ["comparison"], is_latest=True)
    wires.on(wires["comparison"].compare, on_compare_long, ["comparison"])


def on_compare(boxes: Boxes) -> Changes:
    """The trainers compared with the shown mask; no change if nothing is shown."""
    return {"comparison": _compared(boxes, ASKED_FROM)}


def on_compare_long(boxes: Boxes) -> Changes:
    """As `on_compare`, for any length of the conversation."""
    return {"comparison": _compared(boxes, None)}


def _compared(boxes: Boxes, limit: int | None) -> str:
    try:
        shown = load_boxes(_exact(boxes)).inspect()
        truth = replace(shown, labelled=truth_of(shown))
    except (InspectorError, ConversationJsonError):  # the view shows the reason
        return ""
    key = key_of(truth.example, truth.labelled)
    if limit is not None and len(truth.ids) > limit:
        return as_json({"key": key, "waits": len(truth.ids), "strategies": []})
    compared = compare_with(truth)
    return as_json({"key": key, "waits": None, "strategies": strategies_of(compared)})


def _exact(boxes: Boxes) -> Boxes:
    """The boxes with the mask that every trainer is compared with.

    The exact one, with the chosen policy if there is one.
    """
    return boxes if boxes.strategy == EXACT else replace(boxes, strategy=EXACT, **POLICY_DEFAULTS)


def strategies_of(comparison: Comparison) -> list[dict[str, Any]]:
    """One entry per strategy.

    `reasons`: one character per token; its code minus 48 is an index into the view's reasons.
    """
    return [_strategy(entry) for entry in comparison.by_verdict]


def _strategy(entry: Entry) -> dict[str, Any]:
    labelled = entry.labelled if entry.agreement is not None else None
    codes = {reason: chr(48 + place) for place, reason in enumerate(Reason)}
    return {
        "name": entry.strategy,
        "options": json.dumps(dict(entry.options), ensure_ascii=False) if entry.options else "",
        "count": None if labelled is None else sum(labelled.trained),
        "verdict": entry.verdict.to_dict(),
        "isKnown": FACTS[entry.strategy].is_known,
        "reasons": None if labelled is None else "".join(codes[reason] for reason in labelled.reasons),
        "remarks": [*(entry.labelled.warnings if entry.labelled else ()), *([entry.error] if entry.error else [])],
    }
