"""manifest.json of a run's folder as one typed value: the prepared rows, the versions of libraries, and the result.

A fact that is not yet written is None or empty. Fields of older and newer versions are kept unchanged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import RunFolderError
from training.run.files import write_json


class _Kept(BaseModel):
    """Frozen and strict; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Proof(_Kept):
    """The proof that the trained rows are those that the inspector showed. Counts are rows and tokens."""

    sentence: str
    rows: int | None = None
    trained_tokens: int | None = None
    total_tokens: int | None = None


class PublishedAs(_Kept):
    """The place where the run was last published."""

    url: str


class Manifest(_Kept):
    """The facts about a run's rows, model and result. Counts are rows and tokens; `unused_rows`: the first 20."""

    rows: int | None = None
    total_tokens: int = 0
    trained_tokens: int = 0
    cut_rows: int = 0
    unused: int = 0
    unused_rows: list[dict[str, Any]] = Field(default_factory=list)
    data_sha256: str = "unknown"
    model: str = ""
    revision: str | None = None
    template_hash: str | None = None
    method: str = ""
    strategy: str = ""
    stop_strings: list[str] = Field(default_factory=list)
    libraries: dict[str, str] = Field(default_factory=dict)
    python: str = ""
    notes: list[str] = Field(default_factory=list)
    reduced: dict[str, int] = Field(default_factory=dict)
    precision: str | None = None
    proof: Proof | None = None
    published: PublishedAs | None = None

    @property
    def is_prepared(self) -> bool:
        """Whether the rows are written."""
        return self.rows is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with only the written fields."""
        return self.model_dump(mode="json", exclude_unset=True)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file; an empty one if there is no file. Raises RunFolderError."""
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Manifest()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise RunFolderError(f"{path} cannot be read: {field}: {first['msg']}.") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}.") from error


def change_manifest(path: Path, **facts: Any) -> Manifest:
    """Write facts into the manifest; the others are kept. Raises RunFolderError."""
    changed = Manifest.model_validate(read_manifest(path).to_dict() | facts)
    write_json(path, changed.to_dict())
    return changed
