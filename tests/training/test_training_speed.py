"""Faster steps are the same steps: loss, gradients and figures beside plain trl's, on the real code path."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Cohere2Config,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
)

import inspector
from inspector.conversation import Conversation
from training.errors import LabelsDifferError, SpecError
from training.planner import plan
from training.rows.prepare import PreparedRow
from training.rows.written import cut_row, row_hash, write_rows
from training.run.folder import RunDir
from training.spec import RunSpec, SpeedSpec, parse_spec
from training.spec.checks import check
from training.trainer.batches import Batcher, Cost, Layout, PrefixSampler, share, shared_length, shared_mask
from training.trainer.methods.sft import build_trainer, training_arguments
from training.trainer.proof import ProvingCollator, rows_of
from training.trainer.speed import allowed_speed, context_beyond_the_row

VOCABULARY = 300
SIZES = {
    "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": VOCABULARY, "num_attention_heads": 4,
    "intermediate_size": 96, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
OFF = {"cut": False, "head": False, "padding_free": False}
CONVERSATION = Conversation.parse([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])


def model_of(config: PretrainedConfig, attention: str = "sdpa") -> Any:
    """Random weights, always the same, large enough for attention to matter."""
    torch.manual_seed(0)
    config = copy.deepcopy(config)  # trl writes into it
    config.initializer_range = 0.2
    attention = "eager" if config.model_type in ("gemma2", "mamba") else attention
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).float()


def llama(attention: str = "sdpa", **fields: Any) -> Any:
    """A small model of Llama's shape."""
    return model_of(LlamaConfig(**{**SIZES, "tie_word_embeddings": True, **fields}), attention)


def rows_with(prefix: int, count: int = 4, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Rows of unequal length after a common beginning; two spans of each train, and something untrained ends it."""
    rng = random.Random(seed)
    common = [rng.randrange(3, VOCABULARY) for _ in range(prefix)]
    rows = []
    for _ in range(count):
        ids, labels = list(common), [-100] * prefix
        for length, trains in ((rng.randint(2, 6), 0), (rng.randint(1, 4), 1), (3, 0), (rng.randint(1, 5), 1), (5, 0)):
            own = [rng.randrange(3, VOCABULARY) for _ in range(length)]
            ids, labels = ids + own, labels + (own if trains else [-100] * length)
        rows.append((ids, labels))
    return rows


def spec_of(**fields: Any) -> RunSpec:
    """Two micro-batches of four rows a step, on the CPU."""
    return parse_spec(
        {"model": "tiny-chat", "data": "x.csv", "device": "cpu", "learning_rate": 1e-3, "max_steps": 3, "seed": 3,
         "accumulation": 2, "max_length": 128, **fields}
    )  # fmt: skip


def ours(folder: Path, spec: RunSpec, weights: Any, rows: Sequence[Any], held_out: Sequence[Any] = ()) -> Any:
    """The trainer of a run over these rows."""
    run = RunDir.create(folder, spec)
    for path, own in ((run.data, rows), (run.data / "held_out", held_out)):
        prepared = (
            PreparedRow(number=i, input_ids=ids, labels=labels, texts=[], conversation=CONVERSATION)
            for i, (ids, labels) in enumerate(own)
        )
        if own:
            write_rows(path, prepared)
    return build_trainer(spec, run, weights, inspector.load("tiny-chat").tokenizer, [])[0]


def plain(folder: Path, spec: RunSpec, weights: Any, rows: Sequence[Any], held_out: Sequence[Any] = ()) -> Any:
    """trl's own trainer over the same rows, with the same settings."""
    from datasets import Dataset
    from trl import SFTTrainer

    from training.weights.load import lora_config

    data, aside = (Dataset.from_list([{"input_ids": i, "labels": x} for i, x in own]) for own in (rows, held_out))
    return SFTTrainer(
        model=weights,
        args=training_arguments(spec, folder / "plain", evaluates=bool(held_out)),
        train_dataset=data,
        eval_dataset=aside if held_out else None,
        processing_class=inspector.load("tiny-chat").tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights),
    )


def logged(trainer: Any) -> list[dict[str, float]]:
    """What a run logs of each step that has to be equal."""
    trainer.train()
    names = ("loss", "grad_norm", "mean_token_accuracy", "entropy", "eval_loss", "eval_mean_token_accuracy")
    return [{name: line[name] for name in names if name in line} for line in trainer.state.log_history]


