"""Everything that can go wrong in training, as one tree. Each message says what happened and what to do.

TrainingError
├── SpecError (ValueError)           a run's spec cannot be used; `problems` names each field
├── RunNotFoundError (LookupError)   there is no such run
├── RunFolderError (OSError)         a run's folder cannot be made, read or written
├── RunStateError (RuntimeError)     the run is not in a state in which that can be done
├── LabelsDifferError (AssertionError)  what the trainer was given is not what the inspector showed
├── DeviceError (RuntimeError)       the device cannot do what the spec asks for
├── NotANumberError (ArithmeticError)  the loss is not a number any more
├── OutOfMemoryError (MemoryError)   memory ran out with the smallest micro-batch
├── EndpointError (ConnectionError)  a server whose answers were asked for gave none
├── AnswerError (RuntimeError)       a run's weights gave no answer
├── MergeError (RuntimeError)        an adapter could not be merged into its base model
├── PublishError (ConnectionError)   the hub did not take what was to be published
└── JobError (ConnectionError)       Hugging Face Jobs did not take, show or end a job
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class TrainingError(Exception):
    """Root of every error that training raises on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a spec. `severity`: "error", or "warning" if the run can start anyway."""

    field: str
    severity: str
    message: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"field": self.field, "severity": self.severity, "message": self.message, "remedy": self.remedy}


class SpecError(TrainingError, ValueError):
    """A spec cannot be used. `problems`: all of its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{p.field}: {p.message} {p.remedy}" for p in problems))


class RunNotFoundError(TrainingError, LookupError):
    """There is no such run."""


class RunFolderError(TrainingError, OSError):
    """A run's folder cannot be made, read or written."""


class RunStateError(TrainingError, RuntimeError):
    """The state of the run does not allow that."""


class LabelsDifferError(TrainingError, AssertionError):
    """The trainer's input is not what the inspector showed; training stopped."""


class DeviceError(TrainingError, RuntimeError):
    """The device does not support what the spec asks for."""


class NotANumberError(TrainingError, ArithmeticError):
    """The loss is no longer a number."""


class OutOfMemoryError(TrainingError, MemoryError):
    """Memory ran out with the smallest micro-batch."""


class EndpointError(TrainingError, ConnectionError):
    """A server gave no answer."""


class AnswerError(TrainingError, RuntimeError):
    """A run's weights could not be loaded, or gave no answer."""


class MergeError(TrainingError, RuntimeError):
    """An adapter could not be merged into its base model, or the merged model differs from the two together."""


class PublishError(TrainingError, ConnectionError):
    """The hub did not accept an upload."""


class JobError(TrainingError, ConnectionError):
    """Hugging Face Jobs did not take, show or end a job."""
