"""A run's manifest: one typed value, which opens what other versions wrote and loses none of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.training_runs import ROOT, ended, go_on, wait_for
from training.__main__ import main
from training.errors import RunFolderError
from training.run.folder import Phase, RunDir
from training.run.manifest import Manifest, change_manifest, read_manifest

STORED = ROOT / "tests" / "data" / "stored_run"
"""A run of tiny-chat that was stopped after a step, as an earlier version wrote it."""


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A copy of the stored run, with fields that this version does not know."""
    monkeypatch.chdir(ROOT)
    shutil.copytree(STORED, tmp_path / "stored")
    run = RunDir.open(tmp_path / "stored")
    written = json.loads(run.manifest_file.read_text(encoding="utf-8"))
    written |= {"of_another_version": {"a": [1, None]}, "proof": {**written["proof"], "seconds": 0.5}}
    run.manifest_file.write_text(json.dumps(written), encoding="utf-8")
    return run


def test_stored_run_opens_and_shows(stored: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` prints its proof, and `--json` the manifest as it was written."""
    written = json.loads(stored.manifest_file.read_text(encoding="utf-8"))
    assert stored.manifest() == written
    assert main(["show", str(stored.path)]) == 0
    assert written["proof"]["sentence"] in capsys.readouterr().out
    assert main(["show", str(stored.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"] == written


def test_stored_run_resumes(stored: RunDir) -> None:
    """It trains the rows that it has, proves them, and keeps what another version wrote."""
    before = stored.manifest()
    go_on(stored)
    assert wait_for(stored, ended).phase is Phase.SUCCEEDED, stored.log_tail()
    after = stored.manifest()
    assert after["proof"]["rows"] == 12
    changed = {"proof", "precision"}
    assert {n: v for n, v in after.items() if n not in changed} == {n: v for n, v in before.items() if n not in changed}


def test_a_change_keeps_the_other_facts(stored: RunDir) -> None:
    """Also facts inside a known field."""
    before = stored.manifest()
    stored.record(precision="bf16")
    assert stored.manifest() == before | {"precision": "bf16"}


def test_notes_before_the_rows_do_not_count_as_rows(tmp_path: Path) -> None:
    """A manifest that holds only a note describes no rows yet."""
    path = tmp_path / "manifest.json"
    assert read_manifest(path) == Manifest()
    assert not change_manifest(path, notes=["no GPU"]).is_prepared
    assert change_manifest(path, rows=3).is_prepared
    assert json.loads(path.read_text(encoding="utf-8")) == {"rows": 3, "notes": ["no GPU"]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"rows": "12"}', "rows: Input should be a valid integer"),
        ('{"rows": ', "Expecting value"),
        ("[1]", "the whole:"),
    ],
)
def test_damaged_manifest_is_named(tmp_path: Path, text: str, what: str) -> None:
    """The error names the file and the field."""
    path = tmp_path / "manifest.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError, match=what) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
