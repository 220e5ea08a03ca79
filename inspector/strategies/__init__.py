"""Strategies: functions that decide which tokens a trainer would put in the loss, found by name.

A strategy is `f(example, **options) -> Labelled`. `label` looks it up, checks its options, and calls it.

In: an Example, which is a tokenized conversation and its turns. Out: Labelled, one bit and one reason for each token.
May import: `turns`, `tokens`, `rendering` and below.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inspector.errors import InspectorError, StrategyError
from inspector.strategies.base import (
    EXACT,
    FACTS,
    OWN_LABELS,
    REASON_TEXTS,
    Example,
    Facts,
    Labelled,
    Reason,
    is_trained,
)
from inspector.strategies.boundaries import dpo_boundary, trl_completion_only
from inspector.strategies.content_diff import content_diff, content_diff_legacy
from inspector.strategies.full import full
from inspector.strategies.joined.llama_factory import llama_factory
from inspector.strategies.joined.ms_swift import ms_swift
from inspector.strategies.joined.nemo import nemo_automodel, nemo_rl
from inspector.strategies.joined.openrlhf import openrlhf
from inspector.strategies.joined.verl import verl
from inspector.strategies.markers_in_ids import bos_eos, home_llm, home_llm_intended, trl_completion_collator
from inspector.strategies.modifiers import Keep, Modifiers, Truncation, behind_prompt
from inspector.strategies.own_labels import own_labels
from inspector.strategies.prefixes import incremental_delta, prefix_render
from inspector.strategies.responses_only import responses_only
from inspector.strategies.spans import chatml, llama3_sft, string_span
from inspector.strategies.tags import generation_tags, trl_assistant_only
from inspector.strategies.torchtune import torchtune
from inspector.strategies.traced import StopPolicy, TurnPolicy, traced
from inspector.strategies.vision import trl_vision

STRATEGIES: Mapping[str, Callable[..., Labelled]] = {
    strategy.__name__: strategy
    for strategy in (
        traced,
        full,
        trl_assistant_only,
        trl_vision,
        trl_completion_only,
        dpo_boundary,
        generation_tags,
        trl_completion_collator,
        responses_only,
        content_diff,
        content_diff_legacy,
        prefix_render,
        incremental_delta,
        torchtune,
        verl,
        llama_factory,
        ms_swift,
        openrlhf,
        nemo_automodel,
        nemo_rl,
        string_span,
        chatml,
        llama3_sft,
        home_llm,
        home_llm_intended,
        bos_eos,
    )
}
"""Every strategy by its public name."""


def options_of(strategy: str) -> Mapping[str, Any]:
    """The options of a strategy with their defaults, from its signature; empty for an unknown name."""
    parameters = inspect.signature(STRATEGIES[strategy]).parameters.values() if strategy in STRATEGIES else ()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def needs_of(strategy: str) -> list[str]:
    """The options of a strategy that have no default."""
    return [name for name, default in options_of(strategy).items() if default is inspect.Parameter.empty]


def label(example: Example, strategy: str, options: Mapping[str, Any]) -> Labelled:
    """Label an example. Raises StrategyError for an unknown strategy, option or option value."""
    if strategy == OWN_LABELS:
        return replace(own_labels(example), strategy=strategy)
    if strategy not in STRATEGIES:
        raise StrategyError(f"There is no strategy {strategy!r}; there are: {', '.join(STRATEGIES)}.")
    known = options_of(strategy)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise StrategyError(
            f"Strategy {strategy!r} has no option {unknown[0]!r}; its options are: {', '.join(known) or 'none'}."
        )
    missing = [name for name in needs_of(strategy) if name not in options]
    if missing:
        raise StrategyError(f"Strategy {strategy!r} needs the option {missing[0]!r}.")
    for name, value in options.items():
        if isinstance(known[name], bool) and not isinstance(value, bool):
            raise StrategyError(f"Strategy {strategy!r}: {name} is {value!r}, and must be true or false.")
    whole = example if strategy == EXACT else example.tokenized_whole()
    try:
        labelled = STRATEGIES[strategy](whole, **options)
    except InspectorError:
        raise
    except ValueError as error:
        raise StrategyError(f"Strategy {strategy!r}: {error}") from error
    other = labelled.example or (None if whole is example else whole)
    return replace(labelled, strategy=strategy, options=dict(options), example=other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule for what trains: a strategy, its options, and modifiers of its labels."""

    strategy: str = EXACT
    options: Mapping[str, Any] = field(default_factory=dict)
    modifiers: Modifiers = field(default_factory=Modifiers)

    def apply(self, example: Example) -> tuple[Example, Labelled]:
        """The labels, and the example that they belong to: another one if the trainer changes the row first.

        Raises StrategyError.
        """
        labelled = label(example, self.strategy, self.options)
        example = labelled.example or example
        return example, self.modifiers.apply(example, labelled)


__all__ = [
    "EXACT",
    "FACTS",
    "OWN_LABELS",
    "REASON_TEXTS",
    "STRATEGIES",
    "Example",
    "Facts",
    "Keep",
    "Labelled",
    "Modifiers",
    "Reason",
    "Rule",
    "StopPolicy",
    "Truncation",
    "TurnPolicy",
    "behind_prompt",
    "is_trained",
    "label",
    "needs_of",
    "options_of",
]
