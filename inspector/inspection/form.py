"""A row of a data set -> the conversation in the form that a model's template takes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from inspector.conversation import IGNORED, IMAGE_COLUMNS, RESERVED_KEYWORDS, Conversation, LabelledIds, Step
from inspector.data.formats import conversation_of, is_labelled_row
from inspector.data.layouts import OF_ROWS
from inspector.data.normal import Source, is_plain, normalized
from inspector.errors import FormatError, RenderError
from inspector.model.hub import Model
from inspector.model.tokenizer import ids_alone
from inspector.pictures import as_processors_take
from inspector.read_back import check_ids
from inspector.rendering import sandbox
from inspector.rendering.takes import TemplateTakes
from inspector.strategies import FACTS, Rule
from inspector.tokens import named_panics


def as_rendered(rule: Rule, model: Model, conversation: Source) -> Conversation:
    """The conversation in the form that the model's template takes; its `changes` hold the changes made.

    A row that came with ids and labels stays as it is. Raises ConversationError, FormatError.
    """
    facts = FACTS.get(rule.strategy)
    reads_rows = facts is not None and facts.reads_rows and not is_labelled_row(conversation)
    as_given = ("all",) if reads_rows else rule.modifiers.as_given
    if isinstance(conversation, Conversation):
        plain = conversation
    else:
        names = template_names(model) if isinstance(conversation, Mapping) else ()
        plain = conversation_of(conversation, as_given, names)
    if plain.segments:
        plain = _tokenized(model, plain)
    if plain.labelled is not None:
        check_ids(model, plain.labelled)
        return plain
    if model.processor is not None and not {"all", Step.IMAGES} & set(as_given):
        read = _read_names(model) if not plain.keywords.keys().isdisjoint(IMAGE_COLUMNS) else frozenset()
        plain = as_processors_take(plain, [name for name in IMAGE_COLUMNS if name not in read])
    if is_plain(plain):
        return plain
    _, source = model.template_for(plain.tools is not None)
    return normalized(plain, TemplateTakes.of(source, model.special_tokens), as_given)


def template_names(model: Model) -> frozenset[str]:
    """The names of columns next to the messages that the model reads.

    Those of its template, and images for a processor.
    """
    names = _read_names(model) - RESERVED_KEYWORDS - OF_ROWS - _GIVEN - set(model.special_tokens)
    return names if model.processor is None else names.union(IMAGE_COLUMNS)


def _read_names(model: Model) -> frozenset[str]:
    """The names that the model's template reads, with tools and without."""
    names: set[str] = set()
    for _, source in {model.template_for(True), model.template_for(False)}:
        with suppress(RenderError):  # a template that does not compile raises when it renders
            names |= sandbox.keywords(source)
    return frozenset(names)


_GIVEN = frozenset({"messages", "tools", "documents", "prompt_messages", "chat_template_kwargs"})
"""Columns that are passed to the template in any case."""


def _tokenized(model: Model, conversation: Conversation) -> Conversation:
    """The ids and labels of a row of segments, each tokenized by itself as axolotl does. Raises FormatError."""
    ids: list[int] = []
    labels: list[int] = []
    with named_panics(model.tokenizer):
        for segment in conversation.segments:
            more = ids_alone(model.tokenizer, segment.text)
            ids += more
            labels += more if segment.label else [IGNORED] * len(more)
    if not ids:
        raise FormatError("The row's segments hold no token.")
    return replace(conversation, segments=(), labelled=LabelledIds(tuple(ids), tuple(labels)))
