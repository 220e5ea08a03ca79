"""What a remedy is, and what it works on."""

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
    """What a remedy works on: the setup, with its model loaded and its conversation parsed."""

    setup: Setup
    model: Model
    conversation: Conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One thing to do. `label`: for a button; `what`: what it does, in a sentence; `codes`: the findings it is for."""

    name: str
    label: str
    what: str
    codes: frozenset[Code]
    is_possible: Callable[[Inspection], bool]
    apply: Callable[[Case], list[Setup]]
