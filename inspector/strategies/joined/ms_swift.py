"""ms-swift's templates: a context of texts, each with a weight; those next to each other of one weight are one text.

ms-swift 4.6. Its templates are not the tokenizer's. Written from docs/strategies.md (D24), which was checked against
its code; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from inspector.conversation import Message
from inspector.errors import StrategyRefusedError
from inspector.rendering.origins import Origin, OriginKind, OriginStr
from inspector.strategies.base import Example, Labelled, facts
from inspector.strategies.joined.row import Piece, check_images, labelled_row, piece
from inspector.strategies.joined.slots import content_of, owned, put, written

_QUERY, _SYSTEM = "{{QUERY}}", "{{SYSTEM}}"
_THINK, _END = "<think>", "</think>"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftTemplate:
    """One of ms-swift's templates. `adds_bos`: what the tokenizer puts before a text is put before the row.

    `thinks`: thoughts may be taken out of the history; `thinking`: what an answer to come begins with; `unthinking`:
    what is put before answers that do not begin with a thought.
    """

    prompt: str
    separator: str
    suffix: str
    system: str
    prefix: str = ""
    stops: tuple[str, ...] = ()
    adds_bos: bool = False
    thinks: bool = False
    thinking: str = ""
    unthinking: str = ""


_CHATML = SwiftTemplate(
    prompt="<|im_start|>user\n{{QUERY}}<|im_end|>\n<|im_start|>assistant\n",
    separator="<|im_end|>\n",
    suffix="<|im_end|>\n",
    system="<|im_start|>system\n{{SYSTEM}}<|im_end|>\n",
)
_QWEN = replace(_CHATML, stops=("<|endoftext|>",))
TEMPLATES: Mapping[str, SwiftTemplate] = {
    "qwen3": replace(_QWEN, thinks=True, unthinking="<think>\n\n</think>\n\n"),
    "qwen3_thinking": replace(_QWEN, thinks=True, thinking="<think>\n"),
    "qwen3_nothinking": _QWEN,
    "chatml": replace(_CHATML, adds_bos=True),
    "llama3": SwiftTemplate(
        prefix="<|begin_of_text|>",
        prompt=(
            "<|start_header_id|>user<|end_header_id|>\n\n{{QUERY}}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        separator="<|eot_id|>",
        suffix="<|eot_id|>",
        system="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{{SYSTEM}}<|eot_id|>",
    ),
    "gemma": SwiftTemplate(
        prefix="<bos>",
        prompt="<start_of_turn>user\n{{QUERY}}<end_of_turn>\n<start_of_turn>model\n",
        separator="<end_of_turn>\n",
        suffix="<end_of_turn>",
        system="<bos><start_of_turn>system\n{{SYSTEM}}<end_of_turn>\n",
    ),
}
"""The templates that are reproduced, by ms-swift's names, without their tools."""

LOSS_SCALES = ("default", "last_round", "all")


@facts("ms-swift", "swift sft", version="4.6")
def ms_swift(example: Example, *, template_type: str | None = None, loss_scale: str = "default") -> Labelled:
    """Train the answers, the suffix after the last, and of what stands after the others as much as is the suffix.

    `template_type`: ms-swift's name of a template; None: the first that writes the text that the model's own writes, up
    to white space at its end. `loss_scale`: "default"; "last_round": what follows the last question; "all": everything.
    A message's own `loss` goes before, and a `loss_scale` of zero takes an answer out.

    Raises StrategyRefusedError where ms-swift stops (roles that do not alternate, content that is not a text), for what
    is not reproduced (tools and their results, images), and where no template is named and none fits. ValueError for a
    template or a loss scale with another name. Source: ms-swift's `template/base.py` and `loss_scale/base.py`,
    docs/strategies.md D24.
    """
    check_images(example, "ms-swift")
    if loss_scale not in LOSS_SCALES:
        raise ValueError(f"loss_scale is {loss_scale!r}; those that are reproduced are: {', '.join(LOSS_SCALES)}.")
    if template_type is not None and template_type not in TEMPLATES:
        raise ValueError(f"template_type is {template_type!r}; those that are reproduced are: {', '.join(TEMPLATES)}.")
    names = list(TEMPLATES) if template_type is None else [template_type]
    for name in names:
        pieces = _pieces(example, TEMPLATES[name], loss_scale)
        if template_type is not None or _fits(example, pieces):
            return labelled_row(example, pieces, "ms-swift")
    raise StrategyRefusedError(
        "ms-swift renders with templates of its own, and none of those that are reproduced gives this model's row: "
        f"name one as template_type ({', '.join(TEMPLATES)})."
    )


