"""Writes the tokenizers for the findings that tiny-chat's cannot show: `python models/make_bytes.py`.

`bytes-bos` has one token a byte and puts a bos token in front of every text, as Llama's tokenizers do; `bytes-slow` is
ByT5's, in plain Python, which reports no offsets; both use a ChatML template. `bytes-tekken` is a file in the form of
Mistral's tekken (version 13), and nothing else. None has weights.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

HERE = Path(__file__).parent
CHATML = """\
{{- bos_token or '' }}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
SPECIAL = ["<|bos|>", "<|im_start|>", "<|im_end|>"]
TEKKEN_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]",
    "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]",
)  # fmt: skip
"""The control tokens of tekken, by id."""


def tekken(version: str) -> dict[str, object]:
    """A tekken.json with a token a byte."""
    letters = [base64.b64encode(bytes([id])).decode() for id in range(256)]
    vocab = [{"rank": id, "token_bytes": letter, "token_str": None} for id, letter in enumerate(letters)]
    control = [{"rank": id, "token_str": text, "is_control": True} for id, text in enumerate(TEKKEN_SPECIAL)]
    config = {
        "pattern": r"[\s\S]", "num_vocab_tokens": 256, "default_vocab_size": 256 + len(control),
        "default_num_special_tokens": len(control), "version": version,
    }  # fmt: skip
    return {"config": config, "vocab": vocab, "special_tokens": control}


def main() -> None:
    """Write the folders."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    bos = ("<|bos|>", core.token_to_id("<|bos|>"))
    core.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[bos])
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|bos|>", eos_token="<|im_end|>")
    start, end = (AddedToken(token, special=True, normalized=False) for token in SPECIAL[1:])
    slow = ByT5Tokenizer(eos_token=end, additional_special_tokens=[start], extra_ids=0)
    for name, tokenizer in (("bytes-bos", fast), ("bytes-slow", slow)):
        tokenizer.chat_template = CHATML
        tokenizer.save_pretrained(HERE / name)
    (HERE / "bytes-tekken").mkdir(exist_ok=True)
    (HERE / "bytes-tekken" / "tekken.json").write_text(json.dumps(tekken("v13")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
