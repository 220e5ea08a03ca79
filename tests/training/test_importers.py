"""AutoTrain's configs and home-llm's command lines become specs of the same tokens, or say what is otherwise."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import inspector
from tests.support.training_runs import ROOT, waiting_worker
from training import __main__ as commands
from training.cli.import_commands import with_head
from training.errors import RunFolderError, SpecError
from training.importers import Imported, autotrain_keys, home_llm_flags, import_command, import_config, is_foreign
from training.launch import runs
from training.rows.prepare import first_rows
from training.run.folder import Phase, RunDir
from training.spec import RunSpec, parse_spec
from ui.train_tab import events as train_events

DATA = ROOT / "examples" / "data"
LINES = (ROOT / "tests" / "data" / "home_llm_commands.txt").read_text(encoding="utf-8").splitlines()
TEXTS = yaml.safe_load((ROOT / "tests" / "data" / "importer_texts.yaml").read_text(encoding="utf-8"))
ORPO = ROOT / "tests" / "data" / "autotrain_orpo.yaml"
LINE = "--run_name r --base_model tiny-chat --train_dataset rows.jsonl"


def line(*more: str) -> Imported:
    """A short command line with these options."""
    return import_command([*LINE.split(), *more])


def config(task: str = "llm-sft", **changes: Any) -> dict[str, Any]:
    """A config of a few keys; `params`, `data`, `hub` as given, other keys on top."""
    data = {"path": "owner/rows", "train_split": "train", "valid_split": None, "chat_template": "tokenizer"}
    data["column_mapping"] = {"text_column": "chosen"}  # type: ignore[assignment]
    if task in ("llm-dpo", "llm-orpo", "llm-reward"):
        data["column_mapping"] = {  # type: ignore[assignment]
            "text_column": "chosen", "rejected_text_column": "rejected", "prompt_text_column": "prompt"
        }  # fmt: skip
    data |= changes.pop("data", {})
    return {"task": task, "base_model": "tiny-chat", "project_name": "mine", "data": data, **changes}


def autotrain(task: str = "llm-sft", **changes: Any) -> Imported:
    """The same, imported."""
    return import_config(yaml.safe_dump(config(task, **changes)))


def problems(act: Callable[[], object]) -> list[str]:
    """What is wrong, a line each."""
    with pytest.raises(SpecError) as refused:
        act()
    return [f"{p.field}: {p.message} {p.remedy}".strip() for p in refused.value.problems]


def attempt(act: Callable[[], Imported]) -> tuple[RunSpec | None, set[str]]:
    """(the spec, the keys that are named in warnings), or (None, those of the errors)."""
    try:
        found = act()
    except SpecError as error:
        return None, {p.field for p in error.problems}
    return found.spec, {own.split(": ")[0] for own in found.warnings}


# --- home-llm


def test_every_command_of_the_guide_becomes_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by what it says; GPTQ's where its reader is installed. The written spec is the same one."""
    (tmp_path / "gptqmodel").mkdir()
    (tmp_path / "gptqmodel" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for own in LINES:
        found = import_command([own])
        words = own.split()
        spec = found.spec
        assert (spec.name, spec.model) == (words[words.index("--run_name") + 1], words[words.index("--base_model") + 1])
        assert spec.method == ("dpo" if "--dpo" in words else "sft")
        assert (spec.lora is not None) == ("--use_lora" in words)
        assert parse_spec(yaml.safe_load(spec.to_yaml())) == spec
        assert found.command == f"python -m training run {spec.name}.yaml"
        assert import_command(words) == found


def values(number: int) -> dict[str, Any]:
    """The spec of a line of the guide, without what is at its default."""
    spec: dict[str, Any] = yaml.safe_load(import_command([LINES[number]]).spec.to_yaml())
    return spec


def test_a_full_fine_tuning_through_accelerate() -> None:
    """Line 1: every option has its place; the defaults are train.py's."""
    found = values(0)
    assert found.pop("report", ["tensorboard"]) == ["tensorboard"]
    assert found == {
        "model": "stabilityai/stablelm-zephyr-3b", "data": {"name": "data/home_assistant_train.jsonl"},
        "name": "home-3b", "lora": None, "max_length": 2048, "precision": "bf16", "learning_rate": 1e-5, "warmup": 0.0,
        "weight_decay": 0.1, "micro_batch": 2, "accumulation": 32, "epochs": 1.0, "group_by_length": True,
        "activation_checkpointing": True, "log_every": 2, "save_every": 50, "keep_checkpoints": 10, "seed": 42,
        "engine": {"accelerate_config": "fsdp_config.yaml"},
    }  # fmt: skip


def test_lora_with_new_tokens_and_saved_embeddings() -> None:
    """Line 4: a model without a template gets ChatML; the tokens are added; the adapter is merged."""
    found = values(3)
    assert found["special_tokens"] == {
        "pad_token": "<|pad|>", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"
    }  # fmt: skip
    assert found["template"] == "chatml"
    assert found["lora"] == {
        "rank": 32, "alpha": 64, "dropout": 0.05, "modules": ["fc1", "fc2", "q_proj", "v_proj", "dense"],
        "modules_to_save": ["embed_tokens", "lm_head"], "merge": True,
    }  # fmt: skip


def test_preferences_and_quantized_weights() -> None:
    """Lines 8 and 12: DPO's prompts are called question; the test set is evaluated."""
    dpo = values(7)
    assert dpo["data"] == {"name": "data/home_assistant_dpo.jsonl", "map": {"prompt": "question"}}
    assert (dpo["preference"], dpo["accumulation"], dpo["learning_rate"]) == ({"loss": ["sigmoid"]}, 16, 2e-7)
    quantized = values(11)
    assert (quantized["quantization"], "warmup" in quantized) == ("4bit", False)  # 0.03 is ours, too
    assert quantized["evaluation"] == {"data": {"name": "data/home_assistant_test.jsonl"}, "every": 200}


def test_ids_train_the_tokens_of_home_llm() -> None:
    """The last lines: the strategy is home-llm's own, with its ids, and so are the labels."""
    assert values(17)["options"] == {"prefix_ids": [151644, 77091, 198], "suffix_ids": [151645, 198]}
    model = inspector.load("tiny-chat")
    ids = [model.tokenizer(text)["input_ids"] for text in ("<|im_start|>assistant\n", "<|im_end|>\n")]
    prefix, suffix = (",".join(map(str, own)) for own in ids)
    words = f"--run_name r --base_model tiny-chat --train_dataset {DATA}/sharegpt.json --prefix_ids {prefix}"
    spec = import_command([*words.split(), "--suffix_ids", suffix]).spec
    rows, unused = first_rows(spec, 2)
    assert (len(rows), unused) == (2, [])
    for row in rows:
        shown = inspector.inspect(model, row.conversation, "home_llm", prefix_ids=prefix, suffix_ids=suffix)
        assert (row.input_ids, row.labels) == shown.row
        assert row.labels != inspector.inspect(model, row.conversation).row[1]


def test_options_are_read_as_its_parser_reads_them() -> None:
    """Dashes, an equals sign, switches with values; the last one wins; a command over several lines."""
    spec = line(
        "--batch-size=16", "--bf16", "true", "--gradient_checkpointing", "False", "--epochs", "3", "--epochs", "2"
    ).spec
    assert (spec.accumulation, spec.precision, spec.activation_checkpointing, spec.epochs) == (8, "bf16", False, 2)
    pasted = "python3 train.py \\\n    --run_name r --base_model tiny-chat \\\n    --train_dataset rows.jsonl"
    assert import_command([pasted]) == line() == import_command(["train.py", *LINE.split()])
    assert (
        import_command(
            ["accelerate", "launch", "--num_processes", "2", "train.py", *LINE.split()]
        ).spec.engine.processes
        == 2
    )


@pytest.mark.parametrize("case", TEXTS["home_llm_errors"])
def test_what_is_wrong_with_a_command_is_said(case: dict[str, Any]) -> None:
    """Every problem at once, by its option."""
    words = case["words"].replace("LINE", LINE).split()
    assert problems(lambda: import_command(words)) == case["said"]


def test_quotes_that_are_open_are_said() -> None:
    """A pasted command that was cut."""
    assert problems(lambda: import_command(["train.py --run_name 'x"])) == [
        "command: is not a command line: No closing quotation. Close the quotes."
    ]


def test_an_unknown_dpo_loss_is_refused_by_its_option() -> None:
    """With those there are; two that go by other names now are found."""
    (said,) = problems(lambda: line("--dpo", "--dpo_loss", "kto_pair"))
    assert said.startswith("--dpo_loss: dpo has no loss 'kto_pair'. There are: sigmoid, hinge")
    assert [line("--dpo", "--dpo_loss", own).spec.losses for own in ("aot", "aot_pair")] == [["aot_unpaired"], ["aot"]]


def test_gptq_is_refused_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package, and for all weights; with both it is said what is not known."""
    if not any(map(_is_there, ("gptqmodel", "auto_gptq"))):
        assert problems(lambda: line("--load_as_gptq", "--use_lora")) == [
            "--load_as_gptq: gptqmodel is not installed here, and reads such weights. pip install gptqmodel optimum, "
            "or train the unquantized model with --load_in_4bit."
        ]
        (tmp_path / "gptqmodel").mkdir()
        (tmp_path / "gptqmodel" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    assert problems(lambda: line("--load_as_gptq")) == [
        "--load_as_gptq: quantized weights cannot be trained themselves. Use --use_lora."
    ]
    found = line("--load_as_gptq", "--use_lora")
    assert found.spec.quantization == "none"
    assert any(own.startswith("--load_as_gptq: transformers loads such weights") for own in found.warnings)


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


@pytest.mark.parametrize("case", TEXTS["home_llm_warnings"])
def test_what_home_llm_does_otherwise_is_said(case: dict[str, Any]) -> None:
    """Each where it applies, and not where nothing of the kind is asked for."""
    warnings = line(*case["more"].replace("DATA", str(DATA)).split()).warnings
    assert any(own.startswith(case["said"]) for own in warnings), warnings
    plain = "--use_lora --lora_modules q_proj --bf16 --save_steps 9 --learning_rate_schedule constant --prefix_ids 1"
    silent = [own for own in line(*plain.split(), "--suffix_ids", "2").warnings if "tensorboard" not in own]
    assert len(silent) == 1
    assert silent[0].startswith("--prefix_ids: train.py's very tokens train")


def test_a_missing_tensorboard_is_said() -> None:
    """train.py logs to it; where it is installed the run does, too."""
    if _is_there("tensorboard") or _is_there("tensorboardX"):
        assert line().spec.report == ["tensorboard"]
    else:
        assert line().spec.report == []
        assert (
            "--logging_steps: tensorboard is not installed here: the metrics are in the run's folder."
            in line().warnings
        )


def test_a_base_model_gets_chatml_only_where_it_has_no_template(tmp_path: Path) -> None:
    """The tokenizer is asked; --add_chatml_prompt_template decides by itself."""
    bare = tmp_path / "bare"
    shutil.copytree(ROOT / "models" / "tiny-chat", bare, ignore=shutil.ignore_patterns("*.jinja", "*.safetensors"))
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    found = line("--base_model", str(bare), "--add_chatml_tokens")
    assert found.spec.template == "chatml"
    assert "--add_chatml_tokens: the model has no chat template: ChatML is taken (template: chatml)." in found.warnings
    assert line("--add_chatml_tokens").spec.template == ""
    asked = line("--add_chatml_tokens", "--add_chatml_prompt_template")
    assert asked.spec.template == "chatml"
    assert not any("add_chatml_tokens" in own for own in asked.warnings)


def test_dpo_rows_without_a_question_keep_their_own_names() -> None:
    """trl's layout, in a file that can be looked into."""
    assert line("--dpo", "--train_dataset", str(DATA / "preference.jsonl")).spec.data.map == {}
    assert line("--dpo").spec.data.map == {"prompt": "question"}


def test_every_option_has_an_effect_or_a_warning() -> None:
    """Each with another value changes the spec, is named in a warning, or is refused."""
    other = {"learning_rate_schedule": "linear", "dpo_loss": "ipo", "micro_batch_size": "4", "lora_dropout": "0.5"}
    other |= {"learning_rate_warmup": "0.5", "lora_rank": "8", "lora_alpha": "8", "batch_size": "16"}
    beside = {
        "prefix_ids": "--suffix_ids 2", "suffix_ids": "--prefix_ids 2", "beta": "--dpo", "dpo_loss": "--dpo",
        "eval_steps": "--test_dataset t.jsonl",
    }  # fmt: skip
    for name in home_llm_flags.Flags.model_fields:
        words = [f"--{name}"] if name in home_llm_flags.SWITCHES else [f"--{name}", other.get(name, "3")]
        extra = ["--use_lora", *beside.get(name, "").split()] if name != "use_lora" else []
        before = line(*(extra if not name.endswith("fix_ids") else ["--use_lora"])).spec
        after, said = attempt(partial(line, *extra, *words))
        assert after not in (None, before) or f"--{name}" in said, name


# --- AutoTrain


def test_the_config_of_the_guide_becomes_a_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of it, and nothing of the token; from the file, from its text."""
    monkeypatch.setenv("HF_USERNAME", "someone")
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    found = import_config(ORPO)
    assert import_config(ORPO.read_text()) == found
    assert yaml.safe_load(found.spec.to_yaml()) == {
        "model": "meta-llama/Meta-Llama-3-8B-Instruct",
        "data": {
            "name": "argilla/distilabel-capybara-dpo-7k-binarized", "split": "train",
            "map": {"format": "preference", "prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        },
        "name": "autotrain-llama3-8b-orpo",
        "template": "chatml",
        "special_tokens": {
            "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "<|im_end|>",
            "additional_special_tokens": ["<|im_start|>user", "<|im_start|>assistant", "<|im_start|>system"],
        },
        "method": "orpo", "preference": {"max_prompt_length": 512}, "lora": {"dropout": 0.05}, "quantization": "4bit",
        "precision": "fp16", "learning_rate": 3e-5, "scheduler": "linear", "warmup": 0.1, "micro_batch": 2,
        "accumulation": 4, "activation_checkpointing": True, "keep_checkpoints": 1, "report": ["tensorboard"],
        "publish": {"repo": "someone/autotrain-llama3-8b-orpo"}, "seed": 42,
    }  # fmt: skip
    assert (found.spec.max_length, found.spec.epochs) == (1024, 3)
    assert found.command == "python -m training run autotrain-llama3-8b-orpo.yaml"
    assert any(own.startswith("task: the likelihood counts the tokens of the chosen answer;") for own in found.warnings)
    assert "hf_secret" not in json.dumps(found.to_dict())


def test_missing_keys_are_autotrains_defaults() -> None:
    """As its parameters have them: no LoRA, fp32, a linear schedule with a tenth of warm-up, checkpointing."""
    spec = import_config("task: llm-sft\nbase_model: m/n\nproject_name: p\ndata: {path: o/d}\n").spec
    assert yaml.safe_load(spec.to_yaml()).keys() >= {"template"}
    assert (spec.rate, spec.epochs, spec.micro_batch, spec.accumulation, spec.warmup) == (3e-5, 1, 2, 4, 0.1)
    assert (spec.lora, spec.precision, spec.scheduler, spec.seed, spec.max_length) == (None, "fp32", "linear", 42, 1024)
    assert (spec.activation_checkpointing, spec.keep_checkpoints, spec.quantization) == (True, 1, "none")
    assert spec.data.map == {"format": "text", "text": "text"}
    with_lora = autotrain(params={"peft": True}).spec
    assert with_lora.lora is not None
    assert (with_lora.lora.rank, with_lora.lora.alpha, with_lora.lora.dropout) == (16, 32, 0.05)
    assert (with_lora.lora.modules, with_lora.quantization) == ("all-linear", "4bit")


@pytest.mark.parametrize(
    ("task", "method", "strategy"),
    [
        ("llm", "lm", "full"), ("llm-generic", "lm", "full"), ("llm:generic", "lm", "full"), ("llm-sft", "sft", "full"),
        ("llm:sft", "sft", "full"), ("llm-dpo", "dpo", "traced"), ("llm-orpo", "orpo", "traced"),
        ("llm-reward", "reward", "traced"),
    ],
)  # fmt: skip
def test_every_task_becomes_a_method(task: str, method: str, strategy: str) -> None:
    """With the strategy that trains what AutoTrain does."""
    spec = autotrain(task, params={"peft": True}).spec
    assert (spec.method, spec.trained_by, spec.packing) == (method, strategy, method == "sft")


def test_lengths_have_their_places() -> None:
    """block_size is the length of a row, or of a block; -1 is at most 1024; prompt and answer for dpo."""
    assert autotrain(params={"block_size": 512}).spec.max_length == 512
    assert autotrain(params={"block_size": -1, "model_max_length": 8192}).spec.max_length == 1024
    assert autotrain(params={"model_max_length": 256}).spec.max_length == 256
    generic = autotrain("llm", params={"block_size": 64, "add_eos_token": False}).spec
    assert (generic.blocks.size, generic.blocks.add_eos) == (64, False)
    lengths = {"block_size": 512, "max_prompt_length": 200, "max_completion_length": 300}
    preference = autotrain("llm-dpo", params=lengths).spec.preference
    assert (preference.max_prompt_length, preference.max_completion_length) == (200, 300)
    assert autotrain("llm-dpo").spec.preference.max_prompt_length == 128


def test_everything_else_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA's parts, precision, evaluation, reports, what is published, the reference."""
    monkeypatch.setenv("ME", "someone")
    params = {
        "peft": True, "lora_r": 8, "lora_alpha": 9, "lora_dropout": 0, "target_modules": "q_proj, v_proj",
        "merge_adapter": True, "quantization": "int8", "mixed_precision": "bf16", "optimizer": "adafactor",
        "scheduler": "cosine", "weight_decay": 0.2, "max_grad_norm": 2, "seed": 7, "logging_steps": 5,
        "warmup_ratio": 0.2,
        "save_total_limit": 4, "eval_strategy": "steps", "disable_gradient_checkpointing": True, "dpo_beta": 0.3,
        "gradient_accumulation": 2, "batch_size": 3, "epochs": 2, "lr": "1e-6",
    }  # fmt: skip
    hub = {"username": "${ME}", "token": "${HF_TOKEN}", "push_to_hub": True}
    spec = autotrain("llm-dpo", params=params, hub=hub, log="trackio", data={"valid_split": "conf:test"}).spec
    assert spec.lora is not None
    assert spec.lora.model_dump(exclude_defaults=True) == {
        "rank": 8, "alpha": 9, "modules": ["q_proj", "v_proj"], "merge": True
    }  # fmt: skip
    assert (spec.quantization, spec.precision, spec.optimizer, spec.scheduler) == (
        "8bit",
        "bf16",
        "adafactor",
        "cosine",
    )
    assert (spec.weight_decay, spec.max_grad_norm, spec.seed, spec.log_every, spec.warmup) == (0.2, 2, 7, 5, 0.2)
    assert (spec.keep_checkpoints, spec.activation_checkpointing, spec.preference.beta) == (4, False, 0.3)
    assert (spec.accumulation, spec.micro_batch, spec.epochs, spec.rate, spec.report) == (2, 3, 2, 1e-6, ["trackio"])
    assert spec.evaluation.data is not None
    assert (spec.evaluation.data.config, spec.evaluation.data.split, spec.evaluation.every) == ("conf", "test", 5)
    assert spec.publish is not None
    assert (spec.publish.repo, spec.publish.merged, spec.publish.private) == ("someone/mine", True, True)
    assert autotrain("llm-dpo", params={"model_ref": "m/ref"}).spec.preference.reference == "m/ref"


def test_files_of_a_folder_are_found_as_the_guide_says(tmp_path: Path) -> None:
    """train.csv before train.jsonl; a file by its own path; what is not there is said."""
    (tmp_path / "train.jsonl").touch()
    (tmp_path / "test.csv").touch()
    found = autotrain(data={"path": str(tmp_path), "valid_split": "test"}).spec
    assert found.data.name == str(tmp_path / "train.jsonl")
    assert found.evaluation.data is not None
    assert found.evaluation.data.name == str(tmp_path / "test.csv")
    assert autotrain(data={"path": str(tmp_path / "test.csv")}).spec.data.name == str(tmp_path / "test.csv")
    (tmp_path / "train.csv").touch()
    assert autotrain(data={"path": str(tmp_path)}).spec.data.name == str(tmp_path / "train.csv")
    assert problems(lambda: autotrain(data={"path": str(tmp_path), "train_split": "dev"})) == [
        f"data.path: {tmp_path} has neither dev.csv nor dev.jsonl. The split is the name of the file."
    ]


def test_texts_are_written_as_they_are() -> None:
    """chat_template none: of a pair prompt, answer and eos end to end, of which the answer and eos train."""
    spec = autotrain("llm-dpo", data={"path": str(DATA / "preference.jsonl"), "chat_template": "none"}).spec
    (row,), unused = first_rows(spec, 1)
    assert unused == []
    assert "".join(row.texts) == "What is the capital of France?The capital of France is Paris.<|im_end|>"
    trained = "".join(text for text, label in zip(row.texts, row.labels, strict=True) if label != -100)
    assert trained == "The capital of France is Paris.<|im_end|>"[-len(trained) :]
    assert trained.endswith(" capital of France is Paris.<|im_end|>")
    assert row.rejected is not None
    reward = autotrain("llm-reward", data={"path": str(DATA / "preference.jsonl"), "chat_template": None}).spec
    (row,), _ = first_rows(reward, 1)
    assert "".join(row.texts).endswith("The capital of France is Paris.")
    sft = autotrain(
        "llm-sft", data={"path": str(DATA / "text.jsonl"), "chat_template": "none", "column_mapping": {}}
    ).spec
    (row,), _ = first_rows(sft, 1)
    assert all(label != -100 for label in row.labels[1:])


@pytest.mark.parametrize("case", TEXTS["autotrain_errors"])
def test_what_is_wrong_with_a_config_is_said(case: dict[str, Any]) -> None:
    """By AutoTrain's keys, all at once."""
    assert problems(lambda: autotrain(**case["changes"])) == case["said"]


@pytest.mark.parametrize("case", TEXTS["autotrain_task_errors"])
def test_what_a_task_needs_is_said(case: dict[str, Any]) -> None:
    """Columns and lengths of the preference methods; tasks that are none."""
    text = yaml.safe_dump(config(case["task"], backend="local", **case["changes"]))
    assert problems(lambda: import_config(text)) == [case["said"]]


def test_texts_that_are_no_config_are_refused(tmp_path: Path) -> None:
    """Without the line that is wrong: a token may stand in it."""
    assert problems(lambda: import_config("hub:\n  token: hf_secretsecret: x\n")) == [
        "config: is not YAML: in line 2, mapping values are not allowed here."
    ]
    assert problems(lambda: import_config("a: \x00\n")) == [
        "config: is not YAML: a character that YAML does not allow."
    ]
    assert problems(lambda: import_config("- 1\n- 2\n")) == ["config: is a list, and must be keys with values."]
    (said,) = problems(lambda: import_config(tmp_path / "none.yaml"))
    assert said == f"config: {tmp_path}/none.yaml cannot be read: No such file or directory."
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert problems(lambda: import_config(str(tmp_path / "bytes.yaml"))) == [
        "config: bytes.yaml is not text in UTF-8. Give a YAML file."
    ]


@pytest.mark.parametrize("place", ["hub", "params"])
@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_secretsecret", "hub.token: its value is not kept: set the environment variable HF_TOKEN where the run is"),
        ("${MY_TOKEN}", "hub.token: MY_TOKEN is not read: set the environment variable HF_TOKEN where the run is"),
        ("${HF_TOKEN}", ""),
        (["hf_secretsecret"], "hub.token: its value is not kept"),
    ],
)
def test_a_token_is_never_kept(place: str, token: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the spec nor in what is said of it, also where something else is wrong."""
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setenv("MY_TOKEN", "hf_secretsecret")
    found = autotrain(**{place: {"token": token}})
    about = [own for own in found.warnings if "token:" in own.split(" ")[0]]
    assert [own[: len(said)] for own in about] == ([said] if said else [])
    assert "hf_secret" not in json.dumps(found.to_dict())
    wrong = problems(lambda: autotrain(**{place: {"token": token, "username": 3, "push_to_hub": [1]}}))
    assert "hf_secret" not in "".join(wrong)


@pytest.mark.parametrize("case", TEXTS["autotrain_warnings"])
def test_what_autotrain_does_otherwise_is_said(case: dict[str, Any]) -> None:
    """Each where it applies, and not in a config that asks for nothing of the kind."""
    warnings = autotrain(case["task"], **case["changes"]).warnings
    assert any(own.startswith(case["said"]) for own in warnings), warnings
    quiet = autotrain("llm", data={"chat_template": None}, params={"padding": "right", "mixed_precision": "no"})
    assert quiet.warnings == ("task: rows are joined into blocks as there; the last, shorter block trains, too.",)


def test_a_report_that_is_not_installed_is_said() -> None:
    """The spec names it all the same: the run may be elsewhere."""
    found = autotrain(log="tensorboard")
    assert found.spec.report == ["tensorboard"]
    missing = "log: tensorboard is not installed here: pip install tensorboard"
    assert (missing in found.warnings) == (not _is_there("tensorboard"))


@pytest.mark.parametrize("task", ["llm-dpo", "llm"])
def test_every_key_has_an_effect_or_a_warning(task: str) -> None:
    """Each with another value than its default changes the spec, is named in a warning, or is refused."""
    other: dict[str, Any] = {
        "trainer": "sft", "mixed_precision": "bf16", "padding": "left", "quantization": "int8", "scheduler": "cosine",
        "chat_template": "chatml", "optimizer": "sgd", "eval_strategy": "steps", "log": "tensorboard",
        "block_size": 512,
        "model_max_length": 256, "max_prompt_length": 64, "dpo_beta": 0.5, "warmup_ratio": 0.3, "peft": False,
    }  # fmt: skip
    before = autotrain(task, params={"peft": True}).spec
    for name, field in autotrain_keys.AutoTrainKeys.model_fields.items():
        number = 3 if isinstance(field.default, int | float) else "x"
        value = other.get(name, not field.default if isinstance(field.default, bool) else number)
        hub = {"username": "me", "push_to_hub": name in ("username", "push_to_hub")}
        after, said = attempt(partial(autotrain, task, params={"peft": True, name: value}, hub=hub))
        assert after not in (None, before) or f"params.{name}" in said, name


def test_our_own_specs_are_taken_as_they_are() -> None:
    """A spec of the examples, and what is wrong with one."""
    path = ROOT / "examples" / "runs" / "question-answer.yaml"
    found = import_config(path)
    assert found.spec == parse_spec(yaml.safe_load(path.read_text()))
    assert found.warnings == ()
    assert problems(lambda: import_config("model: m\ndata: d\nlr: 3\n")) == [
        "lr: there is no such field. Did you mean learning_rate?"
    ]


# --- commands


def test_import_prints_and_writes_a_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """YAML that is the spec, with the command that trains it; the warnings beside it; the same as JSON."""
    monkeypatch.setenv("HF_USERNAME", "someone")
    assert commands.main(["import", str(ORPO)]) == 0
    printed = capsys.readouterr()
    spec = import_config(ORPO).spec
    assert parse_spec(yaml.safe_load(printed.out)) == spec
    assert printed.out.endswith("# python -m training run autotrain-llama3-8b-orpo.yaml\n")
    assert "warning: task: the likelihood counts" in printed.err
    out = tmp_path / "my spec.yaml"
    assert commands.main(["import", str(ORPO), "--out", str(out), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["command"] == f"python -m training run '{out}'"
    assert parse_spec(yaml.safe_load(out.read_text())) == spec == RunSpec.model_validate(value["spec"])
    with pytest.raises(RunFolderError, match=r"The spec cannot be written to .*: No such file or directory\."):
        commands.import_commands.from_file(
            commands._parser().parse_args(["import", str(ORPO), "--out", str(tmp_path / "no" / "x.yaml")])
        )
    monkeypatch.delenv("HF_USERNAME")
    assert commands.main(["import", str(ORPO)]) == 2
    assert "error: hub.username: the environment variable HF_USERNAME is not set." in capsys.readouterr().err


def test_home_llm_prints_a_spec_without_training(capsys: pytest.CaptureFixture[str]) -> None:
    """Our options stand before the command, with or without what it begins with."""
    for words in (LINES[1].split(), LINES[1].split()[2:], [LINES[1]]):
        assert commands.main(["home-llm", "--print-spec", *words]) == 0
        printed = capsys.readouterr()
        assert parse_spec(yaml.safe_load(printed.out)) == import_command([LINES[1]]).spec
        assert "warning: --prefix_ids: not given" in printed.err
    assert commands.main(["home-llm", "--print-spec", "--json", *LINES[1].split()]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "python -m training run home-1b.yaml"
    assert commands.main(["home-llm", "--bf16"]) == 2
    assert "error: --run_name: is missing." in capsys.readouterr().err


def test_the_head_of_a_command_is_put_in_where_it_is_missing() -> None:
    """Only for home-llm, and behind our own options."""
    assert with_head(["home-llm", "--runs", "r", "--json", "--run_name", "x"])[3:6] == [
        "--json",
        "train.py",
        "--run_name",
    ]
    assert with_head(["home-llm", "--runs=r", "python3", "train.py"]) == ["home-llm", "--runs=r", "python3", "train.py"]
    assert with_head(["list", "--json"]) == ["list", "--json"]


# --- runs


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunDir]]:
    """A function that runs a command and gives the newest run, which is over."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKSCOPE_RUNS", str(root))

        def run(*words: str) -> RunDir:
            known = {own.run_id for own in runs.list_runs(root)}
            with waiting_worker():
                assert commands.main(list(words)) == 0
            (made,) = (own for own in runs.list_runs(root) if own.run_id not in known)
            return made

        yield run
        for own in runs.list_runs(root):
            runs.kill(own)


