"""Tokens that a spec adds: their embeddings train, are saved with the adapter, and come back with it; bitsandbytes."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, PhiConfig
from trl.trainer.utils import add_fused_lm_head

import inspector
from training.spec import RunSpec, parse_spec
from training.weights import bitsandbytes
from training.weights.load import complete_head, lora_config

ADDED = {"pad_token": "[PAD]", "additional_special_tokens": ["<|a|>", "<|b|>"]}
SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}


def spec_of(**fields: Any) -> RunSpec:
    """A run that adds three tokens to tiny-chat."""
    return parse_spec({"model": "tiny-chat", "data": "x", "special_tokens": ADDED, **fields})


def grown(kind: str) -> tuple[Any, Any, list[int]]:
    """(a model with embeddings for the added tokens, the tokenizer, the ids of two of them)."""
    model = inspector.load("tiny-chat")
    tokenizer = model.with_special_tokens(ADDED).tokenizer
    size = {**SIZES, "vocab_size": len(model.tokenizer)}
    torch.manual_seed(0)
    config = PhiConfig(**size) if kind == "phi" else LlamaConfig(**size, tie_word_embeddings=kind != "untied")
    if kind == "reward":
        config.num_labels = 1
        weights = AutoModelForSequenceClassification.from_config(config)
    else:
        weights = AutoModelForCausalLM.from_config(config)
    weights.resize_token_embeddings(len(tokenizer))
    return weights, tokenizer, tokenizer.convert_tokens_to_ids(["<|a|>", "<|b|>"])


@pytest.mark.parametrize("kind", ["tied", "untied", "phi"])
def test_added_tokens_train_and_are_saved(tmp_path: Path, kind: str) -> None:
    """Beside LoRA; the head that trl computes with is the model's; a fresh base has the same loss with the adapter."""
    weights, tokenizer, new = grown(kind)
    peft = get_peft_model(weights, lora_config(spec_of(), weights, tokenizer))
    add_fused_lm_head(peft.get_base_model())
    complete_head(peft)
    ids = torch.tensor([[5, 6, new[0], 7, new[1]]])
    before = peft.get_input_embeddings()(torch.tensor([5, *new])).detach().clone()
    optimizer = torch.optim.SGD([p for p in peft.parameters() if p.requires_grad], lr=0.1)
    first = peft(input_ids=ids, labels=ids, fused_lm_head=True).loss
    first.backward()
    optimizer.step()
    after = peft.get_input_embeddings()(torch.tensor([5, *new])).detach()
    assert torch.equal(after[0], before[0])
    assert (after[1:] - before[1:]).abs().max() > 0
    expected = float(peft(input_ids=ids, labels=ids).loss)
    assert expected < float(first)
    assert float(peft(input_ids=ids, labels=ids, fused_lm_head=True).loss) == pytest.approx(expected, rel=1e-5)
    peft.save_pretrained(str(tmp_path))
    again = PeftModel.from_pretrained(grown(kind)[0], str(tmp_path))
    assert float(again(input_ids=ids, labels=ids).loss) == pytest.approx(expected, rel=1e-5)


def test_added_tokens_of_a_reward_model_train() -> None:
    """It has no LM head to save."""
    weights, tokenizer, new = grown("reward")
    config = lora_config(spec_of(method="reward"), weights, tokenizer)
    assert config.trainable_token_indices == {"embed_tokens": sorted([*new, tokenizer.pad_token_id])}
    assert config.modules_to_save is None
    complete_head(get_peft_model(weights, config))


def test_saved_embeddings_train_whole() -> None:
    """Layers that the spec saves are not also trained token by token; without added tokens nothing is."""
    weights, tokenizer, _ = grown("untied")
    both = {"lora": {"modules_to_save": ["embed_tokens", "lm_head"]}}
    config = lora_config(spec_of(**both), weights, tokenizer)
    assert (config.trainable_token_indices, sorted(config.modules_to_save)) == (None, ["embed_tokens", "lm_head"])
    plain = parse_spec({"model": "tiny-chat", "data": "x"})
    config = lora_config(plain, weights, tokenizer)
    assert (config.trainable_token_indices, config.modules_to_save) == (None, None)


# --- bitsandbytes


def test_bitsandbytes_is_left_out_where_nothing_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without an accelerator, until a run uses it; who has imported it keeps it."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    bitsandbytes.leave_out()
    assert find_spec("bitsandbytes") is None
    bitsandbytes.let_in()
    assert find_spec("bitsandbytes") is not None
    imported = ModuleType("bitsandbytes")
    monkeypatch.setitem(sys.modules, "bitsandbytes", imported)
    bitsandbytes.leave_out()
    bitsandbytes.let_in()
    assert sys.modules["bitsandbytes"] is imported


def test_bitsandbytes_is_there_with_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of 4 bits need it."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    bitsandbytes.leave_out()
    assert find_spec("bitsandbytes") is not None
