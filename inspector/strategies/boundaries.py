"""Train the text after a prompt: TRL's completion_only_loss and its preference pairs.

trl 1.16 (SFTTrainer on prompt/completion rows, DPOTrainer). Written from docs/strategies.md (D6, D6b) and proved equal
to TRL's own preparation in the tests. The prompt's ids are compared with the row's: the answer begins where they
differ, so text of the prompt can be trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from inspector.conversation import Conversation, Message, Step
from inspector.errors import StrategyRefusedError
from inspector.strategies.base import Example, Labelled, facts


@facts("TRL", "prompt/completion rows", version="1.16", makes=frozenset({Step.TOOLS}))
def trl_completion_only(example: Example) -> Labelled:
    """Train the tokens from the first id that differs from those of the prompt.

    The prompt is everything before the last assistant message, with a generation prompt. Raises StrategyRefusedError if
    TRL cannot make such a row: no assistant message, nothing before it, `add_generation_prompt` among the keywords, or
    a prompt that the template refuses. Source: docs/strategies.md D6.
    """
    prompt = _prompt(example)
    return _labelled(example, prompt, [example.tokens.ids])


@facts("TRL DPO", "chosen/rejected rows", version="1.16", makes=frozenset({Step.TOOLS}))
def dpo_boundary(example: Example, *, rejected: str | Sequence[Message]) -> Labelled:
    """Train the chosen answer as DPO does: the prompt ends where either answer's ids differ from it.

    The conversation is the chosen one. `rejected`: the other answer, as text or as the messages that replace the last
    assistant message and everything after it. The chosen row is shown. Raises as `trl_completion_only`, and ValueError
    for a rejected answer that is neither. Source: docs/strategies.md D6b.
    """
    prompt = _prompt(example)
    messages = [{"role": "assistant", "content": rejected}] if isinstance(rejected, str) else rejected
    if not isinstance(messages, list | tuple) or not messages:
        raise ValueError(f"rejected is {rejected!r}, and must be the text of an answer, or a list of messages.")
    whole = Conversation.parse({"messages": [*prompt.messages, *messages]}).messages
    (text,) = example.texts([example.with_messages(whole)])
    return _labelled(example, prompt, [example.tokens.ids, example.ids_of(text)])


def shared_length(ids: Sequence[int], other: Sequence[int]) -> int:
    """The number of ids that two rows share at their start."""
    same = (one == two for one, two in zip(ids, other, strict=False))
    return sum(1 for _ in takewhile(bool, same))


def _prompt(example: Example) -> Conversation:
    conversation = example.conversation
    if "add_generation_prompt" in conversation.keywords:
        raise StrategyRefusedError(
            "TRL sets add_generation_prompt itself here and fails when the row sets it too: remove it."
        )
    answers = conversation.assistant_indices()
    if not answers:
        raise StrategyRefusedError("There is no assistant message, so there is no completion to train.")
    if answers[-1] == 0:
        raise StrategyRefusedError(
            "The only assistant message comes first: a prompt without messages cannot be rendered."
        )
    return example.with_messages(conversation.messages[: answers[-1]], add_generation_prompt=True)


def _labelled(example: Example, prompt: Conversation, rows: Sequence[Sequence[int]]) -> Labelled:
    (text,) = example.texts([prompt])
    ids = example.ids_of(text)
    start = min(shared_length(ids, row) for row in rows)
    warnings = []
    if start < len(ids):
        rest: Any = example.tokenizer.decode(ids[start:])
        warnings.append(
            "The tokenized prompt is not a prefix of the tokenized prompt+completion: they part at token "
            f"{start}, and this end of the prompt is not in the row: {rest!r}."
        )
    return Labelled.by_rule([index >= start for index in range(len(example))], warnings=warnings)
