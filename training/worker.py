"""The process of one run: `python -m training.worker RUN_DIR`. Reads the spec, trains, and writes down what it does.

Everything that anybody sees of the run is a file in its folder. The worker polls `control/` after each step: `stop`
ends the run there, saved. It never talks to the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.rundir import Phase, RunDir, Status, append_line, write_json
from training.spec import RunSpec


def main() -> int:
    """Run one folder's spec; returns the exit status."""
    run = RunDir.open(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, _terminated)
    journal = Journal(run)
    try:
        journal.say(phase=Phase.LOADING, error=None, suggestion=None)
        train(run, run.spec(), journal)
    except KeyboardInterrupt:
        journal.say(phase=Phase.STOPPED)
        return 0
    except Exception as error:  # the run ends here, and its files have to say why
        traceback.print_exc()
        said = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(TrainingError):  # a full disk cannot take the message; the log has it
            journal.say(phase=Phase.FAILED, error=said[:2000], suggestion=suggestion(error))
        return 1
    return 0


def _terminated(*_: Any) -> None:
    raise KeyboardInterrupt


class Journal:
    """The run's status, metrics and samples, as the worker writes them."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.status: Status = run.written_status()

    def say(self, **changes: Any) -> None:
        """Change the status."""
        self.status = replace(self.status, **changes)
        self.run.write_status(self.status)

    def measure(self, values: dict[str, Any]) -> None:
        """A line of metrics."""
        append_line(self.run.metrics_file, values)

    def sample(self, when: str, step: int, asked: list[Any], answers: list[str]) -> None:
        """The answers written at a step."""
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            line = {"when": when, "step": step, "question": number, "messages": list(question.messages)}
            append_line(self.run.samples_file, {**line, "reference": question.reference, "answer": answer})


def train(run: RunDir, spec: RunSpec, journal: Journal) -> None:
    """Prepare, train, save. Raises TrainingError, and what the libraries raise."""
    from training.answers import questions, write_answers
    from training.callback import RunCallback
    from training.methods.sft import build_trainer
    from training.weights import load_weights

    model, rows = _prepare(run, spec, journal)
    tokenizer = model.tokenizer
    weights = load_weights(spec, model)
    asked = questions(spec.sampling, rows, model)
    resumed = run.checkpoint() if run.samples() else None
    if resumed is None:
        journal.sample("before", 0, asked, write_answers(weights, model, asked, spec.sampling.max_new_tokens))

    def sample(step: int, current: Any) -> None:
        journal.sample("during", step, asked, write_answers(current, model, asked, spec.sampling.max_new_tokens))

    callback = RunCallback(run, journal, sample, spec)
    trainer, collator = build_trainer(spec, run, weights, tokenizer, [callback])
    journal.say(phase=Phase.TRAINING)
    trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    journal.say(phase=Phase.SAVING)
    print(f"Proven: {collator.sentence()}")
    proof = {"sentence": collator.sentence(), "rows": len(collator.seen), "trained_tokens": collator.trained}
    write_json(run.manifest_file, run.manifest() | {"proof": proof | {"total_tokens": collator.tokens}})
    _save(run, trainer, tokenizer, spec)
    answers = write_answers(trainer.model, model, asked, spec.sampling.max_new_tokens)
    journal.sample("after", trainer.state.global_step, asked, answers)
    journal.say(phase=Phase.STOPPED if callback.was_stopped else Phase.SUCCEEDED, step=trainer.state.global_step)


def _prepare(run: RunDir, spec: RunSpec, journal: Journal) -> tuple[Any, list[Any]]:
    """The model's tokenizer, and the first rows. They are written once; a resumed run takes them as they are."""
    from inspector.rows import BadRow
    from training.rows import SHOWN, describe, load_model, prepare, write_rows

    model = load_model(spec)
    unused: list[BadRow] = []
    if run.manifest():
        first = list(islice(prepare(spec, spec.data, model, unused), SHOWN))
    else:
        rows = prepare(spec, spec.data, model, unused)
        if spec.evaluation.data is not None:
            write_rows(run.data / "held_out", prepare(spec, spec.evaluation.data, model, unused))
        elif spec.evaluation.share:
            rows = _held_out(run, spec, rows)
        first = write_rows(run.data, rows)
        write_json(run.manifest_file, describe(run.data, model, spec, unused))
    manifest = run.manifest()
    journal.say(trained_tokens=manifest["trained_tokens"], total_tokens=manifest["total_tokens"])
    print(f"{manifest['rows']:,} rows train {manifest['trained_tokens']:,} of {manifest['total_tokens']:,} tokens.")
    return model, first


def _held_out(run: RunDir, spec: RunSpec, rows: Iterator[Any]) -> Iterator[Any]:
    """Set a share of the rows aside, evenly and always the same; yields the others."""
    from training.rows import write_rows

    kept, aside = [], []
    share, due = spec.evaluation.share, 0.0
    for row in rows:
        due += share
        if due >= 1.0:
            due -= 1.0
            aside.append(row)
        else:
            kept.append(row)
    write_rows(run.data / "held_out", iter(aside or kept[:1]))
    return iter(kept)


def _save(run: RunDir, trainer: Any, tokenizer: Any, spec: RunSpec) -> None:
    trainer.model.save_pretrained(str(run.adapter))
    tokenizer.save_pretrained(str(run.adapter))
    (run.adapter / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")


def suggestion(error: BaseException) -> str | None:
    """What to do about an error, where that is known."""
    said = f"{type(error).__name__}: {error}".lower()
    if "out of memory" in said or isinstance(error, MemoryError) or "alloc" in said:
        return "Halve micro_batch and double accumulation: the same steps in half the memory."
    if "no space left" in said:
        return "Free disk space, then resume the run."
    if "nan" in said or "inf" in said:
        return "Lower learning_rate, or use precision: fp32."
    return None


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"Ended after {time.monotonic() - started:.1f} s.")
    sys.stdout.flush()
    os._exit(status)  # threads of the libraries must not keep a finished run alive
