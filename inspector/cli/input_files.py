"""Arguments of the command line -> conversations, templates, rules. An unusable file raises InputFileError."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.data.columns import is_chat
from inspector.data.files import suffix_of
from inspector.data.formats import conversation_of, read
from inspector.data.labelled import LABEL_COLUMNS
from inspector.data.layouts import Format, unread_columns
from inspector.data.source import DETECTED_FROM, BadRow, DataSource, detect_rows
from inspector.errors import ConversationError, FormatError, InputFileError
from inspector.files.text_files import read_text, write_text
from inspector.strategies import Modifiers, Rule


def read_conversation(name: str, as_given: Collection[str] = (), reads: Collection[str] = ()) -> Conversation:
    """The conversation in a JSON file, or in the first row of a data set of any kind; `-` is standard input.

    `reads`: names of columns that the template reads. Raises InputFileError, ConversationError, FormatError, DataError.
    """
    path = Path(name)
    is_data = name != "-" and (path.is_dir() or suffix_of(path) not in ("", ".json", ".txt"))
    if not is_data:
        value = _parsed(name, read_text(name))
        is_rows = isinstance(value, list) and value and not is_chat(value) and all(isinstance(v, dict) for v in value)
        if not is_rows:
            return conversation_of(value, as_given, reads)
    return read_row(name, 0, {}, as_given, reads)


def read_row(
    name: str,
    number: int,
    mapping: Mapping[str, str],
    as_given: Collection[str] = (),
    reads: Collection[str] = (),
    *,
    labels: bool = False,
) -> Conversation:
    """Row `number` of a file or folder of rows, read as an audit reads it; of a pair, the chosen answer.

    `reads`: names of columns that the template reads. `labels`: the rows must hold ids and labels, whatever else they
    hold. Raises InputFileError, DataError, FormatError, ConversationError.
    """
    source = DataSource(text=read_text(name)) if name == "-" else DataSource(name=name)
    with closing(source.rows()) as rows:  # type: ignore[type-var]
        head = list(islice(rows, DETECTED_FROM))
        layout = detect_rows(head, mapping, Format.LABELLED if labels else None).for_template(reads)
        row = next((row for row in chain(head, rows) if row.number == number), None)
    if labels and not layout.format.is_labelled:
        raise FormatError(
            f"{name} holds rows of the kind {layout.format}, and --labels is for rows with ids and labels: "
            f"input_ids beside {', '.join(LABEL_COLUMNS)}."
        )
    if row is None:
        raise InputFileError(f"{name} has no row {number}; rows count from 0.")
    if isinstance(row, BadRow):
        raise InputFileError(f"{row.place}: {row.why}.")
    return replace(read(row.value, layout, as_given).conversation, unread=unread_columns(row.value, layout))


def read_conversations(name: str, reads: Collection[str] = ()) -> list[Conversation]:
    """The conversations in a file: a JSON list of them, or one per line (.jsonl); `-` is standard input.

    `reads`: names of columns that the template reads. Raises InputFileError, or ConversationError, which names the row.
    """
    text = read_text(name)
    if name.endswith(".jsonl"):
        rows = [_parsed(f"{name}, line {i}", line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    else:
        rows = _parsed(name, text)
        if not isinstance(rows, list) or (rows and isinstance(rows[0], dict) and "role" in rows[0]):
            rows = [rows]
    out = []
    for number, row in enumerate(rows):
        try:
            out.append(conversation_of(row, reads=reads))
        except ConversationError as error:
            raise ConversationError(f"{name}, row {number}: {error}") from error
    if not out:
        raise InputFileError(f"{name} holds no conversation.")
    return out


def read_template(name: str) -> str:
    """The template's source in a file, or `name` itself if it is not a file but a template's name.

    Raises InputFileError.
    """
    looks_like_file = Path(name).suffix in {".jinja", ".jinja2", ".j2", ".txt"} or "/" in name
    return read_text(name) if looks_like_file or os.path.isfile(name) else name


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise InputFileError(f"{where} is nested too deeply to be a conversation.") from None
    except ValueError as error:
        raise InputFileError(
            f"{where} is not JSON: {error}. It must hold a list of messages, or an object with `messages`."
        ) from error


def write_new_texts(texts: Mapping[Path, str]) -> None:
    """Write new text files, and their folders. Raises InputFileError if a file exists."""
    for path in texts:
        refuse_existing(path)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputFileError(f"{path.parent} cannot be made: {error.strerror}.") from error
        write_text(str(path), text)


def refuse_existing(path: Path) -> None:
    """Raise InputFileError for a file that exists."""
    if path.exists():
        raise InputFileError(f"{path} already exists: move it away, or choose another name.")


def rule_of(options: argparse.Namespace) -> Rule:
    """The rule that a command's options describe. Raises StrategyError."""
    modifiers = Modifiers(
        keep=options.keep, max_length=options.max_length, truncation=options.truncation, as_given=options.as_given
    )
    return Rule(strategy=options.strategy, options=dict(options.option), modifiers=modifiers)
