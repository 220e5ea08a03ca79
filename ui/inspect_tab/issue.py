"""Data for a copied issue report: versions, and the script that asks the trainer itself."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from inspector.errors import InspectorError
from inspector.exports.reproduction import Reproduction, reproduction
from inspector.setup import Setup
from training.spec.yaml_text import load_yaml
from ui.inspect_tab.links import LinkError, decode_link
from ui.visitors.access import is_public
from ui.wiring.conversation_json import ConversationJsonError, parse_object
from ui.wiring.models import LoadedSetup

_PACKAGES = {
    "TRL": "trl",
    "PyTorch": "torch",
    "Transformers": "transformers",
    "Accelerate": "accelerate",
    "Datasets": "datasets",
    "HF Hub": "huggingface_hub",
    "bitsandbytes": "bitsandbytes",
    "DeepSpeed": "deepspeed",
    "Liger-Kernel": "liger_kernel",
    "PEFT": "peft",
    "vLLM": "vllm",
    "Tokenizers": "tokenizers",
    "Jinja2": "jinja2",
}
"""The packages that `trl env` lists, in its order, and those that determine tokens and text."""
_UNKNOWN = "unknown here"
"""The text if only torch could tell, since the page's process does not import it."""
_ASK_S = 5.0


def about_issue(asked: Mapping[str, Any]) -> dict[str, Any]:
    """`link`: that of the shown view; `strategy`, `options` (JSON text): of the shown trainer, "" for the link's."""
    return {"versions": _versions(), **_reproduction(asked).to_dict()}


def _reproduction(asked: Mapping[str, Any]) -> Reproduction:
    if not isinstance(asked, Mapping) or not asked.get("link"):
        return Reproduction(why="this view is too long for a link, from which the script is made")
    try:
        state = decode_link(str(asked["link"]))
        setup = state.setups()[state.row]
        if strategy := asked.get("strategy"):
            chosen = {"strategy": strategy, "options": parse_object(str(asked.get("options") or ""), "Options", "{}")}
            setup = Setup.from_dict({**setup.to_dict(), **chosen})
        return reproduction(LoadedSetup(setup).inspect())
    except (InspectorError, ConversationJsonError, LinkError) as error:
        return Reproduction(why=str(error).rstrip("."))


@cache
def _versions() -> list[tuple[str, str]]:
    """The machine, in the layout of `trl env` (trl/scripts/env.py)."""
    lines = [("Platform", platform.platform()), ("Python version", platform.python_version())]
    for title, package in _PACKAGES.items():
        lines.append((f"{title} version", _version(package)))
        if title == "PyTorch":
            lines.append(("accelerator(s)", accelerators(_version(package))))
        if title == "Accelerate":
            lines.append(("Accelerate config", accelerate_config()))
    return lines


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def accelerators(torch: str) -> str:
    """The devices for torch, as far as they are known without it. `torch`: its version.

    A CPU-only build has no other device. Devices that NVIDIA's driver lists are named with that source: only torch
    knows whether it can use them.
    """
    if torch.endswith("+cpu"):
        return "cpu"
    devices = [] if torch == "not installed" else _nvidia_devices()
    return f"{', '.join(devices)} (listed by nvidia-smi)" if devices else _UNKNOWN


def _nvidia_devices() -> list[str]:
    """The names of the devices that nvidia-smi lists; empty if it cannot be run."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def accelerate_config() -> str:
    """The lines of the file that `accelerate config` writes, unchanged; accelerate would add its defaults.

    Visitors do not see it, since it may name machines.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("HF_HOME", os.path.join(cache, "huggingface"))).expanduser()
    file = home / "accelerate" / "default_config.yaml"
    if is_public():
        return _UNKNOWN
    if not file.is_file():
        return "not found"
    try:
        config = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError):
        return _UNKNOWN
    if not isinstance(config, dict):
        return _UNKNOWN
    return "".join(f"\n  - {name}: {value}" for name, value in config.items() if value is not None)
