"""Every chat template that is here, with generation tags written into it, and whether that is proven.

`python -m tests.generation_table` prints one line a template and exits with 1 when one is not proven without a reason
here. The templates are those inside trl (each with its `_training` twin), our built-in ones, tiny-chat's, those of
the real tokenizers, and those that nothing here was written for: mistral-common's, and the ones that wheels of axolotl
and unsloth carry. A template without a real tokenizer gets one with a token per byte and the special tokens that the
template writes, so every character boundary is a token's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache, partial

from inspector.model.model import Model
from inspector.tagging.write import TrainingTemplate, has_tags, write_training_template
from tests import oracle
from tests.support import models
from tests.support.fetch import NotFetchedError, wheel_templates
from tests.support.mistral_templates import mistral_templates

REAL_MODELS = tuple(dict.fromkeys((*oracle.REAL_MODELS, "smollm2")))

_RAG = (
    "an answer that is the only message: the template opens the next answer unasked, so no prompt can be told from it"
)
EXCEPTIONS: Mapping[str, str] = {
    "axolotl/command_a_rag": _RAG,
    "axolotl/command_a_tool_use": _RAG,
    "axolotl/exaone4": "its loop goes on with `continue`, which leaves a captured turn unwritten",
    "axolotl/jamba": "the end mark of an answer is written by the next round of the loop",
}
"""Template -> why no tags can be written into it; a test fails when a reason is no longer needed."""


def names() -> list[str]:
    """The templates at hand, the real models' last."""
    return [*oracle.stored_templates(), *(f"real/{name}" for name in REAL_MODELS)]


@lru_cache(maxsize=1)
def unseen() -> dict[str, str]:
    """Name -> source of templates of other projects, as far as they can be had."""
    found: dict[str, str] = {}
    for project, fetch in (
        ("mistral", mistral_templates),
        ("axolotl", partial(wheel_templates, "axolotl")),
        ("unsloth", partial(wheel_templates, "unsloth")),
    ):
        try:
            found |= {f"{project}/{name}": source for name, source in fetch().items()}
        except NotFetchedError as error:
            print(f"{project}: not here: {error}", file=sys.stderr)
    return found


@lru_cache(maxsize=4)
def model(name: str) -> Model:
    """The template with its tokenizer; raises NotFetchedError where a real one cannot be had."""
    if name.startswith("real/"):
        tokenizer = oracle.load_tokenizer(name.removeprefix("real/"))
        return models.model_of(tokenizer, str(tokenizer.chat_template), name)
    stored = oracle.stored_templates()
    source = stored[name] if name in stored else unseen()[name]
    return models.model_of(oracle.tokenizer_for_source(source), source, name)


@lru_cache(maxsize=128)
def written(name: str) -> TrainingTemplate:
    """What comes of writing tags into the template."""
    return write_training_template(model(name))


def main() -> int:
    """Print the table; 1 when anything is not proven without a reason, or has a reason that it does not need."""
    unexplained = proven = tried = 0
    print(f"{'template':36} {'tags':5} {'proven':7} {'tried':>5}  how, or why not")
    for name in [*names(), *unseen()]:
        try:
            tags = "yes" if has_tags(model(name).template) else "no"
        except NotFetchedError as error:
            print(f"{name:36} not here: {error}")
            continue
        found = written(name)
        unexplained += found.proven == (name in EXCEPTIONS)
        proven, tried = proven + found.proven, tried + 1
        how = found.rewrite if found.proven else EXCEPTIONS.get(name, found.reason)
        print(f"{name:36} {tags:5} {'yes' if found.proven else 'NO':7} {found.conversations:5}  {how}", flush=True)
    print(f"{proven} of {tried} proven, {unexplained} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)  # transformers says for each template without tags that it has none
    sys.exit(main())
