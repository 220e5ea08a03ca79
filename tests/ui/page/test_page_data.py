"""The Data tab in a real Chromium: rows before an audit, the audit, its findings, the rows they open, the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import DataPage
from tests.support.fetch import axe_script
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

EXAMPLES = Path(__file__).parents[3] / "examples" / "data"
MANY = 40_000


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that takes its time."""
    path = tmp_path_factory.mktemp("data") / "many.jsonl"
    chat = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "\nIt is this. " * 20}]
    with path.open("w") as file:
        for number in range(MANY):
            chat[0]["content"] = f"What is number {number}?"
            file.write(json.dumps({"messages": chat}) + "\n")
    return path


def rows(page: DataPage) -> list[str]:
    return list(page.tab.locator("#data-preview .rv-row").all_inner_texts())


def saved(page: DataPage, button: str) -> tuple[str, str]:
    """Click what saves a file; its name and its text."""
    with page.tab.expect_download() as download:
        page.tab.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_text()


def selected_tab(page: DataPage) -> str:
    return str(page.tab.inner_text("#tabs > .tab-wrapper [aria-selected=true]"))


def selected_pane(page: DataPage) -> str:
    return str(page.tab.inner_text("#data-panes [aria-selected=true]"))


def test_the_first_rows_are_shown_after_the_template(data_page: DataPage) -> None:
    """Five of them, trained text underlined; how they are read; with whose model and training; Open goes there."""
    shown = rows(data_page)
    assert len(shown) == 5
    assert shown[0].startswith("messages.jsonl, line 1\n8 of 24 tokens are trained")
    trained = data_page.tab.locator("#data-preview .tv-token.trained").first
    assert trained.inner_text() == "The"
    assert trained.evaluate("e => getComputedStyle(e).borderBottomStyle") == "solid"
    assert "messages" in data_page.tab.inner_text("#data-layout")
    assert "model tiny-chat · template default · strategy traced" in data_page.tab.inner_text("#data-setup")
    with data_page.redrawn():
        data_page.tab.locator("#data-preview .rv-row button").nth(1).click()
    assert selected_tab(data_page) == "Inspect"
    assert data_page.tab.inner_text(".tv-rows").startswith("Row 2 of 5")
    assert data_page.tab.inner_text(".tv-row-title") == "messages.jsonl, line 2"
    assert data_page.trained_text() == "The capital of Italy is Rome.<|im_end|>"


def test_the_setup_is_that_of_the_inspect_tab(data_page: DataPage) -> None:
    """A link goes there; another strategy there is another here, in the line and in the rows."""
    data_page.tab.click("#data-change")
    data_page.choose("#strategy", "No masking")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.get_by_role("tab", name="Audit").click()
    assert "strategy full" in data_page.tab.inner_text("#data-setup")
    assert "23 of 24 tokens are trained" in rows(data_page)[0]


def test_columns_are_mapped_with_a_preview(data_page: DataPage) -> None:
    """What fits no layout says so and names its columns; a mapping shows the rows; a wrong one says what is wrong."""
    data_page.choose_example("mapped-columns.tsv")
    failure = data_page.tab.locator("#data-preview .rv-failure")
    assert "No layout fits the columns 'id', 'ask', 'reply'" in failure.inner_text()
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-mapping textarea", "question=ask, answer=reply")
    assert len(rows(data_page)) == 5
    assert "question_answer" in data_page.tab.inner_text("#data-layout")
    assert "question=ask" in data_page.tab.inner_text("#data-layout")
    data_page.tab.click("#data-format input")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.get_by_role("option", name="alpaca", exact=True).click()
    assert "needs the column 'instruction'" in failure.inner_text()
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-mapping textarea", "ask")
    assert "'ask' is not a mapping" in failure.inner_text()


