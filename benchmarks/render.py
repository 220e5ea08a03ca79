"""What tracing and the sandbox cost, beside a plain Jinja render: `python benchmarks/render.py`.

Each pair is measured in turns, so that a busy moment hits both sides, and the median of many rounds counts. The last
line is one JSON object: the ratios, and the milliseconds that the sandbox adds.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from inspector.conversation import Conversation
from inspector.model.model import BUILT_IN_TEMPLATES, TEMPLATE_FOLDER
from inspector.rendering import render as template
from inspector.rendering import sandbox
from inspector.rendering.plain_render import PlainRender

ROUNDS = 30
CALLS = 10
MESSAGES = 12
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
FROM_TRL = ("qwen3", "llama3_1", "gemma3", "gptoss", "deepseekv3")


def sources() -> dict[str, str]:
    """Template name -> source: some that ship with trl, and our own."""
    folder = resources.files("trl") / "chat_templates"
    found = {name: (folder / f"{name}.jinja").read_text(encoding="utf-8") for name in FROM_TRL}
    return found | {
        f"our {name}": (TEMPLATE_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
        for name in BUILT_IN_TEMPLATES[:2]
    }


def conversation() -> Conversation:
    """Twelve messages, of a line or three each."""
    question = {"role": "user", "content": "Which river runs through Vienna, and where does it end?"}
    answer = {"role": "assistant", "content": "The Danube.\n\nIt runs east through ten countries\nto the Black Sea."}
    return Conversation.parse([question, answer] * (MESSAGES // 2))


def medians_ms(*calls: Callable[[], object]) -> list[float]:
    """The median time of each call, in milliseconds; they take turns of ten calls, so that each runs warm."""
    times: list[list[float]] = [[] for _ in calls]
    for round_ in range(ROUNDS + 2):
        for own, call in zip(times, calls, strict=True):
            for _ in range(CALLS):
                started = time.perf_counter()
                call()
                if round_ >= 2:  # the first rounds compile and warm up
                    own.append((time.perf_counter() - started) * 1000)
    return [statistics.median(own) for own in times]


def main() -> None:
    """Print the table and the object."""
    chat = conversation()
    print(f"Python {platform.python_version()}, {MESSAGES} messages, median of {ROUNDS * CALLS} calls, milliseconds")
    print("plain: transformers' render. traced: with origins, compared with the plain one, every header measured.")
    print(f"{'template':16} {'plain':>8} {'traced':>8} {'sandbox':>8} {'traced/plain':>13} {'sandbox adds':>13}")
    rows = []
    for name, source in sources().items():
        plain = PlainRender(source, chat, SPECIAL_TOKENS)
        one, traced, sandboxed = medians_ms(
            lambda plain=plain: plain(chat.messages, False),  # type: ignore[misc]
            lambda source=source: template.render(source, chat, SPECIAL_TOKENS),  # type: ignore[misc]
            lambda source=source: sandbox.render(source, chat, SPECIAL_TOKENS),  # type: ignore[misc]
        )
        rows.append((one, traced, sandboxed))
        added = sandboxed - traced
        print(f"{name:16} {one:8.3f} {traced:8.3f} {sandboxed:8.3f} {traced / one:12.1f}x {added:10.3f} ms")
    print(
        json.dumps(
            {
                "traced_over_plain": round(statistics.median(traced / one for one, traced, _ in rows), 2),
                "sandbox_over_traced": round(statistics.median(boxed / traced for _, traced, boxed in rows), 2),
                "sandbox_adds_ms": round(statistics.median(boxed - traced for _, traced, boxed in rows), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
