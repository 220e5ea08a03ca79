"""A data set -> an AuditReport: every row is rendered, tokenized, labelled and checked, on all cores, in little memory.

Rows are read one at a time and handed out in chunks; each worker process keeps its own model and sandbox and returns
a small report for each chunk. Rows of a known shape take the fast path (`skeletons`).
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any

from inspector.audit.fast_path import ShortWay
from inspector.audit.report import KEPT_EXAMPLES, AuditReport, count
from inspector.audit.server_process import end_with_parent, helper
from inspector.audit.skeletons import Skeleton
from inspector.conversation import Conversation
from inspector.data.formats import read
from inspector.data.layouts import Format, Layout
from inspector.data.readers import text_template
from inspector.data.source import DETECTED_FROM, BadRow, DataSource, Row, detect_rows, raw_of
from inspector.data.tally import Tally
from inspector.errors import (
    ConversationError,
    DataError,
    FormatError,
    InspectorError,
    RenderError,
    StrategyRefusedError,
    TokenizationError,
    TraceError,
)
from inspector.inspection import as_rendered, diagnose, inspect_as_rendered, inspect_by, template_names
from inspector.model.model import Model, Token
from inspector.paths import module
from inspector.strategies import OWN_LABELS, Keep, Rule

CHUNK = 256
"""Rows handed to a worker at a time."""
ALONE_S = 8.0
"""Seconds of work before a second process is started: the first has threads, so a second gains little, and this is
about when its start pays. For more processes it is divided by their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A model and a rule, which are applied to every row."""

    model: Model
    rule: Rule = field(default_factory=Rule)

    def for_layout(self, layout: Layout) -> Task:
        """This task for rows of a layout.

        Rendered texts and labels are used as they are, whatever strategy is chosen.
        """
        if layout.format.is_labelled:
            return replace(self, rule=Rule(strategy=OWN_LABELS, modifiers=replace(self.rule.modifiers, keep=Keep.ALL)))
        if layout.format is not Format.TEXT:
            return self
        return replace(self, model=self.model.with_template(text_template(self.model.tokenizer)))

    def check(self) -> None:
        """Raise StrategyError for a strategy or an option that does not exist: every row would be refused."""
        if self.rule.strategy == OWN_LABELS:
            return
        chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        with suppress(StrategyRefusedError, RenderError, TraceError, TokenizationError):  # the rows may do better
            inspect_by(self.rule, self.model, Conversation.parse(chat))

    def about(self) -> dict[str, Any]:
        """The settings that all rows share, for the report."""
        return {
            "model": self.model.name,
            "revision": self.model.revision,
            "template": self.model.template_name,
            "template_hash": self.model.template_hash,
            "special_tokens": dict(self.model.changed_tokens),
            "strategy": self.rule.strategy,
            "options": dict(self.rule.options),
            "modifiers": self.rule.modifiers.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of an audit. `rows_left` is None if the number of rows is not known."""

    rows: int
    seconds: float
    rows_left: int | None

    @property
    def rows_per_second(self) -> float:
        """The rows read so far."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The seconds left at the speed so far."""
        return None if self.rows_left is None or not self.rows else self.rows_left / self.rows_per_second


