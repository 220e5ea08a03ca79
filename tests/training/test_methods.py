"""DPO, ORPO, KTO, reward models and language modelling: trl's own losses, over exactly the rows that were shown."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig

import inspector
from inspector.conversation import Conversation
from inspector.data.source import BadRow
from tests.support.training_runs import ROOT, begin, ended, run_here, wait_for
from training.__main__ import main
from training.errors import LabelsDifferError, SpecError
from training.launch import runs
from training.rows.prepare import PreparedRow, load_model, prepare
from training.rows.written import row_hash, write_rows
from training.run.folder import Phase, RunDir
from training.spec import DataSpec, Method, RunSpec, check, parse_spec, read_spec
from training.trainer.batches import Cost
from training.trainer.methods import build_trainer
from training.trainer.methods.arguments import common_arguments
from training.trainer.pairs import AnswerBatcher, is_cheaper, prompts_once, share_pairs
from training.trainer.proof import ProvingCollator, rows_of
from training.trainer.speed import backbone_of
from training.weights.answers import questions
from training.weights.load import lora_config

VOCABULARY = 300
SIZES = {
    "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": VOCABULARY, "num_attention_heads": 4,
    "intermediate_size": 96, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "tie_word_embeddings": True, "initializer_range": 0.2,
}  # fmt: skip
CHAT = Conversation.parse([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}])
SHARED, APART = {"shared_prompt": True}, {"shared_prompt": False}
FREE = Cost(token=1.0, pair=0.0)
"""A cost by which fewer tokens are always cheaper."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of Llama's shape with random weights, as a folder: a reference is loaded from where it is."""
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(LlamaConfig(**SIZES)).float().save_pretrained(path)
    return path


def weights_of(folder: Path, method: str = "dpo", attention: str = "sdpa") -> Any:
    """The model, or with a head for rewards."""
    kind = AutoModelForSequenceClassification if method == "reward" else AutoModelForCausalLM
    torch.manual_seed(1)
    more = {"num_labels": 1} if method == "reward" else {}
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention, **more)


