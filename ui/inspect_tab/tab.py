"""The Inspect tab: its widgets, and which handler each event calls. The panes build and connect their own."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.inspect_tab import events
from ui.inspect_tab.comparison import build_comparison, connect_comparison
from ui.inspect_tab.events import DEFAULT_MODEL
from ui.inspect_tab.issue import about_issue
from ui.inspect_tab.open import OPENED
from ui.inspect_tab.template_pane import build_template_box
from ui.inspect_tab.tools import build_tools, connect_tools
from ui.inspect_tab.training_box import build_trainer, build_training_box
from ui.parts.scripts import build_drawn, component
from ui.parts.text_box import build_text_box
from ui.parts.token_view import build_token_view
from ui.wiring.answers import About
from ui.wiring.conversation_json import THINKING
from ui.wiring.wires import Wires

MODELS = [
    DEFAULT_MODEL,
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen2.5-0.5B-Instruct",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
    "google/gemma-3-1b-it",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "microsoft/Phi-4-mini-instruct",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "bigscience/bloom-560m",
]
_WAITS = ["waits-for-model"]
"""Selectors of elements that are disabled while a model loads (loading.js)."""


def build() -> dict[str, Any]:
    """The tab's widgets, by name."""
    widgets = {"rows": gr.State(None), "loaded": gr.JSON(None, visible=False)}
    with gr.Column(elem_id="head"):
        widgets |= _build_head()
    with gr.Row(elem_id="main-row", elem_classes=_WAITS):
        with gr.Column(scale=4, min_width=320, elem_id="inputs"):
            widgets |= _build_conversation()
            widgets |= build_template_box()
            widgets |= build_training_box()
            widgets |= _build_options()
        with gr.Column(scale=7, min_width=320, elem_id="output"):
            widgets["view"] = build_token_view(elem_id="view", server_functions=[about_issue])
            widgets |= build_comparison()
            gr.HTML("<div class='findings-host'></div>", apply_default_css=False, elem_id="findings")
    return widgets | build_tools()


def connect(wires: Wires) -> None:
    """Connect all events of the tab."""
    _connect_boxes(wires)
    _connect_conversation(wires)
    _connect_view(wires)
    connect_comparison(wires)
    connect_tools(wires, ("conversation", "editor", *_OPTIONS))


def _build_head() -> dict[str, Any]:
    with gr.Row(elem_id="model-row", equal_height=True):
        model = gr.Dropdown(
            MODELS, value=DEFAULT_MODEL, label="Model", allow_custom_value=True, elem_id="model", scale=4
        )
        trainer = build_trainer()
        example = gr.Dropdown(
            list(events.examples()), value=None, label="Example", elem_id="example", elem_classes=_WAITS, scale=3
        )
        gallery = gr.Dropdown(
            events.gallery_choices(), value=None, label="Common mistakes", elem_id="gallery", elem_classes=_WAITS,
            scale=3,
        )  # fmt: skip
    with gr.Row(elem_id="head-row", equal_height=True):
        info = gr.HTML(elem_id="model-info")
        tour = gr.Button("Show me three mistakes", size="sm", min_width=180, elem_id="tour", elem_classes=_WAITS)
        decode = gr.Button("Decode a warning", size="sm", min_width=140, elem_id="open-decode", elem_classes=_WAITS)
        tools = gr.Button("Tools", size="sm", min_width=70, elem_id="open-tools", elem_classes=_WAITS)
    return {
        "model": model, "strategy": trainer, "example": example, "gallery": gallery, "model_info": info, "tour": tour,
        "open_decode": decode, "open_tools": tools,
    }  # fmt: skip


def _build_conversation() -> dict[str, Any]:
    with gr.Tabs():
        with gr.Tab("Messages", id="messages"):
            editor = build_drawn("conversation-editor", component("inspect_tab/conversation_editor.js"), "editor")
        with gr.Tab("JSON", id="json"):
            conversation = build_text_box(
                "Conversation",
                info="A list of messages, or an object with messages, tools, documents and template keywords",
                rows=18,
                elem_id="conversation",
                placeholder="Paste messages, ShareGPT, prompt and completion, a JSONL line, or a row of ids and labels",
            )
    return {"conversation": conversation, "editor": editor}


