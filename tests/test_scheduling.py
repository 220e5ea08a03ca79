"""What a quick run leaves out is there, and nothing but whole modules is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from scheduling import LONGEST_FIRST

TESTS = Path(__file__).parent


def test_every_module_named_is_there() -> None:
    """Once: one that was renamed would be in the quick run, and come last in the whole one."""
    assert [name for name in LONGEST_FIRST if not (TESTS / f"{name}.py").is_file()] == []
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)
    browser = [path.stem for path in TESTS.glob("test_page*.py")]
    assert [name for name in browser if name not in LONGEST_FIRST] == []


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_quick_run_leaves_out_the_long_modules(pytestconfig: pytest.Config, is_quick: bool) -> None:
    """All of them, and only then; no other module."""

    def is_left_out(path: Path) -> bool:
        return bool(pytestconfig.hook.pytest_ignore_collect(collection_path=path, config=pytestconfig))

    modules = sorted(TESTS.glob("test_*.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytestconfig.option, "quick", is_quick)
        left_out = {path.stem for path in modules if is_left_out(path)}
    assert left_out == (set(LONGEST_FIRST) if is_quick else set())
