"""Writes the tokenizers for the findings that tiny-chat's cannot show: `python models/make_bytes.py`.

`bytes-bos` has one token a byte and puts a bos token in front of every text, as Llama's tokenizers do; `bytes-slow` is
ByT5's, in plain Python, which reports no offsets; both use a ChatML template. `bytes-tekken` is a file in the form of
Mistral's tekken (version 13), and nothing else. `bytes-llama` is bytes-bos with settings that do not fit it: Llama's
class, and an embedding without the special tokens. `bytes-vision` is bytes-bos with images, which the processor of
Qwen2.5-VL puts into its texts. None has weights.
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
VISION = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {{- '<|vision_start|><|image_pad|><|vision_end|>' if part.type == 'image' else part.text }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
VISION_SPECIAL = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
SPECIAL = ["<|bos|>", "<|im_start|>", "<|im_end|>"]
QWEN_IMAGES = {
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor", "patch_size": 14,
    "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": 12845056,
}  # fmt: skip
"""How Qwen2.5-VL cuts an image: a token for each square of 28 pixels."""
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
    fast.save_pretrained(HERE / "bytes-llama")
    _write(HERE / "bytes-llama" / "config.json", {"model_type": "llama", "vocab_size": len(alphabet)})
    settings = HERE / "bytes-llama" / "tokenizer_config.json"
    _write(settings, {**json.loads(settings.read_text(encoding="utf-8")), "tokenizer_class": "LlamaTokenizerFast"})
    fast.add_special_tokens({"additional_special_tokens": VISION_SPECIAL})
    fast.chat_template = VISION
    fast.save_pretrained(HERE / "bytes-vision")
    _write(HERE / "bytes-vision" / "preprocessor_config.json", QWEN_IMAGES)
    (HERE / "bytes-tekken").mkdir(exist_ok=True)
    _write(HERE / "bytes-tekken" / "tekken.json", tekken("v13"))


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2 if path.stem.endswith("config") else None) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
