"""What a worker writes down of its run: status, metrics, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.run.files import append_line
from training.run.folder import RunDir, Status


class Journal:
    """The run's status, metrics and samples, as the worker writes them. Each raises RunFolderError."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self.status: Status = run.written_status()

    def say(self, **changes: Any) -> None:
        """Change the status."""
        self.status = replace(self.status, **changes)
        self.run.write_status(self.status)

    def note(self, text: str, **facts: Any) -> None:
        """Say what is done otherwise than asked: in the log, the status and the manifest."""
        print(text)
        self.say(notes=(*self.status.notes, text))
        self.run.record(notes=list(self.status.notes), **facts)

    def measure(self, values: dict[str, Any]) -> None:
        """A line of metrics."""
        append_line(self.run.metrics_file, values)

    def sample(self, when: str, step: int, asked: Sequence[Any], answers: Sequence[str]) -> None:
        """The answers written at a step."""
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            line = {"when": when, "step": step, "question": number, "messages": list(question.messages)}
            append_line(self.run.samples_file, {**line, "reference": question.reference, "answer": answer})

    def judge(self, when: str, step: int, rows: Sequence[Any], found: Sequence[tuple[float, float]]) -> None:
        """The rewards of pairs at a step, in the place of answers."""
        for number, (row, (chosen, rejected)) in enumerate(zip(rows, found, strict=True)):
            messages = list(row.conversation.messages)
            line = {
                "when": when,
                "step": step,
                "question": number,
                "messages": messages[:-1] or messages,
                "judged": messages,
            }
            answer = f"chosen {chosen:+.3f}, rejected {rejected:+.3f}"
            line |= {"reference": None, "answer": answer, "rewards": [chosen, rejected]}
            append_line(self.run.samples_file, line)

    def score(self, when: str, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """How surprised the model is at the tokens of rows, at a step."""
        for row in rows:
            append_line(self.run.scores_file, {"when": when, "step": step, **row})


class SilentJournal(Journal):
    """Of the processes that train beside the one that writes: it remembers the status, and writes nothing down."""

    def say(self, **changes: Any) -> None:
        """Change the status, for this process."""
        self.status = replace(self.status, **changes)

    def note(self, text: str, **facts: Any) -> None:
        """Rank 0 says it."""

    def measure(self, values: dict[str, Any]) -> None:
        """Rank 0 writes it."""

    def sample(self, *_: Any) -> None:
        """Rank 0 writes it."""

    def judge(self, *_: Any) -> None:
        """Rank 0 writes it."""

    def score(self, *_: Any) -> None:
        """Rank 0 writes it."""
