"""The short way counts what the whole inspection counts; shards, workers and merges make no difference."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import pytest

import inspector
from inspector.audit import fast_path
from inspector.audit import run as audit_module
from inspector.audit.fast_path import ShortWay
from inspector.audit.report import AuditReport, RowCounts, count
from inspector.audit.run import Auditor, Progress, Task, audit
from inspector.audit.server_process import WAITS, helper, shut_down
from inspector.conversation import Conversation
from inspector.data.layouts import Format, Layout
from inspector.data.source import BadRow, DataSource, Row, detect_rows
from inspector.errors import DataError, FormatError, InspectorError, ReportError
from inspector.findings.codes import Code, Reads
from inspector.gallery import Entry, gallery
from inspector.inspection import as_rendered, inspect_by
from inspector.model.model import Model
from inspector.segments import SegmentCache
from inspector.strategies import Modifiers, Rule
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "data"
PIECES = [
    "Paris.", "The capital of France is Paris, and it is large.", "\nred", "\n\nx", " lead", "trail ", "tail\n", "  ",
    "a?\n\n", "<think>", "<think>\nhm</think>ok", "</think>", "<", "<tool_call>", "assistant", "user\n", "é", "日本",
    "👩‍👩‍👧", "<|im_end|>", "<|eot_id|>", "x<|im_end|>y", "", "\t", "[INST]", "### Assistant:", "</s>", "<s>", "1",
    "The", "<|im_start|>assistant\n", "\u200b", "a\r\nb", "e\u0301", "word " * 80,
]  # fmt: skip
"""Texts that merge, strip, fake turns, or are cut by a template."""


def variants(conversation: Conversation, rng: random.Random, count: int) -> Iterator[Conversation]:
    """Conversations of the same roles and fields with other texts."""
    for _ in range(count):
        messages = []
        for message in conversation.messages:
            changed = dict(message)
            for name, value in message.items():
                if name != "role" and isinstance(value, str) and rng.random() < 0.8:
                    parts = [rng.choice(PIECES), rng.choice(["Hello", "x y z"]), rng.choice(PIECES)]
                    changed[name] = "".join(parts if rng.random() < 0.5 else parts[:1])
            messages.append(changed)
        yield replace(conversation, messages=tuple(messages))


def comparable(counts: RowCounts) -> Any:
    """Everything that a report takes from a row; the order of its findings does not matter."""
    return replace(counts, found=tuple(sorted(counts.found, key=repr)))


def disagreements(task: Task, chats: Sequence[Any], rng: random.Random, each: int) -> tuple[int, list[Any]]:
    """(rows that went the short way, those of them whose counts are not those of the whole inspection)."""
    short, taken, wrong = ShortWay(task), 0, []
    for chat in chats:
        base = as_rendered(task.rule, task.model, chat)
        for conversation in (base, *variants(base, rng, each)):
            try:
                inspection = inspect_by(task.rule, task.model, conversation)
            except InspectorError:
                inspection = None
            skeleton = short.skeleton(conversation)
            counts = None if skeleton is None else short.counts([(conversation, skeleton)])[0]
            if counts is not None:
                taken += 1
                if inspection is None or comparable(counts) != comparable(count(inspection)):
                    wrong.append((conversation.messages, counts))
            if inspection is not None:
                short.learn(inspection)
    return taken, wrong


POLICIES: list[dict[str, Any]] = [
    {},
    {"stop": "last"},
    {"turns": "last"},
    {"turns": "flagged"},
    {"turns": "every_token"},
]


@pytest.mark.parametrize(
    ("name", "options"),
    [*(("chatml", options) for options in POLICIES), *((name, {}) for name in ("llama3", "qwen3", "tiny-chat"))],
    ids=str,
)
def test_short_way_counts_what_the_inspection_counts(name: str, options: dict[str, Any]) -> None:
    """Over every conversation of the corpus and texts made to break it; some rows do go that way."""
    task = Task(model=models.model(name), rule=Rule(options=options))
    taken, wrong = disagreements(task, list(CORPUS.values()), random.Random(name), 2)
    assert wrong == []
    assert taken > 20


@pytest.mark.parametrize("part", range(4))
def test_short_way_on_every_template(part: int) -> None:
    """trl's, real models' and ours, each with some conversations of the corpus."""
    taken = 0
    for name, source in sorted(oracle.stored_templates().items())[part::4]:
        rng = random.Random(name)
        model = models.model_of(oracle.tokenizer_for_source(source), source, name)
        own, wrong = disagreements(Task(model=model), rng.sample(list(CORPUS.values()), 8), rng, 3)
        assert wrong == [], name
        taken += own
    assert taken > 100


@pytest.mark.parametrize("name", ["gemma3", "llama3_1", "qwen2_5", "qwen3"])
def test_short_way_on_real_tokenizers(name: str, real_model_dir: Any) -> None:
    """Their added tokens, normalizers and merges."""
    task = Task(model=inspector.load(str(real_model_dir(name))))
    taken, wrong = disagreements(task, list(CORPUS.values())[::3], random.Random(name), 2)
    assert wrong == []
    assert taken > 5


@pytest.mark.parametrize("entry", [entry for entry in gallery() if entry.code], ids=lambda entry: entry.name)
def test_no_finding_makes_the_short_way_wrong(entry: Entry) -> None:
    """Each by its example and the same with other words, under the exact strategy."""
    setup = entry.setup
    task = Task(model=setup.load(), rule=Rule(modifiers=Modifiers.parse(setup.modifiers)))
    is_long = len(json.dumps(setup.conversation)) > 20_000
    _, wrong = disagreements(task, [setup.conversation], random.Random(entry.name), 1 if is_long else 12)
    assert wrong == []


def test_a_finding_that_reads_anything_closes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new code does, until it says what it reads; all codes say it."""
    rows = [(Conversation.parse(CORPUS["one turn"]))] * 2
    task = Task(model=models.model("chatml"))

    def is_taken() -> bool:
        short = ShortWay(task)
        short.learn(inspector.inspect(task.model, rows[0]))
        return short.skeleton(rows[1]) is not None

    assert is_taken()
    monkeypatch.setattr(Code.DOUBLE_BOS, "reads", Reads.WORDS)
    assert not is_taken()
    assert len(set(Reads)) == 5


