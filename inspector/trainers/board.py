"""A table of models: whether each renders, is exact, and what trainers train; and the differences of two models.

The conversations are those used to prove generation tags (`tagging.conversations`): chats, tools, reasoning, and known
problems of templates. The trainers are judged by one chat of two turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError, ModelError, excerpt
from inspector.findings.codes import Code
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.rendering.origins import common_start
from inspector.strategies import FACTS
from inspector.tagging.conversations import proof_conversations
from inspector.tagging.write import write_training_template
from inspector.trainers.compare import Entry, compare_with
from inspector.trainers.verdict import Level

CHAT = "two turns"
"""The conversation that the trainers are judged by."""
_INEXACT = (Code.TURN_UNKNOWN, Code.NO_TRAINED_TOKENS, Code.CONTENT_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The results for a model. Counts are of conversations.

    `problem`: why there are no results, or "". `rendered`: those that the template takes, of `tried`. `exact`: those of
    them in which every answer is complete and its turn known. `same_as_official`: those with the same ids from the
    official encoder, of the `official` that it takes. `is_tagged`: whether generation tags are proven. `trainers`: the
    result of each known trainer on one chat, in a few words, worst first; `levels`: how good that is.
    """

    model: str
    template: str = ""
    encoder: str = ""
    problem: str = ""
    tried: int = 0
    rendered: int = 0
    exact: int = 0
    official: int = 0
    same_as_official: int = 0
    is_tagged: bool = False
    trainers: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return asdict(self)


def standing_of(model: Model) -> Standing:
    """Try a model over the conversations."""
    rendered = list(_inspected(model))
    official = [(one, ids) for _, one in rendered if (ids := one.example.official()) is not None]
    chat = next((one for name, one in rendered if name == CHAT), None)
    verdicts = {} if chat is None else {entry.verdict.trainer: entry.verdict for entry in _known(chat)}
    problem = "" if rendered else "The template takes none of the conversations."
    return Standing(
        model=model.name,
        template=model.template_hash,
        encoder=model.encoder.name,
        problem=problem,
        tried=len(proof_conversations()),
        rendered=len(rendered),
        exact=sum(_is_exact(one) for _, one in rendered),
        official=len(official),
        same_as_official=sum(list(ids) == one.ids for one, ids in official),
        is_tagged=write_training_template(model).proven,
        trainers={trainer: verdict.short for trainer, verdict in verdicts.items()},
        levels={trainer: verdict.level for trainer, verdict in verdicts.items()},
    )


def unusable(name: str, error: ModelError) -> Standing:
    """The entry of a model that does not load."""
    return Standing(model=name, problem=str(error))


def _inspected(model: Model) -> Iterator[tuple[str, Inspection]]:
    for name, conversation in proof_conversations().items():
        if inspection := _inspect(model, conversation):
            yield name, inspection


def _inspect(model: Model, conversation: Conversation) -> Inspection | None:
    try:
        return inspect(model, conversation)
    except InspectorError:
        return None


def _is_exact(inspection: Inspection) -> bool:
    """Whether every answer is in the tokens, with its turn known; true for a conversation without answers."""
    answers = set(inspection.example.conversation.assistant_indices())
    lost = {finding.message_index for finding in inspection.findings if finding.code in _INEXACT}
    return not answers & lost and not (answers and None in lost)


def _known(chat: Inspection) -> list[Entry]:
    """The results of the known trainers on the chat, worst first: the first entry of each."""
    compared = compare_with(chat)
    first: dict[str, Entry] = {}
    for entry in compared.entries:
        if FACTS[entry.strategy].is_known:
            first.setdefault(entry.verdict.trainer, entry)
    return [entry for entry in compared.by_verdict if entry is first.get(entry.verdict.trainer)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parting:
    """The first difference of two models in a conversation. `what`: text, ids, or mask; `detail`: the difference."""

    conversation: str
    what: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return asdict(self)


def partings(one: Model, other: Model) -> Iterator[Parting]:
    """The conversations in which two models differ: revisions of one, or a model and its converted copy."""
    for name, conversation in proof_conversations().items():
        first, second = _inspect(one, conversation), _inspect(other, conversation)
        if first is None or second is None:
            if first is not second:
                taken, refused = (one, other) if first else (other, one)
                yield Parting(
                    conversation=name, what="text", detail=f"{taken.name} renders it, {refused.name} does not"
                )
        elif parting := _parting(name, first, second):
            yield parting


def _parting(name: str, one: Inspection, other: Inspection) -> Parting | None:
    for what, ours, theirs in (
        ("text", one.text, other.text), ("ids", one.ids, other.ids), ("mask", one.trained, other.trained)
    ):  # fmt: skip
        if ours != theirs:
            detail = _detail(what, common_start(ours, theirs), one, other)
            return Parting(conversation=name, what=what, detail=detail)
    return None


def _detail(what: str, at: int, one: Inspection, other: Inspection) -> str:
    if what == "text":
        return f"character {at}: {excerpt(one.text, at)} and {excerpt(other.text, at)}"
    texts = one.example.tokens.texts
    token = f"token {at} {texts[at]!r}" if at < len(texts) else f"token {at}"
    if what == "ids":
        return f"{token}: {one.ids[at : at + 1] or 'nothing'} and {other.ids[at : at + 1] or 'nothing'}"
    return f"{token} is trained with {one.model.name if one.trained[at] else other.model.name} alone"
