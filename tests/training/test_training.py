"""A run trains exactly what the inspector shows, and says so; it can be stopped, killed, resumed and compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import inspector
from inspector.data.source import BadRow, DataSource
from inspector.strategies import STRATEGIES
from inspector.trainers.markers import propose_markers
from tests.support.training_runs import DATA, FAST, ROOT, begin, ended, go_on, run_here, stopped_at, wait_for
from training.errors import LabelsDifferError, RunFolderError, RunNotFoundError, RunStateError, SpecError
from training.launch import runs
from training.rows.prepare import load_model, prepare
from training.rows.written import row_hash, write_rows
from training.run.folder import Phase, RunDir, append_line, read_lines
from training.spec import RunSpec, parse_spec, parse_text
from training.trainer.proof import ProvingCollator

# --- one run, looked at from all sides


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDir]:
    """A run that taught tiny-chat twelve answers."""
    root = tmp_path_factory.mktemp("runs")
    run = begin(root, max_steps=40, evaluation={"share": 0.2, "every": 20})
    wait_for(run, ended)
    yield run
    runs.kill(run)


def losses(run: RunDir) -> dict[int, float]:
    """Step -> training loss."""
    return {line["step"]: line["loss"] for line in read_lines(run.metrics_file)[0] if "loss" in line}


def test_run_ends_well_and_learns(finished: RunDir) -> None:
    """Every step is logged, the loss falls, the answers change to the data's."""
    status = finished.status()
    assert (status.phase, status.step, status.max_steps) == (Phase.SUCCEEDED, 40, 40), finished.log_tail()
    found = losses(finished)
    assert sorted(found) == list(range(1, 41))
    assert found[40] < 0.5 * found[1]
    samples = finished.samples()
    before = {s["question"]: s["answer"] for s in samples if s["when"] == "before"}
    after = {s["question"]: s["answer"] for s in samples if s["when"] == "after"}
    assert before != after
    learned = [s for s in samples if s["when"] == "after" and s["answer"] == f"{s['reference']}<|im_end|>"]
    assert len(learned) >= 2


def test_run_proves_what_it_trained(finished: RunDir) -> None:
    """The sentence is in the log and in the manifest; its counts are the inspector's."""
    manifest = finished.manifest()
    assert manifest["proof"]["trained_tokens"] == manifest["trained_tokens"] + _held_out(finished)
    assert "identical to the inspector's" in finished.log_file.read_text()
    assert manifest["proof"]["sentence"] in finished.log_file.read_text()
    model, total, trained = inspector.load("tiny-chat"), 0, 0
    for row in DataSource(name=DATA).rows():
        chat = [
            {"role": "user", "content": row.value["question"]},
            {"role": "assistant", "content": row.value["answer"]},
        ]
        inspection = inspector.inspect(model, chat)
        total, trained = total + len(inspection.ids), trained + sum(inspection.trained)
    assert manifest["proof"]["total_tokens"] == total
    assert manifest["proof"]["trained_tokens"] == trained


def _held_out(run: RunDir) -> int:
    from pyarrow import parquet

    rows = parquet.read_table(run.data / "held_out" / "rows.parquet").to_pylist()
    assert len(rows) == 2
    return sum(label != -100 for row in rows for label in row["labels"])


def test_evaluation_really_runs(finished: RunDir) -> None:
    """On the rows held out, when asked for."""
    evaluated = [line for line in read_lines(finished.metrics_file)[0] if "eval_loss" in line]
    assert [line["step"] for line in evaluated] == [20, 40]


