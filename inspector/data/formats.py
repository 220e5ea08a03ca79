"""A data set's row -> a conversation, or a pair of them: every common layout, detected and overridable.

A row is a dict of columns. `detect` names the layout from the columns and the first rows, for what is going to be done
with them; `read` turns each row into a Sample. Columns with other names are mapped: `{"prompt": "question_text"}` says
where the prompt is, `{"role.bot": "assistant"}` what a role is. AutoTrain's keys (`text_column`, `prompt_text_column`,
`rejected_text_column`) are understood as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from inspector.conversation import Conversation, listed
from inspector.data.columns import Columns, is_chat, plain_row
from inspector.data.dialogues import literal
from inspector.data.labelled import ID_NAMES, LABEL_COLUMNS, LABELLED_NAMES, holds_ids, holds_list
from inspector.data.normal import Source, normalized
from inspector.data.readers import (
    ANSWERS,
    Sample,
    holds_prompt,
    judgement,
    read_alpaca_prompt,
    read_exchange,
    read_labels,
    read_messages,
    read_preference,
    read_shifted_labels,
    read_text,
    read_unpaired,
)
from inspector.errors import FormatError


class Format(StrEnum):
    """How a row says who wrote what."""

    MESSAGES = "messages"
    """A list of messages, role/content or ShareGPT's from/value; perhaps tools beside it."""
    PROMPT_COMPLETION = "prompt_completion"
    """A prompt and its completion, texts or lists of messages."""
    ALPACA = "alpaca"
    """An instruction, perhaps an input, and an output, as question and answer."""
    ALPACA_PROMPT = "alpaca_prompt"
    """The same in Alpaca's own two prompts; for the `alpaca` template. Never detected: ask for it."""
    QUESTION_ANSWER = "question_answer"
    """A question and an answer."""
    PREFERENCE = "preference"
    """A chosen and a rejected answer, with a prompt or (reward pairs) without."""
    UNPAIRED = "unpaired"
    """A prompt, a completion and a label that says whether it is good, as KTO takes it."""
    LABELLED = "labelled"
    """Ids of tokens, with labels or a mask: what trains is said already."""
    LABELLED_SHIFTED = "labelled_shifted"
    """The same with a mask that is about the next token. Never detected: ask for it."""
    TEXT = "text"
    """A text that is rendered already: nobody knows who wrote which part of it."""

    @property
    def is_labelled(self) -> bool:
        """Whether the rows hold ids and labels."""
        return self in (Format.LABELLED, Format.LABELLED_SHIFTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the rows of a data set are read. `columns`: our name of a column -> the data set's.

    `roles`: the data set's own names of roles -> ours. `unused`: the columns of the first rows that are not read.
    """

    format: Format
    columns: Mapping[str, str]
    roles: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: what decides how rows are read."""
        roles = {"roles": dict(self.roles)} if self.roles else {}
        return {"format": self.format.value, "columns": dict(self.columns)} | roles


def detect(
    rows: Sequence[Mapping[str, Any]], mapping: Mapping[str, str] | None = None, wanted: Format | None = None
) -> Layout:
    """The layout of a data set, from its first rows.

    `mapping`: our name of a column -> the data set's; `role.NAME` -> a role; and `format` -> a Format, where it is to
    be another than the detected one. `wanted`: what the rows are for, PREFERENCE or UNPAIRED; it is taken where it
    fits. Raises FormatError when no layout fits or the mapping names what is not there.
    """
    if not rows:
        raise FormatError("There is no row to see a layout in.")
    rows = list(map(plain_row, rows))
    present = list(dict.fromkeys(name for row in rows for name in row))
    given = _without_autotrain_keys(dict(mapping or {}), rows)
    asked = given.pop("format", None)
    if asked is not None and asked not in list(Format):
        raise FormatError(f"There is no format {asked!r}; there are: {', '.join(Format)}.")
    roles = {name.removeprefix("role."): given.pop(name) for name in list(given) if name.startswith("role.")}
    for name, column in given.items():
        if name not in _NAMES:
            raise FormatError(f"There is no column {name!r} to map; there are: {', '.join(_NAMES)}.")
        if column not in present:
            raise FormatError(f"The data has no column {column!r}; it has: {listed(present)}.")
    known = {**_named(present, set(given.values()), rows), **given}
    if asked is None:
        known = _with_chats(_with_pairs(known, given), given, rows)
        formats = [format for format in _order(known, rows, wanted) if _variant(format, known, rows) is not None]
        if not formats:
            if "input_ids" in known and holds_ids(rows[0].get(known["input_ids"])):
                raise FormatError(
                    f"{known['input_ids']} holds ids of tokens, and no column says which of them train. There are: "
                    f"{listed(present)}. Map it: labels=COLUMN, or loss_mask=COLUMN, which may be an attention mask "
                    "where every token trains."
                )
            raise FormatError(
                f"No layout fits the columns {listed(present) or 'none'}. Say which column is which, such as "
                "prompt=COLUMN and completion=COLUMN, or messages=COLUMN."
            )
        asked = formats[0]
    format = Format(asked)
    variant = _variant(format, known, rows)
    if variant is None:
        missing = next((name for name in _SHAPES[format].needed[-1] if name not in known), "messages")
        raise FormatError(
            f"The format {format.value} needs the column {missing!r}; the data has: "
            f"{listed(present)}. Map it: {missing}=COLUMN."
        )
    used = [*variant, *_SHAPES[format].beside, *(("input",) if "instruction" in variant else ())]
    columns = {name: known[name] for name in used if name in known}
    unused = tuple(name for name in present if name not in columns.values())
    return Layout(format=format, columns=columns, roles=roles, unused=unused)


def read(row: Mapping[str, Any], layout: Layout, as_given: Collection[str] = ()) -> Sample:
    """One row. `as_given`: the steps that are left out (see `conversation.Step`).

    Raises FormatError or ConversationError, which say what is wrong with it.
    """
    try:
        return _SHAPES[layout.format].read(Columns(plain_row(row), _columns(row, layout), layout.roles, as_given))
    except RecursionError:
        raise FormatError("The row's values are nested too deeply.") from None


def is_meaningful(column: object) -> bool:
    """Whether the name of a column says that it matters for what is trained."""
    return isinstance(column, str) and _MEANINGFUL.fullmatch(column) is not None


def unread_columns(row: Mapping[str, Any], layout: Layout) -> tuple[str, ...]:
    """The columns of a row that hold something, mean something for training, and are not read."""
    read = _columns(row, layout).values()
    holding = (name for name, value in row.items() if name not in read and value not in (None, "", [], {}))
    return tuple(filter(is_meaningful, holding))


_MEANINGFUL = re.compile(
    r"history|system\w*|tools?|functions|images?|videos?|audios?|objects|label|kto_tag|\w*rejected\w*|\w*chosen\w*|"
    r"\w*thinking|reasoning\w*|thoughts?|rationale|cot|weights?|loss|train|mask|\w*_mask|labels|input_ids|messages|"
    r"conversations?|\w*prompt|completions?|\w*instructions?|input|output|responses?|generations?|question|query|"
    r"answers?|solution|context|role|margin|"
    r"documents|chat_template_kwargs",
    re.IGNORECASE,
)
"""Names of columns that say something about what is trained."""


def _columns(row: Mapping[str, Any], layout: Layout) -> Mapping[str, str]:
    """The columns that are read of a row: the layout's, and what stands beside the chat in later rows alone."""
    if row.keys() <= {*layout.columns.values(), *layout.unused}:
        return layout.columns
    late = {name: str(column) for column in row if (name := late_name(str(column), layout)) is not None}
    return {**late, **layout.columns}


def late_name(column: str, layout: Layout) -> str | None:
    """Our name of a column that the first rows did not have, and that is read beside a chat of the layout."""
    if column in layout.unused or column in layout.columns.values():
        return None
    names = (name for name in _SHAPES[layout.format].beside if name not in layout.columns)
    return next((name for name in names if column.lower() in (name, *_NAMES[name])), None)


def conversation_of(source: Source, as_given: Collection[str] = ()) -> Conversation:
    """A conversation from a list of messages, an object with `messages`, or a row of any layout that is detected.

    Of a pair the chosen answer. Raises ConversationError, and FormatError for a row that does not keep to its layout.
    """
    if isinstance(source, list) and source and all(isinstance(one, Mapping) and "from" in one for one in source):
        source = {"messages": source}
    is_labelled = is_labelled_row(source)
    is_row = isinstance(source, Mapping) and (
        is_labelled
        or not isinstance(source.get("messages"), list | tuple)
        or any("from" in one for one in _objects(source["messages"]))
        or not _OF_ROWS.isdisjoint(name.lower() for name in source if isinstance(name, str))
    )
    if is_row and source and (is_labelled or "all" not in as_given):
        try:
            layout = detect([source])  # type: ignore[list-item]
        except FormatError:
            if is_labelled and "messages" not in source:  # type: ignore[operator]
                raise
            return normalized(source, as_given=as_given)
        if "all" not in as_given or layout.format.is_labelled:
            conversation = read(source, layout, as_given).conversation  # type: ignore[arg-type]
            return replace(conversation, unread=unread_columns(source, layout))  # type: ignore[arg-type]
    return normalized(source, as_given=as_given)


def is_labelled_row(source: object) -> bool:
    """Whether a source is a row of ids, or a conversation that was read from one."""
    if isinstance(source, Conversation):
        return source.labelled is not None
    return isinstance(source, Mapping) and any(holds_ids(source.get(name)) for name in ("model_input", *ID_NAMES))


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list | tuple) else []


