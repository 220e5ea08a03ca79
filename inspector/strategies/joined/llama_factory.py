"""LLaMA-Factory's supervised rows: slots of its own, filled with the messages, each slot tokenized alone.

LLaMA-Factory 0.9.5. Its templates are not the tokenizer's; without one it parses the slots out of the tokenizer's.
Written from docs/strategies.md (D23), which was checked against its code; nothing is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from inspector.conversation import Conversation, Message
from inspector.errors import StrategyRefusedError
from inspector.rendering.origins import OriginStr
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.joined.llama_factory_templates import BOS, CONTENT, EOS, TEMPLATES, Slots, SlotTemplate
from inspector.strategies.joined.row import Piece, added, check_images, labelled_row, piece
from inspector.strategies.joined.slots import content_of, owned, put, with_ends, written

_THINK, _THOUGHT = "<think>\n", "\n</think>\n\n"
_THOUGHTS = re.compile(f"{re.escape(_THINK)}(.*?){re.escape(_THOUGHT)}", re.DOTALL)

FORMATTINGS = ("sharegpt", "openai")
_SHORT_SYSTEM = "detailed thinking off"


@facts("LLaMA-Factory", "stage: sft", version="0.9.5")
def llama_factory(
    example: Example,
    *,
    template: str | None = None,
    formatting: str = "sharegpt",
    train_on_prompt: bool = False,
    mask_history: bool = False,
    enable_thinking: bool = True,
    preserve_thinking: bool = False,
    cutoff_len: int | None = None,
) -> Labelled:
    """Train the slot that each answer fills, from its first character to its end.

    `template`: LLaMA-Factory's name of it; None: parsed out of the tokenizer's. `formatting`: how its data set is
    declared; "openai" writes a system text of its own. `train_on_prompt`: everything trains. `mask_history`: the last
    answer alone. `enable_thinking`, `preserve_thinking`: what templates for reasoning do with thoughts. `cutoff_len`:
    each pair of a question and an answer is cut at its own ends; None: it is not.

    Raises StrategyRefusedError where LLaMA-Factory stops at a row or drops it (roles that do not alternate, a last
    message that is not an answer, content that is not text), and for what is not reproduced: tools, images, templates
    whose tokens it adds to the tokenizer. ValueError for a template or formatting with another name.
    Source: LLaMA-Factory's `template.py`, `converter.py` and `supervised.py`, docs/strategies.md D23.
    """
    check_images(example, "LLaMA-Factory")
    if formatting not in FORMATTINGS:
        raise ValueError(f"formatting is {formatting!r}, which is not one of: {', '.join(FORMATTINGS)}.")
    if template is not None and template not in TEMPLATES:
        raise ValueError(f"template is {template!r}; those that are reproduced are: {', '.join(TEMPLATES)}.")
    if cutoff_len is not None and (isinstance(cutoff_len, bool) or not isinstance(cutoff_len, int) or cutoff_len < 1):
        raise ValueError(f"cutoff_len is {cutoff_len!r}, and must be a number of tokens from 1 on, or null.")
    slots = _parsed(example) if template is None else TEMPLATES[template]
    writer = _Writer(example, slots, _eos(example, slots))
    row = _row(example.conversation, formatting)
    thoughts = _Thoughts(enable_thinking, discards=mask_history and not preserve_thinking)
    pairs = writer.pairs(row, thoughts if slots.reasons else None)
    pieces = _joined(pairs, train_on_prompt, mask_history, cutoff_len)
    return labelled_row(example, pieces, "LLaMA-Factory")


# --- the row


class _Turn(NamedTuple):
    """A message as LLaMA-Factory has it: its role, its text, and which message of the conversation it is."""

    role: str
    text: OriginStr
    message: int


class _Row(NamedTuple):
    """`system`: the system text; `has_tools`: an empty list of tools was given, which asks for a system slot, too."""

    turns: list[_Turn]
    system: OriginStr
    has_tools: bool


def _row(conversation: Conversation, formatting: str) -> _Row:
    if conversation.tools:
        raise StrategyRefusedError("What LLaMA-Factory writes of tools is not reproduced here.")
    messages = list(enumerate(conversation.messages))
    system = OriginStr()
    if messages[0][1]["role"] == "system":
        index, message = messages.pop(0)
        system = _text(index, message)
    has_tools = formatting == "openai" and conversation.tools is not None
    if formatting == "openai":
        system = _with_short_system(system, has_tools)
    turns = [_turn(index, message, formatting) for index, message in messages]
    turns = _merged_results(turns) if formatting == "openai" else turns
    for place, turn in enumerate(turns):
        if turn.role not in (("assistant",) if place % 2 else ("user", "tool")):
            raise _drops(f"message {turn.message} is of the role {turn.role}, and questions and answers must alternate")
    if len(turns) % 2 or not turns:
        raise _drops("it does not end in an answer")
    return _Row(turns, system, has_tools)


def _text(index: int, message: Message) -> OriginStr:
    return content_of(index, message, "LLaMA-Factory")


def _turn(index: int, message: Message, formatting: str) -> _Turn:
    role = str(message["role"])
    if formatting == "openai" and message.get("tool_calls") and role == "assistant":
        raise StrategyRefusedError("What LLaMA-Factory writes of calls is not reproduced here.")
    if role not in ("user", "assistant") and not (formatting == "openai" and role == "tool"):
        raise _drops(f"message {index} is of the role {role}, which it does not know")
    return _Turn(role, _text(index, message), index)


def _merged_results(turns: Sequence[_Turn]) -> list[_Turn]:
    """Results that follow each other as one; those that nothing follows are lost."""
    out: list[_Turn] = []
    results: list[_Turn] = []
    for turn in turns:
        if turn.role == "tool":
            results.append(turn)
            continue
        if results:
            between = owned("\n</tool_response>\n<tool_response>\n", results[0].message)
            out.append(results[0]._replace(text=with_ends(between, [one.text for one in results])))
            results = []
        out.append(turn)
    return out


def _with_short_system(system: OriginStr, has_tools: bool) -> OriginStr:
    if has_tools:
        return system + owned("\n") if system else system
    if any(f"detailed thinking {state}" in system for state in ("on", "off")):
        return system
    return system + owned(("\n" if system else "") + _SHORT_SYSTEM)


def _drops(why: str) -> StrategyRefusedError:
    return StrategyRefusedError(f"LLaMA-Factory drops this row: {why}.")


# --- the template


def _parsed(example: Example) -> SlotTemplate:
    """The slots that LLaMA-Factory parses out of the tokenizer's template."""
    tokenizer = example.tokenizer
    prefix = str(tokenizer.decode(tokenizer("")["input_ids"]))
    asked: Message = {"role": "user", "content": CONTENT}
    answered: Message = {"role": "assistant", "content": CONTENT}
    unset: Message = {"role": "system", "content": ""}
    said: Message = {"role": "system", "content": CONTENT}
    renders = [((said,), False), ((unset, asked), True), ((asked,), True), ((asked, answered), False)]
    texts = example.texts(
        [Conversation(messages=given, keywords={"add_generation_prompt": opens}) for given, opens in renders],
        about=lambda _: "LLaMA-Factory renders placeholders to parse the tokenizer's template",
    )
    system, bare, user, answer = (text[len(prefix) :] for text in texts)
    answer = answer[len(user) :]
    reasons = "<think>" in answer
    answer = answer.replace("<think>", "").replace("</think>", "").lstrip("\n")
    default = ""
    if len(user) > len(bare):
        default = _left_over(bare, user)
        user = user[len(system.replace(CONTENT, default, 1)) :]
    for name, slot in (("system", system), ("user", user), ("assistant", answer)):
        if not re.search(r"\{\{[a-zA-Z_][a-zA-Z0-9_]*\}\}", slot):
            raise StrategyRefusedError(
                f"LLaMA-Factory stops: it cannot parse the tokenizer's template, whose {name} slot it reads as "
                f"{slot!r}, without the content. Name one of its own templates."
            )
    return SlotTemplate(
        user=(user,), assistant=(answer,), system=(system,), observation=(user,),
        prefix=(prefix,) if prefix else (), default_system=default, reasons=reasons,
    )  # fmt: skip


