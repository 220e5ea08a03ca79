"""Our encoders against their vendors' own libraries: `python -m tests.encoders`.

Prints one line for each family and version, and exits with 1 on a difference that no finding of the product explains.
The libraries run here: mistral-common brings two of its vocabularies, which are read in every version of its format;
gpt-oss is its own tokenizer with the template that TRL stores.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import inspector
from inspector.errors import InspectorError
from inspector.findings.codes import Code
from inspector.model.model import Model
from models.make_bytes import TEKKEN_SPECIAL
from tests.oracle import stored_templates
from tests.strategy_oracle import made_up
from tests.support.corpus import CORPUS
from tests.support.fetch import real_tokenizer

GENERATED = 60
"""Conversations made up for each model, beside the corpus."""
VOCABULARIES = ("tekken_240718.json", "tekken_240911.json")
VERSIONS: Mapping[str, int] = {"v3": 20, "v7": 20, "v11": 22, "v13": 24}
"""Version of Mistral's format -> how many of the control tokens it has."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one conversation: `same`, `explained` (a finding says it), `refused` by either side, `different`."""

    name: str
    kind: str


def judged(model: Model, name: str, conversation: Any) -> Outcome:
    """Whether the official library gives a conversation the ids that are shown."""
    try:
        inspection = inspector.inspect(model, conversation)
    except InspectorError:
        return Outcome(name, "refused")
    official = model.encoder.official(model.tokenizer, inspection.example.conversation)
    if official is None:
        return Outcome(name, "refused")
    says = any(finding.code is Code.OFFICIAL_ENCODER_DIFFERS for finding in inspection.findings)
    if list(official) == inspection.ids:
        return Outcome(name, "different" if says else "same")
    return Outcome(name, "explained" if says else "different")


def tekken_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Both vocabularies of mistral-common in each version: (name, a folder with its tekken.json)."""
    for vocabulary in VOCABULARIES:
        for version, count in VERSIONS.items():
            name = f"{vocabulary.removesuffix('.json')} {version}"
            place = folder / name.replace(" ", "-")
            place.mkdir()
            (place / "tekken.json").write_text(json.dumps(_tekken(vocabulary, version, count)), encoding="utf-8")
            yield name, place


@cache
def _vocabulary(name: str) -> dict[str, Any]:
    import mistral_common

    return dict(json.loads((Path(mistral_common.__file__).parent / "data" / name).read_text(encoding="utf-8")))


def _tekken(vocabulary: str, version: str, count: int) -> dict[str, Any]:
    out = _vocabulary(vocabulary)
    control = [{"rank": id, "token_str": text, "is_control": True} for id, text in enumerate(TEKKEN_SPECIAL[:count])]
    return out | {"config": out["config"] | {"version": version}, "special_tokens": control}


def harmony_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """gpt-oss as its repository has it, without weights. Raises NotFetchedError."""
    place = folder / "gptoss"
    shutil.copytree(real_tokenizer("gptoss"), place)
    (place / "chat_template.jinja").write_text(stored_templates()["trl/gptoss"], encoding="utf-8")
    yield "gptoss", place


def conversations() -> Iterator[tuple[str, Any]]:
    """The corpus, and conversations made up of odd pieces."""
    yield from CORPUS.items()
    yield from ((f"made up {seed}", made_up(seed)) for seed in range(GENERATED))


def main() -> int:
    """Print one line for each model; 1 when there is an unexplained difference."""
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, place in (*tekken_files(Path(folder)), *harmony_files(Path(folder))):
            model = inspector.load(str(place))
            outcomes = [judged(model, *one) for one in conversations()]
            counts = Counter(outcome.kind for outcome in outcomes)
            print(f"{name:24} " + "  ".join(f"{kind} {counts[kind]:3}" for kind in ("same", "explained", "refused")))
            for outcome in outcomes:
                if outcome.kind == "different":
                    different += 1
                    print(f"  {outcome.name}: different, and nothing says so")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
