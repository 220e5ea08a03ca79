"""An audit on a Ray cluster: a Ray data set -> the same AuditReport that `audit` makes from these rows in one process.

Only this module needs `ray[data]`: without it the import is a ModuleNotFoundError. Ray's workers must be able to import
the inspector: on this machine they can; for a cluster pass `ray.init` a `runtime_env` with `py_modules`.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow

from inspector.audit.report import AuditReport
from inspector.audit.run import Auditor, Task
from inspector.data.layouts import Layout
from inspector.data.source import DETECTED_FROM, Row, detect_rows
from inspector.errors import DataError
from inspector.inspection import template_names
from inspector.paths import install_command

try:
    import ray
    import ray.data
except ModuleNotFoundError as error:
    how = install_command("ray", "'ray[data]'")
    raise ModuleNotFoundError(f"An audit on a Ray cluster needs {error.name}: {how}", name=error.name) from error

BATCH = 1024
"""Number of rows that a worker audits at a time."""
NUMBER, PLACE = "row", "place"
"""Columns with a row's place: its number, counted from 0 over the whole data set, and the place in words."""


def audit_dataset(
    task: Task, dataset: ray.data.Dataset, *, mapping: Mapping[str, str] | None = None, workers: int | None = None
) -> AuditReport:
    """Audit the rows of a Ray data set.

    Rows are numbered by the column `row` if it holds integers; their place is the value of the column `place`, or else
    `row N`. Without such a column they are numbered from 0 in the order of the data set, which Ray is told to preserve:
    the order of its files and blocks, the same in every run over the same data. `mapping`: as for `formats.detect`.
    `workers`: maximum number of actors, by default one per core. Raises DataError, FormatError.
    """
    with _in_order(dataset):
        return _audit(task, dataset, mapping, workers)


def _audit(
    task: Task, dataset: ray.data.Dataset, mapping: Mapping[str, str] | None, workers: int | None
) -> AuditReport:
    head = dataset.limit(DETECTED_FROM).take_all()
    has_numbers = bool(head) and all(type(row.get(NUMBER)) is int for row in head)
    rows = [Row(number=i, place=f"row {i}", value=_value(row, has_numbers)) for i, row in enumerate(head)]
    layout = detect_rows(rows, mapping).for_template(template_names(task.model))
    task = task.for_layout(layout)
    report = AuditReport(about={**task.about(), "layout": layout.to_dict(), "complete": True})
    cpus = int(ray.cluster_resources().get("CPU", 1))
    parts = dataset.map_batches(
        _BatchAuditor, fn_constructor_args=(task, layout, has_numbers), batch_size=BATCH, batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers or max(1, cpus)),
        num_cpus=1 if cpus > 1 else 0,  # reading the data set needs a core too
    )  # fmt: skip
    for row in parts.iter_rows():
        if row["error"]:
            raise DataError(row["error"])
        part = AuditReport.from_dict(json.loads(row["report"]))
        report.merge(part if has_numbers else _renumbered(part, report.rows))
    return report


@contextmanager
def _in_order(dataset: ray.data.Dataset) -> Iterator[None]:
    """Make the data set, and everything derived from it, keep the order of its rows in the block."""
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield
    finally:
        options.preserve_order = before


def _value(row: Mapping[str, Any], has_numbers: bool) -> Mapping[str, Any]:
    """A row without the columns for its place."""
    return {name: value for name, value in row.items() if name not in (NUMBER, PLACE)} if has_numbers else row


class _BatchAuditor(Auditor):
    """Batches of rows -> their reports. It remembers shapes from batch to batch, but not the examples shown: batches
    come in any order, and each has to show its own first rows."""

    def __init__(self, task: Task, layout: Layout, has_numbers: bool) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        super().__init__(task, layout)
        self._has_numbers = has_numbers

    def __call__(self, batch: pyarrow.Table) -> dict[str, list[str]]:
        """One row with the report as JSON, or with the error of the batch."""
        rows = batch.to_pylist()
        if self._has_numbers and any(row[NUMBER] is None or row[NUMBER] < 0 for row in rows):
            return {"report": [""], "error": [f"The column {NUMBER!r} numbers the rows from 0; one row has no number."]}
        self._shown.clear()
        report, _ = self.audit([self._row(i, row) for i, row in enumerate(rows)])
        return {"report": [json.dumps(report.to_dict())], "error": [""]}

    def _row(self, index: int, row: Mapping[str, Any]) -> Row:
        number = row[NUMBER] if self._has_numbers else index
        place = row.get(PLACE) if self._has_numbers else None
        shown = place if isinstance(place, str) else f"row {number}"
        return Row(number=number, place=shown, value=_value(row, self._has_numbers))


def _renumbered(report: AuditReport, offset: int) -> AuditReport:
    """The report of a batch whose rows were counted from 0, renumbered to start at `offset`."""
    for shown in (report.bad_rows, *(found.examples for found in report.findings.values())):
        for row in shown:
            row["row"] += offset
            row["place"] = f"row {row['row']}"
    report.near_empty_rows = [number + offset for number in report.near_empty_rows]
    report.answers = array("Q", [n + offset if i % 2 else n for i, n in enumerate(report.answers)])
    return report
