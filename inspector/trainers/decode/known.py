"""The known messages: their trainers, the patterns that recognise them, and their meanings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from inspector.trainers.decode import case, rendering, searching, trl
from inspector.trainers.decode.case import Case, Shown
from inspector.trainers.decode.log_text import phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A trainer's message. `pattern`: searched for in squashed text. `shows`: finds what the model shows about it."""

    trainer: str
    pattern: re.Pattern[str]
    means: str
    shows: Callable[[Case], Shown] = case.nothing


def _message(trainer: str, pattern: str, means: str, shows: Callable[[Case], Shown] = case.nothing) -> Message:
    return Message(trainer=trainer, pattern=phrase(pattern), means=means, shows=shows)


KNOWN: tuple[Message, ...] = (
    _message(
        "home-llm",
        "example had no assistant response in it",
        "home-llm's train.py masked the whole example: its prefix or suffix ids do not occur in it.",
        searching.home_llm,
    ),
    _message(
        "TRL",
        r"mismatch between tokenized prompt and the start of tokenized prompt\+(completion|chosen|rejected|reference)"
        r"|tokenized prompt is not a prefix of the tokenized prompt\+completion",
        "TRL tokenizes the prompt alone, and then the prompt with its answer. The prompt's ids are not the beginning "
        "of the row's, so what it trains does not begin where the answer begins.",
        trl.trl_prompt,
    ),
    _message(
        "TRL",
        "(chosen) and rejected prompt_input_ids might only differ on the last token",
        "TRL tokenizes the prompt with each answer, and gets other ids for the prompt in the two.",
        trl.trl_prompt,
    ),
    _message(
        "TRL",
        r"assistant_only_loss=true,? but at least one example has no assistant|has no assistant tokens"
        r"|generate (?:valid )?assistant masks",
        "TRL's assistant_only_loss found a row in which the template's generation tags mark nothing.",
        trl.trl_tags,
    ),
    _message(
        "TRL",
        "not training-compatible|patching is not supported for this template",
        "TRL's assistant_only_loss needs {% generation %} tags in the template, and has no patched twin of this one.",
        trl.trl_tags,
    ),
    _message(
        "TRL",
        "assistant_only_loss=true,? but the dataset is not conversational",
        "TRL's assistant_only_loss needs rows with a messages column, or with messages as prompt and completion: texts "
        "have no roles.",
        trl.trl_rows,
    ),
    _message(
        "transformers",
        r"return_assistant_tokens_mask==true but chat template does not contain",
        "transformers marks an answer's tokens by the template's {% generation %} tags. The template that was used has "
        "none, so the mask is 0 everywhere.",
        trl.transformers_tags,
    ),
    _message(
        "TRL",
        "could not find response key",
        "TRL's completion collator did not find the response template's ids in the row and trains nothing of it.",
        trl.trl_collator,
    ),
    _message(
        "TRL",
        "could not find instruction key",
        "TRL's completion collator did not find the instruction template's ids in the row and trains nothing of it.",
        trl.trl_collator,
    ),
    _message(
        "Unsloth",
        r"(?:all|most|nearly all)(?: vlm)? labels in your dataset are -100|samples have all -100 labels"
        r"|removed \d+ (?:out of \d+ )?(?:vlm )?samples .{0,80}where all labels (?:were|are) -100",
        "Unsloth found rows in which every label is -100: they train nothing. Its train_on_responses_only trains what "
        "follows response_part, up to the next instruction_part.",
        searching.unsloth_parts,
    ),
    _message(
        "Unsloth",
        r"(?:instruction_part|response_part)[^.]{0,60}could not be resolved",
        "Unsloth's train_on_responses_only cannot look for this part: no ids of it stay the same whatever stands "
        "beside it.",
        searching.unsloth_parts,
    ),
    _message(
        "LLaVA",
        r"tokenization mismatch: ?(\d+) ?vs\.? ?(\d+)",
        "LLaVA, as FastChat and InternVL, tokenizes each round alone to count where answers are. The count is not the "
        "row's number of tokens, so nothing of the row is trained.",
        searching.llava_rounds,
    ),
    _message(
        "axolotl",
        r"dropped \d+ samples with no trainable tokens",
        "axolotl left out rows in which every label is -100.",
        rendering.axolotl_turns,
    ),
    _message(
        "axolotl",
        r"eo[st] token .{0,60}not found in chat_template|eos token missing after turn",
        "axolotl looks for the token that ends a turn, and the template does not write it: no stop token is trained.",
        rendering.axolotl_stop,
    ),
    _message(
        "axolotl",
        r"last turn is not trainable,? skipping",
        "axolotl trains no token of the last message, which is not of a role in roles_to_train.",
        rendering.axolotl_turns,
    ),
    _message(
        "axolotl",
        r"could not find content (?:start|end) boundary for turn|content end boundary is (?:before|the same as) start",
        "axolotl renders a turn with other content to find it, and could not tell the two renders apart: the turn does "
        "not train.",
        rendering.axolotl_turns,
    ),
    _message(
        "verl",
        r"apply_chat_template to each turn separately|ignore_input_ids_mismatch|token mismatch detected!",
        "verl renders and tokenizes each message alone and joins the ids, and the whole conversation gives other ids.",
        rendering.verl_turns,
    ),
    _message(
        "verl",
        r"inconsistent training and inference tokenization detected",
        "verl's rollout has other ids than the conversation rendered as a whole: the model is trained on other ids "
        "than a chat has at inference.",
        rendering.verl_rollout,
    ),
)
"""The known messages, in the order in which they are answered."""
