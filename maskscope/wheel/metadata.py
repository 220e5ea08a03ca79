"""What a wheel says of itself: pyproject.toml, the README and the lists of requirements -> the files of its dist-info.

The requirements have one source, requirements.txt: a line's brackets name the part of the package that needs it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import maskscope
from inspector.paths import module

NAME = "maskscope"
TAG = "py3-none-any"
EXTRAS = ("app", "train", "ray", "models")
LISTS = ("requirements.txt", "requirements-dev.txt")
_LINE = re.compile(
    r"(?P<name>[\w.-]+(?:\[\w+\])?)==(?P<version>[\d.]+)(?:\s*;\s*(?P<marker>[^#]+?))?\s*"
    r"#\s*\[(?P<parts>[a-z, ]+?)(?: from (?P<least>[\d.]+))?\]"
)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)


def version() -> str:
    """The version of this checkout."""
    return maskscope.__version__


def files(root: Path) -> dict[str, bytes]:
    """What is in the dist-info of a checkout's wheel, but RECORD: file name -> bytes."""
    texts = {
        "METADATA": _metadata(root),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: {NAME} {version()}\nRoot-Is-Purelib: true\nTag: {TAG}\n",
        "entry_points.txt": (
            f"[console_scripts]\n{NAME} = {NAME}.__main__:start\n\n"
            f"[pytest11]\n{NAME} = {NAME}.{module('inspector.ci.fixtures')}\n"
        ),
        "licenses/LICENSE": (root / "LICENSE").read_text(encoding="utf-8"),
    }
    return {name: text.encode() for name, text in texts.items()}


def requirements(text: str) -> Iterator[tuple[str, str]]:
    """A list of requirements -> what each part of the package asks for: its name and a requirement of PEP 508.

    A version that the tests run with stands for its minor version (or the one that `from` names) and all later ones
    below the next major version.
    """
    for found in map(_LINE.match, text.splitlines()):
        if found:
            release = found["version"].split(".")
            least = found["least"] or ".".join(release[:2])
            marker = f"; {found['marker']}" if found["marker"] else ""
            for part in found["parts"].split(","):
                yield part.strip(), f"{found['name']}>={least},<{int(release[0]) + 1}{marker}"


def _metadata(root: Path) -> str:
    with (root / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    readme = _FRONT_MATTER.sub("", (root / "README.md").read_text(encoding="utf-8"))
    fields = [
        ("Metadata-Version", "2.4"),
        ("Name", project["name"]),
        ("Version", version()),
        ("Summary", project["description"]),
        ("License-Expression", project["license"]),
        ("License-File", "LICENSE"),
        ("Requires-Python", project["requires-python"]),
        *(("Provides-Extra", extra) for extra in EXTRAS),
        *(
            ("Requires-Dist", _for_part(*wanted))
            for name in LISTS
            for wanted in requirements((root / name).read_text())
        ),
        ("Description-Content-Type", "text/markdown"),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields) + f"\n{readme}"


def _for_part(part: str, requirement: str) -> str:
    if part == "base":
        return requirement
    name, _, marker = requirement.partition("; ")
    return f'{name}; {f"({marker}) and " if marker else ""}extra == "{part}"'
