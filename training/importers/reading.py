"""Shared code of the importers: it checks another trainer's values by its own names, and makes a spec of them."""

from __future__ import annotations

import difflib
import importlib.util
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from inspector.paths import shell_command
from training.errors import Problem, SpecError
from training.spec import RunSpec, parse_spec
from training.spec.checks import problem, shown

Keys = TypeVar("Keys", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Another trainer's run as ours. `warnings`: the differences, each beginning with its key. `command`: the command
    that trains the spec, once the spec is in the named file."""

    spec: RunSpec
    warnings: tuple[str, ...]
    command: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        yaml = self.spec.to_yaml()
        spec = self.spec.model_dump(mode="json")
        return {"spec": spec, "yaml": yaml, "warnings": list(self.warnings), "command": self.command}


def imported(values: Mapping[str, Any], names: Mapping[str, str], warnings: Iterable[str]) -> Imported:
    """The spec of these values. `names`: our fields -> their keys, for errors. Raises SpecError."""
    try:
        spec = parse_spec(values)
    except SpecError as error:
        raise SpecError([replace(p, field=names.get(p.field, p.field)) for p in error.problems]) from error
    return Imported(spec=spec, warnings=tuple(warnings), command=run_command(f"{spec.name or 'spec'}.yaml"))


def run_command(path: str) -> str:
    """The command line that trains the spec in a file."""
    return shlex.join([*shell_command("training").split(), "run", path])


def checked(
    kind: type[Keys], values: Mapping[str, Any], places: Mapping[str, str]
) -> tuple[Keys | None, list[Problem]]:
    """The values with the other trainer's types, or their problems. `places`: key -> its place."""
    try:
        return kind.model_validate(dict(values)), []
    except ValidationError as error:
        return None, [_explained(item, places) for item in error.errors()]


def _explained(item: Any, places: Mapping[str, str]) -> Problem:
    key = str(item["loc"][0])
    place = places.get(key, key)
    if item["type"] == "missing":
        return problem(place, "is missing.", "")
    return problem(place, f"{item['msg']}; it is {shown(item['input'])}.", "")


def unknown_key(place: str, key: str, known: Sequence[str]) -> Problem:
    """The problem of an unknown key, with a suggestion."""
    near = difflib.get_close_matches(key, known, 1)
    return problem(
        place, "there is no such key.", f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    )


def first_columns(name: str) -> list[str] | None:
    """The columns of a file's first row; None if the file is not on this machine or cannot be read."""
    from inspector.data.source import DataSource, Row
    from inspector.errors import InspectorError
    from inspector.paths import found_name

    path = Path(found_name(name)).expanduser()
    if not path.exists():
        return None
    try:
        rows = (list(row.value) for row in DataSource(name=str(path)).rows() if isinstance(row, Row))
        return next(rows, None)
    except InspectorError:
        return None


def is_installed(*packages: str) -> bool:
    """Whether one of these packages can be imported."""
    return any(importlib.util.find_spec(package) is not None for package in packages)