def _build_options() -> dict[str, Any]:
    with gr.Accordion("Template inputs", open=False, elem_id="options"):
        generation_prompt = gr.Checkbox(
            label="Generation prompt", info="End with an empty assistant header", elem_id="gen-prompt"
        )
        thinking = gr.Radio(THINKING, value=THINKING[0], label="Thinking (enable_thinking)", elem_id="thinking")
        tools = build_text_box("Tools (JSON list)", rows=3, elem_id="tools")
        documents = build_text_box("Documents (JSON list)", rows=2, elem_id="documents")
        keywords = build_text_box(
            "Other keywords (JSON object)", rows=2, elem_id="keywords", placeholder='{"date_string": "1 Jan 2025"}'
        )
    return {
        "generation_prompt": generation_prompt,
        "thinking": thinking,
        "tools": tools,
        "documents": documents,
        "keywords": keywords,
    }


# --- events

_OPTIONS = ("generation_prompt", "thinking", "tools", "documents", "keywords")
_TRAINING = (
    "strategy_options", "turns", "stop", "reasoning", "tool_calls", "straddlers", "closing_header", "keep",
    "max_length", "truncation", "as_given", "special_tokens",
)  # fmt: skip


def _connect_boxes(wires: Wires) -> None:
    """Connect model, template and training."""
    template = ["template", "template_report", "view"]
    model = ["loaded", "model_info", "template_choice", *template]
    name = wires["model"]
    load: dict[str, Any] = {"about": About.MODEL, "is_load": True}
    wires.on(name.input, events.on_model_choice, model, also=[name], dropdown="model", **load)
    wires.on(wires["revision"].submit, events.on_model, model, **load)
    wires.on(wires["revision"].blur, events.on_revision, model, also=[wires["loaded"]], **load)
    wires.on(wires.missing.change, events.on_inspect, ["view"], about=About.NOTHING, is_latest=True)
    choice = wires["template_choice"]
    wires.on(
        choice.input, events.on_template_choice, template, also=[choice], dropdown="template-choice", about=About.MODEL
    )
    wires.on(wires["reset"].click, events.on_reset, template, also=[choice], about=About.MODEL)
    options = {"about": About.NOTHING, "is_latest": True}
    wires.on(wires["template"].input, events.on_template, ["template_report", "view"], **options)
    strategy = ["strategy_about", "policy_box", "options_box", "strategy_options", "view"]
    chosen = wires["strategy"]
    wires.on(chosen.input, events.on_strategy_choice, strategy, also=[chosen], dropdown="strategy", **options)
    wires.on([wires[name].input for name in _TRAINING], events.on_inspect, ["view"], **options)


def _connect_conversation(wires: Wires) -> None:
    """Connect the three forms of the conversation, and everything that replaces it."""
    forms = ["conversation", "editor", *_OPTIONS]
    defaults: dict[str, Any] = {"about": About.NOTHING, "is_latest": True}
    wires.on(wires["conversation"].input, events.on_json, [*forms[1:], "view"], **defaults)
    editor, options = wires["editor"], [wires[name] for name in _OPTIONS]
    wires.on(editor.input, events.on_editor, ["conversation", *_OPTIONS, "view"], also=[editor], **defaults)
    changed = [widget.input for widget in options]
    wires.on(changed, events.on_options, ["conversation", "editor", "view"], also=options, **defaults)
    for name, handler, changes in (
        ("example", events.on_example, [*forms, "rows", "gallery", "view"]),
        ("gallery", events.on_gallery, [*OPENED, "example"]),
    ):
        wires.on(wires[name].input, handler, changes, also=[wires[name]], dropdown=name, **defaults)
    wires.on(wires["tour"].click, events.on_tour, [*OPENED, "example", "gallery"], about=About.NOTHING)


def _connect_view(wires: Wires) -> None:
    """Connect the clicks in the token view: another row, a remedy, its undo."""
    view = wires["view"]
    wires.on(view.row, events.on_row, OPENED, with_event=True)
    wires.on(view.remedy, events.on_remedy, OPENED, with_event=True)
    wires.on(view.undo, events.on_undo, OPENED, with_event=True)
    chosen = ["conversation", "editor", *_OPTIONS, "rows", "gallery", "example", "view"]
    wires.on(view.example, events.on_chip, chosen, with_event=True, about=About.NOTHING)
