"""The types of a remedy and of its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inspector.conversation import Conversation
from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The input of a remedy: the setup, its loaded model, and its parsed conversation."""

    setup: Setup
    model: Model
    conversation: Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One remedy. `label`: for a button; `what`: its effect, in a sentence; `codes`: the findings it is for."""

    name: str
    label: str
    what: str
    codes: frozenset[Code]
    is_possible: Callable[[Inspection], bool]
    apply: Callable[[Case], list[Setup]]
