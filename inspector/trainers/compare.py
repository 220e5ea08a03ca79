"""Compares the mask of each trainer with the truth in one conversation.

The conversation is rendered and tokenized once; every strategy labels the same tokens. Strategies that search for ids
or texts get those that `markers` proposes for this conversation, which is the most favourable case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import Conversation, Step
from inspector.errors import InspectorError, StrategyRefusedError
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.notebook import Mask, block, folded, table, token_view
from inspector.strategies import EXACT, FACTS, OWN_LABELS, STRATEGIES, Labelled, label, needs_of
from inspector.strategies.base import ranges_of
from inspector.trainers.markers import Markers, propose_markers
from inspector.trainers.verdict import Verdict, refused, trainer_of, verdict_of

Choice = tuple[str, Mapping[str, Any]]
"""A strategy's name and its options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One strategy's labels compared with the truth.

    `labelled` is None if the strategy refuses the conversation: `error` says why. `agreement` is the share of tokens
    that both train or both leave out, and `disagreements` are half-open token spans where they differ. Both are None if
    the strategy's trainer renders other tokens than those shown, since these cannot be compared. If it renders more
    after those shown, a warning of `labelled` says so. `verdict`: all this in one sentence.
    """

    strategy: str
    options: Mapping[str, Any]
    labelled: Labelled | None
    error: str | None
    agreement: float | None
    disagreements: tuple[tuple[int, int], ...] | None
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        labelled = self.labelled
        return {
            "strategy": self.strategy,
            "options": {name: list(v) if isinstance(v, tuple) else v for name, v in self.options.items()},
            "trained": None if labelled is None else [int(bit) for bit in labelled.trained],
            "count": None if labelled is None else sum(labelled.trained),
            "agreement": self.agreement,
            "disagreements": None if self.disagreements is None else [list(span) for span in self.disagreements],
            "warnings": [] if labelled is None else list(labelled.warnings),
            "error": self.error,
            "verdict": self.verdict.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison:
    """The truth, and the entry of every strategy, in the requested order."""

    truth: Inspection
    entries: tuple[Entry, ...]

    @property
    def by_verdict(self) -> list[Entry]:
        """The best-known trainers first, among them the worst first; those that do not take such a row last."""

        def place(entry: Entry) -> tuple[bool, bool, tuple[int, int]]:
            return entry.agreement is None, not FACTS[entry.strategy].is_known, entry.verdict.rank

        return sorted(self.entries, key=place)

    def __repr__(self) -> str:
        """A line for each trainer, the best known first."""
        lines = [f"  {entry.verdict.sentence}" for entry in self.by_verdict]
        return "\n".join([f"<Comparison {self.truth.model.name} · {len(self.truth.ids):,} tokens", *lines]) + ">"

    def _repr_html_(self) -> str:
        """A row for each trainer, and below it the tokens of those that are wrong."""
        rows, views = [], []
        for entry in self.by_verdict:
            count = "" if entry.labelled is None else f"{sum(entry.labelled.trained):,}"
            rows.append((entry.verdict.trainer, entry.verdict.setting, count, entry.verdict.short))
            if entry.labelled is not None and entry.disagreements:
                mask = Mask(entry.labelled.trained, self.truth.labelled.trained)
                views.append(folded(entry.verdict.sentence, token_view(self.truth.example, mask)))
        title = f"{sum(self.truth.trained):,} of {len(self.truth.ids):,} tokens should be trained"
        return block(title, table(("Trainer", "Setting", "Trains", "Verdict"), rows), *views)

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form: that of the truth's inspection, and `strategies`."""
        return self.truth.to_dict() | {"strategies": [entry.to_dict() for entry in self.entries]}


def compare(
    model: Model,
    conversation: Conversation | list[Any] | Mapping[str, Any],
    choices: Sequence[Choice] | None = None,
) -> Comparison:
    """Label a conversation with several strategies. Raises as `inspect`; a strategy that refuses becomes an entry.

    `choices`: strategies with their options; None for all that need only one conversation, with proposed markers.
    """
    truth = inspect(model, conversation)
    return compare_with(truth, choices)


def compare_with(truth: Inspection, choices: Sequence[Choice] | None = None) -> Comparison:
    """Label the conversation of an inspection with several strategies; its own labels count as the truth.

    The inspection's modifiers are applied to each. A row that came with labels is also compared with traced; if its
    turns are unknown, an entry says so instead.
    """
    if choices is None:
        choices = default_choices(propose_markers([truth]), has_images=bool(truth.example.pictures))
        if truth.strategy == OWN_LABELS:
            choices = [(EXACT, {}), *([] if truth.example.unread else choices)]
    return Comparison(truth=truth, entries=tuple(_entry(truth, *choice) for choice in choices))


