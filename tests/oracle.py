"""Traced renders against transformers' own, and traced turns against TRL's hand-patched twins.

`python -m tests.oracle` prints one line a template and exits with 1 when anything differs that is not explained here.
The templates are those inside trl, our built-in ones, tiny-chat's and those of the real tokenizers; the conversations
are tests/support/corpus.py. All are trusted, so they are rendered in this process.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from inspector.conversation import REASONING_FIELDS, Conversation, string_fields
from inspector.model.model import BUILT_IN_TEMPLATES, TEMPLATE_FOLDER
from inspector.rendering.origins import OriginKind
from inspector.rendering.plain_render import plain_messages
from inspector.rendering.render import render
from inspector.rendering.rendered import Rendered
from inspector.strategies import Example, label
from inspector.tokens import TokenTable, tokenize
from inspector.turns import find_turns
from tests.support.corpus import CORPUS
from tests.support.fetch import NotFetchedError, real_tokenizer

ROOT = Path(__file__).parent.parent
REAL_MODELS = ("gemma3", "llama3_1", "llama3_2", "qwen2_5", "qwen3", "smollm2")
"""Real tokenizers that bring a chat template."""

SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
"""What templates are given when no real tokenizer is at hand."""

UNTRACEABLE = frozenset({"3", "-1.5", "True", "False", "None", "true", "false", "null"})
"""Values of the corpus that carry no origin when a template writes them by themselves."""

_MARK = re.compile(r"<[|｜][^<>|｜\n]{1,40}[|｜]?>|<[a-z_]{1,24}\|>|</s>|<s>|<(?:start|end)_of_[a-z]+>|\[/?INST\]")
"""What looks like a special token in a template's source."""


# --- templates and tokenizers


@lru_cache(maxsize=1)
def trl_folder() -> Path:
    """The folder of chat templates inside the installed trl; nothing of trl is imported."""
    import importlib.util

    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "chat_templates"


@lru_cache(maxsize=1)
def stored_templates() -> dict[str, str]:
    """Name -> source of every template that is here without fetching anything."""
    found = {f"trl/{path.stem}": path.read_text(encoding="utf-8") for path in sorted(trl_folder().glob("*.jinja"))}
    for name in BUILT_IN_TEMPLATES:
        found[f"built in/{name}"] = (TEMPLATE_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    tiny = ROOT / "models" / "tiny-chat" / "chat_template.jinja"
    if tiny.is_file():
        found["tiny-chat"] = tiny.read_text(encoding="utf-8")
    return found


@lru_cache(maxsize=8)
def load_tokenizer(name: str) -> Any:
    """A real tokenizer; raises NotFetchedError where it cannot be had."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(real_tokenizer(name)))


def byte_tokenizer(special: list[str], **named: str) -> Any:
    """A fast tokenizer with one token per byte and these special tokens: every character boundary is a token's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(tokenizer_object=core, **named)


@lru_cache(maxsize=128)
def tokenizer_for_source(source: str) -> Any:
    """A byte tokenizer whose special tokens are those that the template writes."""
    return byte_tokenizer(sorted({*_MARK.findall(source), *SPECIAL_TOKENS.values()}), **SPECIAL_TOKENS)


# --- one conversation through one template


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One render by both sides. `rendered` is None where both refuse; `problems` says where they differ."""

    rendered: Rendered | None
    problems: tuple[str, ...] = ()
    characters: int = 0
    found: int = 0
    unknown: int = 0


def theirs(source: str, conversation: Conversation, special: Mapping[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """transformers' text and generation spans, through the function that apply_chat_template calls."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, spans = render_jinja_template(
        conversations=[plain_messages(conversation.messages)],
        tools=None if conversation.tools is None else list(conversation.tools),
        documents=None if conversation.documents is None else list(conversation.documents),
        chat_template=source,
        return_assistant_tokens_mask=True,
        **{**special, **conversation.keywords},
    )
    return texts[0], list(spans[0])


def compare(source: str, conversation: Conversation, special: Mapping[str, str]) -> Case:
    """Render by both sides and say everything that differs or cannot be accounted for."""
    try:
        expected, spans = theirs(source, conversation, special)
    except Exception as error:
        return _compare_refusal(source, conversation, special, error)
    try:
        rendered = render(source, conversation, special)
    except Exception as error:
        return Case(rendered=None, problems=(f"only we refuse: {type(error).__name__}: {error}",))
    problems = []
    if rendered.text != expected:
        problems.append(f"text differs: {rendered.text!r} instead of {expected!r}")
    if list(rendered.generation_spans) != spans:
        problems.append(f"generation spans differ: {rendered.generation_spans} instead of {spans}")
    problems += wrong_origins(source, conversation, rendered)
    characters, found, lost = _content(conversation, rendered)
    problems += lost
    unknown = sum(run.length for run in rendered.runs if run.origin.kind is OriginKind.UNKNOWN)
    return Case(
        rendered=rendered, problems=tuple(problems), characters=characters, found=found, unknown=unknown
    )  # fmt: skip