SMALL = (
    "--base_model tiny-chat --ctx_size 128 --batch_size 4 --micro_batch_size 2 --learning_rate 1e-3 --logging_steps 1"
)


def succeeded(run: RunDir) -> dict[str, Any]:
    """What a run that ended well has proven."""
    assert run.status().phase is Phase.SUCCEEDED, run.log_tail()
    manifest = run.manifest()
    assert "identical to the inspector's" in manifest["proof"]["sentence"]
    return manifest


def test_home_llm_trains_lora_and_merges_it(train: Callable[..., RunDir]) -> None:
    """Supervised fine-tuning with LoRA: an adapter, the merged model, a name."""
    lora = "--use_lora --lora_rank 4 --lora_modules q_proj,v_proj --lora_merge"
    words = f"python3 train.py --run_name merged {SMALL} --train_dataset {DATA}/sharegpt.json {lora}"
    run = train("home-llm", "--json", *words.split())
    manifest = succeeded(run)
    assert manifest["trained_tokens"] > 0
    assert run.name == "merged"
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert (run.merged / "config.json").is_file()


def test_home_llm_trains_new_tokens(train: Callable[..., RunDir], tmp_path: Path) -> None:
    """A tokenizer without a padding token: it is added, and the saved embeddings have a row for it."""
    from safetensors.torch import load_file

    base = tmp_path / "base"
    shutil.copytree(ROOT / "models" / "tiny-chat", base)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    settings["pad_token"] = None
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    assert inspector.load(str(base)).tokenizer.pad_token is None
    lora = "--use_lora --lora_rank 4 --lora_modules q_proj,v_proj --lora_modules_to_save embed_tokens,lm_head"
    words = f"train.py --run_name tokens {SMALL} --train_dataset {DATA}/sharegpt.json {lora} --add_pad_token"
    run = train("home-llm", *words.split(), "--add_chatml_tokens", "--base_model", str(base))
    succeeded(run)
    saved = load_file(run.adapter / "adapter_model.safetensors")
    assert {name.split(".")[-2] for name in saved} >= {"embed_tokens", "lm_head"}
    tokens = json.loads((run.adapter / "tokenizer_config.json").read_text())
    assert (tokens["pad_token"], tokens["bos_token"]) == ("<|pad|>", "<|im_start|>")


