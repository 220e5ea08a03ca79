"""Everything that determines an inspection, as plain values: the content of a link, an example or a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any

from inspector.errors import SetupError, kind_of
from inspector.inspection import Inspection, inspect_by
from inspector.model.hub import load
from inspector.model.model import Model, Token
from inspector.strategies import EXACT, Modifiers, Rule

_KINDS: Mapping[str, tuple[type | UnionType, str]] = {
    "conversation": (list | dict, "a list of messages or an object"),
    "special_tokens": (dict, "an object"),
    "options": (dict, "an object"),
    "modifiers": (dict, "an object"),
}
"""The types of the fields that are not text, and their names in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A conversation to inspect, with a model and a rule.

    `model`, `revision`, `template`: as for `inspector.load`, "" for the default. `special_tokens`: as for
    `Model.with_special_tokens`. `conversation`: a list of messages, or an object with messages and template keywords.
    `strategy`, `options`, `modifiers`: as for `inspector.inspect`.
    """

    model: str
    conversation: Any
    revision: str = ""
    template: str = ""
    special_tokens: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = EXACT
    options: Mapping[str, Any] = field(default_factory=dict)
    modifiers: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("model", "conversation", "strategy", "modifiers"):
            if name in self.options:
                raise SetupError(
                    f"The options hold {name!r}, which is a field of the setup, not an option of a strategy."
                )

    @classmethod
    def from_dict(cls, value: Any) -> Setup:
        """A setup from its JSON form. Raises SetupError for missing or unknown fields, and values of the wrong kind."""
        known = [field.name for field in fields(cls)]
        if not isinstance(value, dict):
            raise SetupError(f"A setup is an object with: {', '.join(known)}; this is {kind_of(value)}.")
        for name in ("model", "conversation"):
            if name not in value:
                raise SetupError(f"The setup has no {name!r}.")
        for name, item in value.items():
            if name not in known:
                raise SetupError(f"A setup has no field {name!r}; it has: {', '.join(known)}.")
            kind, expected = _KINDS.get(name, (str, "text"))
            if not isinstance(item, kind):
                raise SetupError(f"The setup's {name!r} is {kind_of(item)}, and must be {expected}.")
        return cls(**value)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, without empty fields."""
        return {name: value for name, value in asdict(self).items() if value}

    def load(self, token: Token = None) -> Model:
        """The model with its template and special tokens. Raises ModelError."""
        model = load(self.model, revision=self.revision or None, template=self.template or None, token=token)
        return model.with_special_tokens(self.special_tokens)

    @property
    def rule(self) -> Rule:
        """The rule that decides what trains. Raises StrategyError for unknown modifiers."""
        return Rule(strategy=self.strategy, options=self.options, modifiers=Modifiers.parse(self.modifiers))

    def inspect(self, load: Callable[[Setup], Model] | None = None) -> Inspection:
        """The inspection, with a cached or newly loaded model. Raises ModelError, and as `inspector.inspect`."""
        model = self.load() if load is None else load(self)
        return inspect_by(self.rule, model, self.conversation)
