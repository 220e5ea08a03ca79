"""What the Data tab computes without a browser: sources, mappings, rows, jobs, the report, files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.data.formats import detect
from inspector.data.layouts import Format
from inspector.data.source import DataSource, Row
from inspector.errors import DataError
from inspector.setup import Setup
from tests.support.waiting import HANG_S, wait_until
from ui.data_tab import events as data_events
from ui.data_tab.boxes import (
    ASKED_FROM,
    DataBoxes,
    about_setup,
    examples,
    limit_of,
    mapping_of,
    shared_setup,
    source_of,
    why_asked,
    workers_of,
)
from ui.data_tab.edits import on_back, on_save, on_skip
from ui.data_tab.events import on_cancel, on_chart, on_kind, on_return, on_run, on_wanted, preview_of
from ui.data_tab.files import on_compare, on_page, on_report, on_rows
from ui.data_tab.open import on_open, on_open_first
from ui.data_tab.report import UNUSED, example_rows, pack_findings
from ui.data_tab.rows import first_rows, row_setup, rows_at
from ui.data_tab.run import CLEAN_ROWS, REJECTED_ROWS, Audited, Sorter
from ui.inspect_tab.events import on_row
from ui.parts.jobs import AT_A_TIME, Job, Latest
from ui.wiring.boxes import Boxes
from ui.wiring.conversation_json import dump
from ui.wiring.models import LoadedSetup

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "data"
CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
BOXES = Boxes(model="tiny-chat", conversation=dump(CHAT))


def example(name: str, **fields: Any) -> DataBoxes:
    return DataBoxes(data_example=name, **fields)


def pasted(*values: Any) -> DataBoxes:
    return DataBoxes(data_kind="pasted", data_pasted="\n".join(map(json.dumps, values)))


def audited(data: DataBoxes, boxes: Boxes = BOXES) -> Audited:
    """The audit as the page runs it."""
    *_, last = on_run(Latest(), None, data, boxes)
    assert "data_audited" in last, last
    return last["data_audited"]


def said(changes: Any, name: str) -> str:
    return "\n".join(str(block.get("text", block)) for block in json.loads(changes[name])["blocks"])


def report_of(name: str) -> AuditReport:
    task = Task(model=inspector.load("tiny-chat"))
    return audit(task, DataSource(name=str(EXAMPLES / name)), workers=1)


def test_the_processes_of_an_audit_do_not_load_the_page() -> None:
    """They import app.py, which the page is started with: it must load nothing by itself."""
    script = "import runpy, sys; runpy.run_path('app.py', run_name='__mp_main__'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"gradio", "ui", "inspector", "torch", "transformers"} & {
        name.split(".")[0] for name in done.stdout.split()
    }


# --- sources


@pytest.mark.parametrize("name", examples())
def test_every_example_shows_rows_or_says_why(name: str) -> None:
    """What the page offers ends in rows, or in a sentence about the file."""
    changes = preview_of(example(name), BOXES)
    data = json.loads(changes["data_preview"])
    assert data.get("rows") or len(data["failure"]) > 20


def test_sources_are_what_the_boxes_name() -> None:
    """Only the chosen kind counts."""
    both = DataBoxes(data_kind="name", data_name=" owner/name ", data_split="test", data_pasted="x", data_file="y")
    assert source_of(both) == DataSource(name="owner/name", split="test")
    assert source_of(pasted(1)) == DataSource(text="1")
    assert source_of(DataBoxes(data_kind="file", data_file="/tmp/a.csv")) == DataSource(name="/tmp/a.csv")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (DataBoxes(data_example="../../README.md"), "Choose an example"),
        (DataBoxes(data_kind="file"), "Choose a file"),
        (DataBoxes(data_kind="pasted", data_pasted=" \n"), "Paste rows"),
        (DataBoxes(data_kind="pasted", data_pasted="x" * 2_000_001), "2,000,001 characters long"),
        (DataBoxes(data_kind="name", data_name=" "), "Type the id of a hub data set, or a path"),
    ],
)
def test_boxes_that_name_nothing_say_so(data: DataBoxes, says: str) -> None:
    """What to do about it."""
    with pytest.raises(DataError, match=says):
        source_of(data)


@pytest.mark.parametrize("name", ["/etc/passwd", "~/x.jsonl", "examples/data", "../x", "rows.jsonl", "a/b.CSV.gz", "."])
def test_a_public_space_reads_no_files_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by path nor by a name that happens to be one; the hub it reads."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    with pytest.raises(DataError, match="only data sets of the hub"):
        source_of(DataBoxes(data_kind="name", data_name=name))
    assert source_of(DataBoxes(data_kind="name", data_name="trl-lib/Capybara")).name == "trl-lib/Capybara"
    monkeypatch.delenv("SPACE_ID")
    assert source_of(DataBoxes(data_kind="name", data_name=name)).name == name


def test_a_mapping_is_written_name_by_name() -> None:
    """With commas or lines between; a format of its own; anything else is refused by name."""
    data = DataBoxes(data_mapping="prompt = my question,\ncompletion=answer\n", data_format="prompt_completion")
    assert mapping_of(data) == {"format": "prompt_completion", "prompt": "my question", "completion": "answer"}
    assert mapping_of(DataBoxes()) == {}
    for bad in ("prompt", "=x", "prompt="):
        with pytest.raises(DataError, match="is not a mapping"):
            mapping_of(DataBoxes(data_mapping=bad))


def test_zero_means_no_limit() -> None:
    """Of rows and of processes; there are never more processes than cores."""
    assert (limit_of(DataBoxes()), workers_of(DataBoxes())) == (None, None)
    assert (limit_of(DataBoxes(data_limit=7)), workers_of(DataBoxes(data_workers=1))) == (7, 1)
    assert (limit_of(DataBoxes(data_limit=None)), workers_of(DataBoxes(data_workers=None))) == (None, None)
    assert workers_of(DataBoxes(data_workers=10_000)) <= 64
    with pytest.raises(DataError, match="limit is -1"):
        limit_of(DataBoxes(data_limit=-1))


def test_the_line_names_all_that_the_inspect_tab_decides() -> None:
    """The conversation there does not matter, not even a broken one."""
    boxes = BOXES.with_changes({"conversation": "[", "max_length": 9, "special_tokens": '{"pad_token": "<|im_end|>"}'})
    assert dict(about_setup(shared_setup(boxes).setup)) == {
        "model": "tiny-chat",
        "template": "default",
        "strategy": "traced",
        "modifiers": "max_length 9",
        "special tokens": "pad_token <|im_end|>",
    }
    broken = preview_of(example("messages.jsonl"), boxes.with_changes({"special_tokens": "["}))
    assert "Special tokens is not JSON" in said(broken, "data_setup")


# --- rows


def test_rows_are_found_by_their_numbers() -> None:
    """In the data set's order; numbers that are not there are left out."""
    source = DataSource(name=str(EXAMPLES / "messages.jsonl"))
    assert [row.place for row in rows_at(source, [7, 2, 900])] == ["messages.jsonl, line 3", "messages.jsonl, line 8"]
    assert rows_at(source, []) == []


