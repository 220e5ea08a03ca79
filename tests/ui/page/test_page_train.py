"""The Train tab in a real browser: one click trains, a reload finds the run again, the answers change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.errors import SpecError
from training.launch import runs
from training.run.folder import Phase, RunDir, append_line
from training.spec import parse_spec, parse_text
from ui.train_tab import events as train_events
from ui.train_tab import tab as train_tab
from ui.train_tab import view as train_view
from ui.train_tab.view import RunBoxes

STATE = "() => document.querySelector('#train-state').innerText"


def show_train(page: Any) -> None:
    """Go to the tab's third step, once it has its spec, and unfold the settings and the YAML."""
    page.get_by_role("tab", name="Train", exact=True).click()
    page.wait_for_function(
        "() => ['#train-set-model textarea', '#train-state'].some(shown => {"
        "const found = document.querySelector(shown); return found?.value || found?.innerText; })"
    )
    step(page, "3 Train")
    for pane in ("#train-settings", "#train-yaml"):
        page.click(f"{pane} > button:not(.open)")
    page.wait_for_function("() => document.querySelector('#train-spec textarea')?.value.includes('tiny-chat')")


def step(page: Any, name: str) -> None:
    """Go to one of the four steps."""
    page.get_by_role("tab", name=name, exact=True).click()


