"""`python -m inspector audit` and `merge`: data sets in, a report out, and an exit status that CI can stop on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import inspector
from inspector.audit import Progress, Task, audit
from inspector.errors import InputFileError, InspectorError, ReportError
from inspector.files import read_template, read_text, write_text
from inspector.finding import Code, Severity
from inspector.formats import Format
from inspector.report import AuditReport
from inspector.rows import BadRow, DataSource
from inspector.strategies import Modifiers
from inspector.summary import compare_reports, failures, rows_with, summarize


def run_audit(options: argparse.Namespace) -> int:
    """Audit a data set: status 1 for findings at or above the level. Raises InspectorError."""
    levels = _levels(options.fail_on)
    baseline = None if options.baseline is None else read_report(options.baseline)
    template, mapping = _chat_template(options)
    model = inspector.load(options.model, revision=options.revision, template=template)
    task = Task(
        model=model.with_special_tokens(options.special_tokens),
        strategy=options.strategy,
        options=dict(options.option),
        modifiers=Modifiers(keep=options.keep, max_length=options.max_length, truncation=options.truncation),
    )
    index, shards = options.shard
    source = DataSource(
        name=options.data, split=options.split, config=options.config, revision=options.data_revision,
        index=index, shards=shards,
    )  # fmt: skip
    with ExitStack() as stack:
        report = audit(
            task, source, mapping=mapping, limit=options.limit, workers=options.workers,
            on_progress=_progress_line() if sys.stderr.isatty() else None,
            on_bad_row=None if options.bad is None else _bad_row_writer(stack, options.bad),
        )  # fmt: skip
    return _finish(report, options, levels, baseline)


def _chat_template(options: argparse.Namespace) -> tuple[str | None, dict[str, str]]:
    """(template, mapping): AutoTrain's `tokenizer` is the model's own template, its `none` means rendered texts."""
    mapping = dict(options.map)
    if options.template in (None, "tokenizer"):
        return None, mapping
    if options.template == "none":
        return None, {"format": Format.TEXT.value, **mapping}
    return read_template(options.template), mapping


def run_merge(options: argparse.Namespace) -> int:
    """Merge the reports of shards into one. Raises InspectorError."""
    merged = AuditReport()
    for name in options.reports:
        report = read_report(name)
        try:
            merged.merge(report)
        except ReportError as error:
            raise ReportError(f"{name}: {error}") from error
    return _finish(merged, options, _levels(options.fail_on), None)


def read_report(name: str) -> AuditReport:
    """The report in a JSON file. Raises InputFileError, ReportError."""
    try:
        return AuditReport.from_dict(json.loads(read_text(name)))
    except ReportError as error:
        raise ReportError(f"{name}: {error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InspectorError):
            raise
        raise InputFileError(f"{name} is not JSON: {error}.") from error


def _finish(
    report: AuditReport, options: argparse.Namespace, levels: Sequence[str], baseline: AuditReport | None
) -> int:
    if options.out is not None:
        write_text(options.out, json.dumps(report.to_dict(), ensure_ascii=False) + "\n")
    if options.html is not None:
        from inspector.report_html import to_html

        write_text(options.html, to_html(report))
    failed = failures(report, levels, baseline)
    if options.json:
        summary = {"summary": summarize(report), "failed": failed}
        print(json.dumps(report.to_dict() | summary, ensure_ascii=False, indent=2))
    else:
        print("\n".join(format_report(report)))
        if baseline is not None:
            print("\nSince the baseline:", *compare_reports(baseline, report), sep="\n  ")
        print("\n" + (f"Failed: {'; '.join(failed)}." if failed else "Passed."))
    return 1 if failed else 0


def format_report(report: AuditReport) -> Iterator[str]:
    """A report as lines for a terminal or a CI log."""
    about, summary = report.about, summarize(report)
    yield f"{about.get('model')} · template {about.get('template')} ({about.get('template_hash')}) · strategy " + str(
        about.get("strategy")
    )
    layout = about.get("layout") or {}
    columns = ", ".join(f"{name}={column}" for name, column in layout.get("columns", {}).items())
    yield f"{report.rows:,} rows of {layout.get('format')} ({columns})" + (
        "" if about.get("complete", True) else ", stopped"
    )
    unused = [f"{report.bad:,} cannot be used", f"{report.refused:,} refused by the template"]
    yield f"{report.inspected:,} inspected, {', '.join(unused)}, {report.untrained:,} train nothing"
    lengths, packing = summary["lengths"], summary["packing"]
    yield (
        f"{report.tokens:,} tokens, {report.trained:,} train ({summary['trained_share']:.1%}); of these "
        f"{summary['boilerplate_share']:.1%} are the template's text"
    )
    yield (
        f"lengths: mean {lengths['mean']:.0f}, median {lengths['p50']}, 90% {lengths['p90']}, 99% {lengths['p99']}, "
        f"longest {lengths['max']}"
    )
    if packing is not None:
        yield (
            f"at max_length {packing['max_length']}: packed rows are {packing['packed_share']:.1%} full, rows padded "
            f"to the longest {packing['padded_share']:.1%}"
        )
    yield from _roles(report)
    yield from _limits(report)
    yield ""
    yield from _findings(report, summary["findings"])
    if report.reasons:
        yield "rows that are not used:"
        yield from (f"  {count:>8,}  {reason}" for reason, count in report.reasons.most_common(10))
        yield from (f"  {row['place']}: {row['why']}" for row in report.bad_rows[:5])


def _roles(report: AuditReport) -> Iterator[str]:
    for role, (turns, tokens, trained) in sorted(report.roles.items()):
        share = trained / tokens if tokens else 0.0
        yield f"{role:>12}: {turns:,} turns, {tokens:,} tokens, {share:.1%} train"


def _limits(report: AuditReport) -> Iterator[str]:
    for limit, (rows, start, emptied_start, end, emptied_end) in sorted(report.limits.items()):
        if start or end:
            yield (
                f"max_length {limit:>6}: cuts {rows:,} rows; keeping the start loses {start:,} trained tokens and "
                f"leaves {emptied_start:,} rows with none, keeping the end {end:,} and {emptied_end:,}"
            )


def _findings(report: AuditReport, about_data: Sequence[dict[str, Any]]) -> Iterator[str]:
    order = list(Severity)
    worst = {
        code: min(order.index(Severity(severity)) for severity in found.severities)
        for code, found in report.findings.items()
        if found.severities
    }
    if not worst and not about_data:
        yield "No findings."
    for code in sorted(worst, key=lambda code: (worst[code], -report.findings[code].rows)):
        found = report.findings[code]
        yield f"{order[worst[code]].value:>8} {code}: {found.count:,} in {rows_with(report, Code(code)):,} rows"
        yield from (f"{'':>10}{count:>8,}  {cluster}" for cluster, count in found.clusters.most_common(3))
        if found.examples:
            first = found.examples[0]
            yield f"{'':>10}{first['place']}: {first['detail']}"
            yield f"{'':>12}→ {first['remedy']}"
    for finding in about_data:
        yield f"{finding['severity']:>8} {finding['code']}: {finding['detail']}"
        yield f"{'':>12}→ {finding['remedy']}"


def _levels(text: str) -> list[str]:
    """Severities and codes to fail on; a severity means itself and the worse ones. Raises InputFileError."""
    severities = [severity.value for severity in Severity]
    levels: list[str] = []
    for name in filter(None, text.split(",")):
        if name in severities:
            levels += severities[: severities.index(name) + 1]
        elif name in list(Code):
            levels.append(name)
        elif name != "never":
            known = ", ".join((*severities, "never", *Code))
            raise InputFileError(f"--fail-on: there is no severity or code {name!r}; there are: {known}.")
    return levels


def _progress_line() -> Any:
    def show(progress: Progress, report: AuditReport) -> None:
        left = progress.seconds_left
        rest = "" if left is None else f", {left // 60:.0f}:{left % 60:02.0f} left"
        print(f"\r{progress.rows:,} rows, {progress.rows_per_second:,.0f} a second{rest}   ", end="", file=sys.stderr)
        if progress.rows_left == 0:
            print(file=sys.stderr)

    return show


def _bad_row_writer(stack: ExitStack, name: str) -> Any:
    """A function that writes each unusable row as a line of JSON."""
    try:
        file: IO[str] = stack.enter_context(Path(name).open("w", encoding="utf-8"))  # noqa: SIM115  # closed by the stack
    except OSError as error:
        raise InputFileError(f"{name} cannot be written: {error.strerror}.") from error

    def write(row: BadRow) -> None:
        line = {"row": row.number, "place": row.place, "why": row.why, "raw": row.raw}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")

    return write
