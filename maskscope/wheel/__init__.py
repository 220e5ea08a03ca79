"""Builds the package: a build backend (PEP 517), which pip and uv call, too. It needs nothing but Python.

In: this checkout. Out: a wheel, the same bytes for the same files, with `maskscope` as its only top-level name. The
packages and what they read move inside of it, and their imports are rewritten for that.
May import: the standard library. It is not in the wheel.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskscope.wheel import metadata
from maskscope.wheel.imports import moved

ROOT = Path(__file__).parents[2]
PACKAGES = ("inspector", "training", "ui")
READ = ("examples", "models")
"""Folders of files that are read: the code there, which made them, stays behind."""
ALONE = ("app.py", "requirements.txt", "docs/board.json")
_LEFT = (".ts", ".pyc")
_UI_TYPES = "ui/tsconfig.json"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip file can hold."""


def build_wheel(folder: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """Write the wheel into a folder; returns its name."""
    files = {f"maskscope/{name}": content for name, content in contents().items()}
    info = f"{metadata.NAME}-{metadata.version()}.dist-info"
    files |= {f"{info}/{name}": content for name, content in metadata.files(ROOT).items()}
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    name = f"{metadata.NAME}-{metadata.version()}-{metadata.TAG}.whl"
    with zipfile.ZipFile(Path(folder, name), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, _LONG_AGO)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return name


def contents() -> dict[str, bytes]:
    """What is installed: path inside `maskscope` -> bytes."""
    own = {name: ROOT / "maskscope" / name for name in ("__init__.py", "__main__.py")}
    paths = own | {path.relative_to(ROOT).as_posix(): path for path in _paths()}
    return {name: _installed(path) for name, path in sorted(paths.items())}


def _paths() -> Iterator[Path]:
    for folder in PACKAGES:
        yield from _files(ROOT / folder)
    for folder in READ:
        yield from (path for path in _files(ROOT / folder) if path.suffix != ".py")
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from (ROOT / name for name in ALONE)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden and path.suffix not in _LEFT and path != ROOT / _UI_TYPES:
            yield path


def _installed(path: Path) -> bytes:
    content = path.read_bytes()
    return moved(content, (*PACKAGES, "app"), metadata.NAME) if path.suffix == ".py" else content


def _record(files: Mapping[str, bytes], own: str) -> bytes:
    """Each file with its hash and size, as PEP 376 has it; the list itself without."""
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
