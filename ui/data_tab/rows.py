"""Rows of a data set -> setups that the Inspect tab can open."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from itertools import islice

from inspector.data.formats import read
from inspector.data.layouts import Format, Layout
from inspector.data.readers import text_template
from inspector.data.source import DETECTED_FROM, BadRow, DataSource, Row, detect_rows
from inspector.inspection import template_names
from ui.visitors.access import hub_token
from ui.wiring.models import LoadedSetup

SHOWN_ROWS = 5
"""Number of rows shown before an audit."""


def first_rows(source: DataSource, mapping: Mapping[str, str]) -> tuple[Layout, list[Row | BadRow]]:
    """The layout, and the rows that it was detected from. Raises DataError, FormatError."""
    with closing(source.rows(hub_token())) as rows:  # type: ignore[type-var]
        head = list(islice(rows, DETECTED_FROM))
    return detect_rows(head, mapping), head


def rows_at(source: DataSource, numbers: Collection[int]) -> list[Row | BadRow]:
    """The rows with these numbers, in the data set's order; missing ones are left out. Raises DataError."""
    wanted, last = set(numbers), max(numbers, default=-1)
    with closing(source.rows(hub_token())) as rows:  # type: ignore[type-var]
        return [row for row in islice(rows, last + 1) if row.number in wanted]


def row_setup(shared: LoadedSetup, row: Row, layout: Layout) -> LoadedSetup:
    """The setup with the conversation that a row holds. Raises FormatError, ConversationError, ModelError.

    A rendered text gets the template that the audit uses for it.
    """
    layout = layout.for_template(template_names(shared.model))
    conversation = read(row.value, layout, shared.setup.rule.modifiers.as_given).conversation
    template = text_template(shared.model.tokenizer) if layout.format is Format.TEXT else shared.setup.template
    return shared.with_row(conversation, template)


def columns_of(head: Sequence[Row | BadRow]) -> list[str]:
    """The names of the columns, in order of appearance."""
    return list(dict.fromkeys(name for row in head if isinstance(row, Row) for name in row.value))
