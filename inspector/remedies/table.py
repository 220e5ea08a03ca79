"""The table of remedies: each with its button, its effect, the findings it is for, and when it is possible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.remedies import actions
from inspector.remedies.remedy import Remedy
from inspector.strategies import EXACT, OWN_LABELS, needs_of


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
    return inspection.strategy not in (EXACT, OWN_LABELS)


def _reads_tags(inspection: Inspection) -> bool:
    return inspection.labelled.facts.reads_tags


def _has_labels(inspection: Inspection) -> bool:
    return inspection.strategy == OWN_LABELS and not inspection.example.unread


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
            actions.drop_generation_prompt,
        ),
        (
            "use_verified_ids",
            "Use verified ids",
            "The strategy searches for ids that were verified over varied conversations.",
            (Code.MARKER_NOT_FOUND, Code.SUFFIX_INCLUDES_NEXT_HEADER),
            _is_searching,
            actions.use_verified_ids,
        ),
        (
            "use_training_template",
            "Use the training template",
            "The template has generation tags that were proven to mark what traced trains.",
            (Code.TAGS_MISPLACED, Code.PROMPT_TEXT_IN_LOSS, Code.NO_TRAINED_TOKENS),
            _reads_tags,
            actions.use_training_template,
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
            actions.train_exact_labels,
        ),
        (
            "label_anew",
            "Label the messages anew",
            "The row is the messages that its ids read as; a strategy labels them, and its own labels are gone.",
            (
                Code.LABELS_DIFFER,
                Code.IDS_DIFFER,
                Code.FOREIGN_TEXT_IN_LOSS,
                Code.PROMPT_TEXT_IN_LOSS,
                Code.NO_TRAINED_TOKENS,
                Code.STOP_TOKEN_NOT_TRAINED,
            ),
            _has_labels,
            actions.label_anew,
        ),
        (
            "train_every_stop",
            "Train every stop token",
            "Every trained turn ends in a trained stop token; where the next header closes it, in that.",
            (Code.STOP_TOKEN_NOT_TRAINED,),
            _is_traced,
            actions.train_every_stop,
        ),
        (
            "add_stop_tokens",
            "Add as special tokens",
            "What ends an answer becomes eos, what opens a turn a special token; a run trains their embeddings.",
            (Code.STOP_IS_TEXT,),
            _always,
            actions.add_stop_tokens,
        ),
        (
            "write_plain_content",
            "Write content as text",
            "Every content is one text: an empty one for null, the texts of a list joined.",
            (Code.CONTENT_UNSUPPORTED,),
            _always,
            actions.write_plain_content,
        ),
        (
            "split_turns",
            "One example per turn",
            "Each assistant turn is a row of its own, with its history as it is rendered at that point.",
            (Code.TEMPLATE_NOT_PREFIX_STABLE, Code.CONTENT_LOST, Code.UNREACHABLE_FIRST_TOKEN),
            _has_history,
            actions.split_turns,
        ),
        (
            "strip_answers",
            "Strip the answers",
            "Whitespace at both ends of the assistant's messages is gone.",
            (Code.BOUNDARY_MERGE,),
            _has_whitespace,
            actions.strip_answers,
        ),
        (
            "leave_straddlers_out",
            "Leave straddlers out",
            "Tokens that merge trained with untrained text are not trained.",
            (Code.BOUNDARY_MERGE,),
            _is_traced,
            actions.leave_straddlers_out,
        ),
        (
            "set_pad_token",
            "Give padding a token of its own",
            "Padding has a token that is neither eos nor id 0; a new one needs resized embeddings.",
            (Code.PAD_IS_EOS, Code.PAD_ID_ZERO),
            _always,
            actions.set_pad_token,
        ),
        (
            "drop_max_length",
            "Keep the whole row",
            "There is no max_length.",
            (Code.TRUNCATED_AWAY, Code.TRUNCATED_RESPONSE, Code.NO_TRAINED_TOKENS),
            _is_truncated,
            actions.drop_max_length,
        ),
        (
            "fold_system",
            "Put the system text into the first question",
            "The system text stands at the start of the first user message.",
            (Code.SYSTEM_UNSUPPORTED,),
            _always,
            actions.fold_system,
        ),
        (
            "join_messages",
            "Join messages of one role",
            "Consecutive messages of one role are one message.",
            (Code.ROLES_MUST_ALTERNATE,),
            _always,
            actions.join_messages,
        ),
    )
)
"""The remedies by name, in the order in which they are offered."""
