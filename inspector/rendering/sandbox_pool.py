"""The child processes of inspector.rendering.sandbox: started on demand, reused, killed when late, and replaced.

Parent and child exchange length-framed JSON over pipes. Children start in the background, up to `MAX_CHILDREN`; one
that was killed is replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from inspector import errors
from inspector.errors import (
    InspectorError,
    RenderError,
    SandboxError,
    TemplateMemoryError,
    TemplateRefusedError,
    TemplateTimeoutError,
)
from inspector.paths import IMPORTED_FROM
from inspector.rendering.sandbox_child import HEAD, MEMORY_BYTES

WALL_PER_CPU = 10
"""Maximum time for a child's answer, as a multiple of its CPU time: it may have to wait for the processor."""
STARTUP_S = 300.0
"""Maximum seconds for a child to start; it has to import transformers, perhaps from a cold disk on a busy machine."""
LATE_S = 1.0
"""Extra seconds to read an answer that was not fetched in time."""
MAX_CHILDREN = 4
"""Maximum number of children at a time, about 60 MB each."""
_KEPT_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "VIRTUAL_ENV")


class _DeadlineError(Exception):
    """The child did not answer in time."""


class _CpuError(Exception):
    """The child used up its CPU time."""


class _GoneError(Exception):
    """The child ended instead of answering."""


class _Child:
    """One child process and the two pipes to it."""

    def __init__(self) -> None:
        environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
        environment |= {
            "PYTHONPATH": str(IMPORTED_FROM.resolve()),
            "PYTHONIOENCODING": "utf-8",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "critical",
            "OPENBLAS_NUM_THREADS": "1",  # a thread's stack counts as address space
            "OMP_NUM_THREADS": "1",
        }
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__package__}.sandbox_child import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxError(f"The process that renders chat templates could not be started: {error}.") from error
        self._pipes()
        self.ready = False

    def _pipes(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.input.fileno(), False)

    def wait_ready(self) -> None:
        """Wait for the child's greeting. Raises SandboxError."""
        if self.ready:
            return
        try:
            self._receive(time.monotonic() + STARTUP_S)
        except (_DeadlineError, _GoneError) as error:
            self.kill()
            what = "ended at once" if isinstance(error, _GoneError) else f"was not ready within {STARTUP_S:g} s"
            raise SandboxError(
                f"The process that renders chat templates {what}. It needs {MEMORY_BYTES >> 30} GiB of address space: "
                "look at this machine's limits (ulimit -v) and its load."
            ) from None
        self.ready = True

    def send(self, payload: bytes, cpu_s: float) -> float:
        """Send one request; returns the deadline of its answer. Raises _DeadlineError or _GoneError."""
        until = time.monotonic() + WALL_PER_CPU * cpu_s
        self._send(HEAD.pack(len(payload), cpu_s) + payload, until)
        return until

    def receive(self, until: float) -> dict[str, Any]:
        """The answer to the request that was sent last. Raises _DeadlineError, _CpuError or _GoneError."""
        try:
            return self._receive(until)
        except _GoneError:
            self.kill()
            if self.process.returncode == -signal.SIGPROF:
                raise _CpuError from None
            raise

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
            _wait(self.input.fileno(), select.POLLOUT, until)
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
            _wait(self.output.fileno(), select.POLLIN, until)
            chunk = os.read(self.output.fileno(), min(1 << 20, count - len(data)))
            if not chunk:
                raise _GoneError
            data += chunk
        return bytes(data)


