"""What a click can do about a finding: a setup in, the changed setup (or one per row) out.

Each remedy is one small function. Nothing here claims that the finding is gone: inspect the new setup and see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import RemedyError
from inspector.findings.codes import Code, Finding
from inspector.findings.refusals import with_plain_content
from inspector.inspection import Inspection, inspect_rendered
from inspector.model.model import ADDITIONAL, Model, Token
from inspector.model.tokenizer import Tokenizer, ids_alone
from inspector.samples import sample_conversations
from inspector.setup import Setup
from inspector.strategies import EXACT, FACTS, Keep, StopPolicy, needs_of
from inspector.tagging.write import write_training_template
from inspector.trainers.markers import Markers, propose_markers
from inspector.trainers.stops import stop_strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a remedy works on: the setup, with its model loaded and its conversation parsed."""

    setup: Setup
    model: Model
    conversation: Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One thing to do. `label`: for a button; `what`: what it does, in a sentence; `codes`: the findings it is for."""

    name: str
    label: str
    what: str
    codes: frozenset[Code]
    is_possible: Callable[[Inspection], bool]
    apply: Callable[[Case], list[Setup]]


def offers(inspection: Inspection) -> dict[Code, tuple[Remedy, ...]]:
    """The remedies for the findings of an inspection, by code; codes without one are left out."""
    out: dict[Code, tuple[Remedy, ...]] = {}
    for code in dict.fromkeys(finding.code for finding in inspection.findings):
        fitting = tuple(r for r in REMEDIES.values() if code in r.codes and r.is_possible(inspection))
        if fitting:
            out[code] = fitting
    return out


def offers_for_refusal(finding: Finding) -> tuple[Remedy, ...]:
    """The remedies for the finding that explains why a template refuses a conversation."""
    names = {
        Code.SYSTEM_UNSUPPORTED: "fold_system",
        Code.ROLES_MUST_ALTERNATE: "join_messages",
        Code.CONTENT_UNSUPPORTED: "write_plain_content",
    }
    return tuple(remedy for remedy in REMEDIES.values() if remedy.name == names.get(finding.code))


def apply_remedy(name: str, setup: Setup, token: Token = None) -> list[Setup]:
    """What to inspect instead: one setup, or one per row where the remedy splits the conversation.

    Raises RemedyError for an unknown remedy or one that changes nothing here, and what loading and inspecting raise.
    """
    if name not in REMEDIES:
        raise RemedyError(f"There is no remedy {name!r}; there are: {', '.join(REMEDIES)}.")
    conversation = Conversation.parse(setup.conversation)
    changed = REMEDIES[name].apply(Case(setup=setup, model=setup.load(token), conversation=conversation))
    if changed == [setup]:
        raise RemedyError(f"{REMEDIES[name].label}: nothing to change here.")
    return changed


# --- what each of them does


def _drop_generation_prompt(case: Case) -> list[Setup]:
    keywords = {k: v for k, v in case.conversation.keywords.items() if k != "add_generation_prompt"}
    return [_with_conversation(case, replace(case.conversation, keywords=keywords))]


def _split_turns(case: Case) -> list[Setup]:
    """One row per assistant turn, each with its history as it is rendered at that point; only its answer trains."""
    keywords = {k: v for k, v in case.conversation.keywords.items() if k != "add_generation_prompt"}
    rows = []
    for index in case.conversation.assistant_indices():
        row = replace(case.conversation, messages=case.conversation.messages[: index + 1], keywords=keywords)
        modifiers = {**case.setup.modifiers, "keep": Keep.LAST_RESPONSE.value}
        rows.append(replace(_with_conversation(case, row), modifiers=modifiers))
    return rows


def _use_verified_ids(case: Case) -> list[Setup]:
    markers = _markers(case)
    needs = needs_of(case.setup.strategy)
    if not markers.found or any(markers.options()[name] is None for name in needs):
        raise RemedyError(markers.advice)
    ids = {name: markers.options()[name] for name in needs}
    return [replace(case.setup, options={**case.setup.options, **ids})]


def _markers(case: Case) -> Markers:
    """Markers over the built-in conversations and this one, exact labels as the truth."""
    return propose_markers(inspect_rendered(case.model, (*sample_conversations(), case.conversation)))


def _train_exact_labels(case: Case) -> list[Setup]:
    return [replace(case.setup, strategy=EXACT, options={})]


def _use_training_template(case: Case) -> list[Setup]:
    written = write_training_template(case.model)
    if written.template is None:
        raise RemedyError(f"No training template can be proven: {written.reason}")
    return [replace(case.setup, template=written.template)]


def _train_every_stop(case: Case) -> list[Setup]:
    return [replace(case.setup, options={**case.setup.options, "stop": StopPolicy.EVERY.value, "closing_header": True})]


def _leave_straddlers_out(case: Case) -> list[Setup]:
    return [replace(case.setup, options={**case.setup.options, "straddlers": False})]


def _strip_answers(case: Case) -> list[Setup]:
    messages = tuple(
        {**message, "content": message["content"].strip()}
        if message["role"] == "assistant" and isinstance(message.get("content"), str)
        else message
        for message in case.conversation.messages
    )
    return [_with_conversation(case, replace(case.conversation, messages=messages))]


def _set_pad_token(case: Case) -> list[Setup]:
    return [replace(case.setup, special_tokens={**case.setup.special_tokens, "pad_token": free_pad_token(case.model)})]


def _add_stop_tokens(case: Case) -> list[Setup]:
    """The end mark as eos, and what else the template frames turns with as further special tokens."""
    marks = stop_strings(case.model)
    if not marks:
        raise RemedyError("A special token ends this template's answers already.")
    beside = [text for text in dict.fromkeys(_CONTROL.findall(case.model.template)) if text not in marks]
    own = case.setup.special_tokens
    further = [*own.get(ADDITIONAL, ()), *marks[1:], *(text for text in beside if not _is_one_token(case.model, text))]
    added = {"eos_token": marks[0]} | ({ADDITIONAL: list(dict.fromkeys(further))} if further else {})
    return [replace(case.setup, special_tokens={**own, **added})]


_CONTROL = re.compile(r"<[|\uff5c][^<>|\uff5c\s'\"{}]{1,40}[|\uff5c]>")
"""What a template writes in the way of a control token: `<|im_start|>`."""


def _is_one_token(model: Model, text: str) -> bool:
    return len(ids_alone(model.tokenizer, text)) == 1


def free_pad_token(model: Model) -> str:
    """A padding token that is not another special token: one the vocabulary already has for this, else a new `[PAD]`.

    Never eos, nor a token that the chat template writes; the token for unknown text where no text is unknown.
    """
    tokenizer = model.tokenizer
    vocabulary = tokenizer.get_vocab()
    own = model.special_tokens.items()
    taken = {text for name, text in own if name not in ("pad_token", "unk_token") and isinstance(text, str)}
    known = [text for text in _PAD_TOKENS if text in vocabulary]
    reserved = sorted(text for text in vocabulary if "reserved_special_token" in text or text.startswith("<unused"))
    usable = (text for text in (*known, *reserved, *_idle_unknown(tokenizer)) if text not in taken)
    return next((text for text in usable if vocabulary[text] != 0 and text not in model.template), "[PAD]")


def _idle_unknown(tokenizer: Tokenizer) -> list[str]:
    """The token for unknown text, where rare characters become their bytes instead."""
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
"""Padding tokens that vocabularies are shipped with."""


def _drop_max_length(case: Case) -> list[Setup]:
    return [replace(case.setup, modifiers={k: v for k, v in case.setup.modifiers.items() if k != "max_length"})]


def _fold_system(case: Case) -> list[Setup]:
    """The system text at the start of the first user message."""
    system = [m for m in case.conversation.messages if m["role"] in ("system", "developer")]
    others = [dict(m) for m in case.conversation.messages if m["role"] not in ("system", "developer")]
    first = next((m for m in others if m["role"] == "user" and isinstance(m.get("content"), str)), None)
    texts = [m.get("content") for m in system]
    if first is None or not all(isinstance(text, str) for text in texts):
        raise RemedyError("The system text cannot be joined: no user message with plain text to put it into.")
    first["content"] = "\n\n".join([*map(str, texts), str(first["content"])])
    return [_with_conversation(case, replace(case.conversation, messages=tuple(others)))]


def _join_messages(case: Case) -> list[Setup]:
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


def _write_plain_content(case: Case) -> list[Setup]:
    return [_with_conversation(case, with_plain_content(case.conversation))]


def _with_conversation(case: Case, conversation: Conversation) -> Setup:
    value = conversation.to_json()
    return replace(case.setup, conversation=value if len(value) > 1 else value["messages"])


# --- the registry


def _always(_: Inspection) -> bool:
    return True


def _asked_for_prompt(inspection: Inspection) -> bool:
    return inspection.example.conversation.adds_generation_prompt


def _has_whitespace(inspection: Inspection) -> bool:
    messages = inspection.example.conversation.messages
    texts = (message.get("content") for message in messages if message["role"] == "assistant")
    return any(isinstance(text, str) and text != text.strip() for text in texts)


def _is_searching(inspection: Inspection) -> bool:
    return bool({"prefix_ids", "response"} & set(needs_of(inspection.strategy)))


def _is_traced(inspection: Inspection) -> bool:
    return inspection.strategy == EXACT


def _is_reproduced(inspection: Inspection) -> bool:
    return inspection.strategy != EXACT


def _reads_tags(inspection: Inspection) -> bool:
    return FACTS[inspection.strategy].reads_tags


def _has_history(inspection: Inspection) -> bool:
    return len(inspection.example.conversation.assistant_indices()) > 1


def _is_truncated(inspection: Inspection) -> bool:
    return inspection.modifiers.max_length is not None


def _registry(remedies: Iterable[Remedy]) -> Mapping[str, Remedy]:
    return {remedy.name: remedy for remedy in remedies}


REMEDIES = _registry(
    Remedy(name=name, label=label, what=what, codes=frozenset(codes), is_possible=is_possible, apply=apply)
    for name, label, what, codes, is_possible, apply in (
        (
            "drop_generation_prompt",
            "Drop the generation prompt",
            "add_generation_prompt is off: the row ends with its last message.",
            (Code.TRAILING_GENERATION_PROMPT,),
            _asked_for_prompt,
            _drop_generation_prompt,
        ),
        (
            "use_verified_ids",
            "Use verified ids",
            "The strategy searches for ids that were verified over varied conversations.",
            (Code.MARKER_NOT_FOUND, Code.SUFFIX_INCLUDES_NEXT_HEADER),
            _is_searching,
            _use_verified_ids,
        ),
        (
            "use_training_template",
            "Use the training template",
            "The template has generation tags that were proven to mark what traced trains.",
            (Code.TAGS_MISPLACED, Code.PROMPT_TEXT_IN_LOSS, Code.NO_TRAINED_TOKENS),
            _reads_tags,
            _use_training_template,
        ),
        (
            "train_exact_labels",
            "Train exact labels",
            "The strategy is traced: exactly what the assistant writes.",
            (
                Code.MARKER_NOT_FOUND,
                Code.SUFFIX_INCLUDES_NEXT_HEADER,
                Code.FOREIGN_TEXT_IN_LOSS,
                Code.PROMPT_TEXT_IN_LOSS,
                Code.NO_TRAINED_TOKENS,
                Code.STOP_TOKEN_NOT_TRAINED,
                Code.TAGS_MISPLACED,
            ),
            _is_reproduced,
            _train_exact_labels,
        ),
        (
            "train_every_stop",
            "Train every stop token",
            "Every trained turn ends in a trained stop token; where the next header closes it, in that.",
            (Code.STOP_TOKEN_NOT_TRAINED,),
            _is_traced,
            _train_every_stop,
        ),
        (
            "add_stop_tokens",
            "Add as special tokens",
            "What ends an answer becomes eos, what opens a turn a special token; a run trains their embeddings.",
            (Code.STOP_IS_TEXT,),
            _always,
            _add_stop_tokens,
        ),
        (
            "write_plain_content",
            "Write content as text",
            "Every content is one text: an empty one for null, the texts of a list joined.",
            (Code.CONTENT_UNSUPPORTED,),
            _always,
            _write_plain_content,
        ),
        (
            "split_turns",
            "One example per turn",
            "Each assistant turn is a row of its own, with its history as it is rendered at that point.",
            (Code.TEMPLATE_NOT_PREFIX_STABLE, Code.CONTENT_LOST, Code.UNREACHABLE_FIRST_TOKEN),
            _has_history,
            _split_turns,
        ),
        (
            "strip_answers",
            "Strip the answers",
            "Whitespace at both ends of the assistant's messages is gone.",
            (Code.BOUNDARY_MERGE,),
            _has_whitespace,
            _strip_answers,
        ),
        (
            "leave_straddlers_out",
            "Leave straddlers out",
            "Tokens that merge trained with untrained text are not trained.",
            (Code.BOUNDARY_MERGE,),
            _is_traced,
            _leave_straddlers_out,
        ),
        (
            "set_pad_token",
            "Give padding a token of its own",
            "Padding has a token that is neither eos nor id 0; a new one needs resized embeddings.",
            (Code.PAD_IS_EOS, Code.PAD_ID_ZERO),
            _always,
            _set_pad_token,
        ),
        (
            "drop_max_length",
            "Keep the whole row",
            "There is no max_length.",
            (Code.TRUNCATED_AWAY, Code.TRUNCATED_RESPONSE, Code.NO_TRAINED_TOKENS),
            _is_truncated,
            _drop_max_length,
        ),
        (
            "fold_system",
            "Put the system text into the first question",
            "The system text stands at the start of the first user message.",
            (Code.SYSTEM_UNSUPPORTED,),
            _always,
            _fold_system,
        ),
        (
            "join_messages",
            "Join messages of one role",
            "Consecutive messages of one role are one message.",
            (Code.ROLES_MUST_ALTERNATE,),
            _always,
            _join_messages,
        ),
    )
)
"""Every remedy by its name, in the order in which they are offered."""
