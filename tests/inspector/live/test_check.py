"""`check` on real trainers: wrong ones, each by a mistake that was published, and right ones."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

import inspector
from inspector.errors import CheckError, StrategyError, WrongTrainingError
from inspector.live import Report, check
from inspector.live.callback import MaskscopeCallback, watch
from inspector.paths import MODELS
from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[3]
CHAT = [
    {"messages": [
        {"role": "user", "content": f"What is {i} and {i}?"},
        {"role": "assistant", "content": f"It is {2 * i}."},
        {"role": "user", "content": "Are you sure?"},
        {"role": "assistant", "content": "Yes, quite sure."},
    ]}
    for i in range(12)
]  # fmt: skip
ASKED = [{"role": "user", "content": "What is the capital of France?"}]
PAIRS = [
    {
        "prompt": ASKED,
        "chosen": [{"role": "assistant", "content": f"Paris, {i}."}],
        "rejected": [{"role": "assistant", "content": "I do not know."}],
    }
    for i in range(8)
]
COMPLETIONS = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PAIRS]


@cache
def tokenizer() -> Any:
    """That of tiny-chat, as a user loads it."""
    return AutoTokenizer.from_pretrained(MODELS / "tiny-chat")


def tiny(kind: Any = LlamaForCausalLM, **more: Any) -> Any:
    """A model of random weights."""
    set_seed(0)
    own = tokenizer()
    config = LlamaConfig(
        vocab_size=len(own), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=own.pad_token_id, eos_token_id=own.eos_token_id, bos_token_id=None, **more,
    )  # fmt: skip
    return kind(config)


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    """Arguments of a short run on the CPU."""
    return {
        "output_dir": str(folder), "report_to": "none", "per_device_train_batch_size": 3, "max_steps": 3,
        "use_cpu": True, "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1, **more,
    }  # fmt: skip


def sft(folder: Path, rows: list[Any] = CHAT, own: Any = None, **more: Any) -> SFTTrainer:
    """TRL's SFTTrainer."""
    config = SFTConfig(**settings(folder, **more))
    return SFTTrainer(tiny(), config, train_dataset=Dataset.from_list(rows), processing_class=own or tokenizer())


def labelled(strategy: str = "traced", rows: list[Any] = CHAT, model: str = "tiny-chat", **options: Any) -> Dataset:
    """Rows of ids and labels by a strategy."""
    inspections = [inspector.inspect(inspector.load(model), row["messages"], strategy, **options) for row in rows]
    return Dataset.from_list([{"input_ids": one.ids, "labels": one.labels} for one in inspections])


def plain(folder: Path, rows: Any, collator: Any = None, own: Any = None, **more: Any) -> Trainer:
    """transformers' own Trainer."""
    own = own or tokenizer()
    collator = collator or DataCollatorForSeq2Seq(own)
    arguments = TrainingArguments(**settings(folder, **more))
    return Trainer(tiny(), arguments, train_dataset=rows, data_collator=collator, processing_class=own)


def kinds(report: Report, level: str = "wrong") -> list[str]:
    """The kinds of what is wrong."""
    return [problem.kind for problem in report.problems if problem.level == level]


def causes(report: Report) -> str:
    """All the causes that were named."""
    return " ".join(dict.fromkeys(problem.cause for problem in report.problems))


# --- right ones


@pytest.mark.parametrize(
    ("make", "warned"),
    [
        (lambda folder: sft(folder, assistant_only_loss=True), []),
        (lambda folder: sft(folder, assistant_only_loss=True, packing=True, max_length=256), []),
        (lambda folder: sft(folder, assistant_only_loss=True, padding_free=True, max_length=None), []),
        (lambda folder: sft(folder, COMPLETIONS), ["extra:newline"]),
        (lambda folder: plain(folder, labelled()), []),
    ],
    ids=["answers alone", "packed", "padding free", "prompt and completion", "plain trainer"],
)
def test_a_right_run_is_right(make: Callable[[Path], Any], warned: list[str], tmp_path: Path) -> None:
    """Nothing is wrong; what TRL trains after an answer's stop is said, and no more than a warning."""
    report = check(make(tmp_path))
    assert report.ok
    assert (kinds(report), kinds(report, "warning")) == ([], warned)
    assert "trains what was meant" in report.headline
    report.raise_if_wrong()
    assert report.to_dict()["ok"]