def test_a_rendered_text_gets_the_template_of_the_audit() -> None:
    """Its row opens as the audit saw it."""
    data = example("text.jsonl")
    layout, (row, *_) = first_rows(source_of(data), {})
    setup = row_setup(LoadedSetup(Setup(model="tiny-chat", conversation=[])), row, layout).setup
    assert layout.format is Format.TEXT
    assert setup.inspect().text.startswith("### Human: What is the capital of France?")


def test_what_was_shown_is_not_read_again() -> None:
    """Leaving a box costs nothing; another setup does."""
    data = example("messages.jsonl")
    latest = Latest()
    assert data_events.on_rows(latest, data, BOXES)["data_preview"]
    assert data_events.on_rows(latest, data, BOXES) == {}
    other = data_events.on_rows(latest, data, BOXES.with_changes({"strategy": "full"}))
    assert json.loads(other["data_preview"])["rows"][0]["trained"] == 23
    assert on_kind(Latest(), None, DataBoxes(data_kind="file"), BOXES)["data_file_box"]["visible"] is True


def test_pairs_say_which_answer_is_audited() -> None:
    """The chosen one; a mapping shows the other."""
    assert "the chosen answer" in said(preview_of(example("preference.jsonl"), BOXES), "data_layout")
    other = example("preference.jsonl", data_mapping="chosen=rejected, rejected=chosen")
    texts = json.loads(preview_of(other, BOXES)["data_preview"])["rows"][0]["texts"]
    assert "Lyon" in "".join(texts)


