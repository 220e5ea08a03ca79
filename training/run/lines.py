"""A run as lines of text, and back, so that a run on another machine can be followed through its log alone.

Besides the worker's output there are lines that begin with MARK: JSON with `kind` (status, metric, sample, score,
manifest) and `n`, which counts them. Long ones are split into parts, since logs cut long lines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from training.run.files import read_lines
from training.run.folder import ENDED, Phase, RunDir

MARK = "@maskscope"
LONGEST = 4_000
"""Maximum characters of a line's JSON."""
POLL_S = 0.2
KINDS = ("metric", "sample", "score")


def tell(run: RunDir, write: Callable[[str], object]) -> Phase:
    """Write a run as lines until it has ended; returns its final phase."""
    teller = _Teller(run)
    while True:
        is_over = run.status().phase in ENDED  # checked first, so that everything written before it is still read
        for line in teller.news():
            write(line)
        if is_over:
            return run.status().phase
        time.sleep(POLL_S)


class _Teller:
    """The new content of a run's folder, as lines."""

    def __init__(self, run: RunDir) -> None:
        self.run, self.count, self.told = run, 0, 0
        self.files = {"metric": run.metrics_file, "sample": run.samples_file, "score": run.scores_file}
        self.offsets = dict.fromkeys(self.files, 0)
        self.last: dict[str, Any] = {}

    def news(self) -> Iterator[str]:
        """The log's new lines, then the changes."""
        yield from self._log()
        yield from self._changed("manifest", self.run.manifest())
        for kind, path in self.files.items():
            lines, self.offsets[kind] = read_lines(path, self.offsets[kind])
            for line in lines:
                yield from self._marked(kind, line)
        status = asdict(self.run.status())
        yield from self._changed(
            "status", {name: status[name] for name in status if name not in ("updated", "created")}
        )

    def _changed(self, kind: str, value: dict[str, Any]) -> Iterator[str]:
        if value and value != self.last.get(kind):
            self.last[kind] = value
            yield from self._marked(kind, value)

    def _marked(self, kind: str, value: dict[str, Any]) -> Iterator[str]:
        self.count += 1
        text = json.dumps({"kind": kind, "n": self.count, "value": value}, ensure_ascii=True)
        parts = [text[i : i + LONGEST] for i in range(0, len(text), LONGEST)]
        for number, part in enumerate(parts, start=1):
            yield f"{MARK} {number}/{len(parts)} {part}"

    def _log(self) -> Iterator[str]:
        try:
            with self.run.log_file.open("rb") as file:
                file.seek(self.told)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.told += len(whole)
        yield from whole.decode("utf-8", "replace").splitlines()


class Listener:
    """Lines -> their values; parts are joined, and lines that were read before are left out.

    `heard`: the number of the last complete line; keep it in order to continue later.
    """

    def __init__(self, heard: int = 0) -> None:
        self.heard = heard
        self._parts: list[str] = []

    def hear(self, line: str) -> tuple[str, dict[str, Any]] | str | None:
        """(kind, value) of a marked line that is complete and new.

        None for another marked line; any other line unchanged.
        """
        if not line.startswith(f"{MARK} "):
            return line
        try:
            _, place, text = line.split(" ", 2)
            number, of = (int(part) for part in place.split("/"))
            self._parts = [*(self._parts if number > 1 else []), text]
            if number < of or len(self._parts) != of:
                return None
            message = json.loads("".join(self._parts))
            kind, count, value = str(message["kind"]), int(message["n"]), dict(message["value"])
        except (ValueError, KeyError, TypeError):  # a log may lose lines
            return None
        if count <= self.heard:
            return None
        self.heard = count
        return kind, value
