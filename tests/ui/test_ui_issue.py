"""What an issue report asks Python for."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from ui.inspect_tab.issue import about_issue
from ui.inspect_tab.links import ViewState, encode_link

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def asked(strategy: str = "", options: str = "", **state: Any) -> dict[str, Any]:
    """The answer for a view of the embedded model."""
    view = ViewState(**{"model": "tiny-chat", "conversation": json.dumps(CHAT), **state})
    return about_issue({"link": encode_link(view), "strategy": strategy, "options": options})


def test_versions_are_those_of_trl_env() -> None:
    """Its names, in its order."""
    versions = asked()["versions"]
    assert [name for name, _ in versions[:5]] == [
        "Platform", "Python version", "TRL version", "PyTorch version", "Transformers version",
    ]  # fmt: skip
    assert dict(versions)["Transformers version"] == version("transformers")


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
