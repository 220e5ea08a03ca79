"""Imports are rewritten and nothing else, in every form that Python has for them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from inspector.findings.explanations import IN_CHECKOUT
from maskscope.wheel import PACKAGES, ROOT
from maskscope.wheel.imports import moved

NAMES = (*PACKAGES, "app")
NAMED = re.compile(r"\b(from|-m) (inspector|training|ui)\b|python app\.py")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import inspector", "from maskscope import inspector"),
        ("import ui as page", "import maskscope.ui as page"),
        ("import training.run", "import maskscope.training.run; from maskscope import training"),
        ("import os, ui, ui.api as api", "import os; from maskscope import ui; import maskscope.ui.api as api"),
        ("from inspector import errors", "from maskscope.inspector import errors"),
        ("from app import main", "from maskscope.app import main"),
        ("from ui.a import (\n    b,  # ä\n    c,\n)", "from maskscope.ui.a import (\n    b,  # ä\n    c,\n)"),
        ("from \\\n  inspector import errors", "from \\\n  maskscope.inspector import errors"),
        ("if True: import inspector", "if True: from maskscope import inspector"),
        ("ä = 'é'; import inspector; ö = 1", "ä = 'é'; from maskscope import inspector; ö = 1"),
        ("def f():\r\n    import inspector\r\n", "def f():\r\n    from maskscope import inspector\r\n"),
        ("import inspectors, apple.ui, os", "import inspectors, apple.ui, os"),
        ("from .inspector import x\nfrom . import ui", "from .inspector import x\nfrom . import ui"),
        ("text = '''\nimport ui\n'''  # import ui", "text = '''\nimport ui\n'''  # import ui"),
    ],
)  # fmt: skip
def test_each_form_of_an_import(before: str, after: str) -> None:
    """The statement binds the same names; what is not an import of a package stays."""
    assert moved(before.encode(), NAMES, "maskscope").decode() == after


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_is_itself_but_for_its_imports(path: Path) -> None:
    """The same lines and, imports left out, the same code; no import of a package is left."""
    before, after = path.read_bytes(), moved(path.read_bytes(), NAMES, "maskscope")
    assert before.count(b"\n") == after.count(b"\n")
    assert rest_of(before) == rest_of(after)
    for node in ast.walk(ast.parse(after)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & set(NAMES)


def rest_of(source: bytes) -> str:
    """The code without its imports."""

    class WithoutImports(ast.NodeTransformer):
        def visit_Import(self, node: ast.Import) -> None:
            return None

        visit_ImportFrom = visit_Import  # noqa: N815

    return ast.dump(WithoutImports().visit(ast.parse(source)))


def test_no_string_names_a_module() -> None:
    """Only imports are rewritten: `module` and `shell_command` of `inspector.paths` give names and commands."""
    found = []
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        asked = {id(text) for node in ast.walk(tree) for text in _harmless(node)}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in asked
            is_named = is_text and (node.value in modules or NAMED.search(node.value))
            if is_named and node.value != IN_CHECKOUT:
                found.append((path.name, node.value))
    assert found == []


def _harmless(node: ast.AST) -> list[ast.expr]:
    """What `module` is asked for, and docstrings."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "module":
        return node.args
    return [node.value] if isinstance(node, ast.Expr) else []
