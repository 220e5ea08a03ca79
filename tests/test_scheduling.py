"""What a quick run leaves out is there, and nothing but whole modules is left out."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from xdist.remote import Producer

from tests.support import scheduling
from tests.support.scheduling import LONGEST_FIRST

MODULES = sorted(Path(__file__).parent.rglob("test_*.py"))


def test_every_module_named_is_there() -> None:
    """Once: one that was renamed would be in the quick run, and come last in the whole one."""
    names = [path.stem for path in MODULES]
    assert len(set(names)) == len(names)
    assert [name for name in LONGEST_FIRST if name not in names] == []
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)
    browser = [name for name in names if name.startswith("test_page")]
    assert [name for name in browser if name not in LONGEST_FIRST] == []


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_quick_run_leaves_out_the_long_modules(pytestconfig: pytest.Config, is_quick: bool) -> None:
    """All of them, and only then; no other module."""

    def is_left_out(path: Path) -> bool:
        return bool(pytestconfig.hook.pytest_ignore_collect(collection_path=path, config=pytestconfig))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytestconfig.option, "quick", is_quick)
        left_out = {path.stem for path in MODULES if is_left_out(path)}
    assert left_out == (set(LONGEST_FIRST) if is_quick else set())


@pytest.mark.parametrize(
    ("what", "sign"),
    [
        ("browser", r"^(@|pytestmark = .*)pytest\.mark\.browser"),
        ("training", r"^from tests\.support\.training_runs import .*\b(begin|waiting_worker)\b"),
    ],
)
def test_every_module_is_known_that_needs_what_takes_long_to_start(what: str, sign: str) -> None:
    """Another worker would start a second one for it."""
    found = {path.stem for path in MODULES if re.search(sign, path.read_text(encoding="utf-8"), re.MULTILINE)}
    assert len(found) > 4
    assert {name for name in found if scheduling.needs(name) != what} == set()


class Node:
    """A worker of pytest-xdist that runs nothing."""

    shutting_down = False
    gateway = SimpleNamespace(id="one of two")

    def send_runtest_some(self, indices: list[int]) -> None:
        pass

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_takes_long_to_start_is_started_once() -> None:
    """One worker has all modules of the browser, the other all that train, while there are others to be run."""
    config = SimpleNamespace(
        getoption=lambda name: "loadgroup", getvalue=lambda name: ["popen", "popen"], option=SimpleNamespace()
    )  # fmt: skip
    scheduler = scheduling.pytest_xdist_make_scheduler(config, Producer("test", enabled=False))
    modules = [
        "test_page",
        "test_page_data",
        "test_methods",
        "test_engines",
        "test_audit",
        "test_cli",
        "test_page_look",
    ]
    tests = [f"tests/{module}.py::test_{i}" for module in modules for i in range(4)]
    nodes = [Node(), Node()]
    for node in nodes:
        scheduler.add_node(node)
    for node in nodes:
        scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    ran: list[set[str]] = [set(), set()]
    while scheduler.has_pending:
        for node, own in zip(nodes, ran, strict=True):
            for module, work in list(scheduler.assigned_work[node].items()):
                for test, is_done in list(work.items()):
                    if not is_done:
                        scheduler.mark_test_complete(node, tests.index(test))
                        own.add(Path(module).stem)
    assert ran[0] >= {"test_page", "test_page_data", "test_page_look"}
    assert ran[1] >= {"test_methods", "test_engines"}
    assert ran[0] | ran[1] == set(modules)
