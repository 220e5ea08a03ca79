"""Reads the spec of a run and checks it as a whole before anything starts.

A minimal spec is `{model: tiny-chat, data: examples/data/question-answer.csv}`; everything else has a default. All
problems are reported together, each with its field and advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inspector.errors import kind_of
from training.errors import SpecError
from training.spec.checks import check, explained, problem
from training.spec.run import RunSpec
from training.spec.yaml_text import load_yaml


def parse_spec(value: Any) -> RunSpec:
    """A spec from plain values. Raises SpecError with every problem."""
    try:
        spec = RunSpec.model_validate(dict(_mapping(value)))
    except ValidationError as error:
        raise SpecError([explained(item) for item in error.errors()]) from error
    problems = [found for found in check(spec) if found.severity == "error"]
    if problems:
        raise SpecError(problems)
    return spec


def parse_text(text: str) -> RunSpec:
    """The spec in YAML or JSON. Raises SpecError."""
    return parse_spec(spec_fields(text))


def read_spec(path: str) -> RunSpec:
    """The spec in a YAML or JSON file. Raises SpecError."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError([problem("spec", f"{path} cannot be read: {error.strerror}.", "")]) from error
    except UnicodeDecodeError as error:
        raise SpecError([problem("spec", f"{path} is not YAML: {error}.", "")]) from error
    return parse_spec(spec_fields(text, path))


def spec_fields(text: str, name: str = "") -> Mapping[str, Any]:
    """The unchecked fields in YAML or JSON; errors name the file `name`. Raises SpecError."""
    import yaml

    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        message = " ".join([name, "is not YAML:", *str(error).split()]).strip()
        raise SpecError([problem("spec", f"{message}.", "")]) from error
    return _mapping(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        what = "empty" if value is None else kind_of(value)
        raise SpecError([problem("spec", f"is {what}, and must be fields with values.", "")])
    return value
