"""A data set's row -> a conversation, or a pair of them: every common layout, detected and overridable.

A row is a dict of columns. `detect` names the layout from the columns and the first rows, for what is going to be done
with them; `read` turns each row into a Sample. Columns with other names are mapped: `{"prompt": "question_text"}` says
where the prompt is, `{"role.bot": "assistant"}` what a role is. AutoTrain's keys (`text_column`, `prompt_text_column`,
`rejected_text_column`) are understood as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from inspector.conversation import TEXT_ROLE, Change, Conversation, Message, Step, listed
from inspector.data.columns import Columns, exchange, is_chat, plain_row
from inspector.data.dialogues import literal
from inspector.data.normal import Source, normalized
from inspector.errors import FormatError
from inspector.model.tokenizer import Tokenizer

ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request."
)
"""What an Alpaca prompt begins with when the row has an input; the `alpaca` template has the other one."""


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
    TEXT = "text"
    """A text that is rendered already: nobody knows who wrote which part of it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a row holds. `conversation`: the row, or the chosen answer of a pair; of a text, one message of role `text`.

    `rejected`: the other answer of a pair. `is_good`: KTO's label. `prompt_messages`: how many messages come before
    what is judged; of a pair those that both begin with.
    """

    conversation: Conversation
    rejected: Conversation | None = None
    is_good: bool | None = None
    prompt_messages: int = 0


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
    known = {**_named(present, set(given.values())), **given}
    if asked is None:
        known = _with_chats(known, given, rows)
        formats = [format for format in _order(known, rows, wanted) if _variant(format, known, rows) is not None]
        if not formats:
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
        return _SHAPES[layout.format].read(Columns(plain_row(row), layout.columns, layout.roles, as_given))
    except RecursionError:
        raise FormatError("The row's values are nested too deeply.") from None


def conversation_of(source: Source, as_given: Collection[str] = ()) -> Conversation:
    """A conversation from a list of messages, an object with `messages`, or a row of any layout that is detected.

    Of a pair the chosen answer. Raises ConversationError, and FormatError for a row that does not keep to its layout.
    """
    if isinstance(source, list) and source and all(isinstance(one, Mapping) and "from" in one for one in source):
        source = {"messages": source}
    is_row = isinstance(source, Mapping) and (
        not isinstance(source.get("messages"), list | tuple)
        or any("from" in one for one in _objects(source["messages"]))
        or not _OF_ROWS.isdisjoint(name.lower() for name in source if isinstance(name, str))
    )
    if is_row and source and "all" not in as_given:
        try:
            layout = detect([source])  # type: ignore[list-item]
        except FormatError:
            return normalized(source, as_given=as_given)
        return read(source, layout, as_given).conversation  # type: ignore[arg-type]
    return normalized(source, as_given=as_given)


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list | tuple) else []


def _named(present: Sequence[str], taken: Collection[str]) -> dict[str, str]:
    """Our names of the columns that go by one of the names that are known; each column once."""
    by_name = {column.lower(): column for column in reversed(present) if column not in taken}
    found = {}
    for name, others in _NAMES.items():
        column = next((by_name[other] for other in (name, *others) if other in by_name), None)
        if column is not None:
            found[name] = column
    return found


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
    order: list[Format] = [format for format in _SHAPES if format is not Format.ALPACA_PROMPT]
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
                if any(label is not None and _judgement(label) is None for label in labels):
                    continue
            if needed[:1] == ("messages",) and "chosen" in needed and _has_prompt(rows[0].get(known["chosen"])):
                continue  # the answers hold the prompt themselves
            return needed
    return None


def _has_prompt(value: Any) -> bool:
    return isinstance(value, list | tuple) and is_chat(value) and any(not _is_answer(message) for message in value)


def _is_answer(message: Mapping[str, Any]) -> bool:
    return str(message.get("role") or message.get("from")).lower() in ("assistant", "gpt", "model", "bot")


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


# --- one reader a format


def _read_messages(columns: Columns) -> Sample:
    history, messages, count = columns.history(), columns.chat("messages"), columns["prompt_messages"]
    if count is not None and type(count) is not int:
        raise FormatError(
            f"The column {columns.names['prompt_messages']!r} is {count!r:.60}, and must be the number of messages "
            "that are the prompt."
        )
    return Sample(conversation=columns.conversation([*history, *messages], len(history) + count if count else 0))


def _prompt(columns: Columns) -> list[Message]:
    """The messages before the answer, however the row has them."""
    names = columns.names
    if "messages" in names:
        messages = columns.chat("messages")
    elif "instruction" in names:
        texts = [columns.text("instruction"), columns.text("input") if "input" in columns else ""]
        messages = [{"role": "user", "content": "\n\n".join(filter(None, texts))}]
    else:
        name = next((name for name in ("prompt", "question", "input") if name in columns), "")
        messages = columns.messages(name, "user") if name else []
    return [*columns.history(), *messages]


def _answer_name(columns: Columns) -> str:
    return next(name for name in _ANSWERS if name in columns.names)


def _read_exchange(columns: Columns) -> Sample:
    """A prompt and what answers it."""
    name = _answer_name(columns)
    for text in ("prompt", "question", name):
        if text in columns.names and columns[text] is None:
            columns.text(text)  # which says that it is missing
    prompt = _prompt(columns)
    if "prompt" in columns.names and isinstance(columns["prompt"], str) and isinstance(columns[name], str):
        if not columns.does(Step.TURNS):
            raise FormatError("Prompt and completion are texts without turns: read them with format=text.")
        columns.changes.append(Change(Step.TURNS, f"{columns.names['prompt']} and {columns.names[name]}"))
    messages = [*prompt, *columns.messages(name, "assistant", is_dialogue=False)]
    conversation = columns.conversation(messages, len(prompt))
    return Sample(conversation=conversation, prompt_messages=len(conversation.messages) - len(messages) + len(prompt))


def _read_unpaired(columns: Columns) -> Sample:
    is_good = _judgement(columns["label"])
    if is_good is None:
        raise FormatError(
            f"The column {columns.names['label']!r} is {columns['label']!r:.60}, and must be true or false."
        )
    if "messages" not in columns.names:
        return replace(_read_exchange(columns), is_good=is_good)
    conversation = columns.conversation([*columns.history(), *columns.chat("messages")])
    return Sample(conversation=conversation, is_good=is_good, prompt_messages=_answered(conversation.messages))


def _judgement(label: Any) -> bool | None:
    """Whether a label says good or bad; None for another value."""
    value = label.lower() if isinstance(label, str) else label
    return True if value in ("true", "1", 1) else False if value in ("false", "0", 0) else None


def _read_preference(columns: Columns) -> Sample:
    """Chosen and rejected, with the prompt in front where they do not hold it themselves."""
    if "chosen" not in columns.names:  # the answer in the messages is the chosen one
        messages = columns.chat("messages")
        at = _answered(messages)
        prompt, sides = [*columns.history(), *messages[:at]], [messages[at:]]
    else:
        prompt = _prompt(columns)
        sides = [columns.messages("chosen", "assistant", is_dialogue=_may_hold_prompt(columns, prompt))]
    sides.append(columns.messages("rejected", "assistant", is_dialogue=_may_hold_prompt(columns, prompt)))
    held = [side[: _answered(side)] for side in sides]
    if any(held) and not all(held) and not prompt and columns.does(Step.PAIRS):
        prompt = next(filter(None, held))
        columns.changes.append(Change(Step.PAIRS, columns.names["rejected" if held[0] else "chosen"]))
    if all(held) and held[0] != held[1]:
        columns.changes.append(Change(Step.PAIRS, "chosen and rejected", _last_text(held[0]), _last_text(held[1])))
    lengths = [0 if own else len(prompt) for own in held]
    whole = [side if own else [*prompt, *side] for own, side in zip(held, sides, strict=True)]
    both = [columns.conversation(messages, count) for messages, count in zip(whole, lengths, strict=True)]
    answers = [conversation.messages for conversation in both]
    common = next((i for i, (a, b) in enumerate(zip(*answers, strict=False)) if a != b), min(map(len, answers)))
    return Sample(conversation=both[0], rejected=both[1], prompt_messages=common)


def _may_hold_prompt(columns: Columns, prompt: Sequence[Message]) -> bool:
    """Whether an answer's text can be the whole chat: there is no prompt, or it is such a text itself."""
    return not prompt or any(change.step is Step.DIALOGUES for change in columns.changes)


