"""A model and a conversation -> an Inspection: every token, whose text it is, and whether it trains.

This is the one function that the page colours, the audit counts and the trainer trains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

from inspector.conversation import IGNORED, IMAGE_COLUMNS, RESERVED_KEYWORDS, Conversation, LabelledIds, Step
from inspector.data.formats import conversation_of, is_labelled_row
from inspector.data.layouts import OF_ROWS
from inspector.data.normal import Source, is_plain, normalized
from inspector.errors import (
    FormatError,
    InspectorError,
    RenderError,
    TemplateFailedError,
    TemplateRefusedError,
    TokenizationError,
)
from inspector.findings.codes import Finding
from inspector.findings.example import find_all
from inspector.findings.refusals import explain_refusal
from inspector.model.encoders import JINJA
from inspector.model.hub import Model
from inspector.model.tokenizer import Tokenizer, ids_alone
from inspector.pictures import as_processors_take, expanded, expanded_text, without_data
from inspector.read_back import check_ids, read_back
from inspector.rendering import sandbox
from inspector.rendering.takes import TemplateTakes
from inspector.strategies import (
    EXACT,
    FACTS,
    OWN_LABELS,
    Example,
    Keep,
    Labelled,
    Modifiers,
    Reason,
    Rule,
    behind_prompt,
)
from inspector.tokens import named_panics, tokenize
from inspector.turns import find_turns


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a strategy trains in one conversation, and everything known about its tokens.

    Its lists are made once: copy one before changing it.
    """

    model: Model
    template: str
    rule: Rule
    example: Example
    labelled: Labelled
    findings: tuple[Finding, ...]

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.rule.strategy

    @property
    def options(self) -> Mapping[str, Any]:
        """The strategy's options that were given."""
        return self.rule.options

    @property
    def modifiers(self) -> Modifiers:
        """What was done to the strategy's answer."""
        return self.rule.modifiers

    @property
    def text(self) -> str:
        """The rendered text."""
        return self.example.rendered.text

    @cached_property
    def ids(self) -> list[int]:
        """The token ids: those of `apply_chat_template(tokenize=True)`."""
        return list(self.example.tokens.ids)

    @cached_property
    def trained(self) -> list[int]:
        """1 for each token that is trained, else 0."""
        return [int(bit) for bit in self.labelled.trained]

    @cached_property
    def labels(self) -> list[int]:
        """What a trainer takes: the id where trained, else -100."""
        return self.labelled.labels(self.example.tokens.ids)

    @cached_property
    def row(self) -> tuple[list[int], list[int]]:
        """(input_ids, labels) as a trainer takes them, without what truncation cuts off."""
        ids, labels, kept = self.ids, self.labels, self._kept
        return [ids[i] for i in kept], [labels[i] for i in kept]

    @cached_property
    def row_texts(self) -> list[str]:
        """The texts of the tokens of `row`."""
        return [self.example.tokens.texts[i] for i in self._kept]

    @cached_property
    def row_turns(self) -> list[int | None]:
        """Whose turn each token of `row` is in: the index of the message, None for the template's own text."""
        runs = self.example.tokens.runs
        return [next((run.turn for run in runs[i]), None) for i in self._kept]

    @cached_property
    def _kept(self) -> list[int]:
        return [i for i, reason in enumerate(self.labelled.reasons) if reason is not Reason.CUT]

    def behind(self, prompt_messages: int) -> Inspection:
        """The same with nothing trained in the turns of the first messages, as where only what follows is judged."""
        return replace(self, labelled=behind_prompt(self.example, self.labelled, prompt_messages))

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is made from them is made again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def straddlers(self) -> list[int]:
        """Indices of tokens that merge text across a boundary, of owner or of training."""
        mixed = set(self.labelled.mixed)
        tokens = self.example.tokens
        return [index for index in range(len(tokens)) if index in mixed or tokens.is_straddler(index)]

    def to_dict(self) -> dict[str, Any]:
        """The public, JSON-ready form; its keys are stable.

        `tokens` are exact texts, `char_spans` half-open code point ranges of `text`; `trained`, `tokens`, `ids`,
        `char_spans` and `origins` have one entry per token; `straddlers` are token indices. `images`: of each its
        message, its part there, its height and width in pixels and the characters of `text` that stand for it (null
        where the processor puts nothing in its place, with `why`).
        """
        tokens = self.example.tokens
        return {
            "model": self.model.name,
            "revision": self.model.revision,
            "text": self.text,
            "ids": list(self.ids),
            "tokens": list(tokens.texts),
            "char_spans": [list(span) for span in tokens.char_spans],
            "trained": list(self.trained),
            "origins": [[origin.to_dict() for origin in tokens.origins(i)] for i in range(len(tokens))],
            "straddlers": list(self.straddlers),
            "findings": [finding.to_dict() for finding in self.findings],
            "changes": [change.to_dict() for change in self.example.conversation.changes],
            "encoder": self.model.encoder.name,
            "images": [picture.to_dict() for picture in self.example.pictures],
        }


def inspect(
    model: Model,
    conversation: Source,
    strategy: str = EXACT,
    modifiers: Modifiers | Mapping[str, Any] | None = None,
    **options: Any,
) -> Inspection:
    """Render, tokenize and label one conversation.

    `conversation`: a Conversation, a list of messages, a dict with `messages` and optionally `tools`, `documents` and
    template keywords, or a row of a data set. `modifiers`: what is done to the row and to the strategy's answer (see
    Modifiers), such as `{"max_length": 512}`. `options`: those of the strategy. Raises ConversationError,
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


def as_rendered(rule: Rule, model: Model, conversation: Source) -> Conversation:
    """The conversation in the form that the model's template takes; `changes` says what was changed for it.

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
    """The names of columns beside the messages that the model reads: its template, and its processor images."""
    names = _read_names(model) - RESERVED_KEYWORDS - OF_ROWS - _GIVEN - set(model.special_tokens)
    return names if model.processor is None else names.union(IMAGE_COLUMNS)


