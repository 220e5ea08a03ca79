"""Writes the two tokenizers for the findings that tiny-chat's cannot show: `python models/make_bytes.py`.

`bytes-bos` has one token a byte and puts a bos token in front of every text, as Llama's tokenizers do; `bytes-slow` is
ByT5's, in plain Python, which reports no offsets. Both use a ChatML template; neither has weights.
"""

from __future__ import annotations

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


def main() -> None:
    """Write both folders."""
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


if __name__ == "__main__":
    main()
