"""A data set's row -> a conversation, or a pair of them: every common layout, detected and overridable.

A row is a dict of columns. `detect` finds the layout from the columns and the first rows, for the purpose of the rows;
`read` turns each row into a Sample. Columns with other names are mapped: `{"prompt": "question_text"}` names the column
of the prompt, `{"role.bot": "assistant"}` maps a role. AutoTrain's keys (`text_column`, `prompt_text_column`,
`rejected_text_column`) have the same meaning as there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from inspector.conversation import Conversation
from inspector.data.columns import Columns, plain_row
from inspector.data.dialects import is_foreign, speaker
from inspector.data.labelled import ID_NAMES, holds_ids, holds_segments
from inspector.data.layouts import (
    ASKED_FOR,
    HOLDS,
    NAMES,
    OF_ROWS,
    SHAPES,
    Format,
    Layout,
    columns_of,
    unread_columns,
)
from inspector.data.normal import Source, normalized
from inspector.data.readers import (
    Sample,
    holds_prompt,
    judgement,
)
from inspector.data.unsupported import one_message, unsupported
from inspector.errors import FormatError, listed


def detect(
    rows: Sequence[Mapping[str, Any]], mapping: Mapping[str, str] | None = None, wanted: Format | None = None
) -> Layout:
    """The layout of a data set, from its first rows.

    `mapping`: our name of a column -> the data set's; `role.NAME` -> a role; and `format` -> a Format, to override the
    detected one. `wanted`: the purpose of the rows, PREFERENCE or UNPAIRED; it is used if it fits. Raises FormatError
    if no layout fits or the mapping names something that does not exist.
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
        if name not in NAMES:
            raise FormatError(f"There is no column {name!r} to map; there are: {', '.join(NAMES)}.")
        if column not in present:
            raise FormatError(f"The data has no column {column!r}; it has: {listed(present)}.")
    known = {**_named(present, set(given.values()), rows), **given}
    if asked is None:
        known = _with_chats(_with_pairs(known, given), given)
        order = _order(known, rows, wanted)
        formats = [format for format in order if _variant(format, known, rows, is_filled=True) is not None]
        formats = formats or [format for format in order if _variant(format, known, rows) is not None]
        is_message = formats == [Format.TEXT] and "text" not in given and one_message(rows[0])
        if (not formats or is_message) and (why := unsupported(rows[0])) is not None:
            raise FormatError(f"{why} The columns are {listed(present)}.")
        if not formats:
            if "input_ids" in known and holds_ids(rows[0].get(known["input_ids"])):
                raise FormatError(
                    f"{known['input_ids']} holds ids of tokens, and no column says which of them are trained. There "
                    f"are: {listed(present)}. Map it: labels=COLUMN, or loss_mask=COLUMN, which may be an attention "
                    "mask where every token is trained."
                )
            raise FormatError(
                f"No layout fits the columns {listed(present) or 'none'}. Say which column is which, such as "
                "prompt=COLUMN and completion=COLUMN, or messages=COLUMN."
            )
        asked = formats[0]
    format = Format(asked)
    variant = _variant(format, known, rows, is_filled=True) or _variant(format, known, rows)
    if variant is None:
        missing = next((name for name in SHAPES[format].needed[-1] if name not in known), "messages")
        raise FormatError(
            f"The format {format.value} needs the column {missing!r}; the data has: "
            f"{listed(present)}. Map it: {missing}=COLUMN."
        )
    used = [*variant, *SHAPES[format].beside, *(("input",) if "instruction" in variant else ())]
    columns = {name: known[name] for name in used if name in known}
    unused = tuple(name for name in present if name not in columns.values())
    return Layout(format=format, columns=columns, roles=roles, unused=unused)


def read(row: Mapping[str, Any], layout: Layout, as_given: Collection[str] = ()) -> Sample:
    """Read one row. `as_given`: the steps that are left out (see `conversation.Step`).

    Raises FormatError or ConversationError, which say what is wrong with the row.
    """
    try:
        columns = Columns(plain_row(row), columns_of(row, layout), layout.roles, as_given, layout.reads)
        return SHAPES[layout.format].read(columns)
    except RecursionError:
        raise FormatError("The row's values are nested too deeply.") from None


