"""The Batch pane: the batch that a collator makes from chosen rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr

from inspector.batch import SIDES, make_batch
from inspector.data.source import BadRow
from inspector.errors import BatchError, InspectorError
from inspector.inspection import Inspection
from inspector.strategies import Truncation
from ui.data_tab.batch_view import build_batch_view, pack_batch, pack_no_batch
from ui.data_tab.boxes import DataBoxes, mapping_of, shared_setup, source_of
from ui.data_tab.rows import first_rows, row_setup, rows_at
from ui.inspect_tab.training_box import TRUNCATION_CHOICES
from ui.parts.report import build_note
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import LoadedSetup
from ui.wiring.wires import Changes, Wires

MAX_ROWS = 16
"""Maximum number of rows shown of a batch."""
DEFAULT_ROWS = "0-3"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBoxes:
    """The values of the pane's boxes, by name."""

    batch_rows: str = DEFAULT_ROWS
    batch_side: str = SIDES[0]
    batch_pad: str = ""
    batch_length: int | None = 0
    batch_truncation: str = Truncation.KEEP_START.value
    batch_packing: bool = False
    batch_padding_free: bool = False


def build_batch_pane() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("Batch preview", open=False, elem_id="batch-pane") as pane:
        build_note("What the collator makes of these rows")
        widgets = _build_boxes()
        view = build_batch_view("batch")
    return {"batch_pane": pane, "batch_is_open": gr.State(False), **widgets, "batch": view}


def _build_boxes() -> dict[str, Any]:
    with gr.Row():
        rows = gr.Textbox(
            DEFAULT_ROWS, label="Rows", info="Numbers from 0, such as 0-3, 7", max_lines=1, min_width=120,
            elem_id="batch-rows",
        )  # fmt: skip
        side = gr.Dropdown(
            list(SIDES), value=SIDES[0], label="Padding side", info="Where short rows are filled", min_width=120,
            elem_id="batch-side",
        )  # fmt: skip
        pad = gr.Textbox(
            label="Padding token", info="Empty: the tokenizer's own", placeholder="<pad>", max_lines=1, min_width=120,
            elem_id="batch-pad",
        )  # fmt: skip
    with gr.Row():
        length = gr.Number(
            0, label="Max length", info="In tokens; 0: none", precision=0, min_width=120,
            elem_id="batch-length",
        )  # fmt: skip
        truncation = gr.Dropdown(
            TRUNCATION_CHOICES, value=Truncation.KEEP_START.value, label="Truncation", info="Which end stays",
            min_width=120, elem_id="batch-truncation",
        )  # fmt: skip
        with gr.Column(min_width=120):
            packing = gr.Checkbox(label="Packing", elem_id="batch-packing", container=False)
            padding_free = gr.Checkbox(label="Padding-free", elem_id="batch-padding-free", container=False)
    return {
        "batch_rows": rows, "batch_side": side, "batch_pad": pad, "batch_length": length,
        "batch_truncation": truncation, "batch_packing": packing, "batch_padding_free": padding_free,
    }  # fmt: skip


def connect_batch_pane(wires: Wires) -> None:
    """Make the batch when the pane is opened, and whenever one of its boxes changes."""
    written = [wires[name] for name in ("batch_rows", "batch_pad")]
    chosen = [wires[name] for name in ("batch_side", "batch_truncation", "batch_packing", "batch_padding_free")]
    events = [
        wires["batch_pane"].expand, *(box.submit for box in written), *(box.blur for box in written),
        *(box.input for box in chosen), wires["batch_length"].input,
    ]  # fmt: skip
    batch: dict[str, Any] = {"reads": [BatchBoxes, DataBoxes, Boxes], "is_latest": True, "queue": "data"}
    shown = ["batch", "batch_is_open"]
    wires.on(events, on_batch, shown, **batch)
    wires.on(wires["data_seen"].change, on_other_rows, shown, also=[wires["batch_is_open"]], **batch)


def on_batch(chosen: BatchBoxes, data: DataBoxes, boxes: Boxes) -> Changes:
    """The batch of the chosen rows, or the reason why there is none."""
    try:
        value = batch_value(chosen, data, boxes)
    except (InspectorError, ConversationJsonError) as error:
        value = pack_no_batch(str(error))
    return {"batch": value, "batch_is_open": True}


def on_other_rows(is_open: bool, chosen: BatchBoxes, data: DataBoxes, boxes: Boxes) -> Changes:
    """As `on_batch`, after the pane was opened: another data set or another setup was chosen."""
    return on_batch(chosen, data, boxes) if is_open else {}


def batch_value(chosen: BatchBoxes, data: DataBoxes, boxes: Boxes) -> str:
    """The view's value. Raises InspectorError, ConversationJsonError."""
    numbers = row_numbers(chosen.batch_rows)
    shared = shared_setup(boxes)
    inspections, places = _inspected(numbers, data, shared)
    length = int(chosen.batch_length or 0) or None
    batch = make_batch(
        inspections, padding_side=chosen.batch_side, pad_id=_pad_id(chosen.batch_pad, shared), max_length=length,
        truncation=chosen.batch_truncation, packing=chosen.batch_packing, padding_free=chosen.batch_padding_free,
    )  # fmt: skip
    return pack_batch(batch, inspections, places, length, chosen.batch_truncation)


def row_numbers(written: str) -> list[int]:
    """The numbers in a text such as "0-3, 7", each once. Raises BatchError."""
    numbers: list[int] = []
    for part in filter(None, re.split(r"[,\s]+", re.sub(r"\s*[-–]\s*", "-", written or ""))):
        match = re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", part)
        if match is None:
            raise BatchError(f"{part!r} is not a row number: use numbers and ranges such as 0-3, 7, counting from 0.")
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= MAX_ROWS:
            raise BatchError(f"{part} are more than the {MAX_ROWS} rows that are shown of a batch.")
        numbers += range(first, last + 1)
    numbers = list(dict.fromkeys(numbers))
    if not 1 <= len(numbers) <= MAX_ROWS:
        raise BatchError(f"Choose 1 to {MAX_ROWS} rows.")
    return numbers


def _inspected(numbers: list[int], data: DataBoxes, shared: LoadedSetup) -> tuple[list[Inspection], list[str]]:
    """The rows in the requested order, each with its origin. Rows after the end of a data set are left out."""
    source = source_of(data)
    layout, _ = first_rows(source, mapping_of(data))
    found = {row.number: row for row in rows_at(source, numbers)}
    rows = [found[number] for number in numbers if number in found]
    if not rows:
        raise BatchError("The data set has none of these rows.")
    inspections = []
    for row in rows:
        if isinstance(row, BadRow):
            raise BatchError(f"{row.place}: {row.why}.")
        try:
            inspections.append(row_setup(shared, row, layout).inspect())
        except InspectorError as error:
            raise BatchError(f"{row.place}: {error}") from error
    return inspections, [row.place for row in rows]


def _pad_id(token: str, shared: LoadedSetup) -> int | None:
    """The id for a token's text or for a number; None for the tokenizer's own padding. Raises BatchError."""
    written = (token or "").strip()
    if not written:
        return None
    tokenizer = shared.model.tokenizer
    vocabulary = tokenizer.get_vocab()
    if written in vocabulary:
        return int(vocabulary[written])
    if written.isdecimal() and int(written) < len(tokenizer):
        return int(written)
    raise BatchError(f"{written!r} is not a token of this tokenizer: write a token such as <pad>, or an id.")
