"""A conversation -> an Example: its render, its tokens and its turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TokenizationError
from inspector.model.encoders import JINJA
from inspector.model.hub import Model
from inspector.model.tokenizer import Tokenizer
from inspector.pictures import expanded, expanded_text, without_data
from inspector.read_back import read_back
from inspector.rendering import sandbox
from inspector.strategies import Example
from inspector.tokens import tokenize
from inspector.turns import find_turns


def make_example(model: Model, conversation: Conversation, source: str) -> Example:
    """Render a conversation with the template `source` and tokenize it. Raises as `inspect`, except StrategyError."""
    rendered, pictures = expanded(
        model.processor, conversation, sandbox.render(source, prepared(model, conversation), model.special_tokens)
    )
    tokens = tokenize(model.tokenizer, rendered, model.encoder)
    if model.encoder.text_becomes_control:
        _check_ids(model.tokenizer, rendered.text, list(tokens.ids))
    return Example(
        conversation=conversation,
        rendered=rendered,
        tokens=tokens,
        turns=find_turns(conversation, rendered, tokens),
        tokenizer=model.tokenizer,
        template=source,
        render_texts=partial(_render_texts, model, source),
        remake=partial(make_example, model),
        encoder=model.encoder,
        official=partial(_official, model, conversation, source),
        alternative=model.alternative,
        embeddings=model.embeddings,
        pictures=pictures,
    )


def prepared(model: Model, conversation: Conversation) -> Conversation:
    """The conversation as it is passed to the model's template."""
    return without_data(model.encoder.prepared(model.tokenizer, conversation))


def _official(model: Model, conversation: Conversation, source: str) -> Sequence[int] | None:
    """The ids that the vendor's library gives a conversation; None if the template is not one of the model's."""
    is_own = source in model.templates.values() and not model.changed_tokens
    return model.encoder.official(model.tokenizer, conversation) if is_own else None


def _render_texts(
    model: Model, source: str, conversations: Sequence[Conversation], *, plain_jinja: bool = False
) -> list[str | InspectorError]:
    variables = model.config_variables if plain_jinja else model.special_tokens
    shown = [prepared(model, conversation) for conversation in conversations]
    texts = sandbox.texts(source, shown, variables, plain_jinja=plain_jinja)
    return [
        text if isinstance(text, InspectorError) else expanded_text(model.processor, conversation, text)
        for conversation, text in zip(conversations, texts, strict=True)
    ]


def labelled_example(model: Model, conversation: Conversation) -> Example:
    """The example of a row that came with ids and labels: its tokens are these ids, and nothing is tokenized again.

    Its messages are read back from the text, if the template writes the same text for them.
    """
    assert conversation.labelled is not None
    found = read_back(model, conversation.labelled.ids)
    return Example(
        conversation=replace(found.conversation, labelled=conversation.labelled, changes=conversation.changes),
        rendered=found.rendered,
        tokens=found.tokens,
        turns=find_turns(found.conversation, found.rendered, found.tokens),
        tokenizer=model.tokenizer,
        template=found.template,
        render_texts=partial(_render_texts, model, found.template),
        remake=partial(make_example, model),
        unread=found.why,
        encoder=model.encoder if found.is_encoders else JINJA,
        embeddings=model.embeddings,
    )


def _check_ids(tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
    """Raise TokenizationError for ids other than those of apply_chat_template, which makes exactly this call."""
    encoded = tokenizer(text, padding=False, truncation=False, add_special_tokens=False, verbose=False)
    expected = list(encoded["input_ids"])
    if ids != expected:
        first = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), len(expected))
        raise TokenizationError(
            f"{type(tokenizer).__name__} gives other ids when it reports offsets, from token {first} on; a trainer "
            "would train ids that are not the ones shown. Please report the model."
        )
