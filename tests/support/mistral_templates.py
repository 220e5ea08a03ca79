"""The chat templates that mistral-common generates for every version of its tokenizers.

transformers attaches them when it converts a tekken file. They rebuild the list of messages before they write it.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

_FLAGS = ("spm", "image_support", "audio_support", "thinking_support", "plain_thinking_support")
_EFFORT = {"reasoning_effort_values": ("none", "high"), "reasoning_effort_default": "none"}


@cache
def mistral_templates() -> dict[str, str]:
    """Name -> source, for each version with each ability that it can have."""
    from mistral_common.integrations.chat_templates.template_generator import TemplateConfig, build_chat_template
    from mistral_common.tokens.tokenizers.base import TokenizerVersion

    found: dict[str, str] = {}
    for version, *values in product(TokenizerVersion, *[(False, True)] * len(_FLAGS)):
        on: dict[str, Any] = {flag: True for flag, value in zip(_FLAGS, values, strict=True) if value}
        for further in ({}, _EFFORT):
            try:
                config = TemplateConfig(version=version, use_special_token_variables=True, **on, **further)
                name = " ".join([version.value, *(flag.removesuffix("_support") for flag in on)])
                found[name] = build_chat_template(config)
            except ValueError:
                continue
    return found
