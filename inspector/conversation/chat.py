"""The one shape everything else takes: a list of messages, and what the template is given with them.

Turns what users paste (a list of messages, or a dict with `messages` and template keywords) into a `Conversation`, and
refuses what no chat template could be given: the error names the message and the field. Messages stay plain JSON dicts,
because templates read them as such; nothing is renamed, trimmed or dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inspector.conversation.checks import checked_count, checked_keywords, checked_messages, checked_objects
from inspector.conversation.labelled import LabelledIds, Segment
from inspector.conversation.messages import JsonValue, Message
from inspector.conversation.steps import Change
from inspector.errors import ConversationError, kind_of, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages, and the other arguments of `apply_chat_template`.

    `messages`: at least one, each a dict with a `role`. `tools`: JSON schemas, or None. `documents`: dicts, or None.
    `keywords`: everything else the template reads by name (`add_generation_prompt`, `enable_thinking`, ...).
    `prompt_messages`: the number of messages that are the prompt of the others, so that none of them trains; 0 if the
    row does not say. `changes`: the changes made while the row was read. `unread`: columns of the row that matter for
    training and are not read. Neither counts when conversations are compared. `labelled`: the ids and labels of a row
    that came with them; these are shown and trained. Its messages are read back from the ids by a model; before that
    there are none. `segments`: labelled texts of a row, which a model turns into such ids.
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, JsonValue], ...] | None = None
    documents: tuple[dict[str, JsonValue], ...] | None = None
    keywords: Mapping[str, JsonValue] = field(default_factory=dict)
    prompt_messages: int = 0
    changes: tuple[Change, ...] = field(default=(), compare=False)
    unread: tuple[str, ...] = field(default=(), compare=False)
    labelled: LabelledIds | None = None
    segments: tuple[Segment, ...] = ()

    @classmethod
    def parse(cls, source: Conversation | list[Any] | tuple[Any, ...] | Mapping[str, Any]) -> Conversation:
        """Build a conversation from messages, a dict with `messages`, one with `input_ids` and `labels`, or `segments`.

        A dict may also have `tools`, `documents`, `prompt_messages`, `chat_template_kwargs` (as TRL's data sets do),
        and template keywords by name. Raises ConversationError, which names the message and the field.
        """
        if isinstance(source, Conversation):
            return source
        if isinstance(source, list | tuple):
            return cls(messages=checked_messages(list(source)))
        if not isinstance(source, Mapping):
            raise ConversationError(
                f"A conversation is a list of messages or an object with `messages`, not {kind_of(source)}."
            )
        if "messages" not in source and {"input_ids", "labels"} <= set(source):
            return cls(messages=(), labelled=LabelledIds.parse(source["input_ids"], source["labels"]))
        if "messages" not in source and isinstance(source.get("segments"), list | tuple) and source["segments"]:
            parts = enumerate(source["segments"])
            return cls(messages=(), segments=tuple(Segment.parse(part, f"segments[{i}]") for i, part in parts))
        if "messages" not in source:
            raise ConversationError(f"The conversation has no `messages`; its keys are {listed(source) or 'none'}.")
        rest = {key: value for key, value in source.items() if key != "messages"}
        messages = checked_messages(source["messages"])
        return cls(
            messages=messages,
            prompt_messages=checked_count(rest.pop("prompt_messages", 0), len(messages)),
            tools=checked_objects(rest.pop("tools", None), "tools"),
            documents=checked_objects(rest.pop("documents", None), "documents"),
            keywords=checked_keywords(rest),
        )

    @property
    def adds_generation_prompt(self) -> bool:
        """Whether the render should end in the header of the next answer."""
        return bool(self.keywords.get("add_generation_prompt", False))

    def role(self, index: int) -> str:
        """The role of message `index`."""
        return str(self.messages[index]["role"])

    def assistant_indices(self) -> list[int]:
        """Indices of the assistant's messages, in order."""
        return [i for i in range(len(self.messages)) if self.role(i) == "assistant"]

    def with_keywords(self, **keywords: JsonValue) -> Conversation:
        """This conversation with these template keywords set."""
        return replace(self, keywords={**self.keywords, **keywords})

    def to_json(self) -> dict[str, JsonValue]:
        """The dict that `parse` reads back."""
        if self.labelled is not None:
            return {"input_ids": list(self.labelled.ids), "labels": list(self.labelled.labels)}
        if self.segments:
            return {"segments": [{"label": part.label, "text": part.text} for part in self.segments]}
        out: dict[str, JsonValue] = {"messages": list(self.messages)}
        if self.tools is not None:
            out["tools"] = list(self.tools)
        if self.documents is not None:
            out["documents"] = list(self.documents)
        if self.prompt_messages:
            out["prompt_messages"] = self.prompt_messages
        return out | dict(self.keywords)