def _answered(messages: Sequence[Message]) -> int:
    """How many messages come before the answer: up to the last one that is not an answer."""
    return max((i + 1 for i, message in enumerate(messages) if not _is_answer(message)), default=0)


def _last_text(messages: Sequence[Message]) -> Any:
    return messages[-1].get("content")


def _read_alpaca_prompt(columns: Columns) -> Sample:
    instruction, extra = columns.text("instruction"), columns.text("input") if "input" in columns else ""
    if not extra:
        return Sample(conversation=columns.conversation(exchange(instruction, columns.text("output"))))
    messages = exchange(f"{instruction}\n\n### Input:\n{extra}", columns.text("output"))
    return Sample(conversation=columns.conversation([{"role": "system", "content": ALPACA_PREAMBLE}, *messages]))


def _read_text(columns: Columns) -> Sample:
    if "text" in columns.names:
        return Sample(conversation=Conversation.parse([{"role": TEXT_ROLE, "content": columns.text("text")}]))
    texts = [("user", columns.text("prompt")), ("assistant", columns.text("completion"))]
    messages = [{"role": role, "content": text} for role, text in texts]
    return Sample(conversation=Conversation.parse({"messages": messages, "prompt_messages": 1}), prompt_messages=1)


def text_template(tokenizer: Tokenizer, *, add_eos: bool = True) -> str:
    """The chat template for rows that are rendered texts: the text, as trl's SFTTrainer tokenizes it.

    With the special tokens that the tokenizer adds, and with `add_eos` eos where the text does not end in it.
    """
    alone, whole = (tokenizer("a", add_special_tokens=added, verbose=False)["input_ids"] for added in (False, True))
    at = next((i for i in range(len(whole)) if whole[i : i + len(alone)] == alone), 0)
    before = "".join(tokenizer.convert_ids_to_tokens(whole[:at]))
    after = "".join(tokenizer.convert_ids_to_tokens(whole[at + len(alone) :]))
    end = "{{ eos_token if eos_token and not message.content.endswith(eos_token) }}"
    end = f"{{% if loop.last %}}{end if add_eos and not after else ''}{{{{ {json.dumps(after)} }}}}{{% endif %}}"
    loop = f"{{% for message in messages %}}{{{{ message.content }}}}{end}{{% endfor %}}"
    return f"{{{{ {json.dumps(before)} }}}}{loop}"


