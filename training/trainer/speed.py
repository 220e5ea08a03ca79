"""trl's SFTTrainer with its own loss, computed only where tokens train; and the `speed` settings exact for a model.

Nothing here computes a loss: trl does, from fewer hidden states. So softcapping, scaled logits, router losses and the
logged figures are those of trl.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from inspector.strategies.base import IGNORED
from training.errors import Problem, SpecError
from training.spec import SpeedSpec
from training.trainer.batches import Batcher, Cost, PrefixSampler, shared_mask
from training.trainer.proof import PROVEN
from training.trainer.proven import Proven

_TOLERANCE = {torch.float32: 1e-4}
"""Relative difference of hidden states that counts as rounding; 3e-2 for shorter types."""


class ProvenTrainer(Proven, SFTTrainer):  # type: ignore[misc]
    """trl's trainer over batches of a ProvingCollator.

    `speed.head`: the LM head gets only the hidden states whose next token trains.
    """

    def __init__(self, *args: Any, speed: SpeedSpec, **kwargs: Any) -> None:
        self.speed = speed
        super().__init__(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """trl's loss of a batch; `speed` does not change it."""
        inputs = {name: value for name, value in inputs.items() if name != PROVEN}
        backbone, hooks = backbone_of(self.model), []
        if self.speed.shared_prefix and "attention_mask" not in inputs:
            hooks.append(see_prefix(backbone, inputs["position_ids"]))
        if self.speed.head and not return_outputs and backbone is not None:
            targets = torch.nn.functional.pad(inputs.pop("labels")[:, 1:], (0, 1), value=IGNORED)
            kept = _kept(targets)
            inputs["shift_labels"] = targets[kept][None]
            hooks.append(backbone.register_forward_hook(lambda _, __, output: _keep(output, kept)))
        try:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            for hook in hooks:
                hook.remove()

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self.speed.shared_prefix:
            return super()._get_train_sampler(train_dataset)
        rows = (self.train_dataset if train_dataset is None else train_dataset)["input_ids"]
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return PrefixSampler(list(rows), size, self.args.seed)


def _keep(output: Any, kept: torch.Tensor) -> Any:
    """The backbone's output with only the states at `kept`, [1, number, hidden]."""
    output.last_hidden_state = output.last_hidden_state[kept][None]
    return output


_PER_TOKEN = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
"""The output of trl's fused head at each position."""


