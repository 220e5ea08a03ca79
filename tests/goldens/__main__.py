"""What a few conversations look like through a few models, as text files that are read in reviews.

`python -m tests.goldens` writes tests/goldens/*.txt anew; test_goldens.py compares. Each file has the rendered
text with its trained parts in guillemets, the ids, the runs of origins, and the findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import inspector
from inspector.findings.places import describe
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.rendering.origins import Origin, Run
from tests import oracle
from tests.support import models
from tests.support.corpus import CORPUS

FOLDER = Path(__file__).parent
GOLDENS = [
    ("chatml", "answer starts with a line break"),
    ("chatml", "emoji families"),
    ("tiny-chat", "tool round"),
    ("llama3", "assistant first"),
    ("real/llama3_1", "question starts with a line break"),
    ("real/llama3_1", "answer holds stop tokens"),
    ("real/qwen3", "tool call with reasoning"),
    ("real/qwen3", "think in history"),
    ("real/gemma3", "system"),
    ("real/gemma3", "emoji families"),
]
"""(model, name in the corpus): one file each."""

WIDTH = 110


def load(name: str) -> Model:
    """One of the models made in the tests, or a real one; raises NotFetchedError where that cannot be had."""
    if not name.startswith("real/"):
        return models.model(name)
    tokenizer = oracle.load_tokenizer(name.removeprefix("real/"))
    return models.model_of(tokenizer, tokenizer.chat_template, name)


def path_of(model: str, conversation: str) -> Path:
    """Where a golden is kept."""
    name = f"{model.removeprefix('real/')}, {conversation}".replace(", ", "-").replace(" ", "-")
    return FOLDER / f"{name}.txt"


def golden(model: str, conversation: str) -> str:
    """The text of a golden."""
    return describe_inspection(inspector.inspect(load(model), CORPUS[conversation]))


def describe_inspection(inspection: Inspection) -> str:
    """Everything about an inspection that must not change unnoticed, as lines for people."""
    sections: dict[str, Iterator[str]] = {
        "text, «trained», {merged}": text_lines(inspection),
        "ids": wrapped(str(id) for id in inspection.ids),
        "trained tokens": wrapped(ranges(inspection.trained)),
        "origins": origin_lines(inspection),
        "findings": (f"{finding.severity} {finding.code}: {finding.detail}" for finding in inspection.findings),
    }
    return "\n".join(f"== {title}\n" + "".join(f"{line}\n" for line in lines) for title, lines in sections.items())


def text_lines(inspection: Inspection) -> Iterator[str]:
    """The text; trained stretches in guillemets, tokens that merge in braces; escaped but for line ends."""
    pieces = inspection.example.tokens.pieces()
    straddlers = set(inspection.straddlers)
    out = []
    for (trained, merged), group in groupby(range(len(pieces)), key=lambda i: (inspection.trained[i], i in straddlers)):
        text = escaped("".join(pieces[i] for i in group))
        text = f"{{{text}}}" if merged else text
        out.append(f"«{text}»" if trained else text)
    yield from "".join(out).replace("»«", "").replace("\\n", "⏎\n").removesuffix("\n").split("\n")


def escaped(text: str) -> str:
    """Characters that cannot be seen, by their code."""
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text)


def ranges(bits: list[int]) -> Iterator[str]:
    """Stretches of ones, half open: `12:20`."""
    for bit, group in groupby(range(len(bits)), key=bits.__getitem__):
        if bit:
            own = list(group)
            yield f"{own[0]}:{own[-1] + 1}"


def origin_lines(inspection: Inspection) -> Iterator[str]:
    """One line for each stretch of one template line, or of one field of a message, in one turn."""
    for (origin, turn), group in groupby(inspection.example.rendered.spans(), key=_field_and_turn):
        spans = list(group)
        text = escaped(inspection.text[spans[0][0] : spans[-1][1]])
        shown = text if len(text) <= 60 else f"{text[:40]}…{text[-16:]}"
        yield f"{spans[0][0]}:{spans[-1][1]} turn {'-' if turn is None else turn} · {describe(origin)}: {shown}"


def _field_and_turn(span: tuple[int, int, Run]) -> tuple[Origin, int | None]:
    origin = span[2].origin
    return replace(origin, field=origin.field and origin.top_field), span[2].turn


def wrapped(words: Any) -> Iterator[str]:
    """Words in lines."""
    line = ""
    for word in words:
        if line and len(line) + len(word) >= WIDTH:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line


def main() -> None:
    """Write them all, and remove the ones that are no longer wanted."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {path_of(*golden_) for golden_ in GOLDENS}
    for stale in set(FOLDER.glob("*.txt")) - wanted:
        stale.unlink()
    for model, conversation in GOLDENS:
        path_of(model, conversation).write_text(golden(model, conversation), encoding="utf-8")
    print(f"{len(GOLDENS)} goldens written to {FOLDER.name}/; read the diff")


if __name__ == "__main__":
    main()
