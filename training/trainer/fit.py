"""One run from its spec to its adapter: rows, weights, steps, answers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import TrainerState

from inspector.errors import one_line
from training.errors import EndpointError, OutOfMemoryError
from training.publish.card import card
from training.publish.upload import conclude
from training.rows.prepare import SHOWN, load_model, prepare
from training.rows.written import describe, write_rows
from training.run.files import write_text
from training.run.folder import Phase, RunDir, step_of
from training.run.journal import Journal
from training.spec import EndpointSpec, RunSpec
from training.trainer.callback import RunCallback
from training.trainer.methods import build_trainer
from training.weights import memory, ranks
from training.weights.answers import ASKED, questions, write_answers
from training.weights.endpoint import ask
from training.weights.load import device_of, load_weights, precision_of
from training.weights.scores import rewards, scored_rows


def leave_if_asked(run: RunDir) -> None:
    """Stop on a request before the first step: there is nothing to save. Raises KeyboardInterrupt."""
    if ranks.is_first() and run.is_asked("stop"):
        raise KeyboardInterrupt


def fit(run: RunDir, spec: RunSpec, journal: Journal) -> None:
    """Prepare, train, save; with smaller parts if memory runs out. Raises TrainingError, and the libraries' errors."""
    model, rows = _prepare(run, spec, journal)
    leave_if_asked(run)
    asked = questions(spec.sampling, rows, model)
    if spec.sampling.endpoint is not None and not any(sample["when"] == "endpoint" for sample in run.samples()):
        _ask_endpoint(spec, spec.sampling.endpoint, asked, journal)
    used = memory.reduced(spec, run.facts().reduced)
    while (lack := _attempt(run, used, model, rows, asked, journal)) is not None:
        if ranks.world() > 1:
            raise OutOfMemoryError(
                f"Memory ran out in one of {ranks.world()} processes: set a smaller micro_batch. {lack}"
            )
        memory.release()
        part = memory.smaller(used)
        if part is None:
            raise OutOfMemoryError(f"Memory ran out with micro_batch {used.micro_batch}, which is the least: {lack}")
        checkpoint = run.checkpoint()
        start = "the start" if checkpoint is None else f"step {step_of(checkpoint)}"
        journal.note(
            f"Memory ran out with micro_batch {used.micro_batch}: continues from {start} with micro_batch "
            f"{part.micro_batch} and accumulation {part.accumulation}, the same rows in each step. ({lack})",
            reduced={"micro_batch": part.micro_batch, "accumulation": part.accumulation},
        )
        used = part


def _ask_endpoint(spec: RunSpec, endpoint: EndpointSpec, asked: Sequence[Any], journal: Journal) -> None:
    """Ask another server the same questions. If it fails, that is noted, and the run continues."""
    try:
        answers = [ask(endpoint, question.messages, spec.sampling.max_new_tokens) for question in asked]
    except EndpointError as error:
        journal.note(f"The endpoint gave no answers: {error}")
    else:
        journal.sample("endpoint", 0, asked, answers)


def _attempt(
    run: RunDir, spec: RunSpec, model: Any, rows: Sequence[Any], asked: Sequence[Any], journal: Journal
) -> str | None:
    """Train and save. Returns the error message if memory ran out, else None."""
    weights = load_weights(spec, model)
    is_begun = any(sample["when"] == "before" for sample in run.samples())
    checkpoint = run.checkpoint()
    is_asked = ranks.is_first() and not ranks.is_sharded()

    def sample(when: str, step: int, current: Any) -> None:
        if not is_asked:
            return
        if spec.facts.is_reward:
            journal.judge(when, step, rows[:ASKED], rewards(current, rows[:ASKED]))
        else:
            journal.sample(when, step, asked, write_answers(current, model, asked, spec.sampling.max_new_tokens))

    def score(when: str, step: int, current: Any) -> None:
        if is_asked and not spec.facts.is_reward:
            journal.score(when, step, scored_rows(current, model.tokenizer, rows[:ASKED]))

    if ranks.is_sharded():
        journal.note("No answers are written: each process holds a part of the weights alone.")
    if not is_begun:
        score("before", 0, weights)
        sample("before", 0, weights)
    callback = RunCallback(run, journal, lambda step, current: sample("during", step, current), spec)
    for variable in ("TENSORBOARD_LOGGING_DIR", "TRACKIO_DIR") if spec.report else ():
        os.environ[variable] = str(run.logs.absolute())
    trainer, collator = build_trainer(spec, run, weights, model.tokenizer, [callback])
    if checkpoint is not None:
        collator.load(checkpoint)
    leave_if_asked(run)
    journal.say(phase=Phase.TRAINING)
    try:
        _train(trainer, checkpoint, journal.status.max_steps)
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        return one_line(str(error), 200) or type(error).__name__
    journal.say(phase=Phase.SAVING)
    _keep_proof(run, collator)
    _save(run, trainer, model, spec)
    if not ranks.is_first():
        return None
    sample("after", trainer.state.global_step, trainer.model)
    score("after", trainer.state.global_step, trainer.model)
    precision = precision_of(spec, device_of(spec))
    run.record(precision=precision)
    write_text(run.adapter / "README.md", card(run, precision))
    step, phase = trainer.state.global_step, Phase.STOPPED if callback.was_stopped else Phase.SUCCEEDED
    if phase is Phase.SUCCEEDED:
        del weights, trainer, collator
        memory.release()
        conclude(run, journal)
    journal.say(phase=phase, step=step)
    return None


