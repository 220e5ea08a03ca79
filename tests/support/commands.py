"""`python -m inspector` called in this process: a fixture for tests of what the commands print.

conftest.py makes it known. That the entry point, pipes, colours and the exit status reach a shell is test_cli's.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: object
    stdout: str
    stderr: str


Called = Callable[..., Done]


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """A function that runs a command in an empty folder; the libraries are imported once for all tests."""
    from inspector.__main__ import main

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, text: str | None = None) -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        capsys.readouterr()
        try:
            status: object = main(arguments)
        except SystemExit as stop:  # argparse's way out
            status = stop.code
        return Done(status, *capsys.readouterr())

    return command