def test_an_uploaded_file_is_audited_and_its_rows_open_at_their_tokens(data_page: DataPage) -> None:
    """The audit starts by itself; a finding's rows; Open at the merged token; the next row at its own."""
    data_page.upload(EXAMPLES / "merged-boundaries.jsonl")
    assert rows(data_page)[0].startswith("merged-boundaries.jsonl, line 1")
    assert "12 rows audited" in data_page.status()
    assert "12 read, 12 inspected" in data_page.tab.inner_text("#data-facts")
    listed = data_page.tab.locator(".fv-table tbody tr td")
    assert listed.all_inner_texts()[:3] == ["warning", "6", "50.0%"]
    finding = data_page.tab.locator(".fv-finding")
    assert finding.locator(".fv-clusters").inner_text() == "6 ×\n'\\n\\n', template line 23"
    with data_page.redrawn():
        data_page.tab.get_by_role("button", name="Open merged-boundaries.jsonl, line 4").click()
    assert selected_tab(data_page) == "Inspect"
    assert data_page.tab.inner_text(".tv-row-title") == "merged-boundaries.jsonl, line 4"
    assert data_page.tab.inner_text(".tv-repair .tv-number") == "2 of 5"
    current = data_page.tab.locator(".tv-token.current")
    assert "straddler" in current.get_attribute("class")
    data_page.tab.wait_for_function("document.activeElement.className === 'tv-body'")
    with data_page.redrawn():
        data_page.tab.click(".tv-next")
    assert data_page.tab.inner_text(".tv-row-title").startswith("merged-boundaries.jsonl, line 6")
    assert "straddler" in current.get_attribute("class")
    data_page.tab.get_by_role("button", name="Back to the audit").click()
    assert finding.count() == 1


def test_charts_are_loaded_once_they_are_unfolded(data_page: DataPage) -> None:
    """Each with its words, and the library that draws them with the first; a new audit folds them."""
    tab = data_page.tab
    loaded = "performance.getEntriesByType('resource').map(e => e.name).filter(name => /plotly/i.test(name))"
    data_page.choose_example("merged-boundaries.jsonl")
    assert tab.evaluate(loaded) == []
    data_page.unfold("#data-lengths-pane")
    tab.wait_for_selector("#data-lengths .main-svg")
    assert "the longest has 36" in tab.inner_text("#data-lengths-text")
    assert tab.locator("#data-roles .main-svg").count() == 0
    data_page.unfold("#data-roles-pane")
    tab.wait_for_selector("#data-turns .main-svg")
    assert "assistant 73.6% of 159" in tab.inner_text("#data-roles-text")
    assert "answer 1 73.6% of 159" in tab.inner_text("#data-turns-text")
    data_page.choose_example("unknown-role.jsonl")
    tab.wait_for_function("!document.querySelector('#data-lengths .main-svg')?.getClientRects().length")
    data_page.unfold("#data-lengths-pane")
    tab.wait_for_function("document.querySelector('#data-lengths-text')?.textContent.includes('the longest has 13')")


def test_few_rows_are_audited_unasked_and_many_are_not(data_page: DataPage, many_rows: Path) -> None:
    """Not what stands there when the tab is opened; each choice in the place of the one before; pasted rows, too."""
    tab = data_page.tab
    assert data_page.status() == ""
    data_page.choose_example("unknown-role.jsonl")
    assert tab.inner_text("#data-summary .rp-text") == "✗5 of 6 rows would harm training"
    data_page.choose_kind("Hub or path")
    with data_page.drawn("#data-preview .rows-view"):
        tab.fill("#data-name input", str(many_rows))
        tab.keyboard.press("Enter")
    assert data_page.status() == "◼There are more than 5,000 rows: run the audit."
    assert not tab.locator("#data-summary").is_visible()
    tab.click("#data-run")
    tab.wait_for_function("/left/.test(document.querySelector('#data-status').textContent)")
    data_page.choose_kind("Pasted")
    assert data_page.status() == ""
    with data_page.drawn("#data-preview .rows-view"):
        tab.fill("#data-pasted textarea", '{"messages": [{"role": "user", "content": "Hi?"}]}')
    data_page.rest()
    assert tab.inner_text("#data-summary .rp-text") == "✗1 of 1 rows would harm training"
    wait_until(lambda: not worker_ids(data_page.address), lambda: "the audit that was dropped still works")
    assert tab.inner_text("#data-summary .rp-text") == "✗1 of 1 rows would harm training"


