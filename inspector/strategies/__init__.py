"""Which tokens a trainer would put in the loss: one function per strategy, found by name.

A strategy is `f(example, **options) -> Labelled`. `label` looks it up, checks its options, and calls it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from inspector.errors import StrategyError
from inspector.strategies.labelled import REASON_TEXTS, Example, Labelled, Reason
from inspector.strategies.traced import StopPolicy, TurnPolicy, traced

STRATEGIES: Mapping[str, Callable[..., Labelled]] = {"traced": traced}
"""Every strategy by its public name."""


def label(example: Example, strategy: str, options: Mapping[str, Any]) -> Labelled:
    """Label an example. Raises StrategyError for an unknown strategy, option or option value."""
    if strategy not in STRATEGIES:
        raise StrategyError(f"There is no strategy {strategy!r}; there are: {', '.join(STRATEGIES)}.")
    function = STRATEGIES[strategy]
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise StrategyError(
            f"Strategy {strategy!r} has no option {unknown[0]!r}; its options are: {', '.join(known) or 'none'}."
        )
    try:
        return function(example, **options)
    except ValueError as error:
        if isinstance(error, StrategyError):
            raise
        raise StrategyError(f"Strategy {strategy!r}: {error}") from error


__all__ = ["REASON_TEXTS", "STRATEGIES", "Example", "Labelled", "Reason", "StopPolicy", "TurnPolicy", "label"]
