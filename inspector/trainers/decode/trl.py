"""Messages of TRL and transformers: their causes as far as the model shows them, and settings of SFTConfig.

Each function takes a Case and returns the facts that it showed. A cause is named if it occurs in the case's rows, and
otherwise called unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError, short
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.model.tokenizer import ids_alone, text_of
from inspector.paths import shell_command
from inspector.strategies import Example
from inspector.strategies.boundaries import shared_length
from inspector.tagging.trl_status import TrlUse, trl_status
from inspector.tagging.write import write_training_template
from inspector.trainers.decode.case import OWN_ROWS, Case, Shown, count_same, count_trained
from inspector.trainers.markers import shown_ids


def trl_prompt(case: Case) -> Shown:
    """Tests whether the prompt's ids begin the row's ids: where they differ, why, and how to fix it."""
    parted = [found for row in case.rows if (found := parting(row.example)) is not None]
    if not parted:
        return Shown(
            causes=(
                f"With this model's template and tokenizer the prompt's ids begin the row's in {case.tried}, so the "
                "cause is not shown here: it is in the rows themselves, in another template, or in the versions. TRL "
                "0.24 with transformers 5 prints this for every row, since the prompt's ids come as a dict there.",
            )
        )
    first = parted[0]
    causes = [f"It happens with this model in {len(parted)} of {case.tried}. {first}"]
    fix = _prompt_keywords(case)
    if fix is None and case.groups and case.groups[0] in ("chosen", "rejected", "reference"):
        causes.append(
            "A preference trainer has no other mask: it needs a template that writes the prompt alone so too."
        )
        return Shown(causes=tuple(causes))
    if fix is None:
        return Shown(causes=tuple(causes), settings=trl_exact(case))
    name, value = fix
    causes.append(f"With {name}={value} the prompt's ids begin the row's in all of them.")
    return Shown(causes=tuple(causes), settings=f'row["chat_template_kwargs"] = {{"{name}": {value}}}')


def parting(example: Example) -> str | None:
    """A sentence on the first difference between the prompt's ids and the row's; None if the prompt begins the row."""
    answers = [index for index in example.conversation.assistant_indices() if index]
    if not answers:
        return None
    prompt = example.with_messages(example.conversation.messages[: answers[-1]], add_generation_prompt=True)
    try:
        (text,) = example.texts([prompt])
    except InspectorError:
        return None
    ids, row = example.ids_of(text), example.tokens.ids
    at = shared_length(ids, row)
    if at == len(ids):
        return None
    alone, whole = (short(repr(text_of(example.tokenizer, part[at : at + 8]))) for part in (ids, row))
    why = (
        f"the tokens merge at the end of the prompt: alone it goes on with {alone}, in the row with {whole}"
        if example.rendered.text.startswith(text)
        else f"the template ends the prompt in {alone}, and writes {whole} there once the answer follows"
    )
    return f"They part at token {at} of {len(ids)}: {why}."


def _prompt_keywords(case: Case) -> tuple[str, bool] | None:
    """A template option with which every prompt begins its row, tried on all rows; None if there is none."""
    if "enable_thinking" not in case.model.template:
        return None
    for value in (False, True):
        changed = [_with_keyword(case.model, row.example.conversation, enable_thinking=value) for row in case.rows]
        if all(row is not None and parting(row.example) is None for row in changed):
            return "enable_thinking", value
    return None


def _with_keyword(model: Model, conversation: Conversation, **keywords: Any) -> Inspection | None:
    try:
        return inspect(model, replace(conversation, keywords={**conversation.keywords, **keywords}))
    except InspectorError:
        return None


def trl_tags(case: Case) -> Shown:
    """The effect of assistant_only_loss on the model's template, and a template that it can use."""
    status = trl_status(case.model)
    causes = [status.reason]
    if status.use is not TrlUse.REFUSED:
        marked = count_trained(case, "trl_assistant_only", {})
        causes.append(
            f"It marks tokens in {marked} of {case.tried}."
            + (" A row without an assistant message is one in which it marks none." if marked else "")
        )
    return Shown(causes=tuple(causes), settings=trl_exact(case))