def test_a_prompt_that_holds_answers(tmp_path: Path) -> None:
    """Of prompts and completions the completion is meant, whatever the assistant said before; also in a callback."""
    rows = [{"prompt": row["messages"][:3], "completion": row["messages"][3:]} for row in CHAT]
    trainer, callback = sft(tmp_path, rows), MaskscopeCallback()
    report = check(trainer)
    assert report.ok
    assert kinds(report) == []
    trainer.add_callback(callback)
    trainer.train()
    assert callback.report is not None
    assert callback.report.ok
    wrong = check(sft(tmp_path, rows, completion_only_loss=False))
    assert "extra:user" in kinds(wrong)
    assert "completion_only_loss is False" in causes(wrong)


def test_a_text_that_a_trainer_ends(tmp_path: Path) -> None:
    """TRL appends an EOS token to a rendered text that ends in a newline; the conversation is read all the same."""
    texts = [{"text": tokenizer().apply_chat_template(row["messages"], tokenize=False)} for row in CHAT]
    report = check(sft(tmp_path, texts))
    assert kinds(report) == ["extra:user", "extra:template"]
    assert kinds(report, "unknown") == []
    assert report.rows[0].example.tokens.texts[-3:] == ("<|im_end|>", "\n", "<|im_end|>")
    ends = [problem for problem in report.problems if problem.kind == "extra:after_stop"]
    assert [problem.level for problem in ends] == ["warning"]


def test_a_header_that_is_trained_in_part() -> None:
    """TRL's own template for Qwen2.5 trains the newline of the header: a warning, for the prompt holds it."""
    inspections = [inspector.inspect(inspector.load("tiny-chat"), row["messages"]) for row in CHAT]
    rows = []
    for one in inspections:
        ends = {turn.header.end for _, turn in one.example.answers() if turn.header}
        spans = one.example.tokens.char_spans
        labels = [id if spans[i][1] in ends else one.labels[i] for i, id in enumerate(one.ids)]
        rows.append({"input_ids": one.ids, "labels": labels})
    report = check(rows, tokenizer=tokenizer())
    assert report.ok
    assert kinds(report, "warning") == ["extra:header"]


def test_batches_without_labels_are_not_judged() -> None:
    """Nothing in them says what is trained: that is not right, and not wrong."""
    rows = [inspector.inspect(inspector.load("tiny-chat"), row["messages"]).ids for row in CHAT[:2]]
    report = check([{"input_ids": rows}], tokenizer=tokenizer())
    assert not report.ok
    assert [(problem.kind, problem.level) for problem in report.problems] == [("no_labels", "unknown")]
    assert report.headline.startswith("This data could not be judged: the batch has no labels")


def test_text_without_turns_that_is_meant_to_train_whole(tmp_path: Path) -> None:
    """Plain text has no turns to read; where every token is meant, none is needed."""
    texts = [{"text": f"Once upon a time there were {i} bears."} for i in range(9)]
    assert check(sft(tmp_path, texts), strategy="full").ok
    report = check(sft(tmp_path, texts))
    assert not report.ok
    assert kinds(report, "unknown") == ["unknown"]
    assert "no header that the template writes" in causes(report)


def test_rows_that_could_not_be_judged_are_counted(tmp_path: Path) -> None:
    """Rows wrapped at a length begin in the middle of a conversation."""
    report = check(sft(tmp_path, assistant_only_loss=True, packing=True, packing_strategy="wrapped", max_length=100))
    assert re.search(r"what was meant in \d+ rows?, and \d+ more rows? could not be judged\.$", report.headline)


