"""Setups -> every box of the Inspect page, and the view. Links, galleries, remedies and audits use it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from inspector.errors import InspectorError, NoTemplateError
from inspector.model.model import Model
from inspector.setup import Setup
from ui.inspect_tab.training_box import training_values
from ui.inspect_tab.view import failure_view, inspect_view
from ui.wiring.boxes import Boxes, load_boxes, values_of
from ui.wiring.models import ANY_TEMPLATE, LoadedSetup, describe_model, load_model, template_choices
from ui.wiring.open_setups import Rows
from ui.wiring.wires import Changes

OPENED = (
    "model", "revision", "loaded", "model_info", "template_choice", "template", "template_report", "special_tokens",
    "conversation", "editor", "generation_prompt", "thinking", "tools", "documents", "keywords",
    "strategy", "strategy_about", "policy_box", "options_box", "strategy_options", "turns", "stop", "reasoning",
    "tool_calls", "straddlers", "closing_header", "keep", "max_length", "truncation", "as_given", "rows", "view",
)  # fmt: skip
"""The widgets that `open_rows` changes."""


def open_rows(
    setups: Sequence[Setup],
    at: int = 0,
    token: int | None = None,
    *,
    notices: Sequence[str] = (),
    expected_hash: str = "",
    titles: Sequence[str] = (),
    tokens: Sequence[int | None] = (),
    numbers: Sequence[int] = (),
) -> Changes:
    """All changes for showing these setups, number `at` first: `show_rows` of their Rows."""
    rows = Rows(setups=tuple(setups), at=at, titles=tuple(titles), tokens=tuple(tokens), numbers=tuple(numbers))
    return show_rows(rows, token, notices=notices, expected_hash=expected_hash)


def show_rows(rows: Rows, token: int | None = None, *, notices: Sequence[str] = (), expected_hash: str = "") -> Changes:
    """All changes for showing these rows at a token, by default that of the row.

    A click next to the first notice restores `rows.undo`. The other arguments are those of `inspect_view`. Raises
    StrategyError for unknown modifiers; the view reports all other errors of the shown setup.
    """
    setup = rows.setups[rows.at]
    values, model = template_values(setup.model, setup.revision, setup.template)
    changes = {**values_of(setup), **values, **training_values(setup.strategy)}
    boxes = Boxes().with_changes(changes)
    token = rows.token if token is None else token
    answer: dict[str, Any] = {"notices": notices, "can_undo": rows.undo is not None}
    try:
        shown = load_boxes(boxes, model)
    except Exception as error:  # the view has to report it, whatever it is
        return {**changes, "rows": rows, "view": failure_view(error, LoadedSetup(setup, model), rows=rows, **answer)}
    setups = (*rows.setups[: rows.at], shown.setup, *rows.setups[rows.at + 1 :])
    rows = replace(rows, setups=setups, opened=shown.setup)
    view = inspect_view(shown, rows=rows, token=token, expected_hash=expected_hash, **answer)
    return {**changes, "rows": rows, "view": view}


def template_values(name: str, revision: str, wanted: str = "") -> tuple[dict[str, Any], Model | None]:
    """Description, choices and source for a model and a template, as passed to `load`; and that model.

    None if one of them does not exist: the view reports the error.
    """
    values = {**_NO_TEMPLATE, "loaded": (name, revision)}
    try:
        model = load_model(name, revision, ANY_TEMPLATE)
        chosen = model.with_template(wanted or None)
        return values | _template_values(chosen), chosen
    except NoTemplateError:
        info = f"{describe_model(model)} · no chat template: choose one below"
        choices = gr.update(choices=template_choices(model), value=None)
        return {**values, "model_info": _info(info), "template_choice": choices}, None
    except InspectorError as error:
        return {**values, "model_info": _failed(error)}, None


_NO_TEMPLATE = {
    "template_choice": gr.update(choices=[], value=None),
    "template": "",
    "template_report": "",
}


def _template_values(model: Model) -> dict[str, Any]:
    choices = template_choices(model)
    named = model.template_name if model.template_name in [name for _, name in choices] else None
    return {
        "model_info": _info(describe_model(model)),
        "template_choice": gr.update(choices=choices, value=named),
        "template": model.template,
    }


def _failed(error: Exception) -> str:
    return _info(f"Not loaded: {error}", "model-info failed")


def _info(text: str, classes: str = "model-info") -> str:
    """One line, shortened if it is too long, so that nothing below moves."""
    return f"<p class='{classes}' title='{html.escape(text)}'>{html.escape(text)}</p>"
