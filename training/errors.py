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
    """One thing that is wrong with a spec. `severity`: "error", or "warning" where the run can start all the same."""

    field: str
    severity: str
    message: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"field": self.field, "severity": self.severity, "message": self.message, "remedy": self.remedy}


class SpecError(TrainingError, ValueError):
    """A spec cannot be used. `problems`: everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{p.field}: {p.message} {p.remedy}" for p in problems))


class RunNotFoundError(TrainingError, LookupError):
    """There is no such run."""


class RunFolderError(TrainingError, OSError):
    """A run's folder cannot be made, read or written."""


class RunStateError(TrainingError, RuntimeError):
    """The run is not in a state in which that can be done."""


class LabelsDifferError(TrainingError, AssertionError):
    """What the trainer was given is not what the inspector showed: nothing was trained."""


class DeviceError(TrainingError, RuntimeError):
    """The device cannot do what the spec asks for."""


class NotANumberError(TrainingError, ArithmeticError):
    """The loss is not a number any more."""


class OutOfMemoryError(TrainingError, MemoryError):
    """Memory ran out with the smallest micro-batch."""


class EndpointError(TrainingError, ConnectionError):
    """A server whose answers were asked for gave none."""


class AnswerError(TrainingError, RuntimeError):
    """A run's weights could not be loaded, or gave no answer."""


class MergeError(TrainingError, RuntimeError):
    """An adapter could not be merged into its base model, or the merged model is another than both together."""


class PublishError(TrainingError, ConnectionError):
    """The hub did not take what was to be published."""


class JobError(TrainingError, ConnectionError):
    """Hugging Face Jobs did not take, show or end a job."""
