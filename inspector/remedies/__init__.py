"""Remedies for findings that one click applies: a setup in, the changed setup (or one per row) out.

In: a setup, and the name of a remedy. Out: setups. A remedy does not promise that the finding is gone: inspect the new
setup to see. May import: `tagging`, `trainers` and below.
"""

from __future__ import annotations

from inspector.errors import RemedyError
from inspector.findings.codes import Code, Finding
from inspector.inspection import Inspection, as_rendered
from inspector.model.model import Token
from inspector.remedies.actions import free_pad_token
from inspector.remedies.remedy import Case, Remedy
from inspector.remedies.table import REMEDIES
from inspector.setup import Setup

__all__ = ["REMEDIES", "Remedy", "apply_remedy", "free_pad_token", "offers", "offers_for_refusal"]


def offers(inspection: Inspection) -> dict[Code, tuple[Remedy, ...]]:
    """The remedies for the findings of an inspection, by code; codes without one are left out."""
    out: dict[Code, tuple[Remedy, ...]] = {}
    for code in dict.fromkeys(finding.code for finding in inspection.findings):
        fitting = tuple(r for r in REMEDIES.values() if code in r.codes and _is_possible(r, inspection))
        if fitting:
            out[code] = fitting
    return out


def _is_possible(remedy: Remedy, inspection: Inspection) -> bool:
    """Whether a remedy changes anything here: most cannot change the ids and labels that a row came with."""
    if inspection.example.conversation.labelled is not None and remedy.name not in _FOR_LABELLED:
        return False
    return remedy.is_possible(inspection)


_FOR_LABELLED = {"label_anew", "drop_max_length", "set_pad_token", "add_stop_tokens"}
"""Remedies that do not change messages or labels."""


def offers_for_refusal(finding: Finding) -> tuple[Remedy, ...]:
    """The remedies for the finding that explains why a template refuses a conversation."""
    names = {
        Code.SYSTEM_UNSUPPORTED: "fold_system",
        Code.ROLES_MUST_ALTERNATE: "join_messages",
        Code.CONTENT_UNSUPPORTED: "write_plain_content",
    }
    return tuple(remedy for remedy in REMEDIES.values() if remedy.name == names.get(finding.code))


def apply_remedy(name: str, setup: Setup, token: Token = None) -> list[Setup]:
    """The setups to inspect instead: one, or one per row if the remedy splits the conversation.

    Raises RemedyError for an unknown remedy or one that changes nothing here, and the errors of loading and inspecting.
    """
    if name not in REMEDIES:
        raise RemedyError(f"There is no remedy {name!r}; there are: {', '.join(REMEDIES)}.")
    model = setup.load(token)
    conversation = as_rendered(setup.rule, model, setup.conversation)
    changed = REMEDIES[name].apply(Case(setup=setup, model=model, conversation=conversation))
    if changed == [setup]:
        raise RemedyError(f"{REMEDIES[name].label}: nothing to change here.")
    return changed
