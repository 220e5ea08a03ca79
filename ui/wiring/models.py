"""Loads the models that the page's boxes name, with the template and the special tokens of a setup."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import inspector
from inspector.conversation import Conversation
from inspector.errors import InspectorError, RenderError
from inspector.findings.codes import Finding
from inspector.inspection import Inspection, as_rendered, inspect_as_rendered
from inspector.model.model import Model
from inspector.setup import Setup
from ui.visitors.access import check_model_name, hub_token

ANY_TEMPLATE = "chatml"
"""The template for loading a model if its template does not matter: models without one load with it too."""
_KEPT = 4
"""Maximum number of cached tokenizers with other special tokens: copying one of 260,000 ids takes seconds."""


def load_model(name: str, revision: str, template: str | None = None) -> Model:
    """Load a model by the values of the page's boxes. Raises ModelError."""
    check_model_name(name)
    return inspector.load(name, revision=revision.strip() or None, template=template, token=hub_token())


class LoadedSetup:
    """A setup whose model is loaded and whose conversation is parsed once, when first used.

    `loaded`: the model, with any template, if it has been loaded before. `read`: the conversation as it was read from a
    row of a data set.
    """

    def __init__(self, setup: Setup, loaded: Model | None = None, read: Conversation | None = None) -> None:
        self.setup = setup
        self._loaded = loaded
        self._read = read

    @cached_property
    def plain_model(self) -> Model:
        """The model with its template and its own special tokens. Raises ModelError."""
        wanted = self.setup.template or None
        if self._loaded is None:
            return load_model(self.setup.model, self.setup.revision, wanted)
        return self._loaded.with_template(wanted)

    @cached_property
    def model(self) -> Model:
        """As `Setup.load` makes it. Raises ModelError."""
        return _with_special_tokens(self.plain_model, self.setup.special_tokens)

    @cached_property
    def conversation(self) -> Conversation:
        """The conversation in the form that the template takes.

        Raises ConversationError, FormatError, ModelError.
        """
        return as_rendered(self.setup.rule, self.model, self._read or self.setup.conversation)

    def changed(self, **fields: Any) -> LoadedSetup:
        """The same with other fields than `model` and `revision`. Raises ModelError."""
        return LoadedSetup(replace(self.setup, **fields), self.plain_model)

    def with_row(self, conversation: Conversation, template: str) -> LoadedSetup:
        """The same with the conversation of a row, which keeps the changes made while it was read."""
        value = conversation.to_json()
        fields = {"conversation": value["messages"] if list(value) == ["messages"] else value, "template": template}
        return LoadedSetup(replace(self.setup, **fields), self.plain_model, conversation)

    def inspect(self) -> Inspection:
        """As `Setup.inspect`. Raises InspectorError."""
        return inspect_as_rendered(self.setup.rule, self.model, self.conversation)

    def diagnose(self, error: Exception) -> Finding | None:
        """The finding that says why the template refuses the conversation, if it does and the cause is known."""
        if not isinstance(error, RenderError):
            return None
        try:
            return inspector.diagnose(self.model, self.conversation, error)
        except InspectorError:
            return None


def load_setup(setup: Setup, loaded: Model | None = None) -> LoadedSetup:
    """The setup whose template is the source in the box, "" for the model's default. In the result it is a name, if the
    source has one. `loaded`: as in LoadedSetup.

    Raises ModelError.
    """
    source = setup.template
    if not source.strip():
        return LoadedSetup(replace(setup, template=""), loaded)
    loaded = loaded or load_model(setup.model, setup.revision, ANY_TEMPLATE)
    return LoadedSetup(replace(setup, template=_named(source, loaded)), loaded)


def _named(source: str, model: Model) -> str:
    if source == model.templates.get("default"):
        return ""
    names = (name for _, name in template_choices(model) if model.with_template(name).template == source)
    return next(names, source)


def model_of(setup: Setup) -> Model:
    """The model of a setup, as `Setup.load` makes it. Raises ModelError."""
    return LoadedSetup(setup).model


def _with_special_tokens(model: Model, tokens: Mapping[str, Any]) -> Model:
    if not tokens:
        return model
    key = (model.tokenizer, json.dumps(dict(tokens), sort_keys=True, default=repr))
    with _LOCK:
        if key not in _EXTENDED:
            _EXTENDED[key] = model.with_special_tokens(tokens).tokenizer
        _EXTENDED.move_to_end(key)
        while len(_EXTENDED) > _KEPT:
            _EXTENDED.popitem(last=False)
        return replace(model, tokenizer=_EXTENDED[key])


_LOCK = threading.Lock()
_EXTENDED: OrderedDict[tuple[Any, str], Any] = OrderedDict()


def template_choices(model: Model) -> list[tuple[str, str]]:
    """(label, name) of every template for a model: its own first, then the built-in ones."""
    choices = [(f"{name} (the model's own)", name) for name in model.templates]
    built_in = [(f"{name} (built in)", name) for name in inspector.BUILT_IN_TEMPLATES if name not in model.templates]
    return choices + built_in


def describe_model(model: Model) -> str:
    """One line about the origin of the tokenizer."""
    where = f"commit {model.revision}" if model.revision else f"{model.source.value} model"
    return f"{where} · {type(model.tokenizer).__name__} · {len(model.tokenizer):,} ids"
