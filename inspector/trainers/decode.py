"""A pasted trainer warning -> the examples in it, what went wrong with them, and what to set instead.

Reads the id lists that home-llm's train.py prints before "example had no assistant response in it!", the text after
TRL's "Could not find response key", and knows the warnings that carry no example. Ids are decoded with the model's
tokenizer and read back into a conversation by the template's own headers; the conversation is inspected, and said to be
the logged example only when its ids are the logged ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.errors import InspectorError, LogError
from inspector.findings.codes import Finding
from inspector.findings.example import find_all
from inspector.inspection import Inspection, inspect, inspect_rendered
from inspector.model.model import Model
from inspector.model.tokenizer import ids_alone, text_of
from inspector.read_back import read_conversation
from inspector.samples import sample_conversations
from inspector.strategies import label
from inspector.tokens import named_panics
from inspector.trainers.markers import Markers, propose_markers

MAX_LOG_CHARS = 2_000_000
MAX_EXAMPLES = 20
_ID_LIST = re.compile(r"\[\s*[0-9]{1,12}(?:\s*,\s*[0-9]{1,12}){3,}\s*\]")
_SUFFIX = re.compile(r"--suffix_ids[ =]+([0-9]{1,12}(?:,[0-9]{1,12})*)")
_PREFIX = re.compile(r"--prefix_ids[ =]+([0-9]{1,12}(?:,[0-9]{1,12})*)")
_TRL_INSTANCE = re.compile(
    r"Could not find (?:response|instruction) key .*? in the following instance:\s*(.*?)\s*"
    r"(?:This instance will be ignored|\Z)",
    re.DOTALL,
)
_KNOWN: tuple[tuple[str, str], ...] = (
    (
        "example had no assistant response in it",
        "home-llm's train.py masked the whole example: its prefix or suffix ids do not occur in it.",
    ),
    (
        "Could not find response key",
        "TRL's completion collator did not find the response template's ids in the row and trains nothing of it.",
    ),
    (
        "Could not find instruction key",
        "TRL's completion collator did not find the instruction template's ids in the row and trains nothing of it.",
    ),
    (
        "All labels in your dataset are -100",
        "Unsloth's train_on_responses_only found no response header in any row.",
    ),
    (
        "no assistant tokens",
        "TRL's assistant_only_loss found a row in which the template's generation tags mark nothing.",
    ),
    (
        "not training-compatible",
        "TRL's assistant_only_loss needs {% generation %} tags in the template, and has no patched twin of this one.",
    ),
)
"""A phrase of a trainer's warning, and what it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedExample:
    """One example of the log.

    `text`: its ids decoded. `inspection`: the conversation read from it, inspected; None where it could not be read.
    `is_exact`: whether the inspection's ids are the logged ids, all of them.
    """

    ids: tuple[int, ...]
    text: str
    inspection: Inspection | None
    is_exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a log says. `meanings`: its known warnings in other words. `markers`: ids to use instead, verified."""

    meanings: tuple[str, ...]
    examples: tuple[LoggedExample, ...]
    findings: tuple[Finding, ...]
    markers: Markers

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "meanings": list(self.meanings),
            "examples": [
                {
                    "ids": list(example.ids),
                    "text": example.text,
                    "exact": example.is_exact,
                    "conversation": None
                    if example.inspection is None
                    else example.inspection.example.conversation.to_json(),
                    "findings": [f.to_dict() for f in example.inspection.findings] if example.inspection else [],
                }
                for example in self.examples
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "markers": self.markers.to_dict(),
        }


def decode_log(model: Model, log: str) -> Decoded:
    """Read a trainer's log. Raises LogError when there is neither an example nor a known warning in it."""
    if len(log) > MAX_LOG_CHARS:
        raise LogError(
            f"The log is {len(log):,} characters long; the limit is {MAX_LOG_CHARS:,}. Paste the warning only."
        )
    meanings = tuple(meaning for phrase, meaning in _KNOWN if phrase.lower() in log.lower())
    rows = list(_rows(model, log))[:MAX_EXAMPLES]
    if not meanings and not rows:
        raise LogError(
            "There is no list of token ids in the log, and no warning this program knows: paste the lines that the "
            "trainer printed, with the ids before them."
        )
    examples = tuple(_example(model, ids) for ids in rows)
    inspected = [example.inspection for example in examples if example.inspection is not None]
    markers = propose_markers([*inspected, *inspect_rendered(model, sample_conversations())])
    return Decoded(
        meanings=meanings,
        examples=examples,
        findings=tuple(_findings(model, log, examples, markers)),
        markers=markers,
    )