def gradients(trainer: Any, rows: Sequence[Any]) -> tuple[float, torch.Tensor]:
    """Loss and all gradients of one micro-batch, as a training step computes them."""
    batch = trainer.data_collator([{"input_ids": ids, "labels": labels} for ids, labels in rows])
    batches, count = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    loss = trainer.training_step(trainer.model, batches[0], count)
    return float(loss), torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


def assert_equal_gradients(found: tuple[float, torch.Tensor], expected: tuple[float, torch.Tensor]) -> None:
    """Within float error."""
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert float((found[1] - expected[1]).norm() / expected[1].norm()) < 1e-5


# --- whole runs


KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "full": {"lora": False, "learning_rate": 1e-4},
    "head saved": {"lora": {"rank": 4, "modules_to_save": ["lm_head"]}},
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, float]]]:
    """What trl logs of a run of some kind."""

    @functools.cache
    def of(kind: str) -> list[dict[str, float]]:
        rows, aside = rows_with(6, 22), rows_with(6, 6, seed=1)
        spec = spec_of(**KINDS[kind], evaluation={"share": 0.1, "every": 2})
        weights = llama(tie_word_embeddings=kind != "head saved")
        return logged(plain(tmp_path_factory.mktemp("plain"), spec, weights, rows, aside))

    return of


@pytest.mark.parametrize(
    ("kind", "speed"),
    [("lora", speed) for speed in (OFF, {**OFF, "cut": True}, {**OFF, "head": True}, {"padding_free": True}, {})]
    + [("full", {}), ("head saved", {})],
)
def test_runs_log_what_trl_logs(tmp_path: Path, expected: Any, kind: str, speed: dict[str, Any]) -> None:
    """Loss, gradient norm, accuracy, entropy and evaluation, over three accumulated steps."""
    rows, aside = rows_with(6, 22), rows_with(6, 6, seed=1)
    spec = spec_of(**KINDS[kind], evaluation={"share": 0.1, "every": 2}, speed=speed)
    found = logged(ours(tmp_path, spec, llama(tie_word_embeddings=kind != "head saved"), rows, aside))
    assert len([line for line in found if "grad_norm" in line]) == 3
    assert any("eval_loss" in line for line in found)
    assert found == [pytest.approx(line, rel=1e-4) for line in expected(kind)]


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SIZES, head_dim=12, final_logit_softcapping=2.0, attn_logit_softcapping=None),
        GraniteConfig(**SIZES, logits_scaling=4.0),
        CohereConfig(**SIZES, logit_scale=0.25),
        GPT2Config(n_embd=48, n_layer=2, n_head=4, vocab_size=VOCABULARY, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
    ],
    ids=lambda config: config.model_type,
)
def test_head_is_the_models_own(tmp_path: Path, config: PretrainedConfig) -> None:
    """Softcapped, scaled, or with learned positions."""
    rows, spec = rows_with(3), spec_of(lora=False, learning_rate=1e-5)
    expected = gradients(plain(tmp_path, spec, model_of(config), rows), rows)
    found = gradients(ours(tmp_path, spec, model_of(config), rows), rows)
    assert_equal_gradients(found, expected)
    config = type(config).from_dict({**config.to_dict(), "final_logit_softcapping": None, "logits_scaling": 1.0,
                                     "logit_scale": 1.0})  # fmt: skip
    if config.model_type != "gpt2":
        assert gradients(ours(tmp_path, spec, model_of(config), rows), rows)[0] != pytest.approx(found[0], rel=1e-3)


def test_head_sees_trained_positions_alone(tmp_path: Path) -> None:
    """As many as there are next tokens that train; and one where there is none."""
    rows, shapes = rows_with(3), []
    trainer = ours(tmp_path, spec_of(speed={"padding_free": False}), llama(), rows)
    trainer.model.get_base_model().register_forward_hook(lambda _, __, out: shapes.append(tuple(out.log_probs.shape)))
    gradients(trainer, rows)
    assert shapes == [(1, sum(label != -100 for _, labels in rows for label in labels))]
    nothing = {"input_ids": torch.ones(1, 4, dtype=torch.long), "labels": torch.full((1, 4), -100),
               "attention_mask": torch.ones(1, 4, dtype=torch.long)}  # fmt: skip
    loss = trainer.compute_loss(trainer.model, nothing, num_items_in_batch=torch.tensor(1))
    loss.backward()
    assert (float(loss), shapes[-1]) == (0.0, (1, 1))


