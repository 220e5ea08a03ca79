"""The notebook of the masking lesson, run cell by cell as Jupyter does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "which-tokens-are-trained.ipynb"


@pytest.fixture(scope="module")
def outputs() -> list[dict[str, Any]]:
    """What each cell of code shows last, by MIME type."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        folder = {"metadata": {"path": str(NOTEBOOK.parent)}}
        NotebookClient(notebook, timeout=HANG_S, kernel_name="python3", resources=folder).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.outputs[-1]["data"] for cell in cells]


def test_it_is_kept_without_outputs() -> None:
    """So that what is read is what is run."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") for cell in cells)


def test_each_cell_shows_what_its_text_says(outputs: list[dict[str, Any]]) -> None:
    """An inspection, a merged token, who goes wrong on it, three faults of rows, an audit."""
    plain, merged, compared, checked, audited = outputs
    assert plain["text/plain"].endswith("0 findings>")
    assert "merges text across a boundary" in merged["text/html"]
    assert "Unsloth trains nothing: the answer is missing" in compared["text/plain"]
    assert "ms-missing" in compared["text/html"]
    for fault in ("row 0, token 3", "user text", "the stop tokens", "whole answers"):
        assert fault in checked["text/plain"]
    assert "One token spans two texts" in audited["text/html"]


def test_outputs_need_no_script_and_no_network(outputs: list[dict[str, Any]]) -> None:
    """They are shown where scripts are not, as on a code host."""
    for output in outputs:
        assert "<script" not in output["text/html"]
        assert "http" not in output["text/html"]
        assert len(output["text/html"]) < 200_000
