"""Where a row stands, for programs: the file, as the data set was named, and the line in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

_LINE = re.compile(r"(?P<file>.+), line (?P<line>\d+)")


class Place(NamedTuple):
    """A file and a line in it, from 1; 1 too where rows have no lines, as in Parquet."""

    file: str
    line: int


def place_of(about: Mapping[str, Any], place: str) -> Place:
    """The place of a row of an audited data set. `about`: the report's; `place`: the row's, in words."""
    names = [PurePath(str(source.get("name", ""))).as_posix() for source in about.get("data", [])] or [""]
    match = _LINE.match(place)
    file = match["file"] if match else place.split(",")[0]
    name = next((one for one in names if PurePath(one).name == PurePath(file).name), names[0])
    is_file = PurePath(name).name == PurePath(file).name
    return Place(name if is_file else (PurePath(name) / file).as_posix(), int(match["line"]) if match else 1)
