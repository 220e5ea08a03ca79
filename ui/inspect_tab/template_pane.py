"""The Chat template pane: choose and edit a template, or write generation tags into it, with the proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from inspector.tagging.trl_status import trl_status
from inspector.tagging.write import write_training_template
from ui.inspect_tab.view import boxes_view
from ui.language import say
from ui.parts.report import Block, build_note, build_report, code, files, report, text
from ui.parts.text_box import build_text_box
from ui.wiring.boxes import Boxes, setup_of
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import model_of
from ui.wiring.wires import Changes, Wires

FILE = "training_template.jinja"


def build_template_box() -> dict[str, Any]:
    """The widgets of the template itself, by name; `reset` is a button."""
    with gr.Accordion("Template", open=False, elem_id="template-pane"):
        with gr.Row(equal_height=True):
            choice = gr.Dropdown([], label="Template", elem_id="template-choice", scale=4, min_width=140)
            revision = gr.Textbox(
                label="Model revision",
                placeholder="main",
                max_lines=1,
                elem_id="revision",
                scale=3,
                min_width=120,
            )
            reset = gr.Button("Reset", size="sm", scale=1, min_width=70, elem_id="reset")
        source = build_text_box(
            "Source",
            info="The line that wrote the token you point at is marked. Edit it to try a change.",
            rows=16,
            elem_id="template-source",
        )
        gr.HTML("<p class='template-error' role='alert' hidden></p>", apply_default_css=False, elem_id="template-error")
    return {"template_choice": choice, "revision": revision, "template": source, "reset": reset}


def build_tags_pane() -> dict[str, Any]:
    """The widgets of the tool that writes tags, by name; `add_tags` is a button."""
    with gr.Accordion("Template tags", open=False, elem_id="tags"):
        build_note("Trainers that use assistant_only_loss need {% generation %} tags in the chat template.")
        tags = gr.Button("Add generation tags", size="sm", elem_id="add-tags")
        found = build_report("template-report")
    return {"template_report": found, "add_tags": tags}


def connect_tags_pane(wires: Wires) -> None:
    """Connect the button that writes tags."""
    wires.on(wires["add_tags"].click, on_tags, ["template", "template_report", "view"], says="template_report")


def on_tags(boxes: Boxes) -> Changes:
    """The template with generation tags in its box, if one can be proven; the pane reports the proof."""
    try:
        model = model_of(setup_of(boxes))
        status = trl_status(model).reason
        written = write_training_template(model)
    except (InspectorError, ConversationJsonError) as error:
        return {"template_report": report(text(say("Not verified: {reason}", reason=error), "✗"))}
    if written.template is None:
        return {
            "template_report": report(text(say("Not verified: {reason}", reason=written.reason), "✗"), text(status))
        }
    blocks = _proven(written.reason, status, written.template, written.diff)
    changes = {"template": written.template, "template_report": report(*blocks)}
    return {**changes, "view": boxes_view(boxes.with_changes(changes))}


def _proven(reason: str, status: str, template: str, diff: str) -> Iterator[Block]:
    yield text(say("Verified: {reason}", reason=reason), "✓")
    yield text(status)
    if diff:
        yield code(diff, label=say("What changed"), is_diff=True)
    yield files((FILE, template))