def _compare_refusal(source: str, conversation: Conversation, special: Mapping[str, str], error: Exception) -> Case:
    try:
        rendered = render(source, conversation, special)
    except Exception as ours:
        same = (type(ours), str(ours)) == (type(error), str(error))
        return Case(rendered=None, problems=() if same else (f"we raise {ours!r}, transformers {error!r}",))
    return Case(rendered=rendered, problems=(f"only transformers refuses: {error!r}",))


def wrong_origins(source: str, conversation: Conversation, rendered: Rendered) -> Iterator[str]:
    """Every run must cover the text in order, show what its origin says, and stand in a turn that exists."""
    if sum(run.length for run in rendered.runs) != len(rendered.text):
        yield "the runs do not cover the text"
    values = {(i, path): text for i, m in enumerate(conversation.messages) for path, text in string_fields(m)}
    last_line = source.count("\n") + 1
    for start, end, run in rendered.spans():
        text, origin = rendered.text[start:end], run.origin
        if run.turn is not None and not 0 <= run.turn < len(conversation.messages):
            yield f"{text!r} is in turn {run.turn}, which does not exist"
        if origin.kind is OriginKind.UNKNOWN and text not in UNTRACEABLE:
            yield f"{text!r} is of unknown origin"
        if origin.kind is not OriginKind.MESSAGE:
            if origin.line is None or not 1 <= origin.line <= last_line:
                yield f"{text!r} has no template line"
        elif origin.message_index is not None and run.offset is not None:
            value = _field(values, conversation, origin.message_index, origin.field or "")
            if value is not None and not _shows(value[run.offset :], text):
                yield f"{text!r} is said to be {origin.field}[{run.offset}:] of message {origin.message_index}"


def _field(values: Mapping[tuple[int, str], str], conversation: Conversation, index: int, path: str) -> str | None:
    if (index, path) in values:
        return values[index, path]
    aliases = [name for name in REASONING_FIELDS if conversation.messages[index].get(name)]
    return values.get((index, aliases[0])) if aliases else None


def _shows(value: str, text: str) -> bool:
    """Whether the start of `value` is `text`, perhaps escaped as JSON or with its letters' case changed."""
    if value.startswith(text):
        return True
    escaped = json.dumps(value, ensure_ascii=False)[1:-1]
    return escaped.startswith(text) or value.lower().startswith(text.lower()) or text in escaped


def _content(conversation: Conversation, rendered: Rendered) -> tuple[int, int, list[str]]:
    """Characters of the messages that stand in the text, how many of them are found by origin, and what is neither.

    A field stands in the text when the text holds all of it; one that could stand there by accident (a role, a letter)
    proves nothing, so only fields of 6 characters that no other field holds are looked for. Characters that are not
    found must be the template's own, written in the same turn (Qwen3 cuts think tags off and writes its own).
    """
    shown: dict[tuple[int, str], set[int]] = {}
    for run in rendered.runs:
        if run.origin.message_index is not None and run.offset is not None:
            place = (run.origin.message_index, run.origin.field or "")
            shown.setdefault(place, set()).update(range(run.offset, run.offset + run.length))
    at = [run for run in rendered.runs for _ in range(run.length)]
    fields = [(i, path, text) for i, m in enumerate(conversation.messages) for path, text in string_fields(m)]
    extra = json.dumps([conversation.tools, conversation.documents, dict(conversation.keywords)])
    characters = found = 0
    problems = []
    for index, path, text in fields:
        core = text.strip()
        others = [other for i, p, other in fields if (i, p) != (index, path)]
        in_text = path != "role" and len(core) >= 6 and core in rendered.text
        if not in_text or any(core in other for other in [*others, extra]):
            continue
        first, place = text.index(core), rendered.text.index(core)
        unfound = [step for step in range(len(core)) if first + step not in shown.get((index, path), set())]
        characters += len(core)
        found += len(core) - len(unfound)
        strays = [core[i] for i in unfound if at[place + i].origin.kind != "template" or at[place + i].turn != index]
        if strays:
            problems.append(f"message {index} · {path} is in the text, but {len(strays)} of its characters are unfound")
    return characters, found, problems


