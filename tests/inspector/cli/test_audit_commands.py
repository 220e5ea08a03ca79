"""`python -m inspector audit` and `merge`: what they print, what they write, and the status that CI stops on."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.audit.report import AuditReport
from inspector.audit.text import WIDTH
from inspector.cli import audit_commands
from inspector.data.formats import detect
from inspector.data.layouts import Format
from inspector.data.source import DataSource, Row
from inspector.findings.codes import Code
from tests.support import models
from tests.support.commands import Called, Done
from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "data"


Call = Callable[..., Done]


@pytest.fixture
def call(called: Called) -> Call:
    """`called`, with the model in its place; a name of an example is its path."""

    def command(name: str, *words: str, model: str = "tiny-chat") -> Done:
        words = tuple(str(EXAMPLES / word) if (EXAMPLES / word).is_file() else word for word in words)
        if name == "audit":
            words = (model, *words, *(() if "--workers" in words else ("--workers", "1")))
        return called(name, *words)

    return command


def flat(text: str) -> str:
    """The text without its line ends, as it was before it was wrapped."""
    return " ".join(text.split())


def report_at(path: str | Path) -> Any:
    """What an audit wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


# --- every example

MAPPED = ("--map", "question=ask", "--map", "answer=reply")
CLEAN = "No findings."
EXAMPLES_SAY: dict[str, tuple[tuple[str, ...], int, str]] = {
    "alpaca.json": (
        (),
        0,
        "rows: alpaca (instruction, output, input) 6 of 6 rows inspected; 37 of 143 tokens are trained",
    ),
    "bad-json-at-line-17.jsonl": ((), 1, "bad-json-at-line-17.jsonl, line 17: the line is not JSON: "),
    "empty.jsonl": ((), 2, "error: empty.jsonl is empty."),
    "labelled.jsonl": (
        (),
        0,
        "rows: labelled (input_ids, labels, attention_mask) 3 of 3 rows inspected; 13 of 85 tokens",
    ),
    "labelled-shifted.jsonl": ((), 0, "warning labels_differ: 3 times in 3 rows"),
    "labelled-targets.jsonl": (
        (),
        0,
        "rows: labelled (model_input, loss_fn_inputs) 3 of 3 rows inspected; 13 of 85 token",
    ),
    "labelled-weights.jsonl": ((), 0, "rows: labelled (input_ids = token_ids, weights = token_weights) 3 of 3 rows"),
    "segments.jsonl": ((), 0, "rows: segments (segments) 2 of 2 rows inspected; 6 of 36 tokens are trained (16.7%)."),
    "mapped-columns.tsv": (MAPPED, 0, "rows: question_answer (question = ask, answer = reply) 6 of 6 rows inspected"),
    "merged-boundaries.jsonl": ((), 0, "warning boundary_merge: 6 times in 6 rows"),
    "brief-answers.jsonl": ((), 0, "Of each pair only the answer in the column 'chosen' is audited"),
    "brief-answers-judged.jsonl": ((), 0, "rows: unpaired (prompt, completion, label) 24 of 24 rows inspected"),
    "messages.arrow": ((), 0, "12 of 12 rows inspected; 111 of 314 tokens are trained (35.4%)."),
    "messages.jsonl": ((), 0, "12 of 12 rows inspected; 111 of 314 tokens are trained (35.4%)."),
    "messages.parquet": ((), 0, "12 of 12 rows inspected; 111 of 314 tokens are trained (35.4%)."),
    "missing-column.csv": ((), 2, "error: No layout fits the columns 'question', 'reply'. Say which column is which"),
    "multi-turn.jsonl.gz": ((), 0, "assistant 12 turns, 159 tokens, 69.8% train"),
    "next-to-nothing.jsonl": ((), 0, "warning near_empty_loss: 4 of 12 rows have next to no trained tokens"),
    "preference.jsonl": ((), 0, "Of each pair only the answer in the column 'chosen' is audited"),
    "preference-messages.jsonl": ((), 0, "system 7 turns, 105 tokens, 0.0% train"),
    "prompt-completion.jsonl": ((), 0, "rows: prompt_completion (prompt, completion) 6 of 6 rows inspected"),
    "question-answer.csv": ((), 0, "rows: question_answer (question, answer) 12 of 12 rows inspected"),
    "question-answer-columns.json": ((), 0, "rows: question_answer (question, answer) 12 of 12 rows inspected"),
    "repeated-answers.jsonl": (
        (),
        0,
        "warning duplicate_answer: 7 of 12 rows have a trained text that another row has",
    ),
    "reward.jsonl": ((), 0, "rows: preference (chosen, rejected) 7 of 7 rows inspected"),
    "sharegpt.json": ((), 0, "rows: messages (messages = conversations) 6 of 6 rows inspected"),
    "spanish-words.jsonl": ((), 0, "5 of 5 rows inspected; 20 of 143 tokens are trained (14.0%)."),
    "text.jsonl": ((), 1, "error no_trained_tokens: 6 times in 6 rows"),
    "tool-calls.jsonl": ((), 0, "max_length 128 cuts 3 rows: keeping the start loses 25 trained tokens"),
    "unknown-role.jsonl": ((), 1, "unknown-role.jsonl, line 2: messages[0] has the role 'narrator'"),
    "unpaired.jsonl": ((), 0, "rows: unpaired (prompt, completion, label) 8 of 8 rows inspected"),
    "wrong-encoding.jsonl": ((), 1, "wrong-encoding.jsonl, line 2: byte 45 of the line is not UTF-8"),
}
"""What an audit of each example needs, how it ends, and the line that matters."""


