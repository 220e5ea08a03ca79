"""`python -m inspector audit` and `merge`: data sets in, a report out, and an exit status that CI can stop on."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import IO, Any

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.report_file import read_report
from inspector.audit.run import Progress, Task, audit
from inspector.audit.summary import compare_reports, failures, levels_of, summarize
from inspector.audit.text import format_report
from inspector.cli.input_files import read_template, rule_of
from inspector.data.layouts import Format
from inspector.data.readers import ANY_TEMPLATE, NO_TEMPLATE
from inspector.data.source import BadRow, DataSource
from inspector.errors import InputFileError, InspectorError, ReportError, printable
from inspector.files.text_files import write_text
from inspector.model.model import Model

INTERRUPTED = 130
"""The exit status after Ctrl-C, as in shells: 128 plus the number of the signal."""
UNUSABLE = 2
"""The exit status where the input cannot be used."""
_OUTPUTS = ("out", "html", "sarif", "junit", "bad")
"""Options that name a file to write."""


def run_audit(options: argparse.Namespace) -> int:
    """Audit a data set: status 1 for findings at or above the level, 130 after Ctrl-C. Raises InspectorError."""
    levels = levels_of(options.fail_on)
    baseline = None if options.baseline is None else read_report(options.baseline)
    _check_outputs(options, options.data)
    mapping = {**({"format": Format.TEXT.value} if options.template == NO_TEMPLATE else {}), **dict(options.map)}
    task = Task(
        model=_load(options).with_special_tokens(options.special_tokens),
        rule=rule_of(options),
    )
    index, shards = options.shard
    source = DataSource(
        name=options.data, split=options.split, config=options.config, revision=options.data_revision,
        index=index, shards=shards,
    )  # fmt: skip
    with ExitStack() as stack:
        report = audit(
            task, source, mapping=mapping, limit=options.limit, workers=options.workers,
            on_progress=stack.enter_context(_progress_line()) if sys.stderr.isatty() else None,
            on_bad_row=None if options.bad is None else _bad_row_writer(stack, options.bad),
            should_stop=stack.enter_context(_interruptible()),
        )  # fmt: skip
    status = _finish(report, options, levels, baseline)
    if report.about["complete"]:
        return status
    print(f"Interrupted after {report.rows:,} rows: the report is about these.", file=sys.stderr)
    return INTERRUPTED


def run_audit_each(options: argparse.Namespace) -> int:
    """Audit each of several files by itself, as a hook before a commit does: the worst status of them."""
    statuses = []
    for name in options.files:
        print(f"{name}:", flush=True)
        try:
            statuses.append(run_audit(argparse.Namespace(**vars(options), data=name)))
        except InspectorError as error:
            print(f"error: {error}", file=sys.stderr)
            statuses.append(UNUSABLE)
    return max(statuses, default=0)


def _load(options: argparse.Namespace) -> Model:
    """The model. AutoTrain's template `tokenizer` is the model's own template; its `none` means rendered texts."""
    if options.template in (None, "tokenizer"):
        template = None
    else:
        template = ANY_TEMPLATE if options.template == NO_TEMPLATE else read_template(options.template)
    return inspector.load(options.model, revision=options.revision, template=template)


def run_merge(options: argparse.Namespace) -> int:
    """Merge the reports of shards into one; the exit status is that of an audit. Raises InspectorError."""
    levels = levels_of(options.fail_on)
    baseline = None if options.baseline is None else read_report(options.baseline)
    _check_outputs(options)
    merged, sources, complete = AuditReport(), [], True
    for name in options.reports:
        report = read_report(name)
        report_sources = report.about.get("data", [])
        if twice := next((entry for entry in report_sources if entry in sources), None):
            raise ReportError(
                f"{name}: the rows of {twice['name']!r}, shard {twice['shard']} of {twice['shards']}, are in another "
                "of the reports as well, and would count twice."
            )
        try:
            merged.merge(report)
        except ReportError as error:
            raise ReportError(f"{name}: {error}") from error
        sources += report_sources
        complete = complete and bool(report.about.get("complete", True))
    joined, missing = _joined(sources)
    merged.about = {**merged.about, "data": joined, "complete": complete}
    return _finish(merged, options, levels, baseline, missing)


def _joined(sources: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """(sources, missing shards). A source is named as a whole if all of its shards are there."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in sources:
        groups.setdefault(json.dumps({**entry, "shard": 0}, sort_keys=True), []).append(entry)
    joined: list[Mapping[str, Any]] = []
    missing = []
    for group in groups.values():
        first, there = group[0], {entry["shard"] for entry in group}
        absent = [index for index in range(first["shards"]) if index not in there]
        is_whole = not absent and first["limit"] is None
        joined += [{**first, "shard": 0, "shards": 1}] if is_whole else sorted(group, key=lambda one: one["shard"])
        missing += [f"shard {index} of {first['shards']} of {first['name']} is missing" for index in absent]
    return joined, missing


