"""The commands `import` and `home-llm`, which read another trainer's configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.errors import RunFolderError
from training.importers import Imported, import_command, import_config, run_command

_OWN = ("--dry-run", "--print-spec", "--json")


def with_head(arguments: Sequence[str]) -> list[str]:
    """The arguments with home-llm's options moved after `train.py`, so that they are not read as ours."""
    found = list(arguments)
    if found[:1] != ["home-llm"]:
        return found
    at = 1
    while at < len(found) and (found[at] in _OWN or found[at].split("=")[0] == "--runs"):
        at += 2 if found[at] == "--runs" else 1
    if at < len(found) and found[at].startswith("--"):
        found.insert(at, "train.py")
    return found


def add_arguments(config: argparse.ArgumentParser, command: argparse.ArgumentParser) -> None:
    """The options of both commands."""
    config.add_argument("--out", metavar="FILE", help="where the spec is written")
    config.add_argument("--start", action="store_true", help="train it, in the background")
    command.add_argument("--dry-run", action="store_true", help="only check it, and print its spec and what it costs")
    command.add_argument("--print-spec", action="store_true", help="only print its spec")
    command.set_defaults(lines=False)
    command.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="COMMAND", help="home-llm's own: python3 train.py --run_name ..."
    )


def from_file(options: argparse.Namespace) -> Imported:
    """A configuration's spec, written to --out. Raises SpecError, RunFolderError."""
    found = import_config(Path(options.config))
    _warn(found)
    if options.out is None:
        return found
    try:
        Path(options.out).write_text(found.spec.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"The spec cannot be written to {options.out}: {error.strerror}.") from error
    return replace(found, command=run_command(options.out))


def from_words(options: argparse.Namespace) -> Imported:
    """The spec of home-llm's command line. Raises SpecError."""
    found = import_command(options.words)
    _warn(found)
    return found


def text_of(found: Imported) -> str:
    """A spec's YAML with the command that trains it, as a comment."""
    return f"{found.spec.to_yaml()}# {found.command}"


def _warn(found: Imported) -> None:
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