def trl_rows(case: Case) -> Shown:
    """The rows that assistant_only_loss takes."""
    return Shown(settings='{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}')


def transformers_tags(case: Case) -> Shown:
    """The rows that get a mask from the template's tags, and a template with tags."""
    marked = count_trained(case, "generation_tags", {})
    causes = [f"This model's template marks tokens in {marked} of {case.tried}."]
    try:
        written = write_training_template(case.model)
    except InspectorError as error:
        return Shown(causes=(*causes, f"A template with generation tags cannot be written: {error}"))
    if not written.proven:
        return Shown(causes=(*causes, f"A template with generation tags cannot be written: {written.reason}"))
    return Shown(
        causes=tuple(causes),
        settings=f"# {shell_command('inspector')} template {case.model.name} --out training_template.jinja\n"
        f"# {written.reason}\n"
        'tokenizer.chat_template = open("training_template.jinja", encoding="utf-8").read()',
    )


def trl_exact(case: Case) -> str:
    """SFTConfig's settings for messages, with a proven template if the model's own template marks other tokens."""
    same = count_same(case, "trl_assistant_only", {})
    if same == len(case.rows):
        return (
            f"# rows with a messages column; {same} of {same} conversations train exactly the answers\n"
            "SFTConfig(assistant_only_loss=True)"
        )
    try:
        written = write_training_template(case.model)
    except InspectorError as error:
        return f"# no template with generation tags: {error}\n# {OWN_ROWS}"
    if not written.proven:
        return f"# no template with generation tags: {written.reason}\n# {OWN_ROWS}"
    return (
        f"# {shell_command('inspector')} template {case.model.name} --out training_template.jinja\n"
        f"# {written.reason}\n"
        'SFTConfig(assistant_only_loss=True, chat_template_path="training_template.jinja")'
    )


def trl_collator(case: Case) -> Shown:
    """The ids of the logged key compared with those before the answers."""
    causes = []
    wanted = case.markers.prefix_ids
    for key in list(dict.fromkeys(_logged_keys(case)))[:3]:
        ids = list(key) if isinstance(key, tuple) else ids_alone(case.model.tokenizer, key)
        text = text_of(case.model.tokenizer, ids) if isinstance(key, tuple) else key
        found = sum(_holds(row.ids, ids) for row in case.rows)
        causes.append(f"The key {short(repr(text))} has the ids {ids}: they occur in {found} of {case.tried}.")
    if wanted is not None:
        causes.append(f"Before the answers stand the ids {shown_ids(wanted)}. {case.markers.advice}")
    if wanted is None:
        return Shown(causes=(*causes, case.markers.advice), settings=f"# {OWN_ROWS}")
    instruction = case.markers.instruction_template
    more = "" if instruction is None else f", instruction_template={ids_alone(case.model.tokenizer, instruction)}"
    return Shown(
        causes=tuple(causes),
        settings=f"DataCollatorForCompletionOnlyLM(response_template={list(wanted)}{more}, tokenizer=tokenizer)",
    )


_KEY = re.compile(
    r"Could not find (?:response|instruction) key\s*[`'\"]?(.{0,2000}?)[`'\"]?\s+in\s+(?:the|token)", re.DOTALL
)


def _logged_keys(case: Case) -> Iterator[str | tuple[int, ...]]:
    for match in _KEY.finditer(case.log):
        text = match.group(1)
        ids = re.fullmatch(r"\[[\d,\s]+\]", text)
        numbers = tuple(map(int, re.findall(r"\d+", text))) if ids else ()
        if numbers and max(numbers) < len(case.model.tokenizer):
            yield numbers
        elif text and not ids:
            yield text


def _holds(ids: Sequence[int], wanted: Sequence[int]) -> bool:
    size = len(wanted)
    return any(list(ids[i : i + size]) == list(wanted) for i in range(len(ids) - size + 1))