def conversation_of(source: Source, as_given: Collection[str] = (), reads: Collection[str] = ()) -> Conversation:
    """A conversation from a list of messages, an object with `messages`, or a row of any layout that is detected.

    Of a pair it is the chosen answer. `reads`: names of columns that the template reads. Raises ConversationError, and
    FormatError for a row that does not follow its layout.
    """
    if isinstance(source, list) and any(map(_is_foreign, source)):
        source = {"messages": source}
    is_labelled = is_labelled_row(source)
    is_row = isinstance(source, Mapping) and (
        is_labelled
        or not isinstance(source.get("messages"), list | tuple)
        or any(map(_is_foreign, source["messages"]))
        or not OF_ROWS.isdisjoint(name.lower() for name in source if isinstance(name, str))
    )
    if is_row and source and (is_labelled or "all" not in as_given):
        try:
            layout = detect([source]).for_template(reads)  # type: ignore[list-item]
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
        return source.labelled is not None or bool(source.segments)
    if not isinstance(source, Mapping):
        return False
    has_ids = any(holds_ids(source.get(name)) for name in ("model_input", *ID_NAMES))
    return has_ids or ("messages" not in source and holds_segments(source.get("segments")))


def _is_foreign(message: Any) -> bool:
    """Whether a message has other fields than role and content."""
    return is_foreign(message) or (isinstance(message, Mapping) and "from" in message)


def _named(present: Sequence[str], taken: Collection[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Our names for the columns with a known name.

    Some columns count only if they hold the right kind of value: a row's single weight is not a list of weights.
    """
    by_name = {column.lower(): column for column in reversed(present) if column not in taken}
    found = {}
    for name, others in NAMES.items():
        holds = HOLDS.get(name)
        for column in (by_name[other] for other in (name, *others) if other in by_name):
            if holds is None or any(holds(row.get(column)) for row in rows):
                found[name] = column
                break
    return found


def _with_pairs(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The columns, with the answer next to a rejected one taken as the chosen one, as in ms-swift and AutoTrain."""
    rejected = known.get("rejected", "").lower()
    answer = {"rejected_response": "output", "rejected_text": "text"}.get(rejected, "")
    if answer not in known or "messages" in known or {"chosen", "rejected"} & set(given) or "chosen" in known:
        return dict(known)
    return {**{name: column for name, column in known.items() if name != answer}, "chosen": known[answer]}


def _with_chats(known: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The columns, with a column of chats taken as the messages, whatever its name."""
    is_taken = known.get("turns") == known.get("chosen") or {"messages", "text"} & set(given)
    if is_taken or "turns" not in known or "messages" in known:
        return dict(known)
    return {**known, "messages": known["turns"]}


def _order(known: Mapping[str, str], rows: Sequence[Mapping[str, Any]], wanted: Format | None) -> list[Format]:
    """The formats that are detected, in the order in which they are tried."""
    order: list[Format] = [format for format in SHAPES if format not in ASKED_FOR]
    if wanted is None and "messages" in known:
        if "rejected" in known and ("chosen" not in known or not _ends_in_answer(rows[0].get(known["messages"]))):
            wanted = Format.PREFERENCE
        elif known.get("label") == "kto_tag":
            wanted = Format.UNPAIRED
    return order if wanted is None else [wanted, *order]


def _ends_in_answer(messages: Any) -> bool:
    """Whether the last message is an answer. False for a column that is not a list of messages."""
    last = messages[-1] if isinstance(messages, list | tuple) and messages else {}
    said = speaker(last) if isinstance(last, Mapping) else ""
    return said not in ("user", "human", "system", "tool", "observation")


def _variant(
    format: Format, known: Mapping[str, str], rows: Sequence[Mapping[str, Any]], *, is_filled: bool = False
) -> tuple[str, ...] | None:
    """The known columns that a format reads; None if a needed one is missing.

    `is_filled`: each of them must have a value in at least one of the rows.
    """
    for needed in SHAPES[format].needed:
        if is_filled and not all(any(row.get(known.get(name, "")) is not None for row in rows) for name in needed):
            continue
        if all(name in known for name in needed) and len({known[name] for name in needed}) == len(needed):
            if format is Format.UNPAIRED and needed != ("prompt", "completion", "label"):
                labels = (row.get(known["label"]) for row in rows)
                if any(label is not None and judgement(label) is None for label in labels):
                    continue
            if needed[:1] == ("messages",) and "chosen" in needed and holds_prompt(rows[0].get(known["chosen"])):
                continue  # the answers hold the prompt themselves
            if needed[0] in ("input_ids", "model_input") and not any(
                holds_ids(row.get(known[needed[0]])) for row in rows
            ):
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
