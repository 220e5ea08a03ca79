"""What an issue report asks Python for."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

from inspector.paths import ROOT
from ui.inspect_tab.issue import about_issue, accelerate_config, accelerators
from ui.inspect_tab.links import ViewState, encode_link

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def asked(strategy: str = "", options: str = "", **state: Any) -> dict[str, Any]:
    """The answer for a view of the embedded model."""
    view = ViewState(**{"model": "tiny-chat", "conversation": json.dumps(CHAT), **state})
    return about_issue({"link": encode_link(view), "strategy": strategy, "options": options})


def test_versions_are_those_of_trl_env() -> None:
    """Its names, in its order, read from its own code; after them what decides about tokens and text."""
    versions = asked()["versions"]
    source = Path(str(distribution("trl").locate_file("trl/scripts/env.py"))).read_text(encoding="utf-8")
    info = next(node.value for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict))  # fmt: skip
    theirs = [key.value for key in info.keys if isinstance(key, ast.Constant)]
    assert "accelerator(s)" in theirs
    assert [name for name, _ in versions] == [*theirs, "Tokenizers version", "Jinja2 version"]
    assert dict(versions)["Transformers version"] == version("transformers")
    assert dict(versions)["accelerator(s)"] == accelerators(version("torch"))


@pytest.mark.parametrize(
    ("torch", "lists", "said"),
    [
        ("2.13.0+cpu", "NVIDIA H200", "cpu"),
        ("2.13.0", "NVIDIA H200\nNVIDIA H200", "NVIDIA H200, NVIDIA H200 (listed by nvidia-smi)"),
        ("2.13.0+cu129", "", "unknown here"),
        ("2.13.0", None, "unknown here"),
        ("not installed", "NVIDIA H200", "unknown here"),
    ],
)
def test_accelerators_are_named_where_they_are_known(
    torch: str, lists: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch's build, or by a driver that answers: None is one that fails. Nothing is guessed."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + ("exit 9" if lists is None else f"printf '%s\\n' '{lists}'"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert accelerators(torch) == said


def test_without_a_driver_accelerators_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nobody to ask."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert accelerators("2.13.0") == "unknown here"


def test_the_accelerate_config_is_listed_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, as `trl env` lists it; what cannot be read is unknown, and visitors are not shown it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert accelerate_config() == "not found"
    file = tmp_path / "accelerate" / "default_config.yaml"
    file.parent.mkdir()
    file.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\ngpu_ids: null\nuse_cpu: false\n")
    assert accelerate_config() == "\n  - distributed_type: MULTI_GPU\n  - num_processes: 2\n  - use_cpu: False"
    for damaged in ("a: [", "a list", "a: 2001-99-99"):
        file.write_text(damaged)
        assert accelerate_config() == "unknown here"
    file.write_bytes(b"\xff")
    assert accelerate_config() == "unknown here"
    file.write_text("main_process_ip: 10.0.0.1")
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    assert accelerate_config() == "unknown here"


def test_the_report_needs_no_torch() -> None:
    """Asking for versions leaves it out of the page's process."""
    script = "import sys; from ui.inspect_tab.issue import about_issue; about_issue({}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_the_script_is_about_the_trainer_shown() -> None:
    """The one chosen in the comparison; without one the one of the view."""
    assert "assistant_only_loss" in asked("trl_assistant_only")["script"]
    assert "return_assistant_tokens_mask" in asked("generation_tags")["script"]
    own = ViewState(model="tiny-chat", conversation=json.dumps(CHAT), strategy="full")
    assert "SFTTrainer" in about_issue({"link": encode_link(own)})["script"]
    assert asked()["script"] == asked()["why"] == ""
    assert "Unsloth" in asked("responses_only", json.dumps({"instruction_part": "a", "response_part": "b"}))["why"]


def test_why_there_is_no_script_is_said() -> None:
    """A view without a link, a damaged one, a conversation that cannot be used."""
    assert about_issue({"link": ""})["why"] == "this view is too long for a link, from which the script is made"
    assert about_issue({"link": "x"})["why"].startswith("The link is damaged")
    assert about_issue({})["script"] == ""
    assert about_issue([1])["script"] == ""  # type: ignore[arg-type]
    assert "strategy" in asked(["full"])["why"]  # type: ignore[arg-type]
    assert asked("full", "[")["why"]
    assert "no strategy 'none'" in asked("none")["why"]
    assert "has no `role`" in asked("full", conversation='[{"content": "a"}]')["why"]


def test_visitors_name_no_folder_of_this_machine(monkeypatch: Any) -> None:
    """Nor by this way."""
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    assert asked("full", model="/etc")["why"].startswith("Folders of this machine are not open to visitors.")