def test_an_unforeseen_failure_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an audit and in it: the page stays alive, and the buttons come back."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("ui.data_tab.events.first_rows", broken)
    assert "ZeroDivisionError: by zero" in said(preview_of(example("messages.jsonl"), BOXES), "data_layout")
    monkeypatch.setattr("ui.data_tab.run.audit", broken)
    latest = Latest()
    *_, last = on_run(latest, None, example("messages.jsonl"), BOXES)
    assert "ZeroDivisionError: by zero" in said(last, "data_status")
    assert not latest.is_running


# --- jobs


def test_a_closed_page_stops_its_job() -> None:
    """The generator ends, and the work is asked to."""
    data = DataBoxes(data_kind="name", data_name=str(EXAMPLES / "messages.jsonl"))
    latest = Latest()
    stream = on_run(latest, None, data, BOXES)
    next(stream)
    job = latest._job
    stream.close()
    assert job is not None
    assert job.is_stopping()


def until_stopped(job: Job[None]) -> None:
    while not job.is_stopping():
        time.sleep(0.01)


def test_only_so_many_jobs_work_at_a_time() -> None:
    """The others wait in line, and can be stopped there."""
    running = [Job(until_stopped).start() for _ in range(AT_A_TIME)]
    wait_until(lambda: all(job.has_begun for job in running))
    waiting: Job[str] = Job(lambda _: "done").start()
    assert not waiting.is_done(0.3)
    assert not waiting.has_begun
    other: Job[str] = Job(lambda _: "done").start()
    other.stop()
    assert other.is_done(HANG_S)
    assert other.result is None
    for job in running:
        job.stop()
    assert waiting.is_done(HANG_S)
    assert waiting.result == "done"


def test_nothing_runs_twice_and_nothing_is_cancelled_that_does_not_run() -> None:
    """A second click waits for nothing."""
    own, latest = audited(example("messages.jsonl")), Latest()
    job = latest.start(Job(until_stopped))
    assert list(on_run(latest, None, example("messages.jsonl"), BOXES)) == []
    assert list(on_rows(CLEAN_ROWS, latest, own, BOXES)) == []
    assert on_cancel(latest, BOXES) == {}
    assert job.is_done(HANG_S)
    assert "Nothing runs" in said(on_cancel(latest, BOXES), "data_status")


def test_an_audit_of_nothing_says_why() -> None:
    """As the command line would."""
    *_, last = on_run(Latest(), None, example("empty.jsonl"), BOXES)
    assert "empty.jsonl is empty" in said(last, "data_status")
    *_, last = on_run(Latest(), None, example("messages.jsonl"), BOXES.with_changes({"model": "nobody/there/at/all"}))
    assert "nobody/there" in said(last, "data_status")


# --- the report


def test_example_rows_know_their_tokens() -> None:
    """Of a row's finding the token; of the data set's the number; of unusable rows why; of anything else nothing."""
    report = report_of("merged-boundaries.jsonl")
    first = example_rows(report, "boundary_merge")[0]
    assert (first.number, first.place, first.token) == (1, "merged-boundaries.jsonl, line 2", 14)
    assert [row.token for row in example_rows(report_of("repeated-answers.jsonl"), "duplicate_answer")] == [None] * 5
    unused = example_rows(report_of("unknown-role.jsonl"), UNUSED)
    assert [row.place.split()[-1] for row in unused] == ["2", "4", "5", "6"]
    assert not any(row.can_open for row in unused)
    assert example_rows(report, "nonsense") == []