def test_characters_that_a_terminal_obeys_are_shown() -> None:
    """Text of the data neither colours a terminal nor turns a page around."""
    chat = [{"role": "user", "content": "\x1b[31m\x00\u202eHi"}, {"role": "assistant", "content": "Hello!"}]
    one = inspector.inspect(inspector.load("tiny-chat"), chat)
    report = check([{"input_ids": [one.ids], "labels": [one.ids]}], tokenizer=tokenizer())
    for text in (str(report), report.html()):
        assert not set(text) & set("\x1b\x00\u202e")
        assert "\\u001b" in text


def test_pairs_are_judged_by_their_answers(tmp_path: Path) -> None:
    """DPO's batches hold both answers, chosen first; each is judged, and its prompt is not."""
    trainer = DPOTrainer(
        tiny(), tiny(), DPOConfig(**settings(tmp_path)), train_dataset=Dataset.from_list(PAIRS),
        processing_class=tokenizer(),
    )  # fmt: skip
    report = check(trainer)
    assert report.ok
    assert {row.row.side for row in report.rows} == {"chosen", "rejected"}
    assert len(report.rows) == 2 * len(PAIRS)
    text = "".join(
        report.rows[0].example.tokens.texts[i] for i, bit in enumerate(report.rows[0].row.trained or ()) if bit
    )
    assert text.startswith("Paris, ")


def test_kto_and_reward_are_read(tmp_path: Path) -> None:
    """KTO has a mask of the answer; a reward has no loss of tokens, and its text is read all the same."""
    rows = [{**row, "label": bool(i % 2)} for i, row in enumerate(COMPLETIONS)]
    kto = KTOTrainer(
        tiny(), tiny(), KTOConfig(**settings(tmp_path, per_device_train_batch_size=4)),
        train_dataset=Dataset.from_list(rows), processing_class=tokenizer(),
    )  # fmt: skip
    assert check(kto).ok
    reward = RewardTrainer(
        tiny(LlamaForSequenceClassification, num_labels=1), RewardConfig(**settings(tmp_path)),
        train_dataset=Dataset.from_list(PAIRS), processing_class=tokenizer(),
    )  # fmt: skip
    report = check(reward)
    assert report.ok
    assert {row.row.trained for row in report.rows} == {None}


# --- wrong ones


def test_everything_is_trained(tmp_path: Path) -> None:
    """SFTTrainer on messages without assistant_only_loss trains the questions, too."""
    report = check(sft(tmp_path))
    assert kinds(report) == ["extra:user", "extra:template"]
    assert "extra:header" in kinds(report, "warning")
    assert "assistant_only_loss is off" in causes(report)
    assert "!!" in str(report)
    with pytest.raises(WrongTrainingError, match="user text"):
        report.raise_if_wrong()
    assert check(sft(tmp_path), strategy="full").ok


def test_padding_that_is_the_stop_token(tmp_path: Path) -> None:
    """A collator that finds padding by its id takes the stop tokens for padding."""
    own = AutoTokenizer.from_pretrained(MODELS / "tiny-chat", pad_token="<|im_end|>")
    rows = Dataset.from_list([{"input_ids": row["input_ids"]} for row in labelled()])
    report = check(plain(tmp_path, rows, DataCollatorForLanguageModeling(own, mlm=False), own))
    assert "missing:stop" in kinds(report)
    assert "The padding token is the stop token ('<|im_end|>'" in causes(report)


class ResponseCollator(DataCollatorForLanguageModeling):
    """Trains what stands after the ids of a text, as TRL's former DataCollatorForCompletionOnlyLM did."""

    def __init__(self, response_template: str, own: Any) -> None:
        super().__init__(own, mlm=False)
        self.response_token_ids = own.encode(response_template, add_special_tokens=False)

    def torch_call(self, examples: list[Any]) -> Any:
        """The batch, with labels after the last match alone."""
        batch, size = super().torch_call(examples), len(self.response_token_ids)
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"], strict=True):
            found = [i for i in range(len(ids)) if ids[i : i + size] == self.response_token_ids]
            labels[: found[-1] + size if found else len(ids)] = -100
        return batch


