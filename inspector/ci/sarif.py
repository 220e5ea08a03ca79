"""A report as SARIF 2.1.0, which code hosts show at the lines of a pull request.

One rule a finding, one result for each row that the report shows for it; each says in how many rows it is. Rows that
cannot be used are results of a rule of their own. Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from inspector.audit.report import AuditReport
from inspector.audit.text import Shown, ranked_findings
from inspector.ci.places import place_of
from inspector.findings.codes import Code
from inspector.findings.explanations import explanation

UNUSABLE = "row_unusable"
"""The rule of rows that cannot be read, or that the template refuses."""
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_UNUSABLE = {
    "id": UNUSABLE,
    "shortDescription": {"text": "The row cannot be used"},
    "fullDescription": {"text": "It could not be read, is not a conversation, or the chat template refuses it."},
    "defaultConfiguration": {"level": "error"},
}


def to_sarif(report: AuditReport) -> dict[str, Any]:
    """The report as a SARIF log of one run."""
    shown = ranked_findings(report)
    rules = [_rule(Code(one.code)) for one in shown] + [_UNUSABLE] * bool(report.bad_rows)
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "Maskscope", "version": _version(), "rules": rules}},
            "results": [result for one in shown for result in _results(report, one)] + list(_unusable(report)),
            "columnKind": "unicodeCodePoints",
        }],
    }  # fmt: skip


def _version() -> str:
    try:
        return version("maskscope")
    except PackageNotFoundError:  # in a checkout
        return "0"


def _rule(code: Code) -> dict[str, Any]:
    text = explanation(code.value).text or code.heading
    return {
        "id": code.value,
        "shortDescription": {"text": code.heading},
        "fullDescription": {"text": text},
        "help": {"text": text},
    }


def _results(report: AuditReport, shown: Shown) -> Iterator[dict[str, Any]]:
    """A result for each row that is shown for a finding; one for a finding about the data set as a whole."""
    level = shown.severity.value
    if shown.detail:
        first = min((example["row"] for example in shown.examples), default=0)
        yield _result(report.about, shown.code, level, f"{shown.detail} {shown.remedy}", {"row": first, "place": ""})
        return
    more = f" This is so in {shown.rows:,} rows." if shown.rows > 1 else ""
    for example in shown.examples:
        text = f"{example['detail']}{more} {example['remedy']}"
        yield _result(report.about, shown.code, example["severity"], text, example)


def _unusable(report: AuditReport) -> Iterator[dict[str, Any]]:
    for row in report.bad_rows:
        yield _result(report.about, UNUSABLE, "error", row["why"], row)


def _result(about: Mapping[str, Any], rule: str, level: str, text: str, row: Mapping[str, Any]) -> dict[str, Any]:
    place = place_of(about, row["place"])
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": quote(place.file)}, "region": {"startLine": place.line},
            }
        }],
        "partialFingerprints": {"row": f"{rule}:{row['row']}"},
        "properties": {"row": row["row"]},
    }  # fmt: skip
