"""An inspection -> settings to paste into each trainer, and rows with exactly the labels that are shown.

Each snippet begins with a comment that says what it will train and where that differs from what is shown. The comment
is computed: see inspector.exports.verdict. If a trainer cannot do it, the comment says so instead of settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inspector.errors import ExportError
from inspector.exports.axolotl import TARGET as AXOLOTL
from inspector.exports.axolotl import axolotl
from inspector.exports.configs import AUTOTRAIN, LLAMA_FACTORY, autotrain, llama_factory
from inspector.exports.home_llm import TARGET as HOME_LLM
from inspector.exports.home_llm import home_llm
from inspector.exports.rows import write_rows
from inspector.exports.trl import (
    TRL_ASSISTANT_ONLY,
    TRL_COLLATOR,
    TRL_LABELS,
    trl_assistant_only,
    trl_collator,
    trl_labels,
)
from inspector.exports.unsloth import TARGET as UNSLOTH
from inspector.exports.unsloth import unsloth
from inspector.exports.verdict import Export, Target
from inspector.inspection import Inspection
from inspector.strategies import OWN_LABELS

TARGETS: Mapping[str, Callable[[Inspection, str], Export]] = {
    target.__name__: target
    for target in (
        trl_labels,
        trl_assistant_only,
        trl_collator,
        home_llm,
        unsloth,
        axolotl,
        llama_factory,
        autotrain,
    )
}
"""Every trainer by its name."""
_HEADS: Mapping[str, Target] = {
    head.target: head
    for head in (TRL_LABELS, TRL_ASSISTANT_ONLY, TRL_COLLATOR, HOME_LLM, UNSLOTH, AXOLOTL, LLAMA_FACTORY, AUTOTRAIN)
}


def export(inspection: Inspection, target: str, *, data: str = "data.jsonl") -> Export:
    """Settings for one trainer, or a comment that says why there are none. `data`: the file of conversations.

    Raises ExportError for an unknown trainer.
    """
    if target not in TARGETS:
        raise ExportError(f"There is no trainer {target!r} to export for; there are: {', '.join(TARGETS)}.")
    if inspection.strategy == OWN_LABELS and target != trl_labels.__name__:
        why = "The rows came with ids and labels, and these settings are for messages: take trl_labels."
        return _HEADS[target].refuse(inspection, why)
    if inspection.example.pictures:
        why = "The row has images, and these settings are for texts alone: they would give the model no pixels."
        return _HEADS[target].refuse(inspection, why)
    return TARGETS[target](inspection, data)


def export_all(inspection: Inspection, *, data: str = "data.jsonl") -> list[Export]:
    """Settings for every trainer."""
    return [export(inspection, target, data=data) for target in TARGETS]


__all__ = ["TARGETS", "Export", "export", "export_all", "write_rows"]
