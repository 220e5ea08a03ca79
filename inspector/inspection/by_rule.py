"""The function that the page, the audit and the trainer all call: a conversation is inspected by a rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from inspector.conversation import Conversation
from inspector.data.normal import Source
from inspector.errors import RenderError, TemplateFailedError, TemplateRefusedError
from inspector.findings.example import find_all
from inspector.inspection.diagnosis import with_cause
from inspector.inspection.examples import labelled_example, make_example
from inspector.inspection.form import as_rendered
from inspector.inspection.result import Inspection
from inspector.model.hub import Model
from inspector.strategies import EXACT, FACTS, OWN_LABELS, Example, Keep, Modifiers, Rule
from inspector.tokens import named_panics


def inspect(
    model: Model,
    conversation: Source,
    strategy: str = EXACT,
    modifiers: Modifiers | Mapping[str, Any] | None = None,
    **options: Any,
) -> Inspection:
    """Render, tokenize and label one conversation.

    `conversation`: a Conversation, a list of messages, a dict with `messages` and optionally `tools`, `documents` and
    template keywords, or a row of a data set. `modifiers`: changes to the row and to the strategy's labels (see
    Modifiers), such as `{"max_length": 512}`. `options`: options of the strategy. Raises ConversationError,
    FormatError, StrategyError, a RenderError, TraceError, or TokenizationError.
    """
    rule = Rule(strategy=strategy, options=options, modifiers=Modifiers.parse(modifiers))
    return inspect_by(rule, model, conversation)


def inspect_by(rule: Rule, model: Model, conversation: Source) -> Inspection:
    """Render, tokenize and label one conversation by a rule. Raises as `inspect`."""
    return inspect_as_rendered(rule, model, as_rendered(rule, model, conversation))


def inspect_as_rendered(rule: Rule, model: Model, conversation: Conversation) -> Inspection:
    """The same for a conversation that `as_rendered` gave."""
    with named_panics(model.tokenizer):
        if conversation.labelled is not None:
            given, (rule, warnings) = labelled_example(model, conversation), _as_labelled(rule)
        else:
            _, source = model.template_for(conversation.tools is not None)
            given, warnings = _given_or_changed(rule, model, conversation, source)
        example, labelled = rule.apply(given)
        labelled = replace(labelled, warnings=(*warnings, *labelled.warnings))
        return Inspection(
            model=model,
            template=example.template,
            rule=rule,
            example=example,
            labelled=labelled,
            findings=tuple(find_all(example, labelled)),
        )


def _as_labelled(rule: Rule) -> tuple[Rule, tuple[str, ...]]:
    """The rule for a row that came with labels, and a warning if another one was chosen."""
    modifiers, asked = replace(rule.modifiers, keep=Keep.ALL), []
    if rule.strategy not in (EXACT, OWN_LABELS) or rule.options:
        asked.append(f"the strategy {rule.strategy}" + (" with its options" if rule.options else ""))
    if rule.modifiers.keep != Keep.ALL:
        asked.append(f"keep: {rule.modifiers.keep}")
    warnings = (
        (f"The row's own labels are trained as they are, whatever is chosen: {' and '.join(asked)}.",) if asked else ()
    )
    return Rule(strategy=OWN_LABELS, modifiers=modifiers), warnings


def _given_or_changed(
    rule: Rule, model: Model, conversation: Conversation, source: str
) -> tuple[Example, tuple[str, ...]]:
    """The example of a row. If the template refuses it, the row as the trainer changes it is used, with a warning."""
    facts = FACTS.get(rule.strategy)
    try:
        return make_example(model, conversation, source), ()
    except (TemplateRefusedError, TemplateFailedError) as error:
        if facts is None or facts.changes is None or (changed := facts.changes(conversation, source)) == conversation:
            if isinstance(error, TemplateFailedError):
                raise with_cause(model, conversation, error) from error
            raise
        warning = (
            f"The template refuses this row as it is given; what is shown is the row that {facts.trainer} makes of it"
        )
        return make_example(model, changed, source), (f"{warning}. {error}",)


def inspect_rendered(model: Model, conversations: Iterable[Conversation]) -> list[Inspection]:
    """The inspections of the conversations that the template renders; those that it refuses are left out.

    Raises as `inspect`, except RenderError.
    """
    out = []
    for conversation in conversations:
        with suppress(RenderError):
            out.append(inspect(model, conversation))
    return out
