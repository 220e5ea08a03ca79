"""The Inspect tab: its widgets, and which handler of inspect_events each event calls."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr

from inspector.strategies import StopPolicy, TurnPolicy
from ui import inspect_events as events
from ui.conversation_json import THINKING
from ui.inspect_events import DEFAULT_MODEL
from ui.text_box import build_text_box
from ui.token_view import build_token_view

_HERE = Path(__file__).parent
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
_TURN_CHOICES = [
    ("every assistant turn", TurnPolicy.ALL.value),
    ("the last assistant turn", TurnPolicy.LAST.value),
    ("by the messages' own flags", TurnPolicy.FLAGGED.value),
    ("every token", TurnPolicy.EVERY_TOKEN.value),
]
_STOP_CHOICES = [
    ("every trained turn", StopPolicy.EVERY.value),
    ("the last one only", StopPolicy.LAST.value),
    ("never", StopPolicy.NEVER.value),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widgets:
    """Everything the events read or write, in the order in which `on_open` returns their values."""

    model: gr.Dropdown
    revision: gr.Textbox
    model_info: gr.HTML
    template_choice: gr.Dropdown
    template: gr.HTML
    conversation: gr.HTML
    editor: gr.HTML
    generation_prompt: gr.Checkbox
    thinking: gr.Radio
    tools: gr.HTML
    documents: gr.HTML
    keywords: gr.HTML
    turns: gr.Dropdown
    stop: gr.Dropdown
    reasoning: gr.Checkbox
    tool_calls: gr.Checkbox
    straddlers: gr.Checkbox
    closing_header: gr.Checkbox
    compare: gr.Checkbox
    view: gr.HTML

    def all(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]

    def options(self) -> list[Any]:
        return [self.generation_prompt, self.thinking, self.tools, self.documents, self.keywords]

    def policy(self) -> list[Any]:
        return [self.turns, self.stop, self.reasoning, self.tool_calls, self.straddlers, self.closing_header]

    def inspected(self) -> list[Any]:
        """What an inspection reads."""
        return [self.model, self.revision, self.template, self.conversation, self.compare, *self.policy()]


def build(demo: gr.Blocks) -> None:
    """Make the tab's widgets inside `demo`, and connect them."""
    with gr.Row(elem_id="model-row", equal_height=True):
        model = gr.Dropdown(
            MODELS, value=DEFAULT_MODEL, label="Model", info="A hub id, a local folder, or the embedded tiny-chat",
            allow_custom_value=True, elem_id="model", scale=4,
        )  # fmt: skip
        revision = gr.Textbox(
            label="Revision", info="Branch, tag or commit", placeholder="main", max_lines=1, elem_id="revision", scale=2
        )
        example = gr.Dropdown(
            list(events.examples()), value=None, label="Examples", info="Conversations that show something", scale=3,
            elem_id="example",
        )  # fmt: skip
    model_info = gr.HTML(elem_id="model-info")
    with gr.Row(elem_id="main-row"):
        with gr.Column(scale=5, min_width=320, elem_id="inputs"):
            conversation, editor = _build_conversation()
            options = _build_options()
            policy = _build_policy()
            template_choice, template, reset, tags = _build_template()
            log, explain = _build_decode()
        with gr.Column(scale=7, min_width=320, elem_id="output"):
            compare = gr.Checkbox(
                label="Compare trainers", info="Lay beside it what each trainer's own mask would train",
                elem_id="compare", container=False,
            )  # fmt: skip
            view = build_token_view(elem_id="view")
    widgets = _Widgets(
        model=model, revision=revision, model_info=model_info, template_choice=template_choice, template=template,
        conversation=conversation, editor=editor, compare=compare, view=view, **options, **policy,
    )  # fmt: skip
    _connect(demo, widgets, example, reset)
    tags.click(events.on_tags, widgets.inspected(), [widgets.template, widgets.view], **_QUIET)
    explain.click(
        events.on_decode,
        [log, *widgets.inspected()],
        [widgets.conversation, widgets.editor, *widgets.options(), widgets.view],
        **_QUIET,
    )


def _build_conversation() -> tuple[gr.HTML, gr.HTML]:
    with gr.Tabs():
        with gr.Tab("Messages", id="messages"):
            editor = gr.HTML(
                value="",
                html_template='<div class="conversation-editor"></div>',
                js_on_load=(_HERE / "conversation_editor.js").read_text(encoding="utf-8"),
                apply_default_css=False,
                elem_id="editor",
            )
        with gr.Tab("JSON", id="json"):
            conversation = build_text_box(
                "Conversation",
                info="A list of messages, or an object with messages, tools, documents and template keywords",
                rows=18,
                elem_id="conversation",
            )
    return conversation, editor


