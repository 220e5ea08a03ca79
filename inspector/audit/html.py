"""A report as one HTML page: it loads nothing, runs nothing, and can be printed.

Everything from the data or the template is shown as text: the page's template escapes every value, and the page's
policy forbids the browser to load or run anything.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from inspector.audit.report import KEPT_TURNS, AuditReport
from inspector.audit.summary import number, packing, quantile, summarize
from inspector.audit.text import Shown, about_lines, audited_answer, figures, ranked_findings
from inspector.errors import printable
from inspector.findings.codes import SIGNS, Code, Severity
from inspector.findings.explanations import explanation
from inspector.strategies.modifiers import Truncation

SHOWN_CLUSTERS = 8
SHOWN_REASONS = 20
SHOWN_TURNS = 8
BARS = 40
"""Approximate number of bars in the histogram."""
_LONG_TAIL = 10
"""The histogram is logarithmic if the longest row has at least this many times the median."""
_HERE = Path(__file__).parent


def to_html(report: AuditReport) -> str:
    """The report as one HTML page."""
    source = (_HERE / "html.jinja").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )  # fmt: skip
    environment.filters |= {"n": "{:,}".format, "percent": "{:.1%}".format, "count": number}
    style = Markup((_HERE / "html.css").read_text(encoding="utf-8"))
    return environment.from_string(source).render(style=style, **_view(report))


def _view(report: AuditReport) -> dict[str, Any]:
    """The values that the page shows."""
    summary, findings = summarize(report), ranked_findings(report)
    about = about_lines(report)
    names = [value for name, value in about if name == "data"] or ["a data set"]
    modifiers = report.about.get("modifiers") or {}
    own_limit = modifiers.get("max_length")
    return {
        "title": f"Audit of {names[0] if len(names) == 1 else number(len(names), 'data set')}",
        "figures": figures(report),
        "counts": [
            (severity.value, SIGNS[severity], sum(one.severity is severity for one in findings))
            for severity in Severity
        ],
        "pairs": audited_answer(report),
        "about": about,
        "tiles": _tiles(report, summary),
        "histogram": make_histogram(report.lengths, own_limit),
        "lengths": summary["lengths"],
        "roles": [_trained(role, numbers) for role, numbers in sorted(report.roles.items())],
        "turns": [_trained(_ordinal(i), numbers) for i, numbers in enumerate(report.turns, 1)],
        "shown_turns": SHOWN_TURNS,
        "findings": [_finding(one, report) for one in findings],
        "limits": [_limit(limit, numbers, report) for limit, numbers in sorted(report.limits.items())],
        "own_limit": own_limit,
        "own_side": "end" if modifiers.get("truncation") == Truncation.KEEP_END else "start",
        "cut": report.cut,
        "cut_share": summary["cut_share"],
        "packing": _packing(report, summary),
        "repeated": next((one for one in findings if one.code == Code.DUPLICATE_ANSWER.value), None),
        "reasons": sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_REASONS],
        "more_reasons": max(0, len(report.reasons) - SHOWN_REASONS),
        "bad_rows": report.bad_rows,
        "unused": report.bad + report.refused,
    }


def _tiles(report: AuditReport, summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The most important figures: (name, value, meaning)."""
    lengths = summary["lengths"]
    return [
        ("Rows inspected", f"{report.inspected:,}", f"of {report.rows:,}"),
        ("Not used", f"{report.bad + report.refused:,}", f"{report.refused:,} refused by the template"),
        ("Trained tokens", f"{summary['trained_share']:.1%}", f"{report.trained:,} of {report.tokens:,}"),
        ("Template's text", f"{summary['boilerplate_share']:.1%}", "of the trained tokens"),
        ("Rows without trained tokens", f"{report.untrained:,}", f"{report.near_empty:,} more with next to none"),
        ("Longest row", f"{lengths['max']:,}", f"tokens; 99% have at most {lengths['p99']:,}"),
    ]


def _trained(name: str, numbers: Sequence[int]) -> dict[str, Any]:
    turns, tokens, trained = numbers
    return {"name": name, "turns": turns, "tokens": tokens, "share": trained / tokens if tokens else 0.0}


def _ordinal(turn: int) -> str:
    if turn == KEPT_TURNS:
        return f"{turn} and later"
    ending = "th" if turn % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(turn % 10, "th")
    return f"{turn}{ending}"