def test_another_trainer_drops_the_audit_and_starts_one(data_page: DataPage) -> None:
    """Back on the tab the report is about what the Inspect tab holds now."""
    tab = data_page.tab
    data_page.choose_example("merged-boundaries.jsonl")
    assert "strategy traced" in tab.inner_text("#data-summary")
    tab.click("#data-change")
    data_page.choose("#strategy", "No masking")
    tab.get_by_role("tab", name="Audit").click()
    tab.wait_for_function("document.querySelector('#data-summary')?.textContent.includes('strategy full')")
    assert selected_pane(data_page) == "Report"


def answer(page: DataPage, text: str) -> None:
    """Write the answer of the row that is shown, and go on at once."""
    page.tab.fill(".ce-row:nth-of-type(2) textarea", text)


def test_the_rows_of_a_problem_are_repaired_one_after_the_other(data_page: DataPage, tmp_path: Path) -> None:
    """Save takes the last key that was typed; Skip leaves the row; the last one says so; the audit is done once more,
    and the downloads hold the edits."""
    tab = data_page.tab
    path = tmp_path / "answers.jsonl"
    lines = [{"prompt": f"Number {i}?", "completion": text} for i, text in enumerate(["One.", "", "", "", "Five."])]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    data_page.upload(path)
    assert tab.inner_text("#data-save-clean") == "Download 5 clean rows"
    said = tab.locator(".tv-said")
    with data_page.redrawn():
        tab.get_by_role("button", name="Open the rows of only_stop_trained").click()
    assert tab.inner_text(".tv-repair").startswith("Only the stop token is trained (3 rows)")
    with data_page.redrawn():
        tab.click(".tv-save")
    assert said.inner_text() == "This row is not changed: change it, or skip it."
    answer(data_page, "Two.")
    with data_page.redrawn():
        tab.click(".tv-save")
    tab.wait_for_function("document.querySelector('.tv-said')?.textContent === 'Saved: answers.jsonl, line 2.'")
    assert tab.inner_text(".tv-repair .tv-number") == "2 of 3"
    assert tab.input_value(".ce-row:nth-of-type(1) textarea") == "Number 2?"
    assert tab.evaluate("document.activeElement.textContent") == "Save row"
    answer(data_page, "Not kept.")
    tab.focus(".tv-skip")
    with data_page.redrawn():
        tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('.tv-repair .tv-number')?.textContent === '3 of 3'")
    answer(data_page, "Four.")
    with data_page.redrawn():
        tab.click(".tv-save")
    tab.wait_for_function("document.querySelector('.tv-said')?.textContent.includes('last of the 3 rows: 2 saved')")
    assert tab.locator(".tv-saved").count() == 1
    with data_page.drawn("#data-findings .findings-view"):
        tab.click("text=Back to the audit")
    data_page.rest()
    assert selected_tab(data_page) == "Audit"
    assert "answers.jsonl, 2 rows edited" in tab.inner_text("#data-summary")
    assert (
        tab.locator(".fv-table tbody tr").filter(has_text="Only the stop token").locator("td").nth(1).inner_text()
        == "1"
    )
    _, text = saved(data_page, "#data-save-clean")
    found = [json.loads(line)["completion"] for line in text.splitlines()]
    assert [one if isinstance(one, str) else one[0]["content"] for one in found] == [
        "One.",
        "Two.",
        "",
        "Four.",
        "Five.",
    ]


def test_findings_are_filtered(data_page: DataPage) -> None:
    """The worst is chosen first; another by a click; all of them by clicking it again. Unusable rows are there too."""
    data_page.choose_example("unknown-role.jsonl")
    assert "narrator" in rows(data_page)[1]
    listed = data_page.tab.locator(".fv-finding .tv-finding-head code")
    assert listed.all_inner_texts() == ["rows that are not used"]
    assert "unknown-role.jsonl, line 4" in data_page.tab.inner_text(".fv-examples")
    choose = data_page.tab.locator(".fv-choose[data-code=no_trained_tokens]")
    choose.click()
    assert listed.all_inner_texts() == ["no_trained_tokens"]
    assert choose.get_attribute("aria-pressed") == "true"
    assert data_page.tab.inner_text(".fv-place") == "unknown-role.jsonl, line 3"
    choose.click()
    assert len(listed.all_inner_texts()) == data_page.tab.locator(".fv-table tbody tr").count() > 1
    data_page.tab.get_by_role("button", name="Why rows that are not used").click()
    assert listed.all_inner_texts() == ["rows that are not used"]