def _build_options() -> dict[str, Any]:
    with gr.Accordion("Template options", open=False, elem_id="options"):
        generation_prompt = gr.Checkbox(
            label="Generation prompt", info="End in the header of an answer that is to come", elem_id="gen-prompt"
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


def _build_policy() -> dict[str, Any]:
    with gr.Accordion("Training policy", open=False, elem_id="policy"):
        turns = gr.Dropdown(_TURN_CHOICES, value=TurnPolicy.ALL.value, label="Train", elem_id="turns")
        stop = gr.Dropdown(_STOP_CHOICES, value=StopPolicy.EVERY.value, label="Stop token", elem_id="stop")
        with gr.Row():
            reasoning = gr.Checkbox(True, label="Reasoning", min_width=140, elem_id="reasoning")
            tool_calls = gr.Checkbox(True, label="Tool calls", min_width=140)
            straddlers = gr.Checkbox(True, label="Straddlers", min_width=140, elem_id="straddlers")
            closing_header = gr.Checkbox(False, label="Closing header", min_width=140)
    return {
        "turns": turns,
        "stop": stop,
        "reasoning": reasoning,
        "tool_calls": tool_calls,
        "straddlers": straddlers,
        "closing_header": closing_header,
    }


def _build_template() -> tuple[gr.Dropdown, gr.HTML, gr.Button, gr.Button]:
    with gr.Accordion("Chat template", open=True, elem_id="template-pane"):
        with gr.Row(equal_height=True):
            choice = gr.Dropdown([], label="Template", elem_id="template-choice", scale=4)
            reset = gr.Button("Reset", size="sm", scale=1, min_width=80, elem_id="reset")
            tags = gr.Button("Add generation tags", size="sm", scale=2, min_width=140, elem_id="add-tags")
        source = build_text_box(
            "Source",
            info="The line that wrote the token you point at is marked. Edit it to try a change.",
            rows=16,
            elem_id="template-source",
        )
    return choice, source, reset, tags


def _build_decode() -> tuple[gr.HTML, gr.Button]:
    with gr.Accordion("A trainer's warning", open=False, elem_id="decode"):
        log = build_text_box(
            "Log",
            info="Paste what the trainer printed, ids included: the example is shown, cause and right ids are named.",
            rows=6,
            elem_id="log",
        )
        explain = gr.Button("Explain it", size="sm", elem_id="explain")
    return log, explain


# --- events

_QUIET: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": 4,
    "concurrency_id": "inspect",
    "api_visibility": "private",
}


def _connect(demo: gr.Blocks, w: _Widgets, example: gr.Dropdown, reset: gr.Button) -> None:
    quiet = _QUIET
    latest: dict[str, Any] = {**quiet, "trigger_mode": "always_last"}
    fragment = gr.Textbox(visible=False)
    demo.load(events.on_open, [fragment], w.all(), js="() => [window.location.hash.slice(1)]", **quiet)
    gr.on(
        [w.model.input, w.revision.submit, w.revision.blur],
        events.on_model, w.inspected(), [w.model_info, w.template_choice, w.template, w.view], **quiet,
    )  # fmt: skip
    w.template_choice.input(
        events.on_template_choice, [w.template_choice, *w.inspected()], [w.template, w.view], **quiet
    )
    reset.click(events.on_template_choice, [w.template_choice, *w.inspected()], [w.template, w.view], **quiet)
    gr.on(
        [w.template.input, w.compare.input, *(widget.input for widget in w.policy())],
        events.on_inspect,
        w.inspected(),
        w.view,
        **latest,
    )
    gr.on([w.conversation.input], events.on_json, w.inspected(), [w.editor, *w.options(), w.view], **latest)
    w.editor.input(events.on_editor, [w.editor, *w.inspected()], [w.conversation, *w.options(), w.view], **latest)
    gr.on(
        [widget.input for widget in w.options()],
        events.on_options, [*w.options(), *w.inspected()], [w.conversation, w.editor, w.view], **latest,
    )  # fmt: skip
    example.input(
        events.on_example, [example, *w.inspected()], [w.conversation, w.editor, *w.options(), w.view], **quiet
    )
