"""The page of a report: whole, safe whatever the data hold, and readable on any screen and on paper."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import inspector
from inspector.audit.html import Histogram, make_histogram, to_html
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.audit.summary import data_findings
from inspector.data.source import DataSource
from inspector.strategies import Modifiers, Rule
from tests.support.fetch import axe_script

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'</style>{{ 7 * 7 }}\u202e\x1b[31m\x00\ud800"


class Parsed(HTMLParser):
    """The elements of a page, checked to be closed in order."""

    VOID = frozenset({"meta", "br", "wbr", "rect"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What can be read."""
        return " ".join("".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def chats() -> Iterator[dict[str, Any]]:
    """Rows of many lengths, with findings of each severity, and some that are none."""
    for i in range(60):
        turns = [
            message
            for turn in range(1 + i % 3)
            for message in (
                {"role": "user", "content": f"Question {i}.{turn}?"},
                {"role": "assistant", "content": "\n" * (i % 7 == 0) + "word " * (i * i // 20) + f"{i}"},
            )
        ]
        yield {"messages": turns[:-1] if i % 20 == 3 else turns}
    yield from ({"messages": [{"role": "user", "content": f"Again {i}"}, {"role": "assistant", "content": "I cannot."}]}
                for i in range(9))  # fmt: skip
    yield {"messages": [{"role": EVIL, "content": "x"}]}
    yield {"messages": EVIL.replace("\ud800", "")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> AuditReport:
    """An audit with everything in it."""
    path = tmp_path_factory.mktemp("data") / "<b>&.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in chats()), encoding="utf-8")
    task = Task(model=inspector.load("tiny-chat"), rule=Rule(modifiers=Modifiers(max_length=96)))
    made = audit(task, DataSource(name=str(path)), workers=1)
    made.about["data"] = [
        {"name": EVIL, "config": "", "split": "", "revision": "", "limit": None, "shard": 0, "shards": 1}
    ]
    return made


def test_page_says_all_that_the_report_knows(report: AuditReport) -> None:
    """Every section, every code with its rows, its examples, its remedy and what it means."""
    page = Parsed(to_html(report))
    for heading in (
        "What was audited", "Lengths", "What trains", "Findings", "The effect of max_length", "Packing",
        "Repeated answers", "Rows that are not used",
    ):  # fmt: skip
        assert heading in page.text
    assert "69 of 71 rows inspected" in page.text
    assert "By assistant turn" in page.text
    assert {"boundary_merge", "no_trained_tokens", "truncated_away"} <= set(report.findings)
    assert {article["id"] for article in page.all("article")} == {*report.findings, "duplicate_answer"}
    for found in report.findings.values():
        assert f"{found.count:,} time" in page.text
        for example in found.examples:
            assert f"{example['place']} {flat(example['detail'])}" in page.text
            assert flat(re.sub(r"\d.*", "", example["remedy"])) in page.text
    for meaning in ("Truncation removes an answer whole", "Rows of a data set train the same text"):
        assert meaning in page.text
    for about_data in data_findings(report):
        assert about_data.detail in page.text
    assert "This audit cuts rows to 96 tokens and keeps the start" in page.text
    for row in report.bad_rows:
        assert row["place"] in page.text


def flat(text: str) -> str:
    """As the page shows a text: in one line."""
    return " ".join(text.replace("\n", "⏎").split())


def test_nothing_from_the_data_is_more_than_text(report: AuditReport) -> None:
    """No script, no handler, nothing loaded; control characters are shown by their code."""
    evil = AuditReport.from_dict(json.loads(json.dumps(report.to_dict())))
    for found in evil.findings.values():
        found.examples = [{**found.examples[0], "place": EVIL, "detail": EVIL, "remedy": EVIL}]
        found.clusters = Counter({EVIL: 1, "x": 1})
    evil.about |= {"model": EVIL, "template": EVIL, "strategy": EVIL, "options": {EVIL: EVIL}}
    evil.about["layout"] = {"format": "preference", "columns": {"chosen": EVIL, "rejected": EVIL}}
    evil.roles[EVIL] = [1, 1, 1]
    evil.findings[EVIL] = evil.findings["boundary_merge"]
    evil.reasons[EVIL] += 1
    evil.bad_rows.append({"row": 1, "place": EVIL, "why": EVIL, "raw": EVIL})
    html = to_html(evil)
    html.encode()
    page = Parsed(html)
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "form", "b onerror"}
    )
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")]
        assert attributes.get("href", "#").startswith("#")
        assert re.fullmatch(r"(left: \d+\.\d\d%)?", attributes.get("style", ""))
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}\\u202e\\u001b[31m\\u0000\\ud800" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", html)
    assert len(page.all("style")) == 1
    policy = next(meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_page_asks_for_nothing(report: AuditReport) -> None:
    """No address in it but its own places, each of which exists; ids are unique."""
    html = to_html(report)
    assert not re.search(r"url\((?!#)|@import|https?://", html)
    page = Parsed(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes} <= set(
        ids
    )


def test_tables_and_figures_have_names(report: AuditReport) -> None:
    """A caption each, heads with a scope; figures have a name, or stand beside their number."""
    page = Parsed(to_html(report))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(head.get("scope") in ("col", "row", "colgroup") for head in page.all("th"))
    assert all(
        svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"]) for svg in page.all("svg")
    )
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]


def test_pairs_are_said_to_be_half_audited() -> None:
    """Which answer, and how to audit the other."""
    report = AuditReport(
        about={"layout": {"format": "preference", "columns": {"chosen": "good one", "rejected": "bad"}}}
    )
    said = (
        "Of each pair only the answer in the column 'good one' is audited; --map chosen=bad --map 'rejected=good one'"
    )
    assert said in Parsed(to_html(report)).text


def test_empty_and_foreign_reports_have_a_page() -> None:
    """No rows; a code of another version."""
    page = Parsed(to_html(AuditReport()))
    assert "0 of 0 rows inspected" in page.text
    assert "Nothing was found in the rows that were inspected." in page.text
    assert "Every row was used." in page.text
    foreign = AuditReport(inspected=1)
    foreign.findings["new_code"] = AuditReport.from_dict(
        {**AuditReport().to_dict(), "findings": {"new_code": {
            "count": 1, "rows": 1, "severities": {"error": 1}, "clusters": {}, "examples": [],
        }}}
    ).findings["new_code"]  # fmt: skip
    assert "new_code" in Parsed(to_html(foreign)).text


@given(
    st.dictionaries(st.integers(0, 200_000), st.integers(1, 1000), min_size=1, max_size=30),
    st.none() | st.integers(1, 300_000),
)
def test_histogram_counts_each_row_once(lengths: dict[int, int], max_length: int | None) -> None:
    """In bars that join; over max_length the rows that are longer; the marks stand on the axis."""
    histogram = make_histogram(lengths, max_length)
    assert histogram is not None
    assert sum(bar.rows for bar in histogram.bars) == sum(lengths.values())
    assert all(a.high == b.low for a, b in zip(histogram.bars, histogram.bars[1:], strict=False))
    for bar in histogram.bars:
        assert bar.rows == sum(rows for length, rows in lengths.items() if bar.low <= length < bar.high)
    longer = sum(rows for length, rows in lengths.items() if max_length is not None and length > max_length)
    assert sum(bar.over for bar in histogram.bars) == longer
    assert len(histogram.bars) <= 45
    assert all(0 <= place <= 1 for _, place in [*histogram.ticks, *filter(None, [histogram.mark])])
    assert 1 <= len(histogram.ticks) <= 12


@pytest.mark.parametrize(
    ("lengths", "max_length", "edges", "ticks", "mark"),
    [
        ({3: 1, 7: 2}, None, list(range(9)), [0, 2, 4, 6, 8], None),
        ({100: 1, 350: 2}, 200, list(range(0, 361, 10)), [0, 80, 160, 240, 320], 20 / 36),
        ({8: 5, 90: 1}, 1000, [8, 11, 16, 23, 32, 45, 64, 91], [8, 16, 32, 64], None),
    ],
)
def test_histogram_has_round_edges(
    lengths: dict[int, int], max_length: int | None, edges: list[int], ticks: list[int], mark: float | None
) -> None:
    """Steps of 1, 2 or 5; by the square root of two where few rows are far longer than the others."""
    histogram = make_histogram(lengths, max_length)
    assert isinstance(histogram, Histogram)
    assert [bar.low for bar in histogram.bars] + [histogram.bars[-1].high] == edges
    assert [tick for tick, _ in histogram.ticks] == ticks
    assert (histogram.mark and histogram.mark[1]) == (mark and pytest.approx(mark))
    assert make_histogram({}) is None


CLIPPED = """[...document.querySelectorAll('main :not(.mark)')].filter(
  e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.outerHTML)"""
"""JavaScript: the elements whose text is wider than they are."""


@pytest.mark.browser
@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_reads_well_in_a_browser(browser: Any, report: AuditReport, tmp_path: Path, scheme: str) -> None:
    """On a desk and a phone: nothing is asked for or cut off, axe finds nothing to mend; on paper it is light."""
    path = tmp_path / "report.html"
    path.write_text(to_html(report), encoding="utf-8")
    for width in (1200, 400):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        tab, asked, said = context.new_page(), [], []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.on("console", lambda message, said=said: said.append(message.text))
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.evaluate(CLIPPED) == []
        SCREENSHOTS.mkdir(exist_ok=True)
        tab.screenshot(path=SCREENSHOTS / f"report_{scheme}_{width}.png", full_page=True)
        if width == 400:
            tab.evaluate(axe_script())
            found = tab.evaluate("axe.run({resultTypes: ['violations']})")
            assert [(v["id"], [node["html"] for node in v["nodes"][:3]]) for v in found["violations"]] == []
        assert (asked, said) == ([path.as_uri()], [])
        tab.emulate_media(media="print")
        assert tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        context.close()
