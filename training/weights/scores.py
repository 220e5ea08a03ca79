"""Scores each token of an example: the model's loss there, and its own most probable token.

The first rows are scored before and after the training, to show which trained tokens are learned and which are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from inspector.strategies.base import IGNORED
from training.rows.pixels import Pixels
from training.rows.prepare import PreparedRow

CHUNK = 256
"""Number of positions whose logits are held at a time; the keys and values of earlier positions are kept."""
MAX_TOKENS = 2_048
"""Maximum number of tokens scored in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One position. `loss`: in nats, of the token there; `guess`: the id that the model finds most probable there, with
    its probability. The first token has none of them: nothing comes before it."""

    loss: float | None = None
    guess: int | None = None
    probability: float | None = None


def score(weights: Any, ids: Sequence[int], pixels: Pixels = MappingProxyType({})) -> list[Score]:
    """A score for each token. `pixels`: the model's inputs for the images; then the row is scored in one piece.

    Does not change the weights.
    """
    import torch

    was_training = weights.training
    weights.eval()
    out, cache = [Score()], None
    given = {name: torch.from_numpy(array).to(weights.device) for name, array in pixels.items()}
    size = len(ids) if pixels else CHUNK
    try:
        with torch.no_grad():
            for start in range(0, len(ids) - 1, size):
                part = torch.tensor([ids[start : start + size]], device=weights.device)
                answer = weights(input_ids=part, past_key_values=cache, use_cache=True, **given)
                cache = answer.past_key_values
                wanted = torch.tensor(ids[start + 1 : start + 1 + size], device=weights.device)
                chances = answer.logits[0, : len(wanted)].float().log_softmax(-1)
                losses = -chances.gather(1, wanted[:, None])[:, 0]
                best, guesses = chances.max(-1)
                for loss, guess, chance in zip(losses.tolist(), guesses.tolist(), best.exp().tolist(), strict=True):
                    out.append(Score(loss=loss, guess=guess, probability=chance))
    finally:
        weights.train(was_training)
    return out[: len(ids)]


def scored_rows(weights: Any, tokenizer: Any, rows: Sequence[PreparedRow]) -> list[dict[str, Any]]:
    """The rows with their scores, JSON-ready, one for each answer of a pair: for each token its text, whether it
    trains, its loss, the guess with its probability, and whether the guess is right."""
    out = []
    for number, name, row in _answers(rows):
        ids = row.input_ids[:MAX_TOKENS]
        if row.pixels and len(ids) < len(row.input_ids):  # otherwise tokens of an image could be missing
            continue
        scores = score(weights, ids, row.pixels)
        shown = {guess: str(tokenizer.decode([guess])) for guess in {one.guess for one in scores} if guess is not None}
        out.append(
            {
                "row": number,
                "answer": name,
                "tokens": len(row.input_ids),
                "texts": row.texts[:MAX_TOKENS],
                "trained": [int(label != IGNORED) for label in row.labels[:MAX_TOKENS]],
                "losses": [None if one.loss is None else round(one.loss, 4) for one in scores],
                "guesses": [None if one.guess is None else shown[one.guess] for one in scores],
                "right": [int(one.guess == id) for one, id in zip(scores, ids, strict=True)],
                "probabilities": [None if one.probability is None else round(one.probability, 4) for one in scores],
            }
        )
    return out


def _answers(rows: Sequence[PreparedRow]) -> Iterator[tuple[int, str, PreparedRow]]:
    """(number, name of the answer, the answer); the name is "" if the row is not a pair."""
    for row in rows:
        names = ("",) if row.rejected is None else ("chosen", "rejected")
        yield from ((row.number, name, one) for name, one in zip(names, row.answers, strict=True))


def rewards(weights: Any, rows: Sequence[PreparedRow]) -> list[tuple[float, float]]:
    """The rewards of each pair, chosen and rejected. Does not change the weights."""
    import torch

    was_training = weights.training
    weights.eval()
    try:
        with torch.no_grad():
            found = [
                [
                    float(weights(input_ids=torch.tensor([one.input_ids], device=weights.device)).logits[0, 0])
                    for one in row.answers
                ]
                for row in rows
            ]
    finally:
        weights.train(was_training)
    return [(chosen, rejected) for chosen, rejected in found]
