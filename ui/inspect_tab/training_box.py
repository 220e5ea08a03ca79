"""The Training box: which strategy, its options, and what is done to its answer."""

from __future__ import annotations

import html
import inspect
from typing import Any

import gradio as gr

from inspector.conversation import Step
from inspector.strategies import EXACT, STRATEGIES, Keep, StopPolicy, Truncation, TurnPolicy, options_of
from inspector.trainers.markers import Markers
from ui.parts.text_box import build_text_box
from ui.wiring.conversation_json import dump_flat

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
_KEEP_CHOICES = [
    ("all", Keep.ALL.value),
    ("last response", Keep.LAST_RESPONSE.value),
    ("last turn", Keep.LAST_TURN.value),
    ("by flags", Keep.FLAGGED.value),
    ("the prompt, too", Keep.PROMPT_TOO.value),
]
TRUNCATION_CHOICES = [("keep the start", Truncation.KEEP_START.value), ("keep the end", Truncation.KEEP_END.value)]


def build_training_box() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("Training", open=False, elem_id="training"):
        strategy = gr.Dropdown(
            [(f"{name} (exact)" if name == EXACT else name, name) for name in STRATEGIES],
            value=EXACT, label="Strategy", elem_id="strategy",
        )  # fmt: skip
        about = gr.HTML(strategy_about(EXACT), elem_id="strategy-about")
        with gr.Column(visible=True, elem_id="policy") as policy_box:
            policy = _build_policy()
        with gr.Column(visible=False, elem_id="options-box") as options_box:
            options = build_text_box("Options (JSON object)", rows=4, elem_id="strategy-options")
        with gr.Row():
            keep = gr.Dropdown(_KEEP_CHOICES, value=Keep.ALL.value, label="Keep", min_width=140, elem_id="keep")
            max_length = gr.Number(
                None, label="Max length", precision=0, placeholder="none", min_width=100, elem_id="max-length"
            )
            truncation = gr.Dropdown(
                TRUNCATION_CHOICES, value=Truncation.KEEP_START.value, label="Truncation", min_width=140,
                elem_id="truncation",
            )  # fmt: skip
        as_given = gr.Dropdown(
            [("all", "all"), *((step.value, step.value) for step in Step)], value=[], multiselect=True,
            label="Changes that rows do not get", elem_id="as-given",
        )  # fmt: skip
        special_tokens = build_text_box(
            "Special tokens (JSON object)", rows=3, elem_id="special-tokens", placeholder='{"pad_token": "<pad>"}'
        )
    return {
        "strategy": strategy, "strategy_about": about, "policy_box": policy_box, "options_box": options_box,
        "strategy_options": options, **policy, "keep": keep, "max_length": max_length, "truncation": truncation,
        "as_given": as_given, "special_tokens": special_tokens,
    }  # fmt: skip


def _build_policy() -> dict[str, Any]:
    with gr.Row():
        turns = gr.Dropdown(_TURN_CHOICES, value=TurnPolicy.ALL.value, label="Train", min_width=140, elem_id="turns")
        stop = gr.Dropdown(
            _STOP_CHOICES, value=StopPolicy.EVERY.value, label="Stop token", min_width=140, elem_id="stop"
        )
    with gr.Row():
        reasoning = gr.Checkbox(True, label="Reasoning", min_width=140, elem_id="reasoning")
        tool_calls = gr.Checkbox(True, label="Tool calls", min_width=140)
    with gr.Row():
        straddlers = gr.Checkbox(True, label="Straddlers", min_width=140, elem_id="straddlers")
        closing_header = gr.Checkbox(False, label="Closing header", min_width=140)
    return {
        "turns": turns, "stop": stop, "reasoning": reasoning, "tool_calls": tool_calls, "straddlers": straddlers,
        "closing_header": closing_header,
    }  # fmt: skip


def training_values(strategy: str) -> dict[str, Any]:
    """Which boxes show for a strategy: those of `traced`, or the one for options."""
    is_exact = strategy == EXACT
    return {
        "strategy_about": strategy_about(strategy),
        "policy_box": gr.update(visible=is_exact),
        "options_box": gr.update(visible=not is_exact and bool(options_of(strategy))),
    }


def strategy_about(strategy: str) -> str:
    """What a strategy trains, in a line, and the options it takes."""
    if strategy not in STRATEGIES:
        return ""
    summary = (inspect.getdoc(STRATEGIES[strategy]) or "").split("\n", 1)[0]
    taken = "" if strategy == EXACT else ", ".join(options_of(strategy))
    options = f" Options: <code>{html.escape(taken)}</code>." if taken else ""
    return f"<p class='strategy-about'>{html.escape(summary)}{options}</p>"


def prefilled(strategy: str, markers: Markers | None) -> str:
    """The JSON of the options that a strategy needs, with verified markers where they fit, else empty."""
    found = {} if markers is None else markers.options()
    needed = {
        name: found.get(name)
        for name, default in options_of(strategy).items()
        if default is inspect.Parameter.empty or found.get(name) is not None
    }
    return dump_flat({name: "" if value is None else value for name, value in needed.items()})
