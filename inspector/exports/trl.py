"""TRL: rows with exact labels, generation tags, and the collator that versions up to 0.19 have."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

from inspector.errors import InspectorError
from inspector.exports.scripts import (
    ASSISTANT_ONLY,
    COLLATOR,
    LABELS,
    TRAINING,
    kept_slice,
    model_constants,
)
from inspector.exports.shown import (
    TEMPLATE_FILE,
    chosen_template,
    max_length,
    trainers_example,
    trains_last_answer_only,
    verified_markers,
)
from inspector.exports.verdict import Export, Outcome, Target, judge, sentence
from inspector.inspection import Inspection
from inspector.paths import shell_command
from inspector.strategies.base import IGNORED, OWN_LABELS
from inspector.tagging.write import TrainingTemplate, write_training_template

ROWS = "rows.parquet"
TRAINING_TEMPLATE_FILE = "training_template.jinja"

TRL_LABELS = Target(
    target="trl_labels",
    title="TRL, rows with exact labels",
    filename="train.py",
    language="python",
    version="trl 1.16.0",
)
TRL_ASSISTANT_ONLY = Target(
    target="trl_assistant_only",
    title="TRL, assistant_only_loss",
    filename="train.py",
    language="python",
    version="trl 1.16.0",
)
TRL_COLLATOR = Target(
    target="trl_collator",
    title="TRL, DataCollatorForCompletionOnlyLM",
    filename="train.py",
    language="python",
    version="trl 0.19.1",
)


def trl_labels(inspection: Inspection, data: str) -> Export:
    """A script that trains rows with labels: it needs no template and no rule."""
    bits = tuple(label != IGNORED for label in inspection.labels)
    verdict = sentence(inspection, bits)
    if not any(bits):
        verdict += " The script leaves such rows out."
    files = chosen_template(inspection)
    constants = {**model_constants(inspection, files), "ROWS": ROWS, **TRAINING}
    return TRL_LABELS.export(
        inspection,
        Outcome(verdict=verdict, same=bits == inspection.labelled.trained),
        LABELS.text(constants),
        notes=["Make the rows first:", f"$ {rows_command(inspection, data)}"],
        files=files,
    )


def rows_command(inspection: Inspection, data: str) -> str:
    """The command that writes the rows of `data` as they are shown."""
    model = inspection.model
    words = [*shell_command("inspector").split(), "export", model.name, data]
    if inspection.strategy != OWN_LABELS:
        words += ["--strategy", inspection.strategy]
    if model.revision is not None:
        words += ["--revision", model.revision]
    if model.template_is_chosen:
        words += ["--template", TEMPLATE_FILE if model.template_name == "custom" else model.template_name]
    for name, value in inspection.options.items():
        words += ["--option", f"{name}={json.dumps(value)}"]
    for name, value in inspection.modifiers.to_dict().items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    if model.changed_tokens:
        words += ["--special-tokens", json.dumps(model.changed_tokens)]
    return shlex.join([*words, "--rows", ROWS])


def trl_assistant_only(inspection: Inspection, data: str) -> Export:
    """A script for messages and generation tags: the template's own, or those of a proven training template."""
    cut: dict[str, Any] = {"length": max_length(inspection), "truncation": inspection.modifiers.truncation}
    unchanged = outcome = judge(inspection, "trl_assistant_only", {}, **cut)
    files, notes = chosen_template(inspection), []
    if not unchanged.same:
        written = _training_template(inspection)
        if written.template is None:
            notes = [f"Better tags cannot be written: {written.reason}"]
        elif written.template != trainers_example(inspection).template:
            outcome = judge(inspection, "trl_assistant_only", {}, template=written.template, **cut)
            files = {TRAINING_TEMPLATE_FILE: written.template}
            notes = [
                f"With the template as it is: {unchanged.verdict}",
                f"{TRAINING_TEMPLATE_FILE} is the template with generation tags. {written.reason}",
            ]
    if outcome.refused:
        return TRL_ASSISTANT_ONLY.refuse(inspection, " ".join([outcome.verdict, *notes]))
    constants = {
        **model_constants(inspection, files),
        "DATA": data,
        "MAX_LENGTH": cut["length"],
        "TRUNCATION": str(cut["truncation"]),
        **TRAINING,
    }
    return TRL_ASSISTANT_ONLY.export(inspection, outcome, ASSISTANT_ONLY.text(constants), notes=notes, files=files)


def _training_template(inspection: Inspection) -> TrainingTemplate:
    """The template in use with proven generation tags, or why there is none."""
    tools = inspection.example.conversation.tools is not None
    _, source = inspection.model.template_for(tools)
    try:
        return write_training_template(replace(inspection.model, template=source))
    except InspectorError as error:
        return TrainingTemplate(proven=False, template=None, reason=str(error))


def trl_collator(inspection: Inspection, data: str) -> Export:
    """A script with the collator that looks for ids."""
    try:
        ids, notes = _collator_ids(inspection)
    except InspectorError as error:
        return TRL_COLLATOR.refuse(inspection, str(error))
    length, truncation = max_length(inspection), inspection.modifiers.truncation
    cut: dict[str, Any] = {"length": length, "truncation": truncation}
    outcome = judge(inspection, "trl_completion_collator", ids, **cut, searches=True)
    files = chosen_template(inspection)
    constants = {
        **model_constants(inspection, files),
        "DATA": data,
        "KEPT": kept_slice(length, truncation),
        "RESPONSE": ids["response"],
        "INSTRUCTION": ids["instruction"],
        **TRAINING,
    }
    notes.append("trl 0.7.2 to 0.19.1 have this collator and take ids for both parts; 0.20 removed it.")
    return TRL_COLLATOR.export(inspection, outcome, COLLATOR.text(constants), notes=notes, files=files)


def _collator_ids(inspection: Inspection) -> tuple[dict[str, Any], list[str]]:
    """The ids to search for (those of the inspection, or else verified ones), and a note on them.

    Without an instruction the collator trains the last answer only, so it is left out if that is what is shown.
    Raises StrategyRefusedError if there are no ids.
    """
    example = inspection.example
    if inspection.strategy == "trl_completion_collator":
        given = {name: inspection.options.get(name) for name in ("response", "instruction")}
        return {name: example.ids_of(value) if isinstance(value, str) else value for name, value in given.items()}, []
    markers, notes = verified_markers(inspection)
    text = None if trains_last_answer_only(inspection) else markers.instruction_template
    instruction = None if text is None else example.ids_of(text)
    return {"response": list(markers.prefix_ids or ()), "instruction": instruction}, notes
