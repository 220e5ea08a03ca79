"""Every model that is here without the hub, one row each: `python -m tests.board` writes docs/board.md.

The models are those of `tests.generation_table` without TRL's patched twins: the templates that TRL stores, the
built-in ones, those that mistral-common, axolotl and unsloth carry, the real tokenizers with their own. gpt-oss and
mistral-common's vocabularies stand beside them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import inspector
from inspector.model.model import Model
from inspector.trainers.board import Standing, standing_of
from tests.encoders import harmony_files, tekken_files
from tests.generation_table import model, names, unseen

PAGE = Path(__file__).parents[1] / "docs" / "board.md"
HEAD = """# Model board

What is known of each chat template that is here without the hub, by `python -m tests.board`; for other models
`python -m inspector board MODEL` says the same. *Renders*: conversations of the {tried} tried that the template takes.
*Official*: those that the vendor's own encoder gives the same ids. *Exact*: those whose every answer is in the tokens,
with its turn known. *Tags*: whether generation tags for it are proven. Then what each trainer makes of one chat of two
turns, with the ids and texts that suit it best; why one does not take it, `python -m inspector compare` says.

"""


def models(folder: Path) -> Iterator[Model]:
    """All of them."""
    yield from (model(name) for name in (*names(), *unseen()) if not name.endswith("_training"))
    for name, place in (*tekken_files(folder), *harmony_files(folder)):
        yield replace(inspector.load(str(place)), name=f"encoder/{name}")


def table(standings: Sequence[Standing]) -> str:
    """The page's table."""
    trainers = list(dict.fromkeys(trainer for standing in standings for trainer in standing.trainers))
    head = ["Template", "Renders", "Official", "Exact", "Tags", *trainers]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in standings:
        official = f"{one.same_as_official} of {one.official}" if one.official else ""
        cells = [one.model, str(one.rendered), official, str(one.exact), "proven" if one.is_tagged else ""]
        cells += [_in_short(one.trainers.get(trainer, "")) for trainer in trainers]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _in_short(verdict: str) -> str:
    """Without the reason why a trainer takes no such row: `python -m inspector compare` says it."""
    refused = "does not take this row"
    return refused if verdict.startswith(refused) else verdict


def main() -> int:
    """Write the page."""
    standings = []
    with tempfile.TemporaryDirectory() as folder:
        for one in models(Path(folder)):
            standings.append(standing_of(one))
            print(standings[-1].model, flush=True)
    PAGE.write_text(HEAD.format(tried=standings[0].tried) + table(standings), encoding="utf-8")
    return 0


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)
    sys.exit(main())