def test_truncated_rows_go_the_long_way() -> None:
    """Rows over max_length have findings of their own."""
    task = Task(model=models.model("chatml"), rule=Rule(modifiers=Modifiers(max_length=30)))
    taken, wrong = disagreements(task, list(CORPUS.values()), random.Random(0), 2)
    assert (wrong, taken > 20) == ([], True)


def test_processes_that_an_audit_starts_do_without_torch() -> None:
    """Whatever the process that starts them has imported."""
    given = (audit_module._WithoutTorch(),)
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=bool, initargs=given) as pool:
        assert pool.submit(importlib.util.find_spec, "torch").result() is None


# --- segments


SHARED = "You are a helpful assistant. " * 40


@pytest.mark.parametrize("name", ["tiny-chat", "bytes-bos", "llama3_1", "qwen2_5", "gemma3"])
def test_segments_have_the_ids_of_the_whole_text(name: str, real_model_dir: Any) -> None:
    """Whatever stands beside the shared ones; what is not separable is never taken apart."""
    model = inspector.load(name if name in ("tiny-chat", "bytes-bos") else str(real_model_dir(name)))
    rng, cache = random.Random(name), SegmentCache(model.tokenizer)
    for _ in range(30):
        texts = []
        for _ in range(4):
            chat = [
                {"role": "user", "content": SHARED + rng.choice(["", "x", "\n"])},
                {"role": "assistant", "content": rng.choice(PIECES) + "a" + rng.choice(PIECES)},
                {"role": "user", "content": rng.choice(PIECES) + "b"},
                {"role": "assistant", "content": SHARED},
            ]
            texts.append(model.tokenizer.apply_chat_template(chat, tokenize=False))
        for text, encoded in zip(texts, cache.encode(texts), strict=True):
            whole = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            assert encoded.ids == whole["input_ids"]
            assert encoded.size == len(whole["input_ids"])
            for position in (0, *rng.sample(range(len(text)), 20)):
                ends = max((end for start, end in whole["offset_mapping"] if start < position), default=0)
                begins = [i for i, (start, _) in enumerate(whole["offset_mapping"]) if start == position]
                tokens = encoded.tokens_at([cache.measure(text[:position])])
                if encoded.is_whole:
                    assert tokens == (begins[:1] if begins and ends <= position else None)


def test_shared_segments_are_taken_from_the_cache() -> None:
    """The third text with the same long segment does not tokenize it."""
    model = inspector.load("tiny-chat")
    cache = SegmentCache(model.tokenizer)
    for number in range(3):
        (encoded,) = cache.encode([f"<|im_start|>system\n{SHARED}<|im_end|>\n<|im_start|>user\n{number}<|im_end|>"])
    assert len(encoded.segments) > 1
    (again,) = cache.encode([f"<|im_start|>system\n{SHARED}<|im_end|>\n<|im_start|>user\nnew<|im_end|>"])
    assert again.segments[1] is encoded.segments[1]


