"""Several setups in one view: which of them is shown, and what editing the shown one means for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from inspector.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Setups and the place of the one that is shown.

    `titles`: where each of them is from, if known. `tokens`: which token each is opened at, for as long as none was
    edited. `numbers`: of the rows of a data set that they are from. `problem`: what an audit found in them, empty where
    they are from none; `saved`: the numbers of those that were saved to it; `said`: what came of the last click.
    `opened`: the shown setup as the boxes held it when it was opened; what differs from it was edited since. `undo`:
    the rows before the remedy that these come from.
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
        """The rows once the boxes hold `now`.

        Another conversation is the shown row's own; another model, template, strategy, ... becomes that of every row.
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
        """The rows with another one shown: `step` further, as far as there are any."""
        at = max(0, min(len(self.setups) - 1, self.at + step))
        return replace(self, at=at, said="", opened=None, undo=None)

    @property
    def is_last(self) -> bool:
        """Whether no row comes after the shown one."""
        return self.at == len(self.setups) - 1

    @property
    def number(self) -> int | None:
        """The shown row's number in its data set; None when nobody knows."""
        return self.numbers[self.at] if self.numbers else None

    @property
    def title(self) -> str:
        """Where the shown row is from; empty when nobody knows."""
        return self.titles[self.at] if self.titles else ""

    @property
    def token(self) -> int | None:
        """The token that the shown row is opened at."""
        return self.tokens[self.at] if self.tokens else None

    def replaced(self, setups: Sequence[Setup]) -> Rows:
        """The rows with others in the place of the one shown; the first of them is shown then, and this can be undone.

        What a single setup changes beside its conversation becomes that of every row, as in `edited`.
        """
        if len(setups) == 1:
            return replace(self.edited(setups[0]), opened=None, undo=replace(self, undo=None))
        rows = (*self.setups[: self.at], *setups, *self.setups[self.at + 1 :])
        titles = (*self.titles[: self.at], *[self.title] * len(setups), *self.titles[self.at + 1 :])
        return Rows(setups=rows, at=self.at, titles=titles if self.titles else (), undo=replace(self, undo=None))