def test_every_example_is_audited() -> None:
    """A new one needs a line in the table above."""
    assert set(EXAMPLES_SAY) == {path.name for path in EXAMPLES.iterdir()}


@pytest.mark.parametrize("name", EXAMPLES_SAY)
def test_example_ends_as_it_should(call: Call, name: str) -> None:
    """The status, the line that matters, and lines that a log can hold."""
    options, status, said = EXAMPLES_SAY[name]
    done = call("audit", name, *options)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in flat(done.stderr if status == 2 else done.stdout)
    assert (done.stderr == "") is (status != 2)
    assert_readable(done.stdout)


def assert_readable(text: str) -> None:
    """No escape codes, no commands to the runner, and no line that is longer than the log is wide."""
    for line in text.splitlines():
        assert line.isprintable()
        assert len(line) <= WIDTH or " " not in line.strip()
        assert not line.lstrip().startswith(("::", "##["))


def test_report_of_hostile_rows_drives_no_terminal_and_no_runner(call: Call, tmp_path: Path) -> None:
    """A file's name, a column and a row may hold anything."""
    rows = [
        {"messages": [{"role": "::stop-commands::x\x1b[31m\u202e", "content": "x"}]},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ]
    path = tmp_path / "::error::x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = call("audit", "./::error::x.jsonl", "--bad", "bad.jsonl", "--html", "page.html", "--out", "a.json")
    assert done.returncode == 1
    assert_readable(done.stdout)
    assert "        .::error::x.jsonl, line 2: None of the" in done.stdout
    assert "\\u001b[31m\\u202e" in done.stdout or "\\x1b[31m\\u202e" in done.stdout


