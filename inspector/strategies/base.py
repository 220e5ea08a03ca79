"""The input and the output of a strategy: an Example, and one trained bit and one reason per token."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self, TypeVar

from inspector.conversation import IGNORED as IGNORED
from inspector.conversation import Conversation, Message, Step
from inspector.errors import InspectorError, RenderError, StrategyError, StrategyRefusedError
from inspector.model.encoders import JINJA, Encoder
from inspector.model.model import Alternative
from inspector.model.tokenizer import Tokenizer, ids_alone
from inspector.pictures import Picture
from inspector.rendering.rendered import Rendered
from inspector.tokens import TokenTable, tokenize
from inspector.turns import Turn, find_turns


class Reason(StrEnum):
    """The reason why a token is trained or not."""

    ANSWER = "answer"
    """Trained: the assistant's own words."""
    SCAFFOLD = "scaffold"
    """Trained: template text inside the answer, which the model has to write (`<think>`, a closing tag)."""
    STOP = "stop"
    """Trained: the token that ends the turn."""
    EVERY_TOKEN = "every_token"
    """Trained: the policy trains everything."""
    TRAINED_BY_RULE = "trained_by_rule"
    """Trained: the rule of a reproduced trainer, which knows tokens or text but not their owners."""
    OWN_LABEL = "own_label"
    """Trained: the label that the row came with."""
    FIRST_TOKEN = "first_token"
    """Not trained: nothing comes before the first token that could predict it."""
    CONTEXT = "context"
    """Not trained: not the text of a turn that is trained."""
    HEADER = "header"
    """Not trained: the generation prompt supplies it at inference."""
    AFTER_STOP = "after_stop"
    """Not trained: comes after the stop token, where the model no longer writes."""
    GENERATION_PROMPT = "generation_prompt"
    """Not trained: the header of an answer that is still to come."""
    POLICY = "policy"
    """Not trained: part of an assistant turn that the chosen policy leaves out."""
    STRADDLER = "straddler"
    """Not trained: merges trained with untrained characters, and the policy leaves such tokens out."""
    LEFT_OUT = "left_out"
    """Not trained: the rule of a reproduced trainer."""
    NO_LABEL = "no_label"
    """Not trained: the labels that the row came with leave it out."""
    LOST = "lost"
    """Not trained: the markers that the rule searches for were not found here."""
    CUT = "cut"
    """Not trained: truncation removes the token."""

    @property
    def is_trained(self) -> bool:
        """Whether this is a reason for training."""
        return self in _TRAINED


_TRAINED = frozenset(
    {Reason.ANSWER, Reason.SCAFFOLD, Reason.STOP, Reason.EVERY_TOKEN, Reason.TRAINED_BY_RULE, Reason.OWN_LABEL}
)


EXACT = "traced"
"""Our own strategy: exactly what the assistant writes."""
OWN_LABELS = "own_labels"
"""The strategy of a row that came with labels: these train, whatever strategy is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The trainer that a strategy reproduces, and the facts that the rest of the inspector needs about it.

    `trainer`: the project, as its users call it. `title`: the strategy's name in lists, if that is not the trainer.
    `setting`: the users' setting for this mask. `version`: that of the code it was checked against. `searches_from`:
    for a strategy that searches for a marker, the first answer that it certainly searches for (-1: the last); None if
    it does not search. `reads_tags`: whether it uses `{% generation %}` tags. `changes`: the conversation that the
    trainer passes to a template (conversation, template -> conversation), for rows that may render only after that.
    `takes`: options that proposed markers can fill, besides the required ones. `makes`: the changes of a row that its
    trainer makes itself. `reads_rows`: it converts rows itself, so it gets them unchanged. `takes_images`: it takes
    only rows with images. `is_compared`: it is part of the default comparison; `is_known`: it comes among the first
    there.
    """

    trainer: str
    setting: str = ""
    title: str = ""
    version: str = ""
    searches_from: int | None = None
    reads_tags: bool = False
    changes: Callable[[Conversation, str], Conversation] | None = None
    takes: tuple[str, ...] = ()
    makes: frozenset[Step] = frozenset()
    reads_rows: bool = False
    takes_images: bool = False
    is_compared: bool = True
    is_known: bool = False


FACTS: dict[str, Facts] = {}
"""The facts of every strategy by name; each is written at its function."""

Strategy = TypeVar("Strategy", bound=Callable[..., Any])


def facts(trainer: str, setting: str = "", **more: Any) -> Callable[[Strategy], Strategy]:
    """Register a strategy's facts, and leave the function as it is."""

    def register(strategy: Strategy) -> Strategy:
        FACTS[strategy.__name__] = Facts(trainer=trainer, setting=setting, **more)
        return strategy

    return register


