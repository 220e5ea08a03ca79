"""SARIF, JUnit's XML, the command for hooks, and the files that hosts read: each as its reader takes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from inspector.ci.places import place_of
from inspector.findings.codes import Code
from tests.support.commands import Called

ROOT = Path(__file__).parents[3]
GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there, friend."}]}
EMPTY = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A good row, one with an empty answer, and a line that is not JSON; in a folder whose name needs quoting."""
    folder = tmp_path / "my data"
    folder.mkdir()
    path = folder / "chats.jsonl"
    path.write_text("\n".join([json.dumps(GOOD), json.dumps(EMPTY), "not json"]) + "\n")
    return path


def test_sarif_names_the_lines(called: Called, rows: Path, tmp_path: Path) -> None:
    """Each result has a rule that is described, a file relative to what was named, and its line."""
    out = tmp_path / "out.sarif"
    result = called("audit", "tiny-chat", str(rows), "--sarif", str(out))
    assert result.returncode == 1
    (run,) = json.loads(out.read_text())["runs"]
    described = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert described == {one["ruleId"] for one in run["results"]}
    assert all(rule["fullDescription"]["text"] for rule in run["tool"]["driver"]["rules"])
    places = {
        one["ruleId"]: (
            one["level"],
            one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            one["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for one in run["results"]
    }
    uri = str(rows).replace(" ", "%20")
    assert places["only_stop_trained"] == ("warning", uri, 2)
    assert places["row_unusable"] == ("error", uri, 3)


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("data/chats.jsonl", "chats.jsonl, line 7", ("data/chats.jsonl", 7)),
        ("data", "part/chats.jsonl, line 7", ("data/part/chats.jsonl", 7)),
        ("data/chats.parquet", "chats.parquet, row 7", ("data/chats.parquet", 1)),
        ("data/chats.jsonl", "", ("data/chats.jsonl", 1)),
        ("./data/chats.jsonl", "chats.jsonl, line 7", ("data/chats.jsonl", 7)),
        ("./data/chats.jsonl", "", ("data/chats.jsonl", 1)),
    ],
)
def test_a_place_is_a_file_and_a_line(name: str, place: str, expected: tuple[str, int]) -> None:
    """The file as the data set was named; rows without lines stand at the first."""
    assert place_of({"data": [{"name": name}]}, place) == expected


@pytest.mark.parametrize(("level", "failed"), [("error", 1), ("warning", 3), ("only_stop_trained", 1), ("never", 0)])
def test_junit_has_a_test_for_each_finding(called: Called, rows: Path, tmp_path: Path, level: str, failed: int) -> None:
    """A test a code; those at the level fail, others say what they found."""
    out = tmp_path / "out.xml"
    called("audit", "tiny-chat", str(rows), "--fail-on", level, "--junit", str(out))
    suite = ElementTree.fromstring(out.read_text())
    assert {case.get("name") for case in suite} == {"rows_can_be_used", *(code.value for code in Code)}
    assert int(suite.get("failures", "")) == len(suite.findall(".//failure")) == failed
    (case,) = (one for one in suite if one.get("name") == "only_stop_trained")
    assert "chats.jsonl, line 2" in "".join(case.itertext())


def test_each_file_is_audited_by_itself(called: Called, rows: Path, tmp_path: Path) -> None:
    """One that cannot be read stops none of the others; the worst status counts, and no file is fine."""
    good = tmp_path / "good.jsonl"
    good.write_text(json.dumps(GOOD) + "\n")
    assert called("audit-each", "tiny-chat", str(good)).returncode == 0
    assert called("audit-each", "tiny-chat", str(good), str(rows)).returncode == 1
    result = called("audit-each", "tiny-chat", str(tmp_path / "none.jsonl"), str(rows))
    assert result.returncode == 2
    assert "none.jsonl" in result.stderr
    assert "only_stop_trained" in result.stdout
    assert called("audit-each", "tiny-chat").returncode == 0


@pytest.fixture
def shim(tmp_path: Path) -> dict[str, str]:
    """An environment in which `maskscope` is this checkout's command."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "maskscope"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m inspector "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_the_hook_fails_a_commit(rows: Path, shim: dict[str, str]) -> None:
    """pre-commit runs the entry with its args and then the files that match."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert re.search(hook["files"], rows.name)
    assert not re.search(hook["files"], "README.md")
    docs = (ROOT / "docs" / "check.md").read_text()
    (documented,) = re.findall(r"id: maskscope-audit\n +args: \[[^,]+, (.+)\]", docs)
    for more in ([], documented.split(", ")):
        command = [*hook["entry"].split(), "tiny-chat", *more, str(rows)]
        done = subprocess.run(command, env=shim, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "chats.jsonl, line 3" in done.stdout


def test_an_unknown_option_is_no_file(called: Called, rows: Path) -> None:
    """Files may stand after options; what an unknown option is given is not taken for one."""
    result = called("audit-each", "tiny-chat", "--colour", "red", str(rows))
    assert result.returncode == 2
    assert "unrecognized arguments: --colour" in result.stderr


def _values(text: str, inputs: dict[str, Any]) -> str:
    return re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: str(inputs[found[1]]), text)


@pytest.mark.parametrize(("level", "status"), [("error", 1), ("never", 0)])
def test_the_action_audits(rows: Path, shim: dict[str, str], tmp_path: Path, level: str, status: int) -> None:
    """Its step, run as a runner does: inputs come by the environment, the report goes into the summary."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {"model": "tiny-chat", "data": str(rows), "fail-on": level, "arguments": "--limit 3 --workers 1"}
    inputs = {name: given.get(name, one.get("default")) for name, one in action["inputs"].items()}
    (step,) = (one for one in action["runs"]["steps"] if one.get("name") == "Audit")
    summary = tmp_path / "summary.md"
    environment = {name: _values(text, inputs) for name, text in step["env"].items()}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**shim, **environment, "GITHUB_STEP_SUMMARY": str(summary)},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "only_stop_trained" in done.stdout
    assert "only_stop_trained" in summary.read_text()
    assert json.loads((tmp_path / "maskscope.sarif").read_text())["runs"]


def test_the_skill_names_commands_that_exist() -> None:
    """Each command of the skill is one of the command line's, and its options exist."""
    text = (ROOT / "skills" / "maskscope" / "SKILL.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head["name"] == "maskscope"
    assert len(head["description"]) <= 1024
    from inspector.__main__ import build_parser

    commands = build_parser("maskscope")[1].choices
    used = re.findall(r"maskscope ([a-z-]+)([^`\n]*)", text)
    for name, rest in used:
        known = {option for action in commands[name]._actions for option in action.option_strings}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, name
    assert {name for name, _ in used} == {"audit", "inspect", "compare", "export", "markers", "decode"}