def test_half_a_surrogate_pair_is_written_as_the_escape_that_it_was(call: Call, tmp_path: Path) -> None:
    """JSON may hold it, UTF-8 may not."""
    row = {"mess\ud800ages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}], "a\udc00": 1}
    Path("a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"mess\ud800ages": "\ud800"}) + "\n")
    done = call("audit", "a.jsonl", "--map", "messages=mess\ud800ages", "--out", "a.json", "--html", "a.html")
    assert done.returncode == 1, done.stderr
    assert report_at("a.json")["about"]["layout"]["columns"] == {"messages": "mess\ud800ages"}
    assert "mess\\ud800ages" in Path("a.html").read_text(encoding="utf-8")
    assert "mess\\ud800ages" in done.stdout
    json.loads(call("audit", "a.jsonl", "--map", "messages=mess\ud800ages", "--json", "--bad", "b.jsonl").stdout)
    assert json.loads(Path("b.jsonl").read_text(encoding="utf-8"))["row"] == 1


# --- what is read


def test_limit_stops_reading(call: Call) -> None:
    """After so many rows; the report says that it is about the first of them."""
    done = call("audit", "messages.jsonl", "--limit", "5", "--out", "a.json")
    assert "5 of 5 rows inspected" in done.stdout
    assert "the first 5 rows" in done.stdout
    assert report_at("a.json")["about"]["complete"] is True


def test_map_names_columns_and_formats(call: Call) -> None:
    """The rejected answers of pairs; a chat taken as text."""
    done = call("audit", "preference.jsonl", "--map", "chosen=rejected", "--map", "rejected=chosen")
    assert "Of each pair only the answer in the column 'rejected' is audited; --map chosen=chosen --map" in flat(
        done.stdout
    )
    assert "7 of 7 rows inspected; 32 of" in done.stdout
    done = call("audit", "messages.jsonl", "--map", "format=question_answer")
    assert (done.returncode, "needs the column 'question'" in done.stderr) == (2, True)


def test_autotrains_template_names(call: Call, tmp_path: Path) -> None:
    """`tokenizer` is the model's own, `none` means rendered texts, others are built in."""
    own = call("audit", "messages.jsonl", "--json")
    assert call("audit", "messages.jsonl", "--json", "--template", "tokenizer").stdout == own.stdout
    for name in ("chatml", "zephyr"):
        done = call("audit", "messages.jsonl", "--json", "--template", name)
        assert (done.returncode, json.loads(done.stdout)["about"]["template"]) == (0, name)
    texts = call("audit", "text.jsonl", "--json", "--template", "none")
    assert json.loads(texts.stdout)["about"]["layout"]["format"] == "text"
    refused = call("audit", "messages.jsonl", "--template", "none")
    assert refused.stderr.startswith("error: The format text needs the column 'text'")
    models.trained_tokenizer(["<|im_end|>"], eos_token="<|im_end|>").save_pretrained(tmp_path / "base")
    done = call("audit", "text.jsonl", "--template", "none", "--fail-on", "never", model="./base")
    assert (done.returncode, "6 of 6 rows inspected" in done.stdout) == (0, True), done.stderr


# --- what fails


@pytest.mark.parametrize(
    ("name", "level", "status"),
    [
        ("merged-boundaries.jsonl", "error", 0),
        ("merged-boundaries.jsonl", "warning", 1),
        ("merged-boundaries.jsonl", "note", 1),
        ("merged-boundaries.jsonl", "never", 0),
        ("merged-boundaries.jsonl", "boundary_merge", 1),
        ("merged-boundaries.jsonl", "no_trained_tokens, content_lost", 0),
        ("merged-boundaries.jsonl", "error,boundary_merge", 1),
        ("repeated-answers.jsonl", "warning", 1),
        ("repeated-answers.jsonl", "duplicate_answer", 1),
        ("tool-calls.jsonl", "warning", 0),
        ("tool-calls.jsonl", "note", 1),
        ("text.jsonl", "error", 1),
        ("text.jsonl", "never", 0),
        ("wrong-encoding.jsonl", "error", 1),
        ("wrong-encoding.jsonl", "duplicate_answer", 0),
        ("wrong-encoding.jsonl", "never", 0),
    ],
)
def test_fail_on_levels_and_codes(call: Call, name: str, level: str, status: int) -> None:
    """A severity means itself and the worse ones; the last line says why."""
    done = call("audit", name, "--fail-on", level)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1].startswith("Failed: " if status else "Passed.")


def test_what_to_fail_on_must_exist(call: Call) -> None:
    """A misspelt code would never fail."""
    done = call("audit", "messages.jsonl", "--fail-on", "boundary_merges")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: --fail-on: there is no severity or code 'boundary_merges'; there are: error, wa"
    )
    assert all(code.value in done.stderr for code in Code)


