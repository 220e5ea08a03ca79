"""Findings about changes made to a row before the template saw it, and about values that a template writes wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from inspector.conversation import PART_FLAGS, TRAIN_FLAGS, Change, Message, Step, is_flagged, is_media
from inspector.data.layouts import is_meaningful
from inspector.data.tally import unread_text
from inspector.errors import RenderError, listed, short
from inspector.findings.codes import Code, Finding, Severity
from inspector.findings.places import span_of
from inspector.paths import shown_path
from inspector.rendering import sandbox
from inspector.strategies import Example, Labelled, is_trained


def find_row_changes(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """One finding for each step that changed something: the number of changes, and the values of the first."""
    changes = sorted(example.conversation.changes, key=lambda change: list(Step).index(change.step))
    differing = [change for change in changes if change.step is Step.PAIRS and change.before != change.after]
    yield from map(_differing_prompts, differing)
    changes = [change for change in changes if change not in differing]
    for step, group in groupby(changes, key=lambda change: change.step):
        made = list(group)
        count = f"{len(made)} fields, the first is " if len(made) > 1 else ""
        loses = any(map(_loses_media, made))
        yield Finding(
            code=Code.ROW_CHANGED,
            severity=Severity.WARNING if loses or step is Step.SYSTEM else Severity.NOTE,
            message_index=None,
            token_span=None,
            detail=f"{step.text}: {count}{_shown(made[0])}."
            + (" Images, sounds and videos are left out: this template takes text only." if loses else ""),
            remedy=_UNTEMPLATED if step is Step.TURNS else _KEPT.format(step=step.value),
        )


_KEPT = (
    "Nothing to do if the row means that; as_given: {step} leaves it as it is. A trainer that reads the row itself "
    "does not make this change."
)
_UNTEMPLATED = (
    "TRL trains these texts as they are, without turns: template: none does that here, on the command line "
    "--template none."
)


def _differing_prompts(change: Change) -> Finding:
    return Finding(
        code=Code.PAIR_PROMPTS_DIFFER,
        severity=Severity.WARNING,
        message_index=None,
        token_span=None,
        detail=f"Chosen and rejected answer different prompts: {_json(change.before)} and {_json(change.after)}.",
        remedy="Give both answers of a pair the same prompt; a preference is between two answers to one.",
    )


def _loses_media(change: Change) -> bool:
    """Whether parts that are not text were removed from a message's content."""
    before, after = change.before, change.after if isinstance(change.after, list) else []
    return change.step is Step.CONTENT and isinstance(before, list) and _media(before) > _media(after)


def _media(parts: list[Any]) -> int:
    return sum(map(is_media, parts))


def _shown(change: Change) -> str:
    if change.before is None and change.after is None:
        return change.where
    return f"{change.where}, from {_json(change.before)} to {_json(change.after)}"


def _json(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False, default=str), 80)