REASON_TEXTS: Mapping[Reason, str] = {
    Reason.ANSWER: "trained: the assistant's own words",
    Reason.SCAFFOLD: "trained: template text inside the answer, which the model has to write",
    Reason.STOP: "trained: the stop token of the turn",
    Reason.EVERY_TOKEN: "trained: the policy trains every token",
    Reason.TRAINED_BY_RULE: "trained: the strategy's rule",
    Reason.OWN_LABEL: "trained: the row's own labels",
    Reason.FIRST_TOKEN: "not trained: nothing before the first token could predict it",
    Reason.CONTEXT: "not trained: not the text of a trained turn",
    Reason.HEADER: "not trained: the generation prompt supplies it",
    Reason.AFTER_STOP: "not trained: stands after the stop token",
    Reason.GENERATION_PROMPT: "not trained: a trailing generation prompt",
    Reason.POLICY: "not trained: left out by the policy",
    Reason.STRADDLER: "not trained: merges trained with untrained characters",
    Reason.LEFT_OUT: "not trained: the strategy's rule",
    Reason.NO_LABEL: "not trained: the row's own labels",
    Reason.LOST: "not trained: the strategy's markers were not found",
    Reason.CUT: "not trained: cut off by the truncation",
}
"""One short sentence for each reason."""


def _no_renderer(*_: Any, **__: Any) -> Any:
    raise StrategyError("This example was made without its model, so the strategy cannot render a changed one.")


