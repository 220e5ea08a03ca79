"""The Models tab: docs/board.json as a table with a search box. board_view.js draws it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import gradio as gr

from inspector.model.hub import BUILT_IN_TEMPLATES, EMBEDDED
from inspector.paths import DOCS
from ui.inspect_tab.events import DEFAULT_MODEL
from ui.inspect_tab.open import template_values
from ui.inspect_tab.view import boxes_view
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script
from ui.wiring.answers import About
from ui.wiring.boxes import Boxes
from ui.wiring.wires import Changes, Wires

BOARD = DOCS / "board.json"
_BUILT_IN = "built in/"
"""Prefix of the built-in templates' names on the board."""
_TEMPLATE = ("loaded", "model_info", "template_choice", "template", "template_report")


def build() -> dict[str, Any]:
    """The tab's widgets, by name; the table is empty until the tab is seen."""
    board = build_drawn("board-view", tokens_script("models_tab/board_view.js"), "board")
    return {"board": board, "board_sent": gr.State(False)}


def connect(wires: Wires, selected: str) -> None:
    """Connect all events of the tab. From other tabs it needs `tabs` and `models_tab`, the tab itself. `selected`: the
    tab where a model is shown."""
    sent = wires["board_sent"]
    wires.on(wires["models_tab"].select, on_select, ["board", "board_sent"], also=[sent], reads=(), queue="data")

    def on_open(event: Mapping[str, Any], boxes: Boxes) -> Changes:
        return {**opened(str(event.get("name")), boxes), "tabs": gr.update(selected=selected)}

    changes = ["model", "revision", *_TEMPLATE, "view", "tabs"]
    wires.on(wires["board"].open, on_open, changes, with_event=True, about=About.NOTHING)


def on_select(is_sent: bool) -> Changes:
    """Show the table when the tab is first opened."""
    return {} if is_sent else {"board": packed(), "board_sent": True}


@cache
def packed() -> str:
    """The component's value: the file's rows, those with their own tokenizer first, and the ones that can be opened."""
    kept = json.loads(BOARD.read_text(encoding="utf-8"))
    rows = [{**row, "canOpen": here(row["model"]) is not None} for row in kept["models"]]
    return as_json({"tried": kept["tried"], "models": sorted(rows, key=lambda row: not row["own"])})


def here(name: str) -> tuple[str, str] | None:
    """(model, template) of a row whose model is available here: an embedded one, or a built-in template on the default
    model. None for the others."""
    if name in EMBEDDED:
        return name, ""
    template = name.removeprefix(_BUILT_IN)
    return (DEFAULT_MODEL, template) if name.startswith(_BUILT_IN) and template in BUILT_IN_TEMPLATES else None


def opened(name: str, boxes: Boxes) -> Changes:
    """Replace the model in the boxes by that of a row; no change if it is not available here."""
    asked = here(name)
    if asked is None:
        return {}
    model, template = asked
    values, loaded = template_values(model, "", template)
    changes = {"model": model, "revision": "", **values}
    return {**changes, "view": boxes_view(boxes.with_changes(changes), loaded)}