# --- a shared prefix


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_shared_prefix_has_trls_gradients(tmp_path: Path, attention: str, lora: bool) -> None:
    """Computed once, counted for every row."""
    rows = rows_with(60, 6)
    fields = {"lora": lora, "micro_batch": 6, "learning_rate": 1e-5}
    expected = gradients(plain(tmp_path, spec_of(**fields), llama(attention), rows), rows)
    trainer = ours(tmp_path, spec_of(**fields, speed={"shared_prefix": True}), llama(attention), rows)
    batch = trainer.data_collator.collator([{"input_ids": ids, "labels": labels} for ids, labels in rows])
    assert batch["input_ids"].shape[1] == 59 + sum(len(cut_row(*row)[0]) - 59 for row in rows)
    assert_equal_gradients(gradients(trainer, rows), expected)


def test_shared_prefix_trains_whole_runs(tmp_path: Path) -> None:
    """With every row in the micro-batch, in whatever order, what is logged is trl's."""
    rows = rows_with(60, 6)
    fields = {"micro_batch": 6, "accumulation": 1}
    expected = logged(plain(tmp_path, spec_of(**fields), llama(), rows))
    found = logged(ours(tmp_path, spec_of(**fields, speed={"shared_prefix": True}), llama(), rows))
    assert found == [pytest.approx(line, rel=1e-4) for line in expected]


def test_nothing_that_trains_is_shared() -> None:
    """The shared part ends before the first trained token, and before the last common one."""
    first = {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, -100, -100, 8, 9]}
    assert shared_length([first, first]) == 2
    assert shared_length([first, {"input_ids": [5, 6, 4], "labels": [-100, -100, 4]}]) == 1
    assert shared_length([first, {"input_ids": [5, 6, 7], "labels": [5, 6, 7]}]) == 0
    batch = share([first, first])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 2, 3, 4]]
    mask = shared_mask(batch["position_ids"])
    assert mask is not None
    assert [i for i, bit in enumerate(mask[0, 0, 7].tolist()) if bit] == [0, 1, 5, 6, 7]
    assert shared_mask(torch.tensor([[0, 1, 2, 0, 1]])) is None


def test_rows_of_one_beginning_come_together() -> None:
    """Each row once an epoch, in another order; the same order for the same epoch."""
    rows = [[i % 3, i] for i in range(11)]
    sampler = PrefixSampler(rows, 2, seed=0)
    first, again = list(sampler), list(sampler)
    assert sorted(first) == list(range(11))
    assert first == again
    sampler.set_epoch(1)
    assert list(sampler) != first
    together = [rows[a][0] == rows[b][0] for a, b in zip(first[:10:2], first[1:10:2], strict=True)]
    assert sum(together) >= 3


# --- layouts


def test_cheapest_layout_is_taken() -> None:
    """Rows of one length are padded; short unequal ones are not; long ones of a narrow model are, again."""
    wide, narrow = Cost.of(llama(hidden_size=256, intermediate_size=1024)), Cost.of(llama())

    def layout(cost: Cost, lengths: Sequence[int], **options: Any) -> Layout:
        rows = [{"input_ids": [i] * n, "labels": [i] * n} for i, n in enumerate(lengths)]
        return Batcher(padded=None, cost=cost, **{"padding_free": "auto", **options}).layout(rows)

    assert layout(wide, [40, 40, 40]) is Layout.PADDED
    assert layout(wide, [10, 40, 100]) is Layout.PADDING_FREE
    assert layout(narrow, [900] * 4 + [1000] * 4) is Layout.PADDED
    assert layout(narrow, [900] * 4 + [1000] * 4, padding_free=True) is Layout.PADDING_FREE
    assert layout(wide, [10, 40, 100], padding_free=False) is Layout.PADDED


