"""The actions of the remedies: one small function each, from a case to the setups to inspect instead."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import RemedyError
from inspector.findings.refusals import with_plain_content
from inspector.inspection import inspect_rendered, labelled_example
from inspector.model.model import ADDITIONAL, Model
from inspector.model.tokenizer import Tokenizer, ids_alone
from inspector.remedies.remedy import Case
from inspector.samples import sample_conversations
from inspector.setup import Setup
from inspector.strategies import EXACT, Keep, StopPolicy, needs_of
from inspector.tagging.write import write_training_template
from inspector.trainers.markers import Markers, propose_markers
from inspector.trainers.stops import stop_strings


def drop_generation_prompt(case: Case) -> list[Setup]:
    """The conversation without a generation prompt."""
    keywords = {k: v for k, v in case.conversation.keywords.items() if k != "add_generation_prompt"}
    return [_with_conversation(case, replace(case.conversation, keywords=keywords))]


def split_turns(case: Case) -> list[Setup]:
    """One row per assistant turn, each with its history as rendered at that point; only its answer trains."""
    keywords = {k: v for k, v in case.conversation.keywords.items() if k != "add_generation_prompt"}
    rows = []
    for index in case.conversation.assistant_indices():
        row = replace(case.conversation, messages=case.conversation.messages[: index + 1], keywords=keywords)
        modifiers = {**case.setup.modifiers, "keep": Keep.LAST_RESPONSE.value}
        rows.append(replace(_with_conversation(case, row), modifiers=modifiers))
    return rows


def use_verified_ids(case: Case) -> list[Setup]:
    """The strategy with ids that were verified over varied conversations. Raises RemedyError if there are none."""
    markers = _markers(case)
    needs = needs_of(case.setup.strategy)
    if not markers.found or any(markers.options()[name] is None for name in needs):
        raise RemedyError(markers.advice)
    ids = {name: markers.options()[name] for name in needs}
    return [replace(case.setup, options={**case.setup.options, **ids})]


def _markers(case: Case) -> Markers:
    """Markers over the built-in conversations and this one, exact labels as the truth."""
    return propose_markers(inspect_rendered(case.model, (*sample_conversations(), case.conversation)))


def train_exact_labels(case: Case) -> list[Setup]:
    """The exact strategy."""
    return [replace(case.setup, strategy=EXACT, options={})]


def label_anew(case: Case) -> list[Setup]:
    """The messages read back from a row's ids. Raises RemedyError if none can be read."""
    if case.conversation.labelled is None:
        return [case.setup]
    example = labelled_example(case.model, case.conversation)
    if example.unread:
        raise RemedyError(f"The messages of this row are unknown: {example.unread}.")
    return [_with_conversation(case, replace(example.conversation, labelled=None))]


def use_training_template(case: Case) -> list[Setup]:
    """The template with generation tags. Raises RemedyError if they cannot be verified."""
    written = write_training_template(case.model)
    if written.template is None:
        raise RemedyError(f"No training template can be proven: {written.reason}")
    return [replace(case.setup, template=written.template)]


def train_every_stop(case: Case) -> list[Setup]:
    """The stop token of every turn trains."""
    return [replace(case.setup, options={**case.setup.options, "stop": StopPolicy.EVERY.value, "closing_header": True})]


def leave_straddlers_out(case: Case) -> list[Setup]:
    """Tokens that merge trained with untrained text do not train."""
    return [replace(case.setup, options={**case.setup.options, "straddlers": False})]


def strip_answers(case: Case) -> list[Setup]:
    """The answers without whitespace around them."""
    messages = tuple(
        {**message, "content": message["content"].strip()}
        if message["role"] == "assistant" and isinstance(message.get("content"), str)
        else message
        for message in case.conversation.messages
    )
    return [_with_conversation(case, replace(case.conversation, messages=messages))]


def set_pad_token(case: Case) -> list[Setup]:
    """A padding token that is not another special token."""
    return [replace(case.setup, special_tokens={**case.setup.special_tokens, "pad_token": free_pad_token(case.model)})]