@pytest.fixture
def new_page(context: Any) -> Iterator[Any]:
    """A function that opens an address in a fresh tab, with the Train tab shown and its spec there."""
    opened = []

    def show(address: str) -> Any:
        page = context.new_page()
        opened.append(page)
        page.goto(address)
        show_train(page)
        return page

    yield show
    for page in opened:
        page.close()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_one_click_trains_and_a_reload_finds_the_run(app: str, new_page: Any) -> None:
    """Spec, progress, charts, proof, answers; in the middle the page is loaded anew."""
    page = new_page(app)
    page.click("#train-start")
    page.wait_for_function(f"({STATE})().match(/loading|training|queued/)")
    page.reload()
    show_train(page)
    page.wait_for_function(f"({STATE})().includes('succeeded')")
    page.wait_for_function("() => document.querySelector('#train-chart .charts').dataset.points >= 40")
    assert page.locator("#train-chart .chart").count() == 6
    assert "identical to the inspector's" in page.evaluate(STATE)
    answers = page.locator("#train-answers table").inner_text()
    assert "Red, green and blue.<|im_end|>" in answers
    page.get_by_text("Loss per token").click()
    tokens = page.locator("#train-scores .sv-tokens").last
    tokens.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#train-scores .sv-said").last.inner_text().startswith('"<|im_end|>" is trained; loss 0.')
    page.locator("#train-scores").get_by_role("button", name="before").click()
    assert page.locator("#train-scores .sv-token.trained.wrong").count() > 1
    page.get_by_text("Command, spec and log").click()
    assert "python -m training run " in page.locator("#train-details").inner_text()
    assert page.locator("#train-runs [aria-current=true]").inner_text() == page.evaluate(
        "document.querySelector('#train-run input').value.split(' · ')[0]"
    )
    assert page.title() == "Maskscope"
    assert [act for act in train_events.ACTS if page.is_visible(f"#train-{act}")] == ["use", "rerun"]
    page.click("#train-use")
    page.fill("#use-question textarea", "Name three colours.")
    page.click("#use-ask")
    page.wait_for_selector("#use-open-base:not([disabled])")
    assert "Red, green and blue." in page.inner_text("#use-trained")
    assert "Red, green and blue." not in page.inner_text("#use-base")
    assert not page.is_visible("#train-start")
    with page.expect_download() as download:
        page.click("#use-zip")
    assert download.value.suggested_filename == "adapter.zip"
    page.click("#use-open-trained")
    page.wait_for_function("() => document.querySelector('.tv-body').innerText.includes('Red, green')")
    trained = page.locator(".tv-body .tv-token.trained").all_inner_texts()
    assert "".join(trained) == "Red, green and blue.<|im_end|>"


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_wrong_spec_is_told_by_field_and_cost_is_estimated(app: str, new_page: Any) -> None:
    """Nothing starts; the right one has its figures."""
    page = new_page(app)
    box = page.locator("#train-spec textarea")
    good = box.input_value()
    box.fill("model: tiny-chat\nlr: 1\n")
    page.click("#train-start")
    page.wait_for_function("() => document.querySelector('#train-planned').innerText.includes('learning_rate')")
    assert "data: is missing." in page.locator("#train-planned").inner_text()
    box.fill(good)
    page.wait_for_function("() => document.querySelector('#train-set-max-steps input').value === '40'")
    page.fill("#train-set-rank input", "4")
    page.wait_for_function("() => document.querySelector('#train-spec textarea').value.includes('rank: 4')")
    step(page, "1 Data")
    page.click("#train-from-tabs")
    page.wait_for_function("() => document.querySelector('#train-spec textarea').value.includes('messages.jsonl')")
    assert "max_steps" not in box.input_value()
    step(page, "3 Train")
    box.fill(good)
    page.wait_for_function("() => document.querySelector('#train-preset input[value=quick]').checked")
    step(page, "2 Check")
    page.wait_for_function("() => document.querySelector('#train-planned').innerText.includes('GFLOPs')")
    assert page.locator("#train-preview .rv-row").count() == 4


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_an_uploaded_file_trains(app: str, new_page: Any, tmp_path: Path) -> None:
    """From a file on the visitor's machine to a run on its rows; while nothing could be taken over, nothing starts."""
    page = new_page(app)
    page.get_by_role("tab", name="Audit").click()
    page.get_by_role("radio", name="File").check()
    page.get_by_role("tab", name="Train", exact=True).click()
    step(page, "1 Data")
    page.click("#train-from-tabs")
    page.wait_for_function("() => document.querySelector('#train-planned').innerText.includes('Choose a file')")
    assert page.is_disabled("#train-start")
    page.get_by_role("tab", name="Audit").click()
    chat = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "My own answer."}]
    own = tmp_path / "clean.jsonl"
    own.write_text("".join(json.dumps({"messages": chat}) + "\n" for _ in range(4)))
    page.set_input_files("#data-file input[type=file]", str(own))
    page.wait_for_selector("#data-preview .rv-row")
    page.get_by_role("tab", name="Train", exact=True).click()
    page.click("#train-from-tabs")
    page.wait_for_function("() => document.querySelector('#train-spec textarea').value.includes('/clean.jsonl')")
    step(page, "3 Train")
    page.fill("#train-set-max-steps input", "2")
    page.wait_for_function("() => document.querySelector('#train-spec textarea').value.includes('max_steps: 2')")
    page.click("#train-start")
    page.wait_for_function(f"({STATE})().includes('succeeded: step 2')")
    page.get_by_text("Command, spec and log").click()
    assert "/clean.jsonl" in page.locator("#train-details").inner_text()
    assert "identical to the inspector's" in page.evaluate(STATE)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_two_tabs_show_one_run(app: str, new_page: Any) -> None:
    """The second finds what the first has started; what either stops has stopped in both, saved."""
    first = new_page(app)
    first.locator("#train-spec textarea").fill(
        "model: tiny-chat\ndata: examples/data/question-answer.csv\nmax_steps: 5000\nname: seen twice\n"
    )
    first.wait_for_function("() => document.querySelector('#train-set-max-steps input').value === '5000'")
    first.click("#train-start")
    first.wait_for_function(f"({STATE})().match(/training: step [1-9]/)")
    second = new_page(app)
    second.wait_for_function(f"({STATE})().match(/training: step [1-9]/)")
    second.click("#train-stop")
    second.click("#train-stop-not")
    second.wait_for_selector("#train-stop-box", state="hidden")
    assert re.match("[0-9]+/5000 seen twice · Maskscope", second.title())
    second.click("#train-stop")
    second.click("#train-stop-saved")
    for page in (first, second):
        page.wait_for_function(f"({STATE})().match(/stopped: step [1-9]/)")
        assert "identical to the inspector's" in page.evaluate(STATE)


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_pairs_are_shown_and_preferred(app: str, new_page: Any) -> None:
    """An example of DPO: both answers with what trains in them, then margins as charts, and the shorter answer."""
    page = new_page(app)
    step(page, "1 Data")
    page.click("#train-example input")
    page.get_by_role("option", name="brief answers dpo").click()
    page.wait_for_function("() => document.querySelector('#train-set-method input').value === 'dpo'")
    step(page, "2 Check")
    page.wait_for_function("() => document.querySelectorAll('#train-preview .rv-row').length === 8")
    chosen, rejected = (page.locator("#train-preview .rv-row").nth(i) for i in (0, 1))
    assert chosen.locator(".rv-place").inner_text() == "row 0 · chosen"
    assert "".join(chosen.locator(".trained").all_inner_texts()) == "Paris.<|im_end|>"
    assert rejected.locator(".rv-count").inner_text() == "8 of 24 tokens are trained"
    assert page.locator("#train-preview button").count() == 0
    page.click("#train-start")
    page.wait_for_function(f"({STATE})().includes('succeeded')")
    page.wait_for_function("() => document.querySelector('#train-chart').innerText.includes('reward margin')")
    page.wait_for_function("() => document.querySelector('#train-answers').innerText.includes('\\tParis.<|im_end|>')")
    assert "The capital of France is Paris.<|im_end|>" in page.locator("#train-answers table").inner_text()


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
def test_a_config_is_dropped_on_the_spec(app: str, new_page: Any) -> None:
    """AutoTrain's file becomes a spec, and what is otherwise there is said."""
    page = new_page(app)
    text = "task: llm-sft\nbase_model: tiny-chat\nproject_name: p\ndata:\n  path: x.jsonl\nparams:\n  epochs: 2\n"
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "config.yaml"));
          document.querySelector('#train-spec textarea')
            .dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        text,
    )
    page.wait_for_function("() => document.querySelector('#train-spec textarea').value.includes('strategy: full')")
    assert page.locator("#train-set-epochs input").input_value() == "2"
    assert "traced" in page.locator("#train-planned").inner_text()


