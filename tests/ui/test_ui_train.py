"""Settings and YAML say the same; the other tabs' rows and training become a spec; what surprises is packed."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import yaml
from gradio.utils import NamedString

from inspector.setup import Setup
from inspector.strategies import STRATEGIES
from training.errors import PublishError, RunFolderError, SpecError
from training.launch import runs
from training.launch.runs import runs_root
from training.rows.prepare import load_model, prepare
from training.run.folder import Phase, RunDir, append_line
from training.run.names import two_words
from training.spec import RunSpec, parse_spec
from ui.data_tab.boxes import EXAMPLE, EXAMPLES, FILE, NAME, PASTED, DataBoxes, source_of
from ui.train_tab import events as train_events
from ui.train_tab import use_pane
from ui.train_tab import view as train_view
from ui.train_tab.form import SETTINGS, read_values, spec_of_tabs, with_value
from ui.train_tab.presets import CHOICES, preset_of, with_preset
from ui.train_tab.runs_table import run_choices, run_rows, runs_value
from ui.train_tab.scores_view import MAX_TOKENS, pack_scores
from ui.train_tab.view import RunBoxes
from ui.wiring.boxes import Boxes, setup_of
from ui.wiring.wires import INPUTS, _arguments

OTHER_VALUES: dict[str, Any] = {
    "model": "someone/else", "data": "rows.jsonl", "strategy": "full", "max_steps": 7, "epochs": 2,
    "learning_rate": 0.0003, "micro_batch": 2, "accumulation": 8, "rank": 4, "max_length": 64, "packing": True,
    "held_out": 0.25, "prompts": "Who?\nWhat: now?", "method": "lm", "beta": 0.3,
}  # fmt: skip
DATA_NAMES = [field.name for field in fields(DataBoxes)]
MINIMAL = "model: tiny-chat\ndata: x.csv\n"
BASES = {"beta": MINIMAL + "method: dpo\n"}
"""Specs in which a setting has a meaning, where that is not the smallest one."""


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_setting_is_written_read_back_and_means_what_it_says(name: str) -> None:
    """Alone in the spec; back at its default it is gone again."""
    base = BASES.get(name, MINIMAL)
    changed = with_value(base, name, OTHER_VALUES[name])
    values = read_values(changed)
    assert values is not None
    assert values[name] == OTHER_VALUES[name]
    spec: Any = parse_spec(yaml.safe_load(changed))
    for part in SETTINGS[name].path:
        spec = getattr(spec, part)
    wanted = ["Who?", "What: now?"] if name == "prompts" else OTHER_VALUES[name]
    assert spec == wanted
    if name not in ("model", "data"):
        default = (read_values(base) or {})[name]
        assert yaml.safe_load(with_value(changed, name, default)) == yaml.safe_load(base)


def test_every_setting_shows_the_default_of_the_spec() -> None:
    """What a spec of two fields trains with."""
    spec, values = parse_spec(yaml.safe_load(MINIMAL)), read_values(MINIMAL)
    assert values is not None
    for name, setting in SETTINGS.items():
        own: Any = spec
        for part in setting.path:
            own = getattr(own, part)
        assert values[name] == ("" if own == [] else own)


def test_full_fine_tuning_and_back() -> None:
    """Rank 0 is `lora: false`; a rank again is LoRA."""
    full = with_value(MINIMAL, "rank", 0)
    assert parse_spec(yaml.safe_load(full)).lora is None
    assert (read_values(full) or {})["rank"] == 0
    assert parse_spec(yaml.safe_load(with_value(full, "rank", 8))).lora.rank == 8  # type: ignore[union-attr]


def test_what_has_no_widget_stays() -> None:
    """Columns, a split, questions that are conversations, a field of the spec that is nowhere else."""
    text = (
        "model: m\ndata: {name: d, split: test}\nseed: 3\nsampling:\n  every: 5\n"
        "  prompts: ['Hi?', [{role: user, content: 'Ho?'}]]\n"
    )
    changed = yaml.safe_load(with_value(with_value(text, "data", "e"), "prompts", "Hey?"))
    assert changed["data"] == {"name": "e", "split": "test"}
    assert changed["seed"] == 3
    assert changed["sampling"] == {"every": 5, "prompts": ["Hey?", [{"role": "user", "content": "Ho?"}]]}
    assert (read_values(text) or {})["prompts"] == "Hi?"


@pytest.mark.parametrize("text", ["a: [", "- 1", "3"])
def test_settings_wait_for_yaml(text: str) -> None:
    """While the text is no spec's the settings stay, and a setting is not written into it."""
    assert read_values(text) is None
    with pytest.raises(SpecError):
        with_value(text, "rank", 4)
    assert "✗" in train_events.on_setting("rank", 4, text)["train_planned"]


