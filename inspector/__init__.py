"""What the model sees and what it is graded on.

    model = inspector.load("tiny-chat")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    inspection = inspector.inspect(model, chat)
    inspection.trained  # 1 for each token that trains, else 0

No torch and no gradio are imported here, and transformers only when a model is loaded. A public name is imported when
it is first asked for, so that `--help` answers at once.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "conversation": ("Conversation",),
    "findings.codes": ("Code", "Finding", "Severity"),
    "inspection": ("Inspection", "diagnose", "inspect"),
    "model.hub": ("BUILT_IN_TEMPLATES", "Model", "load"),
    "strategies": ("STRATEGIES", "Modifiers"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, or a module of this package. Raises AttributeError."""
    if name in _MODULE_OF:
        globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return globals()[name]
    if name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    """The public names, whether imported or not."""
    return sorted({*globals(), *__all__})
