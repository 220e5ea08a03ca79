"""Figures from the counts of an audit: shares, lengths, packing, repeated answers, and changes since the last audit."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from inspector.audit.report import NEAR_EMPTY_SHARE, NEAR_EMPTY_TOKENS, AuditReport
from inspector.data.tally import labels_text, unread_text
from inspector.errors import InputFileError
from inspector.findings.codes import Code, Severity

REPEATED_SHARE = 0.1
"""Repeated answers, or rows that train almost nothing, are a warning from this share of the rows on."""
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFinding:
    """A finding about the whole data set.

    `rows`: the number of rows it is about; `examples`: the numbers of the first.
    """

    code: Code
    severity: Severity
    rows: int
    detail: str
    remedy: str
    examples: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "code": self.code.value,
            "severity": self.severity.value,
            "rows": self.rows,
            "detail": self.detail,
            "remedy": self.remedy,
            "examples": list(self.examples),
        }


def summarize(report: AuditReport, max_length: int | None = None) -> dict[str, Any]:
    """The figures that follow from a report's counts, JSON-ready.

    `max_length`: for the packing figures; by default the audit's, or else the longest row. `dropped`: rows that a
    trainer would leave out or fail on. Shares are fractions of 1; lengths are in tokens.
    """
    length = report.about.get("modifiers", {}).get("max_length")
    limit = max_length or length or max(report.lengths, default=0)
    return {
        "rows": report.rows,
        "trained_share": _share(report.trained, report.tokens),
        "boilerplate_share": _share(report.boilerplate, report.trained),
        "cut_share": _share(report.cut, report.trained + report.cut),
        "lengths": {
            "mean": _share(report.tokens, report.inspected),
            **{f"p{round(100 * q)}": quantile(report.lengths, q) for q in QUANTILES},
            "max": max(report.lengths, default=0),
        },
        "packing": {"max_length": limit, **packing(report.lengths, limit)} if limit else None,
        "dropped": {"unreadable": report.bad, "refused": report.refused, "nothing_trained": report.untrained},
        "findings": [finding.to_dict() for finding in data_findings(report)],
    }


def data_findings(report: AuditReport) -> list[DataFinding]:
    """Findings about the whole data set."""
    found = (_repeated(report), _near_empty(report), _unread(report), _one_label(report))
    return [finding for finding in found if finding is not None]


def _repeated(report: AuditReport) -> DataFinding | None:
    pairs = sorted(zip(report.answers[0::2], report.answers[1::2], strict=True))
    groups = [[row for _, row in group] for _, group in groupby(pairs, key=lambda pair: pair[0])]
    repeated = sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))
    rows = sum(len(group) - 1 for group in repeated)
    if not rows:
        return None
    most = repeated[0]
    return DataFinding(
        code=Code.DUPLICATE_ANSWER,
        severity=Severity.WARNING if rows >= REPEATED_SHARE * report.inspected else Severity.NOTE,
        rows=rows,
        detail=f"{rows} of {report.inspected} rows have a trained text that another row has, too; the most "
        f"frequent one is in {len(most)} rows, the first of them {most[0]}.",
        remedy="Remove the repeated rows, or weigh them as they are meant: each of them counts once more.",
        examples=tuple(most[:5]),
    )


def _near_empty(report: AuditReport) -> DataFinding | None:
    if not report.near_empty:
        return None
    return DataFinding(
        code=Code.NEAR_EMPTY_LOSS,
        severity=Severity.WARNING if report.near_empty >= REPEATED_SHARE * report.inspected else Severity.NOTE,
        rows=report.near_empty,
        detail=f"{report.near_empty} of {report.inspected} rows have next to no trained tokens: fewer than "
        f"{NEAR_EMPTY_TOKENS} tokens, or less than {NEAR_EMPTY_SHARE:.0%} of the row.",
        remedy="Look at these rows: the compute is spent on text that is not trained.",
        examples=tuple(report.near_empty_rows),
    )


def _unread(report: AuditReport) -> DataFinding | None:
    if not report.unread:
        return None
    return DataFinding(
        code=Code.COLUMN_NOT_READ,
        severity=Severity.WARNING,
        rows=max(report.unread.values()),
        detail=unread_text(report.unread),
        remedy="Map the columns that are meant, with --map NAME=COLUMN or --map format=FORMAT; drop the others.",
        examples=(),
    )


def _one_label(report: AuditReport) -> DataFinding | None:
    detail = labels_text(report.labels)
    if not detail:
        return None
    return DataFinding(
        code=Code.ONE_LABEL,
        severity=Severity.WARNING,
        rows=report.labels.total(),
        detail=detail,
        remedy="Add rows with the other label, or train with sft.",
        examples=(),
    )


def number(count: int, what: str) -> str:
    """A count with its noun: `1 row`, `1,200 rows`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def quantile(lengths: Mapping[int, int], share: float) -> int:
    """The smallest length that at least this share of the rows does not exceed; 0 without rows."""
    wanted, seen = share * sum(lengths.values()), 0
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= wanted:
            return length
    return 0


