"""A run's folder: every path in it, and how its files are written so that a reader never sees half of one.

spec.yaml       what was asked for; written once
data/           the rows as they are trained: input_ids, labels, and where each came from
manifest.json   what the rows and the template are (hashes, counts), and with which libraries
metrics.jsonl   a line for each logged step       samples.jsonl   answers before, during and after
status.json     phase, step, process              worker.log      what the worker printed
control/        what the worker is asked to do    checkpoints/    states that a run can go on from
adapter/        what was trained
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from training.errors import RunFolderError, RunNotFoundError
from training.spec import RunSpec, read_spec


class Phase(StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    """Its worker has not begun."""
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

    `suggestion`: what to do about `error`.
    """

    phase: Phase = Phase.QUEUED
    step: int = 0
    max_steps: int | None = None
    epoch: float = 0.0
    trained_tokens: int | None = None
    total_tokens: int | None = None
    error: str | None = None
    suggestion: str | None = None
    updated: float = 0.0
    created: float = 0.0


class RunDir:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec_file = path / "spec.yaml"
        self.data = path / "data"
        self.manifest_file = path / "manifest.json"
        self.metrics_file = path / "metrics.jsonl"
        self.samples_file = path / "samples.jsonl"
        self.status_file = path / "status.json"
        self.worker_file = path / "worker.json"
        self.log_file = path / "worker.log"
        self.control = path / "control"
        self.checkpoints = path / "checkpoints"
        self.adapter = path / "adapter"

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name

    @classmethod
    def create(cls, root: Path, spec: RunSpec) -> RunDir:
        """Make the folder of a new run. Raises RunFolderError."""
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in spec.name or spec.model.rsplit("/", 1)[-1])
        run = cls(root / f"{time.strftime('%Y%m%d-%H%M%S')}-{name[:40]}-{secrets.token_hex(2)}")
        try:
            run.path.mkdir(parents=True)
            run.control.mkdir()
            run.spec_file.write_text(spec.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise RunFolderError(f"The run's folder {run.path} cannot be made: {error.strerror}.") from error
        run.write_status(Status(created=time.time()))
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
        """What the run is doing. A run whose process is gone without a word has failed, and says so."""
        status = self.written_status()
        pid, started = self.process()
        if status.phase in ENDED or pid is None or is_alive(pid, started):
            return status
        again = self.written_status()  # it may have ended between the two looks
        if again.phase in ENDED:
            return again
        last = self.log_tail(3)
        return replace(
            again,
            phase=Phase.FAILED,
            error="The worker ended without a word: it was killed, or ran out of memory."
            + (f" Its last words: {last}" if last else ""),
            suggestion=_after_kill(again),
        )

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
            return Status(**{**value, "phase": Phase(value["phase"])})
        except FileNotFoundError as error:
            raise RunNotFoundError(f"There is no run {self.run_id!r} in {self.path.parent}.") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
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
        """What the rows are; empty before they are made."""
        try:
            return dict(json.loads(self.manifest_file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

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
        found = [path for path in self.checkpoints.glob("checkpoint-*") if (path / "trainer_state.json").is_file()]
        return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def is_alive(pid: int, started: float | None) -> bool:
    """Whether this very process still runs: a number that was given to another one does not count."""
    try:
        process = psutil.Process(pid)
        is_same = started is None or abs(process.create_time() - started) < 1.0
        return bool(is_same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step. Raises RunFolderError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunFolderError(f"{path} cannot be written: {error.strerror}.") from error


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file, whole. Raises RunFolderError."""
    data = (json.dumps(value, ensure_ascii=False) + "\n").encode()
    try:
        with path.open("ab", buffering=0) as file:
            file.write(data)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}.") from error


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """(the objects in the whole lines from a byte offset on, the offset behind them). Unfinished and damaged lines
    are not given out.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    end = data.rfind(b"\n") + 1
    return list(_objects(data[:end])), offset + end


def _objects(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _after_kill(status: Status) -> str:
    if status.phase is Phase.TRAINING:
        return "Resume it, with half of micro_batch and twice the accumulation if memory ran out."
    return "Start it again; if memory ran out, take a smaller model or max_length."