def test_settings_of_odd_values() -> None:
    """YAML reads 5e-3 as a text; what fits no widget shows the default."""
    values = read_values("model: [1]\nlearning_rate: 5e-3\nmax_steps: many\nlora: true\nsampling: 3\npacking: 1\n")
    assert values is not None
    assert values["learning_rate"] == 0.005
    assert (values["max_steps"], values["rank"], values["prompts"], values["packing"]) == (None, 16, "", False)


# --- from the other tabs


def boxes(**changes: Any) -> Setup:
    """What the Inspect tab's boxes stand for."""
    return setup_of(Boxes(model="tiny-chat", conversation="[]", **changes))


def test_the_tabs_rows_train_as_they_are_inspected() -> None:
    """The spec that is written prepares the rows that the tabs show, label by label."""
    import inspector

    setup = boxes(turns="last", stop="never", max_length=40, truncation="keep_end")
    data = DataBoxes(data_kind=EXAMPLE, data_example="multi-turn.jsonl.gz")
    spec = parse_spec(yaml.safe_load(spec_of_tabs(setup, data)))
    rows = list(prepare(spec, spec.data, load_model(spec), []))
    assert len(rows) > 3
    for row in rows:
        shown = inspector.inspect(
            setup.load(), row.conversation, setup.strategy, modifiers=setup.modifiers, **setup.options
        )
        assert (row.input_ids, row.labels) == shown.row


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy_becomes_a_spec(strategy: str) -> None:
    """By its name."""
    spec = parse_spec(yaml.safe_load(spec_of_tabs(boxes(strategy=strategy), DataBoxes(data_example="messages.jsonl"))))
    assert spec.strategy == strategy


def test_every_kind_of_data_becomes_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An example by its place in the project, a file by its path, a name with its parts, pasted rows by a file."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))

    def data(**values: Any) -> Any:
        return yaml.safe_load(spec_of_tabs(boxes(), DataBoxes(**values)))["data"]

    assert data(data_kind=EXAMPLE, data_example="alpaca.json") == "examples/data/alpaca.json"
    assert data(data_kind=FILE, data_file=str(EXAMPLES / "text.jsonl")) == str(EXAMPLES / "text.jsonl")
    named = data(data_kind=NAME, data_name="a/b", data_split="test", data_mapping="prompt=question", data_limit=5)
    assert named == {"name": "a/b", "split": "test", "map": {"prompt": "question"}, "limit": 5}
    for pasted, suffix in (('{"text": "a"}', ".jsonl"), ('[{"text": "a"}]', ".json"), ("text\na", ".csv")):
        path = Path(data(data_kind=PASTED, data_pasted=pasted))
        assert (path.read_text(), path.suffix) == (pasted, suffix)
        assert runs_root() in path.parents


def test_pasted_rows_need_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be made it is said."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "file" / "runs"))
    with pytest.raises(RunFolderError, match=r"The rows cannot be kept in .*: Not a directory"):
        spec_of_tabs(boxes(), DataBoxes(data_kind=PASTED, data_pasted="text\na"))


