"""Answers that are shown only while they are about what the page holds.

Every request on the Inspect tab takes time, and the boxes may change meanwhile: a model is loading, a message is being
typed. So an answer keeps the boxes of its request (model, revision, template and the rest), and is shown in a second
step, which knows the current boxes. Stale answers are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ui.parts.report import report, text
from ui.wiring.boxes import Boxes

CHANGED = "The model, its template or the conversation changed before the answer came: ask again."
LOADING = "The model is still being loaded: ask again once it is there."


class About(Enum):
    """The boxes that an answer depends on: it is stale if one of them has changed. Its view depends on all of them.

    An answer about no box still depends on the shown row, unless it changes the open rows.
    """

    BOXES = "boxes"
    MODEL = "model"
    NOTHING = "nothing"


_PARTS: Mapping[About, Callable[[Boxes], Any]] = {
    About.BOXES: lambda boxes: replace(boxes, loaded=None),
    About.MODEL: lambda boxes: boxes.loading,
    About.NOTHING: lambda boxes: boxes.rows and (boxes.rows.numbers, boxes.rows.at),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Changes of the page, and the boxes of the request."""

    changes: Mapping[str, Any]
    asked: Boxes


class Answers:
    """The pending answers to one kind of event; each visitor has one."""

    def __init__(self) -> None:
        self._waiting: deque[Answer] = deque()

    def add(self, answer: Answer) -> None:
        """Queue an answer to be shown next."""
        self._waiting.append(answer)

    def take(self, now: Boxes, about: About, says: str = "") -> tuple[dict[str, Any], bool]:
        """The changes to show for the current boxes, and whether a view is missing because the one that came is stale.
        `says`: the report that mentions a dropped answer."""
        changes: dict[str, Any] = {}
        is_missing = False
        while self._waiting:
            answer = self._waiting.popleft()
            updates = dict(answer.changes)
            if why := self._why_stale(answer, now, about):
                is_missing |= "view" in updates
                updates = {says: report(text(why, "◼"))} if says else {}
            then = now.with_changes(updates)
            if "view" in updates and (then != answer.asked.with_changes(updates) or not then.is_settled):
                del updates["view"]
                is_missing = True
            changes |= updates
            now = then
        return changes, is_missing and now.is_settled

    def _why_stale(self, answer: Answer, now: Boxes, about: About) -> str:
        """The reason why the answer must not be shown; empty if it may."""
        if about is About.BOXES and not answer.asked.is_settled:
            return LOADING
        part = _PARTS[about]
        is_of_row = about is not About.NOTHING or "rows" not in answer.changes
        is_stale = (is_of_row and part(now) != part(answer.asked)) or (about is About.BOXES and not now.is_settled)
        return CHANGED if is_stale else ""
