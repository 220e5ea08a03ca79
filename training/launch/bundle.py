"""Packs everything that a job needs from this machine as text: this code, the spec, and local data files."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import yaml

from inspector.paths import IMPORTED_FROM, REQUIREMENTS, ROOT, found_name, module
from training.errors import SpecError
from training.spec import DataSpec, EngineSpec, RunSpec
from training.spec.checks import problem

PART = 100_000
"""Characters per environment variable: Linux allows 131,071."""
LIMIT = 900_000
"""Maximum characters in total: a program and its environment may have two million, a container's description less."""
CODE = ("__init__.py", "inspector", "training", REQUIREMENTS.name)
"""In ROOT. A checkout has no __init__.py there."""
BOOT = f"""\
import base64, io, os, shutil, subprocess, sys, tarfile, tempfile
parts = [os.environ.pop(f"MASKSCOPE_{{i}}") for i in range(int(os.environ.pop("MASKSCOPE_PARTS")))]
os.chdir(tempfile.mkdtemp())
with tarfile.open(fileobj=io.BytesIO(base64.b64decode("".join(parts))), mode="r:xz") as bundle:
    bundle.extractall(filter="data")
uv = shutil.which("uv")
install = [uv, "pip", "install", "--system"] if uv else [sys.executable, "-m", "pip", "install"]
subprocess.run([*install, "-q", "-r", "{REQUIREMENTS.relative_to(IMPORTED_FROM)}"], check=True)
command = [sys.executable, "-u", "-m", "{module("training")}", "run", "spec.yaml", "--lines", "--runs", "runs"]
os.execv(sys.executable, command)
"""
"""The program of the job: it unpacks, installs, and trains."""


def pack(spec: RunSpec) -> dict[str, str]:
    """The environment of a job that runs BOOT. Raises SpecError for data that a job cannot get."""
    files: dict[str, bytes] = {}
    data = _sent(spec.data, "data", files)
    held_out = spec.evaluation.data
    if held_out is not None:
        held_out = _sent(held_out, "evaluation.data", files)
    _check_on_hub("model", spec.model)
    if spec.preference.reference:
        _check_on_hub("preference.reference", spec.preference.reference)
    engine = EngineSpec(processes=spec.engine.processes)
    if spec.engine.accelerate_config:
        files["accelerate.yaml"] = Path(found_name(spec.engine.accelerate_config)).read_bytes()
        engine = engine.model_copy(update={"accelerate_config": "accelerate.yaml"})
    changes = {"data": data, "engine": engine, "device": "auto"}
    changes["evaluation"] = spec.evaluation.model_copy(update={"data": held_out})
    remote = spec.model_copy(update=changes).model_dump(mode="json", exclude_defaults=True)
    files["spec.yaml"] = yaml.safe_dump(remote, sort_keys=False, allow_unicode=True).encode()
    text = base64.b64encode(_archive(files)).decode("ascii")
    if len(text) > LIMIT:
        sizes = f"{len(text) // 1000:,} kB packed, and a job takes {LIMIT // 1000:,}"
        remedy = "Put it on the hub: hf upload USER/NAME FILE --repo-type dataset, and name that."
        raise SpecError([problem("data", f"the file and the code are {sizes}.", remedy)])
    parts = [text[i : i + PART] for i in range(0, len(text), PART)]
    return {"MASKSCOPE_PARTS": str(len(parts)), **{f"MASKSCOPE_{i}": part for i, part in enumerate(parts)}}


def _sent(data: DataSpec, field: str, files: dict[str, bytes]) -> DataSpec:
    """A data set with the name for the job; a file's bytes are added to `files`."""
    path = Path(found_name(data.name))
    if path.is_dir():
        remedy = "Put it on the hub, and name that."
        raise SpecError([problem(field, f"{data.name} is a folder, and a job gets files alone.", remedy)])
    if not path.is_file():
        return data
    name = f"{field.replace('.', '-')}/{path.name}"
    files[name] = path.read_bytes()
    return data.model_copy(update={"name": name})


def _check_on_hub(field: str, name: str) -> None:
    from inspector.model.hub import EMBEDDED

    if name in EMBEDDED or Path(name).exists() or name.startswith((".", "/", "~")):
        remedy = "Name one that is on the hub, or put this one there."
        raise SpecError([problem(field, f"{name} is on this machine, where a job does not find it.", remedy)])


def _archive(files: dict[str, bytes]) -> bytes:
    """The code and these files as a tar.xz, the same for the same content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for top in CODE:
            for path in sorted((ROOT / top).rglob("*")) or [ROOT / top]:
                if path.is_file() and "__pycache__" not in path.parts:
                    files.setdefault(path.relative_to(IMPORTED_FROM).as_posix(), path.read_bytes())
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
