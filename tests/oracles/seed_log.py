"""The first seed's log: the ids it printed before "example had no assistant response in it", and what they were.

The ids are those of Llama-3.1's tokenizer. Decoded, each example is a chat that ends in an empty assistant header: its
template wrote the generation prompt without being asked.
"""

from __future__ import annotations

import json
from pathlib import Path

LLAMA3_ALWAYS_PROMPTS = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}"
    "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)
"""A Llama-3 template of the kind that made the log: the assistant header always follows."""

START_HEADER, END_HEADER, END_OF_TURN, BLANK_LINE = 128006, 128007, 128009, 271


def logged_ids(example: int = 0) -> list[int]:
    """The ids of one of the two logged examples."""
    return list(json.loads((Path(__file__).parents[1] / "data" / "seed_log_ids.json").read_text())[example])


def conversation_of(ids: list[int], folder: Path) -> list[dict[str, str]]:
    """The conversation that the ids were rendered from, read off their headers."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    messages = []
    starts = [i for i, id in enumerate(ids) if id == START_HEADER]
    for start in starts:
        if END_OF_TURN not in ids[start:]:
            continue  # the trailing generation prompt
        header_end = ids.index(END_HEADER, start)
        assert ids[header_end + 1] == BLANK_LINE
        end = ids.index(END_OF_TURN, start)
        role = tokenizer.decode(ids[start + 1 : header_end])
        messages.append({"role": role, "content": tokenizer.decode(ids[header_end + 2 : end])})
    return messages
