"""Where the code and the files that it reads are, and how users call it: in a checkout, or installed as `maskscope`.

The wheel holds the packages, app.py and these folders inside `maskscope`, with their imports rewritten
(maskscope/wheel). Whatever else depends on the place asks here.
"""

from __future__ import annotations

import os
from pathlib import Path

_OUTER = (__package__ or "").rpartition(".")[0]
"""The package that this one is in: `maskscope`, or nothing in a checkout."""
ROOT = Path(__file__).parents[1]
IMPORTED_FROM = ROOT.parent if _OUTER else ROOT
"""The folder of Python's path that the code was imported from."""
EXAMPLES = ROOT / "examples"
MODELS = ROOT / "models"
DOCS = ROOT / "docs"
REQUIREMENTS = ROOT / "requirements.txt"


def found_name(name: str) -> str:
    """The name of a data set, resolved so that the examples are found from any working folder."""
    shipped = ROOT / name
    return str(shipped) if name.startswith("examples/") and not Path(name).exists() and shipped.exists() else name


def shown_path(name: str) -> str:
    """The path of a file or folder in ROOT, as it is told to users: those of a checkout work in it."""
    return str(ROOT / name) if _OUTER else name


def import_settings() -> dict[str, str]:
    """Variables for the environment of another Python: it imports this code, and nothing of its working folder."""
    path = (str(IMPORTED_FROM.resolve()), os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONSAFEPATH": "1"}


def module(name: str) -> str:
    """The whole name of a module such as `training.worker`."""
    return f"{_OUTER}.{name}".lstrip(".")


def shell_command(package: str) -> str:
    """What users type for the commands of `inspector` or `training`."""
    if not _OUTER:
        return f"python -m {package}"
    return {"inspector": _OUTER, "training": f"{_OUTER} train"}[package]


def install_command(extra: str, package: str = "-r requirements.txt") -> str:
    """What users type to install what an extra (app, train, ray, models) brings, in a checkout the package alone."""
    return f"pip install '{_OUTER}[{extra}]'" if _OUTER else f"pip install {package}"
