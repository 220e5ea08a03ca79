"""The values of the Inspect page's boxes as one value, and the Setup that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from inspector.model.model import Model
from inspector.setup import Setup
from inspector.strategies import EXACT, Keep, Modifiers, StopPolicy, Truncation, TurnPolicy
from ui.wiring.conversation_json import dump, dump_flat, parse_json, parse_object, read_options
from ui.wiring.models import LoadedSetup, load_setup
from ui.wiring.open_setups import Rows

POLICY_DEFAULTS: Mapping[str, Any] = {
    "turns": TurnPolicy.ALL.value,
    "stop": StopPolicy.EVERY.value,
    "reasoning": True,
    "tool_calls": True,
    "straddlers": True,
    "closing_header": False,
}
"""The options of `traced`; each has its own box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The values of the boxes that an inspection is made from, by name.

    JSON boxes hold their text. `template`: Jinja source. `max_length`: None if the box is empty. `rows`: set if several
    setups are open. `loaded`: the (model, revision) whose template is shown, None if there is none yet.
    """

    model: str = ""
    revision: str = ""
    template: str = ""
    special_tokens: str = ""
    conversation: str = ""
    strategy: str = EXACT
    strategy_options: str = ""
    turns: str = POLICY_DEFAULTS["turns"]
    stop: str = POLICY_DEFAULTS["stop"]
    reasoning: bool = True
    tool_calls: bool = True
    straddlers: bool = True
    closing_header: bool = False
    keep: str = Keep.ALL.value
    max_length: int | None = None
    truncation: str = Truncation.KEEP_START.value
    as_given: Sequence[str] = ()
    rows: Rows | None = None
    loaded: Sequence[str] | None = None

    @property
    def loading(self) -> tuple[str, str]:
        """The (model, revision) that the boxes name."""
        return self.model or "", self.revision or ""

    @property
    def is_settled(self) -> bool:
        """Whether model and template belong together: not while another model loads."""
        return self.loaded is None or tuple(self.loaded) == self.loading

    def with_changes(self, changes: Mapping[str, Any]) -> Boxes:
        """The boxes after `changes`; names that are not boxes of an inspection are skipped."""
        return replace(self, **{name: value for name, value in changes.items() if name in self.__dataclass_fields__})


def setup_of(boxes: Boxes) -> Setup:
    """The setup in the boxes. Raises ConversationJsonError for a box without valid JSON, and ModelError."""
    return load_boxes(boxes).setup


def load_boxes(boxes: Boxes, loaded: Model | None = None) -> LoadedSetup:
    """The setup in the boxes, with its model. `loaded`: as in LoadedSetup. Raises as `setup_of`."""
    if boxes.strategy == EXACT:
        policy = {name: getattr(boxes, name) for name in POLICY_DEFAULTS}
        options = {name: value for name, value in policy.items() if value != POLICY_DEFAULTS[name]}
    else:
        options = parse_object(boxes.strategy_options, "Options", '{"last_only": true}')
    modifiers = Modifiers(
        keep=boxes.keep, max_length=boxes.max_length, truncation=boxes.truncation, as_given=tuple(boxes.as_given or ())
    )
    setup = Setup(
        model=boxes.model or "",
        revision=(boxes.revision or "").strip(),
        conversation=parse_json(boxes.conversation),
        special_tokens=parse_object(boxes.special_tokens, "Special tokens", '{"pad_token": "<pad>"}'),
        template=boxes.template or "",
        strategy=boxes.strategy,
        options=options,
        modifiers=modifiers.to_dict(),
    )
    return load_setup(setup, loaded)


def values_of(setup: Setup) -> dict[str, Any]:
    """The values of the boxes for a setup, by name, without the boxes of model and template, which the loader fills."""
    policy = dict(setup.options) if setup.strategy == EXACT else {}
    modifiers = Modifiers.parse(setup.modifiers)
    text = dump(setup.conversation)
    return {
        "model": setup.model,
        "revision": setup.revision,
        "special_tokens": dump_flat(setup.special_tokens),
        "strategy": setup.strategy,
        "strategy_options": "" if setup.strategy == EXACT else dump_flat(setup.options),
        **{name: policy.get(name, default) for name, default in POLICY_DEFAULTS.items()},
        **asdict(modifiers),
        "as_given": list(modifiers.as_given),
        **conversation_values(text),
    }


def conversation_values(text: str) -> dict[str, Any]:
    """Every box that shows a part of the conversation's JSON."""
    return {"conversation": text, "editor": text, **asdict(read_options(text))}