def test_findings_are_listed_with_their_kinds() -> None:
    """The worst first; what could not be used before all."""
    data = json.loads(pack_findings(report_of("unknown-role.jsonl")))
    assert [finding["code"] for finding in data["findings"]][:2] == [UNUSED, "no_trained_tokens"]
    assert data["findings"][0]["rows"] == 4
    merged = json.loads(pack_findings(report_of("merged-boundaries.jsonl")))["findings"][0]
    assert merged["clusters"] == [[r"'\n\n', template line 23", 6]]
    assert merged["remedy"]
    assert merged["about"]
    assert "<" not in pack_findings(report_of("unknown-role.jsonl"))


def test_a_row_opens_among_the_other_examples() -> None:
    """At its token; the next one at its own; a row that is none is refused in words."""
    own = audited(example("merged-boundaries.jsonl"))
    changes = on_open({"code": "boundary_merge", "at": 1}, own, BOXES)
    assert (changes["rows"].at, len(changes["rows"].setups)) == (1, 5)
    assert json.loads(changes["view"])["selected"] == changes["rows"].token == 12
    assert changes["rows"].moved(1).token == changes["rows"].tokens[2] == 15
    assert changes["rows"].title == "merged-boundaries.jsonl, line 4"
    repair = {"problem": "One token spans two texts (6 rows)", "said": "", "isSaved": False}
    assert json.loads(changes["view"])["repair"] == repair
    unusable = audited(example("unknown-role.jsonl"))
    assert "is not a conversation" in said(on_open({"code": UNUSED, "at": 0}, unusable, BOXES), "data_status")
    for event in ({}, {"code": "boundary_merge", "at": 99}, {"code": "boundary_merge", "at": "0"}):
        assert on_open(event, own, BOXES) == {}
    assert on_open({"code": "boundary_merge", "at": 0}, None, BOXES) == {}
    first = on_open_first({"number": 2}, example("messages.jsonl"), BOXES)
    assert (first["rows"].at, len(first["rows"].setups)) == (2, 5)
    assert "cannot be opened" in said(on_open_first({"number": "x"}, example("messages.jsonl"), BOXES), "data_status")


def test_a_row_that_is_edited_forgets_its_token() -> None:
    """It would point at another one."""
    rows = on_open({"code": "boundary_merge", "at": 0}, audited(example("merged-boundaries.jsonl")), BOXES)["rows"]
    edited = rows.edited(Setup(model="tiny-chat", conversation=CHAT))
    assert (rows.token, edited.token, edited.title) == (14, None, rows.title)


