"""What can be shown, with a model, about a trainer's message: its cause in the model's own renders, and settings.

Each function takes a Case and returns what it has shown. Everything is tried on the log's examples that were read, and
on the built-in conversations: a cause is named where it occurs there, else it is said to be unknown. Settings are in
the trainer's own names, and are proposed with what they train.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError
from inspector.findings.places import short
from inspector.inspection import Inspection, inspect
from inspector.model.model import Model
from inspector.model.tokenizer import ids_alone, text_of
from inspector.strategies import Example, label
from inspector.strategies.boundaries import shared_length
from inspector.tagging.trl_status import TrlUse, trl_status
from inspector.tagging.write import write_training_template
from inspector.trainers.decode.reading import frames
from inspector.trainers.markers import Markers, shown_ids

OWN_ROWS = "Or train rows with exact labels: python -m inspector export MODEL DATA --rows rows.parquet"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A message in a log. `log`: without prefixes; `groups`: what the message's pattern caught.

    `logged`: inspections of the log's own examples, where the ids are exactly theirs; `samples`: of the built-in
    conversations. `markers`: proposed over both.
    """

    model: Model
    log: str
    groups: tuple[str | None, ...]
    logged: tuple[Inspection, ...]
    samples: tuple[Inspection, ...]
    markers: Markers

    def of(self, groups: tuple[str | None, ...]) -> Case:
        """The case of a message whose pattern caught these groups."""
        return replace(self, groups=groups)

    @cached_property
    def rows(self) -> tuple[Inspection, ...]:
        """All inspections that can be tried."""
        return (*self.logged, *self.samples)

    @property
    def tried(self) -> str:
        """What `rows` are, in words."""
        logged = f"{len(self.logged)} of the log's examples and " if self.logged else ""
        return f"{logged}{len(self.samples)} built-in conversations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What was shown about a message: sentences, and settings to paste ("" where there are none).

    `trainer`: whose the message is, where the log says more than the table does.
    """

    causes: tuple[str, ...] = ()
    settings: str = ""
    trainer: str = ""


def nothing(case: Case) -> Shown:
    """No cause that the model could show."""
    return Shown()


# --- TRL


def trl_prompt(case: Case) -> Shown:
    """Whether the prompt's ids begin the row's: where they part, why, and what mends it."""
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
    """Where the ids of the prompt alone and of the row part, in a sentence; None where the one begins the other."""
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
    """A template option that makes every prompt begin its row, tried on all rows; None where there is none."""
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
    """What assistant_only_loss does with the model's template, and a template that it can use."""
    status = trl_status(case.model)
    causes = [status.reason]
    if status.use is not TrlUse.REFUSED:
        marked = _count_trained(case, "trl_assistant_only", {})
        causes.append(
            f"It marks tokens in {marked} of {case.tried}."
            + (" A row without an assistant message is one in which it marks none." if marked else "")
        )
    return Shown(causes=tuple(causes), settings=trl_exact(case))


def trl_rows(case: Case) -> Shown:
    """The rows that assistant_only_loss takes."""
    return Shown(settings='{"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}')


def transformers_tags(case: Case) -> Shown:
    """Which rows get a mask from the template's own tags, and a template that has them."""
    marked = _count_trained(case, "generation_tags", {})
    causes = [f"This model's template marks tokens in {marked} of {case.tried}."]
    try:
        written = write_training_template(case.model)
    except InspectorError as error:
        return Shown(causes=(*causes, f"A template with generation tags cannot be written: {error}"))
    if not written.proven:
        return Shown(causes=(*causes, f"A template with generation tags cannot be written: {written.reason}"))
    return Shown(
        causes=tuple(causes),
        settings=f"# python -m inspector template {case.model.name} --out training_template.jinja\n"
        f"# {written.reason}\n"
        'tokenizer.chat_template = open("training_template.jinja", encoding="utf-8").read()',
    )


def trl_exact(case: Case) -> str:
    """SFTConfig's settings for messages, with a proven template where the model's own marks other tokens."""
    same = _count_same(case, "trl_assistant_only", {})
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
        f"# python -m inspector template {case.model.name} --out training_template.jinja\n"
        f"# {written.reason}\n"
        'SFTConfig(assistant_only_loss=True, chat_template_path="training_template.jinja")'
    )


def trl_collator(case: Case) -> Shown:
    """The ids of the logged key beside those that stand before the answers."""
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


# --- Unsloth

_PART = re.compile(r"\b(instruction_part|response_part)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')")


def unsloth_parts(case: Case) -> Shown:
    """What the parts in the log find in this model's renders, and parts that find the answers."""
    given = logged_parts(case.log)
    causes = []
    if given:
        said = ", ".join(f"{name}={text!r}" for name, text in given.items())
        found = _count_trained(case, "responses_only", given)
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
    """instruction_part and response_part, as the code in the log gives them."""
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
    """The two parts of the model's headers that train the answers of most rows, and of how many; {} for none."""
    headers, _ = frames(case.model)
    candidates = [
        {"instruction_part": case.markers.instruction_template, "response_part": case.markers.response_template}
    ]
    by_role = {role: header for header, role in reversed(list(headers.items()))}
    candidates.append({"instruction_part": by_role.get("user"), "response_part": by_role.get("assistant")})
    best: tuple[dict[str, str], int] = ({}, 0)
    for candidate in candidates:
        parts = {name: text for name, text in candidate.items() if text}
        if len(parts) == 2 and (same := _count_same(case, "responses_only", parts)) > best[1]:
            best = parts, same
    return best


