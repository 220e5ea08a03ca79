"""From the Inspect page's plain values to what its view shows; no widgets here.

`inspect_view` is the one path from a model's name, a template and a conversation's JSON to the token view; whatever
goes wrong becomes a view that says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import inspector
from inspector import sandbox
from inspector.compare import compare_with
from inspector.decode import Decoded, LoggedExample, decode_log
from inspector.errors import InspectorError, NoTemplateError, RenderError
from inspector.generation_tags import write_training_template
from inspector.model import Model, short_hash
from inspector.trl_status import trl_status
from ui.conversation_json import ConversationJsonError, dump, parse_json
from ui.links import ViewState, encode_link
from ui.token_view import pack, pack_failure

_LOG = logging.getLogger(__name__)


def load_model(name: str, revision: str, template: str | None = None) -> Model:
    """Load a model by what the page's boxes hold. Raises ModelError.

    Locally with the token this machine is logged in with; on a Space without any: its own is not its visitors'.
    """
    token = False if os.environ.get("SPACE_ID") else None
    return inspector.load(name, revision=revision.strip() or None, template=template, token=token)


def inspect_view(
    name: str,
    revision: str,
    template: str,
    conversation: str,
    policy: Mapping[str, Any],
    *,
    compare: bool = False,
    expected_hash: str = "",
    notices: Sequence[str] = (),
) -> str:
    """The token view's value.

    `template`: Jinja source; `compare`: whether other strategies are laid beside; `expected_hash`: of the template a
    link was made with; `notices`: what the view says above the tokens, before what it has to say itself.
    """
    try:
        return _inspect_view(name, revision, template, conversation, policy, compare, expected_hash, notices)
    except Exception as error:  # whatever it is, the page has to say so and stay alive
        return failure_view(error, name, revision, template, conversation)


def decode_view(
    log: str, name: str, revision: str, template: str, conversation: str, policy: Mapping[str, Any], *, compare: bool
) -> tuple[str | None, str]:
    """A pasted trainer warning -> (the JSON of its first readable example, or None; the view that explains it)."""
    try:
        decoded = decode_log(_with_template(name, revision, template), log)
    except InspectorError as error:
        return None, failure_view(error, name, revision, template, conversation)
    shown = next((example for example in decoded.examples if example.inspection is not None), None)
    text = None
    if shown is not None and shown.inspection is not None:
        value = shown.inspection.example.conversation.to_json()
        text = dump(value if len(value) > 1 else value["messages"])
    view = inspect_view(
        name, revision, template, text or conversation, policy, compare=compare, notices=list(_said(decoded, shown))
    )
    return text, view


def training_template_view(
    name: str, revision: str, template: str, conversation: str, policy: Mapping[str, Any], *, compare: bool
) -> tuple[str | None, str]:
    """(the template with generation tags, or None when none can be proven; the view with what was proven)."""
    try:
        model = _with_template(name, revision, template)
        written = write_training_template(model)
        said = [trl_status(model).reason, f"{'Proven' if written.proven else 'Not proven'}: {written.reason}"]
    except InspectorError as error:
        return None, failure_view(error, name, revision, template, conversation)
    used = written.template or template
    return written.template, inspect_view(name, revision, used, conversation, policy, compare=compare, notices=said)


def _said(decoded: Decoded, shown: LoggedExample | None) -> Iterator[str]:
    """What a decoded log has to say, for the head of the view."""
    yield from decoded.meanings
    if shown is not None:
        number, count = decoded.examples.index(shown) + 1, len(decoded.examples)
        yield f"Below is example {number} of {count} in the log. " + (
            "Its ids are exactly the logged ones." if shown.is_exact else "Its ids are not exactly the logged ones."
        )
    own = {finding.code for finding in shown.inspection.findings} if shown and shown.inspection else set()
    for finding in decoded.findings:
        if finding.code not in own:
            yield f"{finding.code}: {finding.detail} {finding.remedy}"
    markers = decoded.markers
    if markers.prefix_ids is not None and markers.suffix_ids is not None:
        prefix, suffix = (",".join(map(str, ids)) for ids in (markers.prefix_ids, markers.suffix_ids))
        yield (
            f"Use prefix_ids {prefix} and suffix_ids {suffix}: they find {markers.found} of {markers.turns} answers, "
            f"with {markers.false_hits} false hits."
        )


def failure_view(error: Exception, name: str, revision: str, template: str, conversation: str) -> str:
    """A view that says what went wrong."""
    if isinstance(error, InspectorError | ConversationJsonError):
        return pack_failure(
            _TITLES.get(type(error).__name__, _title(error)),
            str(error),
            line=error.line if isinstance(error, RenderError) else None,
            finding=_diagnosis(error, name, revision, template, conversation),
        )
    _LOG.exception("The inspection failed")
    return pack_failure(
        "Something failed that should not have", f"{type(error).__name__}: {error}. Please report it, with this input."
    )


def template_choices(model: Model) -> list[tuple[str, str]]:
    """(label, name) of every template that can be chosen for a model: its own first, then the built-in ones."""
    own = [(f"{name} (the model's own)", name) for name in model.templates]
    built_in = [(f"{name} (built in)", name) for name in inspector.BUILT_IN_TEMPLATES if name not in model.templates]
    return own + built_in


def describe_model(model: Model) -> str:
    """One line about where the tokenizer came from."""
    where = f"commit {model.revision}" if model.revision else f"{model.source.value} model"
    return f"{where} · {type(model.tokenizer).__name__} · {len(model.tokenizer):,} ids"


def _inspect_view(
    name: str,
    revision: str,
    template: str,
    conversation: str,
    policy: Mapping[str, Any],
    compare: bool,
    expected_hash: str,
    said: Sequence[str],
) -> str:
    parsed = inspector.Conversation.parse(parse_json(conversation))
    model = _with_template(name, revision, template)
    inspection = inspector.inspect(model, parsed, "traced", **policy)
    used = short_hash(inspection.template)
    state = ViewState(
        model=model.name,
        revision=model.revision or "",
        template_name="" if model.template_name == "custom" else model.template_name,
        template_hash=used,
        template_source=template if model.template_name == "custom" else "",
        conversation=conversation,
        policy=policy,
        compare=compare,
    )
    link = encode_link(state)
    notices = [*said, *_notices(inspection)]
    if expected_hash and expected_hash != used:
        notices.insert(0, f"The link was made with template {expected_hash}; this model's template is now {used}.")
    if not link:
        notices.append("This view is too long for a link: keep the JSON instead.")
    return pack(inspection, notices=notices, link=link, comparison=compare_with(inspection) if compare else None)


def _with_template(name: str, revision: str, template: str) -> Model:
    """The model with the page's template; when that is the model's own default, the choice stays the model's."""
    try:
        model = load_model(name, revision)
    except NoTemplateError:
        if not template.strip():
            raise
        return load_model(name, revision, template)
    if template == model.template or not template.strip():
        return model
    names = [known for _, known in template_choices(model) if model.with_template(known).template == template]
    return model.with_template(names[0] if names else template)


