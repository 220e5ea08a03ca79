"""The handlers of the Inspect tab: the boxes' values in, new values by name out. The widgets are in inspect_tab.

The conversation's JSON is the single source of truth: the editor and the template options are read from it and written
to it. Each handler returns the view of the boxes' new values.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from inspector.errors import GalleryError, InspectorError
from inspector.findings.codes import Code
from inspector.gallery import find_entry, gallery
from inspector.model.model import Model
from inspector.paths import EXAMPLES
from inspector.remedies import REMEDIES, apply_remedy
from inspector.setup import Setup
from inspector.strategies import EXACT
from inspector.trainers.markers import Markers, propose_markers
from ui.inspect_tab.links import LinkError, ViewState, decode_link
from ui.inspect_tab.open import open_rows, show_rows, template_values
from ui.inspect_tab.training_box import prefilled, training_values
from ui.inspect_tab.view import boxes_view, failure_view
from ui.parts.token_view import pack_failure
from ui.visitors.access import hub_token
from ui.wiring.boxes import Boxes, conversation_values, load_boxes, setup_of
from ui.wiring.conversation_json import ConversationJsonError, TemplateOptions, dump, write_options
from ui.wiring.models import LoadedSetup, load_model
from ui.wiring.open_setups import Rows
from ui.wiring.wires import Changes

DEFAULT_MODEL = "tiny-chat"
_COUNTED_ROWS = 24
"""Maximum number of rows that are inspected to count a remedy's effect."""


def on_open(fragment: str) -> Changes:
    """The page as a link describes it, or as it opens by default."""
    state = default_state()
    if not fragment:
        return open_rows(state.setups())
    try:
        asked = decode_link(fragment)
        return open_rows(asked.setups(), asked.row, asked.token, expected_hash=asked.template_hash)
    except (LinkError, InspectorError) as error:
        view = pack_failure("This link cannot be opened", str(error))
        return {**open_rows(state.setups()), "view": view}


def default_state() -> ViewState:
    """The page's first view."""
    return ViewState(model=DEFAULT_MODEL, conversation=_example_text(next(iter(examples()))[1]))


def on_model(boxes: Boxes) -> Changes:
    """Another model: its description, its templates, its default template, and the view."""
    return _shown(boxes, *template_values(boxes.model or "", boxes.revision or ""))


def on_model_choice(chosen: str | None, boxes: Boxes) -> Changes:
    """As `on_model`, unless the box was left unchanged."""
    return {} if chosen is None else on_model(boxes)


def on_revision(loaded: Sequence[str] | None, boxes: Boxes) -> Changes:
    """As `on_model`, unless the revision is already shown: leaving the box must not reset the template."""
    return {} if loaded is not None and tuple(loaded) == boxes.loading else on_model(boxes)


def on_template_choice(choice: str | None, boxes: Boxes) -> Changes:
    """Another template by name; None if the box was left unchanged: edits are kept."""
    return {} if choice is None else on_reset(choice, boxes)


def on_reset(choice: str | None, boxes: Boxes) -> Changes:
    """The chosen template without edits; the model's default if none is chosen."""
    try:
        model = load_model(boxes.model or "", boxes.revision or "", choice or None)
    except InspectorError as error:
        return {"view": failure_view(error, rows=boxes.rows)}
    return _shown(boxes, {"template": model.template, "template_report": ""}, model)


def on_template(boxes: Boxes) -> Changes:
    """The template was edited: messages about the previous one are removed."""
    return _shown(boxes, {"template_report": ""})


def on_inspect(boxes: Boxes) -> Changes:
    """The view of the boxes' values."""
    return _shown(boxes, {})


def on_json(boxes: Boxes) -> Changes:
    """The JSON was edited: the editor and the options follow."""
    values = conversation_values(boxes.conversation)
    del values["conversation"]
    return _shown(boxes, values)


def on_editor(edited: str, boxes: Boxes) -> Changes:
    """The messages were edited: the JSON follows."""
    values = conversation_values(edited)
    del values["editor"]
    return _shown(boxes, values)


def on_options(
    generation_prompt: bool, thinking: str, tools: str, documents: str, keywords: str, boxes: Boxes
) -> Changes:
    """A template option was changed: the JSON follows."""
    options = TemplateOptions(
        generation_prompt=generation_prompt, thinking=thinking, tools=tools, documents=documents, keywords=keywords
    )
    try:
        text = write_options(boxes.conversation, options)
    except ConversationJsonError as error:
        return {"view": failure_view(error, rows=boxes.rows)}
    return _shown(boxes, {"conversation": text, "editor": text})


def on_strategy_choice(chosen: str | None, boxes: Boxes) -> Changes:
    """As `on_strategy`, unless the box was left unchanged: its options are kept."""
    return {} if chosen is None else on_strategy(boxes)


def on_strategy(boxes: Boxes) -> Changes:
    """Another strategy: show its boxes and its required options, filled with values for this conversation."""
    values = training_values(boxes.strategy)
    if boxes.strategy == EXACT:
        return _shown(boxes, values)
    markers, model = _markers(boxes)
    return _shown(boxes, {**values, "strategy_options": prefilled(boxes.strategy, markers)}, model)


def on_example(example: str | None, boxes: Boxes) -> Changes:
    """A conversation from the examples, in place of all rows. None: the box was left unchanged."""
    if example is None:
        return {}
    return _shown(boxes, {**conversation_values(_example_text(example)), "rows": None, "gallery": None})


