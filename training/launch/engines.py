"""A spec's engine -> the command that starts its workers: one process, or several through torch's or accelerate's
launcher. Requirements that this machine lacks are reported before anything starts.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from inspector.paths import ROOT, install_command, module
from training.errors import Problem, RunFolderError, SpecError
from training.run.folder import RunDir
from training.spec import RunSpec
from training.spec.checks import problem
from training.spec.yaml_text import load_yaml

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
"""What a worker imports."""
SINKS = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",)}
"""Other places that metrics are reported to -> the packages of which one is needed."""


def check_machine(spec: RunSpec) -> None:
    """Raise SpecError if this machine lacks something that the spec needs besides a device, or cannot send it to a
    job."""
    if problems := list(_missing(spec)):
        raise SpecError(problems)
    if spec.engine.flavor:
        from training.launch.bundle import pack

        pack(spec)


def _missing(spec: RunSpec) -> Iterator[Problem]:
    lacking = [name for name in LIBRARIES if name not in sys.modules and not importlib.util.find_spec(name)]
    if lacking and not spec.engine.flavor:
        remedy = f"{install_command('train')}, or train it as a job: engine: {{flavor}}."
        yield problem("engine", f"a run on this machine needs what is not installed: {', '.join(lacking)}.", remedy)
    for sink in spec.report if not spec.engine.flavor else []:
        if not any(importlib.util.find_spec(package) for package in SINKS[sink]):
            yield problem("report", f"{sink} is not installed.", f"pip install {sink}, or leave it out.")
    if spec.engine.accelerate_config:
        yield from _check_config(spec.engine.accelerate_config)


def _check_config(name: str) -> Iterator[Problem]:
    import yaml

    field, path = "engine.accelerate_config", _found(name)
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = f"Write it with: accelerate config --config_file {name}"
        yield problem(field, f"{name} cannot be read: {error.strerror}.", remedy)
        return
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        yield problem(field, f"{name} is not a file of `accelerate config`.", "Write it again.")
    elif values.get("num_machines") not in (None, 0, 1, "0", "1"):
        yield problem(field, "num_machines is more than 1: runs are started on this machine alone.", "Set it to 1.")
    elif values.get("distributed_type") == "MULTI_CPU":
        yield problem(
            field, "distributed_type is MULTI_CPU, with which accelerate starts a single process.",
            "Leave the file out and set engine.processes, or set MULTI_GPU and use_cpu: true.",
        )  # fmt: skip


def _found(name: str) -> Path:
    """The file; examples are found from any working folder."""
    shipped = ROOT / name
    return shipped if name.startswith("examples/") and not Path(name).exists() else Path(name)


def keep_config(run: RunDir, spec: RunSpec) -> None:
    """Copy accelerate's configuration into the run's folder, for use when resuming. Raises RunFolderError."""
    if spec.engine.accelerate_config:
        try:
            shutil.copyfile(_found(spec.engine.accelerate_config), run.accelerate_file)
        except OSError as error:
            raise RunFolderError(f"{run.accelerate_file} cannot be written: {error.strerror}.") from error


def is_alone(spec: RunSpec) -> bool:
    """Whether one process on this machine does everything."""
    return spec.engine.processes == 1 and not spec.engine.accelerate_config and not spec.engine.flavor


def command(run: RunDir, spec: RunSpec) -> list[str]:
    """The command that starts the run's worker or workers."""
    if spec.engine.flavor:
        return [sys.executable, "-m", module("training.follower"), str(run.path.absolute())]
    count, worker = spec.engine.processes, ["-m", module("training.worker"), str(run.path.absolute())]
    if spec.engine.accelerate_config:
        launcher = ["-m", "accelerate.commands.launch", "--config_file", str(run.accelerate_file.absolute())]
        return [sys.executable, *launcher, *(["--num_processes", str(count)] if count > 1 else []), *worker]
    if count > 1:  # accelerate's launcher starts several processes only on GPUs
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        return [sys.executable, *launcher, *worker]
    return [sys.executable, *worker]