def default_choices(markers: Markers, has_images: bool = False) -> list[Choice]:
    """Every strategy that needs only one conversation; searching strategies get the markers, if there are any.

    `has_images`: whether the conversation has images; some strategies take no other rows.
    """
    proposed = {name: value for name, value in markers.options().items() if value is not None}
    bare: list[Choice] = []
    searching: list[Choice] = []
    for strategy in STRATEGIES:
        needs, takes = needs_of(strategy), FACTS[strategy].takes
        facts = FACTS[strategy]
        if not facts.is_compared or not proposed.keys() >= set(needs) or facts.takes_images > has_images:
            continue
        choices = searching if needs else bare
        choices.append((strategy, {name: proposed[name] for name in needs}))
        if also := [name for name in takes if name in proposed]:
            choices.append((strategy, {name: proposed[name] for name in (*needs, *also)}))
    return bare + searching


def _entry(truth: Inspection, strategy: str, options: Mapping[str, Any]) -> Entry:
    try:
        if truth.example.unread:
            raise StrategyRefusedError(f"The turns of this row are unknown: {truth.example.unread}.")
        labelled = label(truth.example, strategy, options)
    except InspectorError as error:
        return _without(strategy, options, None, str(error), f"does not take this row: {error}")
    if reads := _read_as_it_is(truth, strategy):
        labelled = replace(labelled, warnings=(*labelled.warnings, reads))
    labelled = truth.modifiers.apply(labelled.example or truth.example, labelled)
    labelled = _cut_to(truth, labelled)
    other = labelled.example
    if other is not None and other.tokens.ids != truth.example.tokens.ids:
        reason = f"The trainer's row is another one, of {len(other)} tokens: no side by side."
        return _without(strategy, options, labelled, reason, f"trains other tokens, {len(other):,} of them in this row")
    pairs = enumerate(zip(labelled.trained, truth.labelled.trained, strict=True))
    differing = [index for index, (one, other) in pairs if one != other]
    return Entry(
        strategy=strategy,
        options=options,
        labelled=labelled,
        error=None,
        agreement=1 - len(differing) / len(truth.ids) if truth.ids else 1.0,
        disagreements=tuple(ranges_of(differing)),
        verdict=verdict_of(truth.example, trainer_of(strategy, options), labelled.trained, truth.labelled),
    )


def _without(strategy: str, options: Mapping[str, Any], labelled: Labelled | None, error: str, does: str) -> Entry:
    """The entry of a strategy whose labels cannot be compared with the truth."""
    return Entry(
        strategy=strategy, options=options, labelled=labelled, error=error, agreement=None, disagreements=None,
        verdict=refused(strategy, options, does),
    )  # fmt: skip


def _read_as_it_is(truth: Inspection, strategy: str) -> str:
    """A note on the changes of the row that the strategy's trainer does not make; "" if there are none."""
    facts, changes = FACTS[strategy], truth.example.conversation.changes
    missing = [step.value for step in Step if step not in facts.makes and any(one.step is step for one in changes)]
    if not missing or strategy == EXACT:
        return ""
    return f"{facts.trainer} reads rows as they are: the changes shown ({', '.join(missing)}) are not its own."


def _cut_to(truth: Inspection, labelled: Labelled) -> Labelled:
    """The labels over the tokens shown, if the trainer's row begins with them and continues."""
    shown = truth.example.tokens.ids
    row = None if labelled.example is None else labelled.example.tokens
    if row is None or len(row) <= len(shown) or row.ids[: len(shown)] != shown:
        return labelled
    rest = range(len(shown), len(row))
    text = "".join(row.texts[i] for i in rest)
    count = sum(labelled.trained[i] for i in rest)
    warning = (
        f"The trainer's row goes on after the tokens shown: {text!r}, {len(rest)} tokens, {count} of them trained."
    )
    return replace(
        labelled,
        trained=labelled.trained[: len(shown)],
        reasons=labelled.reasons[: len(shown)],
        mixed=tuple(i for i in labelled.mixed if i < len(shown)),
        cut=tuple(i for i in labelled.cut if i < len(shown)),
        warnings=(*labelled.warnings, warning),
        example=None,
    )
