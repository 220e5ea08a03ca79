"""The masks of trainers that are not installed: their own functions, out of their wheels, on one example.

A module of a wheel is run without the imports that its mask does not need; nothing of it is kept here. Each function
gives an Outcome: ids and bits as labels, or why the trainer stops at the row or drops it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from inspector.strategies import Example
from tests.oracles.strategy_peers import Outcome, with_template
from tests.support.fetch import wheel_code


def run_module(package: str, path: str, without: tuple[str, ...], **names: Any) -> dict[str, Any]:
    """The names of a wheel's module. `without`: modules, the packages above them included, that it does not get."""
    module = ast.parse(wheel_code(package, path).read_text(encoding="utf-8"))
    module.body = [node for node in module.body if not _imports(node, without)]
    found: dict[str, Any] = {"__name__": path, "__file__": path, **names}
    exec(compile(module, path, "exec"), found)
    return found


def _imports(node: ast.stmt, modules: tuple[str, ...]) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or str(node.module).split(".")[0] in modules
    return isinstance(node, ast.Import) and any(name.name.split(".")[0] in modules for name in node.names)


class Annotation:
    """What stands for a name that a module reads in annotations only."""


# --- verl


@lru_cache(maxsize=1)
def _verl() -> dict[str, Any]:
    chat = run_module("verl", "verl/utils/tokenizer/chat_template.py", (), normalize_token_ids=_verl_token_ids())
    return run_module(
        "verl", "verl/utils/dataset/multiturn_sft_dataset.py", ("verl", "omegaconf", "pandas"),
        DictConfig=Annotation, ListConfig=Annotation, get_rope_index=None, hf_tokenizer=None,
        apply_chat_template=chat["apply_chat_template"],
        extract_system_prompt_and_generation=chat["extract_system_prompt_and_generation"],
        convert_nested_value_to_list_recursive=lambda value: value,
        DatasetPadMode=SimpleNamespace(RIGHT="right", NO_PADDING="no_padding"),
        process_image=None, process_video=None, copy_local_path_from_hdfs=None,
    )  # fmt: skip


def _verl_token_ids() -> Callable[[Any], list[int]]:
    found = run_module("verl", "verl/utils/tokenizer/tokenizer.py", ("verl",))
    return found["normalize_token_ids"]  # type: ignore[no-any-return]


def verl(example: Example, ignore_input_ids_mismatch: bool = False) -> Outcome:
    """What verl's multi-turn data set trains."""
    conversation, names = example.conversation, _verl()
    thinks = conversation.keywords.get("enable_thinking")
    unread = ("add_generation_prompt", "enable_thinking")
    settings = {name: value for name, value in conversation.keywords.items() if name not in unread}
    if conversation.documents is not None:
        settings["documents"] = list(conversation.documents)
    row: Mapping[str, Any] = {"messages": list(conversation.messages)}

    def work(tokenizer: Any) -> dict[str, Any]:
        self = object.__new__(names["MultiTurnSFTDataset"])
        self.tokenizer, self.processor = tokenizer, None
        self.apply_chat_template_kwargs = settings
        self.messages_key, self.image_key, self.video_key = "messages", "images", "videos"
        self.enable_thinking, self.enable_thinking_default = None if thinks is None else [thinks], None
        self.tools = None if conversation.tools is None else [list(conversation.tools)]
        self.pad_mode, self.truncation, self.max_length = "no_padding", "error", 1 << 20
        self.ignore_input_ids_mismatch = ignore_input_ids_mismatch
        self.dataframe = SimpleNamespace(iloc=[SimpleNamespace(to_dict=lambda: dict(row))])
        extract = names["extract_system_prompt_and_generation"]
        self.system_prompt, self.generation_prompt = extract(tokenizer, **settings)
        return dict(self[0])

    try:
        found = with_template(example, work)
    except Exception as error:
        return Outcome(None, None, str(error))
    return Outcome(found["input_ids"].tolist(), [bool(bit) for bit in found["loss_mask"].tolist()])
