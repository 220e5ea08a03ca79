"""Several setups in one view: the shown one, and the effect of its edits on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from inspector.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Setups and the place of the shown one.

    `titles`: the origin of each, if known. `tokens`: the token that each is opened at, as long as none was edited.
    `numbers`: their row numbers in a data set. `problem`: the problem that an audit found in them, empty without an
    audit; `saved`: the numbers of the saved rows; `said`: the result of the last click. `opened`: the shown setup when
    it was opened; differences from it are edits. `undo`: the rows before the remedy that made these.
    """

    setups: tuple[Setup, ...]
    at: int = 0
    titles: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    tokens: tuple[int | None, ...] = ()
    problem: str = ""
    saved: frozenset[int] = frozenset()
    said: str = ""
    opened: Setup | None = None
    undo: Rows | None = None

    def edited(self, now: Setup) -> Rows:
        """The rows after the boxes changed to `now`.

        Another conversation belongs to the shown row; another model, template, strategy, ... applies to every row.
        """
        before = self.opened or self.setups[self.at]
        names = [field.name for field in fields(Setup) if field.name != "conversation"]
        changed = {name: getattr(now, name) for name in names if getattr(now, name) != getattr(before, name)}
        setups = [replace(setup, **changed) for setup in self.setups] if changed else list(self.setups)
        setups[self.at] = now
        if now == before:
            return replace(self, setups=tuple(setups), opened=now)
        return replace(self, setups=tuple(setups), tokens=(), said="", opened=now)

    def moved(self, step: int) -> Rows:
        """The rows with another one shown: `step` further, within the range."""
        at = max(0, min(len(self.setups) - 1, self.at + step))
        return replace(self, at=at, said="", opened=None, undo=None)

    @property
    def is_last(self) -> bool:
        """Whether no row comes after the shown one."""
        return self.at == len(self.setups) - 1

    @property
    def number(self) -> int | None:
        """The shown row's number in its data set; None if unknown."""
        return self.numbers[self.at] if self.numbers else None

    @property
    def title(self) -> str:
        """The origin of the shown row; empty if unknown."""
        return self.titles[self.at] if self.titles else ""

    @property
    def token(self) -> int | None:
        """The token that the shown row is opened at."""
        return self.tokens[self.at] if self.tokens else None

    def replaced(self, setups: Sequence[Setup]) -> Rows:
        """The rows with the shown one replaced by others; the first of these is shown, and this can be undone.

        If a single setup replaces it, changes other than its conversation apply to every row, as in `edited`.
        """
        if len(setups) == 1:
            return replace(self.edited(setups[0]), opened=None, undo=replace(self, undo=None))
        rows = (*self.setups[: self.at], *setups, *self.setups[self.at + 1 :])
        titles = (*self.titles[: self.at], *[self.title] * len(setups), *self.titles[self.at + 1 :])
        return Rows(setups=rows, at=self.at, titles=titles if self.titles else (), undo=replace(self, undo=None))