def _finish(
    report: AuditReport,
    options: argparse.Namespace,
    levels: Sequence[str],
    baseline: AuditReport | None,
    missing: Sequence[str] = (),
) -> int:
    """Write and print a report; returns the exit status."""
    if options.out is not None:
        write_text(options.out, _json(report.to_dict()) + "\n")
    if options.html is not None:
        from inspector.audit.html import to_html

        write_text(options.html, to_html(report))
    if options.sarif is not None:
        from inspector.ci.sarif import to_sarif

        write_text(options.sarif, _json(to_sarif(report)) + "\n")
    if options.junit is not None:
        from inspector.ci.junit import to_junit

        write_text(options.junit, to_junit(report, levels))
    stopped = [] if report.about.get("complete", True) else ["the audit was stopped before the end"]
    failed = failures(report, levels, baseline) + ([*stopped, *missing] if levels else [])
    if options.json:
        print(_json(report.to_dict() | {"summary": summarize(report), "failed": failed}, indent=2))
    else:
        print("\n".join(format_report(report)))
        if baseline is not None:
            print("\nSince the baseline:", *map(printable, compare_reports(baseline, report)), sep="\n  ")
        print("\n" + (f"Failed: {'; '.join(failed)}." if failed else "Passed."))
    return 1 if failed else 0


def _json(value: Any, indent: int | None = None) -> str:
    """JSON that can be written as UTF-8: half of a surrogate pair stays an escape, as in the data."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode()


# --- files that are written


def _check_outputs(options: argparse.Namespace, data: str | None = None) -> None:
    """Raise InputFileError for a file that cannot be written, before hours are spent on its content."""
    names = [name for option in _OUTPUTS if (name := getattr(options, option, None)) is not None]
    for number, name in enumerate(names):
        path = Path(name)
        if data is not None and path.exists() and Path(data).exists() and path.samefile(data):
            raise InputFileError(f"{name} is the data set itself: choose another file to write to.")
        if name in names[:number]:
            raise InputFileError(f"{name} is named twice: choose a file for each output.")
        is_new = not path.exists()
        try:
            path.open("ab").close()
        except OSError as error:
            raise InputFileError(f"{name} cannot be written: {error.strerror}.") from error
        if is_new:
            path.unlink()


def _bad_row_writer(stack: ExitStack, name: str) -> Callable[[BadRow], None]:
    """A function that writes each unusable row as a line of JSON; the file can be read while it grows."""
    try:
        file: IO[bytes] = stack.enter_context(Path(name).open("wb", buffering=0))  # noqa: SIM115  # closed by the stack
    except OSError as error:
        raise InputFileError(f"{name} cannot be written: {error.strerror}.") from error

    def write(row: BadRow) -> None:
        line = _json({"row": row.number, "place": row.place, "why": row.why, "raw": row.raw}) + "\n"
        try:
            file.write(line.encode())
        except OSError as error:
            raise InputFileError(f"{name} cannot be written: {error.strerror}.") from error

    return write


# --- the terminal


@contextmanager
def _progress_line() -> Iterator[Callable[[Progress, AuditReport], None]]:
    """A function that shows the progress in one line on standard error; the line is cleared at the end."""
    width = 0

    def show(progress: Progress, report: AuditReport) -> None:
        nonlocal width
        left = progress.seconds_left
        rest = "" if left is None else f", {round(left) // 60}:{round(left) % 60:02} left"
        line = f"{progress.rows:,} rows, {progress.rows_per_second:,.0f} a second{rest}"
        print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
        width = len(line)

    try:
        yield show
    finally:
        print(f"\r{'':<{width}}\r", end="", file=sys.stderr, flush=True)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed. A second Ctrl-C ends the audit at once, without a report.

    A terminal sends the signal to the worker processes too. They inherit the blocked signal from this thread, so it
    only reaches the thread that waits; Python still runs the handler in this thread.
    """
    pressed = False

    def press(number: int, frame: object) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        with suppress(OSError):
            os.write(2, b"\nStopping after the rows at hand. Ctrl-C once more stops at once.\n")

    resource_tracker.ensure_running()  # started later, it would unblock the signal again
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    before = signal.signal(signal.SIGINT, press)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield lambda: pressed
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)
        ended.set()
