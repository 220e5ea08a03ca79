"""Audits where code is reviewed: lines of a pull request, results of a test run, tests of one's own.

In: an AuditReport. Out: SARIF, JUnit's XML, fixtures of pytest. May import: `audit`, `trainers` and below.
"""

from inspector.ci.junit import to_junit
from inspector.ci.sarif import to_sarif

__all__ = ["to_junit", "to_sarif"]
