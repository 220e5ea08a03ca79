"""Findings about rows that came with ids and labels: one small function per code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.places import message_of
from inspector.rendering.origins import common_start
from inspector.strategies import OWN_LABELS, Example, Labelled, Reason
from inspector.strategies.traced import traced
from inspector.tokens import ids_by

REMEDY = "The labels are the row's own: fix what made them, or train the messages by a strategy."
"""The remedy for findings about a row's own labels."""
_ABOUT_LABELS = frozenset(
    {Code.FOREIGN_TEXT_IN_LOSS, Code.STOP_TOKEN_NOT_TRAINED, Code.PROMPT_TEXT_IN_LOSS, Code.BOUNDARY_MERGE}
)


def with_own_remedy(example: Example, finding: Finding) -> Finding:
    """The finding with a remedy that fits a row that came with labels: no strategy made them."""
    if example.conversation.labelled is None or finding.code not in _ABOUT_LABELS:
        return finding
    return replace(finding, remedy=REMEDY)


def find_turns_not_read(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Rows whose turns are unknown, so that the owner of the trained text is unknown."""
    if example.unread:
        yield Finding(
            code=Code.TURNS_NOT_READ,
            severity=Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"Whose text is trained is unknown: {example.unread}.",
            remedy="Choose the template that the row was made with; without its turns only ids and labels are checked.",
        )


def find_labels_differ(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Tokens that the row's labels train and `traced` does not, or the reverse."""
    if example.unread or labelled.strategy != OWN_LABELS:
        return
    exact, own, cut = traced(example).trained, labelled.trained, Reason.CUT
    more, less = (
        [i for i in range(len(own)) if own[i] is bit is not exact[i] and labelled.reasons[i] is not cut]
        for bit in (True, False)
    )
    if not more and not less:
        return
    is_moved = (False, *own[:-1])[1:] == exact[1:] and any(own)
    parts = [f"they train {_named(example, more)} that it does not"] if more else []
    parts += [f"they leave out {_named(example, less)} that it trains"] if less else []
    moved = " Moved by one token they are those of traced: they are about the next token." if is_moved else ""
    first = min(more + less)
    yield Finding(
        code=Code.LABELS_DIFFER,
        severity=Severity.WARNING if is_moved else Severity.NOTE,
        message_index=message_of(example, first),
        token_span=(first, first + 1),
        detail=f"The row's labels are not those of traced: {', and '.join(parts)}.{moved}",
        remedy="Read the rows with format: labelled_shifted."
        if is_moved
        else "Nothing to do if that is meant; traced trains what the assistant writes, up to its stop token.",
    )


def _named(example: Example, indices: Sequence[int]) -> str:
    count = "1 token" if len(indices) == 1 else f"{len(indices)} tokens"
    index = message_of(example, indices[0])
    who = "the template's text" if index is None else f"message {index} ({example.conversation.role(index)})"
    return f"{count} (first token {indices[0]}, {example.tokens.texts[indices[0]]!r}, of {who})"


def find_ids_differ(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Ids that differ from those the tokenizer gives for their text."""
    if example.conversation.labelled is None or "\ufffd" in example.rendered.text:
        return
    ids, own = example.tokens.ids, ids_by(example.encoder, example.tokenizer, example.rendered)
    if list(ids) == own:
        return
    at = common_start(ids, own)
    there, wanted = (list(one[at : at + 3]) for one in (ids, own))
    yield Finding(
        code=Code.IDS_DIFFER,
        severity=Severity.WARNING if any(labelled.trained[at:]) else Severity.NOTE,
        message_index=message_of(example, at) if at < len(ids) else None,
        token_span=(at, at + 1) if at < len(ids) else None,
        detail=f"The ids are not those that the tokenizer gives for the text: from token {at} on they are {there}, and "
        f"the tokenizer gives {wanted}.",
        remedy="Tokenize the text as a whole, as it is at inference: texts that are tokenized apart meet in other "
        "tokens; or take the tokenizer that made the row.",
    )


LABEL_FINDERS: tuple[Callable[[Example, Labelled], Iterable[Finding]], ...] = (
    find_turns_not_read,
    find_labels_differ,
    find_ids_differ,
)
"""All of them."""