def test_home_llm_trains_preferences(train: Callable[..., RunDir], tmp_path: Path) -> None:
    """DPO over rows as home-llm has them: system, question, chosen, rejected."""
    rows = [json.loads(own) for own in (DATA / "preference.jsonl").read_text().splitlines()]
    kept = [
        {"system": "Be brief.", "question": r["prompt"], "chosen": r["chosen"], "rejected": r["rejected"]} for r in rows
    ]
    data = tmp_path / "dpo.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in kept))
    words = f"--run_name preferences {SMALL} --train_dataset {data} --dpo --beta 0.2 --dpo_loss sigmoid --use_lora"
    run = train("home-llm", *words.split())
    manifest = succeeded(run)
    assert manifest["rows"] == len(rows)
    assert run.spec().preference.beta == 0.2
    (first,), _ = first_rows(run.spec(), 1)
    assert "".join(first.texts).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is the")


def test_autotrain_trains_orpo(train: Callable[..., RunDir], tmp_path: Path) -> None:
    """A config with local data and ChatML, imported and run; the written spec is what the run keeps."""
    folder = tmp_path / "rows"
    folder.mkdir()
    shutil.copy(DATA / "reward.jsonl", folder / "train.jsonl")
    params = {
        "block_size": 128, "max_prompt_length": 64, "peft": True, "quantization": None, "lora_r": 4, "lr": 1e-3,
        "target_modules": "q_proj,v_proj",
    }  # fmt: skip
    mapping = {"text_column": "chosen", "rejected_text_column": "rejected"}
    data = {"path": str(folder), "chat_template": "chatml", "column_mapping": mapping}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config("llm-orpo", data=data, params=params)))
    assert commands.main(["import", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "spec.yaml")]) == 0
    run = train("run", str(tmp_path / "spec.yaml"))
    succeeded(run)
    assert (run.spec().method, run.name) == ("orpo", "mine")
    assert run.spec() == import_config(tmp_path / "config.yaml").spec