# --- the report


def generated(path: Path, rows: int, seed: int = 0) -> Path:
    """A data set with merges, empty answers, refusable roles, bad rows and repeated answers in it."""
    rng = random.Random(seed)
    lines = []
    for number in range(rows):
        answer = rng.choice(["Paris.", "\nRome.", "", "It is <|im_end|> here.", f"Answer {number}.", "word " * 60])
        messages = [{"role": "user", "content": f"Question {number}?"}, {"role": "assistant", "content": answer}]
        if rng.random() < 0.3:
            messages = [{"role": "system", "content": SHARED}, *messages, *messages]
        lines.append(json.dumps({"messages": messages}) if rng.random() > 0.05 else rng.choice(["{", "[]", '{"x": 1}']))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def by_hand(model: Model, path: Path, **task: Any) -> AuditReport:
    """The report made by inspecting every row whole."""
    report = AuditReport()
    for row in DataSource(name=str(path)).rows():
        if isinstance(row, BadRow):
            report.add_bad(row)
            continue
        try:
            conversation = Conversation.parse({"messages": row.value["messages"]})
        except KeyError:
            report.add_bad(BadRow(number=row.number, place=row.place, why="no messages"))
            continue
        inspection = inspector.inspect(model, conversation, **task)
        report.add(row.number, count(inspection))
        report.add_examples(row.number, row.place, inspection.findings)
    return report


def figures(report: AuditReport) -> Mapping[str, Any]:
    """A report without what it is about and why rows were bad."""
    return {k: v for k, v in report.to_dict().items() if k not in ("about", "reasons", "bad_rows")}


@pytest.mark.parametrize("modifiers", [{}, {"max_length": 60}, {"max_length": 40, "truncation": "keep_end"}])
def test_report_is_that_of_inspecting_each_row(tmp_path: Path, modifiers: dict[str, Any]) -> None:
    """Counts, findings, clusters, examples, lengths, limits and repeated answers."""
    path, model = generated(tmp_path / "a.jsonl", 700), inspector.load("tiny-chat")
    task = Task(model=model, rule=Rule(modifiers=Modifiers(**modifiers)))
    assert figures(audit(task, DataSource(name=str(path)), workers=1)) == figures(
        by_hand(model, path, modifiers=modifiers)
    )


def test_workers_and_shards_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, and three shards merged in any order, give the report of one process."""
    monkeypatch.setattr("inspector.audit.run.ALONE_S", 0.0)
    path, task = generated(tmp_path / "a.jsonl", 900), Task(model=inspector.load("tiny-chat"))
    alone = audit(task, DataSource(name=str(path)), workers=1)
    assert audit(task, DataSource(name=str(path)), workers=2).to_dict() == alone.to_dict()
    assert alone.about["data"] == [DataSource(name=str(path)).about()]
    shards = [audit(task, DataSource(name=str(path), index=i, shards=3), workers=1) for i in range(3)]
    for order in ([0, 1, 2], [2, 0, 1]):
        merged = AuditReport()
        for index in order:
            merged.merge(AuditReport.from_dict(json.loads(json.dumps(shards[index].to_dict()))))
        merged.about["data"] = alone.about["data"]  # the command line's `merge` joins what the shards say of it
        assert merged.to_dict() == alone.to_dict()


def test_helpers_make_no_difference(tmp_path: Path) -> None:
    """One audits as this process would, one row set after the other, stops when asked, and stays."""
    path, task = generated(tmp_path / "a.jsonl", 900), Task(model=inspector.load("tiny-chat"))
    try:
        expected = audit(task, DataSource(name=str(path)), workers=1).to_dict()
        assert audit(task, DataSource(name=str(path)), here=False).to_dict() == expected
        stopped = audit(task, DataSource(name=str(path)), here=False, should_stop=lambda: True)
        assert stopped.about["complete"] is False
        assert 0 < stopped.rows < 900
        assert audit(task, DataSource(name=str(path)), here=False).to_dict() == expected
        with helper() as pool, helper() as other:
            assert pool is not other
            assert pool.submit(os.getpid).result() == pool.submit(os.getpid).result() != os.getpid()
            assert pool.submit(os.nice, 0).result() == os.nice(0) + WAITS
    finally:
        shut_down()


def test_a_helper_that_is_killed_is_told(tmp_path: Path) -> None:
    """And another one takes its place."""
    path, task = generated(tmp_path / "a.jsonl", 600), Task(model=inspector.load("tiny-chat"))

    def kill(*_: Any) -> None:
        for child in psutil.Process().children(recursive=True):
            if child.nice() > os.nice(0):
                child.kill()

    try:
        with pytest.raises(
            DataError, match=r"The process that audited these rows was killed; it probably ran out of memory\."
        ):
            audit(task, DataSource(name=str(path)), here=False, on_progress=kill)
        assert audit(task, DataSource(name=str(path)), here=False).rows == 600
    finally:
        shut_down()


KILLED = """
import os, sys, time