def add_stop_tokens(case: Case) -> list[Setup]:
    """The end marker as eos, and the template's other turn markers as further special tokens."""
    marks = stop_strings(case.model)
    if not marks:
        raise RemedyError("A special token ends this template's answers already.")
    beside = [text for text in dict.fromkeys(_CONTROL.findall(case.model.template)) if text not in marks]
    special_tokens = case.setup.special_tokens
    further = [
        *special_tokens.get(ADDITIONAL, ()),
        *marks[1:],
        *(text for text in beside if not _is_one_token(case.model, text)),
    ]
    added = {"eos_token": marks[0]} | ({ADDITIONAL: list(dict.fromkeys(further))} if further else {})
    return [replace(case.setup, special_tokens={**special_tokens, **added})]


_CONTROL = re.compile(r"<[|\uff5c][^<>|\uff5c\s'\"{}]{1,40}[|\uff5c]>")
"""Matches text in a template that looks like a control token: `<|im_start|>`."""


def _is_one_token(model: Model, text: str) -> bool:
    return len(ids_alone(model.tokenizer, text)) == 1


def free_pad_token(model: Model) -> str:
    """A padding token that is not another special token: one the vocabulary already has for this, or a new `[PAD]`.

    Never eos, nor a token that the chat template writes; the token for unknown text if no text is unknown.
    """
    tokenizer = model.tokenizer
    vocabulary = tokenizer.get_vocab()
    special_tokens = model.special_tokens.items()
    taken = {text for name, text in special_tokens if name not in ("pad_token", "unk_token") and isinstance(text, str)}
    known = [text for text in _PAD_TOKENS if text in vocabulary]
    reserved = sorted(text for text in vocabulary if "reserved_special_token" in text or text.startswith("<unused"))
    usable = (text for text in (*known, *reserved, *_idle_unknown(tokenizer)) if text not in taken)
    return next((text for text in usable if vocabulary[text] != 0 and text not in model.template), "[PAD]")


def _idle_unknown(tokenizer: Tokenizer) -> list[str]:
    """The token for unknown text, if rare characters become their bytes instead."""
    if tokenizer.unk_token is None:
        return []
    ids = ids_alone(tokenizer, "\U00013080\u2e3b")
    return [] if tokenizer.unk_token_id in ids else [tokenizer.unk_token]


_PAD_TOKENS = (
    "<|finetune_right_pad_id|>",
    "<|pad|>",
    "<pad>",
    "[PAD]",
    "<|vision_pad|>",
    "<PAD>",
    "<|PAD_TOKEN|>",
)
"""Padding tokens that vocabularies already contain."""


def drop_max_length(case: Case) -> list[Setup]:
    """No truncation."""
    return [replace(case.setup, modifiers={k: v for k, v in case.setup.modifiers.items() if k != "max_length"})]


def fold_system(case: Case) -> list[Setup]:
    """The system text at the start of the first user message."""
    system = [m for m in case.conversation.messages if m["role"] in ("system", "developer")]
    others = [dict(m) for m in case.conversation.messages if m["role"] not in ("system", "developer")]
    first = next((m for m in others if m["role"] == "user" and isinstance(m.get("content"), str)), None)
    texts = [m.get("content") for m in system]
    if first is None or not all(isinstance(text, str) for text in texts):
        raise RemedyError("The system text cannot be joined: no user message with plain text to put it into.")
    first["content"] = "\n\n".join([*map(str, texts), str(first["content"])])
    return [_with_conversation(case, replace(case.conversation, messages=tuple(others)))]


def join_messages(case: Case) -> list[Setup]:
    """Consecutive messages of one role in one message."""
    joined: list[dict[str, Any]] = []
    for message in case.conversation.messages:
        before = joined[-1] if joined else None
        both = [m.get("content") for m in (before or {}, message)]
        if before is not None and before["role"] == message["role"] and all(isinstance(text, str) for text in both):
            before["content"] = "\n\n".join(map(str, both))
        else:
            joined.append(dict(message))
    return [_with_conversation(case, replace(case.conversation, messages=tuple(joined)))]


def write_plain_content(case: Case) -> list[Setup]:
    """Content as text: lists joined, nulls empty."""
    return [_with_conversation(case, with_plain_content(case.conversation))]


def _with_conversation(case: Case, conversation: Conversation) -> Setup:
    value = conversation.to_json()
    return replace(case.setup, conversation=value if len(value) > 1 else value["messages"])