def test_a_refused_row_opens_with_its_refusal() -> None:
    """The template says no; the Inspect tab shows why, and what helps."""
    refusing = (
        "{{ raise_exception('No') if messages[0].role == 'system' }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    boxes = BOXES.with_changes({"template": refusing})
    own = audited(pasted({"messages": [{"role": "system", "content": "S"}, *CHAT]}, {"messages": CHAT}), boxes)
    (row,) = example_rows(own.report, UNUSED)
    assert row.can_open
    changes = on_open({"code": UNUSED, "at": 0}, own, boxes)
    assert "No" in json.loads(changes["view"])["failure"]["detail"]


# --- the rows of a problem


ROWS = [{"prompt": "Hi", "completion": text, "id": i} for i, text in enumerate(("Ho", "", "Hm", ""))]


def opened(own: Audited, at: int = 0, code: str = "only_stop_trained") -> Boxes:
    return BOXES.with_changes(on_open({"code": code, "at": at}, own, BOXES))


def written(boxes: Boxes, answer: str) -> dict[str, str]:
    """The event of a click on Save, with what the editor holds."""
    return {"conversation": boxes.conversation.replace('"content": ""', f'"content": "{answer}"')}


def test_a_saved_row_is_in_the_downloads_and_the_next_audit() -> None:
    """As it was edited, in its own layout; the next row is shown, and the way back audits once more."""
    own = audited(pasted(*ROWS))
    boxes = opened(own)
    assert boxes.rows is not None
    assert boxes.rows.numbers == (1, 3)
    changes = on_save(written(boxes, "Hello."), own, boxes)
    assert (changes["rows"].at, changes["rows"].said) == (1, "Saved: the pasted text, line 2.")
    assert "Edited rows: 1." in said(changes, "data_files")
    assert changes["data_save_clean"] == "Download clean rows"
    own = changes["data_audited"]
    *_, done = on_rows(CLEAN_ROWS, Latest(), own, BOXES)
    clean = [json.loads(line) for line in saved(done).splitlines()]
    assert [row["id"] for row in clean] == [0, 1, 2, 3]
    assert clean[1]["completion"] == [{"role": "assistant", "content": "Hello."}]
    assert (clean[0], clean[2]) == (ROWS[0], ROWS[2])
    latest = Latest()
    back = on_back({}, latest, own, BOXES)
    *_, again = on_wanted(back["data_wanted"], latest, own, pasted(*ROWS), BOXES)
    assert again["data_audited"].report.findings["only_stop_trained"].rows == 1
    assert "pasted rows, 1 row edited" in said(again, "data_summary")
    assert "data_wanted" not in on_back({}, latest, again["data_audited"], BOXES)
    *_, other = on_run(latest, again["data_audited"], pasted(*ROWS[:2]), BOXES)
    assert other["data_audited"].source.edits == {}


def test_the_last_row_says_so() -> None:
    """Saved or skipped; how many were saved; a row that is opened again is known to be saved."""
    own = audited(pasted(*ROWS))
    changes = on_save(written(opened(own), "Hello."), own, opened(own))
    skipped = on_skip({}, BOXES.with_changes(changes))
    assert skipped["rows"].said == "That was the last of the 2 rows: 1 saved. Go back to the audit."
    assert skipped["rows"].at == 1
    second = opened(changes["data_audited"], at=1)
    changes = on_save(written(second, "Yes."), changes["data_audited"], second)
    last = "Saved: the pasted text, line 4. That was the last of the 2 rows: 2 saved. Go back to the audit."
    assert changes["rows"].said == last
    assert json.loads(changes["view"])["repair"]["isSaved"]
    alone = audited(pasted(*ROWS[:2]))
    assert on_skip({}, opened(alone))["rows"].said == "That was the only row: 0 saved. Go back to the audit."
    assert on_skip({}, BOXES) == {}


def test_a_row_that_cannot_be_saved_says_why() -> None:
    """Unchanged, broken, or in a form that its layout cannot hold: it stays as it is written."""
    own = audited(pasted(*ROWS))
    boxes = opened(own)
    for text, says in (
        (boxes.conversation, "This row is not changed: change it, or skip it."),
        ("[", "Not saved: The conversation is not JSON"),
    ):
        changes = on_save({"conversation": text}, own, boxes)
        assert changes["rows"].said.startswith(says)
        assert (changes["rows"].at, changes["conversation"]) == (0, text)
        assert json.loads(changes["view"])["repair"]["said"].startswith(says)
        assert "data_audited" not in changes
    question = audited(pasted({"question": "Hi?", "answer": "<|im_end|>"}))
    asked = opened(question, code="control_token_in_content")
    more = dump([*CHAT, *CHAT])
    assert "holds one question and its answer" in on_save({"conversation": more}, question, asked)["rows"].said
    assert on_save({}, None, boxes) == {}
    assert on_save({}, own, BOXES) == {}


def test_steps_and_remedies_keep_what_is_known_of_the_rows() -> None:
    """The problem, and the number that a row is saved under; rows that a remedy has split are saved nowhere."""
    own = audited(pasted(*ROWS))
    changes = on_row({"step": 1}, opened(own))
    assert (changes["rows"].number, changes["rows"].problem) == (3, "Only the stop token is trained (2 rows)")
    boxes = opened(own)
    assert boxes.rows is not None
    split = boxes.rows.replaced([boxes.rows.setups[0]] * 2)
    assert (split.number, split.problem) == (None, "")


# --- an audit that starts by itself


def test_few_rows_are_audited_unasked() -> None:
    """Counted in files, pasted text and what is packed; by a limit; of a hub's data set nobody knows before."""
    for data in (example("messages.jsonl"), example("sharegpt.json"), example("multi-turn.jsonl.gz"), pasted(*ROWS)):
        assert why_asked(data) == ""
    many = DataBoxes(data_kind="pasted", data_pasted="a,b\n" + "1,2\n" * (ASKED_FROM + 1))
    assert why_asked(many) == "There are more than 5,000 rows: run the audit."
    assert why_asked(replace(many, data_limit=ASKED_FROM)) == ""
    assert why_asked(replace(many, data_pasted="a,b\n" + "1,2\n" * ASKED_FROM)) == ""
    hub = DataBoxes(data_kind="name", data_name="owner/name")
    assert why_asked(hub) == "How many rows there are is not known before they are read: run the audit."


def test_rows_that_are_chosen_are_audited() -> None:
    """Not those that stand there when the tab is opened, unless they were audited before; nor what cannot be read."""
    data, latest = example("messages.jsonl"), Latest()
    seen = on_return(latest, None, data, BOXES)
    assert (seen["data_wanted"], seen["data_status"]) == (None, "")
    latest.about = None
    chosen = data_events.on_rows(latest, data, BOXES)
    assert chosen["data_wanted"] == latest.number
    assert "Starting" in said(chosen, "data_status")
    *_, last = on_wanted(chosen["data_wanted"], latest, None, data, BOXES)
    own = last["data_audited"]
    assert on_return(latest, own, data, BOXES) == data_events.on_rows(latest, data, BOXES) == {}
    other = BOXES.with_changes({"strategy": "full"})
    assert on_return(latest, own, data, other)["data_wanted"] == latest.number
    empty = data_events.on_rows(latest, example("empty.jsonl"), BOXES)
    assert empty["data_wanted"] is None
    assert empty["data_result"]["visible"] is False
    many = DataBoxes(data_kind="pasted", data_pasted="question,answer\n" + "Hi?,Ho.\n" * (ASKED_FROM + 1))
    waits = data_events.on_rows(latest, many, BOXES)
    assert waits["data_wanted"] is None
    assert "more than 5,000 rows" in said(waits, "data_status")


def test_rows_that_are_no_longer_chosen_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them took longer than choosing others."""
    latest, read = Latest(), preview_of

    def slow(data: DataBoxes, boxes: Boxes) -> Any:
        monkeypatch.setattr("ui.data_tab.events.preview_of", read)
        later.update(data_events.on_rows(latest, example("alpaca.json"), boxes))
        return read(data, boxes)

    later: dict[str, Any] = {}
    monkeypatch.setattr("ui.data_tab.events.preview_of", slow)
    assert data_events.on_rows(latest, example("messages.jsonl"), BOXES) == {}
    assert later["data_wanted"] == latest.number


def test_an_audit_of_other_rows_is_dropped() -> None:
    """One that works ends and shows nothing; one that waits does not begin."""
    data, latest = example("messages.jsonl"), Latest()
    stream = on_run(latest, None, data, BOXES)
    next(stream)
    job = latest._job
    wanted = data_events.on_rows(latest, example("sharegpt.json"), BOXES)["data_wanted"]
    assert job is not None
    assert job.is_done(HANG_S)
    assert not any("data_audited" in changes for changes in stream)
    data_events.on_rows(latest, example("alpaca.json"), BOXES)
    assert list(on_wanted(wanted, latest, None, example("sharegpt.json"), BOXES)) == []
    assert list(on_wanted(None, latest, None, data, BOXES)) == []


def test_a_chart_is_drawn_once_it_is_unfolded() -> None:
    """An audit sends none; each comes with its words."""
    own = audited(example("merged-boundaries.jsonl"))
    values = data_events._report_values(own)
    assert [values[f"data_{name}"] for name in ("lengths", "roles", "turns")] == [None] * 3
    drawn = on_chart(["lengths"], own, BOXES)
    assert drawn["data_lengths"]["value"] is not None
    assert "the longest has 36" in said(drawn, "data_lengths_text")
    assert on_chart(["lengths"], None, BOXES) == {}


# --- files


def saved(changes: Any) -> str:
    return Path(changes["data_download"]).read_text()


def test_clean_and_rejected_rows_are_all_rows() -> None:
    """However many are looked at together: what is bad, refused or has an error is rejected with its reason, as JSON
    that can be mended and read again; the others stay as they are."""
    good, merged = {"messages": CHAT, "id": 1}, {"messages": [CHAT[0], {"role": "assistant", "content": "\nHm."}]}
    bad, empty = {"messages": "none", "note": "é" * 300}, {"messages": CHAT[:1]}
    broken, half = '{"messages": [{"role": "user"', {"messages": CHAT, "half": "\ud800"}
    lines = [*map(json.dumps, [good, bad, merged, empty]), broken, json.dumps(half)] * 40
    source = DataSource(text="\n".join(lines))
    rows = list(source.rows())
    layout = detect([row.value for row in rows if isinstance(row, Row)])
    for pieces in ((256, 16, 1), (1,), (7, 1)):
        found = Sorter(Task(model=inspector.load("tiny-chat")), layout, pieces).sort(rows)
        assert [row.number for row in found] == list(range(len(lines)))
        assert [isinstance(row, Row) for row in found] == [True, False, True, False, False, True] * 40
    own = audited(DataBoxes(data_kind="pasted", data_pasted=source.text))
    shown = data_events._report_values(own)
    assert (shown["data_save_clean"], shown["data_save_rejected"]) == (
        "Download 120 clean rows", "120 rejected rows, with reasons",
    )  # fmt: skip
    *_, last = on_rows(CLEAN_ROWS, Latest(), own, BOXES)
    assert [json.loads(line) for line in saved(last).splitlines()] == [good, merged, half] * 40
    (last,) = on_rows(REJECTED_ROWS, Latest(), own, BOXES)  # both were written
    rejected = [json.loads(line) for line in saved(last).splitlines()]
    assert [row["raw"] for row in rejected] == [json.dumps(bad, ensure_ascii=False), json.dumps(empty), broken] * 40
    assert [json.loads(row["raw"]) for row in rejected[:2]] == [bad, empty]
    assert rejected[1]["why"].startswith("no_trained_tokens: ")
    assert "not JSON" in rejected[2]["why"]
    assert rejected[-1]["row"] == len(lines) - 2


def test_a_stopped_audit_promises_no_numbers() -> None:
    """Of its rows, which are sorted as far as it read them."""
    own = audited(example("messages.jsonl"))
    own.report.about["complete"] = False
    assert data_events._report_values(own)["data_save_clean"] == "Download clean rows"


def test_reports_and_rejected_rows_are_files() -> None:
    """JSON that is read back, a page of its own, and the rows that are rejected."""
    own = audited(example("bad-json-at-line-17.jsonl"))
    report = json.loads(saved(on_report(own, BOXES)))
    assert AuditReport.from_dict(report).bad == 1
    assert saved(on_page(own, BOXES)).lstrip().lower().startswith("<!doctype html>")
    *_, last = on_rows(REJECTED_ROWS, Latest(), own, BOXES)
    (bad,) = map(json.loads, saved(last).splitlines())
    assert (bad["row"], bad["place"]) == (16, "bad-json-at-line-17.jsonl, line 17")
    clean = audited(example("messages.jsonl"))
    (said_so,) = on_rows(REJECTED_ROWS, Latest(), clean, BOXES)
    assert "none is rejected" in said(said_so, "data_files")
    for handler in (on_report, on_page):
        assert handler(None, BOXES) == {}
    assert list(on_rows(CLEAN_ROWS, Latest(), None, BOXES)) == []
    assert str(EXAMPLES) not in json.dumps(report)


def test_an_earlier_report_is_compared(tmp_path: Path) -> None:
    """Sentences about what changed; a file that is none is refused."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report_of("merged-boundaries.jsonl").to_dict()))
    own = audited(example("messages.jsonl"))
    assert "boundary_merge: 6 rows before, 0 now (-6)." in said(on_compare(str(path), own, BOXES), "data_compared")
    path.write_text("{}")
    assert "not an audit report" in said(on_compare(str(path), own, BOXES), "data_compared")
    assert "Run the audit first" in said(on_compare(str(path), None, BOXES), "data_compared")
    assert on_compare(None, own, BOXES) == {"data_compared": ""}
