"""Render untrusted templates in limited child processes.

`render(source, conversation, special_tokens)` is `template.render`, done by a child that has no secrets in its
environment, may use 1 GiB of address space, may write no file and opens few. The parent waits at most
`DEADLINE_S`; then it kills the child and raises TemplateTimeoutError. A thread or a signal could not do this: `9**9**9`
holds the interpreter inside one call.

Children start on demand, up to `MAX_CHILDREN`, and are reused; one that was killed is replaced in the background, so
that the next render finds a warm one. Parent and child exchange length-framed JSON over pipes.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector import errors
from inspector.conversation import Conversation
from inspector.errors import (
    InspectorError,
    RenderError,
    TemplateMemoryError,
    TemplateRefusedError,
    TemplateTimeoutError,
    TemplateTooLargeError,
)
from inspector.origins import Origin, OriginKind, Run
from inspector.sandbox_child import MEMORY_BYTES, frame
from inspector.template import Header, Rendered

DEADLINE_S = 1.5
"""Longest a render may take, once its child is ready."""

STARTUP_S = 60.0
"""Longest a child may take to start: importing transformers from a cold disk."""

MAX_INPUT_CHARS = 1_000_000
"""Longest template and conversation together, as JSON."""

MAX_CHILDREN = 4
"""Most children at a time, about 60 MB each."""

_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "VIRTUAL_ENV")


def render(source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> Rendered:
    """Render a conversation in a child process.

    Raises a RenderError (which see: timeout, memory, refused by the template, syntax, ...) or TraceError.
    """
    request = _request(source, conversation, special_tokens)
    return _decoded(_POOL.call(request))


def keywords(source: str) -> frozenset[str]:
    """The names the template reads and does not set itself. Raises a RenderError when it does not compile."""
    return frozenset(_POOL.call(frame({"do": "keywords", "template": source}))["keywords"])


def warm_up() -> None:
    """Start one child in the background, so that the first render does not wait for it."""
    _POOL.warm_up()


def _request(source: str, conversation: Conversation, special_tokens: Mapping[str, str]) -> bytes:
    payload = frame(
        {
            "do": "render",
            "template": source,
            "conversation": conversation.to_json(),
            "special_tokens": dict(special_tokens),
        }
    )
    if len(payload) > MAX_INPUT_CHARS:
        raise TemplateTooLargeError(
            f"The template and the conversation are {len(payload):,} characters together; the limit is "
            f"{MAX_INPUT_CHARS:,}. Shorten the conversation or split it."
        )
    return payload


class _DeadlineError(Exception):
    """The child did not answer in time."""


class _GoneError(Exception):
    """The child ended instead of answering."""


class _Child:
    """One child process and the two pipes to it."""

    def __init__(self) -> None:
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        environment |= {
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            "PYTHONIOENCODING": "utf-8",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "critical",
            "OPENBLAS_NUM_THREADS": "1",  # a thread's stack counts as address space
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from inspector.sandbox_child import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._pipes()
        self.ready = False

    def _pipes(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.input.fileno(), False)

    def wait_ready(self) -> None:
        """Wait for the child's greeting. Raises _DeadlineError or _GoneError."""
        if not self.ready:
            self._receive(time.monotonic() + STARTUP_S)
            self.ready = True

    def call(self, payload: bytes) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises _DeadlineError or _GoneError."""
        self.wait_ready()
        until = time.monotonic() + DEADLINE_S
        self._send(struct.pack(">I", len(payload)) + payload, until)
        return self._receive(until)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.input, self.output):
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, data: bytes, until: float) -> None:
        view = memoryview(data)
        while view:
            _, writable, _ = select.select([], [self.input], [], max(0.0, until - time.monotonic()))
            if not writable:
                raise _DeadlineError
            try:
                view = view[os.write(self.input.fileno(), view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise _GoneError from error

    def _receive(self, until: float) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._read(4, until))
        answer: dict[str, Any] = json.loads(self._read(length, until))
        return answer

    def _read(self, count: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            readable, _, _ = select.select([self.output], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                raise _DeadlineError
            chunk = os.read(self.output.fileno(), min(1 << 20, count - len(data)))
            if not chunk:
                raise _GoneError
            data += chunk
        return bytes(data)


class _Pool:
    """Idle children, and a count of all of them. A call takes one, or starts one, or waits for one."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._slots = threading.Semaphore(MAX_CHILDREN)
        self._lock = threading.Lock()
        self._closed = False

    def call(self, payload: bytes) -> dict[str, Any]:
        with self._slots:
            child = self._take()
            try:
                answer = child.call(payload)
            except _DeadlineError:
                self._replace(child)
                raise TemplateTimeoutError(
                    f"The chat template ran for more than {DEADLINE_S:g} s and was stopped. A template that loops over "
                    "a few messages needs milliseconds: look for a loop that does not end or a huge repetition."
                ) from None
            except _GoneError:
                self._replace(child)
                raise TemplateMemoryError(
                    "The chat template crashed the process it ran in, most likely by using more than "
                    f"{MEMORY_BYTES >> 30} GiB of memory: look for a huge repetition, power or format width."
                ) from None
            except BaseException:
                child.kill()
                raise
            self._put_back(child)
        _raise_reported(answer)
        return answer

    def warm_up(self) -> None:
        threading.Thread(target=self._add_idle, name="template-sandbox", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            children, self._idle = self._idle, []
        for child in children:
            child.kill()

    def _take(self) -> _Child:
        with self._lock:
            ready = [child for child in self._idle if child.process.poll() is None]
            self._idle = ready[:-1]
            if ready:
                return ready[-1]
        return _Child()

    def _put_back(self, child: _Child) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MAX_CHILDREN:
                self._idle.append(child)
                return
        child.kill()

    def _replace(self, child: _Child) -> None:
        child.kill()
        self.warm_up()

    def _add_idle(self) -> None:
        with self._lock:
            if self._closed or self._idle:
                return
        child = _Child()
        try:
            child.wait_ready()
        except (_DeadlineError, _GoneError):
            child.kill()
            return
        self._put_back(child)


_POOL = _Pool()
atexit.register(_POOL.close)


def _decoded(answer: Mapping[str, Any]) -> Rendered:
    origins = [Origin(OriginKind(kind), index, field, line) for kind, index, field, line in answer["origins"]]
    return Rendered(
        text=answer["text"],
        runs=tuple(Run(length, origins[origin], offset, turn) for length, origin, offset, turn in answer["runs"]),
        generation_spans=tuple((start, end) for start, end in answer["generation_spans"]),
        headers=tuple(Header(*header) for header in answer["headers"]),
        prompt_start=answer["prompt_start"],
    )


def _raise_reported(answer: Mapping[str, Any]) -> None:
    """Raise the error a child reported, if it reported one."""
    if "error" not in answer:
        return
    kind: type[InspectorError] = getattr(errors, answer["error"])
    if issubclass(kind, TemplateRefusedError):
        raise kind(answer["message"], line=answer["line"], template_message=answer["template_message"])
    if issubclass(kind, RenderError):
        raise kind(answer["message"], line=answer["line"])
    raise kind(answer["message"])
