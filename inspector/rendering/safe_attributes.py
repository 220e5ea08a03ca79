"""A cache for the decisions of Jinja's sandbox on the attributes that a template may read.

A decision depends only on the type of the object and on the name. Jinja computes it again for every attribute that a
template reads, which takes a third of a render's time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment

_KNOWN: dict[tuple[type, str], bool] = {}
MOST = 4096
"""Maximum number of cached decisions: templates can make up any number of names."""


def is_safe_attribute(environment: ImmutableSandboxedEnvironment, obj: Any, attr: str, value: Any) -> bool:
    """The result of `ImmutableSandboxedEnvironment.is_safe_attribute`."""
    key = (type(obj), attr)
    known = _KNOWN.get(key)
    if known is None:
        known = ImmutableSandboxedEnvironment.is_safe_attribute(environment, obj, attr, value)
        if len(_KNOWN) < MOST:
            _KNOWN[key] = known
    return known


def have_transformers_remember(source: str) -> None:
    """Make transformers' environment of a template use this cache. Raises Jinja's TemplateSyntaxError."""
    from transformers.utils import chat_template_utils

    environment = chat_template_utils._compile_jinja_template(source).environment
    environment.is_safe_attribute = partial(is_safe_attribute, environment)