def _rows(model: Model, log: str) -> Iterator[tuple[int, ...]]:
    for match in _ID_LIST.finditer(log):
        ids = tuple(int(id) for id in match.group().strip("[]").split(","))
        beyond = [id for id in ids if id >= len(model.tokenizer)]
        if beyond:
            raise LogError(
                f"The log holds the id {beyond[0]}, and {model.name} has ids up to {len(model.tokenizer) - 1}: the log "
                "is of another model."
            )
        yield ids
    for match in _TRL_INSTANCE.finditer(log):
        if match.group(1).strip():
            with named_panics(model.tokenizer):
                ids = tuple(ids_alone(model.tokenizer, match.group(1)))
            yield ids


def _example(model: Model, ids: tuple[int, ...]) -> LoggedExample:
    text = text_of(model.tokenizer, ids)
    best: Inspection | None = None
    for inspection in _readings(model, text):
        best = best or inspection
        if tuple(inspection.ids) == ids:
            return LoggedExample(ids=ids, text=text, inspection=inspection, is_exact=True)
    return LoggedExample(ids=ids, text=text, inspection=best, is_exact=False)


def _readings(model: Model, text: str) -> Iterator[Inspection]:
    """Inspections of the conversation that the text reads as, as it is and with a generation prompt after it."""
    messages = read_conversation(model, text)
    if not messages:
        return
    for prompt in (False, True):
        keywords = {"add_generation_prompt": True} if prompt else {}
        try:
            yield inspect(model, {"messages": messages, **keywords})
        except InspectorError:
            continue


def _findings(model: Model, log: str, examples: Sequence[LoggedExample], markers: Markers) -> Iterator[Finding]:
    """The findings of the examples, each code once, and what home-llm's own ids would have done with them."""
    seen = set()
    for inspection in filter(None, (example.inspection for example in examples)):
        for finding in (*_as_home_llm(log, inspection, markers), *inspection.findings):
            if finding.code not in seen:
                seen.add(finding.code)
                yield finding


def _as_home_llm(log: str, inspection: Inspection, markers: Markers) -> Sequence[Finding]:
    """What home-llm's masking finds with the ids in the log, or with those that its detection makes of the template."""
    if "example had no assistant response" not in log:
        return ()
    prefix = _logged(_PREFIX, log) or list(markers.prefix_ids or ())
    suffix = _logged(_SUFFIX, log) or _detected_suffix(inspection, prefix)
    if not prefix or not suffix:
        return ()
    example = inspection.example
    try:
        masked = label(example, "home_llm", {"prefix_ids": prefix, "suffix_ids": suffix})
    except InspectorError:
        return ()
    codes = {"suffix_includes_next_header", "marker_not_found"}
    return [finding for finding in find_all(example, masked) if finding.code.value in codes]


def _logged(pattern: re.Pattern[str], log: str) -> list[int]:
    match = pattern.search(log)
    return [int(id) for id in match.group(1).split(",")] if match else []


def _detected_suffix(inspection: Inspection, prefix: list[int]) -> list[int]:
    """What home-llm detects: everything after a lone answer, which is the stop token and any header that follows."""
    last = next((t for t in reversed(list(inspection.example.turns.values())) if t.header is not None), None)
    if last is None or last.stop_token is None:
        return []
    after = inspection.ids[last.stop_token :]
    return after if len(after) <= len(prefix) + 4 else after[:1]