def test_report_and_rows_are_saved_and_compared(data_page: DataPage, tmp_path: Path) -> None:
    """The report as JSON, the clean rows as they were, the rejected ones with place and why; what changed since."""
    data_page.choose_example("bad-json-at-line-17.jsonl")
    name, text = saved(data_page, "#data-save-report")
    assert (name, json.loads(text)["bad"]) == ("report.json", 1)
    (tmp_path / name).write_text(text)
    name, text = saved(data_page, "#data-save-rejected")
    (bad,) = [json.loads(line) for line in text.splitlines()]
    assert (name, bad["place"]) == ("rejected-rows.jsonl", "bad-json-at-line-17.jsonl, line 17")
    assert "not JSON" in bad["why"]
    assert data_page.tab.inner_text("#data-save-clean") == "Download 19 clean rows"
    name, text = saved(data_page, "#data-save-clean")
    kept = (EXAMPLES / "bad-json-at-line-17.jsonl").read_text().splitlines()
    del kept[16]
    assert (name, [json.loads(line) for line in text.splitlines()]) == (
        "clean-rows.jsonl", [json.loads(line) for line in kept],
    )  # fmt: skip
    data_page.choose_example("messages.jsonl")
    assert data_page.tab.inner_text(".fv-title") == "No problems found"
    assert data_page.tab.inner_text("#data-save-rejected") == "0 rejected rows, with reasons"
    data_page.tab.click("#data-save-rejected")
    data_page.tab.wait_for_function("document.querySelector('#data-files').textContent.includes('none is rejected')")
    data_page.unfold("#data-compare")
    with data_page.drawn("#data-compared .report"):
        data_page.tab.set_input_files("#data-earlier input[type=file]", str(tmp_path / "report.json"))
    assert "Rows that cannot be used: 1 before, 0 now (-1)." in data_page.tab.inner_text("#data-compared")


def test_an_unreadable_file_says_why(data_page: DataPage, tmp_path: Path) -> None:
    """Before the audit and when it is run all the same; the page goes on."""
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 this is none PAR1")
    data_page.upload(path)
    assert "broken.parquet cannot be read" in data_page.tab.inner_text("#data-preview .rv-failure")
    data_page.tab.click("#data-run")
    data_page.tab.wait_for_function("document.querySelector('#data-status').textContent.includes('cannot be read')")
    data_page.choose_kind("Pasted")
    assert "Paste rows" in data_page.tab.inner_text("#data-preview .rv-hint")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-pasted textarea", "question,answer\nHi?,Hello.\n")
    assert data_page.tab.locator("#data-preview .rv-place").all_text_contents() == ["the pasted text, line 2"]
    data_page.rest()
    assert "1 read, 1 inspected" in data_page.tab.inner_text("#data-facts")


def test_a_cancelled_audit_keeps_what_it_has(data_page: DataPage, many_rows: Path) -> None:
    """The bar counts rows; the rest of the page works meanwhile; cancelled, the report is about what was seen."""
    data_page.choose_kind("Hub or path")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-name input", str(many_rows))
        data_page.tab.keyboard.press("Enter")
    data_page.tab.click("#data-run")
    data_page.tab.wait_for_function("/left/.test(document.querySelector('#data-status').textContent)")
    assert data_page.tab.evaluate("0 < document.querySelector('#data-status progress').value")
    assert "a second" in data_page.status()
    data_page.tab.get_by_role("tab", name="Inspect").click()
    with data_page.redrawn():
        data_page.tab.fill(".ce-row:nth-of-type(3) textarea", "Meanwhile.")
    assert "Meanwhile." in data_page.trained_text()
    data_page.tab.get_by_role("tab", name="Audit").click()
    with data_page.drawn("#data-findings .findings-view"):
        data_page.tab.click("#data-cancel")
    assert "Stopped: what was seen until then is shown." in data_page.status()
    read = int(data_page.tab.inner_text("#data-facts td").split()[0].replace(",", ""))
    assert 0 < read < MANY
    data_page.unfold("#data-lengths-pane")
    data_page.tab.wait_for_selector("#data-lengths .main-svg")
    drawn = "document.querySelector('#data-lengths .main-svg')"
    data_page.tab.wait_for_function(f"{drawn}?.clientWidth <= {drawn}?.closest('.ms-figure').clientWidth")
    assert "boundary_merge" in data_page.tab.inner_text("#data-findings")
    data_page.tab.click("#data-cancel")
    data_page.tab.wait_for_function("document.querySelector('#data-status').textContent.includes('Nothing runs')")