def test_a_response_template_that_merges(tmp_path: Path) -> None:
    """A response template whose ids are others in context is in no row: nothing is trained."""
    rows = Dataset.from_list([{"input_ids": row["input_ids"]} for row in labelled()])
    report = check(plain(tmp_path, rows, ResponseCollator("\nassistant", tokenizer())))
    assert kinds(report) == ["missing:answer"]
    assert "none of the rows without a trained token holds them" in causes(report)
    found = check(plain(tmp_path, rows, ResponseCollator("<|im_start|>assistant\n", tokenizer())))
    assert kinds(found) == ["missing:answer"]  # the first answer of each row
    assert causes(found) == ""


def test_a_mask_without_generation_tags(tmp_path: Path) -> None:
    """transformers' mask of the assistant's tokens is empty where the template has no tags; nothing is trained."""
    own = AutoTokenizer.from_pretrained(MODELS / "tiny-chat")
    own.chat_template = re.sub(r"{%-? (end)?generation -?%}", "", own.chat_template)
    made = [
        own.apply_chat_template(row["messages"], return_dict=True, return_assistant_tokens_mask=True) for row in CHAT
    ]
    rows = [
        {
            "input_ids": one["input_ids"],
            "labels": [id if bit else -100 for id, bit in zip(one["input_ids"], one["assistant_masks"], strict=True)],
        }
        for one in made
    ]
    report = check(plain(tmp_path, Dataset.from_list(rows)))
    assert kinds(report) == ["missing:answer"]
    assert report.problems[0].rows == len(CHAT)
    assert "[[" in str(report)


def test_packing_that_leaks(tmp_path: Path) -> None:
    """Rows of several conversations, whose lengths the collator drops."""
    rows = labelled()
    packed = [
        {name: [*rows[i][name], *rows[i + 1][name]] for name in ("input_ids", "labels")}
        | {"seq_lengths": [len(rows[i]["input_ids"]), len(rows[i + 1]["input_ids"])]}
        for i in range(0, len(rows), 2)
    ]
    collator = DataCollatorForSeq2Seq(tokenizer())

    def drop(features: list[Any]) -> Any:
        return collator([{name: row[name] for name in ("input_ids", "labels")} for row in features])

    report = check(plain(tmp_path, Dataset.from_list(packed), drop, remove_unused_columns=False))
    assert kinds(report) == ["packing_leaks"]
    assert {row.row.part for row in report.rows} == {0, 1}


def test_conversations_that_nobody_says_are_several(tmp_path: Path) -> None:
    """Without lengths: told by the conversations at hand, or by the BOS token that begins each."""
    rows = labelled()
    joined = [
        {name: [*rows[i][name], *rows[i + 1][name], *rows[i + 2][name][:20]] for name in ("input_ids", "labels")}
        for i in range(0, 9, 3)
    ]
    trainer = plain(tmp_path, Dataset.from_list(joined))
    report = check(trainer, data=CHAT)
    assert kinds(report) == ["packing_leaks"]
    assert [row.row.part for row in report.rows] == [0, 1, 2] * 3
    assert [bool(row.cut) for row in report.rows] == [False, False, True] * 3
    ids = [inspector.inspect(inspector.load("bytes-bos"), row["messages"]).ids for row in CHAT[:2]]
    batch = {"input_ids": [[*ids[0], *ids[1]]], "labels": [[*ids[0], *ids[1]]]}
    report = check([batch], tokenizer="bytes-bos", strategy="full")
    assert kinds(report) == ["packing_leaks"]
    assert len(report.rows) == 2


def test_rows_without_a_trained_token(tmp_path: Path) -> None:
    """A prompt that fills the row leaves nothing: a warning for some rows, wrong where no row has any."""
    rows = labelled()
    cut = [{name: row[name][:9] for name in ("input_ids", "labels")} for row in rows]
    report = check(plain(tmp_path, Dataset.from_list(cut)))
    assert kinds(report) == ["untrained"]
    assert not report.ok
    report = check(plain(tmp_path, Dataset.from_list([*cut[:3], *rows.to_list()[3:]])))
    assert kinds(report, "warning") == ["untrained"]
    assert report.ok


