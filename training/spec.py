"""What a run trains, on what and how: strict, checked as a whole before anything starts.

A minimal spec is `{model: tiny-chat, data: examples/data/question-answer.csv}`; everything else has a default. Every
problem is found at once and named by its field, with what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.checks import check, explained, problem
from training.errors import SpecError
from training.run_spec import RunSpec
from training.spec_parts import (
    BlockSpec,
    DataSpec,
    EndpointSpec,
    EngineSpec,
    EvalSpec,
    LoraSpec,
    Method,
    ModuleGroup,
    PreferenceSpec,
    PublishSpec,
    SamplingSpec,
    SpeedSpec,
)  # fmt: skip
from training.yaml_text import load_yaml

__all__ = [
    "BlockSpec", "DataSpec", "EndpointSpec", "EngineSpec", "EvalSpec", "LoraSpec", "Method", "ModuleGroup",
    "PreferenceSpec", "PublishSpec", "RunSpec", "SamplingSpec", "SpeedSpec", "check", "parse_spec", "read_spec",
]  # fmt: skip


def parse_spec(value: Any) -> RunSpec:
    """A spec from plain values. Raises SpecError with every problem."""
    if not isinstance(value, Mapping):
        raise SpecError([problem("spec", f"is {type(value).__name__}, and must be fields with values.", "")])
    try:
        spec = RunSpec.model_validate(dict(value))
    except ValidationError as error:
        raise SpecError([explained(item) for item in error.errors()]) from error
    problems = [found for found in check(spec) if found.severity == "error"]
    if problems:
        raise SpecError(problems)
    return spec


def read_spec(path: str) -> RunSpec:
    """The spec in a YAML or JSON file. Raises SpecError."""
    import yaml

    try:
        value = load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError([problem("spec", f"{path} cannot be read: {error.strerror}.", "")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise SpecError([problem("spec", f"{path} is not YAML: {said}.", "")]) from error
    return parse_spec(value)
