"""A report as lines for a terminal or a CI log, and the words that a report's page shares with them.

Text from the data is made safe: control characters are shown by their code, so that no row drives a terminal, and no
line reads as a command of a CI runner.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.audit.report import AuditReport
from inspector.audit.summary import data_findings, number, summarize
from inspector.data.layouts import Format
from inspector.errors import printable
from inspector.findings.codes import Severity

WIDTH = 100
"""Line width of a log; a longer word stands alone on its line."""
SHOWN_CLUSTERS = 3
SHOWN_REASONS = 10
SHOWN_BAD_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything a report says about one code.

    `examples`: rows with place, detail and remedy, or only their numbers.
    """

    severity: Severity
    code: str
    count: int
    rows: int
    severities: Mapping[str, int]
    clusters: Sequence[tuple[str, int]]
    examples: Sequence[Mapping[str, Any]]
    detail: str = ""
    remedy: str = ""


def ranked_findings(report: AuditReport) -> list[Shown]:
    """The findings, worst first; among equals, those in the most rows first."""
    order = list(Severity)
    shown = []
    for code, found in report.findings.items():
        severities = [severity for severity in order if found.severities.get(severity.value)]
        if severities:
            clusters = sorted(found.clusters.items(), key=lambda item: (-item[1], item[0]))
            shown.append(
                Shown(
                    severity=severities[0], code=code, count=found.count, rows=found.rows, severities=found.severities,
                    clusters=clusters, examples=found.examples,
                )
            )  # fmt: skip
    for about_data in data_findings(report):
        shown.append(
            Shown(
                severity=about_data.severity, code=about_data.code.value, count=1, rows=about_data.rows,
                severities={about_data.severity.value: 1}, clusters=(),
                examples=[{"row": row} for row in about_data.examples],
                detail=about_data.detail, remedy=about_data.remedy,
            )
        )  # fmt: skip
    return sorted(shown, key=lambda one: (order.index(one.severity), -one.rows, one.code))


def audited_answer(report: AuditReport) -> str | None:
    """Says which answer of each pair was audited, and how to audit the other; None if the rows are not pairs."""
    layout = report.about.get("layout") or {}
    if layout.get("format") != Format.PREFERENCE.value:
        return None
    columns = layout.get("columns", {})
    judge = next((str(columns[name]) for name in ("verdict", "first_score", "ranked") if name in columns), None)
    if judge is not None and "chosen" not in columns:
        return f"Of each pair only the better answer, by the column {judge!r}, is audited."
    chosen, rejected = (str(columns.get(name, name)) for name in ("chosen", "rejected"))
    other = f"--map {shlex.quote(f'chosen={rejected}')} --map {shlex.quote(f'rejected={chosen}')}"
    return f"Of each pair only the answer in the column {chosen!r} is audited; {other} audits the other."


def about_lines(report: AuditReport) -> list[tuple[str, str]]:
    """The subject of the audit, as (name, value).

    The model, template and strategy, the data and the layout of its rows.
    """
    about = report.about
    layout = about.get("layout") or {}
    options = {**(about.get("options") or {}), **(about.get("modifiers") or {})}
    columns = ", ".join(
        name if name == column else f"{name} = {column}" for name, column in layout.get("columns", {}).items()
    )
    if keywords := layout.get("keywords"):
        columns += f"; the template reads {', '.join(keywords)}"
    lines = [
        ("model", f"{about.get('model')}" + (f" at {about['revision']}" if about.get("revision") else "")),
        ("template", f"{about.get('template')} ({about.get('template_hash')})"),
        ("strategy", ", ".join([f"{about.get('strategy')}", *(f"{name} {value}" for name, value in options.items())])),
        *(("data", _source(entry)) for entry in about.get("data", ())),
        ("rows", f"{layout.get('format', 'unknown')} ({columns})" if columns else f"{layout.get('format', 'unknown')}"),
    ]
    return [(name, value) for name, value in lines if value]


def _source(entry: Mapping[str, Any]) -> str:
    """One source of rows: its name, and the part of it that was read."""
    parts = [
        str(entry.get("name") or "pasted rows"),
        *(f"{key} {entry[key]}" for key in ("config", "split", "revision") if entry[key]),
    ]
    if entry.get("shards", 1) > 1:
        parts.append(f"shard {entry.get('shard')} of {entry['shards']}")
    if entry.get("limit") is not None:
        parts.append(f"the first {entry['limit']:,} rows")
    return ", ".join(parts)


