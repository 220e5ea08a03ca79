"""A batch as JSON, and the component that draws it: every token with its attention, position and label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from inspector.batch import Batch, BatchRow
from inspector.inspection import Inspection
from inspector.strategies import Reason
from inspector.strategies.base import IGNORED
from inspector.strategies.modifiers import kept_range
from ui.parts.scripts import build_drawn
from ui.parts.token_view import as_json
from ui.parts.tokens import tokens_script

MAX_TOKENS = 600
"""Maximum number of tokens shown of each row."""
MAX_CUT = 60
"""Maximum number of tokens shown that truncation removed at an end of a row."""


def build_batch_view(elem_id: str) -> gr.HTML:
    """The component, empty."""
    return build_drawn("batch-view", tokens_script("data_tab/batch_view.js"), elem_id)


def pack_batch(
    batch: Batch, inspections: Sequence[Inspection], places: Sequence[str], max_length: int | None, truncation: str
) -> str:
    """The component's value. `places`: the origin of each inspected row."""
    cut = [_cut(inspection, max_length, truncation) for inspection in inspections]
    return as_json(
        {
            "rows": [_row(row, cut) for row in batch.rows],
            "places": list(places),
            "cut": list(batch.cut),
            "said": _said(batch),
        }
    )


def pack_no_batch(why: str) -> str:
    """The component's value without a batch: only the reason."""
    return as_json({"failure": why})


def _row(row: BatchRow, cut: Sequence[tuple[list[str], list[str]]]) -> dict[str, Any]:
    sources = [source for source in dict.fromkeys(row.sources) if source is not None]
    alone = cut[sources[0]] if len(sources) == 1 else ([], [])  # joined rows leave no room for the removed tokens
    return {
        "total": len(row.ids),
        "padding": row.attention.count(0),
        "trained": sum(label != IGNORED for label in row.labels),
        "tokens": list(row.tokens[:MAX_TOKENS]),
        "ids": list(row.ids[:MAX_TOKENS]),
        "attention": list(row.attention[:MAX_TOKENS]),
        "positions": list(row.position_ids[:MAX_TOKENS]),
        "labels": list(row.labels[:MAX_TOKENS]),
        "sources": list(row.sources[:MAX_TOKENS]),
        "boundaries": list(row.boundaries),
        "cutBefore": alone[0][-MAX_CUT:],
        "cutBehind": alone[1][:MAX_CUT],
    }


def _cut(inspection: Inspection, max_length: int | None, truncation: str) -> tuple[list[str], list[str]]:
    """The tokens that truncation removed before and after the rest; the inspection's own truncation comes first."""
    pieces = inspection.example.tokens.pieces()
    uncut = [i for i, reason in enumerate(inspection.labelled.reasons) if reason is not Reason.CUT]
    kept = kept_range(len(uncut), max_length, truncation)
    left = uncut[kept.start : kept.stop]
    return (pieces[: left[0]], pieces[left[-1] + 1 :]) if left else ([], pieces)


def _said(batch: Batch) -> str:
    """The batch in a sentence."""
    tokens = sum(len(row.ids) for row in batch.rows)
    rows = "1 row" if len(batch.rows) == 1 else f"{len(batch.rows)} rows"
    size = len(batch.rows[0].ids) if batch.rows else 0
    share = f" ({batch.padding / tokens:.1%} padding)" if tokens else ""
    cut = f" Truncation cut {sum(batch.cut):,} tokens." if any(batch.cut) else ""
    return f"{rows} of {size:,} tokens{share}; {batch.trained:,} of {tokens:,} carry a label.{cut}"
