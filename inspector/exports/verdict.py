"""Sentences that say what exported settings train. They are computed, never written by hand.

A trainer's own rule labels the shown conversation with exactly the exported options, and the result is compared with
the shown labels, token by token. Behaviour that is not reproduced is called unknown.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError
from inspector.exports.shown import trainers_example
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.strategies import Example, Labelled, label
from inspector.strategies.base import ranges_of
from inspector.strategies.modifiers import kept_range, truncated
from inspector.trainers.stops import text_stops
from inspector.trainers.verdict import trainer_of, verdict_of

_PLACES = 3
"""Maximum number of differences between two trainers that are spelled out."""
_QUOTED = 40
"""Maximum characters quoted from one place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Settings for one trainer, ready to paste.

    `target`: its name in the registry; `title`: for people. `text`: the whole snippet, its comment included, for a file
    named `filename`, in `language` (python, yaml or shell). `verdict`: the sentences of the comment that say what it
    trains and where that differs from what is shown. `same`: whether it trains exactly the shown tokens; None when that
    is unknown. `files`: further files that the snippet needs, by name.
    """

    target: str
    title: str
    filename: str
    language: str
    text: str
    verdict: str
    same: bool | None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_files(self) -> dict[str, str]:
        """The snippet and the files it needs, by name."""
        return {self.filename: self.text, **self.files}

    def to_dict(self) -> dict[str, Any]:
        """The public, JSON-ready form; its keys are stable."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The effect of a trainer on the shown conversation. `same`: see Export; `refused`: whether it rejects it."""

    verdict: str
    same: bool | None
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A trainer that settings are exported for. Fields as in Export; `version`: whose behaviour is reproduced."""

    target: str
    title: str
    filename: str
    language: str
    version: str = ""

    def export(
        self,
        inspection: Inspection,
        outcome: Outcome,
        body: str,
        *,
        notes: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> Export:
        """The settings in `body` under a comment: the title, what they train, and `notes` on what to do."""
        about = (*_changed_tokens(inspection.model), *_stop_strings(inspection), *_changes(inspection))
        sentences = (outcome.verdict, *about, *notes)
        text = f"{comment(self._heading(inspection), *sentences)}\n{body}"
        return self._made(text, outcome, files or {})

    def refuse(self, inspection: Inspection, why: str) -> Export:
        """A comment that says why there are no settings."""
        outcome = Outcome(verdict=f"Not possible. {why}", same=False)
        return self._made(comment(self._heading(inspection), outcome.verdict), outcome, {})

    def _heading(self, inspection: Inspection) -> str:
        version = f" ({self.version})" if self.version else ""
        return f"{self.title}{version} · {inspection.model.name}"

    def _made(self, text: str, outcome: Outcome, files: Mapping[str, str]) -> Export:
        return Export(
            target=self.target,
            title=self.title,
            filename=self.filename,
            language=self.language,
            text=text,
            verdict=outcome.verdict,
            same=outcome.same,
            files=files,
        )


def _changes(inspection: Inspection) -> Iterator[str]:
    """A note that the row was changed before it was rendered, if it was."""
    steps = dict.fromkeys(change.step.value for change in inspection.example.conversation.changes)
    if steps:
        yield (
            f"The row was changed before it was rendered ({', '.join(steps)}); a trainer that reads the row itself "
            "does not make these changes: give it the changed row."
        )


def comment(*texts: str) -> str:
    """Each text on separate lines after `#`; a command, which begins with `$`, on a single line."""
    return "".join(f"# {line}\n" for text in texts for line in _lines(text))


def _lines(text: str) -> list[str]:
    return [text] if text.startswith("$") else textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def judge(
    inspection: Inspection,
    strategy: str,
    options: Mapping[str, Any],
    *,
    conversation: Conversation | None = None,
    template: str | None = None,
    length: int | None = None,
    truncation: str = "keep_start",
    searches: bool = False,
    passes: str = "",
) -> Outcome:
    """Label the conversation as the trainer does, and say where that differs from what is shown.

    `strategy`, `options`: the trainer's rule. `conversation`, `template`: see `trainers_example`. `length`,
    `truncation`: how it cuts rows; `searches`: it cuts them first and labels the rest. `passes`: a sentence on what it
    passes to the template, used if the result is other tokens.
    """
    try:
        example = trainers_example(inspection, conversation, template)
        kept = kept_range(len(example), length, truncation)
        if searches:
            labelled = label(_cut(example, kept), strategy, options)
            bits = (*[False] * kept.start, *labelled.trained, *[False] * (len(example) - kept.stop))
        else:
            labelled = label(example, strategy, options)
            bits = truncated(labelled, length, truncation).trained
    except InspectorError as error:
        return Outcome(verdict=f"Refused: {error}", same=False, refused=True)
    tokens = (labelled.example or example).tokens
    if tokens.ids != inspection.example.tokens.ids:
        difference = f"Renders {len(tokens)} other tokens than the {len(inspection.ids)} that are shown."
        return Outcome(verdict=_joined(difference, passes, *_warnings(labelled)), same=False)
    difference = sentence(inspection, bits)
    same = bits == inspection.labelled.trained
    short = verdict_of(inspection.example, trainer_of(strategy, options), bits, inspection.labelled).short
    kinds = "" if same else f"{short[0].upper()}{short[1:]}."
    return Outcome(verdict=_joined(kinds, difference, *_warnings(labelled)), same=same)


def sentence(inspection: Inspection, bits: Sequence[bool]) -> str:
    """The tokens in `bits` compared with the shown ones, in words."""
    shown = inspection.labelled.trained
    count = sum(shown)
    if tuple(bits) == shown:
        tokens = {0: "no token, as is shown", 1: "the one token that is shown"}
        return f"Trains {tokens.get(count, f'the {count} tokens that are shown')}."
    also = _places(inspection, [a and not b for a, b in zip(bits, shown, strict=True)])
    less = _places(inspection, [b and not a for a, b in zip(bits, shown, strict=True)])
    differences = [f"{word} {places}" for word, places in (("also", also), ("not", less)) if places]
    return (
        f"Trains {sum(bits) or 'none'} of {len(shown)} tokens, not the {count} that are shown: "
        f"{', '.join(differences)}."
    )


def _changed_tokens(model: Model) -> list[str]:
    """A note on special tokens that were set after the tokenizer was loaded; a trainer loads it without them."""
    if not model.changed_tokens:
        return []
    return [
        f"The tokenizer is shown with {json.dumps(model.changed_tokens)}, which a trainer does not know of: save it "
        "with the model, its embeddings resized, to a folder first, and train that."
    ]


def _stop_strings(inspection: Inspection) -> list[str]:
    """A note on generation for answers that end in plain text."""
    return [
        f"Answers end in {text!r}, which is text to this tokenizer: pass it to generation as a stop string "
        f"(transformers: stop_strings=[{text!r}], tokenizer=tokenizer), or add it as a special token before training."
        for text in text_stops([inspection.example])
    ]


def _places(inspection: Inspection, bits: Sequence[bool]) -> str:
    """The tokens with a set bit, as quoted text with their indices."""
    spans = inspection.example.tokens.char_spans
    places = []
    for first, end in ranges_of(index for index, bit in enumerate(bits) if bit):
        last = end - 1
        text = inspection.text[spans[first][0] : spans[last][1]]
        if len(text) > _QUOTED:
            text = f"{text[: _QUOTED // 2]}…{text[-_QUOTED // 2 :]}"
        where = f"token {first}" if first == last else f"tokens {first}-{last}"
        places.append(f"{text!r} ({where})")
    more = len(places) - _PLACES
    rest = f" and {more} more place{'s' * (more > 1)}" if more > 0 else ""
    return ", ".join(places[:_PLACES]) + rest


def _cut(example: Example, kept: range) -> Example:
    """The example with the kept tokens only, for rules that look at ids and do not know turns."""
    tokens = example.tokens
    if len(kept) == len(tokens):
        return example
    part = slice(kept.start, kept.stop)
    names = ("ids", "texts", "char_spans", "runs", "special", "control")
    return replace(example, tokens=replace(tokens, **{name: getattr(tokens, name)[part] for name in names}))


def _warnings(labelled: Labelled) -> list[str]:
    return [warning if warning.endswith(".") else f"{warning}." for warning in labelled.warnings]


def _joined(*sentences: str) -> str:
    return " ".join(text for text in sentences if text)