def _wait(descriptor: int, event: int, until: float) -> None:
    """Wait until a pipe is ready; `select` itself would refuse descriptors from 1024 on. Raises _DeadlineError."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
        raise _DeadlineError


class Asked(NamedTuple):
    """A request in progress: its child, its deadline, and its limit of CPU time."""

    child: _Child
    until: float
    cpu_s: float


class Pool:
    """Idle children and a count of all. A call takes an idle one; while it waits, another is started in the background.

    So a render never waits for a child to start if another becomes free sooner: starting takes a second or more, and
    every killed template leaves a child to be replaced.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: list[_Child] = []
        self._count = self._starting = self._waiting = 0
        self._failure: SandboxError | None = None
        self._closed = False

    def begin(self, payload: bytes, cpu_s: float) -> Asked:
        """Send a request to a child, which starts on it at once, for at most `cpu_s` seconds of CPU time.

        Every request has to be finished or forgotten.
        """
        child = self._take()
        with self._watching(child, cpu_s):
            return Asked(child, child.send(payload, cpu_s), cpu_s)

    def finish(self, asked: Asked) -> dict[str, Any]:
        """The answer to a request, with `cpu_s`: the seconds of CPU time it took.

        Raises TemplateTimeoutError and similar.

        An error that the child reports is raised by `raise_reported`.
        """
        with self._watching(asked.child, asked.cpu_s):
            answer = asked.child.receive(max(asked.until, time.monotonic() + LATE_S))
        self._add_idle(asked.child)
        return answer

    def forget(self, asked: Asked) -> None:
        """Drop a request whose answer is no longer needed."""
        self._replace(asked.child)

    @contextlib.contextmanager
    def _watching(self, child: _Child, cpu_s: float) -> Iterator[None]:
        """Replace a child that failed, and raise the reason."""
        try:
            yield
        except _CpuError:
            self._replace(child)
            raise TemplateTimeoutError(
                f"The chat template ran for more than {cpu_s:.3g} s of CPU time, the limit for an input of this "
                "length, and was stopped. A template that loops over a few messages needs milliseconds: look for a "
                "loop that does not end or a huge repetition."
            ) from None
        except _DeadlineError:
            self._replace(child)
            raise TemplateTimeoutError(
                f"The chat template was stopped: it did not end within {WALL_PER_CPU * cpu_s:.3g} s, though it used "
                f"less than the {cpu_s:.3g} s of CPU time that it may. This machine is too busy to run it, or short of "
                "memory: try again."
            ) from None
        except _GoneError:
            self._replace(child)
            raise TemplateMemoryError(
                "The chat template crashed the process it ran in, most likely by using more than "
                f"{MEMORY_BYTES >> 30} GiB of memory: look for a huge repetition, power or format width."
            ) from None
        except BaseException:
            self._replace(child)
            raise

    def warm_up(self, count: int) -> None:
        """Start children until there are this many, up to the maximum."""
        with self._changed:
            self._forget_dead()
            for _ in range(min(count, MAX_CHILDREN) - self._count):
                self._start()

    def close(self) -> None:
        """End the children; busy ones end after their request."""
        with self._changed:
            self._closed = True
            children, self._idle = self._idle, []
        for child in children:
            child.kill()

    def _take(self) -> _Child:
        with self._changed:
            self._waiting += 1
            try:
                while True:
                    self._forget_dead()
                    if self._idle:
                        return self._idle.pop()
                    if self._starting < self._waiting and self._count < MAX_CHILDREN:
                        self._start()
                    self._changed.wait()
                    if self._failure is not None and not self._count:
                        raise SandboxError(str(self._failure))
            finally:
                self._waiting -= 1

    def _start(self) -> None:
        """Start a child in the background. The lock is held."""
        self._count += 1
        self._starting += 1
        self._failure = None
        threading.Thread(target=self._started, name="template-sandbox", daemon=True).start()

    def _started(self) -> None:
        failure = None
        try:
            child = _Child()
            child.wait_ready()
        except SandboxError as error:
            failure = error
        with self._changed:
            self._starting -= 1
            if failure is not None:
                self._count -= 1
                self._failure = failure
                self._changed.notify_all()
                return
        self._add_idle(child)

    def _add_idle(self, child: _Child) -> None:
        with self._changed:
            if not self._closed:
                self._idle.append(child)
                self._changed.notify()
                return
        child.kill()

    def _replace(self, child: _Child) -> None:
        """Kill a child; the next render finds another ready."""
        child.kill()
        with self._changed:
            self._count -= 1
            if not self._closed and (self._waiting or not self._idle):
                self._start()

    def _forget_dead(self) -> None:
        for child in [child for child in self._idle if child.process.poll() is not None]:
            self._idle.remove(child)
            self._count -= 1
            child.kill()  # closes its pipes


def raise_reported(answer: Mapping[str, Any]) -> None:
    """Raise the error a child reported, if it reported one."""
    if "error" not in answer:
        return
    kind: type[InspectorError] = getattr(errors, answer["error"])
    if issubclass(kind, TemplateRefusedError):
        raise kind(answer["message"], line=answer["line"], template_message=answer["template_message"])
    if issubclass(kind, RenderError):
        raise kind(answer["message"], line=answer["line"])
    raise kind(answer["message"])