def test_adapter_loads_and_gives_the_taught_answers(finished: RunDir) -> None:
    """Into the base model, with peft."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from training.spec import SamplingSpec
    from training.weights.answers import questions, write_answers

    spec, model = finished.spec(), inspector.load("tiny-chat")
    base = AutoModelForCausalLM.from_pretrained(str(ROOT / "models" / "tiny-chat"), dtype="float32")
    tuned = PeftModel.from_pretrained(base, str(finished.adapter))
    rows = list(prepare(spec, spec.data, model, []))[:3]
    asked = questions(SamplingSpec(), rows, model)
    after = [s["answer"] for s in finished.samples() if s["when"] == "after"]
    assert write_answers(tuned, model, asked, 16) == after


def test_command_line_shows_the_run(finished: RunDir) -> None:
    """With the keys that are promised."""
    done = subprocess.run(
        [sys.executable, "-m", "training", "show", str(finished.path), "--json"],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    shown = json.loads(done.stdout)
    assert {"run_id", "phase", "step", "max_steps", "error", "trained_tokens", "total_tokens"} <= set(shown)
    assert (shown["phase"], shown["error"]) == ("succeeded", None)
    assert not {"torch", "trl"} & _imported("import training.__main__")


def _imported(statement: str) -> set[str]:
    script = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_readme_tells_of_this_very_data(finished: RunDir) -> None:
    """Its spec is one, and its sentence is the one that a run ends with."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    spec = parse_spec(yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]))
    assert (spec.data.name, spec.max_steps) == ("examples/data/question-answer.csv", 40)
    sentence = finished.manifest()["proof"]["sentence"].rstrip(".")
    assert sentence in " ".join(text.split())


# --- stopping, killing, resuming


