"""A report as JUnit's XML, which CI servers show as tests: one that rows can be used, and one for each finding."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from inspector.audit.report import AuditReport
from inspector.audit.summary import number
from inspector.audit.text import Shown, ranked_findings
from inspector.errors import printable
from inspector.findings.codes import Code, Severity


def to_junit(report: AuditReport, levels: Sequence[str]) -> str:
    """The report as XML. `levels`: the severities and codes that fail, as `levels_of` gives them."""
    names = ", ".join(str(source.get("name", "")) for source in report.about.get("data", [])) or "data set"
    suite = ElementTree.Element("testsuite", name=printable(f"maskscope audit {names}"))
    shown = {one.code: one for one in ranked_findings(report)}
    failures = [_usable(suite, report, levels)]
    failures += [_of_code(suite, code, shown.get(code.value), levels) for code in Code]
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(sum(failures)))
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname="maskscope", name=name)


def _usable(suite: ElementTree.Element, report: AuditReport, levels: Sequence[str]) -> bool:
    case, count = _case(suite, "rows_can_be_used"), report.bad + report.refused
    if not count:
        return False
    lines = [f"{row['place']}: {row['why']}" for row in report.bad_rows]
    return _told(case, f"{number(count, 'row')} cannot be used", lines, is_failure=Severity.ERROR.value in levels)


def _of_code(suite: ElementTree.Element, code: Code, shown: Shown | None, levels: Sequence[str]) -> bool:
    case = _case(suite, code.value)
    if shown is None:
        return False
    lines = [f"{one['place']}: {one['detail']}" for one in shown.examples if "detail" in one] or [shown.detail]
    is_failure = bool({*shown.severities, code.value} & set(levels))
    return _told(case, f"{code.heading}: {number(shown.rows, 'row')}", lines, is_failure=is_failure)


def _told(case: ElementTree.Element, message: str, lines: Sequence[str], *, is_failure: bool) -> bool:
    """Write what was found below a test: as its failure, else as what it printed."""
    text = "\n".join(map(printable, lines))
    if is_failure:
        ElementTree.SubElement(case, "failure", message=printable(message)).text = text
    else:
        ElementTree.SubElement(case, "system-out").text = f"{printable(message)}\n{text}"
    return is_failure
