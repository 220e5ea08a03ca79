"""The masks of trainers that are not installed: their own functions, out of their wheels, on one example.

A module of a wheel is run without the imports that its mask does not need; nothing of it is kept here. Each function
gives an Outcome: ids and bits as labels, or why the trainer stops at the row or drops it.
"""

from __future__ import annotations
import __future__

import ast
import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from inspector.strategies import Example
from tests.oracles.strategy_peers import Outcome, with_template
from tests.support.fetch import wheel_code

Keeps = Callable[[ast.stmt], bool]
"""Whether a statement of a module is run."""


def run_module(package: str, path: str, without: tuple[str, ...], **names: Any) -> dict[str, Any]:
    """The names of a wheel's module. `without`: modules, the packages above them included, that it does not get."""
    return run_file(wheel_code(package, path), f"{package}.{path}", without, **names)


def run_file(
    file: Path, name: str, without: tuple[str, ...], keeps: Keeps | None = None, **names: Any
) -> dict[str, Any]:
    """The same for a file. `keeps`: which of its statements are run; None: all."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    module.body = [node for node in module.body if not _imports(node, without) and (keeps is None or keeps(node))]
    made = ModuleType(f"theirs.{name}")
    made.__dict__.update(names, __file__=str(file))
    sys.modules[made.__name__] = made  # dataclasses look their module up
    exec(compile(module, str(file), "exec", __future__.annotations.compiler_flag), made.__dict__)
    return made.__dict__


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


# --- LLaMA-Factory


class _Silent:
    """A logger of theirs."""

    def get_logger(self, name: str = "") -> _Silent:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


_NO_MEDIA = SimpleNamespace(
    process_messages=lambda messages, *_: messages, process_token_ids=lambda ids, labels, *_: (ids, labels)
)


@lru_cache(maxsize=1)
def _llama_factory() -> SimpleNamespace:
    folder = "llamafactory/data"

    def module(path: str, **names: Any) -> dict[str, Any]:
        return run_module("llamafactory", f"{folder}/{path}.py", ("fsspec",), logging=_Silent(), **names)

    data, tools = module("data_utils"), module("tool_utils")
    shared = {"Role": data["Role"], "SLOTS": data["SLOTS"], **{n: tools[n] for n in ("FunctionCall", "get_tool_utils")}}
    forms = module("formatter", **shared)
    kinds = ("EmptyFormatter", "FunctionFormatter", "StringFormatter", "ToolFormatter")
    template = module(
        "template", **shared, **{name: forms[name] for name in kinds}, get_mm_plugin=lambda name, **_: _NO_MEDIA
    )
    common = module("processor/processor_utils")
    names = ("DatasetProcessor", "greedy_knapsack", "infer_seqlen")
    supervised = module("processor/supervised", IGNORE_INDEX=-100, **{name: common[name] for name in names})
    converter = module("converter", **shared)
    return SimpleNamespace(
        converters=converter["DATASET_CONVERTERS"],
        processor=supervised["SupervisedDatasetProcessor"],
        template=template["get_template_and_fix_tokenizer"],
    )


@lru_cache(maxsize=16)
def _llama_factory_template(held: _Held, **settings: Any) -> tuple[Any, Any]:
    """A copy of the tokenizer as a template of theirs changes it, and that template, or why there is none."""
    tokenizer = copy.deepcopy(held.tokenizer)
    tokenizer.chat_template = held.template
    try:
        return tokenizer, copy.copy(_llama_factory().template(tokenizer, SimpleNamespace(**settings)))
    except Exception as error:
        return tokenizer, error


@dataclass(frozen=True)
class _Held:
    """A tokenizer and a template, told apart by what they are."""

    tokenizer: Any
    template: str

    def __hash__(self) -> int:
        return hash((id(self.tokenizer), self.template))


def llama_factory(
    example: Example,
    template: str | None = None,
    formatting: str = "sharegpt",
    train_on_prompt: bool = False,
    mask_history: bool = False,
    enable_thinking: bool = True,
    preserve_thinking: bool = False,
    cutoff_len: int | None = None,
) -> Outcome:
    """What LLaMA-Factory's supervised processor trains."""
    conversation, theirs = example.conversation, _llama_factory()
    tags = ("role", "content", "user", "assistant", "tool" if formatting == "openai" else None, None, "system")
    names = ("role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
    columns = dict.fromkeys(("system", "images", "videos", "audios", "chosen", "rejected", "kto_tag"))
    has_tools = conversation.tools is not None
    about = SimpleNamespace(
        **dict(zip(names, tags, strict=True)), **columns, messages="messages", tools="tools" if has_tools else None,
        ranking=False, load_from="file",
    )  # fmt: skip
    row = {"messages": list(conversation.messages), **({"tools": list(conversation.tools or ())} if has_tools else {})}
    settings = SimpleNamespace(
        train_on_prompt=train_on_prompt, mask_history=mask_history, cutoff_len=cutoff_len or 1 << 20
    )
    try:
        tokenizer, made = _llama_factory_template(
            _Held(example.tokenizer, example.template), template=template, train_on_prompt=train_on_prompt,
            tool_format=None, default_system=None, enable_thinking=enable_thinking, preserve_thinking=preserve_thinking,
        )  # fmt: skip
        if isinstance(made, Exception):
            return Outcome(None, None, str(made))
        if len(tokenizer) != len(example.tokenizer):
            return Outcome(None, None, "tokens are added, which is not reproduced")
        aligned = theirs.converters[formatting](about, None)(row)
        processor = theirs.processor(template=made, tokenizer=tokenizer, processor=None, data_args=settings)
        found = processor.preprocess_dataset({name: [value] for name, value in aligned.items()})
    except Exception as error:
        return Outcome(None, None, str(error))
    if not found["input_ids"]:
        return Outcome(None, None, "dropped")
    return Outcome(found["input_ids"][0], [label != -100 for label in found["labels"][0]])


# --- OpenRLHF


@lru_cache(maxsize=1)
def _openrlhf() -> Any:
    path = "openrlhf-0.11.2.data/purelib/openrlhf/datasets/sft_dataset.py"
    return run_module("openrlhf", path, ("openrlhf",), zero_pad_sequences=None)["SFTDataset"]


class _OneRow:
    """A data set of one row, which is mapped and filtered as those of `datasets` are."""

    column_names: tuple[str, ...] = ()

    def __init__(self, row: dict[str, Any] | None) -> None:
        self.row = row

    def map(self, function: Callable[[Any], Any], **_: Any) -> _OneRow:
        return _OneRow(function(self.row))

    def filter(self, keeps: Callable[[Any], bool]) -> _OneRow:
        return self if keeps(self.row) else _OneRow(None)

    def __getitem__(self, name: str) -> list[Any]:
        return [] if self.row is None else [self.row[name]]


def openrlhf(example: Example, multiturn: bool = False) -> Outcome:
    """What OpenRLHF's SFTDataset trains, as labels: its mask stands one place earlier."""
    data = SimpleNamespace(input_key="messages", output_key=None, apply_chat_template=True)
    strategy = SimpleNamespace(args=SimpleNamespace(data=data))
    rows = _OneRow({"messages": list(example.conversation.messages)})

    def work(tokenizer: Any) -> Any:
        made = _openrlhf()(rows, tokenizer, 1 << 20, strategy, multiturn=multiturn)
        return made[0] if made.prompts else None

    _openrlhf()
    try:
        found = with_template(example, work)
    except Exception as error:
        return Outcome(None, None, str(error))
    if found is None:
        return Outcome(None, None, "dropped")
    ids, _, mask = (tensor[0].tolist() for tensor in found)
    return Outcome(ids, [False, *(bool(bit) for bit in mask[:-1])])


# --- ms-swift


@lru_cache(maxsize=1)
def _ms_swift() -> SimpleNamespace:
    drop = ("swift", "modelscope", "peft")
    logger = {"get_logger": _Silent().get_logger}
    shared = run_module("ms-swift", "swift/template/utils.py", drop, **logger)
    names = ("ContextType", "StopWordsCriteria", "fetch_one", "findall", "get_last_user_round", "messages_to_history",
             "get_token_backed_response_ids", "split_str_parts_by", "Messages", "Tool")  # fmt: skip
    tools = {name: shared[name] for name in names}
    scales = run_module("ms-swift", "swift/loss_scale/base.py", drop, **tools)
    inputs = run_module("ms-swift", "swift/template/template_inputs.py", drop, **logger, **tools)
    base = run_module(
        "ms-swift",
        "swift/template/base.py",
        drop,
        **logger,
        **tools,
        ProcessorMixin=object,
        retry_decorator=lambda _: lambda one: one,
    )
    meta = run_module("ms-swift", "swift/template/template_meta.py", drop, Template=base["Template"])
    made: dict[str, Any] = {}
    kept = {"register_template": lambda one, **_: made.setdefault(one.template_type, one), "Template": base["Template"],
            "LLMTemplateType": _Names(), "TemplateMeta": meta["TemplateMeta"]}  # fmt: skip
    wanted = {
        "utils": ("ChatmlTemplateMeta",), "qwen": ("QwenTemplateMeta", "Qwen3MixedTemplateMeta"),
        "llama": ("Llama3TemplateMeta",), "gemma": ("GemmaTemplateMeta",),
    }  # fmt: skip
    for name, classes in wanted.items():
        file = wheel_code("ms-swift", f"swift/template/templates/{name}.py")
        found = run_file(file, f"ms-swift.{name}", drop, _made_of(classes), **kept, DEFAULT_SYSTEM=None)
        kept |= {one: found[one] for one in classes}
    return SimpleNamespace(
        template=base["Template"], metas=made, scale=scales["LossScale"], inputs=inputs["StdTemplateInputs"]
    )


class _Names:
    """An enumeration of theirs whose members are called like their values."""

    def __getattr__(self, name: str) -> str:
        return name


def _made_of(classes: tuple[str, ...]) -> Keeps:
    """Keeps the classes of these names, and what registers the templates that are compared."""

    types = ("chatml", "qwen3", "qwen3_thinking", "qwen3_nothinking", "llama3", "gemma")
    starts = [
        f"register_template({made}(LLMTemplateType.{one}{end}" for made in classes for one in types for end in ",)"
    ]

    def keeps(node: ast.stmt) -> bool:
        if isinstance(node, ast.ClassDef):
            return node.name in classes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return any(ast.unparse(node).startswith(start) for start in starts)
        return isinstance(node, ast.ImportFrom) and node.module in ("dataclasses", "typing")

    return keeps


def ms_swift(example: Example, template_type: str = "chatml", loss_scale: str = "default") -> Outcome:
    """What ms-swift's templates train; rows with parts that are not texts count as refused: they are not reproduced."""
    theirs, conversation = _ms_swift(), example.conversation
    contents = [message.get("content") for message in conversation.messages]
    if any(part.get("type") != "text" for parts in contents if isinstance(parts, list) for part in parts):
        return Outcome(None, None, "parts that are not texts")
    row: dict[str, Any] = {"messages": list(conversation.messages)}
    if conversation.tools is not None:
        row["tools"] = list(conversation.tools)
    try:
        meta = copy.deepcopy(theirs.metas[template_type])
        meta.init(example.tokenizer)
        scaled = type("Scaled", (theirs.template,), {"loss_scale": theirs.scale(loss_scale)})
        template = scaled(
            None, meta, loss_scale=loss_scale, max_length=1 << 20, enable_thinking=None, template_backend="swift"
        )
        template.tokenizer, template.mode = example.tokenizer, "train"
        found = template._encode(theirs.inputs.from_dict(row))
    except Exception as error:
        return Outcome(None, None, f"{type(error).__name__} {error}")
    return Outcome(list(found["input_ids"]), [label != -100 for label in found["labels"]])


# --- Unsloth


@lru_cache(maxsize=1)
def _unsloth() -> Callable[..., Any]:
    found = run_module("unsloth_zoo", "unsloth_zoo/dataset_utils.py", ("unsloth_zoo",))
    return found["train_on_responses_only"]  # type: ignore[no-any-return]


def unsloth(example: Example, instruction_part: str, response_part: str, mask_out_tokens: list[str]) -> Outcome:
    """What Unsloth's train_on_responses_only trains of the row's ids."""
    mask = _unsloth()(
        None, instruction_part, response_part, tokenizer=example.tokenizer, return_function=True,
        mask_out_tokens=mask_out_tokens,
    )  # fmt: skip
    ids = list(example.tokens.ids)
    (labels,) = mask({"input_ids": [ids]})["labels"]
    return Outcome(ids, [label != -100 for label in labels])


# --- NeMo


@lru_cache(maxsize=1)
def _nemo_automodel() -> Any:
    folder = "nemo_automodel/components/datasets/llm"
    forms = run_module("nemo-automodel", f"{folder}/formatting_utils.py", ("nemo_automodel",))
    names = ("_add_pad_token", "_has_chat_template", "_resolve_chat_template", "format_chat_template")
    chats = run_module(
        "nemo-automodel", f"{folder}/chat_dataset.py", ("nemo_automodel",), **{name: forms[name] for name in names}
    )
    return chats["ChatDataset"]


def nemo_automodel(example: Example, mask_history: bool = False, mask_generation_prompt: bool = False) -> Outcome:
    """What NeMo Automodel's ChatDataset trains."""
    conversation, theirs = example.conversation, _nemo_automodel()
    row = {"messages": list(conversation.messages)}
    if conversation.tools is not None:
        row["tools"] = list(conversation.tools)

    def work(tokenizer: Any) -> dict[str, Any]:
        made = object.__new__(theirs)
        made.__dict__.update(
            tokenizer=tokenizer, dataset=[row], pad_token_id=None, seq_length=None, padding="do_not_pad",
            truncation="do_not_truncate", mask_reasoning_content=False, unshifted=True, mask_history=mask_history,
            mask_generation_prompt=mask_generation_prompt,
        )  # fmt: skip
        return dict(made[0])

    try:
        found = with_template(example, work)
    except Exception as error:
        return Outcome(None, None, str(error))
    return Outcome(list(found["input_ids"]), [bool(bit) for bit in found["loss_mask"]])
