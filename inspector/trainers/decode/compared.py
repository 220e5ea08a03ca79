"""Compares a row of a log with the exact labels, and names each trainer's settings for the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inspector.errors import short
from inspector.inspection import Inspection
from inspector.strategies.base import Reason, ranges_of

_SHOWN_SPANS = 3


class Difference(StrEnum):
    """The kinds of differences between a row's labels and the exact ones."""

    NOTHING = "nothing"
    """Nothing trains."""
    ANSWER = "answer"
    """Text of an answer does not train."""
    STOP = "stop"
    """The token that ends an answer does not train."""
    PROMPT = "prompt"
    """Text that the assistant did not write trains."""


_WORDS: Mapping[Reason, str] = {
    Reason.ANSWER: "text of an answer",
    Reason.SCAFFOLD: "text of an answer",
    Reason.STOP: "the token that ends an answer",
    Reason.HEADER: "the header before an answer",
    Reason.AFTER_STOP: "what follows the token that ends an answer",
    Reason.GENERATION_PROMPT: "a generation prompt",
    Reason.CONTEXT: "text that is not the assistant's",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Labels compared with the exact ones. `trained`, `exact`: numbers of trained tokens; `missing`, `extra`: half-open
    spans of tokens that train only in the exact labels, or only in the log's. `says`: the same in sentences.
    """

    trained: int
    exact: int
    missing: tuple[tuple[int, int], ...]
    extra: tuple[tuple[int, int], ...]
    differences: frozenset[Difference]
    says: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "trained": self.trained,
            "exact": self.exact,
            "missing": [list(span) for span in self.missing],
            "extra": [list(span) for span in self.extra],
            "differences": sorted(self.differences),
        }


def compare_labels(labels: Sequence[int], inspection: Inspection) -> Compared:
    """Compare labels with those of an inspection of the same ids. The first token is left out: it has no loss."""
    bits = [label >= 0 for label in labels]
    exact = inspection.labelled.trained
    missing = [i for i in range(1, len(bits)) if exact[i] and not bits[i]]
    extra = [i for i in range(1, len(bits)) if bits[i] and not exact[i]]
    says = [*_said("is not trained", missing, inspection), *_said("is trained", extra, inspection)]
    if not missing and not extra:
        says = ["These are exactly the tokens that the assistant writes."]
    return Compared(
        trained=sum(bits[1:]),
        exact=sum(exact),
        missing=tuple(ranges_of(missing)),
        extra=tuple(ranges_of(extra)),
        differences=frozenset(_differences(any(bits), missing, extra, inspection)),
        says=tuple(says),
    )


def _differences(
    any_trains: bool, missing: Sequence[int], extra: Sequence[int], inspection: Inspection
) -> Iterator[Difference]:
    if not any_trains:
        yield Difference.NOTHING
        return
    reasons = {inspection.labelled.reasons[i] for i in missing}
    if reasons - {Reason.STOP}:
        yield Difference.ANSWER
    if Reason.STOP in reasons:
        yield Difference.STOP
    if extra:
        yield Difference.PROMPT


def _said(what: str, places: Sequence[int], inspection: Inspection) -> Iterator[str]:
    """A sentence for each kind of text among the places: the number of tokens, and the first spans."""
    reasons, texts = inspection.labelled.reasons, inspection.example.tokens.texts
    for words, count in Counter(_WORDS.get(reasons[i], "other text") for i in places).items():
        spans = ranges_of(i for i in places if _WORDS.get(reasons[i], "other text") == words)
        shown = ", ".join(
            f"{short(repr(''.join(texts[start:stop])))} at token {start}" for start, stop in spans[:_SHOWN_SPANS]
        )
        more = f", and {len(spans) - _SHOWN_SPANS} more places" if len(spans) > _SHOWN_SPANS else ""
        tokens = "1 token" if count == 1 else f"{count} tokens"
        yield f"{words[0].upper()}{words[1:]} {what}, {tokens}: {shown}{more}."


_ROLES = "datasets: roles_to_train: [assistant]"
_FITTING = "the name that fits this model's chat template"
SETTINGS: Mapping[str, Mapping[Difference, tuple[str, ...]]] = {
    "axolotl": {
        Difference.NOTHING: (_ROLES,),
        Difference.ANSWER: (_ROLES,),
        Difference.STOP: ("eot_tokens: [{stops}]", "datasets: train_on_eos: turn"),
        Difference.PROMPT: ("train_on_inputs: false", _ROLES),
    },
    "LLaMA-Factory": {
        Difference.NOTHING: (f"template:   # {_FITTING}",),
        Difference.ANSWER: ("mask_history: false",),
        Difference.STOP: (f"template:   # {_FITTING}",),
        Difference.PROMPT: ("train_on_prompt: false",),
    },
    "ms-swift": {
        Difference.NOTHING: ("--loss_scale default",),
        Difference.ANSWER: ("--loss_scale default",),
        Difference.STOP: (f"--template   # {_FITTING}",),
        Difference.PROMPT: ("--loss_scale default",),
    },
}
"""A trainer -> the lines to set for such a difference. `{stops}`: the quoted texts that end answers.

`datasets: ` begins a line that belongs to each of axolotl's data sets.
"""

MEANINGS: Mapping[str, str] = {
    "axolotl": "axolotl's check of labels: each token's text, then its label and its id; -100, in red, is not trained.",
    "LLaMA-Factory": "LLaMA-Factory's first example: its ids, and label_ids, in which -100 is not trained.",
    "ms-swift": "ms-swift's first example: its ids, and its labels, in which -100 is not trained.",
    "Unsloth": "The labels decoded, a space in place of each -100, as in Unsloth's notebooks: what is left is trained.",
    "TRL": "Rows as TRL prepares them: ids, and a mask that is 1 where a token is trained.",
    "verl": "Rows as verl prepares them: ids, and loss_mask or response_mask, 1 where a token is trained.",
}
"""A trainer -> a description of the form in which it prints rows."""


def settings_for(trainer: str, differences: Iterable[Difference], stops: Sequence[str]) -> str:
    """The trainer's own settings for these differences; "" where none are known."""
    known = SETTINGS.get(trainer, {})
    quoted = ", ".join(f'"{stop}"' for stop in stops)
    lines = dict.fromkeys(
        line.replace("{stops}", quoted) for difference in sorted(differences) for line in known.get(difference, ())
    )
    of_data = [line.removeprefix("datasets: ") for line in lines if line.startswith("datasets: ")]
    head = ["datasets:", "  - type: chat_template"] if of_data else []
    return "\n".join([*(line for line in lines if not line.startswith("datasets: ")), *head, *_indented(of_data)])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
