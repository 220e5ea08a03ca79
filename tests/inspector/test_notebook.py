"""What notebooks show: HTML that needs nothing else, escapes everything, and folds what is long."""

from __future__ import annotations

import re
from pathlib import Path

import inspector
from inspector.audit.run import Task, audit
from inspector.data.source import DataSource
from inspector.notebook import Mask, block, finding_list, note, table, token_view
from inspector.notebook.tokens import DRAWN, FOLDS
from inspector.strategies import Rule
from inspector.trainers.compare import compare_with
from tests.support import models

MODEL = inspector.load("tiny-chat")


def _inspect(question: str, answer: str) -> inspector.Inspection:
    return inspector.inspect(MODEL, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def test_every_token_is_there_and_escaped() -> None:
    """Message text cannot become markup; the tokens' texts together are the render."""
    one = _inspect('<script>alert(1)</script> & "quotes"', "No <b>.")
    html = token_view(one.example, Mask(one.labelled.trained))
    assert "<script" not in html
    assert "<b>" not in html
    texts = re.findall(r'<span class="ms-(?:trained|context)[^>]*>(.*?)</span>', html, re.DOTALL)
    unescaped = "".join(texts).replace("⏎\n", "\n")
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        unescaped = unescaped.replace(entity, character)
    assert unescaped == one.text


def test_a_mask_is_told_from_what_was_meant() -> None:
    """Four classes: trained, wrong, missing, context."""
    one = _inspect("Hi", "Yes")
    meant = one.labelled.trained
    moved = [False, *meant[:-1]]
    html = token_view(one.example, Mask(moved, meant))
    assert all(f'class="ms-{kind}' in html for kind in ("trained", "wrong", "missing", "context"))
    assert "trained, and should not be" in html


def test_a_long_row_is_folded() -> None:
    """The first tokens are drawn, the others folded in pieces; beyond those their number is said."""
    one = _inspect("a b c " * 400, "Yes")
    html = token_view(one.example, Mask(one.labelled.trained))
    assert html.index("<details>") > 0
    assert html[: html.index("<details>")].count("title=") == DRAWN
    assert html.count("title=") == len(one.ids)
    long = _inspect("a b c " * DRAWN * FOLDS, "Yes")
    html = token_view(long.example, Mask(long.labelled.trained))
    assert html.count("<details>") == FOLDS
    assert f"{len(long.ids) - DRAWN * (FOLDS + 1):,} more tokens are not shown." in html


def test_a_block_needs_nothing_else() -> None:
    """No script, no address; its style is its own."""
    one = _inspect("Hi", "")
    html = block("<title>", note("a & b"), table(["x"], [["<y>"]]), finding_list(one.findings))
    assert "<script" not in html
    assert "http" not in html
    assert "src=" not in html
    assert "&lt;title&gt;" in html
    assert "a &amp; b" in html
    assert "&lt;y&gt;" in html
    assert html.startswith('<div class="maskscope"><style>')
    assert finding_list(()) == note("No findings.")


def test_what_people_have_shows_itself(tmp_path: Path) -> None:
    """An inspection, a comparison and an audit: one line or a few as text, and HTML that needs nothing else."""
    one = _inspect("Hi", "Yes.")
    compared = compare_with(one)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "<i>"}, {"role": "assistant", "content": ""}]}\nno\n')
    report = audit(Task(model=MODEL, rule=Rule()), DataSource(name=str(path)), workers=1)
    count = sum(one.trained)
    assert repr(one).startswith(f"<Inspection tiny-chat · traced · {count} of {len(one.ids)} tokens are trained, ")
    assert repr(compared).splitlines()[0] == f"<Comparison tiny-chat · {len(one.ids)} tokens"
    assert len(repr(compared).splitlines()) == 1 + len(compared.entries)
    assert repr(report).startswith("<AuditReport 1 of 2 rows inspected; ")
    for html in (one._repr_html_(), compared._repr_html_(), report._repr_html_()):
        assert html.startswith('<div class="maskscope"><style>')
        assert "<script" not in html
        assert "<i>" not in html
    assert "ms-wrong" in compared._repr_html_()
    assert "Only the stop token is trained" in report._repr_html_()
    assert "rows.jsonl, line 2" in report._repr_html_()


def test_a_merged_token_is_marked() -> None:
    """A token that spans two texts has a mark of its own, and its title says so."""
    model = models.model("chatml")
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\nYes"}]
    html = inspector.inspect(model, chat)._repr_html_()
    assert "ms-merged" in html.split("</style>")[1]
    assert "merges text across a boundary" in html
