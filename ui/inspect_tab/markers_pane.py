"""The Markers pane.

Verified prefix and suffix ids, find_split's view of them, and the effect of whitespace on a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

import inspector
from inspector.errors import InspectorError, RenderError
from inspector.inspection import Inspection, inspect_rendered
from inspector.model.model import Model
from inspector.samples import sample_conversations
from inspector.trainers.markers import WORDS, Markers, Split, find_split, pieces, propose_markers, shown_ids
from ui.parts.report import Block, build_note, build_report, code, heading, report, table, text
from ui.parts.report import pieces as pieces_block
from ui.parts.text_box import build_text_box
from ui.wiring.answers import About
from ui.wiring.boxes import Boxes, setup_of
from ui.wiring.conversation_json import ConversationJsonError
from ui.wiring.models import load_model, model_of
from ui.wiring.wires import Changes, Wires

_MAX_WORD_CHARS = 2_000


def build_markers_pane() -> dict[str, Any]:
    """The widgets, by name."""
    with gr.Accordion("Prefix and suffix ids", open=False, elem_id="markers") as pane:
        find = gr.Button("Find them", size="sm", elem_id="find-markers")
        found = build_report("markers-report", follows_view=True)
        build_note('Why " word" and "word" get different ids:')
        with gr.Row():
            one = build_text_box("Text", rows=1, elem_id="word-one", value=WORDS[0])
            other = build_text_box("With a space", rows=1, elem_id="word-two", value=WORDS[1])
        shown = build_report("pieces")
    return {
        "markers_pane": pane,
        "find_markers": find,
        "markers_report": found,
        "word_one": one,
        "word_two": other,
        "pieces": shown,
    }


def connect_markers_pane(wires: Wires) -> None:
    """Connect the markers, made on a click, and the pieces of words, updated on typing and when the model changes."""
    wires.on(wires["find_markers"].click, on_find, ["markers_report"], says="markers_report")
    words = [wires["word_one"], wires["word_two"]]
    events = [
        wires["markers_pane"].expand, *(word.input for word in words), wires["model"].input, wires["revision"].submit,
        wires["revision"].blur,
    ]  # fmt: skip
    wires.on(events, on_words, ["pieces"], also=words, about=About.MODEL, is_latest=True)


def on_words(one: str, other: str, boxes: Boxes) -> Changes:
    """The tokens of both words under the chosen tokenizer, special tokens left aside."""
    try:
        model = load_model(boxes.model or "", boxes.revision or "", "chatml")  # any template: none is rendered
        shown = [
            pieces_block(repr(word)[1:-1], pieces(model, word))
            for word in ((one or "")[:_MAX_WORD_CHARS], (other or "")[:_MAX_WORD_CHARS])
        ]
    except InspectorError as error:
        return {"pieces": report(text(str(error), "✗"))}
    return {"pieces": report(*shown)}


def on_find(boxes: Boxes) -> Changes:
    """Markers, proposed and verified over varied conversations and the shown one."""
    try:
        model = model_of(setup_of(boxes))
        inspections, refused = _inspected(model, boxes)
        splits = _splits(model)
    except (InspectorError, ConversationJsonError) as error:
        return {"markers_report": report(text(str(error), "✗"))}
    markers = propose_markers(inspections)
    blocks = [*_found(model, markers, len(inspections), refused), *_split_blocks(markers, splits, inspections)]
    return {"markers_report": report(*blocks)}


def _inspected(model: Model, boxes: Boxes) -> tuple[list[Inspection], int]:
    """The samples and the shown conversation, and the number that the template refused."""
    shown = inspector.Conversation.parse(setup_of(boxes).conversation)
    conversations = [*sample_conversations(), shown]
    inspections = inspect_rendered(model, conversations)
    return inspections, len(conversations) - len(inspections)


def _splits(model: Model) -> tuple[Split, Split] | None:
    try:
        return find_split(model)
    except RenderError:  # a template may refuse a lone answer
        return None


def _found(model: Model, markers: Markers, rows: int, refused: int) -> Iterator[Block]:
    """The ids to copy, which come first; their results; and their texts."""
    for name, ids in (("prefix_ids", markers.prefix_ids), ("suffix_ids", markers.suffix_ids)):
        if ids is not None:
            yield code(",".join(map(str, ids)), label=name)
    is_exact = markers.found == markers.turns and markers.turns and not markers.false_hits
    where = f"in {rows} conversations" + (f" ({refused} more were refused by the template)" * bool(refused))
    if is_exact:
        yield text(f"Verified {where}: {_lower(markers.counted)}", "✓")
    else:
        yield text(markers.advice, "✗")
    yield table(["text", f"{model.name} · template {model.template_name}"], list(map(list, markers.lines()[2:-1])))
    if markers.misses:
        yield heading("Missed: the boundary is inside a merged token")
        yield table(
            ["turns", "token", "ids before the answer"],
            [[str(miss.count), repr(miss.token), shown_ids(miss.ids)] for miss in markers.misses],
        )


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _split_blocks(
    markers: Markers, splits: tuple[Split, Split] | None, inspections: Sequence[Inspection]
) -> Iterator[Block]:
    """The ids in context next to find_split's three tokenizations, each with the number of conversations it occurs
    in."""
    if splits is None:
        yield text("find_split has nothing to split: the template refuses a lone answer.")
        return
    rows = [tuple(inspection.ids) for inspection in inspections]
    ids_in_context = (markers.prefix_ids, markers.suffix_ids)
    for split, name, ids in zip(splits, ("before", "after"), ids_in_context, strict=True):
        yield heading(f"find_split: {split.text!r}, the text {name} an answer")
        found = [("in a row", ids), *split.tokenizations()]
        yield table(
            ["tokenized", "ids", "occur in"],
            [[how, shown_ids(token_ids), _occurring(token_ids, rows)] for how, token_ids in found],
        )


def _occurring(ids: Sequence[int] | None, rows: Sequence[Sequence[int]]) -> str:
    """The number of rows that hold the ids in sequence, with a sign for all or fewer."""
    if not ids:
        return "–"
    size, wanted = len(ids), tuple(ids)
    count = sum(any(row[i : i + size] == wanted for i in range(len(row) - size + 1)) for row in rows)
    return f"{'✓' if count == len(rows) else '✗'} {count} of {len(rows)}"