if __name__ == "__main__":
    import inspector
    from inspector.audit.run import Task, audit
    from inspector.audit.server_process import helper
    from inspector.data.source import DataSource

    with helper() as pool:
        pool.submit(os.getpid).result()
    task = Task(model=inspector.load("tiny-chat"))
    slowly = lambda *_: print("on", flush=True) or time.sleep(1)
    audit(task, DataSource(name=sys.argv[1]), workers=2, on_progress=slowly)
"""


def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    """Neither a server's nor a command's: both end, although nobody could tell them."""
    (tmp_path / "killed.py").write_text(KILLED, encoding="utf-8")
    data = generated(tmp_path / "a.jsonl", 20_000)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py"), str(data)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    family: list[psutil.Process] = []
    for line in script.stdout:
        family = psutil.Process(script.pid).children(recursive=True)
        if line == "on\n" and len(family) >= 4:  # the fork server, its process, a worker of the audit, a sandbox
            break
    script.kill()
    script.wait()
    wait_until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))


def test_merge_is_associative(tmp_path: Path) -> None:
    """(a + b) + c is a + (b + c)."""
    task = Task(model=inspector.load("tiny-chat"))
    parts = [audit(task, DataSource(name=str(generated(tmp_path / f"{s}.jsonl", 60, s))), workers=1) for s in range(3)]
    left, right, tail = AuditReport(), AuditReport(), AuditReport()
    for part in parts:
        left.merge(part)
    for part in parts[1:]:
        tail.merge(part)
    for part in (parts[0], tail):
        right.merge(part)
    assert left.to_dict() == right.to_dict()


def test_reports_about_other_things_do_not_merge() -> None:
    """Another template, another strategy."""
    source = DataSource(name=str(EXAMPLES / "messages.jsonl"))
    one = audit(Task(model=inspector.load("tiny-chat")), source, workers=1)
    other = audit(Task(model=inspector.load("tiny-chat", template="chatml")), source, workers=1)
    with pytest.raises(ReportError, match="cannot be merged: their template_hash differ"):
        one.merge(other)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "This is not an audit report of version 1"),
        ({"version": 0}, "This is not an audit report of version 1"),
        ({"version": 1}, "The audit report is damaged"),
    ],
)
def test_damaged_report_is_refused(value: Any, message: str) -> None:
    """With what is wrong."""
    with pytest.raises(ReportError, match=message):
        AuditReport.from_dict(value)


# --- running it


def test_progress_and_bad_rows_are_told(tmp_path: Path) -> None:
    """After each chunk; every bad row, with its place."""
    path = generated(tmp_path / "a.jsonl", 600)
    seen: list[Progress] = []
    bad: list[BadRow] = []
    report = audit(
        Task(model=inspector.load("tiny-chat")), DataSource(name=str(path)), workers=1,
        on_progress=lambda progress, _: seen.append(progress), on_bad_row=bad.append,
    )  # fmt: skip
    assert [progress.rows for progress in seen] == [256, 512, 600]
    assert [progress.rows_left for progress in seen] == [344, 88, 0]
    assert seen[0].seconds_left is not None
    assert len(bad) == report.bad > 0
    assert all(row.place.startswith("a.jsonl, line ") for row in bad)


def test_cancelled_audit_keeps_what_it_has(tmp_path: Path) -> None:
    """One chunk is done; the report says that it is not complete."""
    path = generated(tmp_path / "a.jsonl", 1_000)
    for workers in (1, 2):
        report = audit(
            Task(model=inspector.load("tiny-chat")), DataSource(name=str(path)), workers=workers,
            should_stop=lambda: True,
        )  # fmt: skip
        assert report.rows == 256
        assert report.about["complete"] is False


def test_limit_stops_early(tmp_path: Path) -> None:
    """So many rows are read, and known to be all."""
    report = audit(
        Task(model=inspector.load("tiny-chat")), DataSource(name=str(EXAMPLES / "messages.jsonl")), limit=5, workers=1
    )
    assert (report.rows, report.about["complete"]) == (5, True)


def test_rows_that_the_template_refuses_are_counted() -> None:
    """With the reason, as a finding where it can be shown."""
    source = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    source += "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    bad: list[BadRow] = []
    report = audit(
        Task(model=inspector.load("tiny-chat", template=source)), DataSource(name=str(EXAMPLES / "sharegpt.json")),
        workers=1, on_bad_row=bad.append,
    )  # fmt: skip
    assert (report.refused, report.inspected, len(bad)) == (6, 0, 6)
    assert report.findings[Code.SYSTEM_UNSUPPORTED].rows == 6
    assert "no system" in bad[0].why


def test_text_rows_are_rendered_as_they_are() -> None:
    """With the template for texts, whatever the model's own is; another strategy finds its answers."""
    task = Task(
        model=inspector.load("tiny-chat"),
        rule=Rule(strategy="string_span", options={"response_template": "### Assistant:"}),
    )
    report = audit(task, DataSource(name=str(EXAMPLES / "text.jsonl")), workers=1)
    assert (report.inspected, report.untrained, report.about["template"]) == (6, 0, "custom")
    assert report.about["layout"]["format"] == Format.TEXT