# --- turns


def example(source: str, conversation: Conversation, rendered: Rendered, tokenizer: Any | None = None) -> Example:
    """What a strategy decides over; by default with a byte tokenizer that knows the template's special tokens."""
    tokenizer = tokenizer or tokenizer_for_source(source)
    tokens = tokenize(tokenizer, rendered)
    return Example(
        conversation=conversation,
        rendered=rendered,
        tokens=tokens,
        turns=find_turns(conversation, rendered, tokens),
        tokenizer=tokenizer,
    )


def trained_chars(tokens: TokenTable, trained: tuple[bool, ...]) -> set[int]:
    """Positions of the characters under trained tokens."""
    spans = [span for span, bit in zip(tokens.char_spans, trained, strict=True) if bit]
    return {position for start, end in spans for position in range(start, end)}


def twin_names() -> list[str]:
    """Templates of trl that have a hand-patched training twin."""
    templates = stored_templates()
    return [name for name in templates if f"{name}_training" in templates]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Text that only one side trains. `ours`: whether it is we."""

    ours: bool
    text: str
    start: int
    kind: str


def twin_differences(name: str, conversation: Conversation) -> list[Difference] | None:
    """What we and the twin train differently; None where the twin does not keep the text, or refuses it."""
    templates = stored_templates()
    source, twin = templates[name], templates[f"{name}_training"]
    try:
        rendered = render(source, conversation, SPECIAL_TOKENS)
        text, spans = theirs(twin, conversation, SPECIAL_TOKENS)
    except Exception:
        return None
    if text != rendered.text:
        return None
    shown = example(source, conversation, rendered)
    labelled = label(shown, "traced", {"turns": "all"})
    ours = trained_chars(shown.tokens, labelled.trained)
    twins = {position for start, end in spans for position in range(start, end)}
    return list(_differences(shown, ours, twins))


def _differences(shown: Example, ours: set[int], twins: set[int]) -> Iterator[Difference]:
    for start, end in _ranges(sorted(ours ^ twins)):
        yield Difference(
            ours=start in ours, text=shown.rendered.text[start:end], start=start, kind=_kind(shown, start, end)
        )


def _kind(shown: Example, start: int, end: int) -> str:
    """Where in its turn the range lies, in words that the exceptions below are keyed by."""
    headers = [turn.header for turn in shown.turns.values() if turn.header]
    if any(header.start <= start and end <= header.end for header in headers):
        return "header"
    for turn in shown.turns.values():
        if turn.stop_token is not None and shown.tokens.char_spans[turn.stop_token][1] <= start and end <= turn.end:
            return "after the stop token"
        if turn.stop_token is not None and (start, end) == shown.tokens.char_spans[turn.stop_token]:
            return "stop token"
        if turn.closing_token is not None and (start, end) == shown.tokens.char_spans[turn.closing_token]:
            return "next header"
    inside = [turn for turn in shown.turns.values() if turn.start <= start and end <= turn.end]
    roles = {shown.conversation.role(turn.message_index) for turn in inside}
    return f"inside {'/'.join(sorted(roles)) or 'no'} turn"


def _ranges(positions: list[int]) -> Iterator[tuple[int, int]]:
    start = previous = None
    for position in positions:
        if previous is not None and position != previous + 1:
            yield start, previous + 1
            start = None
        start = position if start is None else start
        previous = position
    if previous is not None:
        yield start, previous + 1


def conversations() -> dict[str, Conversation]:
    """The corpus, parsed."""
    return {name: Conversation.parse(source) for name, source in CORPUS.items()}


PROMPT_TEXT = "the twin also trains text that the generation prompt supplies"
AFTER_STOP = "the twin also trains the whitespace behind the stop token"
NEXT_HEADER = "the next message's header closes the turn, and the twin trains its first token (our closing_header)"
BEHIND_ALL = "the twin also trains the end mark that the template writes once, behind the last turn"
CALL_STOP = "a call without its result ends in <|tool_response>, which stops the model; the twin leaves it out"

TWIN_KINDS: Mapping[str, tuple[bool, str]] = {
    PROMPT_TEXT: (False, "header"),
    AFTER_STOP: (False, "after the stop token"),
    NEXT_HEADER: (False, "next header"),
    BEHIND_ALL: (False, "inside no turn"),
    CALL_STOP: (True, "stop token"),
}
"""Reason -> (whether we train the text and the twin does not, where it stands)."""

TWIN_EXCEPTIONS: Mapping[str, tuple[str, ...]] = {
    "trl/deepseek_r1_distill": (PROMPT_TEXT,),
    "trl/deepseekv3": (PROMPT_TEXT,),
    "trl/diffusion_gemma": (AFTER_STOP, CALL_STOP),
    "trl/gemma": (AFTER_STOP,),
    "trl/gemma3": (AFTER_STOP,),
    "trl/glm4moe": (NEXT_HEADER,),
    "trl/gptoss": (PROMPT_TEXT,),
    "trl/idefics3": (AFTER_STOP,),
    "trl/lfm2": (AFTER_STOP,),
    "trl/lfm2_v2": (AFTER_STOP,),
    "trl/muse_glimmer": (PROMPT_TEXT,),
    "trl/nemotron_3_5_lightning": (PROMPT_TEXT, AFTER_STOP),
    "trl/nemotron_3_nano": (PROMPT_TEXT, AFTER_STOP),
    "trl/nemotron_3_super": (PROMPT_TEXT, AFTER_STOP),
    "trl/nemotron_3_ultra": (PROMPT_TEXT, AFTER_STOP),
    "trl/phi3": (BEHIND_ALL, AFTER_STOP),
    "trl/phi3_5": (BEHIND_ALL, AFTER_STOP),
    "trl/qwen2_5": (PROMPT_TEXT, AFTER_STOP),
    "trl/qwen2_5_vl": (AFTER_STOP,),
    "trl/qwen3": (AFTER_STOP,),
    "trl/qwen3_5_nothink": (PROMPT_TEXT, AFTER_STOP),
    "trl/qwen3_5_think": (PROMPT_TEXT, AFTER_STOP),
    "trl/qwen3_6": (PROMPT_TEXT, AFTER_STOP),
    "trl/qwen3_8": (PROMPT_TEXT, AFTER_STOP),
    "trl/qwen3_instruct_2507": (AFTER_STOP,),
    "trl/qwen3_vl": (AFTER_STOP,),
    "trl/smolvlm": (AFTER_STOP,),
}
"""Why a twin does not train what we train; a test fails when a reason is no longer needed."""

MOSTLY_REFUSES = {
    "trl/llava_next": "it takes list content only",
    "trl/llava_next_training": "it takes list content only",
    "trl/glm4moe": "its twin rewrites the tool list and the think tags",
}
"""Templates over which little of the corpus renders, or renders as the twin does, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinReport:
    """One template beside its twin. `kept`: conversations whose text the twin keeps; `turns`: assistant turns in them.

    `used`: the exceptions that explain a difference. `unexplained`: (conversation, difference) for all the others.
    """

    kept: int
    used: frozenset[str]
    unexplained: tuple[tuple[str, Difference], ...]


