"""Environments with the package and exactly what it asks for: nothing else that is installed here can be imported.

Nothing is downloaded: the distributions are those of this environment, linked one by one as the metadata of the package
and of its dependencies requires them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def environment(folder: Path, wheel: Path, extras: str = "") -> Path:
    """Make one in a folder; returns its Python. `extras`: such as `app`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, env=clean())
    (site,) = folder.glob("lib/python*/site-packages")
    (package,) = site.glob("maskscope-*.dist-info")
    for name in sorted(_needed(PathDistribution(package), set(filter(None, extras.split(","))), set())):
        _link(distribution(name), site)
    return python


def clean() -> dict[str, str]:
    """This process's environment, in which no folder is on Python's path."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _needed(package: Distribution, extras: set[str], seen: set[tuple[str, str]]) -> Iterator[str]:
    """The names of all distributions that one requires, and that those require."""
    for requirement in map(Requirement, package.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            key = (requirement.name, ",".join(sorted(requirement.extras)))
            if key not in seen:
                seen.add(key)
                yield requirement.name
                found = distribution(requirement.name)
                assert requirement.specifier.contains(found.version), requirement
                yield from _needed(found, requirement.extras, seen)


def _link(package: Distribution, site: Path) -> None:
    tops = {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
    for top in tops:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(package.locate_file(top))))
