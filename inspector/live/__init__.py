"""Inside a trainer that runs already: what its own batches train, before it starts.

In: a trainer, a loader, batches or rows. Out: a Report. May import: `trainers` and below; neither torch nor
transformers is imported before a trainer brings them.
"""

from inspector.live.check import check
from inspector.live.report import Problem, Report

__all__ = ["Problem", "Report", "check"]
# callback.py needs transformers, and is imported by who has a trainer
