"""Inspects whole data sets, on all cores.

In: a Task and the rows of a data set. Out: an AuditReport, as counts that add up, as text and as a page.
May import: `inspection`, `data` and below.
"""

from inspector.audit.run import Auditor, Progress, Task, audit

__all__ = ["Auditor", "Progress", "Task", "audit"]