@contextmanager
def head_where_trained(models: Sequence[Any]) -> Iterator[None]:
    """Inside the `with`, trl's fused head of these models computes only the positions whose next token trains.

    Its outputs for these are where trl expects them; for the others they are 0, as in trl.
    """
    hooks: list[Any] = []
    for model in models:
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        pending: list[tuple[torch.Tensor, Any]] = []
        hooks.append(causal.register_forward_pre_hook(_before_head(pending, backbone_of(model)), with_kwargs=True))
        hooks.append(causal.register_forward_hook(_behind_head(pending), with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _before_head(pending: list[tuple[torch.Tensor, Any]], backbone: Any) -> Any:
    def compact(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if not kwargs.get("fused_lm_head") or kwargs.get("labels") is None or backbone is None:
            return None
        kwargs = dict(kwargs)
        targets = torch.nn.functional.pad(kwargs.pop("labels")[:, 1:], (0, 1), value=IGNORED)
        kept = _kept(targets)
        kwargs["shift_labels"] = targets[kept][None]
        pending.append((kept, backbone.register_forward_hook(lambda _, __, output: _keep(output, kept))))
        return args, kwargs

    return compact


def _behind_head(pending: list[tuple[torch.Tensor, Any]]) -> Any:
    def spread(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        if not kwargs.get("fused_lm_head") or not pending:
            return None
        kept, hook = pending.pop()
        hook.remove()
        for name in _PER_TOKEN:
            found = getattr(output, name, None)
            if found is not None:
                whole = torch.zeros(kept.shape, dtype=found.dtype, device=found.device)
                output[name] = whole.masked_scatter(kept, found)[:, :-1]
        return output

    return spread


def _kept(targets: torch.Tensor) -> torch.Tensor:
    """The positions whose next token trains; at least one, so that the loss keeps a gradient."""
    kept = targets != IGNORED
    kept[0, 0] |= ~kept.any()
    return kept


def backbone_of(weights: Any) -> Any:
    """The model below the LM head, inside peft's wrappers; None if there is no such model."""
    causal = weights.get_base_model() if hasattr(weights, "get_base_model") else weights
    return None if causal.base_model is causal else causal.base_model


def see_prefix(backbone: Any, position_ids: torch.Tensor) -> Any:
    """Give the backbone's next calls the mask of a shared-prefix batch; returns the hook, to be removed."""
    mask = shared_mask(position_ids)
    if mask is not None and backbone.config._attn_implementation == "eager":  # adds its mask, where sdpa selects by it
        mask = torch.zeros_like(mask, dtype=backbone.dtype).masked_fill(~mask, torch.finfo(backbone.dtype).min)

    def add(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs if mask is None else {**kwargs, "attention_mask": mask}

    return backbone.register_forward_pre_hook(add, with_kwargs=True)


def allowed_speed(speed: SpeedSpec, weights: Any, longest: int) -> SpeedSpec:
    """The `speed` settings that are exact for this model.

    Inexact defaults are turned off, inexact requests are refused.

    `longest`: tokens of the longest row. Raises SpecError.
    """
    everywhere = context_beyond_the_row(weights.config.get_text_config(), longest)
    free = shared = everywhere
    if everywhere is None and speed.padding_free:
        free = None if _agrees(weights, padding_free=True) else "rows end to end change what the model computes"
    if everywhere is None and speed.shared_prefix:
        shared = _why_not_shared(weights, longest)
    refused = [("padding_free", free)] if speed.padding_free is True else []
    refused += [("shared_prefix", shared)] if speed.shared_prefix else []
    problems = [
        Problem(field=f"speed.{name}", severity="error", message=f"is not exact here: {why}.", remedy="Leave it out.")
        for name, why in refused
        if why is not None
    ]
    if problems:
        raise SpecError(problems)
    padding_free = False if free else speed.padding_free
    changes = {"cut": speed.cut and everywhere is None, "padding_free": padding_free}
    return speed.model_copy(update=changes)


def allowed_pair_speed(speed: SpeedSpec, weights: Any, longest: int) -> SpeedSpec:
    """The same for answers: `cut` and `shared_prompt`. `longest`: tokens of the longest answer with its prompt."""
    everywhere = context_beyond_the_row(weights.config.get_text_config(), longest)
    shares = speed.shared_prompt and everywhere is None and _why_not_shared(weights, longest) is None
    changes = {"cut": speed.cut and everywhere is None, "shared_prompt": shares}
    return speed.model_copy(update=changes)


def context_beyond_the_row(config: Any, longest: int) -> str | None:
    """The reason why the loss of a token depends on later tokens or on other rows; None if it does not."""
    if not getattr(config, "is_causal", True) or getattr(config, "is_encoder_decoder", False):
        return "the model is not causal"
    if hasattr(config, "output_router_logits") and getattr(config, "router_aux_loss_coef", None):
        return "the router's loss counts every token"
    rope = getattr(config, "rope_parameters", None) or {}
    for values in [rope] if "rope_type" in rope else [value for value in rope.values() if isinstance(value, dict)]:
        original = values.get("original_max_position_embeddings") or config.max_position_embeddings
        if values["rope_type"] in ("dynamic", "longrope") and longest > original:
            return "its rotary embeddings depend on the longest row of the batch"
    return None


def _why_not_shared(weights: Any, longest: int) -> str | None:
    config = weights.config.get_text_config()
    if config._attn_implementation not in ("sdpa", "eager"):
        return f"{config._attn_implementation} takes no custom mask"
    for name, value in config.to_dict().items():
        is_window = ("window" in name or "chunk" in name) and "layers" not in name
        if is_window and type(value) is int and 0 < value < longest:
            return f"{name} is {value}, and rows may have {longest} tokens"
    return None if _agrees(weights, shared_prefix=True) else "a shared beginning changes what the model computes"


def _agrees(weights: Any, **layout: Any) -> bool:
    """Whether two short rows in another layout get the same hidden states as with padding."""
    rows = [list(range(1, 10)), [*range(1, 6), 8]]
    features = [{"input_ids": ids, "labels": [IGNORED] * 5 + ids[5:]} for ids in rows]
    padded, fewest = DataCollatorForLanguageModeling(pad_token_id=0), Cost(token=1.0, pair=0.0)
    was_training = weights.training
    weights.eval()
    try:
        expected = _trained_states(weights, Batcher(padded=padded, cost=fewest)(features))
        found = _trained_states(weights, Batcher(padded=padded, cost=fewest, **layout)(features))
    except (TypeError, ValueError, RuntimeError, LookupError):  # models that cannot take it raise various errors
        return False
    finally:
        weights.train(was_training)
    return bool((expected - found).norm() < _TOLERANCE.get(weights.dtype, 3e-2) * expected.norm())


def _trained_states(weights: Any, batch: dict[str, Any]) -> torch.Tensor:
    backbone, labels = backbone_of(weights), batch.pop("labels")
    inputs = {name: value.to(weights.device) if torch.is_tensor(value) else value for name, value in batch.items()}
    hook = see_prefix(backbone, inputs["position_ids"]) if "position_ids" in inputs else None
    try:
        with torch.no_grad():
            states: torch.Tensor = backbone(**inputs, use_cache=False).last_hidden_state
    finally:
        if hook is not None:
            hook.remove()
    return states[labels.to(states.device) != IGNORED].float()
