"""Messages of trainers that search for headers or count rounds: Unsloth, LLaVA and its relatives, home-llm.

As in `trl`, a named cause was shown, and settings have the trainer's own names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from inspector.model.tokenizer import ids_alone
from inspector.read_back import frames
from inspector.trainers.decode.case import OWN_ROWS, Case, Shown, count_same, count_trained
from inspector.trainers.markers import shown_ids

_PART = re.compile(r"\b(instruction_part|response_part)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')")


def unsloth_parts(case: Case) -> Shown:
    """The matches of the log's parts in this model's renders, and parts that find the answers."""
    given = logged_parts(case.log)
    causes = []
    if given:
        said = ", ".join(f"{name}={text!r}" for name, text in given.items())
        found = count_trained(case, "responses_only", given)
        causes.append(f"With {said} something trains in {found} of {case.tried}.")
        for name, text in given.items():
            holding = sum(text in row.text for row in case.rows)
            if not holding:
                causes.append(f"{name} stands in none of them: this model's template does not write that text.")
        if found:
            causes.append(
                "So the parts fit this model's template there. If nothing at all trains in your rows, they are not "
                "rendered with it, or truncation (max_seq_length) cuts the answers off: which of the two is unknown."
            )
    return Shown(causes=tuple(causes), settings=unsloth_settings(case))


def unsloth_settings(case: Case) -> str:
    """The call with the parts that train the answers of most rows."""
    parts, same = best_parts(case)
    if not parts:
        return f"# no texts of headers are found in this model's renders\n# {OWN_ROWS}"
    lines = "".join(f"    {name}={text!r},\n" for name, text in parts.items())
    return (
        f"# trains exactly the answers in {same} of {case.tried}\n"
        f"trainer = train_on_responses_only(\n    trainer,\n{lines})"
    )


def logged_parts(log: str) -> dict[str, str]:
    """instruction_part and response_part from the code in the log."""
    parts = {}
    for name, literal in _PART.findall(log):
        try:
            value = ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            continue
        if value:
            parts[name] = str(value)
    return parts


def best_parts(case: Case) -> tuple[dict[str, str], int]:
    """The two parts of the model's headers that train the answers of most rows, and the number of rows.

    {} if none do.
    """
    headers, _ = frames(case.model)
    candidates = [
        {"instruction_part": case.markers.instruction_template, "response_part": case.markers.response_template}
    ]
    by_role = {role: header for header, role in reversed(list(headers.items()))}
    candidates.append({"instruction_part": by_role.get("user"), "response_part": by_role.get("assistant")})
    best: tuple[dict[str, str], int] = ({}, 0)
    for candidate in candidates:
        parts = {name: text for name, text in candidate.items() if text}
        if len(parts) == 2 and (same := count_same(case, "responses_only", parts)) > best[1]:
            best = parts, same
    return best


def llava_rounds(case: Case) -> Shown:
    """Explains the two numbers by the tokens that this tokenizer puts around a text, on which the count depends."""
    counts = re.findall(r"tokenization\s+mismatch:\s*(\d+)\s*vs\.?\s*(\d+)", case.log, re.IGNORECASE)
    pairs = [(int(one), int(other)) for one, other in counts] or [
        (int(case.groups[0] or 0), int(case.groups[1] or 0)),
    ]
    counted, there = pairs[0]
    causes = [f"It counts {counted} tokens where the row has {there}: all its labels become -100."]
    if len(pairs) > 1:
        causes[0] += f" The log says so of {len(pairs)} rows."
    blank = sum(one <= 2 for one, _ in pairs)
    if blank:
        causes.append(
            f"In {blank} of {len(pairs)} not one round is counted: the separator that it splits at is not in the text, "
            "so the conversation template is not the one that the rows are rendered with."
        )
    tokenizer = case.model.tokenizer
    alone, whole = ids_alone(tokenizer, "a"), list(tokenizer("a", verbose=False)["input_ids"])
    at = next((i for i in range(len(whole) - len(alone) + 1) if whole[i : i + len(alone)] == alone), 0)
    before, after = at, len(whole) - at - len(alone)
    off = before + after - 1
    causes.append(
        "Every round is tokenized alone, and the count of --version v1 expects one token (bos) before each and none "
        f"after it. This tokenizer puts {before} before a text and {after} after it"
        + (f", so each round's count is off by {abs(off)}." if off or after else ", as expected.")
    )
    legacy = tokenizer.init_kwargs.get("legacy")
    if legacy is not None:
        causes.append(
            f"Its setting legacy is {legacy}: later versions of the count subtract a token where it is False."
        )
    name = next((name for mark, (name, _) in _COUNTING.items() if mark in case.log), "LLaVA")
    settings = dict(_COUNTING.values())[name]
    return Shown(
        trainer=name,
        causes=tuple(causes),
        settings=f"{settings}\n# no answer may be empty or hold the separator",
    )


_COUNTING: Mapping[str, tuple[str, str]] = {
    "This dataset is": (
        "InternVL",
        '--conv_style "internvl2_5"   # the conversation template that the model is made for',
    ),
    "#turn": (
        "FastChat",
        'conv = get_conversation_template("vicuna")   # in fastchat/train/train.py: the one the model is made for',
    ),
    "": ("LLaVA", "--version v1   # the conversation template that the model is made for"),
}
"""A mark of the message -> its trainer, and the setting of that trainer's conversation template."""


def home_llm(case: Case) -> Shown:
    """The ids for home-llm's command line."""
    prefix, suffix = map(shown_ids, (case.markers.prefix_ids, case.markers.suffix_ids))
    if case.markers.prefix_ids is None or case.markers.suffix_ids is None:
        return Shown(causes=(case.markers.advice,))
    return Shown(causes=(case.markers.advice,), settings=f"--prefix_ids {prefix} --suffix_ids {suffix}")
