"""A chosen and a rejected answer as one batch: as trl's trainers take it, or with the prompt computed once for both.

trl's trainers see padded rows `prompt chosen` and `prompt rejected`, with all chosen ones first. If it is cheaper, the
backbone gets one row per pair, in which both answers see the prompt but not each other, and the states of all tokens
are put back where trl expects them:

    trl           p p p C C / p p p R         positions 0 1 2 3 4 / 0 1 2 3
    backbone      p p p C C R                 positions 0 1 2 3 4 3
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from inspector.strategies.base import IGNORED
from training.rows.written import cut_row
from training.trainer.batches import Cost, Layout

Row = tuple[list[int], list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBatcher:
    """A collator: written rows -> `input_ids`, `attention_mask` and `completion_mask`, each [rows, longest].

    In pairs all chosen answers come before all rejected ones. `completion_mask`: 1 where the row's label is its token.
    `kl`: whether to add each row's prompt with the answer of the previous row, from which KTO estimates its KL
    (Ethayarajh et al. 2024, section 4.1), under names with `KL_`, and `label`, whether its answer is good.
    """

    pad: int
    cut: bool = True
    kl: bool = False

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """The batch as tensors, with the reference model's log probabilities of the rows if they are known."""
        rows = [self._row(row, "") for row in features]
        if features[0].get("rejected_input_ids") is not None:
            rows += [self._row(row, "rejected_") for row in features]
        out = self._padded(rows)
        if features[0].get("is_good") is not None:
            out["label"] = torch.tensor([row["is_good"] for row in features])
            if self.kl:
                others = zip(rows, rows[-1:] + rows[:-1], strict=True)
                out |= {f"KL_{name}": value for name, value in self._padded([_mixed(*two) for two in others]).items()}
        known = [name for name in features[0] if name.startswith("ref_")]
        return out | {name: torch.tensor([row[name] for row in features]) for name in known}

    def _row(self, row: dict[str, Any], prefix: str) -> Row:
        ids, labels = list(row[f"{prefix}input_ids"]), list(row[f"{prefix}labels"])
        return cut_row(ids, labels) if self.cut else (ids, labels)

    def _padded(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.full((len(rows), longest), self.pad)
        seen, trained = torch.zeros_like(ids), torch.zeros_like(ids)
        for i, (row_ids, labels) in enumerate(rows):
            ids[i, : len(row_ids)] = torch.tensor(row_ids)
            seen[i, : len(row_ids)] = 1
            trained[i, : len(row_ids)] = torch.tensor([int(label != IGNORED) for label in labels])
        return {"input_ids": ids, "attention_mask": seen, "completion_mask": trained}


def _mixed(row: Row, other: Row) -> Row:
    """The prompt of a row with the answer of another."""
    (ids, labels), (other_ids, other_labels) = row, other
    begin, other_begin = _first_trained(labels), _first_trained(other_labels)
    return ids[:begin] + other_ids[other_begin:], labels[:begin] + other_labels[other_begin:]


def _first_trained(labels: Sequence[int]) -> int:
    return next((i for i, label in enumerate(labels) if label != IGNORED), len(labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPairs:
    """Padded pairs as one row each: the backbone's input, and the places of its states.

    `input_ids`, `position_ids`: [pairs, longest]. `mask`: the tokens that each token sees, bool,
    [pairs, 1, longest, longest].
    `source`: for each token of the padded batch, its place in the flattened shared one, [2 * pairs, tokens].
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor
    source: torch.Tensor


def share_pairs(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SharedPairs:
    """Both answers of each pair after their common prefix. `input_ids`, `attention_mask`: [2 * pairs, tokens], padded
    on the right, all chosen rows first."""
    (chosen, rejected), device = input_ids.chunk(2), input_ids.device
    first, second, common = (length[:, None] for length in _lengths(input_ids, attention_mask))
    total = first + second - common
    place = torch.arange(int(total.max()), device=device)[None]
    is_second = place >= first
    positions = torch.where(is_second, place - first + common, place).clamp(max=chosen.shape[1] - 1)
    ids = torch.where(is_second, rejected.gather(1, positions), chosen.gather(1, positions))
    is_real = place < total
    same_answer = is_second[:, :, None] == is_second[:, None, :]
    sees = (place[:, :, None] >= place[:, None, :]) & (same_answer | (place < common)[:, None, :]) & is_real[:, None, :]
    sees |= torch.eye(place.shape[1], dtype=torch.bool, device=device) & ~is_real[:, :, None]  # padding sees itself
    index = torch.arange(chosen.shape[1], device=device)[None]
    row = torch.arange(len(chosen), device=device)[:, None] * place.shape[1]
    source = torch.cat([row + index, row + torch.where(index < common, index, index - common + first)])
    source = torch.where(attention_mask.bool(), source, 0)
    return SharedPairs(input_ids=ids, position_ids=positions, mask=sees[:, None], source=source)


def _lengths(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The numbers of tokens of each chosen row, of each rejected row, and of their common prefix."""
    (chosen, rejected), (first, second) = input_ids.chunk(2), attention_mask.sum(1).chunk(2)
    index = torch.arange(input_ids.shape[1], device=input_ids.device)
    differs = (chosen != rejected) | (index >= torch.minimum(first, second)[:, None])
    return first, second, torch.where(differs.any(1), differs.int().argmax(1), index.numel())


def is_cheaper(cost: Cost, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> bool:
    """Whether the shared layout is expected to take less time than the padded one."""
    first, second, common = _lengths(input_ids, attention_mask)
    longest = int((first + second - common).max())
    shared = len(first) * cost.layouts([longest], 0)[Layout.PADDING_FREE]
    return shared < cost.layouts(attention_mask.sum(1).tolist(), 0)[Layout.PADDED]


@contextmanager
def prompts_once(backbones: Sequence[Any], cost: Cost) -> Iterator[None]:
    """Inside the `with`, calls of these backbones over padded pairs compute each prompt once, if that is cheaper.

    The states of every real token are the same as without it, up to rounding; those of padding are those of some token.
    """
    hooks = []
    for backbone in backbones:
        pending: list[SharedPairs | None] = []
        hooks.append(backbone.register_forward_pre_hook(_before(pending, cost), with_kwargs=True))
        hooks.append(backbone.register_forward_hook(_behind(pending)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _before(pending: list[SharedPairs | None], cost: Cost) -> Any:
    def rewrite(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        ids = args[0] if args else kwargs.get("input_ids")
        seen = kwargs.get("attention_mask")
        if ids is None or seen is None or seen.dim() != 2 or len(ids) % 2 or not is_cheaper(cost, ids, seen):
            pending.append(None)
            return args, kwargs
        shared = share_pairs(ids, seen)
        pending.append(shared)
        mask = shared.mask
        if module.config._attn_implementation == "eager":  # adds its mask, where sdpa selects by it
            mask = torch.zeros_like(mask, dtype=module.dtype).masked_fill(~mask, torch.finfo(module.dtype).min)
        given = {"input_ids": shared.input_ids, "attention_mask": mask, "position_ids": shared.position_ids}
        return (), {**kwargs, **given}

    return rewrite


def _behind(pending: list[SharedPairs | None]) -> Any:
    def put_back(module: Any, args: Any, output: Any) -> Any:
        shared = pending.pop()
        if shared is not None:
            states = output.last_hidden_state
            output.last_hidden_state = states.reshape(-1, states.shape[-1])[shared.source]
        return output

    return put_back
