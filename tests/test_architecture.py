"""The tree is the architecture: who may import whom, and what the package offers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import inspector

ROOT = Path(__file__).parent.parent


PUBLIC = [
    "BUILT_IN_TEMPLATES",
    "Code",
    "Conversation",
    "Finding",
    "Inspection",
    "Model",
    "Modifiers",
    "STRATEGIES",
    "Severity",
    "diagnose",
    "errors",
    "inspect",
    "load",
]


def modules(name: str = "inspector") -> dict[str, Path]:
    """Module name (without the package's) -> its file."""
    package = ROOT / name
    found = {}
    for path in package.rglob("*.py"):
        parts = list(path.relative_to(package).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path) -> set[str]:
    """Every absolute module name that a file imports, anywhere in it, unless only for types."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


@pytest.mark.parametrize("name", sorted(modules()))
def test_the_inspector_knows_no_page_and_no_training(name: str) -> None:
    """Not even inside a function."""
    roots = {module.split(".")[0] for module in imports(modules()[name])}
    assert not roots & {"gradio", "torch", "ui", "training", "app", "trl", "tests"}


@pytest.mark.parametrize("name", sorted(modules("training")))
def test_training_knows_no_page(name: str) -> None:
    """Not even inside a function."""
    roots = {module.split(".")[0] for module in imports(modules("training")[name])}
    assert not roots & {"gradio", "ui", "app", "tests"}


@pytest.mark.parametrize("package", ["inspector", "training", "ui", "maskscope", "tests"])
def test_a_folder_can_be_read_at_a_glance(package: str) -> None:
    """About fifteen files; what is more than that belongs in a folder of its own."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    counts = {folder: sum(path.is_file() for path in folder.iterdir()) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 16} == {}


def test_launching_a_run_needs_no_torch() -> None:
    """Only the worker's process pays for it."""
    assert not loaded_after("import training.launch.runs, training.__main__") & (HEAVY - {"numpy"})


def loaded_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "gradio", "transformers", "tokenizers", "datasets", "numpy", "pandas", "huggingface_hub"}


def test_importing_the_inspector_is_light() -> None:
    """transformers is imported only once a model is loaded."""
    assert not loaded_after("import inspector") & HEAVY


def test_importing_the_command_line_is_light() -> None:
    """`--help` answers at once: not even the inspector's own heavier files are needed."""
    statement = "import contextlib, inspector.__main__ as m\nwith contextlib.suppress(SystemExit): m.main(['--help'])"
    assert not loaded_after(statement) & HEAVY


def test_public_names_are_these() -> None:
    """Adding or removing one is a decision."""
    assert sorted(inspector.__all__) == sorted(PUBLIC)
    assert all(hasattr(inspector, name) for name in PUBLIC)


def test_error_tree_in_the_docstring_is_the_one_in_the_code() -> None:
    """Each class with its standard-library base, in the order of the file."""
    errors = inspector.errors
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    drawn = [line.split("──")[-1].split() for line in (errors.__doc__ or "").splitlines() if "──" in line]
    assert [words[0] for words in drawn] == [
        kind.__name__ for kind in sorted(classes, key=lambda kind: tree_order(kind, classes))
    ][1:]
    for words in drawn:
        kind = getattr(errors, words[0])
        assert issubclass(kind, errors.InspectorError)
        if words[1].startswith("("):
            assert words[1].strip("()") in [base.__name__ for base in kind.__mro__]
        assert kind.__doc__


def tree_order(kind: type, classes: list[type]) -> list[int]:
    """The place of a class in the tree: the places of its ancestors, then its own."""
    return [classes.index(base) for base in reversed(kind.__mro__) if base in classes]
