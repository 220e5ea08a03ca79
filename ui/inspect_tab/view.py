"""From a setup to the content of the Inspect page's view; no widgets here.

`inspect_view` is the only path from a setup to the token view; any error becomes a view that shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import inspector
from inspector.errors import InspectorError, RenderError
from inspector.inspection import Inspection
from inspector.model.model import Model, short_hash
from inspector.remedies import offers, offers_for_refusal
from inspector.rendering import sandbox
from inspector.setup import Setup
from ui.inspect_tab.links import ViewState, encode_link
from ui.parts.token_view import pack, pack_failure
from ui.wiring.boxes import Boxes, load_boxes
from ui.wiring.conversation_json import ConversationJsonError, NoConversationError, dump
from ui.wiring.models import LoadedSetup
from ui.wiring.open_setups import Rows

_LOG = logging.getLogger(__name__)


def boxes_view(boxes: Boxes, loaded: Model | None = None, **extra: Any) -> str:
    """The token view's value for the boxes. `loaded`: as in LoadedSetup; `said`: as for `inspect_view`."""
    try:
        loaded_setup = load_boxes(boxes, loaded)
        if not loaded_setup.setup.conversation:
            raise NoConversationError
    except Exception as error:  # whatever it is, the page has to say so and stay alive
        return failure_view(error, rows=boxes.rows, **extra)
    rows = boxes.rows.edited(loaded_setup.setup) if boxes.rows else None
    return inspect_view(loaded_setup, rows=rows, **extra)


def inspect_view(
    loaded: LoadedSetup,
    *,
    rows: Rows | None = None,
    token: int | None = None,
    expected_hash: str = "",
    notices: Sequence[str] = (),
    can_undo: bool = False,
) -> str:
    """The token view's value.

    `rows`: all open rows, `loaded` the shown one; `token`: the token to point at; `expected_hash`: the hash of the
    template that a link was made with; `notices`: notices above the tokens, before the view's own; `can_undo`: whether
    the first of them has an undo button.
    """
    try:
        inspection = loaded.inspect()
        link = _link(loaded.setup, inspection, rows, token)
        notes = [*_mismatch(inspection, expected_hash), *notices, *_notices(inspection)]
        if not link:
            notes.append("This view is too long for a link: keep the JSON instead.")
        return pack(
            inspection,
            notices=notes,
            link=link,
            remedies=offers(inspection),
            row=_place(rows),
            repair=_repair(rows),
            selected=token,
            can_undo=can_undo,
        )
    except Exception as error:  # as above
        return failure_view(error, loaded, rows=rows, notices=notices, can_undo=can_undo)


def failure_view(
    error: Exception,
    loaded: LoadedSetup | None = None,
    *,
    rows: Rows | None = None,
    notices: Sequence[str] = (),
    can_undo: bool = False,
) -> str:
    """A view that shows an error; for a refused conversation also the reason, and remedies."""
    beside: dict[str, Any] = {
        "notices": notices, "row": _place(rows), "repair": _repair(rows), "can_undo": can_undo,
    }  # fmt: skip
    if not isinstance(error, InspectorError | ConversationJsonError):
        _LOG.error("The inspection failed", exc_info=error)
        title = "Something failed that should not have"
        detail = f"{type(error).__name__}: {error}. Please report it, with this input."
        return pack_failure(title, detail, **beside)
    if isinstance(error, NoConversationError):
        return pack_failure(str(error), _PASTED, is_hint=True, **beside)
    finding = loaded.diagnose(error) if loaded else None
    return pack_failure(
        _TITLES.get(type(error).__name__, _title(error)),
        str(error),
        line=error.line if isinstance(error, RenderError) else None,
        is_template=isinstance(error, RenderError),
        finding=finding,
        remedies={} if finding is None else {finding.code: offers_for_refusal(finding)},
        **beside,
    )


_PASTED = "Messages, ShareGPT, a prompt with its completion, a line of JSONL, or a row of ids and labels."


def _link(setup: Setup, inspection: Inspection, rows: Rows | None, token: int | None) -> str:
    model, used = inspection.model, short_hash(inspection.template)
    is_named = model.template_name != "custom"
    others = rows.setups if rows is not None and 1 < len(rows.setups) <= _LINKED_ROWS else ()
    return encode_link(
        ViewState(
            model=model.name,
            revision=model.revision or "",
            template_name=model.template_name if is_named else "",
            template_hash=used,
            template_source="" if is_named else setup.template,
            special_tokens=setup.special_tokens,
            conversation=dump(setup.conversation),
            strategy=setup.strategy,
            options=setup.options,
            modifiers=setup.modifiers,
            rows=[row.to_dict() for row in others],
            row=rows.at if rows and others else 0,
            token=token,
        )
    )


_LINKED_ROWS = 50
"""A note that a link holds only the shown row, if more are open."""


def _place(rows: Rows | None) -> tuple[int, int, str] | None:
    """(number, count, origin) of the shown row, if there are several or its origin is known."""
    if rows is None or (len(rows.setups) < 2 and not rows.title):
        return None
    return rows.at, len(rows.setups), rows.title


def _repair(rows: Rows | None) -> dict[str, Any] | None:
    """For a row with a problem from an audit: the problem, the result of the last click, whether the row is saved."""
    if rows is None or not rows.problem:
        return None
    return {"problem": rows.problem, "said": rows.said, "isSaved": rows.number in rows.saved}


def _mismatch(inspection: Inspection, expected_hash: str) -> Iterator[str]:
    used = short_hash(inspection.template)
    if expected_hash and expected_hash != used:
        yield f"The link was made with template {expected_hash}; this model's template is now {used}."


def _notices(inspection: inspector.Inspection) -> list[str]:
    """Notices besides the findings: a trainer's warnings, options without effect, a different template."""
    read = _keywords(inspection.template)
    conversation = inspection.example.conversation
    unread = [name for name in conversation.keywords if name not in read and name != "add_generation_prompt"]
    notices = [f"{inspection.strategy} says: {warning}" for warning in inspection.labelled.warnings]
    notices += [f"The template does not read {name}: it has no effect." for name in unread]
    if conversation.adds_generation_prompt and "add_generation_prompt" not in read:
        notices.append("The template does not read add_generation_prompt: it has no effect.")
    if conversation.tools and "tools" not in read:
        notices.append("The template does not read tools: they are not shown to the model.")
    if conversation.documents and "documents" not in read:
        notices.append("The template does not read documents: they are not shown to the model.")
    template = inspection.model.template_for(conversation.tools is not None)[1]
    if template != inspection.model.template:
        notices.append("The tools select the model's tool_use template, as they would in a trainer.")
    if inspection.template != template and not inspection.example.unread:
        notices.append(f"{inspection.strategy} renders the conversation with a template of its own.")
    return notices


@lru_cache(maxsize=64)
def _keywords(source: str) -> frozenset[str]:
    return sandbox.keywords(source)


def _title(error: Exception) -> str:
    return "That cannot be read" if isinstance(error, ConversationJsonError) else "That did not work"


_TITLES = {
    "ConversationError": "The conversation cannot be used",
    "LogError": "There is nothing to decode in it",
    "SandboxError": "Templates cannot be rendered",
    "StrategyError": "The strategy cannot be used so",
    "StrategyRefusedError": "The trainer refuses this conversation",
    "SetupError": "The setup cannot be used",
    "SpecialTokensError": "The special tokens cannot be used",
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
