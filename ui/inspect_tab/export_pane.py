"""The Export pane: settings for each trainer with what they would train, and the rows with the shown labels.

Nothing is computed before a click: a change of the view marks the written settings as outdated.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from inspector.exports.targets import TARGETS, export, write_rows
from inspector.exports.verdict import Export
from inspector.inspection import Inspection
from inspector.setup import Setup
from ui.language import say
from ui.parts.report import Block, build_note, build_report, code, files, report, text
from ui.parts.saver import build_saver
from ui.wiring.boxes import Boxes, load_boxes, setup_of
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import LoadedSetup
from ui.wiring.wires import Changes, Wires

LABELS = {
    "trl_labels": "TRL · rows with exact labels",
    "trl_assistant_only": "TRL · assistant_only_loss",
    "trl_collator": "TRL up to 0.19 · completion collator",
    "home_llm": "home-llm · flags of train.py",
    "unsloth": "Unsloth · train_on_responses_only",
    "axolotl": "axolotl",
    "llama_factory": "LLaMA-Factory",
    "autotrain": "AutoTrain",
}
SIGNS = {True: "✓ Same tokens.", False: "✗ Other tokens.", None: "? Unknown."}
MAX_FILE_BYTES = 64_000_000
"""Largest file of rows that is sent through the page, in bytes."""


def build_export_pane() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("Export settings", open=False, elem_id="export") as pane:
        with gr.Row(equal_height=True):
            target = gr.Dropdown(
                [(LABELS.get(name, name), name) for name in TARGETS], value=next(iter(TARGETS)), label="Trainer",
                elem_id="target", scale=4,
            )  # fmt: skip
            write = gr.Button("Generate config", size="sm", scale=1, min_width=130, elem_id="write")
        found = build_report("export-report", follows_view=True)
        build_note("Rows with exactly the labels shown:")
        with gr.Row():
            jsonl = gr.Button("Download rows as JSONL", size="sm", min_width=120, elem_id="rows-jsonl")
            parquet = gr.Button("Download rows as Parquet", size="sm", min_width=120, elem_id="rows-parquet")
        answer = build_report("rows-report", follows_view=True)
        saved = build_saver("saver")
    return {
        "export_pane": pane, "target": target, "write": write, "export_report": found, "rows_jsonl": jsonl,
        "rows_parquet": parquet, "rows_report": answer, "saver": saved,
    }  # fmt: skip


def connect_export_pane(wires: Wires) -> None:
    """Connect the settings, which are written when the pane opens, on a click, and for another trainer.

    Rows on a click.
    """
    target = wires["target"]
    answer: dict[str, Any] = {"says": "export_report"}
    wires.on(target.input, on_export, ["export_report"], also=[target], dropdown="target", **answer)
    wires.on([wires["export_pane"].expand, wires["write"].click], on_export, ["export_report"], also=[target], **answer)
    for name in ("jsonl", "parquet"):
        click = wires[f"rows_{name}"].click
        wires.on(click, partial(on_rows, name), ["saver", "rows_report"], says="rows_report")


def on_export(target: str | None, boxes: Boxes) -> Changes:
    """Settings for a trainer, under a sentence that says whether it trains the same tokens. None: the box was left
    unchanged."""
    if target is None:
        return {}
    try:
        written = export(load_boxes(boxes).inspect(), target)
    except (InspectorError, ConversationJsonError) as error:
        return {"export_report": report(text(str(error), "✗"))}
    return {"export_report": report(*_blocks(written))}


def _blocks(written: Export) -> Iterator[Block]:
    yield text(written.verdict, SIGNS[written.same])
    yield code(written.text, label=written.filename)
    yield files(*written.all_files.items())


def on_rows(kind: str, boxes: Boxes) -> Changes:
    """A file of all open rows with their labels, for the browser to save."""
    try:
        shown = setup_of(boxes)
        setups = boxes.rows.edited(shown).setups if boxes.rows else (shown,)
        data = _rows_file(setups, kind)
    except (InspectorError, ConversationJsonError) as error:
        return {"rows_report": report(text(say("No rows: {why}", why=error), "✗"))}
    if len(data) > MAX_FILE_BYTES:
        return {
            "rows_report": report(
                text(say("{n} bytes are too many to send through the page.", n=f"{len(data):,}"), "✗")
            )
        }
    file = {"name": f"rows.{kind}", "base64": base64.b64encode(data).decode(), "at": time.time_ns()}
    rows = "1 row" if len(setups) == 1 else f"{len(setups):,} rows"
    return {"saver": json.dumps(file), "rows_report": report(text(f"{rows}, {len(data):,} bytes: rows.{kind}", "✓"))}


def _rows_file(setups: tuple[Setup, ...], kind: str) -> bytes:
    """The inspections of the rows. Raises InspectorError, which names the row if there are several."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"rows.{kind}")
        write_rows(_inspections(setups), path)
        return path.read_bytes()


def _inspections(setups: tuple[Setup, ...]) -> Iterator[Inspection]:
    for number, setup in enumerate(setups, 1):
        try:
            yield LoadedSetup(setup).inspect()
        except InspectorError as error:
            raise InspectorError(f"row {number} of {len(setups)}: {error}") from error
