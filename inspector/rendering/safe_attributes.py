"""Which attributes a template may read: the answers of Jinja's sandbox, remembered.

An answer depends on the kind of the object and on the name alone, and Jinja works it out anew at every attribute that a
template reads, which is a third of the time of a render.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

_KNOWN: dict[tuple[type, str], bool] = {}
MOST = 4096
"""Answers that are remembered. Templates can make up any number of names."""


def is_safe_attribute(environment: ImmutableSandboxedEnvironment, obj: Any, attr: str, value: Any) -> bool:
    """What `ImmutableSandboxedEnvironment.is_safe_attribute` answers."""
    key = (type(obj), attr)
    known = _KNOWN.get(key)
    if known is None:
        known = ImmutableSandboxedEnvironment.is_safe_attribute(environment, obj, attr, value)
        if len(_KNOWN) < MOST:
            _KNOWN[key] = known
    return known


def have_transformers_remember(source: str) -> None:
    """Have transformers' environment of a template answer from here. Raises Jinja's TemplateSyntaxError."""
    from transformers.utils import chat_template_utils

    environment = chat_template_utils._compile_jinja_template(source).environment
    environment.is_safe_attribute = partial(is_safe_attribute, environment)
