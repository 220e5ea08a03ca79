"""A run's folder: every path in it, and how its files are written so that a reader never sees half of one.

spec.yaml       what was asked for; written once
data/           the rows as they are trained: input_ids, labels, and where each came from
manifest.json   what the rows and the template are (hashes, counts), and with which libraries
metrics.jsonl   a line for each logged step       samples.jsonl   answers before, during and after
scores.jsonl    the loss at each token of the first rows, before and after
status.json     phase, step, process              worker.log      what the worker printed
control/        what the worker is asked to do    checkpoints/    states that a run can go on from
adapter/        what was trained, with a model card      name            what a person calls it
merged/         the whole model, when it was merged   logs/       what TensorBoard or Trackio was told
job.json        which job of Hugging Face it is, when it does not train on this machine
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from training.errors import RunFolderError, RunNotFoundError, SpecError
from training.run.files import append_line, read_lines, write_json, write_text
from training.run.manifest import Manifest, change_manifest, read_manifest
from training.run.names import two_words
from training.run.processes import is_alive
from training.spec import RunSpec, read_spec

__all__ = ["ENDED", "Phase", "RunDir", "Status", "append_line", "is_alive", "read_lines", "step_of", "write_json"]

RESERVE_BYTES = 64 * 1024
"""Kept free in each run's folder, so that a run that fills the disk can still say so."""


