"""What notebooks show: HTML that needs nothing else, escapes everything, and folds what is long."""

from __future__ import annotations

import re

import inspector
from inspector.notebook import block, finding_list, note, table, token_view
from inspector.notebook.tokens import DRAWN, FOLDS

MODEL = inspector.load("tiny-chat")


def _inspect(question: str, answer: str) -> inspector.Inspection:
    return inspector.inspect(MODEL, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def test_every_token_is_there_and_escaped() -> None:
    """Message text cannot become markup; the tokens' texts together are the render."""
    one = _inspect('<script>alert(1)</script> & "quotes"', "No <b>.")
    html = token_view(one.example, one.labelled.trained)
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
    html = token_view(one.example, moved, meant)
    assert all(f'class="ms-{kind}' in html for kind in ("trained", "wrong", "missing", "context"))
    assert "trained, and should not be" in html


def test_a_long_row_is_folded() -> None:
    """The first tokens are drawn, the others folded in pieces; beyond those their number is said."""
    one = _inspect("a b c " * 400, "Yes")
    html = token_view(one.example, one.labelled.trained)
    assert html.index("<details>") > 0
    assert html[: html.index("<details>")].count("title=") == DRAWN
    assert html.count("title=") == len(one.ids)
    long = _inspect("a b c " * DRAWN * FOLDS, "Yes")
    html = token_view(long.example, long.labelled.trained)
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
