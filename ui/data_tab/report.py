"""An audit's report -> its display on the Data tab: figures in words, findings with their rows; no widgets here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.audit.report import AuditReport
from inspector.audit.summary import summarize
from inspector.audit.text import Shown, about_lines, ranked_findings
from inspector.findings.codes import Severity, heading_of
from inspector.findings.explanations import explanation
from ui.language import say
from ui.parts.report import Block, table, text
from ui.parts.token_view import as_json

UNUSED, UNUSED_HEADING = "rows that are not used", "Unreadable rows"
"""The entry in the list of findings for rows that are bad or refused."""
KEPT_CLUSTERS = 12
"""Maximum number of kinds of a finding that are listed; the others are summed up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """A row that shows a finding.

    `token`: the first token of the finding, if any; `can_open`: if it is a conversation.
    """

    number: int
    place: str
    detail: str
    token: int | None = None
    can_open: bool = True


def example_rows(report: AuditReport, code: str) -> list[ExampleRow]:
    """The first rows of a finding, by number; for UNUSED, the unusable ones. Empty for an unknown code."""
    if code == UNUSED:
        return [  # a row that the template refused can be shown: only unreadable rows keep their raw text
            ExampleRow(number=row["row"], place=row["place"], detail=row["why"], can_open=not row["raw"])
            for row in report.bad_rows
        ]
    found = next((finding for finding in ranked_findings(report) if finding.code == code), None)
    return [] if found is None else [_example(row) for row in found.examples]


def _example(row: Mapping[str, Any]) -> ExampleRow:
    """The row of a finding about the whole data set: only its number is known."""
    span = row.get("token_span")
    return ExampleRow(
        number=row["row"],
        place=row.get("place", f"row {row['row']}"),
        detail=row.get("detail", ""),
        token=span[0] if span else None,
    )


def problem_of(report: AuditReport, code: str) -> str:
    """The heading of a finding, with its number of rows."""
    found = next((finding for finding in ranked_findings(report) if finding.code == code), None)
    heading, rows = (UNUSED_HEADING, report.bad + report.refused) if found is None else (heading_of(code), found.rows)
    return f"{heading} ({rows:,} {'row' if rows == 1 else 'rows'})"


def pack_findings(report: AuditReport) -> str:
    """The value of the findings' list."""
    entries = [_entry(report, finding) for finding in ranked_findings(report)]
    if report.bad + report.refused:
        entries.insert(0, _unused(report))
    return as_json({"rows": report.rows, "findings": entries})


def _entry(report: AuditReport, found: Shown) -> dict[str, Any]:
    first = found.examples[0] if found.examples else {}
    return {
        "code": found.code,
        "heading": heading_of(found.code),
        "severity": found.severity.value,
        "rows": found.rows,
        "count": None if found.detail else found.count,  # a finding about the whole data set has one
        "detail": found.detail,
        "remedy": found.remedy or first.get("remedy", ""),
        "about": explanation(found.code).text,
        **_clusters(found.clusters),
        **_examples(report, found.code),
    }


def _unused(report: AuditReport) -> dict[str, Any]:
    return {
        "code": UNUSED,
        "heading": UNUSED_HEADING,
        "severity": Severity.ERROR.value,
        "rows": report.bad + report.refused,
        "count": report.bad + report.refused,
        "detail": f"{report.bad:,} cannot be read as a conversation, {report.refused:,} are refused by the template.",
        "remedy": "Fix these rows, or download the clean ones and continue.",
        "about": "",
        **_clusters(report.reasons.most_common()),
        **_examples(report, UNUSED),
    }


def _clusters(counted: Sequence[tuple[str, int]]) -> dict[str, Any]:
    return {
        "clusters": list(counted[:KEPT_CLUSTERS]),
        "otherClusters": sum(count for _, count in counted[KEPT_CLUSTERS:]),
    }


def _examples(report: AuditReport, code: str) -> dict[str, Any]:
    return {
        "examples": [
            {"place": row.place, "detail": row.detail, "token": row.token, "canOpen": row.can_open}
            for row in example_rows(report, code)
        ]
    }


def summary_blocks(report: AuditReport, name: str) -> Iterator[Block]:
    """The result of the audit of the data set `name` in a sentence, and its scope."""
    harmed = report.bad + report.refused + report.erroneous
    yield (
        text(say("{n} of {all} rows would harm training", n=f"{harmed:,}", all=f"{report.rows:,}"), "✗")
        if harmed
        else text(say("None of the {all} rows has an error", all=f"{report.rows:,}"), "✓")
    )
    if not report.about.get("complete", True):
        yield text(say("Stopped before the end: this is about the rows seen until then."), "◼")
    unread = report.bad + report.refused
    counts = [(report.rows - harmed, "clean"), (report.erroneous, "with errors"), (unread, "unreadable")]
    said = [f"{count:,} {what}" for count, what in counts if count]
    if report.tokens:
        said.append(f"{report.trained / report.tokens:.0%} of {report.tokens:,} tokens are trained")
    yield text(" · ".join(said))
    parts = [f"{what} {value}" for what, value in about_lines(report) if what in ("model", "template", "strategy")]
    yield text(" · ".join([name, *parts]))


def facts_table(report: AuditReport) -> Block:
    """The counts of an audit."""
    summary = summarize(report)
    dropped, packing = summary["dropped"], summary["packing"]
    rows = [
        ["rows", f"{report.rows:,} read, {report.inspected:,} inspected"],
        ["tokens", f"{report.tokens:,}, of which {report.trained:,} are trained ({summary['trained_share']:.1%})"],
        [
            "left out",
            f"{dropped['unreadable']:,} unreadable, {dropped['refused']:,} refused, "
            f"{dropped['nothing_trained']:,} with nothing trained",
        ],
    ]
    if packing is not None:
        rows.append(
            [
                "batches",
                f"padding to the longest row ({packing['max_length']:,}) wastes {1 - packing['padded_share']:.0%}; "
                f"packing wastes {1 - packing['packed_share']:.0%}",
            ]
        )
    return table(["", ""], rows)