def worker_ids(address: str) -> list[int]:
    """The processes that the app's audits have started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"spawn_main" in (folder / "cmdline").read_bytes():
                command = Path(f"/proc/{parent}/cmdline").read_bytes().decode()
                found += [int(folder.name)] if "app.py" in command and address.rsplit(":", 1)[1] in command else []
        except (OSError, ValueError):
            continue
    return found


def test_closing_the_page_ends_the_audit(data_page: DataPage, context: Any, many_rows: Path) -> None:
    """Its processes end with it; another page's audit is not disturbed."""
    other = DataPage(context.new_page(), data_page.address)
    other.open()
    other.open_data()
    other.choose_kind("Hub or path")
    other.tab.fill("#data-name input", str(many_rows))
    other.tab.click("#data-run")
    other.tab.wait_for_function("/left/.test(document.querySelector('#data-status').textContent)")
    wait_until(lambda: worker_ids(data_page.address), lambda: "the audit starts no processes")
    workers = worker_ids(data_page.address)
    data_page.choose_example("merged-boundaries.jsonl")
    assert "12 rows audited" in data_page.status()
    assert other.status() != ""
    other.tab.close()
    wait_until(
        lambda: not set(worker_ids(data_page.address)) & set(workers),
        lambda: "the processes of a closed page's audit still work",
    )


def cells(page: DataPage, row: int, line: int) -> list[str]:
    """One line of numbers (0: texts) under the tokens of a row of the batch."""
    path = f"#batch .rv-row:nth-of-type({row + 1}) .bv-cell:not(.bv-names)"
    return list(page.tab.evaluate("([s, n]) => [...document.querySelectorAll(s)].map(e => e.children[n]?.textContent)",
                                  [path, line]))  # fmt: skip


def test_the_batch_is_what_the_collator_makes(data_page: DataPage) -> None:
    """Padding with attention 0 on the chosen side, labels, what is cut off, joined rows with a rule between them."""
    tab = data_page.tab
    data_page.unfold("#batch-pane")
    tab.wait_for_selector("#batch .rv-row")
    assert tab.locator("#batch .rv-row").count() == 4
    assert "4 rows of 24 tokens" in tab.inner_text("#batch .bv-said")
    texts, attention, labels = (cells(data_page, 3, line) for line in (0, 3, 4))
    assert texts[-4:] == ["<|pad|>"] * 4
    assert attention == ["1"] * 20 + ["0"] * 4
    assert labels[-4:] == ["−100"] * 4
    assert [label != "−100" for label in cells(data_page, 0, 4)] == [14 < i < 23 for i in range(24)]
    assert cells(data_page, 0, 2) == [str(i) for i in range(24)]
    hatched = tab.locator("#batch .bv-cell.padding").first
    assert hatched.evaluate("e => getComputedStyle(e).backgroundImage").startswith("repeating-linear-gradient")
    tab.click("#batch-side input")
    with data_page.drawn("#batch .batch-view"):
        tab.get_by_role("option", name="left").click()
    assert cells(data_page, 3, 3) == ["0"] * 4 + ["1"] * 20
    with data_page.drawn("#batch .batch-view"):
        tab.fill("#batch-length input", "20")
    assert tab.locator("#batch .rv-row:nth-of-type(1) .bv-cell.cut").count() == 4
    assert "Truncation cut 12 tokens." in tab.inner_text("#batch .bv-said")
    with data_page.drawn("#batch .batch-view"):
        tab.fill("#batch-length input", "48")
    with data_page.drawn("#batch .batch-view"):
        tab.check("#batch-packing input")
    assert tab.locator("#batch .bv-rule").all_inner_texts() == [f"messages.jsonl, line {i}" for i in (1, 2, 3, 4)]
    assert cells(data_page, 0, 2) == [str(i) for i in range(24)] * 2
    with data_page.drawn("#batch .batch-view"):
        tab.fill("#batch-rows input, #batch-rows textarea", "1, x")
        tab.keyboard.press("Enter")
    assert "'x' is not a row number" in tab.inner_text("#batch .rv-failure")
    with data_page.drawn("#batch .batch-view"):
        tab.fill("#batch-rows input, #batch-rows textarea", "5")
        tab.keyboard.press("Enter")
    data_page.choose_example("question-answer.csv")
    tab.wait_for_function("document.querySelector('#batch').textContent.includes('question-answer.csv, line 7')")


