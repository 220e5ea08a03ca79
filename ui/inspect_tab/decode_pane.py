"""The pane that explains a trainer's output: the explanation is in the pane, its example in the token view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from inspector.setup import Setup
from inspector.trainers.decode import Decoded, LoggedExample, decode_log
from ui.inspect_tab.view import boxes_view
from ui.language import say
from ui.parts.report import Block, build_report, code, heading, report, text
from ui.parts.text_box import build_text_box
from ui.wiring.boxes import Boxes, conversation_values, setup_of
from ui.wiring.conversation_json import ConversationJsonError, dump
from ui.wiring.models import model_of
from ui.wiring.wires import Changes, Wires


def build_decode_pane() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("Decode a warning", open=False, elem_id="decode") as pane:
        log = build_text_box(
            "Trainer output",
            info="Paste the warning and the token ids above it. The row is rebuilt, and the settings to use are named.",
            rows=6,
            elem_id="log",
        )
        explain = gr.Button("Explain", size="sm", elem_id="explain")
        found = build_report("decode-report")
    return {"decode_pane": pane, "log": log, "explain": explain, "decode_report": found}


def connect_decode_pane(wires: Wires, forms: tuple[str, ...]) -> None:
    """Connect the click that explains. `forms`: the boxes of the conversation."""
    changes = [*forms, "rows", "decode_report", "view"]
    wires.on(wires["explain"].click, on_decode, changes, also=[wires["log"]], says="decode_report")


def on_decode(log: str, boxes: Boxes) -> Changes:
    """Explain a pasted log.

    The pane says what went wrong and what to set; its first example becomes the conversation.
    """
    try:
        conversation, blocks, place = explained(log or "", setup_of(boxes))
    except (InspectorError, ConversationJsonError) as error:
        return {"decode_report": report(text(str(error), "✗"))}
    changes = {"decode_report": report(*blocks)}
    if conversation is None:
        return changes
    changes |= {**conversation_values(conversation), "rows": None}
    return {**changes, "view": boxes_view(boxes.with_changes(changes), notices=[place])}


def explained(log: str, setup: Setup) -> tuple[str | None, list[Block], str]:
    """A pasted log -> (the JSON of its first readable example, or None; the explanation; the number of the example).

    Raises InspectorError.
    """
    decoded = decode_log(model_of(setup), log)
    shown = next((example for example in decoded.examples if example.inspection is not None), None)
    blocks = [*_settings(decoded), *_causes(decoded, shown)]
    if shown is None or shown.inspection is None:
        return None, blocks, ""
    number, count = decoded.examples.index(shown) + 1, len(decoded.examples)
    place = f"This is row {number} of {count} in the trainer's output. " + (
        "Its ids are exactly the printed ones." if shown.is_exact else "Its ids are not exactly the printed ones."
    )
    value = shown.inspection.example.conversation.to_json()
    return dump(value if len(value) > 1 else value["messages"]), [*blocks, text(place)], place


def _settings(decoded: Decoded) -> Iterator[Block]:
    """The settings to change, which come first."""
    for answer in decoded.answers:
        yield text(f"{answer.trainer}: {answer.meaning}")
        if answer.settings:
            yield code(answer.settings, label=say("Set in {trainer}", trainer=answer.trainer))
    markers = decoded.markers
    is_home_llm = any(answer.trainer == "home-llm" for answer in decoded.answers)
    if (is_home_llm or not decoded.answers) and markers.prefix_ids is not None and markers.suffix_ids is not None:
        for name, ids in (("prefix_ids", markers.prefix_ids), ("suffix_ids", markers.suffix_ids)):
            yield code(",".join(map(str, ids)), label=name)
        is_sure = markers.found == markers.turns and not markers.false_hits
        yield text(
            f"{markers.counted} Searched: the rows of this output and the built-in ones.", "✓" if is_sure else "✗"
        )
        if markers.open_headers:
            yield text(
                f"{markers.open_headers} of these rows end in the prefix: it opens an answer that never comes. No "
                "ids can find that one."
            )


def _causes(decoded: Decoded, shown: LoggedExample | None) -> Iterator[Block]:
    """The causes."""
    causes = [cause for answer in decoded.answers for cause in answer.causes]
    causes += [f"Row {i}: {' '.join(example.says)}" for i, example in enumerate(decoded.examples, 1) if example.says]
    codes = {finding.code for finding in shown.inspection.findings} if shown and shown.inspection else set()
    causes += [f"{f.code.heading} ({f.code}). {f.detail} {f.remedy}" for f in decoded.findings if f.code not in codes]
    causes += decoded.notes
    if causes:
        yield heading(say("Why"))
        yield from map(text, causes)