def on_chip(event: Mapping[str, Any], boxes: Boxes) -> Changes:
    """As `on_example`, chosen while nothing is shown."""
    name = str(event.get("name"))
    return {**on_example(name, boxes), "example": name}


def on_gallery(name: str | None, boxes: Boxes) -> Changes:
    """The example of a finding or a lesson: its whole setup, and what to look at. None: the box was left unchanged."""
    if name is None:
        return {}
    try:
        entry = find_entry(name)
    except GalleryError as error:
        raise gr.Error(html.escape(str(error))) from error
    return {**open_rows([entry.setup], notices=[entry.about]), "example": None}


def on_tour(boxes: Boxes) -> Changes:
    """The tour of common failures, each with what to look at."""
    entries = [find_entry(name) for name in TOUR]
    titles = [f"{entry.title}. {entry.about}" for entry in entries]
    tokens = [_first_token(entry.setup) for entry in entries]
    shown = open_rows([entry.setup for entry in entries], titles=titles, tokens=tokens)
    return {**shown, "example": None, "gallery": None}


def _first_token(setup: Setup) -> int | None:
    """The first token of a finding."""
    spans = (finding.token_span for finding in LoadedSetup(setup).inspect().findings)
    return next((span[0] for span in spans if span is not None), None)


def on_row(event: Mapping[str, Any], boxes: Boxes) -> Changes:
    """Show another of the open rows. Edits stay with the previous row."""
    step = event.get("step")
    if boxes.rows is None or not isinstance(step, int):
        return _shown(boxes, {})
    try:
        rows = boxes.rows.edited(setup_of(boxes)).moved(step)
    except (InspectorError, ConversationJsonError) as error:
        return {"view": failure_view(error, rows=boxes.rows, notices=["Fix this row before you leave it."])}
    return show_rows(rows)


def on_remedy(event: Mapping[str, Any], boxes: Boxes) -> Changes:
    """Apply the remedy of a finding's button: the boxes change, and the view says whether the finding is gone."""
    name, code = str(event.get("name")), str(event.get("code"))
    try:
        before = setup_of(boxes)
        changed = apply_remedy(name, before, hub_token())
        rows = (boxes.rows.edited(before) if boxes.rows else Rows(setups=(before,))).replaced(changed)
        message = f"Applied: {REMEDIES[name].what} {_effect(code, changed)}"
        return show_rows(rows, notices=[message])
    except (InspectorError, ConversationJsonError) as error:
        return _shown(boxes, {}, notices=[f"Not applied: {error}"])
    except Exception as error:  # the button waits for a view in any case
        return {"view": failure_view(error, rows=boxes.rows)}


def on_undo(_: Mapping[str, Any], boxes: Boxes) -> Changes:
    """The rows before the last remedy."""
    if boxes.rows is None or boxes.rows.undo is None:
        return _shown(boxes, {})
    return show_rows(boxes.rows.undo, notices=["Undone."])


def _effect(code: str, setups: list[Setup]) -> str:
    """Whether a finding is gone from the rows, in a sentence."""
    found = [codes_of(setup) for setup in setups[:_COUNTED_ROWS]]
    left = sum(code in codes for codes in found if codes is not None)
    rows = "" if len(found) == 1 else f" in {left} of {len(found)} rows"
    if left:
        return f"{code} is still there{rows}."
    return "What comes of it cannot be inspected." if None in found else f"{code} is gone."


def codes_of(setup: Setup) -> set[Code] | None:
    """The codes of all findings, including the cause of a refusal; None for an unknown failure."""
    loaded = LoadedSetup(setup)
    try:
        return {finding.code for finding in loaded.inspect().findings}
    except InspectorError as error:
        finding = loaded.diagnose(error)
        return None if finding is None else {finding.code}


def _markers(boxes: Boxes) -> tuple[Markers | None, Model | None]:
    """The text around the answers of the shown conversation, and the model; None if it cannot be inspected."""
    try:
        exact = load_boxes(replace(boxes, strategy=EXACT)).changed(options={}, modifiers={})
        return propose_markers([exact.inspect()]), exact.plain_model
    except (InspectorError, ConversationJsonError):
        return None, None


def _shown(boxes: Boxes, changes: Mapping[str, Any], model: Model | None = None, **extra: Any) -> Changes:
    """The changes, and the view of the changed boxes; no view while a model loads. `model`: that of the boxes, if it is
    already loaded."""
    after = boxes.with_changes(changes)
    return {**changes, "view": boxes_view(after, model, **extra)} if after.is_settled else changes


TOUR = ("boundary_merge", "2-bos-and-eos-in-the-collator", "1-the-response-template-merges")
"""A boundary that merges, a lost stop token, and the warning that means that nothing trains."""


def examples() -> list[tuple[str, str]]:
    """(title, file name) of each example conversation."""
    return [(path.stem[3:].replace("-", " "), path.name) for path in sorted(EXAMPLES.glob("*.json"))]


def gallery_choices() -> list[tuple[str, str]]:
    """(label, name) of each entry of the gallery."""
    return [(Code(entry.code).heading if entry.code else entry.title, entry.name) for entry in gallery()]


def _example_text(name: str) -> str:
    if name not in {known for _, known in examples()}:
        raise gr.Error(f"There is no example {html.escape(name)!r}.")
    return dump(json.loads((EXAMPLES / name).read_text(encoding="utf-8")))
