"""LLaMA-Factory's own templates, as the slots that it fills and tokenizes one by one. From docs/strategies.md (D23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

Slots: TypeAlias = tuple[str, ...]
"""Texts that are tokenized one by one; BOS and EOS stand for those tokens."""

BOS, EOS, CONTENT = "{bos}", "{eos}", "{{content}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTemplate:
    """One of LLaMA-Factory's templates. `stops`: its stop words, of which the first becomes the eos token.

    `fuses_system`: the system text goes into the first message's slot. `reasons`: answers get an empty thought.
    """

    user: Slots
    assistant: Slots = (CONTENT, EOS)
    system: Slots = (CONTENT,)
    observation: Slots = ()
    prefix: Slots = ()
    default_system: str = ""
    stops: tuple[str, ...] = ()
    fuses_system: bool = False
    reasons: bool = False


_CHATML = SlotTemplate(
    user=("<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n",),
    assistant=("{{content}}<|im_end|>\n",),
    system=("<|im_start|>system\n{{content}}<|im_end|>\n",),
    observation=("<|im_start|>tool\n{{content}}<|im_end|>\n<|im_start|>assistant\n",),
    stops=("<|im_end|>", "<|im_start|>"),
)
_QWEN = replace(
    _CHATML,
    observation=(
        "<|im_start|>user\n<tool_response>\n{{content}}\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    ),
    stops=("<|im_end|>",),
)
_DEEPSEEK = SlotTemplate(user=("<｜User｜>{{content}}<｜Assistant｜>",), prefix=(BOS,))
TEMPLATES: Mapping[str, SlotTemplate] = {
    "chatml": _CHATML,
    "qwen3": replace(_QWEN, reasons=True),
    "qwen3_nothink": _QWEN,
    "llama3": SlotTemplate(
        user=(
            "<|start_header_id|>user<|end_header_id|>\n\n{{content}}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        assistant=("{{content}}<|eot_id|>",),
        system=("<|start_header_id|>system<|end_header_id|>\n\n{{content}}<|eot_id|>",),
        observation=(
            "<|start_header_id|>ipython<|end_header_id|>\n\n{{content}}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        prefix=(BOS,),
        stops=("<|eot_id|>", "<|eom_id|>"),
    ),
    "gemma": SlotTemplate(
        user=("<start_of_turn>user\n{{content}}<end_of_turn>\n<start_of_turn>model\n",),
        assistant=("{{content}}<end_of_turn>\n",),
        system=("{{content}}\n\n",),
        observation=("<start_of_turn>tool\n{{content}}<end_of_turn>\n<start_of_turn>model\n",),
        prefix=(BOS,),
        stops=("<end_of_turn>",),
        fuses_system=True,
    ),
    "mistral": SlotTemplate(
        user=("[INST] {{content}}[/INST]",),
        assistant=(" {{content}}", EOS),
        system=("{{content}}\n\n",),
        observation=('[TOOL_RESULTS] {"content": {{content}}}[/TOOL_RESULTS]',),
        prefix=(BOS,),
        fuses_system=True,
    ),
    "deepseek3": _DEEPSEEK,
    "deepseekr1": replace(_DEEPSEEK, reasons=True),
}
"""The templates that are reproduced, by LLaMA-Factory's names, without their tools."""