# --- without a browser


def preview(spec: str) -> dict[str, Any]:
    """What the rows' view is given."""
    return dict(json.loads(train_events.on_rows(spec)["train_preview"]))


def test_rows_are_shown_as_they_train() -> None:
    """Pairs, judged answers, what is not used; and why there are none."""
    head = "model: tiny-chat\ndata: examples/data/brief-answers-judged.jsonl\n"
    shown = preview(head + "method: kto\nmicro_batch: 2\n")
    assert [row["place"] for row in shown["rows"]] == ["row 0 · good", "row 1 · bad", "row 2 · good", "row 3 · bad"]
    one = shown["rows"][0]
    trained = [text for text, bits in zip(one["texts"], one["classes"], strict=True) if bits]
    assert ("".join(trained), one["trained"], one["canOpen"]) == ("Paris.<|im_end|>", len(trained), False)
    assert [one["roles"][turn] for turn in one["turns"] if turn is not None][-1] == "assistant"
    said = preview(head + "method: dpo\n")["failure"]
    assert said.startswith("data: has rows of the kind unpaired. dpo needs the columns chosen and rejected")
    assert preview("model: tiny-chat\ndata: no.csv\n")["failure"].startswith("There is no")
    bad = preview("model: tiny-chat\ndata: examples/data/unknown-role.jsonl\n")["rows"]
    assert any("has the role" in row.get("why", "") for row in bad)


SPEC = parse_spec({"model": "tiny-chat", "data": "x.csv"})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run's folder, no process."""
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    return RunDir.create(runs.runs_root(), SPEC)


def blocks(value: str) -> list[dict[str, Any]]:
    """The blocks of a report."""
    return list(json.loads(value)["blocks"])