def _notices(inspection: inspector.Inspection) -> list[str]:
    """What the page should say beside the findings: options without effect, a template chosen by the tools."""
    read = _keywords(inspection.template)
    conversation = inspection.example.conversation
    unread = [name for name in conversation.keywords if name not in read and name != "add_generation_prompt"]
    notices = [f"The template does not read {name}: it has no effect." for name in unread]
    if conversation.adds_generation_prompt and "add_generation_prompt" not in read:
        notices.append("The template does not read add_generation_prompt: it has no effect.")
    if conversation.tools and "tools" not in read:
        notices.append("The template does not read tools: they are not shown to the model.")
    if conversation.documents and "documents" not in read:
        notices.append("The template does not read documents: they are not shown to the model.")
    if inspection.template != inspection.model.template:
        notices.append("The tools select the model's tool_use template, as they would in a trainer.")
    return notices


@lru_cache(maxsize=64)
def _keywords(source: str) -> frozenset[str]:
    return sandbox.keywords(source)


def _diagnosis(
    error: Exception, name: str, revision: str, template: str, conversation: str
) -> inspector.Finding | None:
    if not isinstance(error, RenderError):
        return None
    try:
        parsed = inspector.Conversation.parse(parse_json(conversation))
        return inspector.diagnose(_with_template(name, revision, template), parsed, error)
    except (InspectorError, ConversationJsonError):
        return None


def _title(error: Exception) -> str:
    return "The conversation cannot be read" if isinstance(error, ConversationJsonError) else "That did not work"


_TITLES = {
    "ConversationError": "The conversation cannot be used",
    "LogError": "There is nothing to decode in it",
    "SandboxError": "Templates cannot be rendered",
    "StrategyError": "The policy cannot be used",
    "ModelNameError": "That is not a model's name",
    "RepoNotFoundError": "No such model",
    "GatedRepoError": "Access must be granted first",
    "RevisionNotFoundError": "No such revision",
    "NoTokenizerError": "No tokenizer there",
    "RemoteCodeError": "The tokenizer is code, which is never run",
    "NoTemplateError": "Choose a chat template",
    "OfflineError": "The hub cannot be reached",
    "CorruptFileError": "A file cannot be read",
    "TemplateSyntaxError": "The template does not compile",
    "TemplateRefusedError": "The template refuses this conversation",
    "TemplateFailedError": "The template failed",
    "TemplateForbiddenError": "The template was stopped",
    "TemplateTimeoutError": "The template took too long",
    "TemplateMemoryError": "The template used too much memory",
    "TemplateTooLargeError": "Too long",
    "TraceError": "The template cannot be traced",
    "TokenizationError": "The tokens cannot be aligned",
}
