"""What a report's counts mean: data set findings, lengths, packing as trl packs, what fails and what changed."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.audit.summary import compare_reports, data_findings, failures, packing, quantile, rows_with, summarize
from inspector.batch import best_fit
from inspector.data.source import DataSource
from inspector.findings.codes import Code, Severity
from inspector.strategies import Rule

EXAMPLES = Path(__file__).parents[3] / "examples" / "data"


def report(name: str, **options: Any) -> AuditReport:
    """The audit of an example with tiny-chat."""
    model = inspector.load("tiny-chat", template=options.pop("template", None))
    return audit(Task(model=model, rule=Rule(**options)), DataSource(name=str(EXAMPLES / name)), workers=1)


def test_repeated_answers_are_found() -> None:
    """How many rows, which text most often, and where first; silent where no two rows train the same."""
    (finding,) = data_findings(report("repeated-answers.jsonl"))
    assert (finding.code, finding.severity, finding.rows) == (Code.DUPLICATE_ANSWER, Severity.WARNING, 7)
    assert finding.detail.startswith("7 of 12 rows have a trained text that another row has, too")
    assert "in 8 rows, the first of them 1." in finding.detail
    assert finding.examples == (1, 2, 4, 5, 7)
    assert data_findings(report("messages.jsonl")) == []


def test_few_repeats_are_a_note() -> None:
    """One in twenty."""
    rows = "".join(f'{{"question": "{i}?", "answer": "Answer {min(i, 18)}."}}\n' for i in range(20))
    found = audit(Task(model=inspector.load("tiny-chat")), DataSource(text=rows), workers=1)
    (finding,) = data_findings(found)
    assert (finding.severity, finding.rows) == (Severity.NOTE, 1)


def test_rows_that_train_next_to_nothing_are_found() -> None:
    """Few tokens, or a small share of many; rows that train nothing at all have their own finding."""
    found = report("next-to-nothing.jsonl")
    near = next(finding for finding in data_findings(found) if finding.code is Code.NEAR_EMPTY_LOSS)
    assert (near.severity, near.rows, near.examples) == (Severity.WARNING, 4, (0, 1, 2, 3))
    assert rows_with(found, Code.NEAR_EMPTY_LOSS) == 4
    assert rows_with(found, Code.BOUNDARY_MERGE) == 0


def test_summary_holds_the_shares() -> None:
    """Against the rows inspected one by one."""
    found = report("messages.jsonl")
    model = inspector.load("tiny-chat")
    rows = [
        inspector.inspect(model, row.value["messages"])
        for row in DataSource(name=str(EXAMPLES / "messages.jsonl")).rows()
    ]
    lengths = sorted(len(row.ids) for row in rows)
    summary = summarize(found)
    assert summary["trained_share"] == sum(sum(row.trained) for row in rows) / sum(lengths)
    assert summary["lengths"]["max"] == lengths[-1]
    assert summary["lengths"]["p50"] == lengths[5]
    assert summary["packing"]["max_length"] == lengths[-1]
    assert summary["dropped"] == {"unreadable": 0, "refused": 0, "nothing_trained": 0}
    assert (
        summarize(report("messages.jsonl", modifiers=inspector.Modifiers(max_length=30)))["packing"]["max_length"] == 30
    )
    assert summarize(AuditReport())["packing"] is None


def test_packing_is_best_fit() -> None:
    """The number of packed rows is that of packing the rows themselves."""
    for seed in range(100):
        rng = random.Random(seed)
        limit = rng.choice([8, 64, 500])
        sizes = [rng.randint(0, int(1.2 * limit)) for _ in range(rng.randint(1, 120))]
        figures = packing(Counter(sizes), limit)
        cut = [min(size, limit) for size in sizes]
        assert figures["packed_rows"] == len(best_fit(cut, limit))
        if sum(cut):
            assert figures["packed_share"] == sum(cut) / (figures["packed_rows"] * limit)
            assert figures["padded_share"] == sum(cut) / (max(cut) * len(cut))


def test_quantile_is_the_smallest_length_that_covers_the_share() -> None:
    """Also of nothing."""
    lengths = {1: 5, 2: 4, 10: 1}
    assert [quantile(lengths, share) for share in (0.5, 0.9, 0.99, 1.0)] == [1, 2, 10, 10]
    assert quantile({}, 0.5) == 0


def test_limits_count_what_truncation_would_lose() -> None:
    """Against truncating each row."""
    model = inspector.load("tiny-chat")
    chats = [
        [{"role": "user", "content": "word " * n}, {"role": "assistant", "content": "word " * m}]
        for n, m in ((5, 300), (200, 5), (10, 10), (90, 90))
    ]
    rows = [inspector.inspect(model, chat) for chat in chats]
    text = "\n".join(f'{{"messages": {row}}}' for row in map(json.dumps, chats))
    found = audit(Task(model=model), DataSource(text=text), workers=1)
    for limit in (128, 256):
        expected = [0, 0, 0, 0, 0]
        for row, chat in zip(rows, chats, strict=True):
            if len(row.ids) <= limit:
                continue
            expected[0] += 1
            for at, side in ((1, "keep_start"), (3, "keep_end")):
                cut = inspector.inspect(model, chat, modifiers={"max_length": limit, "truncation": side})
                expected[at] += sum(row.trained) - sum(cut.trained)
                expected[at + 1] += not any(cut.trained)
        assert found.limits[limit] == expected


def test_failures_are_by_level_and_beyond_the_baseline() -> None:
    """Severities, codes, unusable rows; nothing new since the baseline passes."""
    merged, clean = report("merged-boundaries.jsonl"), report("messages.jsonl")
    assert failures(merged, ["error"]) == []
    assert failures(merged, ["error", "warning"]) == ["boundary_merge in 6 rows"]
    assert failures(merged, ["boundary_merge"]) == ["boundary_merge in 6 rows"]
    assert failures(merged, ["boundary_merge"], merged) == []
    assert failures(merged, ["boundary_merge"], clean) == ["boundary_merge in 6 rows, 0 in the baseline"]
    broken = report("unknown-role.jsonl")
    assert failures(broken, ["error"]) == ["no_trained_tokens in 1 row", "4 rows cannot be used"]
    assert failures(broken, []) == []
    assert failures(report("repeated-answers.jsonl"), ["warning"]) == ["duplicate_answer in 7 rows"]


def test_changes_are_told() -> None:
    """Another template, other data, other findings; or nothing."""
    before, after = report("messages.jsonl"), report("merged-boundaries.jsonl")
    said = compare_reports(before, after)
    assert any(line.startswith("boundary_merge: 0 rows before, 6 now (+6)") for line in said)
    assert any(line.startswith("Tokens: ") for line in compare_reports(before, report("alpaca.json")))
    assert compare_reports(before, before) == ["Nothing changed."]
    other = report("messages.jsonl", template="chatml")
    assert any(line.startswith("The template hash is another: ") for line in compare_reports(before, other))