def _fits(example: Example, pieces: Sequence[Piece]) -> bool:
    """Whether the pieces are the text shown, up to white space at its end."""
    return "".join(one.source().text for one in pieces).rstrip() == example.rendered.text.rstrip()


# --- the messages


@dataclass(slots=True)
class _Turn:
    """A message as ms-swift has it. `texts`: those of messages that follow each other, of which each has a flag.

    A question has one text. `texts` is None where there is no answer yet.
    """

    role: str
    texts: list[OriginStr] | None
    messages: list[int] = field(default_factory=list)
    losses: list[Any] = field(default_factory=list)
    scales: list[Any] = field(default_factory=list)


def _turns(messages: Sequence[tuple[int, Message]]) -> list[_Turn]:
    turns: list[_Turn] = []
    for index, message in messages:
        role = str(message["role"])
        if role not in ("user", "assistant"):
            what = "What ms-swift writes of tools is" if role == "tool" else f"Messages of the role {role} are"
            raise StrategyRefusedError(f"{what} not reproduced here: message {index}.")
        if message.get("tool_calls"):
            raise StrategyRefusedError(f"What ms-swift writes of calls is not reproduced here: message {index}.")
        is_open = message.get("content") is None and "content" in message and role == "assistant"
        is_open = is_open and index == messages[-1][0] and (not turns or turns[-1].role == "user")
        text = None if is_open else _content(index, message)
        last = turns[-1] if turns else None
        if last is None or last.role != role or text is None or last.texts is None:
            texts = None if text is None else [text]
            turns.append(_Turn(role, texts, [index], [message.get("loss")], [message.get("loss_scale")]))
        elif role == "user":
            last.texts = [last.texts[0] + text]
        else:
            last.texts.append(text)
            last.messages.append(index)
            last.losses.append(message.get("loss"))
            last.scales.append(message.get("loss_scale"))
    return turns


def _content(index: int, message: Message) -> OriginStr:
    """What a message says; of parts their texts, one after the other."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return content_of(index, message, "ms-swift")
    text = OriginStr()
    for place, part in enumerate(parts):
        said = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
        if not isinstance(said, str):
            raise StrategyRefusedError(
                f"What ms-swift makes of message {index} · content[{place}], which is not a text, is not reproduced."
            )
        origin = Origin(OriginKind.MESSAGE, index, f"content[{place}].text")
        text = text + OriginStr.of(said, origin, offset=0, turn=index)
    return text


def _paired(turns: list[_Turn]) -> list[_Turn]:
    """Questions and answers in turn: with an empty question before a first answer, and no answer after a last one."""
    first = [_Turn("user", [OriginStr()])] if turns and turns[0].role == "assistant" else []
    turns = [*first, *turns]
    return [*turns, _Turn("assistant", None)] if len(turns) % 2 else turns


def _last_question(turns: Sequence[_Turn]) -> int:
    return max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)


def _move_thoughts(turns: Sequence[_Turn], template: SwiftTemplate, last_round: bool) -> None:
    """Put empty thoughts before answers and take thoughts out of the history, as template and scale ask for."""
    last = _last_question(turns)
    for place, turn in enumerate(turns):
        if turn.role != "assistant" or not turn.texts:
            continue
        begins = turn.texts[0].startswith((_THINK, template.unthinking))
        if template.unthinking and not begins and (place >= last or not last_round):
            turn.texts[0] = owned(template.unthinking, turn.messages[0]) + turn.texts[0]
        if template.thinks and last_round and place < last:
            turn.texts[0] = OriginStr(turn.texts[0].split(_END)[-1].strip())


# --- the context


class _Context(NamedTuple):
    """A text of the row. `answer`: the message whose answer it is."""

    text: OriginStr
    trains: bool
    answer: int | None = None


def _pieces(example: Example, template: SwiftTemplate, loss_scale: str) -> list[Piece]:
    conversation = example.conversation
    if conversation.tools:
        raise StrategyRefusedError("What ms-swift writes of tools is not reproduced here.")
    messages = list(enumerate(conversation.messages))
    system = OriginStr()
    if messages[0][1]["role"] == "system":
        index, message = messages.pop(0)
        system = OriginStr() if message.get("content") is None else content_of(index, message, "ms-swift")
    turns = _turns(messages)
    _move_thoughts(turns, template, loss_scale == "last_round")
    turns = _paired(turns)
    if not turns:
        raise StrategyRefusedError("ms-swift stops at this row: it has no message but the system's.")
    begin, end = _around(example) if template.adds_bos else ([], [])
    contexts = list(_contexts(example, template, turns, system, loss_scale, bool(end)))
    everything = loss_scale == "all"
    pieces = [
        *_of_ids(example, begin, everything),
        *(_merged(example, group) for group in _grouped(contexts)),
        *_of_ids(example, end, True),
    ]
    return _with_stops(pieces, example.ids_of(template.suffix))


def _around(example: Example) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after a text."""
    whole, (letter, *more) = list(example.tokenizer("a")["input_ids"]), example.ids_of("a")
    if more:
        raise StrategyRefusedError("ms-swift stops: the letter a is more than one token to this tokenizer.")
    place = whole.index(letter)
    return whole[:place], whole[place + 1 :]


