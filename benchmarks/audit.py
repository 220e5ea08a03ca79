"""How fast a data set is audited, beside trl's preparation and the bare floor: `python benchmarks/audit.py [ROWS]`.

Two generated chat sets: one of short chats, one in which every chat has the same long system prompt. For each, in one
run: our audit with every finding; trl's `_prepare_dataset` with assistant_only_loss, one and two processes; and the
floor, which is transformers' plain render and one `encode_batch` of all texts, with nothing looked at. Then ours in one
process, with the fast path and without. The middle one of three rounds counts. `--memory ROWS` instead audits that many
generated rows and prints the peak memory as it goes. The last line is one JSON object: rows per second of ours divided
by each of the others'.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.run import Progress, Task, audit
from inspector.data.source import DataSource
from inspector.findings.codes import Code, Reads

WORDS = [
    *("river", "mountain", "answer", "question", "colour", "number", "winter", "summer", "bread", "water", "light"),
    *("music", "old", "new", "large", "small", "quick", "slow", "red", "green", "blue", "house", "garden", "window"),
    *("letter", "morning", "evening", "travel", "measure", "listen", "speak", "write", "remember", "because", "while"),
]
MODEL = "tiny-chat"
ROUNDS = 3


def sentence(rng: random.Random, words: int) -> str:
    """So many words, with a capital letter and a full stop."""
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def chats(rows: int, prompt_words: int) -> Iterator[list[dict[str, str]]]:
    """One to three exchanges each; with `prompt_words` all begin with the same system prompt."""
    rng = random.Random(0)
    prompt = [{"role": "system", "content": sentence(rng, prompt_words)}] if prompt_words else []
    for _ in range(rows):
        messages = list(prompt)
        for _ in range(rng.randint(1, 3)):
            messages.append({"role": "user", "content": sentence(rng, rng.randint(5, 60)) + " Is it so?"})
            messages.append({"role": "assistant", "content": sentence(rng, rng.randint(10, 150))})
        yield messages


def write(path: Path, rows: int, prompt_words: int) -> list[dict[str, Any]]:
    """The data set as JSONL; returns its rows."""
    data = [{"messages": chat} for chat in chats(rows, prompt_words)]
    path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    return data


def run_audit(path: Path) -> AuditReport:
    """Ours, from the file to the report, workers started and all."""
    return audit(Task(model=inspector.load(MODEL)), DataSource(name=str(path)))


def run_alone(path: Path, *, whole: bool) -> AuditReport:
    """Ours in one process; `whole`: with the fast path closed, so that every row is inspected."""
    before = Code.DOUBLE_BOS.reads
    Code.DOUBLE_BOS.reads = Reads.WORDS if whole else before
    try:
        return audit(Task(model=inspector.load(MODEL)), DataSource(name=str(path)), workers=1)
    finally:
        Code.DOUBLE_BOS.reads = before


def run_floor(path: Path) -> int:
    """The file read, every chat rendered by transformers, all texts tokenized at once; nothing else."""
    tokenizer = inspector.load(MODEL).tokenizer
    with path.open(encoding="utf-8") as file:
        texts = [tokenizer.apply_chat_template(json.loads(line)["messages"], tokenize=False) for line in file]
    return len(tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False))


def run_trl(data: list[dict[str, Any]], processes: int) -> int:
    """trl's own preparation of the rows for assistant_only_loss; no cache from an earlier round."""
    from datasets import Dataset, disable_caching, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_caching()
    disable_progress_bars()
    tokenizer = inspector.load(MODEL).tokenizer
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, assistant_only_loss=True, use_cpu=True, bf16=False, report_to="none",
            dataset_num_proc=processes if processes > 1 else None, max_length=None,
        )  # fmt: skip
        trainer = SimpleNamespace(_tokenizer=tokenizer, completion_only_loss=False, chat_template=None)
        prepared = SFTTrainer._prepare_dataset(
            trainer, Dataset.from_list(data), tokenizer, config, False, None, "train"
        )
        return len(prepared)


def rows_per_second(rows: int, calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The middle of three rounds of each call; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {name: rows / statistics.median(own) for name, own in times.items()}


def compare(rows: int) -> dict[str, float]:
    """Print the table; returns the ratios."""
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for title, prompt_words, count in (("short chats", 0, rows), ("one long system prompt", 3_000, rows // 4)):
            path = Path(folder) / f"{prompt_words}.jsonl"
            data = write(path, count, prompt_words)
            speeds = rows_per_second(
                count,
                {
                    "ours": lambda path=path: run_audit(path),
                    "floor": lambda path=path: run_floor(path),
                    "trl": lambda data=data: run_trl(data, 1),
                    "trl, 2 processes": lambda data=data: run_trl(data, 2),
                },
            )
            print(f"{title}, {count:,} rows")
            for name, speed in speeds.items():
                print(f"  {name:18}{speed:10,.0f} rows/s   ours is {speeds['ours'] / speed:5.2f}x")
                if name != "ours":
                    ratios[f"{title} / {name}"] = round(speeds["ours"] / speed, 2)
            few = path.with_name(f"few-{prompt_words}.jsonl")
            write(few, count // 8, prompt_words)
            alone = rows_per_second(
                count // 8,
                {
                    "fast path": lambda few=few: run_alone(few, whole=False),
                    "whole": lambda few=few: run_alone(few, whole=True),
                },
            )
            ratios[f"{title} / every row inspected whole"] = round(alone["fast path"] / alone["whole"], 2)
            print(f"  in one process: {alone['fast path']:,.0f} rows/s, {alone['whole']:,.0f} with every row inspected")
    return ratios


def measure_memory(rows: int) -> dict[str, float]:
    """Audit generated rows, a stream on disk of any size; print the peak of this process and of the workers."""
    peaks: list[tuple[int, float]] = []

    def on_progress(progress: Progress, report: AuditReport) -> None:
        if progress.rows >= (len(peaks) + 1) * rows / 10:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            peaks.append((progress.rows, peak))
            print(f"{progress.rows:>10,} rows  {peak:8.1f} MB  {progress.rows_per_second:8,.0f} rows/s", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for chat in chats(rows, 0):
                file.write(json.dumps({"messages": chat}) + "\n")
        audit(Task(model=inspector.load(MODEL)), DataSource(name=str(path)), on_progress=on_progress)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest worker or sandbox: {workers:.1f} MB")
    return {"MB at the end / MB at a tenth": round(peaks[-1][1] / peaks[0][1], 2)}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=8_000)
    parser.add_argument("--memory", type=int, metavar="ROWS", help="audit so many rows, and watch the memory")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, {MODEL}")
    print(json.dumps(measure_memory(options.memory) if options.memory else compare(options.rows)))


if __name__ == "__main__":
    main()
