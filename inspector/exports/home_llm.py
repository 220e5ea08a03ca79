"""home-llm's train.py, which looks for the ids around an answer."""

from __future__ import annotations

import shlex
from typing import Any

from inspector.errors import InspectorError, StrategyRefusedError
from inspector.exports.shown import (
    TEMPLATE_FILE,
    base_model,
    chosen_template,
    passed,
    row_length,
    tokenizer_side,
    verified_markers,
)
from inspector.exports.verdict import Export, Target, judge
from inspector.inspection import Inspection
from inspector.strategies.markers_in_ids import id_list

TARGET = Target(
    target="home_llm",
    title="home-llm, flags of train.py",
    filename="flags.sh",
    language="shell",
    version="2025-11",
)


def home_llm(inspection: Inspection, data: str) -> Export:
    """The command line of home-llm's train.py."""
    try:
        ids, notes = _ids(inspection)
    except InspectorError as error:
        return TARGET.refuse(inspection, str(error))
    length, files = row_length(inspection), chosen_template(inspection)
    outcome = judge(
        inspection,
        "home_llm",
        ids,
        conversation=passed(inspection.example.conversation, fields=("role", "content")),
        length=length,
        truncation=tokenizer_side(inspection.model),
        searches=True,
        passes="home-llm passes the role and content of each message and the tools to the template, nothing else.",
    )
    flags: dict[str, Any] = {
        "run_name": inspection.model.name.split("/")[-1],
        "base_model": base_model(inspection.model),
        "train_dataset": data,
        "ctx_size": length,
        **{name: ",".join(map(str, value)) for name, value in ids.items()},
    }
    if files:
        flags["prompt_template_file"] = TEMPLATE_FILE
    words = ["python3 train.py", *(f"    --{name} {shlex.quote(str(value))}" for name, value in flags.items())]
    notes.append(f"Each line of {data} has its messages under `conversations`, as home-llm's own data has.")
    return TARGET.export(inspection, outcome, " \\\n".join(words) + "\n", notes=notes, files=files)


def _ids(inspection: Inspection) -> tuple[dict[str, list[int]], list[str]]:
    """The ids to search for (those of the inspection, or else verified ones), and a note on them.

    Raises StrategyRefusedError if there are none.
    """
    if inspection.strategy.startswith("home_llm"):
        return {name: id_list(name, inspection.options[name]) for name in ("prefix_ids", "suffix_ids")}, []
    markers, notes = verified_markers(inspection)
    if markers.suffix_ids is None:
        raise StrategyRefusedError("No constant ids end the answers: use rows with exact labels instead.")
    return {"prefix_ids": list(markers.prefix_ids or ()), "suffix_ids": list(markers.suffix_ids)}, notes
