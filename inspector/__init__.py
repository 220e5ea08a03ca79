"""What the model sees and what it is graded on.

    model = inspector.load("tiny-chat")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    inspection = inspector.inspect(model, chat)
    inspection.trained  # 1 for each token that trains, else 0

No torch and no gradio are imported here, and transformers only when a model is loaded.
"""

from inspector import errors
from inspector.conversation import Conversation
from inspector.findings.codes import Code, Finding, Severity
from inspector.inspection import Inspection, diagnose, inspect
from inspector.model.hub import BUILT_IN_TEMPLATES, Model, load
from inspector.strategies import STRATEGIES, Modifiers

__all__ = [
    "BUILT_IN_TEMPLATES",
    "STRATEGIES",
    "Code",
    "Conversation",
    "Finding",
    "Inspection",
    "Model",
    "Modifiers",
    "Severity",
    "diagnose",
    "errors",
    "inspect",
    "load",
]