def test_data_without_rows_is_refused() -> None:
    """Nothing there, nothing readable, or no layout that fits."""
    task = Task(model=inspector.load("tiny-chat"))
    with pytest.raises(DataError, match=r"None of the first 1 rows can be read; the pasted text, row 0: the row is"):
        audit(task, DataSource(text='["x"]'), workers=1)
    with pytest.raises(DataError, match="The data set has no rows"):
        audit(task, DataSource(text="question,answer"), workers=1)
    with pytest.raises(FormatError, match="No layout fits the columns 'question', 'reply'"):
        audit(task, DataSource(name=str(EXAMPLES / "missing-column.csv")), workers=1)


def test_process_is_as_it_was_after_audits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment and the collector, also when two audits overlap and the first ends first."""
    task, source = Task(model=inspector.load("tiny-chat")), DataSource(name=str(EXAMPLES / "merged-boundaries.jsonl"))
    layout = detect_rows(list(source.rows()), None)
    for before in (None, "true"):
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
        if before is not None:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
        first, second = (audit_module._parts(task, layout, iter([list(source.rows())]), 1) for _ in range(2))
        next(first)
        next(second)
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
        assert gc.get_freeze_count() > 0
        assert list(first) == []
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
        second.close()  # as when it is cancelled
        assert os.environ.get("TOKENIZERS_PARALLELISM") == before
        assert gc.get_freeze_count() == 0


def test_long_rows_are_tokenized_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is tokenized together, each row has the same counts."""
    model = inspector.load("tiny-chat")
    chats = [[{"role": "user", "content": "Hi " * n}, {"role": "assistant", "content": "Yes. " * n}] for n in (9, 5, 7)]
    conversations = [Conversation.parse(chats[i % 3]) for i in range(12)]
    inspections = [inspector.inspect(model, conversation) for conversation in conversations]
    short, sizes = ShortWay(Task(model=model)), list[int]()
    short.learn(inspections[0])
    begin = SegmentCache.begin
    monkeypatch.setattr(SegmentCache, "begin", lambda self, texts: (sizes.append(len(texts)), begin(self, texts))[1])
    rows = [(conversation, short.skeleton(conversation)) for conversation in conversations]
    together = short.counts(rows)  # type: ignore[arg-type]
    monkeypatch.setattr(fast_path, "ENCODED_CHARS", 200)
    assert short.counts(rows) == together  # type: ignore[arg-type]
    assert (sizes[0], len(sizes) > 5, sum(sizes)) == (12, True, 24)
    assert [counts and comparable(counts) for counts in together] == [comparable(count(one)) for one in inspections]


def test_auditor_is_the_same_for_any_chunks() -> None:
    """One row at a time, or all at once."""
    task, layout = (
        Task(model=inspector.load("tiny-chat")),
        Layout(format=Format.MESSAGES, columns={"messages": "messages"}),
    )
    rows = list(DataSource(name=str(EXAMPLES / "merged-boundaries.jsonl")).rows())
    at_once, _ = Auditor(task, layout).audit(rows)
    one_by_one, auditor = AuditReport(), Auditor(task, layout)
    for row in rows:
        one_by_one.merge(auditor.audit([row])[0])
    assert one_by_one.to_dict() == at_once.to_dict()
    assert all(isinstance(row, Row) for row in rows)
