"""The labels that a row came with: the trainer uses them, and no rule is needed."""

from __future__ import annotations

from inspector.conversation import IGNORED
from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, Reason


def own_labels(example: Example) -> Labelled:
    """Train by the row's own labels. Raises StrategyRefusedError for a row without labels."""
    given = example.conversation.labelled
    if given is None:
        raise StrategyRefusedError("The row came without ids and labels: choose a strategy that makes them.")
    bits = [label != IGNORED for label in given.labels]
    return Labelled.by_rule(bits, why=Reason.OWN_LABEL, why_not=Reason.NO_LABEL)
