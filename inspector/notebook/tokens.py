"""The tokens of an example as HTML: whose each is, whether it is trained, and whether it should be.

The first tokens are drawn, the others are folded in pieces, so that a long row costs nothing until it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from inspector.strategies import Example

DRAWN = 500
"""Tokens drawn at once."""
FOLDS = 20
"""Most pieces of as many tokens that are folded below them."""


def token_view(example: Example, trained: Sequence[bool] | None, meant: Sequence[bool] | None = None) -> Markup:
    """The tokens, turn by turn. `trained`: a bit for each; `meant`: what it should be, where that may be another."""
    pieces, count = example.brief_texts(), len(example)
    out = [_turns(example, pieces, trained, meant, range(min(DRAWN, count)))]
    for number, start in enumerate(range(DRAWN, count, DRAWN)):
        if number == FOLDS:
            out.append(Markup('<p class="ms-note">{:,} more tokens are not shown.</p>').format(count - start))
            break
        end = min(start + DRAWN, count)
        view = _turns(example, pieces, trained, meant, range(start, end))
        out.append(Markup("<details><summary>Tokens {:,} to {:,}</summary>{}</details>").format(start, end - 1, view))
    return Markup("").join(out)


def _turns(
    example: Example, pieces: Sequence[str], trained: Sequence[bool] | None, meant: Sequence[bool] | None, shown: range
) -> Markup:
    out = []
    for turn, group in groupby(shown, key=lambda i: _turn(example, i)):
        who = "template" if turn is None else example.conversation.role(turn)
        tokens = Markup("").join(_token(example, pieces[i], i, trained, meant) for i in group)
        out.append(Markup('<div class="ms-turn"><span class="ms-who">{}</span><div>{}</div></div>').format(who, tokens))
    return Markup("").join(out)


def _turn(example: Example, index: int) -> int | None:
    runs = example.tokens.runs[index]
    return runs[0].turn if runs else None


def _token(
    example: Example, piece: str, index: int, trained: Sequence[bool] | None, meant: Sequence[bool] | None
) -> Markup:
    is_trained = trained is not None and bool(trained[index])
    is_meant = is_trained if meant is None else bool(meant[index])
    kind, says = _KINDS[is_trained, is_meant]
    classes = f"{kind} ms-special" if example.tokens.special[index] else kind
    title = f"token {index} · id {example.tokens.ids[index]} · {says}"
    return Markup('<span class="{}" title="{}">{}</span>').format(classes, title, piece.replace("\n", "⏎\n"))


_KINDS = {
    (True, True): ("ms-trained", "trained"),
    (True, False): ("ms-wrong", "trained, and should not be"),
    (False, True): ("ms-missing", "not trained, and should be"),
    (False, False): ("ms-context", "not trained"),
}
"""(whether a token is trained, whether it should be) -> its class, and what its title says."""
