"""Applies home-llm's own masking to the examples of its log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from inspector.errors import InspectorError
from inspector.findings.codes import Finding
from inspector.findings.example import find_all
from inspector.inspection import Inspection
from inspector.strategies import label
from inspector.trainers.markers import Markers

_SUFFIX = re.compile(r"--suffix_ids[ =]+([0-9]{1,12}(?:,[0-9]{1,12})*)")
_PREFIX = re.compile(r"--prefix_ids[ =]+([0-9]{1,12}(?:,[0-9]{1,12})*)")


def as_home_llm(log: str, inspection: Inspection, markers: Markers) -> Sequence[Finding]:
    """The answers that home-llm's masking finds with the ids in the log, or with those it detects from the template."""
    if "example had no assistant response" not in log:
        return ()
    prefix = _logged(_PREFIX, log) or list(markers.prefix_ids or ())
    suffix = _logged(_SUFFIX, log) or _detected_suffix(inspection, prefix)
    if not prefix or not suffix:
        return ()
    example = inspection.example
    try:
        masked = label(example, "home_llm", {"prefix_ids": prefix, "suffix_ids": suffix})
    except InspectorError:
        return ()
    codes = {"suffix_includes_next_header", "marker_not_found"}
    return [finding for finding in find_all(example, masked) if finding.code.value in codes]


def _logged(pattern: re.Pattern[str], log: str) -> list[int]:
    match = pattern.search(log)
    return [int(id) for id in match.group(1).split(",")] if match else []


def _detected_suffix(inspection: Inspection, prefix: list[int]) -> list[int]:
    """The suffix that home-llm detects: everything after a lone answer, including any header after the stop token."""
    last = next((t for t in reversed(list(inspection.example.turns.values())) if t.header is not None), None)
    if last is None or last.stop_token is None:
        return []
    after = inspection.ids[last.stop_token :]
    return after if len(after) <= len(prefix) + 4 else after[:1]