def _finding(one: Shown, report: AuditReport) -> dict[str, Any]:
    severities = [number(one.severities[s], s.value) for s in Severity if one.severities.get(s.value)]
    return {
        "id": re.sub(r"\W", "", one.code),
        "code": one.code,
        "severity": one.severity.value,
        "sign": SIGNS[one.severity],
        "rows": one.rows,
        "share": min(1.0, one.rows / report.rows) if report.rows else 0.0,
        "times": "" if one.detail else number(one.count, "time"),
        "mixed": ", ".join(severities) if len(severities) > 1 else "",
        "explanation": Markup(explanation(one.code).html),
        "clusters": one.clusters[:SHOWN_CLUSTERS],
        "more_clusters": max(0, len(one.clusters) - SHOWN_CLUSTERS),
        "detail": one.detail,
        "examples": [example for example in one.examples if "detail" in example],
        "numbers": [example["row"] for example in one.examples if "detail" not in example],
        "remedies": _remedies(one),
    }


def _remedies(one: Shown) -> list[str]:
    """The remedies without duplicates: two that differ only in their numbers are the same."""
    remedies = [one.remedy, *(str(example.get("remedy", "")) for example in one.examples)]
    return list({re.sub(r"\d+", "N", remedy): remedy for remedy in reversed(remedies) if remedy}.values())[::-1]


def _limit(limit: int, numbers: Sequence[int], report: AuditReport) -> dict[str, Any]:
    """The tokens that max_length cuts, for keeping the start and for keeping the end."""
    rows, start, emptied_start, end, emptied_end = numbers
    whole = report.trained + report.cut

    def side(lost: int, emptied: int) -> dict[str, Any]:
        return {"lost": lost, "share": lost / whole if whole else 0.0, "emptied": emptied}

    return {"max_length": limit, "rows": rows, "start": side(start, emptied_start), "end": side(end, emptied_end)}


def _packing(report: AuditReport, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fill of batches at the audit's max_length (or the longest row), and at powers of two around the row
    lengths."""
    used = summary["packing"]
    if used is None:
        return []
    longest, median = summary["lengths"]["max"], summary["lengths"]["p50"]
    powers = [limit for limit in report.limits if limit >= median]
    if longest > 1:
        powers.append(1 << (longest - 1).bit_length())
    rows = [{"max_length": limit, **packing(report.lengths, limit)} for limit in powers if limit != used["max_length"]]
    return sorted([*rows, used], key=lambda row: row["max_length"])


# --- the histogram of lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Rows of at least `low` and fewer than `high` tokens; `over` of them have more than max_length."""

    low: int
    high: int
    rows: int
    over: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Bars of equal width.

    `ticks`: (length, its place from 0 to 1); `mark`: the place of max_length, if it is in range.
    """

    bars: Sequence[Bar]
    ticks: Sequence[tuple[int, float]]
    mark: tuple[int, float] | None
    is_logarithmic: bool
    highest: int


def make_histogram(lengths: Mapping[int, int], max_length: int | None = None) -> Histogram | None:
    """The number of rows for each range of lengths; None without rows.

    Bars have equal steps, or growing ones if the longest row is far longer than most.
    """
    if not lengths:
        return None
    longest = max(lengths)
    reach = max_length if max_length is not None and longest < max_length <= 2 * longest else longest
    is_logarithmic = longest > _LONG_TAIL * quantile(lengths, 0.5)
    edges = _powers(min(lengths), reach) if is_logarithmic else _steps(reach)
    rows, over = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    for length, count in lengths.items():
        at = bisect_right(edges, length) - 1
        rows[at] += count
        over[at] += count if max_length is not None and length > max_length else 0
    every = 2 * max(1, round(len(rows) / 10))  # on the logarithmic axis every second edge is a power of two
    return Histogram(
        bars=[Bar(low=edges[i], high=edges[i + 1], rows=rows[i], over=over[i]) for i in range(len(rows))],
        ticks=[(edge, i / len(rows)) for i, edge in enumerate(edges) if i % every == 0],
        mark=None if max_length is None or max_length > edges[-1] else (max_length, _place(edges, max_length)),
        is_logarithmic=is_logarithmic,
        highest=max(rows),
    )


def _steps(reach: int) -> list[int]:
    """Edges from 0 in equal steps of 1, 2 or 5 times a power of ten; the last one is above `reach`."""
    step = next(s * 10**power for power in range(12) for s in (1, 2, 5) if s * 10**power * BARS > reach)
    return list(range(0, reach + step + 1, step))


def _powers(low: int, reach: int) -> list[int]:
    """Edges that grow by the square root of two, from a power of two up to `low`; the last one is above `reach`."""
    first = max(0, low.bit_length() - 1)
    edges = sorted({round(2 ** (first + half / 2)) for half in range(2 * reach.bit_length() + 4)})
    return ([0] if low == 0 else []) + edges[: bisect_right(edges, reach) + 1]


def _place(edges: Sequence[int], length: int) -> float:
    """The place of a length on the axis, from 0 to 1."""
    at = min(max(bisect_right(edges, length) - 1, 0), len(edges) - 2)
    return (at + max(0, length - edges[at]) / (edges[at + 1] - edges[at])) / (len(edges) - 1)
