"""What the views of tokens compute before they draw, under node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from ui.parts.tokens import Bit, tokens_script


def evaluated(expression: str) -> Any:
    """The value of a JavaScript expression after the script that every view begins with."""
    node = shutil.which("node")
    if node is None:
        what = "node is not there: install npm, as tests/install_browser.sh does"
        pytest.fail(what) if os.environ.get("CI") else pytest.skip(what)
    code = f"{tokens_script()}\nconsole.log(JSON.stringify({expression}));"
    return json.loads(subprocess.run([node, "-e", code], capture_output=True, text=True, check=True).stdout)


def test_every_bit_is_a_class_of_its_own() -> None:
    """The page calls a bit as Python does; all of them together are all the classes."""
    names = evaluated(f"[{', '.join(f'className({bit.name})' for bit in Bit)}]")
    assert names == [f"tv-token {bit.name.lower()}" for bit in Bit]
    assert evaluated("className(0)") == "tv-token"
    assert evaluated(f"className({sum(Bit)})").split() == ["tv-token", *(bit.name.lower() for bit in Bit)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ä, 你好, 👍🏽\n\t ", "plain, ä, 你好, 👍🏽\n\t "),
        ("a\u202eb\u200b", "a\\u202eb\\u200b"),
        ("\x00\x1b[0m\x7f", "\\u0000\\u001b[0m\\u007f"),
        ("\U000e0041", "\\u{e0041}"),
    ],
)
def test_what_could_hide_text_is_written_by_its_code(text: str, shown: str) -> None:
    """Control, bidi and zero-width characters and tags; letters, line ends and emoji stay as they are."""
    assert evaluated(f"visible({json.dumps(text)})") == shown


def test_numbers_are_written_in_groups() -> None:
    """As everywhere else on the page."""
    assert evaluated("number(1234567)") == "1,234,567"