def test_the_keyboard_alone_audits_and_opens_a_row(data_page: DataPage) -> None:
    """From the tab to the run, to a finding, to its row's token, by Tab, arrows and Enter."""
    press = data_page.tab.keyboard.press
    data_page.choose_example("merged-boundaries.jsonl")
    data_page.tab.focus("#data-run")
    with data_page.drawn("#data-status .report"):
        press("Enter")
    data_page.rest()
    for _ in range(40):
        press("Tab")
        if data_page.tab.evaluate("document.activeElement.textContent") == "Open":
            break
    assert "boundary_merge" in data_page.tab.evaluate("document.activeElement.getAttribute('aria-label')")
    outline = data_page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    with data_page.redrawn():
        press("Enter")
    data_page.tab.wait_for_function("document.activeElement.className === 'tv-body'")
    assert "straddler" in data_page.tab.get_attribute(".tv-token.current", "class")


def test_no_text_of_a_data_set_is_ever_run(data_page: DataPage) -> None:
    """Markup and code in cells, columns, roles and reasons are shown as text, nothing of it runs."""
    nasty = "<img src=x onerror=window.pwned=1>${window.pwned=1}{{value}}"
    chat = [{"role": "user", "content": nasty}, {"role": "assistant", "content": "\n" + nasty}]
    lines = [{"messages": chat, nasty: 1}, {"messages": [{"role": nasty, "content": ""}]}, {"messages": nasty}]
    data_page.choose_kind("Pasted")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-pasted textarea", "\n".join(map(json.dumps, lines)))
    assert nasty in data_page.tab.inner_text("#data-layout")
    assert nasty in "".join(rows(data_page))
    data_page.rest()
    assert nasty[:20] in data_page.tab.inner_text("#data-findings")
    with data_page.drawn("#data-preview .rows-view"):
        data_page.tab.fill("#data-mapping textarea", "question=x" + nasty)
    assert f"The data has no column 'x{nasty}'" in data_page.tab.inner_text("#data-layout")
    assert data_page.tab.evaluate("window.pwned") is None


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 420)])
def test_the_data_tab_fits_and_passes_axe(page: DataPage, theme: str, width: int) -> None:
    """Rows, report and batch: no sideways scrolling, nothing serious for axe."""
    tab = page.tab
    page.open_data()
    tab.evaluate(axe_script())
    folder = Path(__file__).parents[2] / "screenshots"
    folder.mkdir(exist_ok=True)

    def check(pane: str) -> None:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, pane
        found = tab.evaluate(
            "axe.run({include: [['#data-row']], exclude: [['.js-plotly-plot']]}, {resultTypes: ['violations']})"
        )
        serious = [violation for violation in found["violations"] if violation["impact"] in ("serious", "critical")]
        assert [(v["id"], [node["html"] for node in v["nodes"][:3]]) for v in serious] == [], pane
        tab.screenshot(path=str(folder / f"data_{pane}_{theme}_{width}.png"), full_page=True)

    if theme == "light":
        check("rows")
    page.choose_example("merged-boundaries.jsonl")
    page.unfold("#data-lengths-pane")
    tab.wait_for_selector("#data-lengths .main-svg")
    check("report")
    page.unfold("#batch-pane")
    tab.wait_for_selector("#batch .rv-row")
    check("batch")
    tab.set_viewport_size({"width": 1400, "height": 900})