def _named(present: Sequence[str], taken: Collection[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Our names of the columns that go by one of the names that are known; each column once.

    Of those about tokens only the ones that hold lists: a weight of a row is not a list of weights.
    """
    by_name = {column.lower(): column for column in reversed(present) if column not in taken}
    lists = {name for name, column in by_name.items() if any(holds_list(row.get(column)) for row in rows)}
    found = {}
    for name, others in _NAMES.items():
        usable = lists if name in LABELLED_NAMES else by_name
        column = next((by_name[other] for other in (name, *others) if other in usable), None)
        if column is not None:
            found[name] = column
    return found


def _with_pairs(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The columns, with the answer beside a rejected one taken for the chosen one: ms-swift's and AutoTrain's names."""
    rejected = known.get("rejected", "").lower()
    answer = {"rejected_response": "output", "rejected_text": "text"}.get(rejected, "")
    if answer not in known or "messages" in known or {"chosen", "rejected"} & set(given) or "chosen" in known:
        return dict(known)
    return {**{name: column for name, column in known.items() if name != answer}, "chosen": known[answer]}


def _with_chats(
    known: Mapping[str, str], given: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """The columns, with a `text` that holds chats taken for messages."""
    value = rows[0].get(known["text"]) if "text" in known and not {"messages", "text"} & set(given) else None
    if "messages" in known or not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return dict(known)
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = literal(value)
    return {**known, "messages": known["text"]} if is_chat(read) else dict(known)


def _order(known: Mapping[str, str], rows: Sequence[Mapping[str, Any]], wanted: Format | None) -> list[Format]:
    """The formats that are detected, in the order in which they are tried."""
    order: list[Format] = [format for format in _SHAPES if format not in _ASKED_FOR]
    if wanted is None and "messages" in known:
        if "rejected" in known and ("chosen" not in known or not _ends_in_answer(rows[0].get(known["messages"]))):
            wanted = Format.PREFERENCE
        elif known.get("label") == "kto_tag":
            wanted = Format.UNPAIRED
    return order if wanted is None else [wanted, *order]


def _ends_in_answer(messages: Any) -> bool:
    """Whether the last message is an answer; a column that is not a list of messages is not looked into."""
    last = messages[-1] if isinstance(messages, list | tuple) and messages else {}
    speaker = last.get("role") or last.get("from") if isinstance(last, Mapping) else None
    return str(speaker).lower() not in ("user", "human", "system", "tool", "observation")


def _variant(format: Format, known: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """The columns that a format reads of those that are known; None where it lacks some."""
    for needed in _SHAPES[format].needed:
        if all(name in known for name in needed):
            if format is Format.UNPAIRED and needed != ("prompt", "completion", "label"):
                labels = (row.get(known["label"]) for row in rows)
                if any(label is not None and judgement(label) is None for label in labels):
                    continue
            if needed[:1] == ("messages",) and "chosen" in needed and holds_prompt(rows[0].get(known["chosen"])):
                continue  # the answers hold the prompt themselves
            if format.is_labelled and not any(holds_ids(row.get(known[needed[0]])) for row in rows):
                continue
            return needed
    return None


def _without_autotrain_keys(mapping: dict[str, str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """AutoTrain's keys as ours: its text column is the chosen answer of a pair, messages, or a text."""
    text, prompt, rejected = (mapping.pop(f"{name}_column", None) for name in ("text", "prompt_text", "rejected_text"))
    if prompt is not None:
        mapping["prompt"] = prompt
    if rejected is not None:
        mapping["rejected"] = rejected
    if text is not None:
        value = rows[0].get(text)
        is_list = not isinstance(value, str) or value.lstrip().startswith(("[{", "{"))
        mapping["chosen" if rejected is not None else "messages" if is_list else "text"] = text
    return mapping


# --- the layouts


_PROMPTS = ("messages", "prompt", "instruction", "question", "input")
"""Columns that hold what is answered, the first of them first."""
_BESIDE = ("history", "system", "tools", "enable_thinking", "documents", "chat_template_kwargs")
"""Columns that stand beside a chat of any layout."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "messages": ("conversations", "conversation", "dialogue", "dialog", "chat"),
    "tools": ("functions",),
    "system": ("system_prompt", "system_message"),
    "prompt": (),
    "completion": ("generation",),
    "chosen": ("chosen_response", "chosen_conversations", "preferred_output", "preferred_response"),
    "rejected": (
        "rejected_response", "rejected_text", "rejected_conversations", "rejected_messages", "non_preferred_output",
        "non_preferred_response",
    ),
    "label": ("kto_tag",),
    "instruction": (),
    "input": ("context",),
    "output": ("response",),
    "question": ("query",),
    "answer": ("answers",),
    "text": (),
    "history": (),
    "enable_thinking": (),
    "prompt_messages": (),
    "documents": (),
    "chat_template_kwargs": (),
    **LABELLED_NAMES,
}  # fmt: skip
"""Our name of a column, and other names that it goes by, in lower case."""
_OF_ROWS = frozenset({"history", "system", *_NAMES["system"]})
"""Columns beside messages that a row has, and a conversation has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """A layout. `needed`: the columns that it cannot do without, in every combination that it reads, the first that
    fits first; `beside`: those that it reads where they are."""

    needed: Sequence[tuple[str, ...]]
    read: Callable[[Columns], Sample]
    beside: tuple[str, ...] = _BESIDE


_ASKED_FOR = (Format.ALPACA_PROMPT, Format.LABELLED_SHIFTED)
"""Formats that are never detected."""
_BESIDE_IDS = tuple(name for name in LABELLED_NAMES if name not in ("input_ids", "model_input", "loss_fn_inputs"))

_SHAPES: Mapping[Format, _Shape] = {
    Format.LABELLED: _Shape(
        needed=[("model_input", "loss_fn_inputs"), *(("input_ids", name) for name in LABEL_COLUMNS[::-1])],
        read=read_labels, beside=_BESIDE_IDS,
    ),
    Format.LABELLED_SHIFTED: _Shape(
        needed=[("input_ids", name) for name in LABEL_COLUMNS[::-1]], read=read_shifted_labels, beside=_BESIDE_IDS
    ),
    Format.MESSAGES: _Shape(needed=[("messages",)], read=read_messages, beside=(*_BESIDE, "prompt_messages")),
    Format.PREFERENCE: _Shape(
        needed=[*((name, "chosen", "rejected") for name in _PROMPTS), ("messages", "rejected"), ("chosen", "rejected")],
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
        needed=[("question", "answer"), ("question", "output"), ("input", "output"), ("question", "completion")],
        read=read_exchange,
    ),
    Format.TEXT: _Shape(needed=[("text",), ("prompt", "completion"), ("text",)], read=read_text, beside=()),
}  # fmt: skip
"""Every layout, in the order in which they are tried. The last combination is the one that an error names."""