def _read_names(model: Model) -> frozenset[str]:
    """The names that the model's template reads, with tools and without."""
    names: set[str] = set()
    for _, source in {model.template_for(True), model.template_for(False)}:
        with suppress(RenderError):  # a template that does not compile says so when it renders
            names |= sandbox.keywords(source)
    return frozenset(names)


_GIVEN = frozenset({"messages", "tools", "documents", "prompt_messages", "chat_template_kwargs"})
"""What the template is given of a row anyway."""


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


def _as_labelled(rule: Rule) -> tuple[Rule, tuple[str, ...]]:
    """The rule of a row that came with labels, and a warning where another one was chosen."""
    modifiers, asked = replace(rule.modifiers, keep=Keep.ALL), []
    if rule.strategy not in (EXACT, OWN_LABELS) or rule.options:
        asked.append(f"the strategy {rule.strategy}" + (" with its options" if rule.options else ""))
    if rule.modifiers.keep != Keep.ALL:
        asked.append(f"keep: {rule.modifiers.keep}")
    warnings = (
        (f"The row's own labels are trained as they are, whatever is chosen: {' and '.join(asked)}.",) if asked else ()
    )
    return Rule(strategy=OWN_LABELS, modifiers=modifiers), warnings


def labelled_example(model: Model, conversation: Conversation) -> Example:
    """The example of a row that came with ids and labels: its tokens are these ids, and nothing is tokenized anew.

    Its messages are those that the text reads as, where the template writes the same text for them.
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


def _given_or_changed(
    rule: Rule, model: Model, conversation: Conversation, source: str
) -> tuple[Example, tuple[str, ...]]:
    """The example of a row; where the template refuses it as it is, of what the trainer makes of it, and a warning."""
    facts = FACTS.get(rule.strategy)
    try:
        return make_example(model, conversation, source), ()
    except (TemplateRefusedError, TemplateFailedError) as error:
        if facts is None or facts.changes is None or (changed := facts.changes(conversation, source)) == conversation:
            if isinstance(error, TemplateFailedError):
                raise _with_cause(model, conversation, error) from error
            raise
        warning = (
            f"The template refuses this row as it is given; what is shown is the row that {facts.trainer} makes of it"
        )
        return make_example(model, changed, source), (f"{warning}. {error}",)


def _with_cause(model: Model, conversation: Conversation, error: TemplateFailedError) -> TemplateFailedError:
    """The error with the field that the template fails at in its text, where that can be shown."""
    finding = diagnose(model, conversation, error)
    if finding is None or "The cause: " not in finding.detail:
        return error
    caused = TemplateFailedError(f"{finding.detail.split('The cause: ')[-1]} {error}")
    caused.finding = finding
    return caused


def inspect_rendered(model: Model, conversations: Iterable[Conversation]) -> list[Inspection]:
    """The inspections of the conversations that the template renders; those that it refuses are left out.

    Raises as `inspect`, but no RenderError.
    """
    out = []
    for conversation in conversations:
        with suppress(RenderError):
            out.append(inspect(model, conversation))
    return out


def make_example(model: Model, conversation: Conversation, source: str) -> Example:
    """Render a conversation with the template `source` and tokenize it. Raises as `inspect`, no StrategyError."""
    rendered, pictures = expanded(
        model.processor, conversation, sandbox.render(source, _prepared(model, conversation), model.special_tokens)
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


def _prepared(model: Model, conversation: Conversation) -> Conversation:
    """The conversation as the model's template is given it."""
    return without_data(model.encoder.prepared(model.tokenizer, conversation))


def _official(model: Model, conversation: Conversation, source: str) -> Sequence[int] | None:
    """The ids that the vendor's library gives a conversation; None where another template is used than the model's."""
    is_own = source in model.templates.values() and not model.changed_tokens
    return model.encoder.official(model.tokenizer, conversation) if is_own else None


def _render_texts(
    model: Model, source: str, conversations: Sequence[Conversation], *, plain_jinja: bool = False
) -> list[str | InspectorError]:
    variables = model.config_variables if plain_jinja else model.special_tokens
    shown = [_prepared(model, conversation) for conversation in conversations]
    texts = sandbox.texts(source, shown, variables, plain_jinja=plain_jinja)
    return [
        text if isinstance(text, InspectorError) else expanded_text(model.processor, conversation, text)
        for conversation, text in zip(conversations, texts, strict=True)
    ]


def diagnose(model: Model, conversation: Conversation, error: InspectorError) -> Finding | None:
    """Why a template refuses a conversation, shown by rendering it without the suspect; None when that is unknown."""
    if not isinstance(error, TemplateRefusedError | TemplateFailedError):
        return None
    if isinstance(error, TemplateFailedError) and isinstance(error.finding, Finding):
        return error.finding
    _, source = model.template_for(conversation.tools is not None)

    def renders(changed: Conversation) -> bool:
        try:
            sandbox.render(source, _prepared(model, changed), model.special_tokens)
        except InspectorError:
            return False
        return True

    return explain_refusal(error, conversation, renders)


def _check_ids(tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
    """The ids must be those of apply_chat_template, which tokenizes the text with exactly this call."""
    encoded = tokenizer(text, padding=False, truncation=False, add_special_tokens=False, verbose=False)
    expected = list(encoded["input_ids"])
    if ids != expected:
        first = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), len(expected))
        raise TokenizationError(
            f"{type(tokenizer).__name__} gives other ids when it reports offsets, from token {first} on; a trainer "
            "would train ids that are not the ones shown. Please report the model."
        )
