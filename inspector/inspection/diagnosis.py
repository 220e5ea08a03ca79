"""Diagnoses why a template refuses a conversation, or fails on it."""

from __future__ import annotations

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TemplateFailedError, TemplateRefusedError
from inspector.findings.codes import Finding
from inspector.findings.refusals import explain_refusal
from inspector.inspection.examples import prepared
from inspector.model.hub import Model
from inspector.rendering import sandbox


def diagnose(model: Model, conversation: Conversation, error: InspectorError) -> Finding | None:
    """The finding that says why a template refuses a conversation; None if the reason is unknown.

    The reason is shown by rendering the conversation without the suspect.
    """
    if not isinstance(error, TemplateRefusedError | TemplateFailedError):
        return None
    if isinstance(error, TemplateFailedError) and isinstance(error.finding, Finding):
        return error.finding
    _, source = model.template_for(conversation.tools is not None)

    def renders(changed: Conversation) -> bool:
        try:
            sandbox.render(source, prepared(model, changed), model.special_tokens)
        except InspectorError:
            return False
        return True

    return explain_refusal(error, conversation, renders)


def with_cause(model: Model, conversation: Conversation, error: TemplateFailedError) -> TemplateFailedError:
    """The error, with a text that names the field the template fails at, if that can be shown."""
    finding = diagnose(model, conversation, error)
    if finding is None or not finding.cause:
        return error
    caused = TemplateFailedError(f"{finding.cause} {error}")
    caused.finding = finding
    return caused
