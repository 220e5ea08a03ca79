"""A few inspections, whole, as they were read in a review: `python -m tests.goldens` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.goldens import __main__ as goldens


@pytest.mark.parametrize(("model", "conversation"), goldens.GOLDENS)
def test_inspection_is_as_it_was_reviewed(real_model_dir: Callable[[str], Path], model: str, conversation: str) -> None:
    """Text, ids, trained tokens, origins and findings."""
    if model.startswith("real/"):
        real_model_dir(model.removeprefix("real/"))
    expected = goldens.path_of(model, conversation).read_text(encoding="utf-8")
    assert goldens.golden(model, conversation) == expected


def test_there_is_no_golden_without_a_test() -> None:
    """Nor more than can be read."""
    kept = set(goldens.FOLDER.glob("*.txt"))
    assert kept == {goldens.path_of(*golden) for golden in goldens.GOLDENS}
    assert len(kept) <= 12
