"""The layouts of rows: their names, the columns that each reads, and the columns that matter for training."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from inspector.data.columns import Columns, holds_chat
from inspector.data.dialects import is_tree
from inspector.data.labelled import LABEL_COLUMNS, LABELLED_NAMES, holds_list, holds_segments
from inspector.data.readers import (
    ANSWERS,
    Sample,
    read_alpaca_prompt,
    read_exchange,
    read_labels,
    read_messages,
    read_own_segments,
    read_preference,
    read_shifted_labels,
    read_text,
    read_unpaired,
)
from inspector.data.verdicts import holds_ranked


class Format(StrEnum):
    """The way in which a row says who wrote what."""

    MESSAGES = "messages"
    """A list of messages (role/content, or ShareGPT's from/value), and optionally tools."""
    PROMPT_COMPLETION = "prompt_completion"
    """A prompt and its completion, texts or lists of messages."""
    ALPACA = "alpaca"
    """An instruction, optionally an input, and an output, as question and answer."""
    ALPACA_PROMPT = "alpaca_prompt"
    """The same in Alpaca's two prompts; for the `alpaca` template. Never detected: it has to be chosen."""
    QUESTION_ANSWER = "question_answer"
    """A question and an answer."""
    PREFERENCE = "preference"
    """A chosen and a rejected answer, with a prompt or (reward pairs) without."""
    UNPAIRED = "unpaired"
    """A prompt, a completion and a label that says whether it is good, as KTO takes it."""
    LABELLED = "labelled"
    """Token ids with labels or a mask: the row itself says what trains."""
    SEGMENTS = "segments"
    """Texts with labels, each tokenized by itself: the row itself says what trains, and no template is used."""
    LABELLED_SHIFTED = "labelled_shifted"
    """Ids with a mask that is about the next token. Never detected: it has to be chosen."""
    TEXT = "text"
    """A rendered text: it is not known who wrote which part of it."""

    @property
    def is_labelled(self) -> bool:
        """Whether the rows hold ids or texts with their own labels."""
        return self in (Format.LABELLED, Format.LABELLED_SHIFTED, Format.SEGMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The layout of a data set's rows. `columns`: our name of a column -> the data set's.

    `roles`: the data set's own names of roles -> ours. `unused`: the columns of the first rows that are not read.
    `keywords`: columns passed to the template, since it reads them by name; `reads`: all names that the template reads.
    """

    format: Format
    columns: Mapping[str, str]
    roles: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    reads: frozenset[str] = frozenset()

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Layout:
        """A layout from its JSON form."""
        return cls(
            format=Format(value["format"]),
            columns=value["columns"],
            roles=value.get("roles", {}),
            unused=tuple(value.get("keywords", ())),
        ).for_template(value.get("keywords", ()))

    def for_template(self, names: Collection[str]) -> Layout:
        """The layout for a template that reads these names: columns with these names are passed to it."""
        if self.format is Format.TEXT or self.format.is_labelled:
            return self
        reads = frozenset(names).difference(self.columns.values())
        left = (*self.keywords, *self.unused)
        return replace(
            self,
            reads=reads,
            keywords=tuple(name for name in left if name in reads),
            unused=tuple(name for name in left if name not in reads),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: what decides how rows are read."""
        roles = {"roles": dict(self.roles)} if self.roles else {}
        keywords = {"keywords": list(self.keywords)} if self.keywords else {}
        return {"format": self.format.value, "columns": dict(self.columns)} | roles | keywords


_PROMPTS = ("messages", "prompt", "instruction", "question", "problem", "input")
"""Columns that hold the prompt, in order of preference."""
_PAIRS = (("chosen", "rejected"), ("first", "second", "verdict"), ("first", "second", "first_score", "second_score"))
"""Columns that hold two answers, and those that say which is better."""
_BESIDE = ("history", "system", "tools", "enable_thinking", "documents", "chat_template_kwargs")
"""Columns that a chat of any layout may have."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "messages": ("conversations", "conversation", "dialogue", "dialog", "chat"),
    "tools": ("functions",),
    "system": ("system_prompt", "system_message", "systeminstruction", "system_instruction"),
    "prompt": (),
    "completion": ("generation",),
    "chosen": ("chosen_response", "chosen_conversations", "preferred_output", "preferred_response"),
    "rejected": (
        "rejected_response", "rejected_text", "rejected_conversations", "rejected_messages", "non_preferred_output",
        "non_preferred_response",
    ),
    "first": (
        "response1", "response_0", "response_1", "response_a", "human_ref_a", "conversation_a", "answer_0", "answer_a",
    ),
    "second": (
        "response2", "response_2", "response_1", "response_b", "human_ref_b", "conversation_b", "answer_1", "answer_b",
    ),
    "verdict": ("overall_preference", "preference_strength", "winner", "better_response_id", "labels"),
    "first_score": ("score_0", "score_a", "score1"),
    "second_score": ("score_1", "score_b", "score2"),
    "ranked": ("completions", "responses", "answers", "candidates"),
    "label": ("kto_tag",),
    "instruction": (),
    "input": ("context", "inputs", "input_text"),
    "output": ("response", "targets", "output_text"),
    "question": ("query",),
    "problem": (),
    "answer": ("answers",),
    "solution": ("generated_solution",),
    "segments": (),
    "turns": ("contents", "data", "text"),
    "tree": ("prompt",),
    "text": (),
    "history": (),
    "enable_thinking": (),
    "prompt_messages": (),
    "documents": (),
    "chat_template_kwargs": (),
    **LABELLED_NAMES,
}  # fmt: skip
"""Our names of columns, and other names for each, in lower case."""
HOLDS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(LABELLED_NAMES, holds_list),
    "turns": holds_chat, "tree": is_tree, "ranked": holds_ranked, "segments": holds_segments,
    "verdict": lambda value: not isinstance(value, list | tuple | Mapping),
}  # fmt: skip
"""Checks for columns with ambiguous names: one of the first rows must have such a value."""
OF_ROWS = frozenset({"history", "system", *NAMES["system"]})
"""Columns next to the messages that a row may have and a conversation may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A layout. `needed`: the required columns, in every supported combination, by preference; `beside`: optional
    columns."""

    needed: Sequence[tuple[str, ...]]
    read: Callable[[Columns], Sample]
    beside: tuple[str, ...] = _BESIDE


ASKED_FOR = (Format.ALPACA_PROMPT, Format.LABELLED_SHIFTED)
"""Formats that are never detected."""
_BESIDE_IDS = tuple(name for name in LABELLED_NAMES if name not in ("input_ids", "model_input", "loss_fn_inputs"))

SHAPES: Mapping[Format, _Shape] = {
    Format.LABELLED: _Shape(
        needed=[("model_input", "loss_fn_inputs"), *(("input_ids", name) for name in LABEL_COLUMNS[::-1])],
        read=read_labels, beside=_BESIDE_IDS,
    ),
    Format.LABELLED_SHIFTED: _Shape(
        needed=[("input_ids", name) for name in LABEL_COLUMNS[::-1]], read=read_shifted_labels, beside=_BESIDE_IDS
    ),
    Format.SEGMENTS: _Shape(needed=[("segments",)], read=read_own_segments, beside=()),
    Format.MESSAGES: _Shape(
        needed=[("tree",), ("messages",)], read=read_messages, beside=(*_BESIDE, "prompt_messages")
    ),
    Format.PREFERENCE: _Shape(
        needed=[
            *((name, *pair) for name in _PROMPTS for pair in _PAIRS), *((name, "ranked") for name in _PROMPTS),
            *(("history", *pair) for pair in _PAIRS[1:]), *_PAIRS[1:], ("messages", "rejected"), ("chosen", "rejected"),
        ],
        read=read_preference,
    ),
    Format.UNPAIRED: _Shape(
        needed=[
            *((name, answer, "label") for name in _PROMPTS[3:0:-1] for answer in ANSWERS),
            ("messages", "label"), ("prompt", "completion", "label"),
        ],
        read=read_unpaired,
    ),
    Format.PROMPT_COMPLETION: _Shape(needed=[("prompt", name) for name in ANSWERS], read=read_exchange),
    Format.ALPACA: _Shape(needed=[("instruction", name) for name in ANSWERS[1::-1]], read=read_exchange),
    Format.ALPACA_PROMPT: _Shape(needed=[("instruction", "output")], read=read_alpaca_prompt, beside=()),
    Format.QUESTION_ANSWER: _Shape(
        needed=[
            *(("problem", name) for name in ("solution", *ANSWERS[::-1])),
            ("question", "answer"), ("question", "output"), ("input", "output"), ("question", "solution"),
            ("question", "completion"),
        ],
        read=read_exchange,
    ),
    Format.TEXT: _Shape(needed=[("text",), ("prompt", "completion"), ("text",)], read=read_text, beside=()),
}  # fmt: skip
"""Every layout, in the order in which they are tried. The last combination is the one that an error names."""


_MEANINGFUL = re.compile(
    r"history|system\w*|tools?|functions|images?|videos?|audios?|objects|label|kto_tag|\w*rejected\w*|\w*chosen\w*|"
    r"\w*thinking|reasoning\w*|thoughts?|rationale|(\w+_)?cot|weights?|loss|train|mask|\w*_mask|labels|input_ids|messages|"
    r"conversations?|\w*prompt|completions?|\w*instructions?|input|output|responses?|generations?|question|query|"
    r"answers?|solution|context|role|margin|"
    r"documents|chat_template_kwargs",
    re.IGNORECASE,
)
"""Names of columns that say something about what is trained."""


def is_meaningful(column: object) -> bool:
    """Whether the name of a column suggests that it matters for what is trained."""
    return isinstance(column, str) and _MEANINGFUL.fullmatch(column) is not None


def holds_something(value: object) -> bool:
    """Whether a column's value is not empty, whatever its type."""
    return value not in (None, "", [], {})


def late_name(column: str, layout: Layout) -> str | None:
    """Our name of a column that the first rows did not have and that the layout reads next to a chat."""
    if column in layout.unused or column in layout.columns.values():
        return None
    names = (name for name in SHAPES[layout.format].beside if name not in layout.columns)
    return next((name for name in names if column.lower() in (name, *NAMES[name])), None)


def columns_of(row: Mapping[str, Any], layout: Layout) -> Mapping[str, str]:
    """The columns read from a row: those of the layout, and those that only later rows have next to the chat."""
    if row.keys() <= {*layout.columns.values(), *layout.unused, *layout.keywords}:
        return layout.columns
    late = {name: str(column) for column in row if (name := late_name(str(column), layout)) is not None}
    return {**late, **layout.columns}


def unread_columns(row: Mapping[str, Any], layout: Layout) -> tuple[str, ...]:
    """The columns of a row that have a value, matter for training, and are not read."""
    read = {*columns_of(row, layout).values(), *layout.reads}
    holding = (name for name, value in row.items() if name not in read and holds_something(value))
    return tuple(filter(is_meaningful, holding))