def _no_opinion() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A rendered and tokenized conversation, which a strategy labels.

    `template`: the Jinja source it was rendered with. `render_texts`: renders other conversations with the same
    template, each to a text or an error; with `plain_jinja=True` as `plain_jinja` does. `remake`: makes the example of
    a conversation with another template. Both render in the sandbox. `unread`: for a row that came with ids, why no
    turns could be read back from them, or "". `encoder`: the encoder that made the ids. `official`: the ids that its
    vendor's library gives the conversation, None if it gives none. `alternative`, `embeddings`: as in Model.
    `pictures`: the images of the conversation, with their places in the text.
    """

    conversation: Conversation
    rendered: Rendered
    tokens: TokenTable
    turns: Mapping[int, Turn]
    tokenizer: Tokenizer
    template: str = ""
    render_texts: Callable[..., list[str | InspectorError]] = field(default=_no_renderer, repr=False, compare=False)
    remake: Callable[[Conversation, str], Example] = field(default=_no_renderer, repr=False, compare=False)
    unread: str = ""
    encoder: Encoder = JINJA
    official: Callable[[], Sequence[int] | None] = field(default=_no_opinion, repr=False, compare=False)
    alternative: Alternative | None = None
    embeddings: int | None = None
    pictures: tuple[Picture, ...] = ()

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.tokens.ids)

    def tokens_of(self, picture: Picture) -> list[int]:
        """The indices of the tokens that stand for an image; empty if the processor puts none into the text."""
        bits = [] if picture.span is None else overlapping(self.tokens.char_spans, [picture.span])
        return [index for index, bit in enumerate(bits) if bit]

    def brief_texts(self) -> list[str]:
        """The tokens' texts as a terminal shows them: an image in words, at its first token."""
        texts = self.tokens.pieces()
        for picture in self.pictures:
            if (tokens := self.tokens_of(picture)) and picture.size is not None:
                texts[tokens[0]] = f"[image {picture.size.height} x {picture.size.width}: {len(tokens)} tokens]"
                texts[tokens[0] + 1 : tokens[-1] + 1] = [""] * (len(tokens) - 1)
        return texts

    def answers(self) -> Iterator[tuple[int, Turn]]:
        """(message index, turn) of each assistant message that has a turn."""
        return ((i, turn) for i, turn in self.turns.items() if self.conversation.role(i) == "assistant")

    def tokenized_whole(self) -> Example:
        """The example of a trainer that tokenizes the rendered text whole; this example if the ids are the same."""
        is_given = self.conversation.labelled is not None
        if self.encoder.text_becomes_control or is_given or self.ids_of(self.rendered.text) == list(self.tokens.ids):
            return self
        tokens = tokenize(self.tokenizer, self.rendered)
        turns = find_turns(self.conversation, self.rendered, tokens)
        return replace(self, tokens=tokens, turns=turns, encoder=JINJA, official=_no_opinion)

    def with_messages(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> Conversation:
        """The conversation with other messages: the same tools, documents and template keywords."""
        keywords = {**self.conversation.keywords, "add_generation_prompt": add_generation_prompt}
        return replace(self.conversation, messages=tuple(messages), keywords=keywords)

    def reworked(self, conversation: Conversation, trainer: str) -> Example:
        """The example of the conversation as a trainer changes it; this example if it changes nothing.

        Raises StrategyRefusedError if the template refuses it.
        """
        if conversation == self.conversation:
            return self
        try:
            return self.remake(conversation, self.template)
        except RenderError as error:
            raise StrategyRefusedError(
                f"{trainer} changes this row before it renders it, and the template refuses what it makes: {error}"
            ) from error

    def texts(
        self,
        conversations: Sequence[Conversation],
        *,
        plain_jinja: bool = False,
        about: Callable[[Conversation], str] | None = None,
    ) -> list[str]:
        """Render other conversations, with `plain_jinja` as inspector.rendering.plain_jinja does.

        Raises StrategyRefusedError if the template refuses one, as the trainers do. `about`: the error's description of
        that conversation, up to `and that fails`.
        """
        texts = []
        rendered = self.render_texts(conversations, plain_jinja=plain_jinja)
        for conversation, text in zip(conversations, rendered, strict=True):
            if isinstance(text, RenderError):
                what = (about or self._also_rendered)(conversation)
                raise StrategyRefusedError(f"{what}, and that fails: {text}") from text
            if isinstance(text, InspectorError):
                raise text
            texts.append(text)
        return texts

    def _also_rendered(self, conversation: Conversation) -> str:
        what = f"the first {len(conversation.messages)} messages" if conversation.messages else "no messages"
        if len(conversation.messages) == len(self.conversation.messages):
            what = "the conversation with a placeholder in it"
        return f"The strategy also renders {what} alone"

    def ids_of(self, text: str) -> list[int]:
        """Ids of a text alone, without the tokens that the tokenizer adds around it."""
        return ids_alone(self.tokenizer, text)

    def ids_of_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text alone, as `ids_of`."""
        from inspector.segments import ids_of_texts  # numpy, which importing the inspector must not load

        return ids_of_texts(self.tokenizer, texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The labels of one strategy. Both tuples have one entry per token.

    `mixed`: indices of the tokens that hold both trained and untrained characters. `cut`: indices of the tokens that
    would be trained without truncation. `warnings`: the trainer's warnings, and those it should give. `example`: the
    labelled example, if the trainer renders the conversation differently from the strategy's input. `strategy`,
    `options`: the requested ones.
    """

    trained: tuple[bool, ...]
    reasons: tuple[Reason, ...]
    mixed: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    example: Example | None = None
    strategy: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def by_rule(
        cls,
        bits: Sequence[bool],
        *,
        why: Reason = Reason.TRAINED_BY_RULE,
        why_not: Reason = Reason.LEFT_OUT,
        lost: Collection[int] = (),
        cut: Collection[int] = (),
        warnings: Sequence[str] = (),
        example: Example | None = None,
    ) -> Self:
        """The labels of a rule that does not know origins: one bit per token, `lost` and `cut` as token indices.

        The first token that is not cut is never trained, whatever its bit: it has no loss.
        """
        reasons = [
            Reason.CUT if index in cut else why if bit else Reason.LOST if index in lost else why_not
            for index, bit in enumerate(bits)
        ]
        first = next((index for index in range(len(bits)) if index not in cut), None)
        if first is not None:
            reasons[first] = Reason.FIRST_TOKEN
        return cls(
            trained=tuple(reason.is_trained for reason in reasons),
            reasons=tuple(reasons),
            cut=tuple(index for index, bit in enumerate(bits) if bit and index in cut),
            warnings=tuple(warnings),
            example=example,
        )

    @property
    def facts(self) -> Facts:
        """The facts of its strategy; None for labels that no strategy made."""
        return FACTS.get(self.strategy, Facts(trainer=""))

    def labels(self, ids: Sequence[int], ignored: int = IGNORED) -> list[int]:
        """The labels for a trainer: the id if trained, else `ignored`."""
        return [id if trained else ignored for id, trained in zip(ids, self.trained, strict=True)]


def overlapping(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """A bit per token: whether its characters overlap one of the spans, which may be in any order."""
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted(spans):
        if ends and start < ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    places = ((bisect_right(ends, start), end) for start, end in offsets)
    return [place < len(ends) and starts[place] < end for place, end in places]


def ranges_of(indices: Iterable[int]) -> list[tuple[int, int]]:
    """Half-open ranges of consecutive indices, which come in order."""
    out: list[tuple[int, int]] = []
    for index in indices:
        if out and out[-1][1] == index:
            out[-1] = (out[-1][0], index + 1)
        else:
            out.append((index, index + 1))
    return out


def is_trained(example: Example, labelled: Labelled, message_index: int) -> bool:
    """Whether any token of a message's turn is trained."""
    turn = example.turns.get(message_index)
    return turn is not None and any(labelled.trained[i] for i in turn.tokens)
