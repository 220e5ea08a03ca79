"""The values of the Data tab's boxes as one value, and the data set that it describes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from inspector import paths
from inspector.audit.run import Task
from inspector.data.files import SUFFIXES
from inspector.data.source import DataSource
from inspector.errors import DataError, SetupError
from inspector.setup import Setup
from ui.visitors.access import hub_token, is_public
from ui.wiring.boxes import Boxes, load_boxes
from ui.wiring.models import LoadedSetup

EXAMPLES = paths.EXAMPLES / "data"
EXAMPLE, FILE, NAME, PASTED = "example", "file", "name", "pasted"
MAX_PASTED_CHARS = 2_000_000
DETECTED = "detected"
"""The choice that lets the inspector detect the format."""
ASKED_FROM = 5_000
"""A data set with more rows is audited only on a click."""
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


class NoSourceError(DataError):
    """Nothing is chosen yet, which is not a user's error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataBoxes:
    """The values of the Data tab's boxes that an audit is made from, by name.

    `data_kind`: the source that counts. `data_file`: the path of an uploaded file, or None. `data_limit`: rows to read,
    0 for all; `data_workers`: processes, 0 for one per core.
    """

    data_kind: str = EXAMPLE
    data_example: str | None = None
    data_file: str | None = None
    data_name: str = ""
    data_split: str = ""
    data_config: str = ""
    data_revision: str = ""
    data_pasted: str = ""
    data_format: str = DETECTED
    data_mapping: str = ""
    data_limit: int | None = 0
    data_workers: int | None = 0


def source_of(data: DataBoxes) -> DataSource:
    """The source of the rows. Raises DataError if the boxes name no data set, or one that must not be read."""
    if data.data_kind == EXAMPLE:
        if data.data_example not in examples():
            raise NoSourceError("Choose an example.")
        return DataSource(name=str(EXAMPLES / str(data.data_example)))
    if data.data_kind == FILE:
        if not data.data_file:
            raise NoSourceError("Choose a file.")
        return DataSource(name=data.data_file)
    if data.data_kind == PASTED:
        if not (data.data_pasted or "").strip():
            raise NoSourceError("Paste rows: JSON, JSONL, or CSV with a header.")
        if len(data.data_pasted) > MAX_PASTED_CHARS:
            raise DataError(f"The rows are {len(data.data_pasted):,} characters long; up to {MAX_PASTED_CHARS:,} go.")
        return DataSource(text=data.data_pasted)
    return _named(data)


def _named(data: DataBoxes) -> DataSource:
    name = (data.data_name or "").strip()
    if not name:
        raise NoSourceError("Type the id of a hub data set" + ("." if is_public() else ", or a path."))
    if is_public() and (not HUB_ID.fullmatch(name) or ".." in name or _is_local(name)):
        raise DataError("Here only data sets of the hub can be named, such as owner/name. Upload a file instead.")
    split, config, revision = ((box or "").strip() for box in (data.data_split, data.data_config, data.data_revision))
    return DataSource(name=name, split=split, config=config, revision=revision)


def _is_local(name: str) -> bool:
    """Whether `DataSource` would search for a file or folder."""
    return os.path.exists(os.path.expanduser(name)) or name.lower().removesuffix(".gz").endswith(SUFFIXES)


def examples() -> list[str]:
    """The file names of the small data sets, best-known formats first."""
    first = ["messages.jsonl", "sharegpt.json", "alpaca.json"]
    names = sorted(path.name for path in EXAMPLES.iterdir())
    return [*first, *(name for name in names if name not in first)]


def mapping_of(data: DataBoxes) -> dict[str, str]:
    """The mapping for `formats.detect`. Raises DataError for a box that does not hold one."""
    mapping = {} if data.data_format == DETECTED else {"format": data.data_format}
    for part in filter(None, (part.strip() for part in re.split(r"[,\n]", data.data_mapping or ""))):
        name, sign, column = (text.strip() for text in part.partition("="))
        if not (name and sign and column):
            raise DataError(f"{part!r} is not a mapping: write NAME=COLUMN, for example prompt=question.")
        mapping[name] = column
    return mapping


def shared_setup(boxes: Boxes) -> LoadedSetup:
    """The Inspect tab's setup without its conversation.

    Raises SetupError while its model loads, and as `load_boxes`.
    """
    if not boxes.is_settled:
        raise SetupError("The Inspect tab's model is still being loaded: ask again once it is there.")
    return load_boxes(replace(boxes, conversation="[]"))


def task_of(loaded: LoadedSetup) -> Task:
    """The task for every row. Raises ModelError, StrategyError."""
    return Task(model=loaded.model, rule=loaded.setup.rule)


def workers_of(data: DataBoxes) -> int | None:
    """The number of processes for the audit: the box's value, at most one per core; None lets the audit decide."""
    return max(1, min(int(data.data_workers), os.cpu_count() or 1)) if data.data_workers else None


def limit_of(data: DataBoxes) -> int | None:
    """The number of rows to read, None for all. Raises DataError."""
    if (data.data_limit or 0) < 0:
        raise DataError(f"The limit is {data.data_limit}, and must be a number of rows, or 0 for all.")
    return int(data.data_limit or 0) or None


def why_asked(data: DataBoxes) -> str:
    """The reason why these rows are audited only on a click; empty if they are audited at once. Raises DataError."""
    source, limit = source_of(data), limit_of(data)
    if limit is not None and limit <= ASKED_FROM:
        return ""
    count = source.count()
    if count is None and (source.text or _is_local(source.name)):
        with closing(source.rows(hub_token())) as rows:  # type: ignore[type-var]
            count = sum(1 for _ in islice(rows, ASKED_FROM + 1))
    if count is None:
        return "How many rows there are is not known before they are read: run the audit."
    return "" if count <= ASKED_FROM else f"There are more than {ASKED_FROM:,} rows: run the audit."


def about_setup(setup: Setup) -> list[tuple[str, str]]:
    """(name, value) of the Inspect tab's settings that apply to the Data tab, in words."""

    def shown(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    template = setup.template or "default"
    return [
        ("model", setup.model + (f" at {setup.revision}" if setup.revision else "")),
        ("template", "edited" if "\n" in template or "{" in template else template),
        ("strategy", setup.strategy + (f" ({shown(setup.options)})" if setup.options else "")),
        ("modifiers", shown(setup.modifiers) or "none"),
        ("special tokens", shown(setup.special_tokens) or "the tokenizer's"),
    ]
