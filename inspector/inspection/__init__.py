"""A model and a conversation -> an Inspection: every token, whose text it is, and whether it trains.

In: a model, a rule, and a conversation or a row of a data set. Out: an Inspection, which is what the page colours, the
audit counts and the trainer trains; or the finding that says why a template refuses the conversation.
May import: `findings`, `read_back`, `strategies`, `data` and below.
"""

from inspector.inspection.by_rule import inspect, inspect_as_rendered, inspect_by, inspect_rendered
from inspector.inspection.diagnosis import diagnose
from inspector.inspection.examples import labelled_example, make_example
from inspector.inspection.form import as_rendered, template_names
from inspector.inspection.result import Inspection

__all__ = [
    "Inspection",
    "as_rendered",
    "diagnose",
    "inspect",
    "inspect_as_rendered",
    "inspect_by",
    "inspect_rendered",
    "labelled_example",
    "make_example",
    "template_names",
]
