"""`maskscope` in a checkout, and what the package asks for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

import inspector
import maskscope
from inspector.errors import ModelNameError
from maskscope.__main__ import main
from maskscope.wheel import ROOT
from maskscope.wheel.metadata import EXTRAS, LISTS, requirements

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def test_the_public_names_are_the_inspectors_and_a_few_more() -> None:
    """The very same objects."""
    assert set(maskscope.__all__) - set(inspector.__all__) == {
        "AuditReport", "Comparison", "MaskscopeCallback", "Report", "audit", "check", "compare", "watch",
    }  # fmt: skip
    assert all(getattr(maskscope, name) is getattr(inspector, name) for name in inspector.__all__)
    assert set(maskscope.__all__) <= set(dir(maskscope))
    with pytest.raises(AttributeError, match="module 'maskscope' has no attribute 'inspects'"):
        _ = maskscope.inspects
    with pytest.raises(AttributeError, match="module 'inspector' has no attribute 'inspects'"):
        _ = inspector.inspects
    assert set(inspector.__all__) <= set(dir(inspector))


def test_an_audit_is_one_call() -> None:
    """Columns, a strategy with its options and modifiers are given by name."""
    model, path = maskscope.load("tiny-chat"), str(ROOT / "examples" / "data" / "mapped-columns.tsv")
    report = maskscope.audit(
        model, path, "responses_only", {"max_length": 12}, mapping={"question": "ask", "answer": "reply"}, limit=2,
        response_part="<|im_start|>assistant\n", instruction_part="<|im_start|>user\n",
    )  # fmt: skip
    assert (report.rows, report.about["strategy"]) == (2, "responses_only")
    assert report.about["options"]["response_part"] == "<|im_start|>assistant\n"
    assert report.about["modifiers"] == {"max_length": 12}
    assert isinstance(report, maskscope.AuditReport)
    assert isinstance(maskscope.compare(model, CHAT), maskscope.Comparison)
    with pytest.raises(ModelNameError):
        maskscope.load("")


def test_the_documents_code_runs() -> None:
    """The python block of docs/package.md, in the checkout's folder."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "package.md").read_text(), re.DOTALL | re.MULTILINE
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_importing_it_imports_nothing_else() -> None:
    """A script pays for what it asks for."""
    text = "import sys, maskscope; print([n for n in sys.modules if n.split('.')[0] in ('inspector', 'json', 'torch')])"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_one_command_has_them_all(capfd: pytest.CaptureFixture[str]) -> None:
    """The inspector's by their names, runs under `train`, the page as `app`."""
    assert main(["audit", "tiny-chat", str(ROOT / "examples" / "data" / "messages.jsonl"), "--limit", "1"]) == 0
    assert "1 of 1 row inspected" in capfd.readouterr().out
    assert main(["inspect", "tiny-chat", "nowhere.json"]) == 2
    for words, usage in (
        (["--help"], "usage: maskscope [-h]"),
        (["train", "--help"], "usage: python -m training "),
        (["train", "run", "--help"], "usage: python -m training run "),
        (["app", "--help"], "usage: maskscope app [-h] [--host HOST]"),
    ):
        with pytest.raises(SystemExit, match="0"):
            main(words)
        assert capfd.readouterr().out.startswith(usage)


@pytest.mark.parametrize(("extra", "package"), [("app", "gradio"), ("train", "psutil")])
def test_a_missing_package_is_named(extra: str, package: str) -> None:
    """With what installs it in a checkout."""
    text = (
        f"import sys; sys.modules[{package!r}] = None; from maskscope.__main__ import main; sys.exit(main([{extra!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, check=False)
    message = f"error: `maskscope {extra}` needs {package}, which is not installed: pip install -r requirements.txt\n"
    assert (done.returncode, done.stderr) == (2, message)


# --- what the package asks for


def test_every_requirement_says_which_part_needs_it() -> None:
    """Those of the app all do; each of what the parts ask for holds for the version that the tests run with."""
    lines = [line for line in (ROOT / LISTS[0]).read_text().splitlines() if line and not line.startswith("#")]
    for line in lines:
        assert list(requirements(line)), f"no brackets: {line}"
    asked = [wanted for name in LISTS for wanted in requirements((ROOT / name).read_text())]
    assert {part for part, _ in asked} == {"base", *EXTRAS}
    pinned = {re.split(r"[=\[]", line)[0]: line for name in LISTS for line in (ROOT / name).read_text().splitlines()}
    for _, text in asked:
        wanted = Requirement(text)
        if wanted.marker is None:
            found = re.search(r"==([\d.]+)", pinned[wanted.name])
            assert found is not None
            assert wanted.specifier.contains(found[1])
    assert not {Requirement(text).name for part, text in asked if part == "base"} & {"torch", "gradio", "trl", "peft"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trl==1.16.0    # [train] the trainers", [("train", "trl>=1.16,<2")]),
        ("peft==0.21.2   # [app, train] LoRA", [("app", "peft>=0.21,<1"), ("train", "peft>=0.21,<1")]),
        ("a-b==5.23.0    # [base from 5.22] why", [("base", "a-b>=5.22,<6")]),
        ('torch==2.1; python_version == "3.12"  # [train] x', [("train", 'torch>=2.1,<3; python_version == "3.12"')]),
        ("ray[data]==2.60.0  # [ray] a cluster", [("ray", "ray[data]>=2.60,<3")]),
        ("pytest==9.2.0      # runs [all] tests", []),
        ("# torch==2.1  # [train] not a requirement", []),
    ],
)
def test_a_line_becomes_what_the_parts_ask_for(line: str, expected: list[tuple[str, str]]) -> None:
    """From the minor version that is tested, or the one that `from` names, to below the next major one."""
    assert list(requirements(line)) == expected