# --- the layouts


_ANSWERS = ("completion", "output", "answer")
"""Columns that hold an answer."""
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
        "rejected_response", "rejected_conversations", "rejected_messages", "non_preferred_output",
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


_SHAPES: Mapping[Format, _Shape] = {
    Format.MESSAGES: _Shape(
        needed=[("messages",)], read=_read_messages, beside=(*_BESIDE, "prompt_messages")
    ),
    Format.PREFERENCE: _Shape(
        needed=[*((name, "chosen", "rejected") for name in _PROMPTS), ("messages", "rejected"), ("chosen", "rejected")],
        read=_read_preference,
    ),
    Format.UNPAIRED: _Shape(
        needed=[
            *((name, answer, "label") for name in _PROMPTS[3:0:-1] for answer in _ANSWERS),
            ("messages", "label"), ("prompt", "completion", "label"),
        ],
        read=_read_unpaired,
    ),
    Format.PROMPT_COMPLETION: _Shape(needed=[("prompt", name) for name in _ANSWERS], read=_read_exchange),
    Format.ALPACA: _Shape(needed=[("instruction", name) for name in _ANSWERS[1::-1]], read=_read_exchange),
    Format.ALPACA_PROMPT: _Shape(needed=[("instruction", "output")], read=_read_alpaca_prompt, beside=()),
    Format.QUESTION_ANSWER: _Shape(
        needed=[("question", "answer"), ("question", "output"), ("input", "output"), ("question", "completion")],
        read=_read_exchange,
    ),
    Format.TEXT: _Shape(needed=[("text",), ("prompt", "completion"), ("text",)], read=_read_text, beside=()),
}  # fmt: skip
"""Every layout, in the order in which they are tried. The last combination is the one that an error names."""