def figures(report: AuditReport) -> str:
    """The report in one sentence."""
    share = report.trained / report.tokens if report.tokens else 0.0
    return (
        f"{report.inspected:,} of {number(report.rows, 'row')} inspected; "
        f"{report.trained:,} of {number(report.tokens, 'token')} are trained ({share:.1%})"
        + ("" if report.about.get("complete", True) else "; stopped before the end")
    )


def format_report(report: AuditReport) -> Iterator[str]:
    """A report as lines for a terminal or a CI log."""
    summary = summarize(report)
    about = about_lines(report)
    yield from _wrapped(" · ".join(value if name == "model" else f"{name} {value}" for name, value in about[:3]))
    yield from _wrapped(" · ".join(value if name == "data" else f"{name}: {value}" for name, value in about[3:]))
    yield from _wrapped(f"{figures(report)}.")
    yield from _wrapped(
        f"{number(report.bad, 'row')} cannot be used, {report.refused:,} refused by the template, {report.untrained:,} "
        f"have no trained token; {summary['boilerplate_share']:.1%} of what is trained is the template's text."
    )
    yield from _wrapped(audited_answer(report) or "")
    yield ""
    yield from _lengths(summary)
    yield from _roles(report)
    yield from _limits(report)
    yield ""
    yield from _findings(ranked_findings(report))
    yield from _unused(report)


def _wrapped(text: str, indent: str = "", hanging: str | None = None) -> Iterator[str]:
    """A text in lines of WIDTH. None of them is a workflow command (`::name::`, `##[name]`), which runners look for."""
    hanging = indent + "  " if hanging is None else hanging
    lines = textwrap.wrap(
        printable(text), WIDTH - 1, initial_indent=indent, subsequent_indent=hanging, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    yield from (re.sub(r"^(\s*)(::|##\[)", r"\1.\2", line) for line in lines)


def _lengths(summary: Mapping[str, Any]) -> Iterator[str]:
    lengths, packing = summary["lengths"], summary["packing"]
    yield (
        f"tokens a row   mean {lengths['mean']:,.0f}, median {lengths['p50']:,}, 90% {lengths['p90']:,}, "
        f"99% {lengths['p99']:,}, longest {lengths['max']:,}"
    )
    if packing is not None:
        yield (
            f"full batches   {packing['packed_share']:.1%} packed into rows of {packing['max_length']:,} tokens, "
            f"{packing['padded_share']:.1%} padded to the longest"
        )


def _roles(report: AuditReport) -> Iterator[str]:
    for role, (turns, tokens, trained) in sorted(report.roles.items()):
        share = trained / tokens if tokens else 0.0
        head = f"{printable(role)[:14]:<14} "
        yield f"{head}{number(turns, 'turn')}, {number(tokens, 'token')}, {share:.1%} trained"


def _limits(report: AuditReport) -> Iterator[str]:
    for limit, (rows, start, emptied_start, end, emptied_end) in sorted(report.limits.items()):
        if start or end:
            yield from _wrapped(
                f"max_length {limit:,} cuts {number(rows, 'row')}: keeping the start loses "
                f"{number(start, 'trained token')} and leaves {number(emptied_start, 'row')} with none, keeping the "
                f"end {end:,} and {emptied_end:,}"
            )


def _findings(shown: Sequence[Shown]) -> Iterator[str]:
    if not shown:
        yield "No findings."
    for one in shown:
        found = f"{number(one.count, 'time')} in {number(one.rows, 'row')}" if not one.detail else one.detail
        yield from _wrapped(f"{one.severity.value:<8}{one.code}: {found}", hanging=" " * 10)
        for cluster, count in one.clusters[:SHOWN_CLUSTERS]:
            yield from _wrapped(f"{count:>8,}  {cluster}", " " * 2, " " * 12)
        if len(one.clusters) > SHOWN_CLUSTERS:
            yield f"{'':>12}and {number(len(one.clusters) - SHOWN_CLUSTERS, 'other kind')}"
        first = one.examples[0] if one.examples else {}
        if "detail" in first:
            yield from _wrapped(f"{first['place']}: {first['detail']}", " " * 8, " " * 10)
        if remedy := one.remedy or first.get("remedy", ""):
            yield from _wrapped(f"→ {remedy}", " " * 8, " " * 10)


def _unused(report: AuditReport) -> Iterator[str]:
    if not report.reasons:
        return
    yield "rows that are not used"
    for reason, count in sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_REASONS]:
        yield from _wrapped(f"{count:>8,}  {reason}", " " * 2, " " * 12)
    for row in report.bad_rows[:SHOWN_BAD_ROWS]:
        yield from _wrapped(f"{row['place']}: {row['why']}", " " * 8, " " * 10)
