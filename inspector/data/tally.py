"""Counts made while the rows of a data set are read: columns that nothing reads, and KTO's labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from inspector.data.layouts import Layout, holds_something, is_meaningful, late_name
from inspector.data.readers import Sample
from inspector.errors import listed, quoted

MEDIA = re.compile(r"images?|videos?|audios?", re.IGNORECASE)
GOOD, BAD = "good", "bad"


@dataclass(slots=True)
class Tally:
    """Counts over rows. `unread`: column -> rows with a value in it; `labels`: `good` and `bad` -> rows."""

    layout: Layout
    unread: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    _is_counted: dict[str, bool] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], sample: Sample) -> None:
        """Count a row and its Sample."""
        for name, value in row.items():
            counted = self._is_counted.get(name)
            if counted is None:
                is_read = name in self.layout.columns.values() or name in self.layout.reads
                is_read = is_read or late_name(str(name), self.layout) is not None
                counted = self._is_counted[name] = not is_read and is_meaningful(name)
            if counted and holds_something(value):
                self.unread[str(name)] += 1
        if sample.is_good is not None:
            self.labels[GOOD if sample.is_good else BAD] += 1

    @property
    def notes(self) -> list[str]:
        """The notes about the rows, for display before training."""
        given = keywords_text(self.layout.keywords)
        return [text for text in (given, unread_text(self.unread), labels_text(self.labels)) if text]


def keywords_text(names: Collection[str]) -> str:
    """A note on the columns that the template reads by name; "" without any."""
    return f"The template reads by name: {listed(names)}." if names else ""


def unread_text(unread: Mapping[str, int]) -> str:
    """A note on the columns that are not read, with the number of rows that have a value there; "" without any."""
    if not unread:
        return ""
    columns = ", ".join(f"{quoted(name)} ({rows:,} row{'' if rows == 1 else 's'})" for name, rows in unread.items())
    media = " Images, sounds and videos are not trained here." if any(map(MEDIA.fullmatch, unread)) else ""
    return f"Columns that are not read: {columns}.{media}"


def labels_text(labels: Mapping[str, int]) -> str:
    """A note if all judged rows have the same label; "" if both labels occur, or none."""
    good, bad = labels.get(GOOD, 0), labels.get(BAD, 0)
    if bool(good) is bool(bad):
        return ""
    return (
        f"All {good + bad:,} judged rows are {GOOD if good else BAD} ({good:,} to {bad:,}): KTO learns from the "
        "difference between good and bad answers."
    )
