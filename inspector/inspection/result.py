"""The result of an inspection: the tokens of one conversation, and which of them a strategy trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from inspector.findings.codes import Finding
from inspector.model.hub import Model
from inspector.notebook import Mask, block, finding_list, note, token_view
from inspector.strategies import Example, Labelled, Modifiers, Reason, Rule, behind_prompt


@dataclass(frozen=True, kw_only=True, repr=False)
class Inspection:
    """The tokens of one conversation, which of them a strategy trains, and what is known about each.

    Its lists are made once: copy one before you change it.
    """

    model: Model
    template: str
    rule: Rule
    example: Example
    labelled: Labelled
    findings: tuple[Finding, ...]

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.rule.strategy

    @property
    def options(self) -> Mapping[str, Any]:
        """The options passed to the strategy."""
        return self.rule.options

    @property
    def modifiers(self) -> Modifiers:
        """The changes made to the strategy's labels."""
        return self.rule.modifiers

    @property
    def text(self) -> str:
        """The rendered text."""
        return self.example.rendered.text

    @cached_property
    def ids(self) -> list[int]:
        """The token ids: those of `apply_chat_template(tokenize=True)`."""
        return list(self.example.tokens.ids)

    @cached_property
    def trained(self) -> list[int]:
        """1 for each token that is trained, else 0."""
        return [int(bit) for bit in self.labelled.trained]

    @cached_property
    def labels(self) -> list[int]:
        """The labels for a trainer: the id if trained, else -100."""
        return self.labelled.labels(self.example.tokens.ids)

    @cached_property
    def row(self) -> tuple[list[int], list[int]]:
        """(input_ids, labels) as a trainer takes them, after truncation."""
        ids, labels, kept = self.ids, self.labels, self._kept
        return [ids[i] for i in kept], [labels[i] for i in kept]

    @cached_property
    def row_texts(self) -> list[str]:
        """The texts of the tokens of `row`."""
        return [self.example.tokens.texts[i] for i in self._kept]

    @cached_property
    def row_turns(self) -> list[int | None]:
        """The turn of each token of `row`: the index of its message, None for the template's own text."""
        return list(map(self.example.tokens.turn, self._kept))

    @cached_property
    def _kept(self) -> list[int]:
        return [i for i, reason in enumerate(self.labelled.reasons) if reason is not Reason.CUT]

    def behind(self, prompt_messages: int) -> Inspection:
        """The same with nothing trained in the turns of the first messages, for methods that judge only the rest."""
        return replace(self, labelled=behind_prompt(self.example, self.labelled, prompt_messages))

    def __getstate__(self) -> dict[str, Any]:
        """The fields only: cached values are computed again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def straddlers(self) -> list[int]:
        """Indices of tokens that merge text across a boundary, of owner or of training."""
        mixed = set(self.labelled.mixed)
        tokens = self.example.tokens
        return [index for index in range(len(tokens)) if index in mixed or tokens.is_straddler(index)]

    def __repr__(self) -> str:
        """Its figures, in one line."""
        return f"<Inspection {self.model.name} · {self.strategy} · {self._figures()}>"

    def _repr_html_(self) -> str:
        """Its tokens and findings, as a notebook shows them."""
        about = f"{self.model.name} · template {self.model.template_name} · strategy {self.strategy}"
        warnings = [note(f"{self.strategy} says: {warning}") for warning in self.labelled.warnings]
        tokens = token_view(self.example, Mask(self.labelled.trained, merged=frozenset(self.straddlers)))
        return block(self._figures(), note(about), *warnings, tokens, finding_list(self.findings))

    def _figures(self) -> str:
        count, total = sum(self.trained), len(self.ids)
        found = f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)}"
        return f"{count:,} of {total:,} tokens are trained, {found}"

    def to_dict(self) -> dict[str, Any]:
        """The public, JSON-ready form; its keys are stable.

        `tokens` are exact texts, `char_spans` half-open code point ranges of `text`; `trained`, `tokens`, `ids`,
        `char_spans` and `origins` have one entry per token; `straddlers` are token indices. `images`: for each image
        its message, its part there, its height and width in pixels, and the characters of `text` that stand for it
        (null if the processor puts nothing in its place, with `why`).
        """
        tokens = self.example.tokens
        return {
            "model": self.model.name,
            "revision": self.model.revision,
            "text": self.text,
            "ids": list(self.ids),
            "tokens": list(tokens.texts),
            "char_spans": [list(span) for span in tokens.char_spans],
            "trained": list(self.trained),
            "origins": [[origin.to_dict() for origin in tokens.origins(i)] for i in range(len(tokens))],
            "straddlers": list(self.straddlers),
            "findings": [finding.to_dict() for finding in self.findings],
            "changes": [change.to_dict() for change in self.example.conversation.changes],
            "encoder": self.model.encoder.name,
            "images": [picture.to_dict() for picture in self.example.pictures],
        }
