"""Reads an audit's report from a JSON file and checks it: merging and comparing rely on its form."""

from __future__ import annotations

import json
from typing import Any

from inspector.audit.report import AuditReport
from inspector.data.source import DataSource
from inspector.errors import InputFileError, InspectorError, ReportError
from inspector.files.text_files import read_text

MAX_REPORT_BYTES = 2_000_000_000
"""Largest report that is read; a report holds about 16 bytes a row."""


def read_report(name: str) -> AuditReport:
    """The report in a JSON file. Raises InputFileError, ReportError."""
    try:
        report = AuditReport.from_dict(json.loads(read_text(name, MAX_REPORT_BYTES)))
        if not _is_about(report.about):
            raise ReportError("The audit report is damaged (what it is about cannot be read): run it again.")
        return report
    except ReportError as error:
        raise ReportError(f"{name}: {error}") from error
    except InspectorError:
        raise
    except RecursionError as error:
        raise InputFileError(f"{name} is nested too deeply to be a report.") from error
    except ValueError as error:
        raise InputFileError(f"{name} is not JSON: {error}.") from error


def _is_about(about: Any) -> bool:
    """Whether a report's `about` has the form that the text, the page and merging rely on."""
    if not isinstance(about, dict):
        return False
    layout, sources = about.get("layout", {}), about.get("data", [])
    parts = (layout, about.get("options", {}), about.get("modifiers", {}))
    if not all(isinstance(part, dict) for part in parts) or not isinstance(sources, list):
        return False
    kinds = {name: type(value) for name, value in DataSource().about(0).items()}
    return isinstance(layout.get("columns", {}), dict) and all(
        isinstance(entry, dict)
        and entry.keys() == kinds.keys()
        and all(isinstance(entry[name], kind) or (name, entry[name]) == ("limit", None) for name, kind in kinds.items())
        for entry in sources
    )
