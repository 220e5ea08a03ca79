"""The README keeps its word: its code runs, its output is what the commands print, its tree is the tree."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_python_code_runs() -> None:
    """Each python block runs as it stands; its assertions are its claims."""
    found = blocks("python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})


def test_the_example_prints_what_it_says() -> None:
    """The example's command is run, and the README's excerpts are parts of what it prints."""
    (command,) = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    words = shlex.split(command)
    assert words[0] == "python"
    done = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
    excerpts = blocks("text")[:2]
    assert len(excerpts) == 2
    for excerpt in excerpts:
        assert excerpt in done.stdout


def test_the_tree_is_the_tree() -> None:
    """Every path in the tree exists, and every folder of code is in it."""
    lines = blocks("text")[-1].splitlines()
    assert len(lines) <= 45
    named: set[str] = set()
    folder = ""
    for line in lines:
        name = line.split()[0]
        folder = "" if line[0] != " " else folder
        named.add(folder + name)
        folder = name if line[0] != " " else folder
    assert sorted(path for path in named if not (ROOT / path).exists()) == []
    for package in ("inspector", "training", "ui"):
        folders = {f"{package}/{path.parent.name}/" for path in (ROOT / package).glob("*/__init__.py")}
        assert sorted(folders - named) == []


def test_the_front_matter_matches_the_requirements() -> None:
    """A Space takes gradio from sdk_version: it must be the version that is tested."""
    version = re.search(r"^sdk_version: (\S+)$", README, re.MULTILINE)
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert version is not None
    assert pinned is not None
    assert version[1] == pinned[1]
    assert "app_file: app.py" in README


def test_the_same_pythons_are_named_everywhere() -> None:
    """pyproject.toml, the README and make name the same, each gets one torch, and the Space's is one of them."""
    pythons = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in _requires_python()]
    named = f"{', '.join(pythons[:-1])} or {pythons[-1]}"
    assert f"\nPython {named}." in README
    assert f"needs Python {named};" in (ROOT / "Makefile").read_text()
    torch = {python: _pinned("torch", python) for python in pythons}
    space = re.search(r"^python_version: (3\.\d+)\.\d+$", README, re.MULTILINE)
    assert space is not None
    assert torch[space[1]] == "==2.11.0"  # the newest that ZeroGPU accepts


def _requires_python() -> SpecifierSet:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return SpecifierSet(tomllib.load(file)["project"]["requires-python"])


def _pinned(name: str, python: str) -> str:
    """The version of a requirement that a Python gets: just one."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    found = [line for line in map(Requirement, filter(None, lines)) if line.name == name]
    (line,) = [line for line in found if line.marker is None or line.marker.evaluate({"python_version": python})]
    return str(line.specifier)


def test_links_and_pictures_exist() -> None:
    """Every relative link of the README leads to a file."""
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).is_file(), target


def test_findings_are_all_explained() -> None:
    """docs/findings.md has one section per code, and no other."""
    from inspector.findings.codes import Code

    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", text, re.MULTILINE)) == {code.value for code in Code}


def test_every_field_of_a_spec_is_explained() -> None:
    """docs/training.md has each field, and the defaults that it names are those of the spec; its first spec is one."""
    import yaml

    from training.spec import RunSpec, parse_spec

    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    spec = parse_spec(yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]))
    rows = re.findall(r"^\| (`\w+`(?: `\w+`)*) \| (.*?) \|", text.split("## What a run keeps")[0], re.MULTILINE)
    named = {name: default for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == set(RunSpec.model_fields)
    for name, default in (("max_length", "1024"), ("scheduler", "cosine"), ("micro_batch", "4"), ("epochs", "3")):
        assert default in named[name]
        assert str(getattr(spec, name)).removesuffix(".0") == default