@pytest.mark.parametrize("layout", [{}, {"padding_free": True}, {"shared_prefix": True}], ids=str)
def test_proof_rebuilds_the_rows(tmp_path: Path, layout: dict[str, Any]) -> None:
    """From a batch of any layout; a row in which one id or label is another is refused."""
    rows = rows_with(30)
    padded = ours(tmp_path, spec_of(), llama(), rows).eval_collator.collator.padded
    batcher = Batcher(padded=padded, cost=Cost(token=1.0, pair=0.0), **layout)
    features = [{"input_ids": ids, "labels": labels} for ids, labels in rows]
    assert rows_of(batcher(features)) == [cut_row(*row) for row in rows]
    shown = {row_hash(*cut_row(*row)): (len(row[0]), sum(x != -100 for x in row[1])) for row in rows}
    proof = ProvingCollator(batcher, shown)
    proof(features)
    assert proof.tokens == sum(len(ids) for ids, _ in rows)
    assert proof.sentence().endswith("label by label, each row cut after its last trained token.")
    for name in ("input_ids", "labels"):
        changed = [{**row, name: list(row[name])} for row in features]
        place = next(i for i, label in enumerate(changed[2]["labels"]) if label != -100)
        changed[2][name][place] += 1
        with pytest.raises(LabelsDifferError, match="does not match any row shown by the inspector"):
            proof(changed)


@pytest.mark.parametrize("first_trains", [False, True])
@pytest.mark.parametrize(
    "fields",
    [{"packing": True}, {"speed": {"padding_free": True}}, {"speed": {"padding_free": False}}],
    ids=["packed", "free", "padded"],
)
def test_trainer_counts_what_was_proven(tmp_path: Path, fields: dict[str, Any], first_trains: bool) -> None:
    """Also where a row's first token trains, which nothing predicts; a label lost on the way ends the run."""
    rows = [([7, *ids], [7 if first_trains else -100, *labels]) for ids, labels in rows_with(5, 8)]
    trainer = ours(tmp_path, spec_of(**fields), llama(), rows)
    assert len([line for line in logged(trainer) if "grad_norm" in line]) == 3
    batch = next(iter(trainer.get_train_dataloader()))
    places = (batch["labels"] != -100).nonzero().tolist()
    batch["labels"][tuple(places[-1])] = -100
    with pytest.raises(LabelsDifferError, match=r"The trainer counts \d+ trained tokens in this step, and \d+ were"):
        trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))


# --- models for which it would not be the same


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: model_of(MistralConfig(**SIZES, sliding_window=16)), "sliding_window is 16"),
        (lambda: model_of(Cohere2Config(**SIZES, sliding_window=8)), "sliding_window is 8"),
        (
            lambda: model_of(MambaConfig(hidden_size=32, num_hidden_layers=1, vocab_size=50, state_size=4)),
            "changes what",
        ),
        (lambda: model_of(MixtralConfig(**SIZES, num_local_experts=2)), "router's loss"),
    ],
    ids=["mistral", "cohere2", "mamba", "mixtral"],
)
def test_shared_prefix_is_refused_where_it_differs(make: Callable[[], Any], said: str) -> None:
    """By the window, by what a probe of the model finds, or by what else it learns."""
    with pytest.raises(SpecError, match=rf"speed\.shared_prefix: is not exact here: .*{said}"):
        allowed_speed(SpeedSpec(shared_prefix=True), make(), 128)


def test_speed_is_kept_where_it_is_exact() -> None:
    """A wide window, or none; and the model's mode is as it was."""
    asked = SpeedSpec(shared_prefix=True, padding_free=True)
    weights = model_of(MistralConfig(**SIZES, sliding_window=4096)).train()
    assert allowed_speed(asked, weights, 128) == asked
    assert weights.training
    qwen = Qwen2Config(**SIZES, max_window_layers=1)
    assert allowed_speed(asked, model_of(qwen), 128) == asked


def test_defaults_step_back_silently() -> None:
    """A router's loss counts all tokens: nothing is cut. A recurrent model mixes rows laid end to end: they are not."""
    mixtral = allowed_speed(SpeedSpec(), model_of(MixtralConfig(**SIZES, num_local_experts=2)), 128)
    assert (mixtral.cut, mixtral.head, mixtral.padding_free) == (False, True, False)
    mamba = MambaConfig(hidden_size=32, num_hidden_layers=1, vocab_size=50, state_size=4)
    assert allowed_speed(SpeedSpec(), model_of(mamba), 128) == SpeedSpec(padding_free=False)
    with pytest.raises(SpecError, match=r"speed\.padding_free: is not exact here"):
        allowed_speed(SpeedSpec(padding_free=True), model_of(mamba), 128)


