"""Other trainers' configurations as specs: every key has its effect, or a warning says what happens instead.

In: AutoTrain's YAML or a command line of home-llm. Out: Imported, a spec with warnings.
May import: `rows`, `spec`, `errors`, `inspector`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.errors import kind_of
from training.errors import SpecError
from training.importers.autotrain import from_autotrain
from training.importers.home_llm import import_command
from training.importers.reading import Imported, run_command
from training.spec import parse_spec
from training.spec.checks import problem
from training.spec.yaml_text import load_yaml

__all__ = ["Imported", "import_command", "import_config", "is_foreign", "run_command"]

OF_AUTOTRAIN = frozenset({"task", "base_model", "project_name", "backend", "params", "hub"})
"""Keys that our own specs do not have."""


def import_config(text_or_path: str | Path) -> Imported:
    """Import AutoTrain's YAML, or a spec of ours, as text or in a file. Raises SpecError."""
    is_text = isinstance(text_or_path, str) and "\n" in text_or_path
    value = _parsed(str(text_or_path) if is_text else _read(Path(text_or_path)))
    if OF_AUTOTRAIN & set(value):
        return from_autotrain(value)
    spec = parse_spec(value)
    return Imported(spec=spec, warnings=(), command=run_command(f"{spec.name or 'spec'}.yaml"))


def is_foreign(text: str) -> bool:
    """Whether a text is the beginning of AutoTrain's YAML, rather than a spec of ours."""
    try:
        return len(OF_AUTOTRAIN & set(_parsed(text))) > 1
    except SpecError:
        return False


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError([problem("config", f"{path} cannot be read: {error.strerror}.", "")]) from error
    except UnicodeDecodeError as error:
        raise SpecError([problem("config", f"{path.name} is not text in UTF-8.", "Give a YAML file.")]) from error


def _parsed(text: str) -> Mapping[str, Any]:
    """The YAML's keys. Errors do not quote its lines, which may hold a token."""
    import yaml

    try:
        value = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"in line {mark.line + 1}, " if mark is not None else ""
        message = f"is not YAML: {where}{getattr(error, 'problem', None) or 'a character that YAML does not allow'}."
        raise SpecError([problem("config", message, "")]) from None
    if not isinstance(value, Mapping):
        raise SpecError([problem("config", f"is {kind_of(value)}, and must be keys with values.", "")])
    return {str(key): item for key, item in value.items()}
