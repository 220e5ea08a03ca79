"""A run's folder: every path in it. Its files are written so that a reader never sees half of one.

spec.yaml       the run's spec; written once
data/           the rows as they are trained: input_ids, labels, and the origin of each
manifest.json   facts about the rows and the template (hashes, counts), and the versions of libraries
metrics.jsonl   a line for each logged step       samples.jsonl   answers before, during and after
scores.jsonl    the loss at each token of the first rows, before and after
status.json     phase, step, process              worker.log      what the worker printed
control/        requests to the worker            checkpoints/    states from which a run can resume
adapter/        the result, with a model card     name            the name that a person gave it
merged/         the merged model, if there is one logs/           logs for TensorBoard or Trackio
job.json        its Hugging Face job, if it does not train on this machine
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
"""Bytes held back in each run's folder, so that a run that fills the disk can still report it."""


class Phase(StrEnum):
    """The phase of a run."""

    QUEUED = "queued"
    """Its worker has not started, or waits for its turn on the device."""
    LOADING = "loading"
    """Rows, model and tokenizer are being prepared."""
    TRAINING = "training"
    """It is training."""
    SAVING = "saving"
    """The adapter is being written, and answers are being sampled."""
    SUCCEEDED = "succeeded"
    """It finished all its steps, or its evaluation stopped it early."""
    FAILED = "failed"
    """It ended with an error."""
    STOPPED = "stopped"
    """It stopped on request."""


ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of a run. Counts are tokens of one pass over the rows; times are seconds since the epoch.

    `suggestion`: advice on `error`. `notes`: deviations of the worker from the spec, and why.
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
        """Its name: the one that a person gave it later, or that of its spec. Raises SpecError."""
        return self.given_name or self.spec().name

    @property
    def label(self) -> str:
        """Its name in lists of runs: the name, or else two words that belong to its id."""
        try:
            return self.name or two_words(self.run_id)
        except SpecError:
            return two_words(self.run_id)

    @classmethod
    def create(cls, root: Path, spec: RunSpec) -> RunDir:
        """Make the folder of a new run. Its spec is written last, in one step, since a folder with a spec is a run.

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
        """Open an existing run. Raises RunNotFoundError."""
        run = cls(path)
        if not run.spec_file.is_file():
            raise RunNotFoundError(f"There is no run {path.name!r} in {path.parent}.")
        return run

    def spec(self) -> RunSpec:
        """The run's spec. Raises SpecError if the file was changed and is no longer valid."""
        return read_spec(str(self.spec_file))

    # --- status

    def status(self) -> Status:
        """The current status. If the process is gone and left no message, the status says that the run failed."""
        status = self.written_status()
        pid, started = self.process()
        if status.phase in ENDED or pid is None or is_alive(pid, started):
            return status
        again = self.written_status()  # it may have ended between the two checks
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
        """The message of the first of several processes that failed; empty if none did."""
        return _object(self.fault_file)

    def job(self) -> dict[str, Any]:
        """The run's job, and how much of its log was read; empty for a run on this machine."""
        return _object(self.job_file)

    def process(self) -> tuple[int | None, float | None]:
        """(pid, start time) of the last worker; None if there was none."""
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
        """Replace the whole status. Raises RunFolderError."""
        write_json(self.status_file, asdict(replace(status, updated=time.time())))

    # --- requests to the worker

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
        """Withdraw a request."""
        (self.control / what).unlink(missing_ok=True)

    # --- records of the run

    def manifest(self) -> dict[str, Any]:
        """The manifest's JSON form; empty before the rows are made. Raises RunFolderError."""
        return self.facts().to_dict()

    def facts(self) -> Manifest:
        """The manifest. Raises RunFolderError."""
        return read_manifest(self.manifest_file)

    def record(self, **facts: Any) -> Manifest:
        """Write facts into the manifest; the others are kept. Raises RunFolderError."""
        return change_manifest(self.manifest_file, **facts)

    def metrics(self) -> list[dict[str, Any]]:
        """The logged metrics in the order of steps; if a step was repeated, the newest."""
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
        """Whether the result of the training is in its folder."""
        return any(self.adapter.glob("*.safetensors"))

    # --- space for the last messages of a run that fills the disk

    def keep_reserve(self) -> None:
        """Reserve some space, if there is any."""
        with contextlib.suppress(OSError):
            self.reserve_file.write_bytes(os.urandom(RESERVE_BYTES))

    def free_reserve(self) -> None:
        """Release the reserved space for urgent writes."""
        self.reserve_file.unlink(missing_ok=True)


def _object(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is complete: the trainer writes its state last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _after_kill(run: RunDir) -> str:
    if run.job_file.is_file():
        return "Its job is still running: resume the run to follow it again, or to stop it."
    checkpoint = run.checkpoint()
    if checkpoint is not None:
        return (
            f"Resume it: it continues from step {step_of(checkpoint)}. If memory ran out, other programs may need less."
        )
    return "Start it again (rerun); if memory ran out, take a smaller model or max_length."