def _left_over(short: str, long: str) -> str:
    """What of the longer text is left when the shorter one's characters are taken out of it in order."""
    at, left = 0, []
    for place, letter in enumerate(long):
        if at == len(short):
            break
        if short[at] == letter:
            at += 1
        else:
            left.append(long[place])
    return "".join(left)


def _eos(example: Example, slots: SlotTemplate) -> str:
    """The eos token after LLaMA-Factory has set it. Raises StrategyRefusedError where it adds tokens."""
    known = {token.content for token in example.tokenizer.added_tokens_decoder.values() if token.special}
    lacking = next((word for word in slots.stops if word not in known), None)
    if lacking is not None:
        raise StrategyRefusedError(
            f"LLaMA-Factory adds {lacking!r} to this tokenizer as a special token, which is not reproduced here."
        )
    eos = slots.stops[0] if slots.stops else example.tokenizer.eos_token
    if eos is None:
        raise StrategyRefusedError("LLaMA-Factory adds an eos token to this tokenizer, which is not reproduced here.")
    return str(eos)


# --- pieces


class _Thoughts(NamedTuple):
    """What a template for reasoning does. `discards`: thoughts before the last answer are taken out."""

    enabled: bool
    discards: bool


_Pieces: TypeAlias = list[Piece]


@dataclass(frozen=True, slots=True)
class _Writer:
    """Fills the slots of a template."""

    example: Example
    slots: SlotTemplate
    eos: str

    def pairs(self, row: _Row, thoughts: _Thoughts | None) -> list[tuple[_Pieces, _Pieces]]:
        """The pieces of each question and of its answer."""
        turns = row.turns if thoughts is None else _without_thoughts(row.turns, thoughts)
        rest = [list(self._of(turn, place)) for place, turn in enumerate(turns[1:], 1)]
        filled = [list(self._begun(row, turns[0])), *rest]
        if thoughts is not None:
            self._add_thoughts(turns, filled, thoughts)
        return list(zip(filled[::2], filled[1::2], strict=True))

    def _begun(self, row: _Row, first: _Turn) -> Iterator[Piece]:
        """What stands before the first message, and that message."""
        yield from self._filled(self.slots.prefix, OriginStr(), None)
        system = row.system or owned(self.slots.default_system)
        if system or row.has_tools:
            owner = next((run.turn for run in system._runs if run.turn is not None), None)
            if self.slots.fuses_system:
                first = first._replace(text=put(self.slots.system[0], CONTENT, system, owner) + first.text)
            else:
                yield from self._filled(self.slots.system, system, owner)
        yield from self._of(first, 0)

    def _of(self, turn: _Turn, place: int) -> Iterator[Piece]:
        slots = {"user": self.slots.user, "assistant": self.slots.assistant, "tool": self.slots.observation}[turn.role]
        number = str(place // 2) if turn.role == "user" and not self.slots.fuses_system else None
        return self._filled(slots or self.slots.user, turn.text, turn.message, turn.role == "assistant", number)

    def _filled(
        self, slots: Slots, text: OriginStr, owner: int | None, is_answer: bool = False, number: str | None = None
    ) -> Iterator[Piece]:
        for slot in slots:
            if slot in (BOS, EOS):
                yield from self._token(slot, owner)
                continue
            filled = put(slot, CONTENT, text, owner)
            if number is not None:
                filled = filled.replace("{{idx}}", number, 1)
            if filled:
                answers = [(owner, 0)] if is_answer and owner is not None else []
                yield piece(self.example, str.__str__(filled), written(filled, answers))
                is_answer = False

    def _token(self, slot: str, owner: int | None) -> Iterator[Piece]:
        tokenizer = self.example.tokenizer
        token = tokenizer.bos_token if slot == BOS else self.eos
        if token is not None:
            id = tokenizer.convert_tokens_to_ids(str(token))
            source = written(owned(str(token), owner))
            span = (0, len(str(token)))
            yield Piece(ids=(id,), spans=(span,), trained=(False,), start=0, end=span[1], source=source)

    def _add_thoughts(self, turns: Sequence[_Turn], filled: list[_Pieces], thoughts: _Thoughts) -> None:
        """Put an empty thought before answers without one: into the question's pieces unless thinking is enabled."""
        for place in [len(turns) - 2] if thoughts.discards else range(0, len(turns), 2):
            if any(word.strip() in turns[place + 1].text for word in (_THINK, _THOUGHT)):
                continue
            thought = added(self.example, _THINK + _THOUGHT)
            if thoughts.enabled:
                filled[place + 1].insert(0, thought)
            else:
                filled[place].append(thought)


def _without_thoughts(turns: Sequence[_Turn], thoughts: _Thoughts) -> list[_Turn]:
    removed = set(range(1, len(turns), 2)) if not thoughts.enabled else set()
    removed |= set(range(1, len(turns) - 2, 2)) if thoughts.discards else set()
    return [
        turn._replace(text=_without_thought(turn.text)) if place in removed else turn
        for place, turn in enumerate(turns)
    ]


def _without_thought(text: OriginStr) -> OriginStr:
    kept, at = OriginStr(), 0
    for found in _THOUGHTS.finditer(text):
        kept, at = kept + text[at : found.start()], found.end()
    return OriginStr((kept + text[at:]).lstrip("\n"))


# --- labels


def _joined(
    pairs: Sequence[tuple[_Pieces, _Pieces]], train_on_prompt: bool, mask_history: bool, cutoff_len: int | None
) -> _Pieces:
    """The pieces of the row with their bits; with `mask_history` the last pair is looked at first."""
    out: _Pieces = []
    total = 0
    for number, (source, target) in enumerate(reversed(pairs) if mask_history else pairs):
        if cutoff_len is not None:
            if total >= cutoff_len:
                break
            source, target = _cut_pair(source, target, cutoff_len - total)
        trains = not (mask_history and number)
        made = [*_with_bits(source, train_on_prompt), *_with_bits(target, trains)]
        total += sum(len(one.ids) for one in made)
        out = [*made, *out] if mask_history else [*out, *made]
    return out


def _with_bits(pieces: _Pieces, trains: bool) -> _Pieces:
    return [replace(one, trained=(trains,) * len(one.ids)) for one in pieces]


def _cut_pair(source: _Pieces, target: _Pieces, left: int) -> tuple[_Pieces, _Pieces]:
    """Both cut at their ends, so that they are `left` tokens at most."""
    sources, targets = (sum(len(one.ids) for one in pieces) for pieces in (source, target))
    if targets * 2 < left:
        most = left
    elif sources * 2 < left:
        most = left - sources
    else:
        most = int(left * (targets / (sources + targets)))
    targets = min(most, targets)
    return _first(source, min(max(left - targets, 0), sources)), _first(target, targets)


def _first(pieces: _Pieces, count: int) -> _Pieces:
    out: _Pieces = []
    for one in pieces:
        if count >= len(one.ids):
            out.append(one)
        elif count > 0:
            out.append(
                replace(
                    one,
                    ids=one.ids[:count],
                    spans=one.spans[:count],
                    trained=one.trained[:count],
                    end=one.spans[count - 1][1],
                )
            )
        count -= len(one.ids)
    return out
