"""The chat templates that mistral-common generates for every version of its tokenizers, made once and kept.

transformers attaches them when it converts a tekken file. They rebuild the list of messages before they write it. The
generator comes from PyPI, checked against its sha256, with what it imports in a folder of its own: none of that is in
the tests' environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.13.1"
WHEEL = f"mistral_common-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "98b4d0755b8d90bf4691fa8f1b70cb3b4a8cd4dc1653c4ed08ef3d1c7d2c29af"
IMPORTED = ("tiktoken==0.14.0", "pydantic-extra-types==2.11.1", "pycountry==26.2.16")
TIMEOUT_S = 600

_GENERATE = """
import itertools, json, sys
from mistral_common.integrations.chat_templates.template_generator import TemplateConfig, build_chat_template
from mistral_common.tokens.tokenizers.base import TokenizerVersion
effort = dict(reasoning_effort_values=("none", "high"), reasoning_effort_default="none")
found = {}
flags = ("spm", "image_support", "audio_support", "thinking_support", "plain_thinking_support")
for version, *values in itertools.product(TokenizerVersion, *[(False, True)] * len(flags)):
    on = {flag: True for flag, value in zip(flags, values) if value}
    for further in ({}, effort):
        try:
            config = TemplateConfig(version=version, use_special_token_variables=True, **on, **further)
            name = " ".join([version.value, *(flag.removesuffix("_support") for flag in on)])
            found[name] = build_chat_template(config)
        except ValueError:
            continue
print(json.dumps(found))
"""


def download(folder: Path) -> Path:
    """Fetch the wheel into `folder`. Raises RuntimeError."""
    _pip("download", "--no-deps", "--dest", str(folder), f"mistral-common=={VERSION}")
    return folder / WHEEL


def build(wheel: Path, folder: Path) -> None:
    """Write `templates.json`, name -> source, into `folder`, which must not exist yet. Raises RuntimeError."""
    with tempfile.TemporaryDirectory() as packages:
        _pip("install", "--no-deps", "--target", packages, f"mistral-common @ {wheel.resolve().as_uri()}", *IMPORTED)
        templates = _generated(packages)
    folder.mkdir()
    (folder / "templates.json").write_text(json.dumps(templates), encoding="utf-8")


def unpack_tekken(wheel: Path, folder: Path) -> None:
    """Write `tekken.json` into `folder`, which must not exist yet."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (folder / "tekken.json").write_bytes(archive.read("mistral_common/data/tekken_240911.json"))


def _generated(packages: str) -> dict[str, str]:
    command, paths = [sys.executable, "-c", _GENERATE], {"PYTHONPATH": packages}
    made = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=TIMEOUT_S)
    if made.returncode:
        raise RuntimeError(f"mistral-common's templates cannot be made: {made.stderr[-500:]}")
    return dict(json.loads(made.stdout))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"pip {arguments[0]} failed: {done.stderr[-500:]}")