def packing(lengths: Mapping[int, int], max_length: int) -> dict[str, Any]:
    """The fill of batches.

    Of rows padded to the longest row, and of rows packed best fit first into `max_length` tokens.

    Rows over `max_length` count as cut to it. Best-fit decreasing, as TRL's default packing strategy.
    """
    sizes = Counter[int]()
    for length, rows in lengths.items():
        sizes[min(length, max_length)] += rows
    tokens = sum(size * rows for size, rows in sizes.items())
    bins = _best_fit(sizes, max_length)
    longest = max(sizes, default=0)
    return {
        "packed_rows": bins,
        "packed_share": _share(tokens, bins * max_length),
        "padded_share": _share(tokens, longest * sum(sizes.values())),
    }


def _best_fit(sizes: Mapping[int, int], capacity: int) -> int:
    """The number of bins that best-fit decreasing needs; rows of one size are placed together."""
    free: list[int] = []  # the distinct free capacities of open bins, in order
    open_bins = Counter[int]()
    bins = 0
    for size in sorted((size for size in sizes if size), reverse=True):
        rows = sizes[size]
        while rows:
            at = bisect_left(free, size)
            if at == len(free):
                room, available = capacity, rows
            else:
                room, available = free[at], open_bins[free[at]]
            each = min(rows, room // size)
            filled = min(available, max(1, rows // each))
            if at == len(free):
                bins += filled
            else:
                open_bins[room] -= filled
                if not open_bins[room]:
                    free.pop(at)
            rows -= filled * each
            rest = room - each * size
            if rest:
                if not open_bins[rest]:
                    insort(free, rest)
                open_bins[rest] += filled
    return bins


def compare_reports(before: AuditReport, after: AuditReport) -> list[str]:
    """The changes between two audits, as sentences; the template, the data, or both may differ."""
    changes = [
        f"The {name.replace('_', ' ')} is another: {before.about.get(name)} before, {after.about.get(name)} now."
        for name in ("model", "template_hash", "strategy", "options", "modifiers")
        if before.about.get(name) != after.about.get(name)
    ]
    for name in ("inspected", "bad", "refused", "tokens", "trained"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            changes.append(f"{_NAMES[name]}: {old:,} before, {new:,} now ({new - old:+,}).")
    for code in Code:
        old, new = (rows_with(report, code) for report in (before, after))
        if old != new:
            changes.append(f"{code.value}: {old:,} rows before, {new:,} now ({new - old:+,}).")
    return changes or ["Nothing changed."]


_NAMES = {
    "inspected": "Rows inspected",
    "bad": "Rows that cannot be used",
    "refused": "Rows that the template refuses",
    "tokens": "Tokens",
    "trained": "Trained tokens",
}


def rows_with(report: AuditReport, code: Code) -> int:
    """The number of rows with each finding; for findings about the data set, the rows they are about."""
    if code.value in report.findings:
        return report.findings[code.value].rows
    return next((finding.rows for finding in data_findings(report) if finding.code is code), 0)


def levels_of(text: str) -> list[str]:
    """Severities and codes to fail on, from their names with commas; a severity means itself and the worse ones.

    Raises InputFileError for a name that is neither, nor `never`.
    """
    severities = [severity.value for severity in Severity]
    levels: list[str] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name in severities:
            levels += severities[: severities.index(name) + 1]
        elif name in list(Code):
            levels.append(name)
        elif name != "never":
            known = ", ".join((*severities, "never", *Code))
            raise InputFileError(f"--fail-on: there is no severity or code {name!r}; there are: {known}.")
    return levels


def failures(report: AuditReport, levels: Sequence[str], baseline: AuditReport | None = None) -> list[str]:
    """The reasons why an audit fails, as sentences.

    Findings of these severities or codes, beyond those of the baseline.

    Unusable rows and refused rows count as errors.
    """
    out = []
    for code in Code:
        rows = rows_with(report, code)
        known = rows_with(baseline, code) if baseline is not None else 0
        if rows > known and (code.value in levels or _severities(report, code) & set(levels)):
            more = f", {known:,} in the baseline" if baseline is not None else ""
            out.append(f"{code.value} in {number(rows, 'row')}{more}")
    for name, what in (("bad", "cannot be used"), ("refused", "refused by the template")):
        rows, known = getattr(report, name), getattr(baseline, name) if baseline is not None else 0
        if rows > known and Severity.ERROR.value in levels:
            out.append(f"{number(rows, 'row')} {what}")
    return out


def _severities(report: AuditReport, code: Code) -> set[str]:
    severities = set(report.findings[code.value].severities) if code.value in report.findings else set()
    return severities | {finding.severity.value for finding in data_findings(report) if finding.code is code}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