def test_import_starts_a_run(train: Callable[..., RunDir], tmp_path: Path) -> None:
    """In the background; it is stopped at once."""
    data = {"path": str(DATA / "text.jsonl"), "chat_template": None, "column_mapping": {}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config("llm", data=data, params={"block_size": 64})))
    run = train("import", str(tmp_path / "config.yaml"), "--start", "--json")
    assert run.spec().method == "lm"
    runs.stop(run, save=False)


# --- the page


def test_the_page_takes_configs_and_specs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted into the spec's box: the spec takes its place, the settings follow, the warnings stand below."""
    monkeypatch.setenv("HF_USERNAME", "someone")
    changes = train_events.on_spec(ORPO.read_text())
    assert parse_spec(yaml.safe_load(changes["train_spec"])) == import_config(ORPO).spec
    assert (changes["train_set_model"], changes["train_set_accumulation"]) == ("meta-llama/Meta-Llama-3-8B-Instruct", 4)
    assert "AutoTrain's ORPO counts those of the prompt" in changes["train_planned"]
    own = train_events.on_spec((ROOT / "examples" / "runs" / "question-answer.yaml").read_text())
    assert own["train_set_model"] == "tiny-chat"
    assert not {"train_spec", "train_planned"} & set(own)
    refused = train_events.on_spec("task: llm-sft\nparams: {}\n")
    assert "base_model: is missing." in refused["train_planned"]
    assert set(refused) == {"train_planned", "train_start"}
    assert not any(map(is_foreign, ("", "a: [", "- 1", "task: x", "model: tiny-chat\ndata: x")))
