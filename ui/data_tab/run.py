"""The long work of the Data tab: auditing the rows, and writing those without errors. Each is the work of a Job."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.audit.report import AuditReport
from inspector.audit.run import CHUNK, Auditor, Progress, Task, audit
from inspector.data.layouts import Layout
from inspector.data.source import BadRow, DataSource, Row, raw_of
from inspector.findings.codes import Severity
from inspector.setup import Setup
from ui.data_tab.boxes import ASKED_FROM, DataBoxes, limit_of, mapping_of, shared_setup, source_of, task_of, workers_of
from ui.parts.jobs import Job
from ui.visitors.access import hub_token, is_public
from ui.wiring.boxes import Boxes

REJECTED_ROWS, CLEAN_ROWS, REPORT, REPORT_PAGE = "rejected-rows.jsonl", "clean-rows.jsonl", "report.json", "report.html"
_PIECES = (CHUNK, 16, 1)
"""Numbers of rows that are checked together in the search for errors: many of them, then some, then each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit that has ended. `setup`: the Inspect tab's, without a conversation; `folder` holds its files.

    `source`: the working copy, with the edited rows; `is_edited`: whether rows were edited since the audit.
    """

    setup: Setup
    source: DataSource
    task: Task
    limit: int | None
    report: AuditReport
    folder: TemporaryDirectory[str]
    is_edited: bool = False

    @property
    def layout(self) -> Layout:
        """The layout with which the rows were read."""
        return Layout.from_dict(self.report.about["layout"])

    @property
    def rejected(self) -> int:
        """Rows that are not clean: unreadable, not a conversation, refused by the template, or with an error."""
        return self.report.bad + self.report.refused + self.report.erroneous

    @property
    def is_short(self) -> bool:
        """Whether the audit is repeated unasked."""
        return self.report.rows <= ASKED_FROM and bool(self.report.about["complete"])

    @property
    def name(self) -> str:
        """The name of the data set."""
        name = "pasted rows" if self.source.text else self.source.name
        name = Path(name).name if self._is_here else name
        edited = len(self.source.edits)
        return f"{name}, {edited:,} {'row' if edited == 1 else 'rows'} edited" if edited else name

    def is_of(self, source: DataSource) -> bool:
        """Whether these are its rows, edited or not."""
        return replace(self.source, edits={}) == source

    @property
    def _is_here(self) -> bool:
        return Path(os.path.expanduser(self.source.name)).exists()

    def path(self, name: str) -> Path:
        """The path of a file of this audit. Its folder is removed when its visitor has left, and made again for one who
        comes back."""
        Path(self.folder.name).mkdir(exist_ok=True)
        return Path(self.folder.name, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The progress of a job, for the page. `kinds`: the number of kinds of findings so far."""

    rows: int
    rows_left: int | None
    rows_per_second: float
    seconds_left: float | None
    kinds: int = 0


def run_audit(before: Audited | None, data: DataBoxes, boxes: Boxes, job: Job[Audited]) -> Audited:
    """Audit the data set of the boxes; if it is that of the audit `before`, its working copy. Raises InspectorError,
    ConversationJsonError."""
    source, mapping, limit = source_of(data), mapping_of(data), limit_of(data)
    source = before.source if before is not None and before.is_of(source) else source
    shared = shared_setup(boxes)
    task = task_of(shared)

    def tell(progress: Progress, report: AuditReport) -> None:
        job.progress = Step(
            rows=progress.rows, rows_left=progress.rows_left, rows_per_second=progress.rows_per_second,
            seconds_left=progress.seconds_left, kinds=len(report.findings),
        )  # fmt: skip

    folder = TemporaryDirectory(prefix="maskscope-")
    report = audit(
        task, source, mapping=mapping, limit=limit, token=hub_token(), workers=workers_of(data), here=not is_public(),
        on_progress=tell, should_stop=job.is_stopping,
    )  # fmt: skip
    audited = Audited(setup=shared.setup, source=source, task=task, limit=limit, report=report, folder=folder)
    for entry in report.about.get("data", ()):  # an uploaded file keeps its original name
        entry["name"] = audited.name
    return audited


def write_rows(audited: Audited, job: Job[bool]) -> bool:
    """Write every row that was read to one of two files: clean rows unchanged, the others with their errors. False if
    it was stopped: then there are no files."""
    paths = [audited.path(name) for name in (CLEAN_ROWS, REJECTED_ROWS)]
    started, read, known = time.monotonic(), 0, audited.report.rows
    rows = islice(audited.source.rows(hub_token()), known)
    unfinished = [path.with_suffix(".part") for path in paths]
    with unfinished[0].open("w", encoding="utf-8") as clean, unfinished[1].open("w", encoding="utf-8") as rejected:
        sorter = Sorter(audited.task, audited.layout)
        while chunk := list(islice(rows, CHUNK)):
            for row in sorter.sort(chunk):
                if isinstance(row, Row):
                    clean.write(raw_of(row.value) + "\n")
                else:
                    line = {"row": row.number, "place": row.place, "why": row.why, "raw": row.raw}
                    rejected.write(raw_of(line) + "\n")
            read += len(chunk)
            job.progress = _step(read, known, time.monotonic() - started)
            if job.is_stopping():
                return False
    for part, path in zip(unfinished, paths, strict=True):
        part.replace(path)
    return True


class Sorter:
    """Tells clean rows from those that are bad, refused, or have an error.

    `pieces`: the numbers of rows that are checked together.
    """

    def __init__(self, task: Task, layout: Layout, pieces: tuple[int, ...] = _PIECES) -> None:
        self._task, self._layout, self._pieces = task.for_layout(layout), layout, pieces
        self._auditor = Auditor(self._task, layout)

    def sort(self, rows: Sequence[Row | BadRow], depth: int = 0) -> list[Row | BadRow]:
        """The rows in order; a row that is not clean becomes a BadRow, which says why."""
        size, out = self._pieces[depth], []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            report, unusable = self._auditor.audit(part)
            out += unusable
            numbers = {row.number for row in unusable}
            left = [row for row in part if isinstance(row, Row) and row.number not in numbers]
            if not report.erroneous:
                out += left
            elif depth + 1 < len(self._pieces):
                out += self.sort(left, depth + 1)
            else:
                out += [self._rejected(row) for row in left]
        return sorted(out, key=lambda row: row.number)

    def _rejected(self, row: Row) -> BadRow:
        """A row with errors, which are its reasons."""
        report, _ = Auditor(self._task, self._layout).audit([row])  # a new report has an example of every finding
        errors = {
            code: finding for code, finding in report.findings.items() if finding.severities[Severity.ERROR.value]
        }
        why = " ".join(f"{code}: {finding.examples[0]['detail']}" for code, finding in errors.items())
        return BadRow(number=row.number, place=row.place, why=why, raw=raw_of(row.value))


def _step(rows: int, known: int | None, seconds: float) -> Step:
    speed = rows / seconds if seconds else 0.0
    left = None if known is None else max(0, known - rows)
    return Step(
        rows=rows,
        rows_left=left,
        rows_per_second=speed,
        seconds_left=left / speed if left is not None and speed else None,
    )