def compare_twin(name: str) -> TwinReport:
    """All conversations through a template and its twin."""
    allowed = {TWIN_KINDS[reason]: reason for reason in TWIN_EXCEPTIONS.get(name, ())}
    kept, used, unexplained = 0, set(), []
    for title, conversation in conversations().items():
        differences = twin_differences(name, conversation)
        kept += differences is not None
        for difference in differences or ():
            reason = allowed.get((difference.ours, difference.kind))
            if reason is None:
                unexplained.append((title, difference))
            else:
                used.add(reason)
    return TwinReport(kept=kept, used=frozenset(used), unexplained=tuple(unexplained))


# --- ids


FAMILIES: Mapping[str, str] = {
    "trl/qwen2": "qwen2_5", "trl/qwen3": "qwen3", "trl/llama3_2": "llama3_2", "trl/llama3": "llama3_1",
    "trl/gemma": "gemma3", "built in/chatml": "qwen2_5", "built in/zephyr": "qwen3", "built in/llama-2": "gemma3",
    "built in/alpaca": "llama3_1", "built in/human-assistant": "llama3_1", "tiny-chat": "qwen2_5",
    "trl/smolvlm": "smollm2", **{f"real/{name}": name for name in REAL_MODELS},
}  # fmt: skip
"""The start of a template's name -> the real tokenizer that it is tokenized with; the longest one counts."""


def tokenizer_name(template: str) -> str | None:
    """The real tokenizer for a template, or None."""
    starts = [start for start in FAMILIES if template.startswith(start)]
    return FAMILIES[max(starts, key=len)] if starts else None


