"""The process that answers with a run's weights: `python -m training.answerer RUN_DIR SOCKET`.

training/launch/answers.py starts it, and it connects to that socket. Each line is an object. The first output is
{"device": ...}, or {"error": ...} if the weights cannot be loaded. After it, an input line asks:

    {"messages": [...], "is_trained": true, "max_new_tokens": 200}

and output lines answer: {"text": ...} repeatedly, with the whole text so far; finally {"text", "prompt_ids", "ids"}, or
{"error": ...}. {"stop": true} ends the current answer. The process ends with the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import InspectorError, one_line
from training.errors import TrainingError
from training.publish.merge import stop_ids
from training.run.folder import RunDir
from training.weights import bitsandbytes
from training.weights.answers import end_ids, generate, prompt_of
from training.weights.memory import is_out_of_memory
from training.weights.trained import TrainedWeights


class Answerer:
    """Weights that answer the questions in a queue. `asked`, `out`: the two directions of the connection."""

    def __init__(self, run: RunDir, asked: Any, out: Any) -> None:
        self._lines, self._out = asked, out
        self._weights = TrainedWeights.of(run)
        tokenizer = self._weights.model.tokenizer
        self._ends = {*stop_ids(run, tokenizer), *end_ids(self._weights.tuned, tokenizer)}
        self._asked: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        self._is_stopped = threading.Event()

    def listen(self) -> None:
        """Put the questions into the queue, until the connection ends."""
        for line in self._lines:
            asked = json.loads(line)
            if asked.get("stop"):
                self._is_stopped.set()
            else:
                self._is_stopped.clear()
                self._asked.put(asked)
        os._exit(0)  # even in the middle of an answer, which is no longer read

    def work(self) -> None:
        """Answer questions forever."""
        threading.Thread(target=self.listen, name="listens", daemon=True).start()
        self._say(device=str(self._weights.base.device.type))
        while (asked := self._asked.get()) is not None:
            try:
                self._answer(asked)
            except Exception as error:  # the next question may succeed
                self._say(error=explained(error))

    def _answer(self, asked: Mapping[str, Any]) -> None:
        model = self._weights.model
        prompt = prompt_of(model, Conversation.parse(asked["messages"]))

        def on_ids(ids: list[int]) -> bool:
            self._say(text=self._text(ids))
            return self._is_stopped.is_set()

        with self._weights.side(is_trained=asked["is_trained"]) as weights:
            before, ids = generate(weights, model, prompt, asked["max_new_tokens"], stops=self._ends, on_ids=on_ids)
        self._say(text=self._text(ids), prompt_ids=before, ids=ids)

    def _text(self, ids: list[int]) -> str:
        """The text of an answer.

        Without the token that ends it, but with any other special token, since that is a fault.
        """
        is_ended = bool(ids) and ids[-1] in self._ends
        return str(self._weights.model.tokenizer.decode(ids[:-1] if is_ended else ids))

    def _say(self, **value: Any) -> None:
        say(self._out, value)


def say(out: Any, value: Mapping[str, Any]) -> None:
    """Write one object as a line."""
    with contextlib.suppress(OSError):  # the reader is gone
        out.write(json.dumps(value) + "\n")
        out.flush()


def explained(error: Exception) -> str:
    """The error, with advice if there is any."""
    if isinstance(error, InspectorError | TrainingError):
        return str(error)
    message = one_line(f"{type(error).__name__}: {error}", 500)
    return f"{message} Stop what else uses the memory, or take a smaller model." if is_out_of_memory(error) else message


def main(folder: str, address: str) -> int:
    """Load a run's weights and answer at a socket; returns the exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        asked, out = (connection.makefile(mode, encoding="utf-8") for mode in ("r", "w"))
        bitsandbytes.leave_out()
        try:
            answerer = Answerer(RunDir.open(Path(folder)), asked, out)
        except Exception as error:  # reported to the process that started this one
            say(out, {"error": explained(error)})
            return 1
        answerer.work()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
