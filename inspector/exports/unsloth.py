"""Unsloth's train_on_responses_only, which looks for the headers' texts."""

from __future__ import annotations

from typing import Any

from inspector.errors import InspectorError, StrategyRefusedError
from inspector.exports.scripts import TRAINING, UNSLOTH, kept_slice, model_constants
from inspector.exports.shown import (
    chosen_template,
    max_length,
    row_length,
    trains_last_answer_only,
    verified_markers,
)
from inspector.exports.verdict import Export, Target, judge
from inspector.inspection import Inspection

TARGET = Target(
    target="unsloth",
    title="Unsloth, train_on_responses_only",
    filename="train.py",
    language="python",
    version="unsloth_zoo 2026.10.9",
)


def unsloth(inspection: Inspection, data: str) -> Export:
    """A script that names both headers."""
    try:
        options, notes = _options(inspection)
    except InspectorError as error:
        return TARGET.refuse(inspection, str(error))
    length, truncation = max_length(inspection), inspection.modifiers.truncation
    outcome = judge(inspection, "responses_only", options, length=length, truncation=truncation, searches=True)
    files = chosen_template(inspection)
    constants = {
        **model_constants(inspection, files),
        "DATA": data,
        "KEPT": kept_slice(length, truncation),
        "MAX_LENGTH": row_length(inspection),
        "INSTRUCTION_PART": options["instruction_part"],
        "RESPONSE_PART": options["response_part"],
        "LAST_RESPONSE_ONLY": options["last_only"],
        **TRAINING,
    }
    notes = [
        *notes,
        "Versions up to August 2026 also train what stands between an answer's end and the next user header.",
    ]
    return TARGET.export(inspection, outcome, UNSLOTH.text(constants), notes=notes, files=files)


def _options(inspection: Inspection) -> tuple[dict[str, Any], list[str]]:
    """The headers' texts (those of the inspection, or else verified ones), and a note on them.

    Raises StrategyRefusedError if there are none.
    """
    is_given = inspection.strategy == "responses_only"
    given = {name: value for name, value in inspection.options.items() if is_given and value is not None}
    markers, notes = verified_markers(inspection)
    parts = {
        "instruction_part": given.get("instruction_part", markers.instruction_template),
        "response_part": given.get("response_part", markers.response_template),
    }
    missing = [name for name, text in parts.items() if text is None]
    if missing:
        raise StrategyRefusedError(
            f"No text has the same ids alone as before the messages, so there is no {missing[0]}: use rows with exact "
            "labels, or give one yourself (--strategy responses_only)."
        )
    return {**parts, "last_only": given.get("last_only", trains_last_answer_only(inspection))}, notes
