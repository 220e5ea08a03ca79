"""Record what originals train that cannot be fetched as packages: `python -m tests.record_vectors FOLDER STRATEGY`.

FOLDER is a checkout of the project, at the commit that tests/data/strategy_vectors.json names under `sources`. What is
printed are the cases of a strategy for that file: for each model the conversations of tests/support/corpus.py, each
with the row's number of tokens, what tells its ids from others, and the tokens that are trained, or `refused`. Nothing
of the project is kept, and of what it requires only torch and transformers are needed.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inspector.strategies import Example
from tests import strategy_oracle
from tests.oracles.strategy_peers import Outcome, with_template
from tests.oracles.trainer_code import Annotation, run_file
from tests.support.corpus import CORPUS

MODELS = ("qwen3", "qwen2_5", "llama3_1", "gemma3")


def nemo_rl(folder: Path, example: Example, **options: bool) -> Outcome:
    """NeMo RL: its message log, made of the row's messages and tools by the settings of its sft.yaml."""
    theirs = _nemo_rl_module(folder)
    settings = {"add_bos": True, "add_eos": True, "add_generation_prompt": False, "only_unmask_final": False, **options}
    conversation = example.conversation
    tools = None if conversation.tools is None else list(conversation.tools)

    def work(tokenizer: Any) -> list[dict[str, Any]]:
        log = theirs["get_formatted_message_log"](
            list(conversation.messages), tokenizer, SimpleNamespace(prompt=None),
            add_bos_token=settings["add_bos"], add_eos_token=settings["add_eos"],
            add_generation_prompt=settings["add_generation_prompt"], tools=tools,
        )  # fmt: skip
        theirs["add_loss_mask_to_message_log"]([log], ["assistant"], settings["only_unmask_final"])
        return list(log)

    try:
        log = with_template(example, work)
    except Exception as error:
        return Outcome(None, None, str(error))
    ids = [id for message in log for id in message["token_ids"].tolist()]
    return Outcome(ids, [bool(bit) for message in log for bit in message["token_loss_mask"].tolist()])


_MODULES: dict[Path, dict[str, Any]] = {}


def _nemo_rl_module(folder: Path) -> dict[str, Any]:
    if folder not in _MODULES:
        stand_ins = dict.fromkeys(("FlatMessagesType", "LLMMessageLogType", "TaskDataSpec", "PackedTensor"), Annotation)
        _MODULES[folder] = run_file(
            folder / "nemo_rl" / "data" / "llm_message_utils.py", "nemo_rl", ("nemo_rl",), **stand_ins,
            BatchedDataDict=dict, extract_multimodal_model_inputs=None, load_media_from_message=lambda *_, **__: {},
            get_multimodal_default_settings_from_processor=lambda _: {},
        )  # fmt: skip
    return _MODULES[folder]


RECORDERS: Mapping[str, tuple[Callable[..., Outcome], Sequence[Mapping[str, Any]]]] = {
    "nemo_rl": (
        nemo_rl,
        ({}, {"add_generation_prompt": True}, {"add_bos": False, "add_eos": False, "only_unmask_final": True}),
    ),
}
"""Strategy -> what runs its original, and the options that are recorded."""


def main(folder: str, strategy: str) -> int:
    """Print the cases of a strategy."""
    record, choices = RECORDERS[strategy]
    for name in MODELS:
        found = {title: one for title, one in strategy_oracle.examples(name).items() if title in CORPUS}
        for options in choices:
            rows = {
                title: strategy_oracle.written(record(Path(folder), one, **options), with_ids=True)
                for title, one in found.items()
            }
            lines = ",\n".join(f"      {json.dumps(title)}: {json.dumps(text)}" for title, text in rows.items())
            head = f'"model": {json.dumps(name)}, "strategy": {json.dumps(strategy)}, "options": {json.dumps(options)}'
            print(f'    {{{head}, "rows": {{\n{lines}\n    }}}},')
    return 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main(*sys.argv[1:]))