def test_truncation_that_cuts_answers(tmp_path: Path) -> None:
    """An answer that is cut off is said, with the setting that cuts."""
    report = check(sft(tmp_path, assistant_only_loss=True, max_length=40))
    assert kinds(report, "warning") == ["cut"]
    assert "Rows are cut at max_length=40." in causes(report)
    known = check(sft(tmp_path, assistant_only_loss=True, max_length=40), data=CHAT)
    assert kinds(known, "warning") == ["cut"]
    assert {row.cut for row in known.rows} == {len(labelled()[0]["input_ids"]) - 40}


def test_parts_of_another_model(tmp_path: Path) -> None:
    """Unsloth's train_on_responses_only with parts that are another model's: its rows are all masked."""
    wrong = labelled("responses_only", instruction_part="[INST]", response_part="[/INST]")
    report = check(plain(tmp_path, wrong))
    assert kinds(report) == ["missing:answer"]


def test_a_second_bos(tmp_path: Path) -> None:
    """A rendered text that is tokenized with special tokens begins with two."""
    own = AutoTokenizer.from_pretrained(MODELS / "bytes-bos")
    own.pad_token = own.unk_token or own.eos_token
    texts = [own.apply_chat_template(row["messages"], tokenize=False) for row in CHAT]
    ids = [own(text)["input_ids"] for text in texts]
    rows = Dataset.from_list([{"input_ids": one, "labels": one} for one in ids])
    report = check(plain(tmp_path, rows, own=own))
    assert "double_bos" in kinds(report) + kinds(report, "warning")


def test_labels_that_are_moved_twice(tmp_path: Path) -> None:
    """Labels moved by hand, which the model moves again; and padding with labels."""
    rows = [{"input_ids": row["input_ids"], "labels": [*row["labels"][1:], -100]} for row in labelled()]
    assert kinds(check(plain(tmp_path, Dataset.from_list(rows)))) == ["labels_shifted"]
    own = tokenizer()

    def pad(features: list[Any]) -> Any:
        batch = own.pad([{"input_ids": row["input_ids"]} for row in features], return_tensors="pt")
        return {**batch, "labels": batch["input_ids"].clone()}

    rows = [row for count in (1, 3) for row in labelled(rows=[{"messages": (CHAT[0]["messages"])[: count + 1]}])]
    report = check(plain(tmp_path, Dataset.from_list(rows), pad), strategy="full")
    assert kinds(report) == ["padding_in_loss"]


# --- what it leaves as it was


def _losses(folder: Path, *, checked: bool) -> list[float]:
    trainer = sft(folder, assistant_only_loss=True)
    if checked:
        check(trainer)
        trainer.add_callback(MaskscopeCallback())
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_a_run_is_the_same_with_and_without(tmp_path: Path) -> None:
    """The losses of a run are bit for bit those of one that nobody looked at."""
    assert _losses(tmp_path, checked=True) == _losses(tmp_path, checked=False)


def test_no_random_state_moves(tmp_path: Path) -> None:
    """Neither Python's, NumPy's and torch's, nor a loader's generator; accelerate's list of loaders is as it was."""
    trainer = sft(tmp_path, assistant_only_loss=True)

    def states() -> list[Any]:
        own = numpy.random.get_state()
        return [random.getstate(), own[1].tolist(), own[2], torch.random.get_rng_state().tolist(),
                list(trainer.accelerator._dataloaders)]  # fmt: skip

    before = states()
    check(trainer)
    assert states() == before
    generator = torch.Generator().manual_seed(7)
    collator = DataCollatorForSeq2Seq(tokenizer())
    loader = DataLoader(labelled(), batch_size=3, shuffle=True, generator=generator, collate_fn=collator)
    expected = [batch["input_ids"].tolist() for batch in loader]
    generator.manual_seed(7)
    report = check(loader, tokenizer=tokenizer(), batches=2)
    assert [batch["input_ids"].tolist() for batch in loader] == expected
    first = [ids for batch in expected[:2] for ids in batch]
    pad = tokenizer().pad_token_id
    assert [list(row.row.ids) for row in report.rows] == [[id for id in ids if id != pad] for ids in first]


