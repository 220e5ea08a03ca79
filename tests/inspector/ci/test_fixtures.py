"""The fixture for tests of one's own data, in a pytest of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there, friend."}]}
EMPTY = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}
TESTS = """
import pytest

def test_good(maskscope):
    maskscope.audit("tiny-chat", "good.jsonl").must_be_clean("warning")

def test_bad(maskscope):
    maskscope.audit("tiny-chat", "bad.jsonl").must_be_clean("only_stop_trained")

def test_trained(maskscope):
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]
    assert maskscope.trained("tiny-chat", chat) == "Yes.<|im_end|>"

def test_check(maskscope):
    report = maskscope.check([{"input_ids": [[5, 6]], "labels": [[-100, 6]]}], tokenizer="tiny-chat")
    assert not report.ok

def test_unknown_level(maskscope):
    with pytest.raises(ValueError, match="no severity or code 'fatal'"):
        maskscope.audit("tiny-chat", "good.jsonl").must_be_clean("fatal")
"""


def test_the_fixture_judges_a_data_set(tmp_path: Path) -> None:
    """A clean set passes; another fails with the report and no traceback."""
    (tmp_path / "good.jsonl").write_text(f"{json.dumps(GOOD)}\n")
    (tmp_path / "bad.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps(EMPTY)}\n")
    (tmp_path / "test_data.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "inspector.ci.fixtures", "-p", "no:cacheprovider", "-q"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 4 passed" in done.stdout, done.stdout
    assert "bad.jsonl, line 2" in done.stdout
    assert "Traceback" not in done.stdout