def find_messages_without_content(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Messages whose content is null or missing and that hold no calls instead."""
    for index, message in enumerate(example.conversation.messages):
        if message.get("content") is not None or message.get("tool_calls"):
            continue
        turn = example.turns.get(index)
        text = "" if turn is None else "".join(example.rendered.text[start:end] for start, end in turn.char_spans)
        writes = "; the template writes 'None' there" if "None" in text else ""
        yield Finding(
            code=Code.NO_CONTENT,
            severity=Severity.ERROR if writes else Severity.WARNING,
            message_index=index,
            token_span=span_of(example, index),
            detail=f"message {index} ({message['role']}) has no content{writes}.",
            remedy="Write the content, an empty text where nothing is said, or leave the message out.",
        )


def find_nulls_in_loss(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Null fields that are written as null in trained text: the first of each message."""
    for index, message in _with_more_than_text(example):
        paths = {path for name in message for path, value in _values(message[name], name) if value is None}
        if not paths:
            continue
        trained = _trained_characters(example, labelled)
        written = [
            run.origin.field
            for start, end, run in example.rendered.spans()
            if run.origin.message_index == index and run.origin.field in paths and trained[start]
            and any(word in example.rendered.text[start:end] for word in ("null", "None"))
        ]  # fmt: skip
        if written:
            yield Finding(
                code=Code.NULL_IN_LOSS,
                severity=Severity.NOTE,
                message_index=index,
                token_span=span_of(example, index),
                detail=f"The model learns to write null: message {index} · {written[0]}"
                + (f" and {len(written) - 1} more are" if len(written) > 1 else " is")
                + " written in trained text.",
                remedy="Remove fields that have no value, unless null is what the model is to write.",
            )


def find_python_in_text(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Lists and objects of messages that the template writes in Python syntax."""
    for index, message in _with_more_than_text(example):
        turn = example.turns.get(index)
        for path, value in () if turn is None else _values(message, ""):
            if not isinstance(value, list | dict) or not value or path == "" or (text := repr(value)) == _plain(value):
                continue
            start = example.rendered.text.find(text, turn.start, turn.end)  # type: ignore[union-attr]
            if start < 0:
                continue
            is_in_loss = any(_trained_characters(example, labelled)[start : start + len(text)])
            yield Finding(
                code=Code.PYTHON_IN_TEXT,
                severity=Severity.ERROR if is_in_loss else Severity.WARNING,
                message_index=index,
                token_span=span_of(example, index),
                detail=f"The template writes {path} of message {index} in Python's syntax"
                f"{', and it is trained' if is_in_loss else ''}: {short(text)!r}.",
                remedy="Write the value as text or as JSON, or use a template that takes "
                + ("a list of parts." if isinstance(value, list) else "an object."),
            )
            break  # its inner values are written with it


def find_encoded_twice(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Arguments that are JSON text and are rendered as a JSON string."""
    for index, turn in example.answers():
        calls = example.conversation.messages[index].get("tool_calls")
        for at, call in enumerate(calls if isinstance(calls, list) else ()):
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if not isinstance(arguments, str) or not arguments.lstrip().startswith("{"):
                continue
            encoded = (json.dumps(arguments, ensure_ascii=is_ascii) for is_ascii in (False, True))
            if any(text in example.rendered.text[turn.start : turn.end] for text in encoded):
                yield Finding(
                    code=Code.ENCODED_TWICE,
                    severity=Severity.ERROR if is_trained(example, labelled, index) else Severity.WARNING,
                    message_index=index,
                    token_span=span_of(example, index),
                    detail=f"The arguments are encoded twice: message {index} · tool_calls[{at}].function.arguments is "
                    f"JSON text, and the template writes it as a JSON string, {short(json.dumps(arguments))}.",
                    remedy="Give the arguments as an object: the step `arguments` does it.",
                )


def find_flags_not_obeyed(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Messages whose flag contradicts the labels (the first, and their number), and flags of parts."""
    yield from _part_flags(example)
    odd = []
    for index, message in enumerate(example.conversation.messages):
        name = next((name for name in TRAIN_FLAGS if message.get(name) is not None), None)
        turn = example.turns.get(index)
        if name is None or turn is None or index < example.conversation.prompt_messages or labelled.cut:
            continue
        count = sum(labelled.trained[i] for i in turn.tokens)
        if bool(count) is not is_flagged(message):
            odd.append((index, name, count))
    if not odd:
        return
    index, name, count = odd[0]
    message = example.conversation.messages[index]
    more = f" So it is in {len(odd)} messages; this is the first." if len(odd) > 1 else ""
    yield Finding(
        code=Code.FLAGS_NOT_OBEYED,
        severity=Severity.WARNING,
        message_index=index,
        token_span=span_of(example, index),
        detail=f"A flag is not obeyed: message {index} has {name}: {json.dumps(message[name])}, and "
        f"{f'{count} of its tokens are trained' if count else 'none of its tokens is trained'}.{more}",
        remedy="keep: flagged goes by the messages' own flags; remove them if they mean nothing.",
    )


def _part_flags(example: Example) -> Iterator[Finding]:
    """The first message that says which of its characters train: no rule here obeys that."""
    for index, message in _with_more_than_text(example):
        if name := next((name for name in PART_FLAGS if message.get(name)), None):
            yield Finding(
                code=Code.FLAGS_NOT_OBEYED,
                severity=Severity.WARNING,
                message_index=index,
                token_span=span_of(example, index),
                detail=f"A flag is not obeyed: message {index} has {name}, which says what of it is trained, and the "
                "whole message is trained or is not.",
                remedy="Write rows with segments, texts with a label each, where parts of a message are to be trained.",
            )
            return


def _with_more_than_text(example: Example) -> Iterator[tuple[int, Message]]:
    """The messages with values other than text, with their indices: there are few."""
    for index, message in enumerate(example.conversation.messages):
        if not all(isinstance(value, str) for value in message.values()):
            yield index, message


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value in a message with its path, outermost first."""
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _values(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _values(item, f"{path}[{i}]")


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _trained_characters(example: Example, labelled: Labelled) -> bytearray:
    """1 for each character of the text that is in a trained token."""
    out = bytearray(len(example.rendered.text))
    for (start, end), bit in zip(example.tokens.char_spans, labelled.trained, strict=True):
        if bit:
            out[start:end] = b"\1" * (end - start)
    return out


def find_unread(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Columns of the row that are not read, and keywords that the template does not read, except for thinking."""
    if example.conversation.unread:
        yield Finding(
            code=Code.COLUMN_NOT_READ,
            severity=Severity.WARNING,
            message_index=None,
            token_span=None,
            detail=unread_text(dict.fromkeys(example.conversation.unread, 1)),
            remedy="Rename the columns that are meant to names that are read "
            f"({shown_path('docs/audit.md')}); drop the others.",
        )
    names = [name for name in example.conversation.keywords if is_meaningful(name) and not name.endswith("thinking")]
    try:
        unread = [name for name in names if name not in sandbox.keywords(example.template)] if names else []
    except RenderError:  # a template whose names cannot be read may still have rendered
        return
    if unread:
        yield Finding(
            code=Code.KEYWORD_NOT_READ,
            severity=Severity.WARNING,
            message_index=None,
            token_span=None,
            detail=f"The template does not read these keywords: {listed(unread)}.",
            remedy="Take them out, or use a template that reads them; images, sounds and videos are not trained here.",
        )


ROW_FINDERS = (
    find_row_changes,
    find_messages_without_content,
    find_nulls_in_loss,
    find_python_in_text,
    find_encoded_twice,
    find_flags_not_obeyed,
    find_unread,
)
"""All of them."""