def test_router_loss_is_trls(tmp_path: Path) -> None:
    """With the head at trained positions alone, and rows as they are."""
    config = MixtralConfig(**SIZES, num_local_experts=2, num_experts_per_tok=1)
    rows, spec = rows_with(3), spec_of(lora=False, learning_rate=1e-5)
    expected = gradients(plain(tmp_path, spec, model_of(config), rows), rows)
    assert_equal_gradients(gradients(ours(tmp_path, spec, model_of(config), rows), rows), expected)


def test_rotary_embeddings_of_the_longest_row() -> None:
    """Which stretch once a row of the batch is long."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 6, "long_factor": [2.0] * 6,
            "original_max_position_embeddings": 64}  # fmt: skip
    config = Phi3Config(**SIZES, rope_parameters=rope, original_max_position_embeddings=64)
    assert context_beyond_the_row(config, 64) is None
    assert "longest row" in str(context_beyond_the_row(config, 65))
    dynamic = LlamaConfig(**SIZES, max_position_embeddings=32, rope_parameters={"rope_type": "dynamic", "factor": 2.0,
                                                                               "rope_theta": 1e4})  # fmt: skip
    assert "longest row" in str(context_beyond_the_row(dynamic, 33))


# --- the spec


@pytest.mark.parametrize(
    ("fields", "field", "severity"),
    [
        ({"speed": {"padding_free": False}, "packing": True}, "speed.padding_free", "error"),
        ({"speed": {"shared_prefix": True}, "packing": True}, "speed.shared_prefix", "error"),
        ({"speed": {"shared_prefix": True}, "group_by_length": True}, "speed.shared_prefix", "error"),
        ({"speed": {"shared_prefix": True}, "micro_batch": 1}, "speed.shared_prefix", "warning"),
        ({"speed": {"shared_prefix": True}, "lora": {"dropout": 0.1}}, "speed.shared_prefix", "warning"),
    ],
)
def test_speed_is_checked_with_the_rest(fields: dict[str, Any], field: str, severity: str) -> None:
    """What cannot go together, and what does nothing."""
    spec = RunSpec.model_validate({"model": "x", "data": "y", **fields})
    assert [(problem.field, problem.severity) for problem in check(spec)] == [(field, severity)]


@pytest.mark.parametrize("value", ["yes", 2, None])
def test_padding_free_is_strict(value: Any) -> None:
    """`auto`, true or false."""
    with pytest.raises(SpecError) as refused:
        parse_spec({"model": "x", "data": "y", "speed": {"padding_free": value}})
    assert [problem.field for problem in refused.value.problems] == ["speed.padding_free"]


# --- the planner


def cost_of(spec: RunSpec) -> int:
    """10 GB of weights in bf16, 1 GB a row, a quarter of that with checkpointing."""
    width = 1 if spec.precision in ("auto", "bf16") else 2
    row = 0.25e9 if spec.activation_checkpointing else 1e9
    return int(width * (10e9 + spec.micro_batch * row))


@pytest.mark.parametrize(
    ("fields", "memory", "expected"),
    [
        ({}, 141e9, {"micro_batch": 16, "accumulation": 1, "optimizer": "adamw_torch_fused"}),
        ({"activation_checkpointing": True, "precision": "fp32", "optimizer": "sgd"}, 141e9,
         {"micro_batch": 16, "accumulation": 1, "activation_checkpointing": False, "precision": "bf16"}),
        ({}, 20e9, {"micro_batch": 8, "accumulation": 2, "optimizer": "adamw_torch_fused"}),
        ({}, 12e9, {"micro_batch": 2, "accumulation": 8, "activation_checkpointing": True,
                    "optimizer": "adamw_torch_fused"}),
        ({"micro_batch": 16, "accumulation": 1, "optimizer": "adamw_torch_fused"}, 141e9, {}),
        ({}, 11e9, None),
    ],
)  # fmt: skip
def test_plan_fills_the_card(fields: dict[str, Any], memory: float, expected: dict[str, Any] | None) -> None:
    """The same rows in each step, in as few parts as fit; checkpointing only where one row does not fit without."""
    spec = spec_of(**{"micro_batch": 4, "accumulation": 4, **fields})
    assert plan(spec, cost_of, int(memory), on_cuda=True, has_bf16=True) == expected


def test_plan_for_a_cpu_changes_sizes_alone() -> None:
    """Neither the type nor the optimiser."""
    spec = spec_of(micro_batch=16, accumulation=1, precision="fp32")
    assert plan(spec, cost_of, int(30e9)) == {"micro_batch": 2, "accumulation": 8}
