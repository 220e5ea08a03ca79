"""Why a run trains what it should not: a cause is named only where the batches themselves show it.

In: a problem, the checked rows, and what is known of the run. Out: the problem with its cause and what to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.live.report import CheckedRow, Problem
from inspector.live.rows import Oddity
from inspector.model.model import Model
from inspector.paths import shell_command
from inspector.trainers.verdict import Kind

_COMMAND = shell_command("inspector")
Cause = tuple[str, str]
"""What is wrong, and what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is known of a run: the trainer's `args` and what makes its batches, None where there are none.

    `is_completion`: its rows are prompts and completions, of which the completions are meant. `is_scored`: its model
    gives a row one score.
    """

    name: str
    model: Model
    settings: Any = None
    collator: Any = None
    is_completion: bool = False
    is_scored: bool = False

    def setting(self, name: str) -> Any:
        """A setting by its name; None where there is none."""
        return getattr(self.settings, name, None)


def cause_of(run: Run, rows: Sequence[CheckedRow], problem: Problem) -> Problem:
    """The problem with the first cause that the rows show."""
    if problem.cause:
        return problem
    found = _OF_ODDITIES.get(problem.kind)
    found = found or next(filter(None, (find(run, rows) for kinds, find in _CAUSES if problem.kind in kinds)), None)
    return problem if found is None else replace(problem, cause=found[0], remedy=found[1])


def _pad_is_stop(run: Run, rows: Sequence[CheckedRow]) -> Cause | None:
    """Every missing stop token has the id of the padding token, and no token of that id is trained."""
    pad = run.model.tokenizer.pad_token_id
    missing = [(row.row.ids, part) for row in rows for part in row.verdict.missing if part.kind is Kind.STOP]
    stops = {ids[i] for ids, part in missing for i in part.tokens}
    trained = any(id == pad for row in rows for id in itertools.compress(row.row.ids, row.row.trained or ()))
    if pad is None or not stops or trained or stops != {pad}:
        return None
    return (
        f"The padding token is the stop token ({run.model.tokenizer.pad_token!r}, id {pad}), and the collator leaves "
        "every token of that id out of the loss.",
        "Give the tokenizer a padding token of its own, or a collator that masks padding by the attention mask; with "
        "the stop left out the model never learns to end its answers.",
    )


def _template_not_found(run: Run, rows: Sequence[CheckedRow]) -> Cause | None:
    """The collator searches for ids that are in none of the rows where nothing is trained."""
    ids = getattr(run.collator, "response_token_ids", None)
    untrained = [row for row in rows if row.row.trained is not None and not any(row.row.trained)]
    if not isinstance(ids, list) or not ids or not untrained:
        return None
    if any(_holds(row.row.ids, ids) for row in untrained):
        return None
    return (
        f"The collator searches for the ids {ids} of its response template, and none of the rows without a trained "
        "token holds them: in context the same text is tokenized otherwise.",
        f"Give it ids as they are in context; `{_COMMAND} markers {run.model.name}` proposes verified ones.",
    )


def _holds(ids: Sequence[int], wanted: Sequence[int]) -> bool:
    return any(list(ids[i : i + len(wanted)]) == list(wanted) for i in range(len(ids) - len(wanted) + 1))


def _everything_is_trained(run: Run, rows: Sequence[CheckedRow]) -> Cause | None:
    """Each row trains all of its tokens, and the trainer has a setting against that which is off."""
    judged = [row.row.trained for row in rows if row.row.trained]
    if not judged or not all(all(bits[1:]) for bits in judged):
        return None
    if run.setting("completion_only_loss") is False:
        return (
            "Every token is trained: completion_only_loss is False, so that prompts train, too.",
            "Leave completion_only_loss out, or set it to True.",
        )
    if run.setting("assistant_only_loss") is False:
        return (
            "Every token is trained: assistant_only_loss is off, so that messages train whole.",
            "Set assistant_only_loss=True, with a template that has {% generation %} tags; or give rows with prompt "
            "and completion.",
        )
    return (
        "Every token is trained: the labels are a copy of the ids.",
        "Set labels to -100 outside the answers, or check with strategy='full' if that is what you mean.",
    )


def _is_cut(run: Run, rows: Sequence[CheckedRow]) -> Cause | None:
    """The rows that end early are as long as the setting allows."""
    limit = run.setting("max_length") or run.setting("max_seq_length")
    cut = [row for row in rows if row.cut]
    if limit is None or any(len(row.row.ids) != limit for row in cut):
        return None
    return (
        f"Rows are cut at max_length={limit}.",
        f"Raise max_length, or leave rows out that are longer: `{_COMMAND} audit` counts them.",
    )


_CAUSES: tuple[tuple[tuple[str, ...], Callable[[Run, Sequence[CheckedRow]], Cause | None]], ...] = (
    ((f"missing:{Kind.STOP}",), _pad_is_stop),
    ((f"missing:{Kind.ANSWER}",), _template_not_found),
    (tuple(f"extra:{kind}" for kind in Kind), _everything_is_trained),
    (("cut",), _is_cut),
)
"""Kinds of problems, and what looks for their cause in the rows."""
_OF_ODDITIES: Mapping[str, Cause] = {
    Oddity.LEAK: (
        "The batch has neither position_ids that begin anew, nor lengths of its sequences, nor a mask of blocks.",
        "Set padding_free=True (TRL) or use DataCollatorWithFlattening, with an attention that reads them.",
    ),
    Oddity.MASKED: (
        "The batch has both position_ids and an attention_mask: transformers reads where sequences start off "
        "position_ids only where there is no mask.",
        "Leave attention_mask out of packed batches, or give a mask of blocks.",
    ),
    Oddity.HIDDEN: (
        "The attention mask is 0 between tokens of the text. A mask that is made by comparing ids with the padding "
        "token does that where padding and stop token are the same.",
        "Make the mask from the rows' lengths, as tokenizer.pad does.",
    ),
    Oddity.SHIFTED: (
        "A label is the id of the next token. Models of transformers compare the label at a place with what they "
        "predicted one place before.",
        "Use the ids themselves as labels, -100 where nothing is trained.",
    ),
    Oddity.PADDING: (
        "Labels where the attention mask is 0 are not -100.",
        "Set them to -100, as DataCollatorForSeq2Seq and TRL's collators do.",
    ),
}
"""An oddity of a batch shows its own cause."""