def _train(trainer: Any, checkpoint: Path | None, max_steps: int | None) -> None:
    """Run the remaining steps. Without any, only the weights are loaded: transformers would run one more."""
    if checkpoint is None or max_steps is None or step_of(checkpoint) < max_steps:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer._load_from_checkpoint(best or str(checkpoint))


def _prepare(run: RunDir, spec: RunSpec, journal: Journal) -> tuple[Any, list[Any]]:
    """The model's tokenizer, and the first rows. The rows are written once; a resumed run reuses them."""
    from inspector.data.source import BadRow

    model = load_model(spec)
    if not ranks.is_first():
        return model, []
    unused: list[BadRow] = []
    facts = run.facts()
    if facts.is_prepared:
        first = list(islice(prepare(spec, spec.data, model, unused), SHOWN))
    else:
        notes: list[str] = []
        rows = prepare(spec, spec.data, model, unused, notes)
        if spec.evaluation.data is not None:
            write_rows(run.data / "held_out", prepare(spec, spec.evaluation.data, model, unused))
        elif spec.evaluation.share:
            rows = _held_out(run, spec, rows)
        first = write_rows(run.data, rows)
        facts = run.record(**describe(run.data, model, spec, unused, first))
        for note in notes:
            journal.note(note)
    journal.say(trained_tokens=facts.trained_tokens, total_tokens=facts.total_tokens)
    print(f"{facts.rows:,} rows train {facts.trained_tokens:,} of {facts.total_tokens:,} tokens.")
    if facts.cut_rows:
        print(f"{facts.cut_rows:,} of them are cut to {spec.max_length:,} tokens.")
    return model, first


def _held_out(run: RunDir, spec: RunSpec, rows: Iterator[Any]) -> Iterator[Any]:
    """Set a share of the rows aside, evenly and always the same; yields the others."""
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


def _keep_proof(run: RunDir, collator: Any) -> None:
    """Save the proof; each process contributes its rows."""
    collator.gather()
    if not ranks.is_first():
        return
    sentence = collator.sentence(of_rewards=run.spec().facts.is_reward)
    if ranks.world() > 1:
        sentence = f"{sentence[:-1]}; each of {ranks.world()} processes proved its own rows."
    print(f"Proven: {sentence}")
    run.record(
        proof={
            "sentence": sentence,
            "rows": len(collator.seen),
            "trained_tokens": collator.trained,
            "total_tokens": collator.tokens,
        }
    )


def _save(run: RunDir, trainer: Any, model: Any, spec: RunSpec) -> None:
    """Save the adapter, the tokenizer with the trained template, and the spec: all or nothing."""
    folder = run.adapter.with_name(".adapter")
    if ranks.is_first():
        shutil.rmtree(folder, ignore_errors=True)
    if ranks.is_sharded():  # every process contributes its part; rank 0 writes
        trainer.save_model(str(folder))
    elif ranks.is_first():
        trainer.model.save_pretrained(str(folder))
    if not ranks.is_first():
        return
    (folder / "training_args.bin").unlink(missing_ok=True)
    model.tokenizer.save_pretrained(str(folder))
    if model.processor is not None:
        model.processor.save(folder)
    (folder / "chat_template.jinja").write_text(model.template, encoding="utf-8")
    (folder / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    shutil.rmtree(run.adapter, ignore_errors=True)
    folder.rename(run.adapter)
