"""The tokens of an example as HTML: whose each is, whether it is trained, and whether it should be.

The first tokens are drawn, the others are folded in pieces, so that a long row costs nothing until it is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from markupsafe import Markup

from inspector.errors import printable
from inspector.strategies import Example

DRAWN = 500
"""Tokens drawn at once."""
FOLDS = 20
"""Most pieces of as many tokens that are folded below them."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What of an example's tokens is trained: a bit for each, None where no token has a loss.

    `meant`: what should be, where that may be another. `merged`: tokens that merge text across a boundary.
    """

    trained: Sequence[bool] | None
    meant: Sequence[bool] | None = None
    merged: Collection[int] = field(default=frozenset())


def token_view(example: Example, mask: Mask) -> Markup:
    """The tokens, turn by turn."""
    pieces, count = example.brief_texts(), len(example)
    out = [_turns(example, mask, pieces, range(min(DRAWN, count)))]
    for number, start in enumerate(range(DRAWN, count, DRAWN)):
        if number == FOLDS:
            out.append(Markup('<p class="ms-note">{:,} more tokens are not shown.</p>').format(count - start))
            break
        end = min(start + DRAWN, count)
        view = _turns(example, mask, pieces, range(start, end))
        out.append(Markup("<details><summary>Tokens {:,} to {:,}</summary>{}</details>").format(start, end - 1, view))
    return Markup("").join(out)


def _turns(example: Example, mask: Mask, pieces: Sequence[str], shown: range) -> Markup:
    out = []
    for turn, group in groupby(shown, key=example.tokens.turn):
        who = "template" if turn is None else example.conversation.role(turn)
        tokens = Markup("").join(_token(example, mask, pieces[i], i) for i in group)
        out.append(Markup('<div class="ms-turn"><span class="ms-who">{}</span><div>{}</div></div>').format(who, tokens))
    return Markup("").join(out)


def _token(example: Example, mask: Mask, piece: str, index: int) -> Markup:
    is_trained = mask.trained is not None and bool(mask.trained[index])
    is_meant = is_trained if mask.meant is None or mask.trained is None else bool(mask.meant[index])
    kind, says = _KINDS[is_trained, is_meant]
    classes, title = [kind], f"token {index} · id {example.tokens.ids[index]} · {says}"
    if example.tokens.special[index]:
        classes.append("ms-special")
    if index in mask.merged:
        classes.append("ms-merged")
        title += " · merges text across a boundary"
    text = "⏎\n".join(map(printable, piece.split("\n")))
    return Markup('<span class="{}" title="{}">{}</span>').format(" ".join(classes), title, text)


_KINDS = {
    (True, True): ("ms-trained", "trained"),
    (True, False): ("ms-wrong", "trained, and should not be"),
    (False, True): ("ms-missing", "not trained, and should be"),
    (False, False): ("ms-context", "not trained"),
}
"""(whether a token is trained, whether it should be) -> its class, and what its title says."""
