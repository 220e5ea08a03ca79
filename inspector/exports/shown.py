"""The facts of an inspection that a trainer needs: the model, its template, the ids to search for, the row length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inspector.conversation import Conversation
from inspector.errors import RenderError, StrategyRefusedError
from inspector.inspection import Inspection
from inspector.model.model import Model, Source
from inspector.paths import shell_command, shown_path
from inspector.samples import sample_conversations
from inspector.strategies import EXACT, Example, Truncation, label
from inspector.trainers.markers import Markers, propose_markers

TEMPLATE_FILE = "chat_template.jinja"
"""The file name of a chosen template; transformers reads a template of this name from a model's folder."""

USUAL_LENGTH = 2048
"""Default row length in tokens for trainers that need one, unless the shown row is longer."""


def base_model(model: Model) -> str:
    """The hub id or the folder that trainers load."""
    return shown_path(f"models/{model.name}") if model.source is Source.EMBEDDED else model.name


def chosen_template(inspection: Inspection) -> Mapping[str, str]:
    """The template as a file, if it is not the one that trainers find with the model."""
    model, conversation = inspection.model, inspection.example.conversation
    _, source = model.template_for(conversation.tools is not None)
    is_found = not model.template_is_chosen or source == model.templates.get("default")
    if is_found and source != model.encoder.template:
        return {}
    return {TEMPLATE_FILE: source}


def trainers_example(
    inspection: Inspection, conversation: Conversation | None = None, template: str | None = None
) -> Example:
    """The conversation as a trainer renders it: with the model's template, whatever the inspected strategy used.

    `conversation`: the part that the trainer passes to the template; `template`: the one it is told to use. Raises as
    `inspect`.
    """
    example = inspection.example
    conversation = conversation or example.conversation
    source = template or inspection.model.template_for(conversation.tools is not None)[1]
    if (conversation, source) == (example.conversation, example.template):
        return example
    return example.remake(conversation, source)


def max_length(inspection: Inspection) -> int | None:
    """The length at which rows are cut, by a modifier or by the strategy itself; None if they are not cut."""
    lengths = (inspection.modifiers.max_length, inspection.options.get("max_length"))
    return min((length for length in lengths if length is not None), default=None)


def row_length(inspection: Inspection) -> int:
    """The length at which rows are cut; if they are not cut, a length that this row fits in."""
    return max_length(inspection) or max(USUAL_LENGTH, -(-len(inspection.ids) // 1024) * 1024)


def tokenizer_side(model: Model) -> str:
    """The end of a long row that is kept when a trainer leaves truncation to the tokenizer."""
    return Truncation.KEEP_END if model.tokenizer.truncation_side == "left" else Truncation.KEEP_START


def passed(conversation: Conversation, *, fields: Sequence[str] | None = None, tools: bool = True) -> Conversation:
    """The conversation as a trainer without template keywords passes it: only these fields of each message."""
    messages = tuple(
        {name: value for name, value in message.items() if fields is None or name in fields}
        for message in conversation.messages
    )
    return Conversation(messages=messages, tools=conversation.tools if tools else None)


def trains_last_answer_only(inspection: Inspection) -> bool:
    """Whether only the last of several answers trains, by whichever setting."""
    answers = [turn.tokens for _, turn in inspection.example.answers()]
    trained = {index for index, bit in enumerate(inspection.labelled.trained) if bit}
    return len(answers) > 1 and bool(trained) and trained <= set(answers[-1])


def verified_markers(inspection: Inspection) -> tuple[Markers, list[str]]:
    """Marker ids verified over this conversation and varied ones, and a note on how many answers they find.

    One conversation is not enough: if its only answer merges with the header, it shows no ids. Raises
    StrategyRefusedError if there are none, and as `inspect`.
    """
    examples = [trainers_example(inspection)]
    for conversation in sample_conversations():
        try:
            examples.append(trainers_example(inspection, conversation))
        except RenderError:  # a template may refuse some of the samples
            continue
    rows = [replace(inspection, example=example, labelled=label(example, EXACT, {})) for example in examples]
    markers = propose_markers(rows)
    if markers.prefix_ids is None:
        raise StrategyRefusedError("No constant ids stand before the answers: use rows with exact labels instead.")
    if markers.suffix_ids is None:
        return markers, ["No constant ids end the answers, so the ids before them are not verified."]
    if markers.found == markers.turns and not markers.false_hits:
        return markers, []
    return markers, [
        f"Over {len(rows)} conversations the ids find {markers.found} of {markers.turns} answers, and match "
        f"{markers.false_hits} times elsewhere; `{shell_command('inspector')} markers` says where."
    ]
