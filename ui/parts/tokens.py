"""The bits of a token's class, and the script that every view of tokens begins with, which reads them."""

from __future__ import annotations

from enum import IntEnum

from ui.parts.scripts import component


class Bit(IntEnum):
    """The properties of a token in a view, besides its text and its turn. The scripts have them as constants."""

    TRAINED = 1
    SPECIAL = 2
    STRADDLER = 4
    PART = 8
    """Its text is part of a character."""
    CUT = 16
    """Truncation leaves it out."""


def tokens_script(*names: str) -> str:
    """The JavaScript of a view of tokens: the bits, tokens.js, and the files `names`, by their paths in ui/."""
    return f"{bits_script()}\n{component('parts/tokens.js', *names)}"


def bits_script() -> str:
    """The bits as JavaScript constants."""
    return f"const {', '.join(f'{bit.name} = {bit.value}' for bit in Bit)}; // of ui/parts/tokens.py"
