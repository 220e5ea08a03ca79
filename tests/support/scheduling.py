"""Which of pytest-xdist's workers runs what, and what a quick run leaves out: hooks that conftest.py makes known.

A module's tests stay together, so that its runs, apps, models and renders are made once; the modules that take longest
come first, so that no worker is left alone with one of them at the end. (Groups by `pytest.mark.xdist_group` would do
the same, but pytest-xdist 3.8 writes them into an attribute that pytest 9.2 no longer reads.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

LONGEST_FIRST = (
    "test_page",
    "test_page_data",
    "test_page_train",
    "test_page_panes",
    "test_page_keyboard",
    "test_accessibility",
    "test_page_look",
    "test_page_answers",
    "test_page_language",
    "test_page_models",
    "test_engines",
    "test_training_real",
    "test_training_speed",
    "test_training_faults",
    "test_answers",
    "test_methods",
    "test_check",
    "test_quantized",
    "test_wheel",
    "test_reproduction",
    "test_publish",
    "test_jobs",
    "test_training",
    "test_image_rows",
    "test_vision",
    "test_processor",
    "test_training_life",
    "test_export_rows",
    "test_ray_audit",
    "test_generation_tags",
    "test_audit",
    "test_sandbox",
    "test_access",
    "test_fuzz",
    "test_situations",
    "test_audit_commands",
    "test_turns",
    "test_strategies_oracle",
    "test_render_oracle",
    "test_hostile",
    "test_cli",
    "test_load",
    "test_tiny_chat",
    "test_export",
    "test_importers",
    "test_estimate",
    "test_hub",
    "test_report_html",
    "test_api",
)
"""Modules that take more than ten seconds or so; the others follow by their names. A quick run is the others."""

TOGETHER = {
    "browser": ("test_page", "test_accessibility", "test_report_html", "test_hostile"),
    "training": (
        "test_answers", "test_methods", "test_check", "test_quantized", "test_engines", "test_training", "test_jobs",
        "test_publish", "test_export_rows", "test_importers",
    ),
}  # fmt: skip
"""What takes long to start (the app with its browser; a worker that has imported the libraries) -> how the names of the
modules begin that need it. One of pytest-xdist's workers starts it, and runs them all.
"""


def needs(name: str) -> str | None:
    """What a module (`test_page`) needs that takes long to start."""
    return next((what for what, starts in TOGETHER.items() if name.startswith(starts)), None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One module after the other, in the order in which the workers have collected them, those of a kind together."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.starters: dict[str | None, Any] = {}

        def _assign_work_unit(self, node: Any) -> None:
            """Give a worker the first module for which it need not start what another worker has started."""
            wanted = {module: needs(Path(module).stem) for module in self.workqueue}
            fitting = (module for module, what in wanted.items() if self.starters.get(what, node) is node)
            module = next(fitting, next(iter(wanted)))
            if wanted[module]:
                self.starters.setdefault(wanted[module], node)
            self.workqueue.move_to_end(module, last=False)
            super()._assign_work_unit(node)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest modules first, where workers share them."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`, as `make quick` gives it."""
    parser.addoption(
        "--quick", action="store_true", help="leave out the modules that take long (tests/support/scheduling.py)"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what is left out."""
    return True if config.getoption("quick") and collection_path.stem in LONGEST_FIRST else None
