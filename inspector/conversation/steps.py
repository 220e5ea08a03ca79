"""The changes made to a row before the template sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from inspector.conversation.messages import JsonValue


class Step(StrEnum):
    """A kind of change made to a row before the template sees it. Each can be switched off by its name."""

    text: str

    def __new__(cls, name: str, text: str) -> Self:
        """A step by its public name. `text`: a sentence that says what it does, without a full stop."""
        step = str.__new__(cls, name)
        step._value_, step.text = name, text
        return step

    DATES = "dates", "Dates and other values that JSON does not know are written as text"
    LITERALS = "literals", "Text in Python's syntax is read as the value that it writes"
    DIALOGUES = "dialogues", "A text that names its speakers is split into messages"
    SPEAKERS = "speakers", "Texts without speakers are taken for the user's and the assistant's in turn"
    RANKING = "ranking", "Of answers in an order the best is taken, and of a pair the worst as the rejected one"
    TURNS = "turns", "The texts of prompt and completion are put into turns of the chat template"
    PAIRS = "pairs", "The prompt is put before the answer that lacks it"
    SYSTEM = "system", "The system text in a column of its own is left out: the messages begin with one"
    NULLS = "nulls", "Null fields, such as those that Arrow fills in, are dropped"
    ROLES = "roles", "Names of speakers become the roles that templates know"
    CALLS = "calls", "Calls of tools in other forms become tool_calls"
    ARGUMENTS = "arguments", "Arguments of calls are read from JSON text, or written as it, as the template takes them"
    TOOLS = "tools", "Tools are brought into the form of a list of functions"
    CONTENT = "content", "Content that the template does not take as it is becomes text"
    IMAGES = "images", "Images are put into the messages that show them, as processors take them"
    LABELS = "labels", "The ids and labels of a row are brought into one list of tokens, each with a label of its own"


@dataclass(frozen=True, slots=True)
class Change:
    """A change made to a row. `where`: the field, such as `message 1 · content`; then its values before and after."""

    step: Step
    where: str
    before: JsonValue = None
    after: JsonValue = None

    def to_dict(self) -> dict[str, JsonValue]:
        """The JSON form."""
        return {"step": self.step.value, "where": self.where, "before": self.before, "after": self.after}
