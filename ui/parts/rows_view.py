"""Rows of a data set as small token views, one below the other; rows_view.js draws them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from inspector.inspection import Inspection
from inspector.strategies.base import IGNORED
from training.rows.prepare import PreparedRow
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json, classes_of, turns_of
from ui.parts.tokens import Bit, tokens_script

MAX_TOKENS = 400
"""Maximum number of tokens shown of each row."""
Shown = dict[str, Any]


def build_rows_view(elem_id: str) -> gr.HTML:
    """The component. Its `open` event carries `number`, the row whose button was clicked."""
    script = tokens_script("parts/rows_view.js")
    return build_drawn("rows-view", script, elem_id, elem_classes=["rows-view-box"])


def pack_rows(rows: list[Shown], title: str) -> str:
    """The component's value. `rows`: results of `shown` and `unusable`."""
    return as_json({"title": title, "rows": rows})


def pack_no_rows(why: str, *, is_hint: bool = False) -> str:
    """The component's value without rows: only the reason. `is_hint`: whether it is a hint, not an error."""
    return as_json({"failure": why, "isHint": is_hint})


def shown(number: int, place: str, inspection: Inspection) -> Shown:
    """A row with its tokens, as rendered."""
    tokens, classes = inspection.example.tokens, classes_of(inspection)
    return {
        "number": number,
        "place": place,
        "total": len(tokens),
        "trained": sum(inspection.trained),
        "texts": tokens.pieces()[:MAX_TOKENS],
        "classes": classes[:MAX_TOKENS],
        "turns": turns_of(inspection)[:MAX_TOKENS],
        "roles": [message["role"] for message in inspection.example.conversation.messages],
        "canOpen": True,
    }


def trained_rows(row: PreparedRow) -> list[Shown]:
    """A training row of a run; both answers of a pair. The row that opens on the Inspect tab may differ."""
    names = ("",) if row.rejected is None else (" · chosen", " · rejected")
    good = {None: "", True: " · good", False: " · bad"}[row.is_good]
    return [
        {
            "number": row.number,
            "place": f"row {row.number}{name}{good}",
            "total": len(one.input_ids),
            "trained": sum(label != IGNORED for label in one.labels),
            "texts": one.texts[:MAX_TOKENS],
            "classes": [Bit.TRAINED * (label != IGNORED) for label in one.labels[:MAX_TOKENS]],
            "turns": one.turns[:MAX_TOKENS],
            "roles": [message["role"] for message in one.conversation.messages],
            "canOpen": False,
        }
        for name, one in zip(names, row.answers, strict=True)
    ]


def unusable(number: int, place: str, why: str, *, can_open: bool) -> Shown:
    """A row without tokens, and why. `can_open`: whether the Inspect tab can show more of it."""
    return {"number": number, "place": place, "why": why, "canOpen": can_open}
