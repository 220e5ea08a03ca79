"""The long work of the Data tab: auditing the rows, and writing those without errors. Each is the work of a Job."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from inspector.audit import CHUNK, Auditor, Progress, Task, audit
from inspector.finding import Severity
from inspector.formats import Format, Layout
from inspector.report import AuditReport
from inspector.rows import BadRow, DataSource, Row
from inspector.setup import Setup
from ui.access import hub_token, is_public
from ui.boxes import Boxes
from ui.data_boxes import DataBoxes, limit_of, mapping_of, shared_setup, source_of, task_of, workers_of
from ui.jobs import Job

BAD_ROWS, CLEAN_ROWS, REPORT, REPORT_PAGE = "bad-rows.jsonl", "clean-rows.jsonl", "report.json", "report.html"
_PIECES = (CHUNK, 16, 1)
"""How many rows are looked at together when those with errors are searched: all of them, then some, then each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit that has ended. `setup`: the Inspect tab's, without a conversation; `folder` holds the bad rows."""

    setup: Setup
    source: DataSource
    task: Task
    limit: int | None
    report: AuditReport
    folder: TemporaryDirectory[str]

    @property
    def layout(self) -> Layout:
        """How the rows were read."""
        layout = self.report.about["layout"]
        return Layout(format=Format(layout["format"]), columns=layout["columns"])

    @property
    def name(self) -> str:
        """What the data set is called."""
        return "pasted rows" if self.source.text else Path(self.source.name).name if self._is_here else self.source.name

    @property
    def _is_here(self) -> bool:
        return Path(os.path.expanduser(self.source.name)).exists()

    def path(self, name: str) -> Path:
        """A file of this audit's own. Its folder is gone once its visitor has left, and made again for one who comes
        back."""
        Path(self.folder.name).mkdir(exist_ok=True)
        return Path(self.folder.name, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far a job is, for the page. `kinds`: of findings so far."""

    rows: int
    rows_left: int | None
    rows_per_second: float
    seconds_left: float | None
    kinds: int = 0


def run_audit(data: DataBoxes, boxes: Boxes, job: Job[Audited]) -> Audited:
    """Audit what the boxes say; the bad rows go into a file. Raises InspectorError, ConversationJsonError."""
    source, mapping, limit = source_of(data), mapping_of(data), limit_of(data)
    setup = shared_setup(boxes)
    task = task_of(setup)

    def tell(progress: Progress, report: AuditReport) -> None:
        job.progress = Step(
            rows=progress.rows, rows_left=progress.rows_left, rows_per_second=progress.rows_per_second,
            seconds_left=progress.seconds_left, kinds=len(report.findings),
        )  # fmt: skip

    folder = TemporaryDirectory(prefix="maskscope-")
    with Path(folder.name, BAD_ROWS).open("w", encoding="utf-8") as file:
        report = audit(
            task, source, mapping=mapping, limit=limit, token=hub_token(),
            workers=workers_of(data), here=not is_public(),
            on_progress=tell, on_bad_row=lambda row: _write(file, _described(row)), should_stop=job.is_stopping,
        )  # fmt: skip
    audited = Audited(setup=setup, source=source, task=task, limit=limit, report=report, folder=folder)
    for entry in report.about.get("data", ()):  # an uploaded file is called what it was called at home
        entry["name"] = audited.name
    return audited


def write_clean_rows(audited: Audited, job: Job[Path]) -> Path | None:
    """Write the rows as they are, without those that are bad, refused, or have an error. None when it was stopped."""
    path, started, written = audited.path(CLEAN_ROWS), time.monotonic(), 0
    task, layout = audited.task, audited.layout
    auditor = Auditor(task.for_layout(layout), layout)
    known = audited.report.rows if audited.report.about["complete"] else None
    rows, read = islice(audited.source.rows(hub_token()), audited.limit), 0
    with path.open("w", encoding="utf-8") as file:
        while chunk := list(islice(rows, CHUNK)):
            for row in clean_rows(auditor, chunk):
                _write(file, row.value)
                written += 1
            read += len(chunk)
            job.progress = _step(read, known, time.monotonic() - started)
            if job.is_stopping():
                return None
    return path


def clean_rows(auditor: Auditor, rows: list[Row | BadRow], pieces: tuple[int, ...] = _PIECES) -> Iterator[Row]:
    """The rows that are neither bad nor refused nor have an error, in order; looked at together as far as possible."""
    size, rest = pieces[0], pieces[1:]
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        report, unusable = auditor.audit(part)
        out = {row.number for row in unusable}
        part = [row for row in part if row.number not in out]
        if not _has_errors(report):
            yield from (row for row in part if isinstance(row, Row))
        elif rest:
            yield from clean_rows(auditor, part, rest)


def _has_errors(report: AuditReport) -> bool:
    return any(found.severities[Severity.ERROR.value] for found in report.findings.values())


def _step(rows: int, known: int | None, seconds: float) -> Step:
    speed = rows / seconds if seconds else 0.0
    left = None if known is None else max(0, known - rows)
    return Step(
        rows=rows,
        rows_left=left,
        rows_per_second=speed,
        seconds_left=left / speed if left is not None and speed else None,
    )


def _described(row: BadRow) -> Mapping[str, Any]:
    return {"row": row.number, "place": row.place, "why": row.why, "raw": row.raw}


def _write(file: IO[str], value: Mapping[str, Any]) -> None:
    """A line of JSON; what JSON has no form for (a date, bytes) becomes its text."""
    file.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