def test_stopped_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Stopped in the middle and resumed, its losses are those of a run that was never stopped."""
    with stopped_at(7):
        cut = run_here(tmp_path / "runs", max_steps=30)
    stopped = cut.status()
    assert (stopped.phase, stopped.step) == (Phase.STOPPED, 7), cut.log_tail()
    assert cut.checkpoint() is not None
    assert (cut.adapter / "adapter_model.safetensors").is_file()
    try:
        go_on(cut)
        assert wait_for(cut, ended).phase is Phase.SUCCEEDED, cut.log_tail()
    finally:
        runs.kill(cut)
    whole = run_here(tmp_path / "whole", max_steps=30)
    assert whole.status().phase is Phase.SUCCEEDED
    assert losses(cut) == losses(whole)
    with pytest.raises(RunStateError, match="did all its steps"):
        runs.resume(cut)


def test_ended_run_is_neither_stopped_nor_resumed(tmp_path: Path) -> None:
    """Said, with what to do; once deleted it is not found any more."""
    run = RunDir.create(tmp_path, parse_spec(FAST))
    run.write_status(replace(run.written_status(), phase=Phase.STOPPED))
    with pytest.raises(RunStateError, match="has ended already: stopped"):
        runs.stop(run)
    with pytest.raises(RunStateError, match=r"has no checkpoint to resume from: start it again"):
        runs.resume(run)
    runs.delete(run)
    with pytest.raises(RunNotFoundError, match="is not a run in "):
        runs.find(run.run_id, tmp_path)


def test_failed_run_says_why(tmp_path: Path) -> None:
    """A layer that the model has not; a data set that is not there."""
    status = run_here(tmp_path, max_steps=1, lora={"modules": ["nothing_proj"]}).status()
    assert status.phase is Phase.FAILED
    assert "the model has no layers 'nothing_proj'. It has attention: k_proj" in str(status.error)
    missing = run_here(tmp_path, max_steps=1, data=str(ROOT / "nothing.csv"))
    assert "There is no file" in str(missing.status().error)


def test_damaged_metrics_are_left_out(tmp_path: Path) -> None:
    """An unfinished last line is read later, a broken one never."""
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"step": 1})
    with path.open("ab") as file:
        file.write(b'{"step": \xff\n{"step": 2}\n{"st')
    found, offset = read_lines(path)
    assert found == [{"step": 1}, {"step": 2}]
    with path.open("ab") as file:
        file.write(b'ep": 3}\n')
    assert read_lines(path, offset)[0] == [{"step": 3}]
    with path.open("ab") as file:
        file.write(b'{"st')
    append_line(path, {"step": 4})
    assert read_lines(path)[0][-1] == {"step": 4}
    assert read_lines(tmp_path / "none") == ([], 0)


def test_damaged_status_is_named(tmp_path: Path) -> None:
    """Neither guessed nor ignored."""
    run = RunDir.create(tmp_path, parse_spec(FAST))
    run.status_file.write_text("{")
    with pytest.raises(RunFolderError, match=r"status.json cannot be read"):
        run.status()
    with pytest.raises(RunNotFoundError, match="There is no run 'x'"):
        RunDir.open(tmp_path / "x")


# --- labels


def options_of(strategy: str, model: inspector.Model) -> dict[str, Any]:
    """What a strategy that searches looks for, verified on two rows."""
    chats = [[{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": f"Yes {i}."}] for i in range(2)]
    markers = propose_markers([inspector.inspect(model, chat) for chat in chats])
    prefix, suffix = list(markers.prefix_ids or ()), list(markers.suffix_ids or ())
    text = {"response_template": "<|im_start|>assistant\n"}
    return {
        "home_llm": {"prefix_ids": prefix, "suffix_ids": suffix},
        "home_llm_intended": {"prefix_ids": prefix, "suffix_ids": suffix},
        "trl_completion_collator": {"response": prefix},
        "string_span": text,
        "llama3_sft": text,
        "dpo_boundary": {"rejected": "No."},
    }.get(strategy, {})


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_first_batches_are_the_inspectors_labels(tmp_path: Path, strategy: str, packing: bool) -> None:
    """Bit for bit, for every strategy: what the trainer's own data loader yields is what was inspected, up to the last
    trained token.
    """
    from training.trainer.methods.sft import build_trainer
    from training.trainer.proof import rows_of
    from training.weights.load import load_weights

    model = inspector.load("tiny-chat")
    spec = parse_spec(
        {**FAST, "strategy": strategy, "options": options_of(strategy, model), "packing": packing, "max_length": 48,
         "device": "cpu"}
    )  # fmt: skip
    unused: list[BadRow] = []
    rows = list(prepare(spec, spec.data, load_model(spec), unused))
    run = RunDir.create(tmp_path, spec)
    if not rows:
        assert unused
        with pytest.raises(SpecError, match="no row of it has a trained token"):
            write_rows(run.data, iter(rows))
        return
    write_rows(run.data, iter(rows))
    trainer, collator = build_trainer(spec, run, load_weights(spec, model), model.tokenizer, [])
    yielded = [row for batch in trainer.get_train_dataloader() for row in rows_of(batch)]
    expected = []
    for row in rows:
        inspection = inspector.inspect(model, row.conversation, strategy, spec.modifiers, **spec.options)
        assert (row.input_ids, row.labels) == inspection.row
        end = len(row.labels) - next(n for n, label in enumerate(reversed(row.labels)) if label != -100)
        expected.append((row.input_ids[:end], row.labels[:end]))
    assert sorted(yielded) == sorted(expected)
    assert collator.trained == sum(row.trained for row in rows)


def test_changed_labels_are_refused() -> None:
    """One bit is enough."""
    import torch

    def collate(_: Any) -> Any:
        return {"input_ids": torch.tensor([[5, 6, 7]]), "labels": torch.tensor([[-100, 6, 7]]),
                "attention_mask": torch.ones(1, 3)}  # fmt: skip

    proven = ProvingCollator(collate, [row_hash([5, 6, 7], [-100, 6, 7])])
    proven([])
    assert "2 trained tokens of 3 in 1 different rows" in proven.sentence()
    with pytest.raises(LabelsDifferError, match="does not match any row shown by the inspector"):
        ProvingCollator(collate, [row_hash([5, 6, 7], [-100, -100, 7])])([])


# --- the spec


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"model": None}, "model", "Input should be a valid string"),
        ({"data": None}, "data", "Input should be a valid"),
        ({"lr": 1}, "lr", "Did you mean learning_rate?"),
        ({"micro_batchs": 1}, "micro_batchs", "Did you mean micro_batch?"),
        ({"micro_batch": 0}, "micro_batch", "greater than or equal to 1"),
        ({"learning_rate": "fast"}, "learning_rate", "valid number"),
        ({"lora": {"ranks": 2}}, "lora.ranks", "there is no such field"),
        ({"strategy": "magic"}, "strategy", "There are: traced, full"),
        ({"keep": "some"}, "keep", "which is not one of: all"),
        ({"scheduler": "stairs"}, "scheduler", "There are: linear"),
        ({"optimizer": "magic"}, "optimizer", "There are: adamw_torch"),
        ({"quantization": "4bit", "lora": False}, "quantization", "Use lora."),
        ({"precision": "fp16", "device": "cpu"}, "precision", "fp16 training needs a CUDA device"),
        ({"evaluation": {"patience": 2}}, "evaluation.patience", "nothing to evaluate on"),
        ({"evaluation": {"share": 0.1, "data": {"name": "x"}}}, "evaluation.share", "Keep one of them"),
        ({"lora": {"modules": ["lm_head"]}}, "lora.modules", "lora.modules_to_save"),
    ],
)
def test_problems_are_named_by_their_field(fields: dict[str, Any], field: str, said: str) -> None:
    """With what to do."""
    with pytest.raises(SpecError) as refused:
        parse_spec({**FAST, **fields})
    problem = next(problem for problem in refused.value.problems if problem.field.split(".")[0] == field.split(".")[0])
    assert problem.severity == "error"
    assert said in f"{problem.message} {problem.remedy}"
    assert set(problem.to_dict()) == {"field", "severity", "message", "remedy"}


def test_every_problem_is_told_at_once() -> None:
    """Not the first alone; something that is no spec at all is refused, too."""
    with pytest.raises(SpecError) as refused:
        parse_spec({"model": "x", "data": "y", "strategy": "q", "scheduler": "z"})
    assert [problem.field for problem in refused.value.problems] == ["strategy", "scheduler"]
    with pytest.raises(SpecError, match="must be fields with values"):
        parse_spec([1])
    with pytest.raises(SpecError, match="spec: is empty, and must be fields with values"):
        parse_text("")


def test_spec_survives_yaml(tmp_path: Path) -> None:
    """What is at its default is not written; numbers may be written as YAML people do."""
    from training.spec import read_spec

    (tmp_path / "spec.yaml").write_text("model: tiny-chat\ndata: x.csv\nlearning_rate: 2e-4\nepochs: 1\nlora: true\n")
    spec = read_spec(str(tmp_path / "spec.yaml"))
    assert (spec.learning_rate, spec.epochs) == (2e-4, 1.0)
    assert RunSpec.model_validate(yaml.safe_load(spec.to_yaml())) == spec
    assert "seed" not in spec.to_yaml()
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SpecError, match="is not YAML"):
        read_spec(str(tmp_path / "bad.yaml"))
    with pytest.raises(SpecError, match="cannot be read"):
        read_spec(str(tmp_path / "none.yaml"))


def test_commands_on_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing there, nothing known; a bad spec ends with status 2."""
    from training.__main__ import main

    assert main(["list", "--runs", str(tmp_path)]) == 0
    assert "There are no runs." in capsys.readouterr().out
    assert main(["show", "x", "--runs", str(tmp_path)]) == 2
    assert "'x' is not a run in" in capsys.readouterr().err
    (tmp_path / "spec.yaml").write_text("model: tiny-chat\n")
    assert main(["run", str(tmp_path / "spec.yaml"), "--runs", str(tmp_path)]) == 2
    assert "error: data: is missing" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "spec.yaml"), "--runs", str(tmp_path), "--json"]) == 2
    said = capsys.readouterr()
    refused = json.loads(said.out)
    assert [problem["field"] for problem in refused["problems"]] == ["data"]
    assert "error: data: is missing" in said.err
    assert main(["show", "x", "--runs", str(tmp_path), "--json"]) == 2
    refused = json.loads(capsys.readouterr().out)
    assert refused["error"].startswith("'x' is not a run in")
    assert refused["problems"] == []
    (tmp_path / "spec.yaml").write_text(f"model: tiny-chat\ndata: {DATA}\n")
    assert main(["run", str(tmp_path / "spec.yaml"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lora"]["rank"] == 16


def test_runs_are_compared_by_what_differs(tmp_path: Path) -> None:
    """Settings that are equal are not mentioned."""
    from training.launch.runs import compare

    one, other = (RunDir.create(tmp_path, parse_spec({**FAST, "seed": seed})) for seed in (1, 2))
    append_line(one.metrics_file, {"step": 1, "loss": 2.0})
    compared = compare([one, other])
    assert compared["settings"] == {"seed": [1, 2]}
    assert compared["metrics"] == [{"step": 1, "loss": 2.0}, {}]
    one.write_status(replace(one.written_status(), phase=Phase.SUCCEEDED))


# --- rows that came with labels


def labelled(tmp_path: Path, **columns: Any) -> tuple[Path, list[dict[str, Any]]]:
    """A file of rows in which every second token trains, as a trainer prepares it, and the rows."""
    model, rows = inspector.load("tiny-chat"), []
    for row in DataSource(name=DATA).rows():
        assert not isinstance(row, BadRow)
        asked = {"role": "user", "content": row.value["question"]}
        ids = inspector.inspect(model, [asked, {"role": "assistant", "content": row.value["answer"]}]).ids
        rows.append({"input_ids": ids, "labels": [id if i % 2 else -100 for i, id in enumerate(ids)], **columns})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path, rows


def test_labels_train_as_they_are_given(tmp_path: Path) -> None:
    """Proven row by row, whatever strategy the spec names, and said; a row that cannot be used is told with why."""
    from pyarrow import parquet

    path, rows = labelled(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write('\n{"input_ids": [1, 2, 3], "labels": [1]}\n{"input_ids": [1, 99999], "labels": [1, 99999]}')
    run = run_here(tmp_path / "runs", data=str(path), strategy="full", keep="last_response", max_steps=6)
    status, manifest = run.status(), run.manifest()
    assert status.phase == Phase.SUCCEEDED, run.log_tail()
    assert status.notes == (
        "The rows' own labels are trained as they are, whatever the spec's strategy, options and keep say.",
    )
    written = parquet.read_table(run.data / "rows.parquet").to_pylist()
    assert [(row["input_ids"], row["labels"]) for row in written] == [(row["input_ids"], row["labels"]) for row in rows]
    trained = sum(label != -100 for row in rows for label in row["labels"])
    assert (manifest["trained_tokens"], manifest["strategy"]) == (trained, "own_labels")
    assert manifest["proof"]["trained_tokens"] == trained
    assert [row["why"] for row in manifest["unused_rows"]] == [
        "labels is a list of 1, and input_ids one of 3: each token must have an entry.",
        "Token 1 has the id 99999, and tiny-chat has ids from 0 to 2047: the row was made with the tokenizer of "
        "another model.",
    ]


def test_a_run_s_own_rows_train_again(tmp_path: Path) -> None:
    """The file that a run writes is a data set of the same rows."""
    path, _ = labelled(tmp_path)
    spec = parse_spec({**FAST, "data": str(path)})
    first = list(prepare(spec, spec.data, load_model(spec), []))
    write_rows(tmp_path / "written", iter(first))
    again = parse_spec({**FAST, "data": str(tmp_path / "written" / "rows.parquet"), "max_length": 8})
    rows = list(prepare(again, again.data, load_model(again), []))
    assert [(row.input_ids, row.labels) for row in rows] == [(row.input_ids[:8], row.labels[:8]) for row in first]


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_methods_that_compare_answers_refuse_labelled_rows(tmp_path: Path, method: str) -> None:
    """With what they need."""
    spec = parse_spec({**FAST, "data": str(labelled(tmp_path)[0]), "method": method})
    with pytest.raises(SpecError, match=rf"has rows of the kind labelled.[^$]*{method} needs the columns"):
        list(prepare(spec, spec.data, load_model(spec), []))
