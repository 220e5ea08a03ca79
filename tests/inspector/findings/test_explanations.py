"""Each finding is explained with the words of docs/findings.md, as HTML and as text."""

from __future__ import annotations

import html
import re

import pytest

from inspector.findings.codes import Code
from inspector.findings.explanations import explanation


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_explained(code: Code) -> None:
    """The marks are HTML in one and gone in the other, and both have the same words."""
    shown = explanation(code)
    assert shown.text
    without_code = re.sub(r"<code>.*?</code>", "", shown.html, flags=re.DOTALL)
    assert not set(without_code) & {"*", "`"}
    assert set(re.findall(r"<(\w+)", shown.html)) <= {"p", "ul", "li", "strong", "em", "code"}
    plain = html.unescape(re.sub(r"<.*?>", "", shown.html))
    assert plain.split() == re.sub(r"^- ", "", shown.text, flags=re.MULTILINE).split()


def test_marks_lists_and_tags_are_read() -> None:
    """A list has its items, emphasis is no asterisk, and a tag in the document is text."""
    merge = explanation("boundary_merge")
    assert "<li><em>Warning</em> when only part of the token should train" in merge.html
    assert "\n- Warning when only part of the token should train: the model is trained on a start" in merge.text
    assert "starts with \\n, after a header" in merge.text
    assert "<code>&lt;think&gt;</code>" in explanation("unreachable_first_token").html
    assert "with an opened <think>;" in explanation("unreachable_first_token").text
    assert explanation("header_assumed").html.startswith("<p><strong>In a very long conversation</strong>")


def test_a_code_of_another_version_is_not_explained() -> None:
    """Its finding is shown all the same."""
    assert (explanation("new_code").html, explanation("new_code").text) == ("", "")
