"""Loads a spec's weights on the available device, with LoRA matrices if the spec has them."""

from __future__ import annotations

import math
import re
from typing import Any

from inspector.model.hub import EMBEDDED
from inspector.model.model import Model
from training.errors import DeviceError
from training.spec import ModuleGroup, RunSpec
from training.weights.ranks import is_sharded, local_rank

_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe", "experts")


def device_of(spec: RunSpec) -> str:
    """ "cuda" or "cpu". Raises DeviceError when the spec wants what this machine has not."""
    import torch

    has_cuda = torch.cuda.is_available()
    if spec.device == "cuda" and not has_cuda:
        raise DeviceError("device is cuda, and this machine has no CUDA device: set device: auto.")
    device = "cuda" if has_cuda and spec.device != "cpu" else "cpu"
    if spec.quantization != "none" and device == "cpu" and spec.device != "cpu":
        raise DeviceError(
            f"{spec.quantization} weights need a CUDA device to be fast (bitsandbytes): set quantization: none, or "
            "device: cpu to train them slowly."
        )
    if spec.precision == "fp16" and device == "cpu":
        raise DeviceError("fp16 training needs a CUDA device: set precision: auto.")
    return device


def precision_of(spec: RunSpec, device: str) -> str:
    """ "bf16", "fp16" or "fp32": by default bf16 where the device computes it fast, else fp32."""
    import torch

    if spec.precision != "auto":
        return spec.precision
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def model_class(spec: RunSpec, config: Any) -> Any:
    """transformers' class: a causal model, one that also sees images, or one that gives a number for a row."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    if not spec.facts.is_reward and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return transformers.AutoModelForImageTextToText
    return getattr(transformers, spec.facts.model_class)


def config_of(spec: RunSpec, folder: str = "") -> Any:
    """The configuration of the spec's model, or of one in a folder. Raises OSError, ValueError."""
    from transformers import AutoConfig

    name = folder or str(EMBEDDED.get(spec.model, spec.model))
    revision = None if folder else spec.revision or None
    return AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False, **spec.facts.head)


def load_weights(spec: RunSpec, model: Model) -> Any:
    """The base model on its device, with embeddings for every token of the tokenizer. Raises DeviceError, OSError."""
    import torch
    from transformers import BitsAndBytesConfig

    device = device_of(spec)
    compute = torch.bfloat16 if precision_of(spec, device) == "bf16" else torch.float32
    quantized, place = None, "cpu" if device == "cpu" else local_rank()
    if spec.quantization != "none":
        quantized = BitsAndBytesConfig(
            load_in_4bit=spec.quantization == "4bit", load_in_8bit=spec.quantization == "8bit",
            bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute,
        )  # fmt: skip
    name = str(EMBEDDED.get(spec.model, spec.model))
    torch.manual_seed(spec.seed)  # a reward model's head is new, with random weights
    weights = model_class(spec, config_of(spec)).from_pretrained(
        name, revision=model.revision, dtype=compute if spec.lora else torch.float32, trust_remote_code=False,
        quantization_config=quantized, device_map={"": place} if quantized else None, **spec.facts.head,
    )  # fmt: skip
    if quantized is None and not is_sharded():  # sharded weights go to their devices part by part
        weights = weights.to(device)
    if len(model.tokenizer) > weights.get_input_embeddings().num_embeddings:
        weights.resize_token_embeddings(len(model.tokenizer))
    return weights


def load_reference(spec: RunSpec, weights: Any) -> Any:
    """The model that the spec names as reference; None for the model before the training. Raises OSError."""
    from transformers import AutoModelForCausalLM

    name = spec.preference.reference
    if not name:
        return None
    found = AutoModelForCausalLM.from_pretrained(
        str(EMBEDDED.get(name, name)), dtype=weights.dtype, trust_remote_code=False
    )
    if found.config.get_text_config().vocab_size < weights.get_input_embeddings().num_embeddings:
        found.resize_token_embeddings(weights.get_input_embeddings().num_embeddings)
    return found.to(weights.device)


