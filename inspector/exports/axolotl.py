"""axolotl, which finds each message's content by replacing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from inspector.conversation import TRAIN_FLAGS, Conversation
from inspector.exports.shown import TEMPLATE_FILE, base_model, chosen_template, max_length, row_length
from inspector.exports.verdict import Export, Target, judge
from inspector.exports.yaml_text import yaml_text
from inspector.inspection import Inspection
from inspector.strategies import Keep, StopPolicy, TurnPolicy

TARGET = Target(target="axolotl", title="axolotl", filename="config.yaml", language="yaml", version="axolotl 0.19.0")

_ENDS: Mapping[str, str] = {StopPolicy.EVERY: "turn", StopPolicy.LAST: "last", StopPolicy.NEVER: "none"}
"""traced's policy for stop tokens -> train_on_eos and train_on_eot."""


def axolotl(inspection: Inspection, data: str) -> Export:
    """A configuration with a data set of type `chat_template`."""
    model, conversation = inspection.model, inspection.example.conversation
    options, flag, files = _options(inspection), _flag(inspection), chosen_template(inspection)
    outcome = judge(
        inspection,
        "content_diff",
        options,
        conversation=replace(_with_flag(conversation, flag), documents=None),
        length=max_length(inspection),
        passes="axolotl passes no documents to the template.",
    )
    settings: dict[str, Any] = {
        "base_model": base_model(model),
        "revision_of_model": model.revision,
        "chat_template": "jinja" if files else "tokenizer_default",
        "chat_template_jinja": TEMPLATE_FILE if files else None,
        "chat_template_kwargs": dict(conversation.keywords) or None,
        "eot_tokens": options["eot_tokens"] or None,
        "datasets": [
            {
                "path": data,
                "ds_type": "json",
                "type": "chat_template",
                "field_messages": "messages",
                "roles_to_train": options["roles"],
                "train_on_eos": options["train_on_eos"],
                "train_on_eot": options["train_on_eot"],
                **({"message_field_training": flag} if flag else {}),
            }
        ],
        "sequence_len": row_length(inspection),
        "excess_length_strategy": "truncate",
        "output_dir": "trained",
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "num_epochs": 1,
        "optimizer": "adamw_torch",
        "learning_rate": 2e-5,
        "bf16": "auto",
    }
    return TARGET.export(
        inspection, outcome, yaml_text({k: v for k, v in settings.items() if v is not None}), files=files
    )


def _options(inspection: Inspection) -> dict[str, Any]:
    """The settings of the inspection; for other strategies, the ones closest to the policy shown."""
    given = inspection.options
    if inspection.strategy == "content_diff":
        roles, on_eos = list(given.get("roles", ["assistant"])), given.get("train_on_eos", "turn")
        on_eot, eot_tokens = given.get("train_on_eot") or on_eos, list(given.get("eot_tokens", ()))
    elif given.get("turns") == TurnPolicy.EVERY_TOKEN:
        roles, on_eos = _roles(inspection), "all"
        on_eot, eot_tokens = on_eos, _stops(inspection)
    else:
        roles, on_eos = ["assistant"], _ENDS[given.get("stop", StopPolicy.EVERY)]
        on_eot, eot_tokens = on_eos, _stops(inspection)
    return {"roles": roles, "train_on_eos": on_eos, "train_on_eot": on_eot, "eot_tokens": eot_tokens}


def _roles(inspection: Inspection) -> list[str]:
    conversation = inspection.example.conversation
    return list(dict.fromkeys(conversation.role(index) for index in range(len(conversation.messages))))


def _stops(inspection: Inspection) -> list[str]:
    """The tokens that end the answers, if eos does not."""
    tokens, eos = inspection.example.tokens, inspection.model.tokenizer.eos_token_id
    stops = [turn.stop_token for _, turn in inspection.example.answers() if turn.stop_token is not None]
    return list(dict.fromkeys(tokens.texts[stop] for stop in stops if tokens.ids[stop] != eos))


def _flag(inspection: Inspection) -> str | None:
    """The field that says whether a message is trained, if the shown rule obeys it."""
    heeds = (
        inspection.strategy == "content_diff"
        or inspection.options.get("turns") == TurnPolicy.FLAGGED
        or inspection.modifiers.keep == Keep.FLAGGED
    )
    messages = inspection.example.conversation.messages
    return next((name for name in TRAIN_FLAGS if heeds and any(name in message for message in messages)), None)


def _with_flag(conversation: Conversation, flag: str | None) -> Conversation:
    """The conversation without flags, except the one that axolotl is told to read."""
    others = set(TRAIN_FLAGS) - {flag}
    messages = ({name: value for name, value in m.items() if name not in others} for m in conversation.messages)
    return replace(conversation, messages=tuple(messages))
