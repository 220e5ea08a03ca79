"""See which tokens of a chat example train: whose text each one is, and why.

    model = maskscope.load("tiny-chat")  # or "Qwen/Qwen3-0.6B", or a folder
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    inspection = maskscope.inspect(model, chat)
    report = maskscope.audit(model, "rows.jsonl")
    maskscope.check(trainer).raise_if_wrong()  # before trainer.train()

In: names of models and data sets, conversations, trainers. Out: what `inspector` offers, a comparison, an audit or a
check in one call. May import: everything; `import maskscope` itself imports nothing of it. In a checkout the packages
are beside this one, installed they are inside of it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector import (
        BUILT_IN_TEMPLATES,
        STRATEGIES,
        Code,
        Conversation,
        Finding,
        Inspection,
        Model,
        Modifiers,
        Severity,
        diagnose,
        errors,
        inspect,
        load,
    )
    from inspector.audit.report import AuditReport
    from inspector.live import Report, check
    from inspector.live.callback import MaskscopeCallback, watch
    from inspector.trainers.compare import Comparison, compare

__version__ = "0.1.0"
__all__ = [
    "BUILT_IN_TEMPLATES",
    "STRATEGIES",
    "AuditReport",
    "Code",
    "Comparison",
    "Conversation",
    "Finding",
    "Inspection",
    "MaskscopeCallback",
    "Model",
    "Modifiers",
    "Report",
    "Severity",
    "audit",
    "check",
    "compare",
    "diagnose",
    "errors",
    "inspect",
    "load",
    "watch",
]


def audit(
    model: "Model",
    data: str,
    strategy: str = "traced",
    modifiers: "Modifiers | Mapping[str, Any] | None" = None,
    *,
    mapping: Mapping[str, str] | None = None,
    split: str = "",
    limit: int | None = None,
    workers: int = 1,
    **options: Any,
) -> "AuditReport":
    """Audit a data set: what trains, and what goes wrong in how many rows.

    `data`: a file, a folder, or the id of a data set on the hub; `split`: of that. `strategy`, `modifiers`, `options`:
    as `inspect`. `mapping`: which column is which, such as `{"prompt": "question"}`. `limit`: of rows read. `workers`:
    processes; a script that asks for more than one needs `if __name__ == "__main__":`. Raises DataError, FormatError,
    ModelError, StrategyError.
    """
    from inspector.audit.run import Task
    from inspector.audit.run import audit as run
    from inspector.data.source import DataSource
    from inspector.strategies import Modifiers, Rule

    rule = Rule(strategy=strategy, options=options, modifiers=Modifiers.parse(modifiers))
    source = DataSource(name=str(data), split=split)
    return run(Task(model=model, rule=rule), source, mapping=mapping, limit=limit, workers=workers)


_HOMES = {
    "AuditReport": "audit.report",
    "Comparison": "trainers.compare",
    "compare": "trainers.compare",
    "Report": "live",
    "check": "live",
    "MaskscopeCallback": "live.callback",
    "watch": "live.callback",
}
"""Public name -> the module of `inspector` that has it, for those that `inspector` itself does not offer."""


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for. Raises AttributeError."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import inspector

    home = import_module(f"{inspector.__name__}.{_HOMES[name]}") if name in _HOMES else inspector
    globals()[name] = getattr(home, name)
    return globals()[name]


def __dir__() -> list[str]:
    """The public names, whether imported or not."""
    return sorted({*globals(), *__all__})