def lora_config(spec: RunSpec, weights: Any, tokenizer: Any = None) -> Any:
    """peft's configuration. The embeddings of new tokens train too, and are saved with the adapter.

    `tokenizer`: that of the run; new tokens are those that the spec has added. Raises ValueError if a named group or
    layer is not in the model.
    """
    from peft import LoraConfig

    lora = spec.lora
    assert lora is not None
    new = _new_tokens(spec, weights, tokenizer)
    saved = list(lora.modules_to_save)
    head = _name_of(weights.get_output_embeddings(), weights)
    if new and head and not weights.config.get_text_config().tie_word_embeddings and head not in saved:
        saved.append(head)
    return LoraConfig(
        task_type=spec.facts.task_type,
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=target_modules(lora.modules, weights),
        exclude_modules=_beside_the_text(weights),
        modules_to_save=saved or None,
        trainable_token_indices={name: ids for name, ids in new.items() if name not in saved} or None,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
    )


def _beside_the_text(weights: Any) -> str | None:
    """A pattern for the layers outside the language model, such as those of an image encoder, which do not train.

    None if there are none.
    """
    decoder = weights.get_decoder() if hasattr(weights.config, "vision_config") else None
    path = next((path for path, module in weights.named_modules() if module is decoder), "")
    return rf"(?!{re.escape(path)}\.).*" if path else None


def _new_tokens(spec: RunSpec, weights: Any, tokenizer: Any) -> dict[str, list[int]]:
    """The embedding layer's name and the ids of tokens that the base model has never seen."""
    if tokenizer is None or not spec.special_tokens:
        return {}
    import inspector

    known = set(inspector.load(spec.model, revision=spec.revision or None, template="chatml").tokenizer.get_vocab())
    ids = sorted(id for text, id in tokenizer.get_vocab().items() if text not in known)
    return {_name_of(weights.get_input_embeddings(), weights): ids} if ids else {}


def _name_of(layer: Any, weights: Any) -> str:
    """The model's name for a layer; "" if it has no such layer."""
    return next((path.rsplit(".", 1)[-1] for path, module in weights.named_modules() if module is layer), "")


def complete_head(weights: Any) -> None:
    """Restore the LM head's bias, which peft hides if new tokens are trained: trl computes with it."""
    head = weights.get_output_embeddings()
    if head is not None and not hasattr(head, "bias"):
        head.__dict__["bias"] = getattr(head.original_module, "bias", None)  # not a parameter of the wrapper


def target_modules(modules: str | list[str], weights: Any) -> str | list[str]:
    """The layers that get matrices: "all-linear" as in peft, or names found in the model."""
    if modules == ModuleGroup.ALL_LINEAR:
        return str(modules)
    groups = module_groups(weights)
    chosen: list[str] = []
    for name in [modules] if isinstance(modules, str) else modules:
        if name in groups:
            chosen += groups[name]
        elif any(name in names for names in groups.values()):
            chosen.append(name)
        else:
            known = "; ".join(f"{group}: {', '.join(names)}" for group, names in groups.items() if names)
            raise ValueError(f"lora.modules: the model has no layers {name!r}. It has {known}.")
    return sorted(set(chosen))


def module_groups(weights: Any) -> dict[str, list[str]]:
    """The model's layers by function: attention, mlp, embeddings, other."""
    import torch

    groups: dict[str, set[str]] = {"attention": set(), "mlp": set(), "embeddings": set(), "other": set()}
    for path, module in weights.named_modules():
        name = path.rsplit(".", 1)[-1]
        if isinstance(module, torch.nn.Embedding) or name == "lm_head":
            groups["embeddings"].add(name)
        elif isinstance(module, torch.nn.Linear):
            parents = path.lower().split(".")[:-1]
            where = next(
                (g for g, marks in (("attention", _ATTENTION), ("mlp", _MLP)) if _within(parents, marks)), "other"
            )
            groups[where].add(name)
    return {group: sorted(names) for group, names in groups.items()}


def _within(parents: list[str], marks: tuple[str, ...]) -> bool:
    return any(mark in parent for parent in parents for mark in marks)


def total_steps(spec: RunSpec, rows: int) -> int:
    """The number of optimiser steps of the run without packing."""
    if spec.max_steps is not None:
        return spec.max_steps
    per_epoch = math.ceil(math.ceil(rows / spec.micro_batch) / spec.accumulation)
    return max(1, math.ceil(per_epoch * spec.epochs))
