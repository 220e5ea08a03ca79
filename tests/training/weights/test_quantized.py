"""LoRA on 4-bit and 8-bit weights, end to end on the CPU, where bitsandbytes computes them slowly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from tests.support.training_runs import ROOT, run_here
from training.run.folder import Phase
from training.spec import parse_spec
from training.spec.checks import check

PAIRS = str(ROOT / "examples" / "data" / "preference.jsonl")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The kinds of linear layers of each model that a run loads."""
    from training.trainer import fit

    kinds: list[set[str]] = []
    made = fit.load_weights

    def spied(*given: Any) -> Any:
        weights = made(*given)
        kinds.append({type(part).__name__ for part in weights.modules() if "Linear" in type(part).__name__})
        return weights

    monkeypatch.setattr(fit, "load_weights", spied)
    return kinds


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize(("bits", "layer"), [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_it_trains_what_it_showed(tmp_path: Path, loaded: list[set[str]], bits: str, layer: str, method: str) -> None:
    """The weights are quantized, the loss falls, the proof holds, and the adapter is there."""
    data = {"data": PAIRS} if method == "dpo" else {}
    run = run_here(tmp_path, device="cpu", quantization=bits, method=method, max_steps=16, **data)
    status = run.status()
    assert (status.phase, status.error) == (Phase.SUCCEEDED, None)
    assert [layer in kinds for kinds in loaded] == [True]
    metrics = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in metrics if "loss" in entry]
    assert min(losses[-4:]) < losses[0]
    assert (run.path / "adapter" / "adapter_model.safetensors").is_file()
    proof = json.loads((run.path / "manifest.json").read_text())["proof"]
    assert "identical to the inspector's, id by id and label by label" in proof["sentence"]


def test_its_speed_is_said() -> None:
    """On the CPU it saves memory and no time."""
    spec = parse_spec({"model": "tiny-chat", "data": "rows.jsonl", "quantization": "4bit", "device": "cpu"})
    (warning,) = check(spec)
    assert "4bit weights train slowly on the CPU." in str(warning)


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a CUDA device")
def test_a_machine_without_a_card_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`make gpu` ends with status 2, and names what runs here."""
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "There is no CUDA device here; --device cpu does the same" in capsys.readouterr().err


def test_every_method_is_tried_in_each_precision_that_it_takes() -> None:
    """A reward model is not quantized."""
    tried = [spec["name"] for spec in gpu.specs("cpu", 4)]
    assert len(tried) == 5 * 4 - 2
    assert not {"reward 4bit", "reward 8bit"} & set(tried)
