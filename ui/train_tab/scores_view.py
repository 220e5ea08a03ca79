"""Examples coloured by the model's loss at each token, before and after; scores_view.js draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script

MAX_TOKENS = 600
"""Maximum number of tokens shown of each row."""
_MOMENTS = ("before", "after")


def build_scores_view(elem_id: str) -> gr.HTML:
    """The component; its value is the result of `pack_scores`."""
    return build_drawn("scores-view", tokens_script("train_tab/scores_view.js"), elem_id)


def pack_scores(lines: Sequence[dict[str, Any]]) -> str:
    """The component's value for the lines of a run's scores.jsonl; empty if there are none. The newest line of each row
    and moment counts."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for line in lines:
        answer = line.get("answer", "")
        row = rows.setdefault(
            (line["row"], answer),
            {
                "row": line["row"],
                "answer": answer,
                "tokens": line["tokens"],
                "texts": line["texts"][:MAX_TOKENS],
                "trained": line["trained"][:MAX_TOKENS],
                "moments": {},
            },
        )
        if line["when"] in _MOMENTS:
            columns = {name: line[name][:MAX_TOKENS] for name in ("losses", "guesses", "probabilities", "right")}
            row["moments"][line["when"]] = columns | {"mean": _mean(line["losses"], line["trained"])}
    return as_json({"rows": list(rows.values())}) if rows else ""


def _mean(losses: Sequence[float | None], trained: Sequence[int]) -> float | None:
    """The loss of a row: the mean over its trained tokens, in nats."""
    trained_losses = [loss for loss, bit in zip(losses, trained, strict=True) if bit and loss is not None]
    return sum(trained_losses) / len(trained_losses) if trained_losses else None