# --- inside a run


@pytest.mark.parametrize("more", [{}, {"train_sampling_strategy": "group_by_length"}, {"dataloader_num_workers": 1}])
def test_the_rows_are_those_that_the_run_trains(more: dict[str, Any], tmp_path: Path) -> None:
    """The checked batches are the first ones of the run, token by token, however they are sampled."""
    trainer, callback, seen = sft(tmp_path, assistant_only_loss=True, **more), MaskscopeCallback(batches=3), []
    trainer.add_callback(callback)
    loss = trainer.compute_loss

    def spy(model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        masks = inputs["attention_mask"].bool()
        for ids, labels, mask in zip(inputs["input_ids"], inputs["labels"], masks, strict=True):
            seen.append((tuple(ids[mask].tolist()), tuple((labels[mask] != -100).tolist())))
        return loss(model, inputs, *rest, **options)

    trainer.compute_loss = spy
    trainer.train()
    assert callback.report is not None
    assert [(row.row.ids, row.row.trained) for row in callback.report.rows] == seen


def test_the_callback_stops_a_wrong_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the report before the first step; told so, it stops the run there."""
    trainer = sft(tmp_path)
    trainer.add_callback(MaskscopeCallback(stop=True))
    with pytest.raises(WrongTrainingError):
        trainer.train()
    assert trainer.state.global_step == 0
    assert "✗ The trainer trains user text" in capsys.readouterr().err
    trainer = sft(tmp_path)
    callback = MaskscopeCallback()
    trainer.add_callback(callback)
    trainer.train()
    assert trainer.state.global_step == 3
    assert callback.report is not None
    assert not callback.report.ok


def test_a_run_that_cannot_be_judged_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tokenizer without a chat template: that is said, and the run goes on."""
    own = AutoTokenizer.from_pretrained(MODELS / "tiny-chat")
    own.chat_template = None
    trainer = plain(tmp_path, labelled(), own=own)
    trainer.add_callback(MaskscopeCallback(stop=True))
    trainer.train()
    assert trainer.state.global_step == 3
    assert "Maskscope could not check this run" in capsys.readouterr().err


def test_a_check_that_fails_stops_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a data set raises: it is said, and the run goes on."""
    rows = labelled().to_list()

    class Flaky(torch.utils.data.Dataset):  # type: ignore[type-arg]
        asked = 0

        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise OSError("the disk is not there yet")
            return rows[index]

    trainer = plain(tmp_path, Flaky())
    trainer.add_callback(MaskscopeCallback(stop=True))
    trainer.train()
    assert trainer.state.global_step == 3
    assert "could not check this run: OSError: the disk is not there yet" in capsys.readouterr().err


def test_all_processes_stop(tmp_path: Path) -> None:
    """One process has the wrong rows: the others stop as well, and do not wait for it."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ENDED": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    ended = [(tmp_path / rank).read_text() for rank in "01"]  # what both print could stand in one line
    assert ended == ["stopped after 0: Process 1: ✗ Alternating trains user text"] * 2


def test_watch_keeps_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the run's folder, and in TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    trainer = sft(tmp_path, report_to="tensorboard")
    watcher = watch(trainer)
    trainer.train()
    assert watcher.report is not None
    assert (tmp_path / "maskscope.txt").read_text() == f"{watcher.report}\n"
    assert (tmp_path / "maskscope.html").read_text() == watcher.report.html()
    assert '"ok": false' in (tmp_path / "maskscope.json").read_text()
    events = EventAccumulator(str(next(tmp_path.rglob("events.out*")).parent)).Reload()
    text = events.Tensors("maskscope/text_summary")[0].tensor_proto.string_val[0].decode()
    assert watcher.report.headline in text


RUN = """
import os
import tempfile
from pathlib import Path

from tests.inspector.live import test_check as made
from torch.utils.data import SequentialSampler

from inspector.errors import WrongTrainingError
from inspector.live.callback import watch


class Alternating(made.Trainer):
    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


rows = [{**row, "labels": row["input_ids"] if i % 2 else row["labels"]} for i, row in enumerate(made.labelled())]
collator = made.DataCollatorForSeq2Seq(made.tokenizer())
options = made.settings(Path(tempfile.mkdtemp()), per_device_train_batch_size=1, ddp_backend="gloo")
trainer = Alternating(
    made.tiny(), made.TrainingArguments(**options), train_dataset=made.Dataset.from_list(rows), data_collator=collator,
    processing_class=made.tokenizer(),
)
watch(trainer, stop=True)
try:
    trainer.train()
except WrongTrainingError as error:
    message = str(error).split(" (")[0]
    ended = Path(os.environ["ENDED"], str(trainer.args.process_index))
    ended.write_text(f"stopped after {trainer.state.global_step}: {message}")
"""
"""A run of several processes, of which the odd ones have rows that train whole."""


# --- errors


@pytest.mark.parametrize(
    ("source", "more", "says"),
    [
        (iter([]), {"tokenizer": "tiny-chat"}, "A check takes a trainer, a DataLoader"),
        (None, {}, "`labels`; not NoneType."),
        ("rows.jsonl", {}, "Files and data sets of the hub are for `python -m inspector audit`."),
        ({"input_ids": [[1]]}, {"tokenizer": "tiny-chat"}, "Give one batch in a list: `check([batch])`."),
        (Dataset.from_list(CHAT), {"tokenizer": "tiny-chat"}, "Its rows have messages: check the trainer"),
        ([], {"tokenizer": "tiny-chat"}, "A check takes a trainer"),
        ([{"a": 1}], {}, "There is no tokenizer to read the rows with"),
        (
            [{"a": 1}],
            {"tokenizer": "tiny-chat"},
            "a list of ids for each row; it holds a.",
        ),
        ([["a"]], {"tokenizer": "tiny-chat"}, "A batch is of the kind list"),
        ([{"input_ids": [[1, 2]], "labels": [0]}], {"tokenizer": "tiny-chat"}, "`labels` has not one label for each"),
        ([{"input_ids": [[1, 2]], "labels": [[1, 9]]}], {"tokenizer": "tiny-chat"}, "A label is neither"),
        ([{"input_ids": [], "labels": []}], {"tokenizer": "tiny-chat"}, "The first batches hold no row"),
        ([{"input_ids": [[1, 2]]}], {"tokenizer": "tiny-chat", "batches": 0}, "`batches` is 0"),
        (
            [{"input_ids": [[1, 2]]}],
            {"tokenizer": "tiny-chat", "batches": "4"},
            "`batches` is '4', and must",
        ),
    ],
)
def test_what_cannot_be_checked_is_said(source: Any, more: dict[str, Any], says: str) -> None:
    """Each with what it is and what to give instead."""
    with pytest.raises(CheckError, match=re.escape(says)):
        check(source, **more)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"strategy": "magic"}, "There is no strategy 'magic'"),
        ({"strategy": "full", "turns": "last"}, "has no option 'turns'"),
        ({"turns": "first"}, "turns is 'first'"),
    ],
)
def test_what_is_meant_must_exist(more: dict[str, Any], says: str) -> None:
    """A rule that does not exist is said, even where no row can be read."""
    with pytest.raises(StrategyError, match=says):
        check([{"input_ids": [[5, 6]], "labels": [[5, 6]]}], tokenizer="tiny-chat", **more)


def test_a_trainer_without_rows_and_one_that_can_be_read_once(tmp_path: Path) -> None:
    """Neither is used up nor guessed at."""
    trainer = plain(tmp_path, None)
    with pytest.raises(CheckError, match="no train_dataset"):
        check(trainer)
    with pytest.raises(CheckError, match="train_dataset holds no row"):
        check(plain(tmp_path, labelled().select([])))

    class Once(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            self.left = list(labelled())

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return self.left.pop()

    rows = Once()
    with pytest.raises(CheckError, match="read only once"):
        check(plain(tmp_path, rows))
    assert len(rows.left) == len(CHAT)
