"""The actions after each step of a run: metrics are written, requests are read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback

from training.errors import NotANumberError
from training.run.folder import Phase, RunDir
from training.spec import RunSpec
from training.trainer.rates import TokenCount, usage
from training.weights import ranks

_NAMES = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "margin": "reward_margin",
    "accuracy": "reward_accuracy",
    "mean_reward": "reward_mean",
    "kl": "kl",
    "nll_loss": "nll",
    "log_odds_ratio": "log_odds_ratio",
}
_NAMES |= {f"eval_{theirs}": f"eval_{ours}" for theirs, ours in _NAMES.items()}
"""trl's names of metrics, and ours."""


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Writes status and metrics, stops on request, and ends the run if the loss is not a number."""

    def __init__(self, run: RunDir, journal: Any, sample: Callable[[int, Any], None], spec: RunSpec) -> None:
        self.run, self.journal, self.sample, self.spec = run, journal, sample, spec
        self.was_stopped = False
        self._began = time.monotonic()
        self._first_step = 0
        self._count = TokenCount()
        patience = spec.evaluation.patience
        self._early = None if patience is None else EarlyStoppingCallback(patience)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start: the number of steps is known."""
        self._began, self._first_step = time.monotonic(), state.global_step
        self._count.watch(kwargs["model"])
        self.journal.say(phase=Phase.TRAINING, max_steps=state.max_steps, step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop counting."""
        self._count.leave()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Count the step, sample, and check for requests."""
        self.journal.say(step=state.global_step, epoch=float(state.epoch or 0.0))
        every = self.spec.sampling.every
        if every is not None and state.global_step % every == 0 and state.global_step < state.max_steps:
            self.sample(state.global_step, kwargs["model"])
        is_asked = ranks.first_says(self.run.is_asked("stop"), args.device)
        if is_asked and state.global_step < state.max_steps:
            self.was_stopped = True
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write the trainer's metrics."""
        values = {ours: logs[theirs] for theirs, ours in _NAMES.items() if logs and theirs in logs}
        if not values:
            return
        for name, value in values.items():
            if not math.isfinite(float(value)):
                raise NotANumberError(f"The {name} is {value} at step {state.global_step}: the run ends here.")
        rates = ranks.gather(self._count.rates() if "loss" in values else {})
        seconds = time.monotonic() - self._began
        steps = state.global_step - self._first_step
        self.journal.measure(
            {
                "step": state.global_step,
                "epoch": round(float(state.epoch or 0.0), 4),
                "time": time.time(),
                "steps_per_second": round(steps / seconds, 4) if seconds and steps else None,
                **{name: round(sum(rank_rates[name] for rank_rates in rates), 1) for name in rates[0]},
                **usage(args.device.type),
                **{name: float(value) for name, value in values.items()},
            }
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Early stopping, as transformers counts it."""
        if self._early is not None:
            self._early.on_evaluate(args, state, control, **kwargs)
        return control