# --- counting tokens of rounds: LLaVA, FastChat, InternVL


def llava_rounds(case: Case) -> Shown:
    """What the two numbers say, and what this tokenizer puts around a text, which the count goes by."""
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
"""A mark of the message -> whose it is, and where that trainer's conversation template is set."""


# --- axolotl


def axolotl_stop(case: Case) -> Shown:
    """The token that ends turns in this model's renders."""
    stops = stop_texts(case.rows)
    causes = [f"The template ends an answer in {' or '.join(map(repr, stops)) or 'no one token'}."]
    eos = case.model.tokenizer.eos_token
    causes.append(f"The tokenizer's eos_token is {eos!r}" + ("." if eos in stops else ", which is not it."))
    if not stops:
        return Shown(causes=tuple(causes))
    listed = ", ".join(f'"{stop}"' for stop in stops)
    return Shown(causes=tuple(causes), settings=f"eot_tokens: [{listed}]\ndatasets:\n  - train_on_eos: turn")


def axolotl_turns(case: Case) -> Shown:
    """Its settings for what trains; whose text is missed is in the rows."""
    return Shown(
        settings="datasets:\n  - type: chat_template\n    roles_to_train: [assistant]\n    train_on_eos: turn\n"
        "# roles and fields of other names: message_property_mappings, roles"
    )


def stop_texts(rows: Sequence[Inspection]) -> list[str]:
    """The texts of the tokens that end answers, in order of appearance."""
    found: dict[str, None] = {}
    for row in rows:
        for _, turn in row.example.answers():
            if turn.stop_token is not None:
                found[row.example.tokens.texts[turn.stop_token]] = None
    return list(found)


# --- verl


def verl_turns(case: Case) -> Shown:
    """Whether this template writes messages one at a time as it writes them together."""
    differs, first = 0, ""
    for row in case.rows:
        try:
            joined = _one_at_a_time(row.example)
        except InspectorError as error:
            joined, why = None, f"a message alone is refused: {short(str(error), 300)}"
        else:
            why = f"the messages one at a time give {short(repr(joined), 300)}"
        if joined != row.text:
            differs += 1
            first = first or f"The first: {why}; together {short(repr(row.text), 300)}."
    if not differs:
        return Shown(
            causes=(
                f"In {case.tried} this template writes messages one at a time as it writes them together: the cause is "
                "not shown here, and is in the rows.",
            )
        )
    return Shown(
        causes=(f"It happens with this model's template in {differs} of {case.tried}. {first}",),
        settings="data.ignore_input_ids_mismatch=True   # trains the ids of the messages one at a time\n"
        "# or a template that writes each message the same wherever it stands",
    )


def _one_at_a_time(example: Example) -> str:
    """The renders of each message alone, joined; what the template writes before any message is written once.

    Raises InspectorError where the template refuses one.
    """
    messages = example.conversation.messages
    blank = {"role": "user", "content": ""}
    parts = example.texts([example.with_messages([message]) for message in messages])
    try:
        one, two = example.texts([example.with_messages([blank]), example.with_messages([blank, blank])])
        before = one[: max(0, 2 * len(one) - len(two))]
    except InspectorError:
        before = example.tokenizer.bos_token or ""
    return parts[0] + "".join(part.removeprefix(before) for part in parts[1:])


def verl_rollout(case: Case) -> Shown:
    """Its check of a rollout's ids, which needs the rollout."""
    return Shown(
        causes=(*verl_turns(case).causes[:1],),
        settings="actor_rollout_ref.rollout.multi_turn.tokenization_sanity_check_mode=ignore_strippable",
    )


# --- home-llm


def home_llm(case: Case) -> Shown:
    """The ids that it takes on its command line."""
    prefix, suffix = map(shown_ids, (case.markers.prefix_ids, case.markers.suffix_ids))
    if case.markers.prefix_ids is None or case.markers.suffix_ids is None:
        return Shown(causes=(case.markers.advice,))
    return Shown(causes=(case.markers.advice,), settings=f"--prefix_ids {prefix} --suffix_ids {suffix}")


# --- counting


def _count_trained(case: Case, strategy: str, options: Mapping[str, Any]) -> int:
    return sum(bits is not None and any(bits) for bits in _bits(case, strategy, options))


def _count_same(case: Case, strategy: str, options: Mapping[str, Any]) -> int:
    answers = zip(_bits(case, strategy, options), case.rows, strict=True)
    return sum(bits == row.labelled.trained for bits, row in answers)


def _bits(case: Case, strategy: str, options: Mapping[str, Any]) -> Iterator[tuple[bool, ...] | None]:
    """What a strategy trains in each row; None where it refuses the row or renders it otherwise."""
    for row in case.rows:
        try:
            labelled = label(row.example, strategy, dict(options))
        except InspectorError:
            yield None
            continue
        same = labelled.example is None or labelled.example.tokens.ids == row.example.tokens.ids
        yield labelled.trained if same else None
