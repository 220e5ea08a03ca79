"""Records of a worker about its run: status, metrics, answers."""

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
        """Record a deviation from the spec: in the log, the status and the manifest."""
        print(text)
        self.say(notes=(*self.status.notes, text))
        self.run.record(notes=list(self.status.notes), **facts)

    def measure(self, values: dict[str, Any]) -> None:
        """Write a line of metrics."""
        append_line(self.run.metrics_file, values)

    def sample(self, when: str, step: int, asked: Sequence[Any], answers: Sequence[str]) -> None:
        """Write the answers at a step."""
        for number, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            line = {"when": when, "step": step, "question": number, "messages": list(question.messages)}
            append_line(self.run.samples_file, {**line, "reference": question.reference, "answer": answer})

    def judge(self, when: str, step: int, rows: Sequence[Any], found: Sequence[tuple[float, float]]) -> None:
        """Write the rewards of pairs at a step, in place of answers."""
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
        """Write the loss at each token of some rows, at a step."""
        for row in rows:
            append_line(self.run.scores_file, {"when": when, "step": step, **row})


class SilentJournal(Journal):
    """The journal of processes other than rank 0: it keeps the status in memory, and writes nothing."""

    def say(self, **changes: Any) -> None:
        """Change the status, for this process."""
        self.status = replace(self.status, **changes)

    def note(self, text: str, **facts: Any) -> None:
        """Nothing: rank 0 records it."""

    def measure(self, values: dict[str, Any]) -> None:
        """Nothing: rank 0 writes it."""

    def sample(self, *_: Any) -> None:
        """Nothing: rank 0 writes it."""

    def judge(self, *_: Any) -> None:
        """Nothing: rank 0 writes it."""

    def score(self, *_: Any) -> None:
        """Nothing: rank 0 writes it."""
