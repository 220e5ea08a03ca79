"""Predicts how trl's `assistant_only_loss` treats a chat template: uses it, swaps it for a stored twin, or refuses it.

Reads trl's files; trl itself is never imported. The tokens that a twin trains are compared with `traced` over the
conversations of inspector.samples, all rendered in the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from inspector.errors import InspectorError, StrategyRefusedError
from inspector.inspection import make_example
from inspector.model.model import Model
from inspector.samples import sample_conversations
from inspector.strategies import EXACT, Example, Reason, label
from inspector.strategies.tags import training_twin
from inspector.tagging.write import has_tags


class TrlUse(StrEnum):
    """The way in which trl treats a template."""

    AS_IT_IS = "as_it_is"
    """Used: it has generation tags."""
    TWIN = "twin"
    """Swapped: it equals a template that trl stores, and is replaced by that one's patched twin."""
    REFUSED = "refused"
    """Refused: neither of these, or trl is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrlStatus:
    """The installed trl's treatment of a template, in a word and in a sentence.

    `template`: the source that it would train with, or None. `prompt_text`, `after_stop`: the first text that this
    trains and that the generation prompt supplies, or that follows the stop token; "" if there is none.
    `changes_text`: whether it writes other text than the model's template.
    """

    use: TrlUse
    reason: str
    template: str | None = None
    prompt_text: str = ""
    after_stop: str = ""
    changes_text: bool = False


def trl_status(model: Model) -> TrlStatus:
    """Predict how trl treats the model's template. Raises a RenderError if it cannot be rendered at all."""
    source = model.template
    if has_tags(source):
        use, template, why = TrlUse.AS_IT_IS, source, "TRL uses the template as it is: it has generation tags."
    else:
        try:
            template = training_twin(source)
        except StrategyRefusedError as error:
            return TrlStatus(use=TrlUse.REFUSED, reason=str(error))
        use, why = TrlUse.TWIN, "TRL swaps the template for the patched twin that it stores."
    texts = {Reason.HEADER: "", Reason.AFTER_STOP: ""}
    changes_text = False
    for original, used in _renders(model, template):
        if original.rendered.text != used.rendered.text:
            changes_text = True
            continue
        for reason, text in _overtrained(original, used):
            texts[reason] = texts[reason] or text
    if texts[Reason.HEADER]:
        why += f" It trains text that the generation prompt supplies: {texts[Reason.HEADER]!a}."
    if texts[Reason.AFTER_STOP]:
        why += f" It trains what follows the stop token: {texts[Reason.AFTER_STOP]!a}."
    if changes_text:
        why += " It writes some conversations differently."
    return TrlStatus(
        use=use,
        reason=why,
        template=template,
        prompt_text=texts[Reason.HEADER],
        after_stop=texts[Reason.AFTER_STOP],
        changes_text=changes_text,
    )


def _renders(model: Model, template: str) -> Iterator[tuple[Example, Example]]:
    """Sample conversations through the model's own template and through the one trl uses."""
    for conversation in sample_conversations():
        try:
            original = make_example(model, conversation, model.template)
            yield original, original if template == model.template else make_example(model, conversation, template)
        except InspectorError:
            continue


def _overtrained(original: Example, used: Example) -> Iterator[tuple[Reason, str]]:
    """Texts of tokens that the tags train and traced does not, in the prompt's header or after a stop token."""
    truth = label(original, EXACT, {})
    tagged = label(used, "generation_tags", {})
    for index, reason in enumerate(truth.reasons):
        if tagged.trained[index] and reason in (Reason.HEADER, Reason.AFTER_STOP):
            yield reason, original.tokens.texts[index]
