"""What happens on the Inspect tab: values of its boxes in, new values of its boxes out. The widgets are in inspect_tab.

The conversation's JSON is the one truth: the editor and the template options are read from it and written to it. Each
handler ends in the view of what the boxes then hold.
"""

from __future__ import annotations

import html
import json
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import gradio as gr

from inspector.errors import InspectorError, NoTemplateError
from inspector.strategies import StopPolicy, TurnPolicy
from ui.conversation_json import ConversationJsonError, TemplateOptions, dump, read_options, write_options
from ui.inspect_view import (
    decode_view,
    describe_model,
    failure_view,
    inspect_view,
    load_model,
    template_choices,
    training_template_view,
)
from ui.links import LinkError, ViewState, decode_link
from ui.token_view import pack_failure

EXAMPLES = Path(__file__).parents[1] / "examples"
DEFAULT_MODEL = "tiny-chat"

POLICY_DEFAULTS: dict[str, Any] = {
    "turns": TurnPolicy.ALL.value,
    "stop": StopPolicy.EVERY.value,
    "reasoning": True,
    "tool_calls": True,
    "straddlers": True,
    "closing_header": False,
}
"""The strategy's options in the order of their widgets."""


def on_open(fragment: str) -> list[Any]:
    """The page as a link describes it, or as it opens by default."""
    notice, state = "", _default_state()
    if fragment:
        try:
            state = decode_link(fragment)
        except LinkError as error:
            notice = str(error)
    info, choice, template = _template_of(state)
    policy = [state.policy.get(name, default) for name, default in POLICY_DEFAULTS.items()]
    view = inspect_view(
        state.model, state.revision, template, state.conversation,
        dict(zip(POLICY_DEFAULTS, policy, strict=True)), compare=state.compare, expected_hash=state.template_hash,
    )  # fmt: skip
    if notice:
        view = pack_failure("This link cannot be opened", notice)
    options = astuple(read_options(state.conversation))
    revision = state.revision
    return [
        state.model, revision, info, choice, template, state.conversation, state.conversation, *options, *policy,
        state.compare, view,
    ]  # fmt: skip


def on_model(name: str, revision: str, template: str, conversation: str, *rest: Any) -> list[Any]:
    """Another model: its description, its templates, its default template, and the view."""
    info, choice, source = _template_of(ViewState(model=name or "", revision=revision))
    return [info, choice, source, on_inspect(name, revision, source, conversation, *rest)]


def on_template_choice(
    choice: str | None, name: str, revision: str, template: str, conversation: str, *rest: Any
) -> list[Any]:
    """Another template by name, or the chosen one again after an edit."""
    if not choice:
        return [gr.skip(), on_inspect(name, revision, template, conversation, *rest)]
    try:
        source = load_model(name, revision, choice).template
    except InspectorError as error:
        return [gr.skip(), failure_view(error, name, revision, template, conversation)]
    return [source, on_inspect(name, revision, source, conversation, *rest)]


def on_inspect(name: str, revision: str, template: str, conversation: str, compare: bool, *policy: Any) -> str:
    """The view of what the boxes hold."""
    options = dict(zip(POLICY_DEFAULTS, policy, strict=True))
    return inspect_view(name or "", revision, template, conversation, options, compare=compare)


def on_json(name: str, revision: str, template: str, conversation: str, *rest: Any) -> list[Any]:
    """The JSON was edited: the editor and the options follow."""
    return [
        conversation,
        *astuple(read_options(conversation)),
        on_inspect(name, revision, template, conversation, *rest),
    ]


def on_editor(edited: str, name: str, revision: str, template: str, _: str, *rest: Any) -> list[Any]:
    """The messages were edited: the JSON follows."""
    return [edited, *astuple(read_options(edited)), on_inspect(name, revision, template, edited, *rest)]


def on_options(
    generation_prompt: bool, thinking: str, tools: str, documents: str, keywords: str,
    name: str, revision: str, template: str, conversation: str, *rest: Any,
) -> list[Any]:  # fmt: skip
    """A template option was changed: the JSON follows."""
    options = TemplateOptions(
        generation_prompt=generation_prompt, thinking=thinking, tools=tools, documents=documents, keywords=keywords
    )
    try:
        text = write_options(conversation, options)
    except ConversationJsonError as error:
        return [gr.skip(), gr.skip(), failure_view(error, name, revision, template, conversation)]
    return [text, text, on_inspect(name, revision, template, text, *rest)]


def on_example(example: str, name: str, revision: str, template: str, _: str, *rest: Any) -> list[Any]:
    """A conversation from the examples."""
    text = _example_text(example)
    return [text, text, *astuple(read_options(text)), on_inspect(name, revision, template, text, *rest)]


def on_tags(name: str, revision: str, template: str, conversation: str, compare: bool, *policy: Any) -> list[Any]:
    """The template with generation tags in the template's box, if one can be proven; the view says what was."""
    options = dict(zip(POLICY_DEFAULTS, policy, strict=True))
    written, view = training_template_view(name or "", revision, template, conversation, options, compare=compare)
    return [gr.skip() if written is None else written, view]


def on_decode(
    log: str, name: str, revision: str, template: str, conversation: str, compare: bool, *policy: Any
) -> list[Any]:
    """A pasted log: its first example becomes the conversation, and the view says what went wrong."""
    options = dict(zip(POLICY_DEFAULTS, policy, strict=True))
    text, view = decode_view(log or "", name or "", revision, template, conversation, options, compare=compare)
    if text is None:
        return [gr.skip()] * (2 + len(fields(TemplateOptions))) + [view]
    return [text, text, *astuple(read_options(text)), view]


def _template_of(state: ViewState) -> tuple[str, Any, str]:
    """(description, update of the template box, template source) for a model; on failure the view will say why."""
    wanted = state.template_source or state.template_name or None
    try:
        model = load_model(state.model, state.revision, wanted)
    except NoTemplateError:
        try:
            model = load_model(state.model, state.revision, "chatml")
        except InspectorError:
            return "", gr.update(choices=[], value=None), ""
        info = f"{describe_model(model)} · no chat template: choose one below"
        return _info(info), gr.update(choices=template_choices(model), value=None), ""
    except InspectorError:
        return "", gr.update(choices=[], value=None), ""
    choices = template_choices(model)
    named = model.template_name if model.template_name in [name for _, name in choices] else None
    value = named or next((name for _, name in choices), None)
    return _info(describe_model(model)), gr.update(choices=choices, value=value), model.template


def _info(text: str) -> str:
    return f"<p class='model-info'>{html.escape(text)}</p>"


def _default_state() -> ViewState:
    return ViewState(model=DEFAULT_MODEL, conversation=_example_text(next(iter(examples()))[1]))


def examples() -> list[tuple[str, str]]:
    """(title, file name) of each example conversation."""
    return [(path.stem[3:].replace("-", " "), path.name) for path in sorted(EXAMPLES.glob("*.json"))]


def _example_text(name: str) -> str:
    if name not in {known for _, known in examples()}:
        raise gr.Error(f"There is no example {html.escape(name)!r}.")
    return dump(json.loads((EXAMPLES / name).read_text(encoding="utf-8")))