def test_baseline_fails_only_on_more(call: Call) -> None:
    """Equal passes, more fails, fewer passes; the text says what changed."""
    call("audit", "merged-boundaries.jsonl", "--out", "before.json")
    options = ("--baseline", "before.json", "--fail-on", "warning")
    same = call("audit", "merged-boundaries.jsonl", *options)
    assert (same.returncode, same.stdout.splitlines()[-4:]) == (
        0,
        ["Since the baseline:", "  Nothing changed.", "", "Passed."],
    )
    better = call("audit", "messages.jsonl", *options)
    assert better.returncode == 0
    assert "  boundary_merge: 6 rows before, 0 now (-6)." in better.stdout
    call("audit", "messages.jsonl", "--out", "before.json")
    worse = call("audit", "merged-boundaries.jsonl", *options)
    assert worse.returncode == 1
    assert "  Trained tokens: 111 before, 117 now (+6)." in worse.stdout
    assert worse.stdout.endswith("\nFailed: boundary_merge in 6 rows, 0 in the baseline.\n")
    merged = call("merge", "before.json", *options)
    assert (merged.returncode, "Nothing changed." in merged.stdout) == (0, True)


# --- what is written


def test_bad_rows_are_written_as_they_come(call: Call) -> None:
    """Number, place, reason, and the row as JSON; the lines are the rows that are not used."""
    done = call("audit", "unknown-role.jsonl", "--bad", "bad.jsonl", "--out", "a.json")
    bad = [json.loads(line) for line in Path("bad.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [list(row) for row in bad] == [["row", "place", "why", "raw"]] * 4
    assert [row["row"] for row in bad] == [1, 3, 4, 5]
    assert bad == report_at("a.json")["bad_rows"]
    rows = [json.loads(line) for line in (EXAMPLES / "unknown-role.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [json.loads(row["raw"]) for row in bad] == [rows[row["row"]] for row in bad]
    assert done.returncode == 1


def test_merged_shards_are_the_whole(call: Call) -> None:
    """Three shards make the report of one audit, every key of it: `about["data"]` names the whole again.

    Before they are merged only `about["data"]` differs, which names the shard. The page and the text are the same, too.
    """
    for name in ("bad-json-at-line-17.jsonl", "unknown-role.jsonl", "repeated-answers.jsonl"):
        whole = call("audit", name, "--out", "whole.json", "--html", "whole.html")
        shards = [f"{index}.json" for index in range(3)]
        for index in range(3):
            call("audit", name, "--shard", f"{index}/3", "--out", shards[index])
        about = [{k: v for k, v in report_at(path)["about"].items() if k != "data"} for path in (*shards, "whole.json")]
        assert about == about[:1] * 4
        assert report_at("1.json")["about"]["data"][0]["shard"] == 1
        merged = call("merge", *reversed(shards), "--out", "merged.json", "--html", "merged.html")
        assert report_at("merged.json") == report_at("whole.json")
        assert (merged.returncode, merged.stdout) == (whole.returncode, whole.stdout)
        assert Path("merged.html").read_text() == Path("whole.html").read_text()


def test_merging_half_of_the_shards_fails(call: Call) -> None:
    """What is missing may be what is wrong; a shard that is there twice would count twice."""
    for index in (0, 2):
        call("audit", "messages.jsonl", "--shard", f"{index}/3", "--out", f"{index}.json")
    done = call("merge", "0.json", "2.json")
    assert done.returncode == 1
    path = EXAMPLES / "messages.jsonl"
    assert f"{path}, shard 0 of 3 · {path}, shard 2 of 3 · rows: messages" in flat(done.stdout)
    assert done.stdout.endswith(f"\nFailed: shard 1 of 3 of {path} is missing.\n")
    assert call("merge", "0.json", "2.json", "--fail-on", "never").returncode == 0
    twice = call("merge", "0.json", "0.json")
    assert twice.stderr.startswith(
        f"error: 0.json: the rows of '{path}', shard 0 of 3, are in another of the reports as well"
    )
    call("audit", "messages.jsonl", "--template", "zephyr", "--out", "zephyr.json")
    other = call("merge", "0.json", "zephyr.json")
    assert other.stderr.startswith("error: zephyr.json: The reports cannot be merged: their template_hash differ")


def test_different_data_sets_can_be_merged(call: Call) -> None:
    """Each stays named."""
    call("audit", "messages.jsonl", "--out", "a.json")
    call("audit", "merged-boundaries.jsonl", "--limit", "3", "--out", "b.json")
    done = call("merge", "a.json", "b.json", "--out", "both.json")
    assert done.returncode == 0
    assert "15 of 15 rows inspected" in done.stdout
    assert [entry["limit"] for entry in report_at("both.json")["about"]["data"]] == [None, 3]


def test_json_is_the_report_with_what_it_means(call: Call) -> None:
    """The keys of the file, then the figures and why it failed; nothing else on standard output."""
    done = call("audit", "text.jsonl", "--json", "--out", "a.json")
    printed = json.loads(done.stdout)
    assert {key: printed[key] for key in report_at("a.json")} == report_at("a.json")
    assert list(printed)[-2:] == ["summary", "failed"]
    assert printed["failed"] == ["no_trained_tokens in 6 rows"]
    assert printed["about"]["data"] == [
        {
            "name": str(EXAMPLES / "text.jsonl"), "config": "", "split": "", "revision": "", "limit": None,
            "shard": 0, "shards": 1,
        }
    ]  # fmt: skip


# --- unusable input: one line, status 2. Options alone are those of an audit of messages.jsonl

UNUSABLE: dict[str, tuple[tuple[str, ...], str]] = {
    "no file": (("audit", "nothing.jsonl"), "There is no file nothing.jsonl."),
    "no rows": (("audit", "empty.jsonl"), "empty.jsonl is empty."),
    "no layout": (("audit", "missing-column.csv"), "No layout fits the columns 'question', 'reply'."),
    "no column": (("--map", "messages=chat"), "The data has no column 'chat'; it has: 'messa"),
    "no revision": (("--revision", "main"), "has no revision 'main'"),
    "no template": (("--template", "nope"), "has no chat template 'nope'"),
    "no strategy": (("--strategy", "x"), "There is no strategy 'x'"),
    "no option": (("--option", "x=1"), "Strategy 'traced' has no option 'x'; its options are"),
    "option value": (("--option", "stop=1"), "stop is 1, which is not one of: every, last, never"),
    "max_length": (("--max-length", "0"), "max_length is 0, and must be a number of tokens"),
    "no baseline": (("--baseline", "none.json"), "none.json cannot be read: No such file or"),
    "baseline is no JSON": (("--baseline", "text.txt"), "text.txt is not JSON: Expecting"),
    "baseline is nested": (("--baseline", "deep.json"), "deep.json is nested too deeply"),
    "baseline is no report": (("--baseline", "list.json"), "list.json: This is not an audit report"),
    "damaged baseline": (("--baseline", "cut.json"), "cut.json: The audit report is damaged"),
    "baseline about nothing": (("--baseline", "about.json"), "about.json: The audit report is damaged (what it is"),
    "merge of nothing": (("merge", "none.json"), "none.json cannot be read: No such file or directory."),
    "damaged shard": (("merge", "cut.json"), "cut.json: The audit report is damaged"),
    "out in no folder": (("--out", "no/x.json"), "no/x.json cannot be written: No such file"),
    "out is a folder": (("--out", "."), ". cannot be written: Is a directory."),
    "html in no folder": (("--html", "no/x.html"), "no/x.html cannot be written: No such fi"),
    "bad in no folder": (("--bad", "no/x.jsonl"), "no/x.jsonl cannot be written: No such fi"),
    "merged in no folder": (("merge", "list.json", "--out", "no/x.json"), "no/x.json cannot be written: No such file"),
    "out over the data": (("audit", "own.jsonl", "--bad", "./own.jsonl"), "./own.jsonl is the data set itself: choose"),
    "two in one": (("--out", "x", "--html", "x"), "x is named twice: choose a file for each"),
    "limit": (("--limit", "0"), "argument --limit: '0' is not a number from 1 on"),
    "workers": (("--workers", "-1"), "argument --workers: '-1' is not a number from 1 on"),
    "shard": (("--shard", "3/3"), "argument --shard: '3/3' is not I/N with I from 0 to N-1"),
    "map": (("--map", "messages"), "argument --map: 'messages' is not NAME=COLUMN"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_input_ends_with_one_line_and_status_2(call: Call, name: str) -> None:
    """What happened, where, and what to do; before any work, and no file is left behind."""
    Path("text.txt").write_text("hello")
    Path("deep.json").write_text("[" * 200_000)
    Path("list.json").write_text("[]")
    Path("own.jsonl").write_text((EXAMPLES / "messages.jsonl").read_text())
    report = AuditReport(about={}).to_dict()
    Path("cut.json").write_text(json.dumps({**report, "answers": "???"}))
    Path("about.json").write_text(json.dumps({**report, "about": {"data": [{"name": "x"}]}}))
    before = sorted(os.listdir())
    words, said = UNUSABLE[name]
    done = call(*(("audit", "messages.jsonl", *words) if words[0].startswith("-") else words))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    if done.stderr.startswith("error: "):
        assert done.stderr.count("\n") == 1
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "about",
    [
        [], {"layout": []}, {"options": 1}, {"modifiers": "x"}, {"data": {}}, {"layout": {"columns": []}},
        {"data": [{"name": 1, "config": "", "split": "", "revision": "", "limit": None, "shard": 0, "shards": 1}]},
    ],
)  # fmt: skip
def test_report_about_anything_else_is_damaged(call: Call, about: Any) -> None:
    """So that its text and its page can rely on it."""
    Path("a.json").write_text(json.dumps({**AuditReport().to_dict(), "about": about}))
    done = call("merge", "a.json")
    assert (done.returncode, "a.json: The audit report is damaged" in done.stderr) == (2, True)


def test_disk_that_fills_up_ends_the_audit(call: Call) -> None:
    """/dev/full takes nothing."""
    done = call("audit", "unknown-role.jsonl", "--bad", "/dev/full")
    assert (done.returncode, done.stderr) == (2, "error: /dev/full cannot be written: No space left on device.\n")
    done = call("audit", "unknown-role.jsonl", "--out", "/dev/full")
    assert (done.returncode, done.stderr) == (2, "error: /dev/full cannot be written: No space left on device.\n")


# --- a terminal, and Ctrl-C


def test_interrupt_ends_with_the_report_so_far(tmp_path: Path) -> None:
    """On a terminal, which shows how far it is and sends Ctrl-C to every process; the workers do not mind."""
    with open(tmp_path / "large.jsonl", "w", encoding="utf-8") as file:
        for i in range(40_000):
            chat = [
                {"role": "user", "content": f"Question {i}?"},
                {"role": "assistant", "content": "word " * 50 + str(i)},
            ]
            file.write(json.dumps({"messages": chat}) + "\n")
    out = tmp_path / "report.json"
    command = [sys.executable, "-m", "inspector", "audit", "tiny-chat", str(tmp_path / "large.jsonl"), "--workers", "2"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [*command, "--out", str(out)])
    shown, is_sent, until = "", False, time.monotonic() + HANG_S
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                shown += os.read(terminal, 65536).decode()
            except OSError:  # the other end is closed
                break
        if not is_sent and re.search(r"\r[2-9],\d{3} rows, [\d,]+ a second, \d+:\d\d left", shown):
            os.write(terminal, b"\x03")
            is_sent = True
    else:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (is_sent, status) == (True, 130), shown[-3000:]
    assert "Traceback" not in shown
    assert "Stopping after the rows at hand. Ctrl-C once more stops at once." in shown
    report = report_at(out)
    assert 2_000 <= report["inspected"] < 40_000
    assert report["about"]["complete"] is False
    assert f"Interrupted after {report['inspected']:,} rows: the report is about these." in shown
    assert "Failed: the audit was stopped before the end." in shown


def test_second_interrupt_stops_at_once(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a report; the handler that was there is there again."""

    def stuck(*_: Any, should_stop: Callable[[], bool], **__: Any) -> None:
        assert not should_stop()
        for _i in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            until = time.monotonic() + HANG_S
            while time.monotonic() < until and not should_stop():
                time.sleep(0.01)
        while time.monotonic() < until + HANG_S:  # another thread takes the signal: no sleep of this one ends for it
            time.sleep(0.01)

    monkeypatch.setattr(audit_commands, "audit", stuck)
    before = signal.getsignal(signal.SIGINT)
    done = call("audit", "messages.jsonl", "--out", "a.json")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
    assert not Path("a.json").exists()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


# --- docs/audit.md

DOCS = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The document's code of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)


def table(heading: str) -> list[str]:
    """The first cells of the table below a heading."""
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line.split("|")[1] for line in section.splitlines() if line.startswith("|")][2:]


def test_documented_example_prints_what_it_says(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first command, and all of its output."""
    command = blocks("sh")[0].split()
    assert command[:3] == ["python", "-m", "inspector"]
    monkeypatch.chdir(ROOT)
    assert call("audit", *command[5:]).stdout == blocks("text")[0]


def test_documented_layouts_are_those_there_are() -> None:
    """Each with examples that have it."""
    assert {cell.strip(" `") for cell in table("What is read") if cell.startswith(" `")} == set(Format)
    rows = [line for line in DOCS.splitlines() if line.startswith("| `")]
    for layout in Format:
        (row,) = (line for line in rows if line.startswith(f"| `{layout.value}`"))
        for name in re.findall(r"`([^`]+)`", row.split("|")[3]):
            first = [row.value for row in DataSource(name=str(EXAMPLES / name)).rows() if isinstance(row, Row)][:1]
            mapping = {"question": "ask", "answer": "reply"} if name == "mapped-columns.tsv" else {}
            if layout in (Format.ALPACA_PROMPT, Format.LABELLED_SHIFTED):
                mapping = {"format": layout.value}
            assert detect(first, mapping).format is layout


def test_documented_keys_are_those_there_are(call: Call) -> None:
    """Of the report and of what is printed, in their order."""
    keys = re.findall(r"`(\w+)`", " ".join(table("Reports")))
    printed = json.loads(call("audit", "messages.jsonl", "--json").stdout)
    assert sorted(keys) == sorted(printed)
    about = next(line for line in DOCS.splitlines() if line.startswith("| `about`"))
    named = set(re.findall(r"`(\w+)`", about)) - {"about"}
    assert named == set(printed["about"]) | set(printed["about"]["data"][0])


def test_documented_commands_run(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every audit that the document shows as it is, over the examples."""
    lines = [
        line for block in blocks("sh") for line in block.splitlines() if line.startswith("python -m inspector audit")
    ]
    assert len(lines) == 5
    monkeypatch.chdir(ROOT)
    for line in lines:
        assert call("audit", *line.split()[5:]).returncode == 0, line


def test_documented_workflow_runs(tmp_path: Path) -> None:
    """The YAML is a workflow, its packages are those that are tested, and its command ends as the job would."""
    import yaml

    workflow = yaml.safe_load(blocks("yaml")[0])
    steps = workflow["jobs"]["audit"]["steps"]
    install, audit = (step["run"] for step in steps if "run" in step)
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert install.split()[-1] == "jinja2"  # comes with torch, which an audit does not need
    for package in install.split()[2:-1]:
        assert re.search(rf"^{re.escape(package)}\b", required, re.MULTILINE), package
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {**os.environ, **workflow["env"], "PYTHONPATH": str(ROOT)}
    command = audit.replace("python ", f"{sys.executable} ", 1)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nPassed.\n")
    assert_readable(done.stdout)
    assert report_at(tmp_path / "audit.json")["inspected"] == 12
    assert (tmp_path / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sum(step.get("uses", "").startswith("actions/upload-artifact@") for step in steps) == 1