def test_what_cannot_be_taken_from_the_tabs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set chosen, special tokens that are no JSON, what nobody foresaw. Nothing can be started then: in the box
    stands another spec."""
    chosen, fine = DataBoxes(data_example="messages.jsonl"), Boxes(model="tiny-chat", conversation="[]")
    stop, changes = train_events.on_tabs(None, DataBoxes(data_kind=NAME), fine)
    assert "Type the id of a hub data set" in changes["train_planned"]
    assert stop == {"train_start": gr.update(interactive=False)}
    stop, changes = train_events.on_tabs(None, chosen, Boxes(model="tiny-chat", conversation="[]", special_tokens="{"))
    assert set(changes) == {"train_planned"}
    monkeypatch.setattr(train_events, "spec_of_tabs", lambda *_: 1 / 0)
    stop, changes = train_events.on_tabs(None, chosen, fine)
    assert "Something failed that should not have: ZeroDivisionError" in changes["train_planned"]
    monkeypatch.undo()
    stop, changes = train_events.on_tabs(None, chosen, fine)
    assert changes["train_start"] == gr.update(interactive=True)
    for answer in (train_events.on_spec(MINIMAL), train_events.on_setting("rank", 4, MINIMAL)):
        assert answer["train_start"] == gr.update(interactive=True)


def test_an_uploaded_file_is_named_in_the_spec(tmp_path: Path) -> None:
    """By its path as plain text: gradio's own kind of text has no form in YAML."""
    file = NamedString(tmp_path / "clean.jsonl")
    values = [{"data_file": file, "data_kind": FILE}.get(name, getattr(DataBoxes(), name)) for name in DATA_NAMES]
    boxes_now = Boxes(model="tiny-chat", conversation="[]")
    values += [getattr(boxes_now, name) for name in INPUTS]
    data, given = _arguments(0, [DataBoxes, Boxes], values)
    assert given == boxes_now
    spec = yaml.safe_load(spec_of_tabs(Setup(model="tiny-chat", conversation=[]), data))
    assert spec["data"] == str(tmp_path / "clean.jsonl")


def test_edited_rows_are_the_ones_that_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved in the audit is in the file of the run; another data set has nothing of it."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    data = DataBoxes(
        data_kind=PASTED, data_pasted='{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}'
    )
    source = replace(source_of(data), edits={1: {"prompt": "c", "completion": "edited"}})
    audited: Any = SimpleNamespace(source=source, is_of=lambda other: replace(source, edits={}) == other)
    setup = Setup(model="tiny-chat", conversation=[])
    kept = Path(yaml.safe_load(spec_of_tabs(setup, data, audited))["data"])
    assert [json.loads(line)["completion"] for line in kept.read_text().splitlines()] == ["b", "edited"]
    other = replace(data, data_pasted='{"prompt": "e", "completion": "f"}')
    assert "edited" not in Path(yaml.safe_load(spec_of_tabs(setup, other, audited))["data"]).read_text()


