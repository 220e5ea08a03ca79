"""Stop strings for generation: the texts that end answers if no special token does.

Turns a model, or rendered conversations, into stop strings. ChatML on a tokenizer without `<|im_end|>`, `</s>`
as plain text, `### End`: the model learns to write them, and nothing but a stop string ends the answer there.
"""

from __future__ import annotations

from collections.abc import Iterable

from inspector.errors import InspectorError
from inspector.inspection import make_example
from inspector.model.model import Model
from inspector.samples import sample_conversations
from inspector.strategies import Example


def stop_strings(model: Model) -> list[str]:
    """The texts that end the template's answers and are text to the tokenizer; [] if a special token ends them.

    They are taken from the sample conversations that the template renders.
    """
    examples = []
    _, source = model.template_for(tools=False)
    for conversation in sample_conversations()[:3]:
        try:
            examples.append(make_example(model, conversation, source))
        except InspectorError:  # this template does not take this conversation
            continue
    return text_stops(examples)


def text_stops(examples: Iterable[Example]) -> list[str]:
    """The distinct end markers of the answers in rendered conversations."""
    found = {
        example.rendered.text[slice(*turn.stop_span)]: None
        for example in examples
        for _, turn in example.answers()
        if turn.stop_span is not None and turn.stop_token is None
    }
    return list(found)