def compare_ids(source: str, conversation: Conversation, tokenizer: Any) -> list[str]:
    """Our ids beside `apply_chat_template(tokenize=True)`, and what is wrong with the table of tokens."""
    try:
        expected = tokenizer.apply_chat_template(
            list(conversation.messages),
            chat_template=source,
            tools=None if conversation.tools is None else list(conversation.tools),
            documents=None if conversation.documents is None else list(conversation.documents),
            tokenize=True,
            return_dict=False,
            **conversation.keywords,
        )
    except Exception:  # refusals are compared with the texts
        return []
    rendered = render(source, conversation, tokenizer.special_tokens_map)
    tokens = tokenize(tokenizer, rendered)
    problems = [] if list(tokens.ids) == list(expected) else [f"ids {list(tokens.ids)} instead of {list(expected)}"]
    return problems + wrong_tokens(tokens, rendered.text)


def wrong_tokens(tokens: TokenTable, text: str) -> list[str]:
    """What contradicts the promises of TokenTable."""
    problems = []
    if list(tokens.char_spans) != sorted(tokens.char_spans) or any(a > b for a, b in tokens.char_spans):
        problems.append(f"spans are out of order: {tokens.char_spans}")
    if [text[a:b] for a, b in tokens.char_spans] != list(tokens.texts):
        problems.append("texts are not the text under the spans")
    if any(
        sum(run.length for run in runs) != b - a for (a, b), runs in zip(tokens.char_spans, tokens.runs, strict=True)
    ):
        problems.append("runs do not cover their token")
    places = [(span[0], piece) for span, piece in zip(tokens.char_spans, tokens.pieces(), strict=True) if piece]
    places += [(start, text[start:end]) for start, end in tokens.uncovered]
    if "".join(piece for _, piece in sorted(places, key=lambda place: place[0])) != text:
        problems.append("pieces and uncovered text do not rebuild the text")
    return problems


# --- the table


def real_templates() -> Iterator[tuple[str, str]]:
    """(name, source) of the real models' templates that can be had."""
    for name in REAL_MODELS:
        try:
            yield f"real/{name}", str(load_tokenizer(name).chat_template)
        except NotFetchedError as error:
            print(f"real/{name}: not compared: {error}", file=sys.stderr)


def main() -> int:
    """Print the table; 1 when anything differs without a reason."""
    failures: list[str] = []
    print(f"{'template':36} {'rendered':>8} {'refused':>7}  {'text':5} {'ids':13} {'found':>6} {'unknown':>7}  twin")
    for name, source in [*stored_templates().items(), *real_templates()]:
        print(_row(name, source, failures), flush=True)
    for failure in failures:
        print("UNEXPLAINED", failure)
    print(f"{len(failures)} unexplained differences")
    return 1 if failures else 0


def _row(name: str, source: str, failures: list[str]) -> str:
    family = tokenizer_name(name)
    tokenizer = _tokenizer_or_none(family)
    special = tokenizer.special_tokens_map if name.startswith("real/") and tokenizer else SPECIAL_TOKENS
    cases = {title: compare(source, conversation, special) for title, conversation in conversations().items()}
    problems = [f"{name} · {title}: {problem}" for title, case in cases.items() for problem in case.problems]
    ids = [] if tokenizer is None else [
        f"{name} · {title}: {problem}"
        for title, conversation in conversations().items()
        for problem in compare_ids(source, conversation, tokenizer)
    ]  # fmt: skip
    failures += problems + ids
    rendered = [case for case in cases.values() if case.rendered is not None]
    characters, found = sum(case.characters for case in cases.values()), sum(case.found for case in cases.values())
    return (
        f"{name:36} {len(rendered):8} {len(cases) - len(rendered):7}  {'NO' if problems else 'equal':5} "
        f"{'NO' if ids else '-' if tokenizer is None else family:13} "
        f"{found / characters if characters else 1:6.1%} {sum(case.unknown for case in rendered):7}  "
        f"{_twin_cell(name, failures)}"
    )


def _tokenizer_or_none(family: str | None) -> Any:
    try:
        return None if family is None else load_tokenizer(family)
    except NotFetchedError:
        return None


def _twin_cell(name: str, failures: list[str]) -> str:
    if name not in twin_names():
        return ""
    report = compare_twin(name)
    failures += [f"{name} · {title}: {difference}" for title, difference in report.unexplained]
    failures += [f"{name}: {reason}: no longer so" for reason in set(TWIN_EXCEPTIONS.get(name, ())) - report.used]
    said = "; ".join(sorted(report.used)) or "equal"
    return f"{report.kept} kept: {said}"


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)  # transformers says for each template without tags that it has none
    sys.exit(main())