def test_a_command_that_ends_without_a_word_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status, and the end of what it printed."""
    run = RunDir.create(tmp_path / "runs", RunSpec.model_validate(yaml.safe_load(MINIMAL)))
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\necho 'Loading the weights' >&2\nkill -9 $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(dying))
    said = "`training publish` ended with status -9 and no message. Its last output: Loading the weights"
    with pytest.raises(PublishError, match=f"^{said}$"):
        train_view.publish(run, "ann/own", is_private=True, is_merged=False)


# --- what is drawn


def test_smoothing_is_a_mean_that_begins_right() -> None:
    """A constant stays what it is; a jump is reached slowly; nothing is moved along the steps."""
    assert train_view.smoothed([(1, 2.0), (2, 2.0), (5, 2.0)], 0.9) == [(1, 2.0), (2, 2.0), (5, 2.0)]
    points = train_view.smoothed([(1, 0.0), (2, 1.0)], 0.5)
    assert points == [(1, 0.0), (2, pytest.approx(2 / 3))]


def test_scores_are_packed_by_row_and_moment() -> None:
    """The newest of each; long rows are cut; the mean is over what trains."""
    line = {
        "when": "before", "row": 3, "tokens": 2_000, "texts": ["a"] * 1_000, "trained": [0, 1] * 500,
        "losses": [None, 2.0] * 500, "guesses": ["b"] * 1_000, "probabilities": [0.5] * 1_000, "right": [0] * 1_000,
    }  # fmt: skip
    after = line | {"when": "after", "losses": [None, 0.5] * 500}
    (row,) = json.loads(pack_scores([line, line | {"when": "after"}, after]))["rows"]
    assert (row["row"], row["tokens"], len(row["texts"])) == (3, 2_000, MAX_TOKENS)
    assert {name: moment["mean"] for name, moment in row["moments"].items()} == {"before": 2.0, "after": 0.5}
    assert pack_scores([]) == ""


def test_runs_are_renamed_and_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice shows the name; what is deleted is no longer there, and the other is shown."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    made = [RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL))) for _ in range(2)]
    first = RunBoxes(train_run=made[0].run_id, train_others=[made[0].run_id])
    assert train_events.on_rename("  the  first ", first)["train_name"] == ""
    labels = {value: label for label, value in run_choices(run_rows(runs_root()))}
    assert labels[made[0].run_id].startswith("the first · ")
    assert "name: is empty." in train_events.on_rename(" ", first)["train_state"]
    refused = train_events.on_delete(first)
    assert "is still queued" in refused["train_state"]
    assert set(refused) == {"train_state"}
    made[0].write_status(replace(made[0].written_status(), phase=Phase.STOPPED))
    shown = train_events.on_delete(first)
    assert not made[0].path.exists()
    assert (shown["train_run"]["value"], shown["train_others"]) == (made[1].run_id, [])


# --- the steps


def test_a_preset_is_what_it_sets() -> None:
    """Each is found again in the spec it made, the other settings stay, and what is none of them is told apart."""
    for _, name in CHOICES:
        text = with_preset(MINIMAL + "learning_rate: 0.001\n", name)
        assert preset_of(text) == name
        assert yaml.safe_load(text)["learning_rate"] == 0.001
    assert preset_of(MINIMAL + "max_steps: 7\n") is None
    assert preset_of("a: [") is None
    changes = train_events.on_preset("balanced", view_first())
    assert (changes["train_set_max_steps"], changes["train_set_epochs"]) == (None, 1)
    assert changes["train_preset"] == "balanced"
    assert train_events.on_setting("max_steps", 7, view_first())["train_preset"] is None
    refused = train_events.on_preset("quick", "a: [")
    assert "✗" in refused["train_planned"]


def view_first() -> str:
    """The spec that the tab opens with."""
    return train_view.FIRST_SPEC


def acts(run: RunDir) -> list[str]:
    """What can be done with a run, as the page has it."""
    changes = train_events.on_run(RunBoxes(train_run=run.run_id))
    return [act for act in train_events.ACTS if changes[f"train_{act}"]["visible"]]


def test_what_can_be_done_follows_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop while it runs; resume where there is a checkpoint; use where there are weights."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    run = RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL)))

    def end(phase: Phase) -> None:
        run.write_status(replace(run.written_status(), phase=phase))

    assert acts(run) == ["stop"]
    end(Phase.FAILED)
    assert acts(run) == ["rerun"]
    (run.checkpoints / "checkpoint-3").mkdir(parents=True)
    (run.checkpoints / "checkpoint-3" / "trainer_state.json").write_text("{}")
    end(Phase.STOPPED)
    assert acts(run) == ["resume", "rerun"]
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"")
    end(Phase.SUCCEEDED)
    assert acts(run) == ["use", "rerun"]
    assert train_events.on_stop(RunBoxes(train_run=run.run_id)) == {"train_stop_box": gr.update(visible=True)}
    refused = train_events.on_stop_now(RunBoxes(train_run=run.run_id))
    assert "has ended already" in refused["train_state"]


def test_a_run_without_a_name_has_two_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Always the same, in the list, in the table and where it is looked for; a name takes their place."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    run = RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL)))
    words = two_words(run.run_id)
    assert re.fullmatch("[a-z]+-[a-z]+", words)
    assert run.label == RunDir(run.path).label == words
    ((label, value),) = run_choices(run_rows(runs_root()))
    assert (label.split(" · ")[0], value) == (words, run.run_id)
    assert runs.find(words, runs_root()).run_id == run.run_id
    runs.rename(run, "the first")
    (row,) = json.loads(runs_value(run_rows(runs_root()), run.run_id, ()))["rows"]
    assert (row["name"], row["state"], row["step"], row["loss"]) == ("the first", "queued", 0, None)
    run.spec_file.write_text("lr: 1\n")
    run.name_file.unlink()
    assert run.label == words
    assert [row["data"] for row in run_rows(runs_root())] == [""]


def test_the_table_has_the_newest_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where later lines have none, and where the file is long; what is compared is listed."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    one, other = (RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL))) for _ in range(2))
    for step in range(3_000):
        append_line(one.metrics_file, {"step": step, "loss": 3_000.0 - step})
    append_line(one.metrics_file, {"step": 2_999, "eval_loss": 7.0})
    shown = json.loads(runs_value(run_rows(runs_root()), one.run_id, [one.run_id, other.run_id]))
    assert {row["id"]: row["loss"] for row in shown["rows"]} == {one.run_id: 1.0, other.run_id: None}
    assert (shown["shown"], shown["others"]) == (one.run_id, [other.run_id])
    boxes = RunBoxes(train_run=one.run_id)
    assert train_events.on_compare({"ids": [other.run_id]}, boxes)["train_others"] == [other.run_id]
    assert json.loads(train_events.on_show({"id": other.run_id}, boxes)["train_runs"])["shown"] == other.run_id


def test_the_tab_says_how_far_a_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it trains; and nothing of it afterwards."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    run = RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL)))
    status = replace(run.written_status(), phase=Phase.TRAINING, step=18, max_steps=40)
    run.write_status(status)
    assert json.loads(train_view.title_value(run, run.status()))["title"] == f"18/40 {run.label} · Maskscope"
    run.write_status(replace(status, phase=Phase.SUCCEEDED))
    assert json.loads(train_view.title_value(run, run.status()))["title"] == ""


# --- the last step


def test_what_was_trained_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All files of the adapter, in a folder; a run without weights says so."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    run = RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL)))
    boxes = RunBoxes(train_run=run.run_id)
    (refused,) = use_pane.on_zip(boxes)
    assert "has no weights yet: let it train first." in refused["use_files"]
    run.adapter.mkdir()
    for name in ("adapter_model.safetensors", "chat_template.jinja"):
        (run.adapter / name).write_text(name)
    packing = use_pane.on_zip(boxes)
    saved = next(one for one in packing if "use_download" in one)
    with zipfile.ZipFile(saved["use_download"]) as archive:
        assert archive.namelist() == ["adapter/adapter_model.safetensors", "adapter/chat_template.jinja"]
    assert Path(saved["use_download"]).name == "adapter.zip"
    assert list(packing) == []
    assert not Path(saved["use_download"]).exists()


def test_the_last_step_needs_a_run_and_a_message() -> None:
    """Said in a sentence each; a message is not lost."""
    nobody, said = RunBoxes(), use_pane.UseBoxes()
    (empty,) = use_pane.on_ask("  ", {}, said, nobody)
    assert "Write a message first." in empty["use_state"]
    *_, last = use_pane.on_ask("Hi?", {}, said, nobody)
    assert "There is no run yet: press Train first." in last["use_state"]
    assert last["use_question"] == "Hi?"
    for act in (use_pane.on_zip, use_pane.on_merge):
        *_, last = act(nobody)
        assert "There is no run yet: press Train first." in last["use_files"]
    assert "Ask something first." in use_pane.on_open("base", {}, nobody)["use_state"]
    assert use_pane.on_clear()["use_ids"] == {}


def test_zero_gpu_holds_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the GPU is lent for one call at a time."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    *_, last = use_pane.on_ask("Hi?", {}, use_pane.UseBoxes(), RunBoxes(train_run="x"))
    assert "On ZeroGPU no process can hold the weights: download the adapter." in last["use_state"]


def test_a_message_of_gradio_is_read() -> None:
    """As a text, or in parts."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    boxes_now = use_pane.UseBoxes(use_base=parts, use_trained=None)
    assert boxes_now.messages("base") == [{"role": "user", "content": "ab"}]
    assert boxes_now.messages("trained") == []


def test_another_run_has_not_heard_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pane says whose weights answer; a run without any says so."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    run = RunDir.create(runs_root(), RunSpec.model_validate(yaml.safe_load(MINIMAL)))
    boxes_now = RunBoxes(train_run=run.run_id)
    assert "has no weights yet" in use_pane.on_look({}, boxes_now)["use_about"]
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"")
    same = use_pane.on_look({"base": {"run": run.run_id}}, boxes_now)
    assert set(same) == {"use_about"}
    assert f"{run.label}: tiny-chat, trained on x.csv" in same["use_about"]
    assert use_pane.on_look({"base": {"run": "another"}}, boxes_now)["use_base"] == []
    assert "There is no run yet" in use_pane.on_look({}, RunBoxes())["use_about"]
