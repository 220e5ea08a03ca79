"""The models that the page's boxes name: loaded, with the template and the special tokens of a setup."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import inspector
from inspector.errors import NoTemplateError
from inspector.model.model import Model
from inspector.setup import Setup
from ui.visitors.access import check_model_name, hub_token

_KEPT = 4
"""Tokenizers with other special tokens that are kept: copying one of 260,000 ids takes seconds."""


def load_model(name: str, revision: str, template: str | None = None) -> Model:
    """Load a model by what the page's boxes hold. Raises ModelError."""
    check_model_name(name)
    return inspector.load(name, revision=revision.strip() or None, template=template, token=hub_token())


def model_of(setup: Setup) -> Model:
    """The model of a setup, as `Setup.load` makes it. Raises ModelError."""
    model = load_model(setup.model, setup.revision, setup.template or None)
    if not setup.special_tokens:
        return model
    key = (model.tokenizer, json.dumps(dict(setup.special_tokens), sort_keys=True, default=repr))
    with _LOCK:
        if key not in _EXTENDED:
            _EXTENDED[key] = model.with_special_tokens(setup.special_tokens).tokenizer
        _EXTENDED.move_to_end(key)
        while len(_EXTENDED) > _KEPT:
            _EXTENDED.popitem(last=False)
        return replace(model, tokenizer=_EXTENDED[key])


_LOCK = threading.Lock()
_EXTENDED: OrderedDict[tuple[Any, str], Any] = OrderedDict()


def template_of(name: str, revision: str, source: str) -> str:
    """What a setup's `template` says for the source in the box: "" for the model's default, a name, or the source.

    Raises ModelError.
    """
    if not source.strip():
        return ""
    try:
        model = load_model(name, revision)
    except NoTemplateError:
        model = load_model(name, revision, source)
    else:
        if source == model.template:
            return ""
    names = [known for _, known in template_choices(model) if model.with_template(known).template == source]
    return names[0] if names else source


def template_choices(model: Model) -> list[tuple[str, str]]:
    """(label, name) of every template that can be chosen for a model: its own first, then the built-in ones."""
    own = [(f"{name} (the model's own)", name) for name in model.templates]
    built_in = [(f"{name} (built in)", name) for name in inspector.BUILT_IN_TEMPLATES if name not in model.templates]
    return own + built_in


def describe_model(model: Model) -> str:
    """One line about where the tokenizer came from."""
    where = f"commit {model.revision}" if model.revision else f"{model.source.value} model"
    return f"{where} · {type(model.tokenizer).__name__} · {len(model.tokenizer):,} ids"