def _of_ids(example: Example, ids: Sequence[int], trains: bool) -> Iterator[Piece]:
    for id in ids:
        text = str(example.tokenizer.decode([id]))
        yield Piece(
            ids=(id,), spans=((0, len(text)),), trained=(trains,), start=0, end=len(text), source=written(owned(text))
        )


def _contexts(
    example: Example, template: SwiftTemplate, turns: Sequence[_Turn], system: OriginStr, scale: str, has_end: bool
) -> Iterator[_Context]:
    everything, last = scale == "all", _last_question(turns)
    if system:
        owner = next(run.turn for run in system._runs)
        yield _Context(put(template.system, _SYSTEM, system, owner), everything)
    else:
        yield _Context(owned(template.prefix), everything)
    stops = {*template.stops, template.suffix.strip(), str(example.tokenizer.eos_token)}
    for place in range(0, len(turns), 2):
        asked, answered = turns[place], turns[place + 1]
        if (asked.role, answered.role) != ("user", "assistant"):
            raise StrategyRefusedError("ms-swift stops at this row: questions and answers do not alternate in it.")
        owner = asked.messages[0] if asked.messages else None
        assert asked.texts is not None
        yield _Context(put(template.prompt, _QUERY, asked.texts[0], owner), everything)
        if answered.texts is None:
            yield _Context(owned(template.thinking or template.unthinking), everything)
            continue
        counts = everything or scale == "default" or place >= last
        for text, message, loss, weight in zip(
            answered.texts, answered.messages, answered.losses, answered.scales, strict=True
        ):
            trains = bool(loss) if loss is not None else counts
            yield _Context(text, trains and (weight is None or weight > 0), message)
        if place + 2 < len(turns):
            yield _Context(owned(template.separator, answered.messages[-1]), everything)
        elif not has_end and not any(answered.texts[-1].endswith(stop) for stop in stops):
            yield _Context(owned(template.suffix, answered.messages[-1]), True)


def _grouped(contexts: Sequence[_Context]) -> list[list[_Context]]:
    """Contexts that are one text: those next to each other of one weight."""
    groups: list[list[_Context]] = []
    for one in contexts:
        if not one.text:
            continue
        if groups and groups[-1][0].trains == one.trains:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _merged(example: Example, group: Sequence[_Context]) -> Piece:
    text, answers = OriginStr(), []
    for one in group:
        if one.answer is not None:
            answers.append((one.answer, len(text)))
        text = text + one.text
    return piece(example, str.__str__(text), written(text, answers), trained=group[0].trains)


def _with_stops(pieces: Sequence[Piece], suffix: Sequence[int]) -> list[Piece]:
    """The pieces with the suffix trained wherever it stands after what is trained."""
    ids = [id for one in pieces for id in one.ids]
    bits = [bit for one in pieces for bit in one.trained]
    labels, start = list(bits), 0
    for place in range(1, len(bits) + 1):
        if labels[place - 1] and place < len(bits) and not labels[place]:
            start = place
        elif start and not labels[place - 1] and (place == len(bits) or labels[place]):
            end = start + len(suffix)
            if end <= place and ids[start:end] == list(suffix):
                labels[start:end] = [True] * len(suffix)
    out, at = [], 0
    for one in pieces:
        out.append(replace(one, trained=tuple(labels[at : at + len(one.ids)])))
        at += len(one.ids)
    return out
