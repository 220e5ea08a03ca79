"""Every model that is here without the hub, one row each: `python -m tests.board` writes docs/board.md, and of the same
rows docs/board.json, which the page shows.

The models are those of `tests.generation_table` without TRL's patched twins: the templates that TRL stores, the
built-in ones, those that mistral-common, axolotl and unsloth carry, the real tokenizers with their own. The embedded
model, gpt-oss and mistral-common's vocabularies stand beside them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import inspector
from inspector.model.model import Model
from inspector.paths import DOCS
from inspector.strategies import FACTS, STRATEGIES
from inspector.trainers.board import Standing, standing_of
from tests.encoders import harmony_files, tekken_files
from tests.generation_table import model, names, unseen

PAGE = DOCS / "board.md"
DATA = DOCS / "board.json"
TRAINERS = list(
    dict.fromkeys(
        facts.title or facts.trainer
        for facts in map(FACTS.__getitem__, STRATEGIES)
        if facts.is_known and not facts.takes_images
    )
)
"""The columns of the known trainers."""
EMBEDDED = "tiny-chat"
OWN_TOKENIZER = (EMBEDDED, "real/", "encoder/")
"""How the names begin of models with their own tokenizer; the other templates get a token a byte."""
HEAD = """# Model board

What is known of each chat template that is here without the hub, by `python -m tests.board`; for other models
`python -m inspector board MODEL` says the same. *Renders*: conversations of the {tried} tried that the template takes.
*Official*: those that the vendor's own encoder gives the same ids. *Exact*: those whose every answer is in the tokens,
with its turn known. *Tags*: whether generation tags for it are proven. Then what each trainer makes of one chat of two
turns, with the ids and texts that suit it best; why one does not take it, `python -m inspector compare` says.
`tiny-chat`, `real/` and `encoder/` have their own tokenizers. The other templates are tried alone, with a token for
each byte and `</s>` for the end of a sequence: a trainer that goes by that token can do better with the model's own.

"""


def models(folder: Path) -> Iterator[Model]:
    """All of them."""
    for name in (*names(), *unseen()):
        if not name.endswith("_training"):
            yield inspector.load(name) if name == EMBEDDED else model(name)
    for name, place in (*tekken_files(folder), *harmony_files(folder)):
        yield replace(inspector.load(str(place)), name=f"encoder/{name}")


def row(standing: Standing) -> dict[str, Any]:
    """A line of both files. `official`: how many ids are those of the official encoder, and of how many; None without
    one. `own`: whether the tokenizer is the model's own. `trainers`: (trainer, level, what it makes of the chat), the
    worst first."""
    return {
        "model": standing.model,
        "own": standing.model.startswith(OWN_TOKENIZER),
        "rendered": standing.rendered,
        "official": [standing.same_as_official, standing.official] if standing.official else None,
        "exact": standing.exact,
        "tagged": standing.is_tagged,
        "trainers": [
            [trainer, standing.levels[trainer].value, _in_short(short)] for trainer, short in standing.trainers.items()
        ],
    }


def _in_short(verdict: str) -> str:
    """Without the reason why a trainer takes no such row: `python -m inspector compare` says it."""
    refused = "does not take this row"
    return refused if verdict.startswith(refused) else verdict


def data(tried: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """The text of docs/board.json, a line each row. `tried`: how many conversations."""
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in rows)
    return f'{{"tried": {tried}, "models": [\n{lines}\n]}}\n'


def page(tried: int, rows: Sequence[Mapping[str, Any]]) -> str:
    """The text of docs/board.md, of the same rows."""
    return HEAD.format(tried=tried) + table(rows)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page's table."""
    head = ["Template", "Renders", "Official", "Exact", "Tags", *TRAINERS]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in rows:
        official = "{} of {}".format(*one["official"]) if one["official"] else ""
        cells = [one["model"], str(one["rendered"]), official, str(one["exact"]), "proven" if one["tagged"] else ""]
        said = {trainer: short for trainer, _, short in one["trainers"]}
        cells += [said.get(trainer, "") for trainer in TRAINERS]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write both files."""
    standings = []
    with tempfile.TemporaryDirectory() as folder:
        for one in models(Path(folder)):
            standings.append(standing_of(one))
            print(standings[-1].model, flush=True)
    tried, rows = standings[0].tried, [row(standing) for standing in standings]
    DATA.write_text(data(tried, rows), encoding="utf-8")
    PAGE.write_text(page(tried, rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)
    sys.exit(main())
