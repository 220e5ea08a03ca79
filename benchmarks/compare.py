"""What grows with the length of a conversation: `python benchmarks/compare.py`.

At 500, 4,000 and 16,000 tokens in eight messages, medians of rounds that take turns: comparing all strategies, against
inspecting the same conversation; the findings of an audit, and the page's JSON, for each token. The last line is one
JSON object: the ratio of comparing to inspecting at each length, and by how much a token at 16,000 costs more than one
at 500. (A strategy whose original renders the conversation once for each message does so here, too: with more
messages it takes more renders.)
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from audit import MODEL, sentence

import inspector
from inspector.findings.example import find_all
from inspector.inspection import Inspection
from inspector.trainers.compare import compare_with
from ui.parts.token_view import pack

LENGTHS = (500, 4_000, 16_000)
EXCHANGES = 4
ROUNDS = 9


def conversation(words: int) -> list[dict[str, str]]:
    """Four exchanges of so many words together, questions a quarter of them."""
    rng, each = random.Random(0), max(4, words // EXCHANGES)
    chat = []
    for _ in range(EXCHANGES):
        chat.append({"role": "user", "content": sentence(rng, each // 4)})
        chat.append({"role": "assistant", "content": sentence(rng, each - each // 4)})
    return chat


def conversation_of(tokens: int) -> list[dict[str, str]]:
    """One of about so many tokens."""
    model, words = inspector.load(MODEL), tokens
    for _ in range(3):
        words = words * tokens // len(inspector.inspect(model, conversation(words)).ids)
    return conversation(words)


def medians(*calls: Callable[[], object]) -> list[float]:
    """The median seconds of each call; they take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for own, call in zip(times, calls, strict=True):
            began = time.perf_counter()
            call()
            own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in times]


def measured(tokens: int) -> tuple[int, list[float]]:
    """(tokens, seconds of inspecting, comparing, finding, packing)."""
    model, chat = inspector.load(MODEL), conversation_of(tokens)

    def inspected() -> Inspection:
        return inspector.inspect(model, chat)

    kept = inspected()
    return len(kept.ids), medians(
        inspected,
        lambda: compare_with(inspected()),
        lambda: find_all(kept.example, kept.labelled),
        lambda: pack(replace(kept), notices=(), link=""),  # a copy has to make its lists again
    )


def main() -> None:
    """Measure, and print."""
    print(f"{os.cpu_count()} cores, {MODEL}, {2 * EXCHANGES} messages")
    print(f"{'tokens':>8}{'inspect ms':>12}{'compare ms':>12}{'ratio':>7}{'find µs/token':>15}{'JSON µs/token':>15}")
    ratios: dict[str, float] = {}
    first: tuple[float, float] | None = None
    for length in LENGTHS:
        count, (inspecting, comparing, finding, packing) = measured(length)
        each = finding / count * 1e6, packing / count * 1e6
        first = first or each
        ratio = comparing / inspecting
        print(f"{count:8,}{inspecting * 1e3:12.1f}{comparing * 1e3:12.1f}{ratio:7.2f}{each[0]:15.2f}{each[1]:15.2f}")
        ratios[f"compare / inspect at {length:,}"] = round(ratio, 2)
        ratios["find_all, a token at the last / at 500"] = round(each[0] / first[0], 2)
        ratios["the page's JSON, a token at the last / at 500"] = round(each[1] / first[1], 2)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