def audit(
    task: Task,
    source: DataSource,
    *,
    mapping: Mapping[str, str] | None = None,
    limit: int | None = None,
    workers: int | None = None,
    here: bool = True,
    token: Token = None,
    on_progress: Callable[[Progress, AuditReport], None] | None = None,
    on_bad_row: Callable[[BadRow], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> AuditReport:
    """Audit the rows of a data set.

    `mapping`: as for `formats.detect`. `limit`: maximum rows to read. `workers`: processes, by default one per core;
    with 1 the audit runs in this process. With `here` false another process does the work, so that a server can keep
    serving. `on_progress` is called after each chunk with the progress so far, `on_bad_row` with each row that cannot
    be used, in order within a chunk. `should_stop` is called between chunks: if it returns true, the report so far is
    returned, with `about["complete"]` false. Raises DataError, FormatError, ModelError, StrategyError.
    """
    rows = islice(source.rows(token), limit)
    head = list(islice(rows, DETECTED_FROM))
    layout = detect_rows(head, mapping).for_template(template_names(task.model))
    task = task.for_layout(layout)
    task.check()
    about = {**task.about(), "layout": layout.to_dict(), "data": [source.about(limit)], "complete": True}
    report = AuditReport(about=about)
    known = None if on_progress is None else _known_rows(source, limit)
    started, chunks = time.monotonic(), _chunks(chain(head, rows))
    processes = workers if workers is not None else os.cpu_count() or 1
    parts = _parts(task, layout, chunks, processes) if here else _parts_elsewhere(task, layout, chunks)
    for part, bad in parts:
        report.merge(part)
        for row in bad if on_bad_row else ():
            on_bad_row(row)  # type: ignore[misc]
        if on_progress is not None:
            left = None if known is None else max(0, known - report.rows)
            on_progress(Progress(rows=report.rows, seconds=time.monotonic() - started, rows_left=left), report)
        if should_stop():
            report.about["complete"] = False
            break
    return report


def _known_rows(source: DataSource, limit: int | None) -> int | None:
    """The number of rows to read, if it can be told: counting goes through the whole file once."""
    count = source.count()
    return count if limit is None else min(limit, count or limit)


Chunk = Sequence[Row | BadRow]
Part = tuple[AuditReport, list[BadRow]]


def _chunks(rows: Iterator[Row | BadRow]) -> Iterator[Chunk]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


_STEADY = threading.Lock()
_steady: list[str | None] = []


@contextmanager
def _steadily() -> Iterator[None]:
    """Tokenize in one thread, here and in the processes started meanwhile, so that the other cores are free for them.

    Existing objects are frozen, so that the garbage collector does not rescan them. The last of several audits that run
    at the same time restores both.
    """
    with _STEADY:
        _steady.append(os.environ.get("TOKENIZERS_PARALLELISM") if not _steady else _steady[0])
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        gc.freeze()
    try:
        yield
    finally:
        with _STEADY:
            before = _steady.pop()
            if not _steady:
                gc.unfreeze()
                os.environ.pop("TOKENIZERS_PARALLELISM")
                if before is not None:
                    os.environ["TOKENIZERS_PARALLELISM"] = before


def _parts(task: Task, layout: Layout, chunks: Iterator[Chunk], workers: int) -> Iterator[Part]:
    """The report of each chunk. This process works too: it does not wait for the others to start.

    Only a few chunks are in flight at a time. For short work no other process is started.
    """
    with _steadily():
        yield from _parts_here(task, layout, chunks, workers)


def _parts_here(task: Task, layout: Layout, chunks: Iterator[Chunk], workers: int) -> Iterator[Part]:
    auditor, alone_until = Auditor(task, layout), time.monotonic() + ALONE_S / max(1, workers - 1)
    before: Callable[[], Part] | None = None
    for chunk in chunks:
        begun = auditor.begin(chunk)
        if before is not None:
            yield before()
        before = begun
        if workers > 1 and time.monotonic() >= alone_until:
            break
    if before is not None:
        yield before()
    more = next(chunks, None)
    if more is None:
        return
    given = (_WithoutTorch(), task, layout)
    pool = ProcessPoolExecutor(workers - 1, get_context("spawn"), initializer=_start_process, initargs=given)
    pending: list[Future[Part]] = []
    try:
        for chunk in chain((more,), chunks):
            if len(pending) < 2 * (workers - 1):
                pending.append(pool.submit(_work, chunk))
            else:
                yield auditor.audit(chunk)
            done = [future for future in pending if future.done()]
            pending = [future for future in pending if future not in done]
            yield from (future.result() for future in done)
        yield from (future.result() for future in pending)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _parts_elsewhere(task: Task, layout: Layout, chunks: Iterator[Chunk]) -> Iterator[Part]:
    """The report of each chunk, from another process. Raises DataError if that process was killed."""
    with helper() as pool:
        pending: deque[Future[Part]] = deque()
        try:
            pool.submit(_start_worker, task, layout).result()
            for chunk in chunks:
                pending.append(pool.submit(_work, chunk))
                if len(pending) > 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise DataError("The process that audited these rows was killed; it probably ran out of memory.") from error
        finally:
            for future in pending:
                future.cancel()


_WORKER: Auditor | None = None


def _start_worker(task: Task, layout: Layout) -> None:
    global _WORKER  # one per process; in a server's process, the previous audit is over
    _WORKER = Auditor(task, layout)


class _WithoutTorch:
    """The import that a new process makes first: without it, loading the tokenizer would import torch."""

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (module("inspector.model.without_torch"),)


def _start_process(_: object, task: Task, layout: Layout) -> None:
    end_with_parent()
    _start_worker(task, layout)


def warm_up_helper() -> None:
    """Warm up a process: load a model and inspect a conversation."""
    from inspector.model.hub import load

    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    inspect_by(Rule(), load("tiny-chat"), Conversation.parse(chat))


def _work(chunk: Chunk) -> Part:
    assert _WORKER is not None
    return _WORKER.audit(chunk)


class _UnusableError(Exception):
    """A row that is not a conversation."""

    def __init__(self, row: BadRow) -> None:
        super().__init__(row.why)
        self.row = row


class Auditor:
    """Audits chunks of rows in the order of their numbers. It remembers shapes and the number of examples shown."""

    def __init__(self, task: Task, layout: Layout) -> None:
        self._task = task
        self._layout = layout
        self._short = ShortWay(task)
        self._shown: Counter[str] = Counter()
        self._is_counted: dict[str, bool] = {}

    def audit(self, chunk: Chunk) -> Part:
        """The report about these rows, and the rows that cannot be used."""
        return self.begin(chunk)()

    def begin(self, chunk: Chunk) -> Callable[[], Part]:
        """Begin with these rows, and return a function that finishes.

        The texts are tokenized while the next chunk begins.
        """
        report, bad = AuditReport(about=self._task.about()), []
        tally = Tally(self._layout, report.unread, report.labels, self._is_counted)
        waiting: list[tuple[Row, Conversation, Skeleton]] = []
        for row in chunk:
            try:
                conversation = self._read(row, tally)
            except _UnusableError as error:
                bad.append(error.row)
                report.add_bad(error.row)
                continue
            assert isinstance(row, Row)
            skeleton = self._short.skeleton(conversation)
            if skeleton is not None and self._is_known(skeleton):
                waiting.append((row, conversation, skeleton))
            elif refused := self._inspect(report, row, conversation):
                bad.append(refused)
        counted = self._short.begin([(conversation, skeleton) for _, conversation, skeleton in waiting])

        def end() -> Part:
            for (row, conversation, _), counts in zip(waiting, counted(), strict=True):
                if counts is not None:
                    report.add(row.number, counts)
                elif refused := self._inspect(report, row, conversation):
                    bad.append(refused)
            return report, bad

        return end

    def _read(self, row: Row | BadRow, tally: Tally) -> Conversation:
        """The conversation in a row. Raises _UnusableError."""
        if isinstance(row, BadRow):
            raise _UnusableError(row)
        try:
            task = self._task
            sample = read(row.value, self._layout, task.rule.modifiers.as_given)
            tally.add(row.value, sample)
            return as_rendered(task.rule, task.model, sample.conversation)
        except (FormatError, ConversationError) as error:
            why = BadRow(number=row.number, place=row.place, why=str(error), raw=raw_of(row.value))
            raise _UnusableError(why) from error

    def _is_known(self, skeleton: Skeleton) -> bool:
        """Whether enough rows with the findings of a shape have been shown."""
        return all(self._shown[occurrence.code] >= KEPT_EXAMPLES for occurrence in skeleton.found)

    def _inspect(self, report: AuditReport, row: Row, conversation: Conversation) -> BadRow | None:
        task = self._task
        try:
            inspection = inspect_as_rendered(task.rule, task.model, conversation)
        except InspectorError as error:
            refused = BadRow(number=row.number, place=row.place, why=str(error), raw=raw_of(row.value))
            report.add_refused(refused, diagnose(task.model, conversation, error))
            return refused
        self._short.learn(inspection)
        report.add(row.number, count(inspection))
        report.add_examples(row.number, row.place, inspection.findings)
        self._shown.update({finding.code.value for finding in inspection.findings})
        return None
