"""Train every token: no mask at all.

TRL's default for rows of messages (1.16), AutoTrain's SFT, and most scripts that set `labels = input_ids`. Specified
from docs/strategies.md, D1.
"""

from __future__ import annotations

from inspector.conversation import Step
from inspector.strategies.base import Example, Labelled, Reason, facts


@facts(
    "TRL", "HF Trainer; TRL without assistant_only_loss", title="No masking", version="1.16",
    makes=frozenset({Step.TOOLS}), is_known=True,
)  # fmt: skip
def full(example: Example) -> Labelled:
    """Train every token, whoever wrote it. No options, no errors."""
    return Labelled.by_rule([True] * len(example), why=Reason.EVERY_TOKEN)
