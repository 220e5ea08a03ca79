"""The types of every script, and that each is loaded with what it uses."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.fetch import fetched
from tests.support.javascript import UI, type_errors
from ui.page import build_page


def test_the_types_of_every_script_are_right() -> None:
    """As `make check` has them."""
    assert fetched(lambda: type_errors(UI / "tsconfig.json")) == ""


def test_what_a_component_uses_is_loaded_with_it(tmp_path: Path) -> None:
    """The very scripts that the page loads, each in a scope of its own: all names in them are there."""
    scripts = {block.js_on_load for block in build_page().blocks.values() if getattr(block, "js_on_load", None)}
    ours = sorted(script for script in scripts if "start();" in script)
    assert len(ours) == 16
    functions = [f"(({{element, props, trigger, watch}}) => {{\n{script}\n}});" for script in [*ours, "nowhere;"]]
    (tmp_path / "scripts.js").write_text("\n".join(functions), encoding="utf-8")
    (tmp_path / "tsconfig.json").write_text((UI / "tsconfig.json").read_text("utf-8"), encoding="utf-8")
    errors = fetched(lambda: type_errors(tmp_path / "tsconfig.json"))
    assert re.findall("Cannot find name '(.*?)'", errors) == ["nowhere"]


def test_a_wrong_type_is_an_error(tmp_path: Path) -> None:
    """The check is one that can fail."""
    (tmp_path / "wrong.js").write_text("/** @param {number} n */\nfunction half(n) { return n / 2; }\nhalf('a');")
    options = '{"compilerOptions": {"checkJs": true, "noEmit": true}, "files": ["wrong.js"]}'
    (tmp_path / "tsconfig.json").write_text(options)
    assert "error TS2345" in fetched(lambda: type_errors(tmp_path / "tsconfig.json"))
