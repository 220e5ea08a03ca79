"""What a run is said to cost is counted on the model's own shape, and beside what the course measured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import HANG_S
from training import estimate as estimate_module
from training.errors import DeviceError
from training.estimate import Estimate, estimate, measured_rate
from training.launch import idle
from training.spec import RunSpec, parse_spec
from training.weights.load import device_of, load_weights, lora_config, module_groups, target_modules

ROOT = Path(__file__).parents[2]


def spec_of(model: str, **fields: Any) -> RunSpec:
    """A spec with these fields."""
    return parse_spec({"model": model, "data": "x.csv", "device": "cpu", **fields})


@pytest.fixture(scope="module")
def pythia(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shape of EleutherAI/pythia-70m, which the course trains; no weights."""
    from transformers import GPTNeoXConfig

    folder = tmp_path_factory.mktemp("pythia")
    GPTNeoXConfig(
        vocab_size=50304, hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048,
        max_position_embeddings=2048,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def test_course_figures(pythia: str) -> None:
    """2,195.667812352 GFLOPs for 4 accumulated rows of 2,048 tokens; 0.3069 GB, of which 25.2 MB were attention masks.

    Models no longer keep those masks: 6 layers of 2,048 x 2,048 bytes, and 8 bytes a layer and mask value beside them.
    """
    found = estimate(
        spec_of(pythia, lora=False, max_length=2048, micro_batch=1, accumulation=4, max_steps=3),
        100,
        2048,
        measure=False,
    )
    assert found.flops_per_step == 2195.667812352e9
    assert found.parameters == found.trainable == 70_426_624
    masks = 6 * 2048 * 2048
    assert found.parts["weights"] == found.parameters * 4
    assert abs(found.parts["weights"] + masks - 0.306872568e9) < 2_000
    assert (found.steps, found.flops) == (3, 3 * found.flops_per_step)


def test_parameters_are_those_of_the_run() -> None:
    """Counted on meta tensors, and on the real model with its matrices."""
    from peft import get_peft_model

    import inspector

    spec = spec_of("tiny-chat", lora={"rank": 8})
    assert spec.lora is not None
    weights = load_weights(spec, inspector.load("tiny-chat"))
    adapted = get_peft_model(weights, lora_config(spec, weights))
    trainable, total = adapted.get_nb_trainable_parameters()
    found = estimate(spec, 10, 30.0, measure=False)
    assert (found.trainable, found.parameters) == (trainable, total - trainable)


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ("all-linear", "all-linear"),
        ("attention", ["k_proj", "o_proj", "q_proj", "v_proj"]),
        (["mlp"], ["down_proj", "gate_proj", "up_proj"]),
        (["attention", "up_proj"], ["k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]),
    ],
)
def test_modules_are_the_models_own(modules: Any, expected: Any) -> None:
    """Groups by what layers do, or layers by name."""
    import inspector

    weights = load_weights(spec_of("tiny-chat"), inspector.load("tiny-chat"))
    assert target_modules(modules, weights) == expected
    assert module_groups(weights)["embeddings"] == ["embed_tokens", "lm_head"]
    with pytest.raises(ValueError, match=r"the model has no layers 'fc1'. It has attention: "):
        target_modules("fc1", weights)


def test_phi_and_neox_have_other_names(pythia: str) -> None:
    """As the first seed lists them: fc1, fc2 and dense; and query_key_value."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, PhiConfig

    with torch.device("meta"):
        phi = AutoModelForCausalLM.from_config(PhiConfig(hidden_size=64, num_hidden_layers=1, num_attention_heads=4))
        neox = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(pythia))
    assert module_groups(phi)["mlp"] == ["fc1", "fc2"]
    assert module_groups(phi)["attention"] == ["dense", "k_proj", "q_proj", "v_proj"]
    assert module_groups(neox)["attention"] == ["dense", "query_key_value"]


def test_what_does_not_fit_gets_a_suggestion(monkeypatch: pytest.MonkeyPatch, pythia: str) -> None:
    """Smaller steps of the same batch; and nothing when even one row is too much."""
    spec = spec_of(pythia, micro_batch=16, max_length=2048)

    def with_memory(size: float) -> Estimate:
        monkeypatch.setattr("training.estimate.device_memory", lambda device: int(size))
        return estimate(spec, 100, 2048, measure=False)

    assert with_memory(1e12).fits is True
    tight = with_memory(6e9)
    assert tight.fits is False
    assert tight.suggestion is not None
    changed = parse_spec({**spec.model_dump(mode="json"), **tight.suggestion})
    assert changed.micro_batch * changed.accumulation == 16
    assert estimate(changed, 100, 2048, measure=False).fits is True
    assert any(line.startswith("That does not fit. This does: micro_batch") for line in tight.lines())
    assert with_memory(1e6).suggestion is None


def test_methods_cost_what_they_compute() -> None:
    """Both answers of a pair; a pass of the reference without gradients, three in kto; no logits of a reward model."""
    plain = estimate(spec_of("tiny-chat"), 100, 100, measure=False)
    per_token = plain.flops_per_step / plain.tokens_per_step
    outside = (6.0 * plain.trainable - per_token) / -4.0  # LoRA: 4 for each frozen weight, 6 for each that trains

    def added(**fields: Any) -> float:
        found = estimate(spec_of("tiny-chat", **fields), 100, 100, measure=False)
        return round((found.flops_per_step / found.tokens_per_step - per_token) / (2.0 * outside), 6)

    assert added(method="dpo") == 1
    assert added(method="dpo", preference={"precompute": True}) == 0
    assert added(method="orpo") == 0
    assert added(method="kto") == 3
    assert added(method="kto", preference={"loss": "apo_zero_unpaired"}) == 1
    pair = estimate(spec_of("tiny-chat", method="orpo"), 100, 200, measure=False)
    assert (pair.tokens_per_step, pair.parts["logits"]) == (4 * 200, 2 * plain.parts["logits"])
    whole = estimate(spec_of("tiny-chat", method="dpo", lora=False), 100, 200, measure=False)
    assert whole.parts["reference"] == whole.parts["weights"]
    assert "reference" not in estimate(spec_of("tiny-chat", method="dpo"), 100, 200, measure=False).parts
    judge = estimate(spec_of("tiny-chat", method="reward"), 100, 200, measure=False)
    assert judge.parts["logits"] == 0
    assert judge.trainable > plain.trainable  # the head that gives the number


def test_time_is_by_a_measured_rate() -> None:
    """Faster than nothing, slower than anything."""
    rate = measured_rate("cpu", "fp32", 0.05)
    assert 1e8 < rate < 1e16
    found = estimate(spec_of("tiny-chat", max_steps=10), 100, 50)
    assert found.seconds is not None
    assert found.flops_per_second is not None
    assert found.seconds > found.flops / found.flops_per_second


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a CUDA device")
def test_device_that_is_not_there() -> None:
    """Each wish with what to do."""
    with pytest.raises(DeviceError, match="this machine has no CUDA device: set device: auto"):
        device_of(spec_of("tiny-chat", device="cuda"))
    with pytest.raises(DeviceError, match=r"4bit weights need a CUDA device to be fast .* device: cpu to train"):
        device_of(spec_of("tiny-chat", device="auto", quantization="4bit"))
    with pytest.raises(DeviceError, match="fp16 training needs a CUDA device"):
        device_of(spec_of("tiny-chat", device="auto", precision="fp16"))


def test_estimate_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over the very rows; what cannot be read ends with status 2."""
    from training.__main__ import main

    data = ROOT / "examples" / "data" / "question-answer.csv"
    (tmp_path / "spec.yaml").write_text(f"model: tiny-chat\ndata: {data}\nmax_steps: 5\n")
    assert main(["estimate", str(tmp_path / "spec.yaml"), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["rows"], plan["steps"], plan["device"]) == (12, 5, plan["device"])
    assert plan["memory"] == sum(plan["parts"].values())
    untrained = (str(ROOT / "examples/data/text.jsonl"), "no row of it has a trained token")
    for text, said in (("x.csv", "There is no file"), untrained):
        (tmp_path / "spec.yaml").write_text(f"model: tiny-chat\ndata: {text}\n")
        assert main(["estimate", str(tmp_path / "spec.yaml")]) == 2
        assert said in capsys.readouterr().err


def test_a_process_costs_what_it_needs_at_the_least(tmp_path: Path) -> None:
    """A small run is said to need what a worker holds before it has a model, and the time of its start, in words."""
    import psutil

    worker = subprocess.Popen(
        [*idle.command(), "--idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=idle.worker_environment(), cwd=tmp_path,
    )  # fmt: skip
    try:
        assert worker.stdout is not None
        assert worker.stdout.read(len(idle.READY)) == idle.READY
        needs = psutil.Process(worker.pid).memory_info().rss
    finally:
        worker.communicate(timeout=HANG_S)
    found = estimate(spec_of("tiny-chat", max_steps=2), 4, 20)
    assert 0.6 * needs < found.parts["process"] < 1.6 * needs
    assert found.memory >= sum(found.parts.values())
    text = "\n".join(found.lines())
    assert "process 500.0 MB" in text
    assert "time under a minute, about 10 s of it until the process has started" in text
    assert "process" not in estimate_module._memory(
        spec_of("tiny-chat"), *_shape_of("tiny-chat"), trained=1, precision="bf16", device="cuda"
    )


def _shape_of(name: str) -> tuple[Any, int]:
    """What `_memory` takes of a model: its configuration, and how many parameters it has."""
    weights, config = estimate_module._shape(spec_of(name))
    return config, weights.num_parameters()
