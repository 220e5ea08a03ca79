"""The Training box: the strategy, its options, and the modifiers of its labels."""

from __future__ import annotations

import html
import inspect
from typing import Any

import gradio as gr

from inspector.conversation import Step
from inspector.strategies import EXACT, STRATEGIES, Keep, StopPolicy, Truncation, TurnPolicy, options_of
from inspector.trainers.markers import Markers
from inspector.trainers.verdict import title_of
from ui.parts.text_box import build_text_box
from ui.wiring.conversation_json import dump_flat

_TURN_CHOICES = [
    ("Every answer", TurnPolicy.ALL.value),
    ("The last answer only", TurnPolicy.LAST.value),
    ("Messages flagged to train", TurnPolicy.FLAGGED.value),
    ("Every token", TurnPolicy.EVERY_TOKEN.value),
]
_STOP_CHOICES = [
    ("Of every answer", StopPolicy.EVERY.value),
    ("Of the last answer only", StopPolicy.LAST.value),
    ("Never", StopPolicy.NEVER.value),
]
_KEEP_CHOICES = [
    ("Every turn", Keep.ALL.value),
    ("The last response only", Keep.LAST_RESPONSE.value),
    ("The last turn only", Keep.LAST_TURN.value),
    ("Flagged messages only", Keep.FLAGGED.value),
    ("The prompt's answers, too", Keep.PROMPT_TOO.value),
]
TRUNCATION_CHOICES = [("Keep the start", Truncation.KEEP_START.value), ("Keep the end", Truncation.KEEP_END.value)]


def build_trainer() -> gr.Dropdown:
    """The choice of the trainer whose mask is shown."""
    names = [(title_of(name), name) for name in STRATEGIES]
    return gr.Dropdown(names, value=EXACT, label="Trainer", elem_id="strategy", scale=4)


def build_training_box() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("What to train", open=False, elem_id="training"):
        about = gr.HTML(strategy_about(EXACT), elem_id="strategy-about")
        with gr.Column(visible=True, elem_id="policy") as policy_box:
            policy = _build_policy()
        with gr.Column(visible=False, elem_id="options-box") as options_box:
            options = build_text_box("Trainer options (JSON object)", rows=4, elem_id="strategy-options")
        with gr.Row():
            keep = gr.Dropdown(_KEEP_CHOICES, value=Keep.ALL.value, label="Use", min_width=140, elem_id="keep")
            max_length = gr.Number(
                None, label="Maximum length", precision=0, placeholder="none", min_width=100, elem_id="max-length"
            )
            truncation = gr.Dropdown(
                TRUNCATION_CHOICES, value=Truncation.KEEP_START.value, label="Truncation", min_width=140,
                elem_id="truncation",
            )  # fmt: skip
        as_given = gr.Dropdown(
            [("All changes", "all"), *((step.value, step.value) for step in Step)], value=[], multiselect=True,
            label="Leave out these row changes", elem_id="as-given",
        )  # fmt: skip
        special_tokens = build_text_box(
            "Special tokens (JSON object)", rows=3, elem_id="special-tokens", placeholder='{"pad_token": "<pad>"}'
        )
    return {
        "strategy_about": about, "policy_box": policy_box, "options_box": options_box,
        "strategy_options": options, **policy, "keep": keep, "max_length": max_length, "truncation": truncation,
        "as_given": as_given, "special_tokens": special_tokens,
    }  # fmt: skip


def _build_policy() -> dict[str, Any]:
    with gr.Row():
        turns = gr.Dropdown(_TURN_CHOICES, value=TurnPolicy.ALL.value, label="Answers", min_width=140, elem_id="turns")
        stop = gr.Dropdown(
            _STOP_CHOICES, value=StopPolicy.EVERY.value, label="Stop token", min_width=140, elem_id="stop"
        )
    with gr.Row():
        reasoning = gr.Checkbox(True, label="Reasoning", min_width=140, elem_id="reasoning")
        tool_calls = gr.Checkbox(True, label="Tool calls", min_width=140)
    with gr.Row():
        straddlers = gr.Checkbox(
            True,
            label="Shared tokens",
            info="Span template and answer",
            min_width=140,
            elem_id="straddlers",
        )
        closing_header = gr.Checkbox(False, label="Next header", info="Where it ends the turn", min_width=140)
    return {
        "turns": turns, "stop": stop, "reasoning": reasoning, "tool_calls": tool_calls, "straddlers": straddlers,
        "closing_header": closing_header,
    }  # fmt: skip


def training_values(strategy: str) -> dict[str, Any]:
    """The visible boxes for a strategy: those of `traced`, or the one for options."""
    is_exact = strategy == EXACT
    return {
        "strategy_about": strategy_about(strategy),
        "policy_box": gr.update(visible=is_exact),
        "options_box": gr.update(visible=not is_exact and bool(options_of(strategy))),
    }


def strategy_about(strategy: str) -> str:
    """A line on what a strategy trains, and its options."""
    if strategy not in STRATEGIES:
        return ""
    summary = (inspect.getdoc(STRATEGIES[strategy]) or "").split("\n", 1)[0]
    taken = "" if strategy == EXACT else ", ".join(options_of(strategy))
    options = f" Options: <code>{html.escape(taken)}</code>." if taken else ""
    return f"<p class='strategy-about'>{html.escape(summary)}{options}</p>"


def prefilled(strategy: str, markers: Markers | None) -> str:
    """The JSON of the options that a strategy needs, with verified markers if they fit, or empty values."""
    found = {} if markers is None else markers.options()
    needed = {
        name: found.get(name)
        for name, default in options_of(strategy).items()
        if default is inspect.Parameter.empty or found.get(name) is not None
    }
    return dump_flat({name: "" if value is None else value for name, value in needed.items()})