class Phase(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    """Its worker has not begun, or waits for its turn on the device."""
    LOADING = "loading"
    """Rows, model and tokenizer are being made ready."""
    TRAINING = "training"
    """Steps are made."""
    SAVING = "saving"
    """The adapter is being written, and answers are being sampled."""
    SUCCEEDED = "succeeded"
    """It did all its steps, or was stopped early by its evaluation."""
    FAILED = "failed"
    """It ended with an error."""
    STOPPED = "stopped"
    """It was asked to stop."""


ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a run says of itself. Counts are tokens of one pass over the rows; times are seconds since the epoch.

    `suggestion`: what to do about `error`. `notes`: what the worker had to do otherwise than asked, and why.
    `waits_for`: the id of the run in front, in the queue for `device`.
    """

    phase: Phase = Phase.QUEUED
    step: int = 0
    max_steps: int | None = None
    epoch: float = 0.0
    trained_tokens: int | None = None
    total_tokens: int | None = None
    error: str | None = None
    suggestion: str | None = None
    notes: tuple[str, ...] = ()
    device: str | None = None
    waits_for: str | None = None
    updated: float = 0.0
    created: float = 0.0


_STATUS = TypeAdapter(Status)


class RunDir:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file = path / "spec.yaml"
        self.data = path / "data"
        self.manifest_file = path / "manifest.json"
        self.metrics_file = path / "metrics.jsonl"
        self.samples_file = path / "samples.jsonl"
        self.scores_file = path / "scores.jsonl"
        self.status_file = path / "status.json"
        self.worker_file = path / "worker.json"
        self.log_file = path / "worker.log"
        self.name_file = path / "name"
        self.reserve_file = path / ".reserve"
        self.control = path / "control"
        self.checkpoints = path / "checkpoints"
        self.adapter = path / "adapter"
        self.merged = path / "merged"
        self.logs = path / "logs"
        self.accelerate_file = path / "accelerate.yaml"
        self.fault_file = path / ".fault"
        self.job_file = path / "job.json"

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def given_name(self) -> str:
        """The name that a person gave it later; "" without one."""
        try:
            return self.name_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    @property
    def name(self) -> str:
        """What a person calls it: the name it was given later, or its spec's. Raises SpecError."""
        return self.given_name or self.spec().name

    @property
    def label(self) -> str:
        """What it is called where a person chooses among runs: its name, else two words that go with its id."""
        try:
            return self.name or two_words(self.run_id)
        except SpecError:
            return two_words(self.run_id)

    @classmethod
    def create(cls, root: Path, spec: RunSpec) -> RunDir:
        """Make the folder of a new run; its spec comes last, and whole, since a folder with one is a run.

        Raises RunFolderError.
        """
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in spec.name or spec.model.rsplit("/", 1)[-1])
        run = cls(root / f"{time.strftime('%Y%m%d-%H%M%S')}-{name[:40]}-{secrets.token_hex(2)}")
        try:
            run.path.mkdir(parents=True)
            run.control.mkdir()
        except OSError as error:
            raise RunFolderError(f"The run's folder {run.path} cannot be made: {error.strerror}.") from error
        run.write_status(Status(created=time.time()))
        write_text(run.spec_file, spec.to_yaml())
        return run

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """A run that exists. Raises RunNotFoundError."""
        run = cls(path)
        if not run.spec_file.is_file():
            raise RunNotFoundError(f"There is no run {path.name!r} in {path.parent}.")
        return run

    def spec(self) -> RunSpec:
        """What was asked for. Raises SpecError when somebody has changed the file."""
        return read_spec(str(self.spec_file))

    # --- status

    def status(self) -> Status:
        """What the run is doing. A run whose process is gone and left no message has failed, and says so."""
        status = self.written_status()
        pid, started = self.process()
        if status.phase in ENDED or pid is None or is_alive(pid, started):
            return status
        again = self.written_status()  # it may have ended between the two looks
        if again.phase in ENDED:
            return again
        last = self.log_tail(3)
        message = "The worker exited without an error message; it was probably killed or ran out of memory."
        fault = self.fault()
        return replace(
            again,
            phase=Phase.FAILED,
            error=fault.get("error") or message + (f" Last output: {last}" if last else ""),
            suggestion=fault.get("suggestion") or _after_kill(self),
            waits_for=None,
        )

    def fault(self) -> dict[str, Any]:
        """What the first of several processes that failed has said; empty without one."""
        return _object(self.fault_file)

    def job(self) -> dict[str, Any]:
        """Which job the run is, and how much of its log was heard; empty for a run on this machine."""
        return _object(self.job_file)

    def process(self) -> tuple[int | None, float | None]:
        """(pid, when it began) of the worker that was started last; None before there is one."""
        try:
            value = json.loads(self.worker_file.read_text(encoding="utf-8"))
            return int(value["pid"]), float(value["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, None

    def written_status(self) -> Status:
        """The status file alone. Raises RunNotFoundError, RunFolderError."""
        try:
            value = json.loads(self.status_file.read_text(encoding="utf-8"))
            known = (
                {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value
            )
            return _STATUS.validate_python(known)
        except FileNotFoundError as error:
            raise RunNotFoundError(f"There is no run {self.run_id!r} in {self.path.parent}.") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise RunFolderError(
                f"{self.status_file} cannot be read: {where and where + ': '}{first['msg']}."
            ) from error
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.status_file} cannot be read: {error}.") from error

    def write_status(self, status: Status) -> None:
        """Replace the status, whole. Raises RunFolderError."""
        write_json(self.status_file, asdict(replace(status, updated=time.time())))

    # --- what the worker is asked

    def ask(self, what: str) -> None:
        """Leave a request for the worker: `stop`, which saves first. Raises RunFolderError."""
        try:
            self.control.mkdir(exist_ok=True)
            (self.control / what).touch()
        except OSError as error:
            raise RunFolderError(f"{self.control} cannot be written: {error.strerror}.") from error

    def is_asked(self, what: str) -> bool:
        """Whether there is such a request."""
        return (self.control / what).exists()

    def forget(self, what: str) -> None:
        """Take a request back."""
        (self.control / what).unlink(missing_ok=True)

    # --- what can be read

    def manifest(self) -> dict[str, Any]:
        """The manifest's JSON form; empty before the rows are made. Raises RunFolderError."""
        return self.facts().to_dict()

    def facts(self) -> Manifest:
        """The manifest. Raises RunFolderError."""
        return read_manifest(self.manifest_file)

    def record(self, **facts: Any) -> Manifest:
        """Write facts into the manifest; the others stay. Raises RunFolderError."""
        return change_manifest(self.manifest_file, **facts)

    def metrics(self) -> list[dict[str, Any]]:
        """What was logged, in the order of steps: of those that were made again, the newest."""
        out: list[dict[str, Any]] = []
        newest = 0
        for line in read_lines(self.metrics_file)[0]:
            if "loss" in line:
                if line["step"] <= newest:
                    out = [old for old in out if old["step"] < line["step"]]
                newest = line["step"]
            if "step" in line:
                out.append(line)
        return out

    def samples(self) -> list[dict[str, Any]]:
        """The answers written so far."""
        return list(read_lines(self.samples_file)[0])

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the worker printed."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(max(0, self.log_file.stat().st_size - 20_000))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        kept = [line.rsplit("\r", 1)[-1] for line in text.splitlines() if line.strip()]
        return "\n".join(kept[-lines:])

    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint, or None."""
        found = [path for path in self.checkpoints.glob("checkpoint-*") if _is_whole(path)]
        return max(found, key=step_of, default=None)

    @property
    def has_weights(self) -> bool:
        """Whether what was trained is in its folder."""
        return any(self.adapter.glob("*.safetensors"))

    # --- the last words of a run that fills the disk

    def keep_reserve(self) -> None:
        """Hold some space back, if there is any."""
        with contextlib.suppress(OSError):
            self.reserve_file.write_bytes(os.urandom(RESERVE_BYTES))

    def free_reserve(self) -> None:
        """Give it to what has to be written now."""
        self.reserve_file.unlink(missing_ok=True)


def _object(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def step_of(checkpoint: Path) -> int:
    """After which step it was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def _is_whole(checkpoint: Path) -> bool:
    """The trainer writes its state last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _after_kill(run: RunDir) -> str:
    if run.job_file.is_file():
        return "Its job goes on: resume the run to follow it again, or to stop it."
    checkpoint = run.checkpoint()
    if checkpoint is not None:
        return (
            f"Resume it: it goes on from step {step_of(checkpoint)}. If memory ran out, other programs may need less."
        )
    return "Start it again (rerun); if memory ran out, take a smaller model or max_length."