def test_long_runs_are_thinned_and_keep_their_ends(run: RunDir) -> None:
    """First and last point, a few hundred between."""
    for step in range(1, 3_002):
        append_line(run.metrics_file, {"step": step, "loss": 1 / step})
    (series,) = json.loads(train_view.chart_value([run]))["charts"][0]["series"]
    assert (series["x"][0], series["x"][-1]) == (1, 3_001)
    assert len(series["x"]) <= train_view.POINTS + 2


def test_failed_run_shows_error_and_remedy(run: RunDir) -> None:
    """With their signs."""
    from dataclasses import replace

    run.write_status(replace(run.written_status(), phase=Phase.FAILED, error="It broke.", suggestion="Mend it."))
    shown = blocks(train_view.state_value(run))
    assert [(b["sign"], b["text"]) for b in shown if b["kind"] == "text"] == [("✗", "It broke."), ("→", "Mend it.")]
    assert train_events.on_run(RunBoxes(train_run=run.run_id))["train_state"] == train_view.state_value(run)


def test_answers_stand_side_by_side(run: RunDir) -> None:
    """One row a question."""
    for when, answer in (("before", "Hm."), ("after", "Hi.")):
        line = {"when": when, "step": 0, "question": 0, "messages": [{"content": "Hello!"}], "reference": "Hi."}
        append_line(run.samples_file, line | {"answer": answer})
    (shown,) = blocks(train_view.answers_value([run]))
    assert shown["head"] == ["question", "before", "after", "expected"]
    assert shown["rows"] == [["Hello!", "Hm.", "Hi.", "Hi."]]


def test_runs_stand_beside_each_other(run: RunDir, tmp_path: Path) -> None:
    """Curves over one another, answers in columns, and the settings that differ."""
    other = RunDir.create(
        runs.runs_root(), parse_spec({"model": "tiny-chat", "data": "x.csv", "name": "second", "seed": 7})
    )
    for one, answer in ((run, "Hi."), (other, "Ho.")):
        append_line(one.metrics_file, {"step": 1, "loss": 2.0})
        line = {"when": "after", "step": 1, "question": 0, "messages": [{"content": "Hello!"}], "reference": None}
        append_line(one.samples_file, line | {"answer": answer})
    series = json.loads(train_view.chart_value([run, other]))["charts"][0]["series"]
    assert [line["name"] for line in series] == ["loss", "second loss"]
    answers, _, differing = blocks(train_view.answers_value([run, other]))
    assert answers["rows"] == [["Hello!", "Hi.", "Ho."]]
    assert ["seed", "0", "7"] in differing["rows"]


def test_every_example_spec_is_one() -> None:
    """The notebook's runs differ in what they train, not in rows or steps."""
    specs = {name: parse_text(train_view.spec_example(name)) for _, name in train_view.spec_examples()}
    spanish = [spec for name, spec in specs.items() if name.startswith("spanish")]
    assert len(spanish) == 3
    assert len({(spec.data.name, spec.max_steps, spec.seed) for spec in spanish}) == 1
    assert len({spec.strategy for spec in spanish}) == 3


def test_actions_on_runs_that_are_not_there(run: RunDir) -> None:
    """Said, not raised."""
    assert "There is no run" in train_events.on_run(RunBoxes(train_run="nothing"))["train_state"]
    assert "has no checkpoint" in _after(train_events.on_resume, run)
    stopped = train_events.on_stop_saved(RunBoxes())["train_state"]
    assert stopped == train_events.on_run(RunBoxes())["train_state"]
    assert "No run yet" in stopped


def _after(act: Any, run: RunDir) -> str:
    from dataclasses import replace

    run.write_status(replace(run.written_status(), phase=Phase.FAILED))
    return str(act(RunBoxes(train_run=run.run_id))["train_state"])


def test_spec_in_the_box_is_yaml() -> None:
    """What is none is told by the field "spec"."""
    assert parse_text(train_view.FIRST_SPEC).max_steps == 40
    with pytest.raises(SpecError, match="spec: is not YAML"):
        parse_text("a: [")


def test_training_is_off_for_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Space there is a sentence instead."""
    import gradio as gr

    monkeypatch.setenv("SPACE_ID", "someone/maskscope")
    with gr.Blocks():
        assert train_tab.build() == {}
