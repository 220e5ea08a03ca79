"""Opens the page from its address: a fragment that the page wrote, or a query that a person wrote.

`?model=Qwen/Qwen3-0.6B&dataset=owner/name&split=train&row=3&template=chatml&trainer=responses_only`, each part of it
optional; `conversation` takes JSON in place of a data set. Local files cannot be named: a link must not open them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from urllib.parse import parse_qsl

from inspector.data.source import BadRow
from inspector.errors import DataError, InspectorError, quoted
from inspector.setup import Setup
from inspector.strategies import EXACT
from ui.data_tab.boxes import EXAMPLE, HUB_ID, NAME, DataBoxes, examples, source_of
from ui.data_tab.rows import first_rows, row_setup, rows_at
from ui.inspect_tab import events
from ui.inspect_tab.links import LinkError, decode_link
from ui.inspect_tab.open import open_rows
from ui.parts.token_view import pack_failure
from ui.wiring.models import load_model, load_setup
from ui.wiring.wires import Changes

FIELDS = ("model", "revision", "template", "trainer", "dataset", "config", "split", "row", "conversation")
LAST = "last:"
"""Prefix of the fragment that the browser kept from the last visit."""


def on_address(address: str) -> Changes:
    """The page for a fragment, a query with its `?`, or the kept fragment of the last visit.

    Otherwise the first page.
    """
    if address.startswith(LAST):
        address = address.removeprefix(LAST)
        with suppress(LinkError):
            decode_link(address)
            return events.on_open(address)
        return events.on_open("")
    return _for_query(dict(parse_qsl(address[1:]))) if address.startswith("?") else events.on_open(address)


def _for_query(asked: Mapping[str, str]) -> Changes:
    try:
        setup, title = _setup(asked)
    except (InspectorError, ValueError) as error:
        return {**events.on_open(""), "view": pack_failure("This link cannot be opened", str(error))}
    return open_rows([setup], titles=[title], notices=_misspelt(asked))


def _misspelt(asked: Mapping[str, str]) -> list[str]:
    """A notice for each name that nearly is one of the fields; hosts add names of their own, which are passed over."""
    near = {name: get_close_matches(name.lower(), FIELDS, 1, 0.75) for name in asked if name not in FIELDS}
    return [
        f"The address has {quoted(name)}, which is not read. Did you mean {field!r}?"
        for name, fields in near.items()
        for field in fields
    ]


def _setup(asked: Mapping[str, str]) -> tuple[Setup, str]:
    """The setup that a query names, and the origin of its row. Raises InspectorError, ValueError."""
    default = events.default_state().setups()[0]
    setup = replace(
        default, model=asked.get("model", default.model), revision=asked.get("revision", ""),
        template=asked.get("template", ""), strategy=asked.get("trainer", EXACT),
    )  # fmt: skip
    if setup.template:
        load_model(setup.model, setup.revision, setup.template)  # raises that there is none of this name
    if "dataset" in asked:
        return _of_row(setup, asked)
    if "conversation" in asked:
        return replace(setup, conversation=json.loads(asked["conversation"])), ""
    return setup, ""


def _of_row(setup: Setup, asked: Mapping[str, str]) -> tuple[Setup, str]:
    name, number = asked["dataset"], asked.get("row", "0")
    if not number.isdecimal():
        raise DataError(f"row is {number!r}, and must be a number from 0 on.")
    if name in examples():
        data = DataBoxes(data_kind=EXAMPLE, data_example=name)
    elif HUB_ID.fullmatch(name) and ".." not in name:
        data = DataBoxes(
            data_kind=NAME, data_name=name, data_split=asked.get("split", ""), data_config=asked.get("config", "")
        )
    else:
        raise DataError(f"dataset is {name!r}, and must name a data set of the hub, such as owner/name.")
    source = source_of(data)
    layout, head = first_rows(source, {})
    row = next((row for row in head if row.number == int(number)), None)
    row = row or next(iter(rows_at(source, [int(number)])), None)
    if row is None:
        raise DataError(f"{name} has no row {number}; rows count from 0.")
    if isinstance(row, BadRow):
        raise DataError(f"{row.place} cannot be read: {row.why}")
    return row_setup(load_setup(replace(setup, conversation=[])), row, layout).setup, row.place