def answers(count: int, seed: int = 0, *, prompt: int = 20) -> list[tuple[list[int], list[int], list[int]]]:
    """(prompt, chosen, rejected) of unequal lengths."""
    rng = random.Random(seed)

    def ids(least: int, most: int) -> list[int]:
        return [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(least, most))]

    return [(ids(prompt // 2, prompt), ids(2, 9), ids(2, 9)) for _ in range(count)]


def prepared(method: str, rows: Sequence[tuple[list[int], list[int], list[int]]]) -> list[PreparedRow]:
    """The rows as `prepare` makes them; of kto's every second one is bad."""

    def row(number: int, prompt: list[int], answer: list[int], **more: Any) -> PreparedRow:
        labels = [-100] * len(prompt) + answer
        if method == "reward":
            labels = [-100] * (len(labels) - 1) + labels[-1:]
        return PreparedRow(number=number, input_ids=prompt + answer, labels=labels, texts=[], conversation=CHAT, **more)

    if method == "kto":
        return [row(i, p, a, is_good=i % 2 == 0) for i, (p, a, _) in enumerate(rows)]
    return [row(i, p, a, rejected=row(i, p, b)) for i, (p, a, b) in enumerate(rows)]


def spec_of(method: str, **fields: Any) -> RunSpec:
    """Two micro-batches of three rows a step, on the CPU."""
    return parse_spec(
        {"model": "tiny-chat", "data": "x.csv", "method": method, "device": "cpu", "learning_rate": 1e-3,
         "max_steps": 3, "seed": 3, "micro_batch": 3, "accumulation": 2, "max_length": 128, **fields}
    )  # fmt: skip


def ours(
    path: Path, spec: RunSpec, weights: Any, rows: Sequence[PreparedRow], aside: Sequence[PreparedRow] = ()
) -> Any:
    """The trainer of a run over these rows."""
    run = RunDir.create(path, spec)
    write_rows(run.data, iter(rows))
    if aside:
        write_rows(run.data / "held_out", iter(aside))
    trainer, _ = build_trainer(spec, run, weights, inspector.load("tiny-chat").tokenizer, [])
    trainer.cost = FREE
    return trainer


def plain(path: Path, spec: RunSpec, weights: Any, rows: Sequence[Any], aside: Sequence[Any] = ()) -> Any:
    """trl's own trainer over the same answers, in the columns that it makes itself."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer

    class Dpo(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset

    class Kto(KTOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset

    def columns(own: Sequence[Any]) -> list[dict[str, Any]]:
        if spec.method is Method.REWARD:
            return [{"chosen_ids": p + a, "rejected_ids": p + b} for p, a, b in own]
        if spec.method is Method.DPO:
            return [{"prompt_ids": p, "chosen_ids": a, "rejected_ids": b} for p, a, b in own]
        out: list[dict[str, Any]] = []
        for start in range(0, len(own), spec.micro_batch):
            part = own[start : start + spec.micro_batch]
            for i, (p, a, _) in enumerate(part):
                row = {"prompt_ids": p, "completion_ids": a, "KL_completion_ids": part[i - 1][1]}
                out.append({**row, "label": (start + i) % 2 == 0})
        return out

    kinds = {Method.DPO: (Dpo, DPOConfig), Method.KTO: (Kto, KTOConfig), Method.REWARD: (RewardTrainer, RewardConfig)}
    trainer, config = kinds[spec.method]
    more: dict[str, Any] = {"beta": spec.preference.beta} if spec.method is not Method.REWARD else {}
    if spec.method is Method.DPO:
        more |= {"loss_type": spec.losses, "precompute_ref_log_probs": spec.preference.precompute}
        more |= {"label_smoothing": spec.preference.label_smoothing}
    if spec.method is Method.KTO:
        more |= {"train_sampling_strategy": "sequential", "desirable_weight": spec.preference.desirable_weight}
    common = common_arguments(spec, path / "plain", evaluates=bool(aside))
    return trainer(
        model=weights, args=config(**{**common, **more}), train_dataset=Dataset.from_list(columns(rows)),
        eval_dataset=Dataset.from_list(columns(aside)) if aside else None,
        processing_class=inspector.load("tiny-chat").tokenizer,
        peft_config=None if spec.lora is None else lora_config(spec, weights),
    )  # fmt: skip


def logged(trainer: Any) -> list[dict[str, float]]:
    """What a run logs of each step, without times and rates."""
    trainer.train()
    out = ("runtime", "per_second", "epoch", "num_tokens", "flos", "step")
    return [
        {name: value for name, value in line.items() if not any(part in name for part in out)}
        for line in trainer.state.log_history
    ]


def gradients(trainer: Any, batch: Any) -> tuple[float, torch.Tensor]:
    """Loss and all gradients of one micro-batch, as a training step computes them."""
    batches, count = trainer.get_batch_samples(iter([batch]), 1, torch.device("cpu"))
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.zero_grad()
    loss = trainer.training_step(trainer.model, batches[0], count)
    return float(loss), torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


# --- trl's losses


RUNS: list[tuple[str, dict[str, Any]]] = [
    ("dpo", {"speed": SHARED}),
    ("dpo", {"speed": {**APART, "head": False}}),
    ("dpo", {"speed": SHARED, "lora": False, "learning_rate": 1e-4}),
    ("dpo", {"speed": SHARED, "preference": {"precompute": True, "loss": ["ipo"], "beta": 0.3}}),
    ("kto", {"preference": {"desirable_weight": 1.5}}),
    ("reward", {"speed": SHARED}),
]


@pytest.mark.parametrize(("method", "fields"), RUNS, ids=str)
def test_runs_log_what_trl_logs(tmp_path: Path, folder: Path, method: str, fields: dict[str, Any]) -> None:
    """Every figure of every step and of the evaluation: loss, gradient norm, rewards, margins, accuracies."""
    rows, aside = answers(14), answers(4, seed=1)
    spec = spec_of(method, **fields, evaluation={"share": 0.1, "every": 2})
    expected = logged(plain(tmp_path, spec, weights_of(folder, method), rows, aside))
    trainer = ours(tmp_path, spec, weights_of(folder, method), prepared(method, rows), prepared(method, aside))
    if method == "kto":
        trainer.args.train_sampling_strategy = "sequential"  # as trl has to have it
    found = logged(trainer)
    assert len([line for line in found if "grad_norm" in line]) == 3
    assert any("eval_loss" in line for line in found)
    for line, other in zip(found, expected, strict=True):
        compared = other.keys() - ({"rewards/accuracies"} if is_tie(line) and is_tie(other) else set())
        assert {name: line[name] for name in compared} == pytest.approx(
            {name: other[name] for name in compared}, rel=2e-4, abs=1e-5
        )


def is_tie(line: dict[str, float]) -> bool:
    """Whether no answer is preferred, as before the first step: what the last bit says of a pair is then chance."""
    return abs(line.get("rewards/margins", 1.0)) < 1e-6


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("method", ["dpo", "orpo", "reward"])
def test_shared_prompts_have_the_same_gradients(tmp_path: Path, folder: Path, method: str, attention: str) -> None:
    """The prompt of a pair computed once for both answers, or twice."""
    rows = prepared(method, answers(6, prompt=60))
    found = []
    for speed in (SHARED, APART):
        spec = spec_of(method, micro_batch=6, speed=speed, lora=False, learning_rate=1e-5)
        trainer = ours(tmp_path / str(speed), spec, weights_of(folder, method, attention), rows)
        lengths = _backbone_lengths(trainer)
        with torch.no_grad():
            for parameter in trainer.model.parameters():  # away from the reference
                parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
        batch = trainer.data_collator(list(trainer.train_dataset))
        found.append(gradients(trainer, batch))
        assert (lengths[0][0] == 6) is (speed is SHARED)
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert float((found[0][1] - found[1][1]).norm() / found[1][1].norm()) < 1e-5


def _backbone_lengths(trainer: Any) -> list[tuple[int, ...]]:
    """The shapes of what the layers get."""
    shapes: list[tuple[int, ...]] = []
    layer = backbone_of(trainer.model).layers[0]
    layer.register_forward_pre_hook(lambda _, args, kwargs: shapes.append(tuple(args[0].shape)), with_kwargs=True)
    return shapes


def test_orpo_trains_what_is_shown(tmp_path: Path, folder: Path) -> None:
    """trl's odds ratio and rewards; the likelihood is that of the chosen answer alone, where trl's has the prompt."""
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class Orpo(ORPOTrainer):  # type: ignore[misc]
        def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, Any]:
            out = {"prompt_input_ids": feature["p"], "prompt_attention_mask": [1] * len(feature["p"])}
            for name, answer in (("chosen", feature["a"]), ("rejected", feature["b"])):
                ids = feature["p"] + answer
                own = {
                    "input_ids": ids,
                    "attention_mask": [1] * len(ids),
                    "labels": [-100] * len(feature["p"]) + answer,
                }
                out |= {f"{name}_{key}": value for key, value in own.items()}
            return out

    rows = answers(6)
    spec = spec_of("orpo", micro_batch=6, accumulation=1, max_steps=1, preference={"beta": 0.3})
    common = common_arguments(spec, tmp_path / "plain", evaluates=False)
    theirs = Orpo(
        model=weights_of(folder), args=ORPOConfig(**{**common, "beta": 0.3, "max_length": 128}),
        train_dataset=Dataset.from_list([{"p": p, "a": a, "b": b} for p, a, b in rows]),
        processing_class=inspector.load("tiny-chat").tokenizer, peft_config=lora_config(spec, weights_of(folder)),
    )  # fmt: skip
    expected = logged(theirs)[0]
    found = logged(ours(tmp_path, spec, weights_of(folder), prepared("orpo", rows)))[0]
    names = [name for name in expected if name.startswith(("rewards/", "logps/", "log_odds"))]
    assert len(names) == 8
    assert {name: found[name] for name in names} == pytest.approx({name: expected[name] for name in names}, rel=1e-4)
    weights = weights_of(folder).eval()
    losses: list[float] = []
    for prompt, answer, _ in rows:
        logits = weights(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        losses += [-float(logits[i, token]) for i, token in enumerate(answer)]
    assert found["nll_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert found["nll_loss"] != pytest.approx(expected["nll_loss"], rel=1e-2)
    assert found["loss"] == pytest.approx(found["nll_loss"] - 0.3 * found["log_odds_ratio"], rel=1e-4)


def test_kto_mixes_answers_within_the_batch() -> None:
    """Each prompt with the answer of the row before it; what both train stays marked."""
    rows = prepared("kto", answers(3))
    features = [{"input_ids": row.input_ids, "labels": row.labels, "is_good": row.is_good} for row in rows]
    batch = AnswerBatcher(pad=0, kl=True)(features)
    for i, row in enumerate(rows):
        prompt = [t for t, label in zip(row.input_ids, row.labels, strict=True) if label == -100]
        answer = [label for label in rows[i - 1].labels if label != -100]
        seen = batch["KL_attention_mask"][i].bool()
        assert batch["KL_input_ids"][i][seen].tolist() == prompt + answer
        assert batch["KL_completion_mask"][i][seen].tolist() == [0] * len(prompt) + [1] * len(answer)
    assert batch["label"].tolist() == [True, False, True]


# --- a pair in one row


def _pairs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded pairs of random lengths: nothing in common, everything, or one the beginning of the other."""
    rng = random.Random(seed)
    chosen, rejected = [], []
    for _ in range(rng.randint(1, 4)):
        common = [rng.randrange(3, 20) for _ in range(rng.choice([0, 1, 5, 12]))]
        chosen.append(common + [rng.randrange(3, 20) for _ in range(rng.randint(0 if common else 1, 6))])
        rejected.append(common + [rng.randrange(3, 20) for _ in range(rng.randint(0 if common else 1, 6))])
    rows = chosen + rejected
    longest = max(map(len, rows)) + rng.randint(0, 2)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


@pytest.mark.parametrize("seed", range(40))
def test_every_token_of_a_pair_is_found_again(seed: int) -> None:
    """With its id, its position, and exactly the tokens before it in its own row in sight."""
    ids, seen = _pairs(seed)
    shared = share_pairs(ids, seen)
    flat_ids, flat_positions = shared.input_ids.flatten(), shared.position_ids.flatten()
    width, pairs = shared.input_ids.shape[1], len(ids) // 2
    for i, row in enumerate(ids):
        length = int(seen[i].sum())
        source = shared.source[i, :length]
        assert flat_ids[source].tolist() == row[:length].tolist()
        assert flat_positions[source].tolist() == list(range(length))
        own = (source % width).tolist()
        for k, place in enumerate(own):
            assert shared.mask[i % pairs, 0, place].nonzero().flatten().tolist() == sorted(own[: k + 1])
    used = [set(shared.source[i][seen[i].bool()].tolist()) for i in range(len(ids))]
    assert max(len(used[i] | used[i + pairs]) for i in range(pairs)) == width


def test_head_computes_what_trains(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many positions as tokens train, of the model and of its reference; no hook stays."""
    rows = prepared("dpo", answers(3))
    trainer = ours(tmp_path, spec_of("dpo"), weights_of(folder), rows)
    causal = trainer.model.get_base_model()
    sizes: list[tuple[int, ...]] = []
    fused = causal.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        out = fused(*args, **kwargs)
        sizes.append(tuple(out.log_probs.shape))
        return out

    monkeypatch.setattr(causal, "forward", forward)
    trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset)))
    assert sizes == [(1, sum(row.trained for row in rows))] * 2
    assert not causal._forward_hooks
    assert not causal._forward_pre_hooks


def test_other_calls_of_the_backbone_are_left_alone(folder: Path) -> None:
    """Generation, and rows that are no pairs; and everything after the `with`."""
    weights = weights_of(folder).eval()
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected = weights(ids).logits
        with prompts_once([backbone_of(weights)], FREE):
            assert torch.equal(weights(ids).logits, expected)
            assert torch.equal(weights(ids, attention_mask=torch.ones_like(ids)).logits, expected)
        assert torch.equal(weights(ids).logits, expected)
        assert not backbone_of(weights)._forward_hooks
        assert not backbone_of(weights)._forward_pre_hooks


def test_prompts_are_shared_where_that_is_cheaper() -> None:
    """Not for two short answers to nothing, nor where attention over the longer row costs more than it saves."""
    long = torch.randint(3, 20, (1, 400), generator=torch.Generator().manual_seed(0)).expand(2, 400).clone()
    long[1, -5:] = 1
    seen = torch.ones_like(long)
    assert is_cheaper(Cost(token=1e6, pair=1.0), long, seen)
    apart = torch.stack([torch.full((400,), 4), torch.full((400,), 5)])
    assert not is_cheaper(Cost(token=1e6, pair=1.0), apart, seen)
    assert not is_cheaper(Cost(token=1.0, pair=1e6), apart, seen)


# --- rows


def rows_for(
    method: str, tmp_path: Path, lines: Sequence[Any], **fields: Any
) -> tuple[list[PreparedRow], list[BadRow]]:
    """What `prepare` makes of rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec = parse_spec({"model": "tiny-chat", "data": str(path), "method": method, **fields})
    unused: list[BadRow] = []
    return list(prepare(spec, spec.data, load_model(spec), unused)), unused


def text_of(row: PreparedRow) -> tuple[str, str]:
    """(what does not train, what does)."""
    parts: list[list[str]] = [[], []]
    for text, label in zip(row.texts, row.labels, strict=True):
        parts[label != -100].append(text)
    return "".join(parts[0]), "".join(parts[1])


def _chat(*contents: str) -> list[dict[str, str]]:
    roles = itertools.cycle(("user", "assistant"))
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


def test_answers_of_the_prompt_do_not_train(tmp_path: Path) -> None:
    """Only what the answers do not have in common; in kto what is judged."""
    chosen, rejected = _chat("A?", "One.", "B?", "Two."), _chat("A?", "One.", "B?", "Three.")
    (row,), _ = rows_for("dpo", tmp_path, [{"chosen": chosen, "rejected": rejected}])
    assert row.rejected is not None
    assert [text_of(one)[1] for one in row.answers] == ["Two.<|im_end|>", "Three.<|im_end|>"]
    assert row.trained == sum(label != -100 for one in row.answers for label in one.labels)
    line = {"prompt": _chat("A?", "One.", "B?"), "completion": "Two.", "label": True}
    (row,), _ = rows_for("kto", tmp_path, [line], micro_batch=2)
    assert (text_of(row)[1], row.is_good) == ("Two.<|im_end|>", True)
    (row,), _ = rows_for("sft", tmp_path, [{"chosen": chosen, "rejected": rejected}])
    assert text_of(row)[1] == "One.<|im_end|>Two.<|im_end|>"
    assert row.rejected is None


def test_rewards_are_read_at_the_last_token(tmp_path: Path) -> None:
    """The whole row is context; a row that is too long has no end to read at."""
    line = {"prompt": "A?", "chosen": "Yes.", "rejected": "No."}
    (row,), _ = rows_for("reward", tmp_path, [line])
    assert [text_of(one)[1] for one in row.answers] == ["\n", "\n"]
    none, unused = rows_for("reward", tmp_path, [line], max_length=8)
    assert (none, unused[0].why) == ([], "it is longer than max_length, 8, and a reward is read at the end")


def test_prompts_and_completions_are_cut_to_their_lengths(tmp_path: Path) -> None:
    """The last tokens of a prompt, the first of an answer; what was cut is counted."""
    line = {"prompt": "How do you say dog in Spanish?", "chosen": "You say perro in Spanish.", "rejected": "No."}
    (whole,), _ = rows_for("dpo", tmp_path, [line])
    short = {"preference": {"max_prompt_length": 4, "max_completion_length": 3}}
    (row,), _ = rows_for("dpo", tmp_path, [line], **short)
    begin = whole.labels.index(next(label for label in whole.labels if label != -100))
    assert row.input_ids == whole.input_ids[begin - 4 : begin + 3]
    assert row.labels == [-100] * 4 + whole.input_ids[begin : begin + 3]
    assert row.cut == len(whole.input_ids) - 7


def test_rows_that_compare_nothing_are_not_used(tmp_path: Path) -> None:
    """Each with why, and the others train."""
    lines = [
        {"prompt": "A?", "chosen": "Yes.", "rejected": "Yes."},
        {"prompt": "A?", "chosen": "Yes.", "rejected": ""},
        {"prompt": "A?", "chosen": "Yes.", "rejected": "No."},
    ]
    rows, unused = rows_for("dpo", tmp_path, lines, max_length=7)
    assert rows == []
    assert [one.why for one in unused] == ["chosen and rejected are the same", *["nothing in it is trained"] * 2]
    rows, unused = rows_for("dpo", tmp_path, lines)
    assert [row.number for row in rows] == [1, 2]
    assert [one.why for one in unused] == ["chosen and rejected are the same"]
    line = {"prompt": "A?", "chosen": "Yes, of course it is.", "rejected": "Yes, of course not."}
    rows, unused = rows_for("dpo", tmp_path, [line], preference={"max_completion_length": 2})
    assert re.fullmatch(r"chosen and rejected are the same as far as they are kept, \d+ tokens", unused[0].why)
    line = {"chosen": _chat("A?", "Yes."), "rejected": _chat("A?")}
    rows, unused = rows_for("dpo", tmp_path, [line])
    assert [one.why for one in unused] == ["nothing in the rejected answer is trained"]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "dpo",
            "dpo needs the columns chosen and rejected: map them, with format: preference where the rows hold more, or "
            "take another method.",
        ),
        (
            "kto",
            "kto needs the columns prompt, completion and label: map them, with format: unpaired where the rows hold "
            "more, or take another method.",
        ),
    ],
)
def test_rows_of_another_kind_are_refused(tmp_path: Path, method: str, said: str) -> None:
    """Before anything starts."""
    with pytest.raises(SpecError, match=re.escape(f"data: has rows of the kind question_answer. {said}")):
        rows_for(method, tmp_path, [{"question": "A?", "answer": "Yes."}])


def test_rows_are_printed_as_they_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both answers of a pair, what trains in them in marks; as JSON with ids and labels; a file that is not there."""
    spec = str(ROOT / "examples" / "runs" / "brief-answers-dpo.yaml")
    assert main(["rows", spec, "--limit", "1"]) == 0
    said = capsys.readouterr().out
    assert "row 0 chosen: 3 of 19 tokens are trained" in said
    assert "    «Paris.<|im_end|>»⏎" in said
    assert "row 0 rejected: 8 of 24 tokens are trained" in said
    assert main(["rows", spec, "--limit", "2", "--json"]) == 0
    (row, _) = json.loads(capsys.readouterr().out)["rows"]
    assert [label for label in row["labels"] if label != -100] == row["input_ids"][-4:-1]
    assert len(row["rejected"]["input_ids"]) == 24
    (tmp_path / "spec.yaml").write_text("{model: tiny-chat, data: nowhere.csv}")
    assert main(["rows", str(tmp_path / "spec.yaml")]) == 2
    assert "nowhere.csv" in capsys.readouterr().err


def test_language_modelling_trains_blocks(tmp_path: Path) -> None:
    """Every token of every text, end to end, whatever its length; the last block is shorter."""
    lines = [{"text": text} for text in ("The sea is wide and deep.", "Bees make honey.", "Ice is cold. " * 9)]
    rows, unused = rows_for("lm", tmp_path, lines, blocks={"size": 16})
    assert not unused
    assert [len(row.input_ids) for row in rows[:-1]] == [16] * (len(rows) - 1)
    assert "".join(text for row in rows for text in row.texts) == "".join(line["text"] for line in lines)
    ends, _ = rows_for("lm", tmp_path, lines, blocks={"size": 16, "add_eos": True})
    assert "".join(text for row in ends for text in row.texts).count("<|im_end|>") == 3
    model = load_model(parse_spec({"model": "tiny-chat", "data": "x"}))
    asked = questions(parse_spec({"model": "tiny-chat", "data": "x"}).sampling, rows, model)
    assert "".join(rows[0].texts).startswith(asked[0].prompt)
    whole, _ = rows_for("lm", tmp_path, lines, max_length=24)
    assert len(whole[0].input_ids) == 24


def test_changed_answers_are_refused() -> None:
    """One id or one label of either answer is another: the proof ends the run."""
    rows = prepared("dpo", answers(3))
    features = [
        {"input_ids": row.input_ids, "labels": row.labels, "rejected_input_ids": row.rejected.input_ids,
         "rejected_labels": row.rejected.labels} for row in rows if row.rejected is not None
    ]  # fmt: skip
    shown = {row_hash(one.input_ids, one.labels) for row in rows for one in row.answers}
    batch = ProvingCollator(AnswerBatcher(pad=0), shown)(features)
    assert rows_of(batch) == [(r["input_ids"], r["labels"]) for r in features] + [
        (r["rejected_input_ids"], r["rejected_labels"]) for r in features
    ]
    for name in ("input_ids", "rejected_input_ids"):
        changed = copy.deepcopy(features)
        changed[1][name][-1] += 1
        with pytest.raises(LabelsDifferError, match="does not match any row shown by the inspector"):
            ProvingCollator(AnswerBatcher(pad=0), shown)(changed)
    changed = copy.deepcopy(features)
    changed[1]["rejected_labels"][-2] = -100
    with pytest.raises(LabelsDifferError, match="does not match any row shown by the inspector"):
        ProvingCollator(AnswerBatcher(pad=0), shown)(changed)


# --- specs


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"method": "ppo"}, "method: there is no 'ppo'; there are: sft, lm, dpo, orpo, kto, reward."),
    ({"preference": {"beta": 0.5}}, "preference: sft compares no answers. Set method: dpo, orpo or kto, or leave it o"),
    ({"method": "dpo", "preference": {"loss": "best"}}, "preference.loss: dpo has no loss 'best'. There are: sigmoid,"),
    ({"method": "orpo", "preference": {"loss": "ipo"}}, "preference.loss: orpo has no loss 'ipo'. dpo and kto have se"),
    ({"method": "dpo", "preference": {"loss": ["ipo", "sft"], "loss_weights": [1.0]}}, "preference.loss_weights: are "),
    ({"method": "dpo", "preference": {"loss": "exo_pair"}}, "preference.label_smoothing: exo_pair needs label smoo"),
    ({"method": "dpo", "preference": {"max_prompt_length": 2000}}, "max_prompt_length: 2000 is more than max_length, "),
    ({"method": "dpo", "packing": True}, "packing: dpo compares whole answers, which cannot be packed. Leave it out."),
    ({"method": "dpo", "group_by_length": True}, "group_by_length: dpo has no single length to a row. Leave it out."),
    ({"method": "dpo", "speed": {"shared_prefix": True}}, "speed.shared_prefix: is not for dpo. The prompt of a pair "),
    ({"method": "kto", "speed": {"shared_prefix": True}}, "speed.shared_prefix: is not for kto. Leave it out."),
    ({"method": "kto", "micro_batch": 1}, "micro_batch: kto estimates its KL over the rows of a micro-batch. Raise it"),
    ({"method": "kto", "preference": {"precompute": True}}, "preference.precompute: kto mixes its answers again in ev"),
    ({"method": "kto", "preference": {"loss": ["kto", "kto"]}}, "preference.loss: kto takes one loss. Keep one of: kt"),
    ({"method": "orpo", "preference": {"reference": "x"}}, "preference.reference: orpo has no reference model. Leave "),
    ({"method": "reward", "quantization": "4bit"}, "quantization: a reward model is not quantized here. Leave it out."),
    ({"method": "reward", "sampling": {"endpoint": {"url": "http://x", "model": "y"}}}, "sampling.endpoint: a reward "),
    ({"method": "lm", "strategy": "responses_only"}, "strategy: language modelling trains every token. Leave it out, "),
    ({"method": "lm", "packing": True}, "packing: blocks are full already. Leave it out."),
    ({"blocks": {"size": 8}}, "blocks: sft trains row by row. Set method: lm, or leave it out."),
    ({"engine": {"timeout": "2h"}}, "engine.timeout: is for Hugging Face Jobs. Set engine.flavor, or leave it out."),
    ({"engine": {"flavor": "t4-small"}, "publish": {"repo": "a/b"}}, "engine.timeout: is missing. Hugging Face Jobs e"),
    ({"engine": {"flavor": "t4-small", "timeout": "1h"}}, "publish: is missing: a job's disk is gone when it ends, an"),
    ({"dpo_beta": 0.1}, "dpo_beta: there is no such field. Did you mean preference.beta?"),
    ({"publish": {}}, "publish.repo: is missing."),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), WRONG, ids=lambda value: str(value)[:50])
def test_wrong_specs_are_refused(fields: dict[str, Any], said: str) -> None:
    """By the field's name, with what to do."""
    with pytest.raises(SpecError, match=re.escape(said)):
        parse_spec({"model": "tiny-chat", "data": "x", **fields})


def test_rates_belong_to_the_method() -> None:
    """A usual one by default, and a warning far above it."""
    base = {"model": "tiny-chat", "data": "x"}
    assert parse_spec({**base, "method": "dpo"}).rate == 2e-5
    assert parse_spec({**base, "method": "dpo", "lora": False}).rate == 1e-6
    (warning,) = check(parse_spec({**base, "method": "dpo", "learning_rate": 1e-3}))
    assert f"{warning.message} {warning.remedy}" == "0.001 is high for dpo of LoRA. 2e-05 is usual."
    (warning,) = check(parse_spec({**base, "lora": False, "publish": {"repo": "a/b"}}))
    assert warning.message == "there is no adapter: the whole model is published."
    (warning,) = check(parse_spec({**base, "quantization": "4bit", "lora": {"merge": True}}))
    assert warning.message == "the adapter is merged into the unquantized model."


def test_rewards_are_not_read_before_the_end(tmp_path: Path, folder: Path) -> None:
    """Where rows end in the pad token, the model would read somewhere else than shown."""
    tokenizer = inspector.load("tiny-chat").tokenizer
    rows = prepared("reward", [([5, 6], [7, tokenizer.pad_token_id], [8, 9])])
    with pytest.raises(SpecError, match=r"special_tokens.pad_token: rows end in .*, which is the pad token: their rew"):
        ours(tmp_path, spec_of("reward"), weights_of(folder, "reward"), rows)


# --- whole runs on tiny-chat


@functools.cache
def _example(name: str) -> dict[str, Any]:
    return read_spec(str(ROOT / "examples" / "runs" / f"{name}.yaml")).model_dump(mode="json", exclude_defaults=True)


BETTER = {
    "brief-answers-dpo": ("reward_accuracy", "reward_margin"),
    "brief-answers-orpo": ("reward_accuracy", "reward_margin"),
    "brief-answers-kto": ("reward_margin",),
    "brief-answers-reward": ("reward_accuracy", "reward_margin"),
    "texts": ("token_accuracy",),
}


@pytest.mark.parametrize("name", BETTER)
def test_each_method_makes_its_figures_better(tmp_path: Path, name: str) -> None:
    """The example runs: the loss falls, margins and accuracies rise, answers become those that are preferred.

    One of them in a worker of its own.
    """
    fields = {**_example(name), "max_steps": 25, "seed": 1, "sampling": {"max_new_tokens": 12}}
    run = (begin if name == "brief-answers-orpo" else run_here)(tmp_path / "runs", **fields)
    try:
        status = wait_for(run, ended)
        assert status.phase is Phase.SUCCEEDED, run.log_tail()
        first, *_, last = run.metrics()
        assert last["loss"] < first["loss"]
        assert all(last[metric] > first[metric] for metric in BETTER[name])
        samples = {(s["when"], s["question"]): s for s in run.samples()}
        proof = run.manifest()["proof"]["sentence"]
        if name == "brief-answers-reward":
            assert "each one's reward is read at its last token" in proof
            assert all(samples["after", i]["rewards"][0] > samples["after", i]["rewards"][1] + 1 for i in range(3))
            _card_code_says(run, samples["after", 0]["rewards"][0])
        else:
            assert "identical to the inspector's, id by id and label by label" in proof
        if name in ("brief-answers-dpo", "brief-answers-kto"):
            assert samples["before", 0]["answer"] == "The capital of France is Paris.<|im_end|>"
            assert samples["after", 0]["answer"] == "Paris.<|im_end|>"
    finally:
        runs.kill(run)


def _card_code_says(run: RunDir, reward: float) -> None:
    """The card's own code loads the reward model and gives the reward of the first answer."""
    text = (run.adapter / "README.md").read_text()
    assert "pipeline_tag: text-classification" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    before, said = Path.cwd(), io.StringIO()
    os.chdir(run.adapter)
    try:
        with contextlib.redirect_stdout(said):
            exec(code, {})
    finally:
        os.chdir(before)
    assert float(said.getvalue()) == pytest.approx(reward, abs=2e-3)


def test_data_is_read_as_the_spec_says(tmp_path: Path) -> None:
    """Columns by their own names are mapped for pairs, too."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"ask": "A?", "good": "Yes.", "bad": "No."}\n')
    mapped = DataSpec(name=str(path), map={"prompt": "ask", "chosen": "good", "rejected": "bad"})
    spec = parse_spec({"model": "tiny-chat", "data": mapped.model_dump(), "method": "orpo"})
    (row,) = prepare(spec, spec.data, load_model(spec), [])
    assert [text_of(one)[1] for one in row.answers] == ["Yes.<|im_end|>", "No.<|im_end|>"]
