"""The child process of `sandbox`: it reads requests, renders, and writes answers, under limits that it sets itself.

An answer is a rendered conversation or an error, as data: origins in a table, runs as [length, origin, offset, turn].
"""

from __future__ import annotations

import gc
import json
import os
import signal
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TemplateFailedError, TemplateTooLargeError, short
from inspector.rendering.origins import Origin
from inspector.rendering.plain_jinja import render_plain
from inspector.rendering.plain_render import render_tagged, render_text, template_keywords
from inspector.rendering.render import render
from inspector.rendering.rendered import Rendered

TEMPLATE_FILENAME = "<template>"
"""Jinja's name in tracebacks for a template made from a string."""

MAX_OUTPUT_CHARS = 2_000_000
"""Longest rendered text."""

MEMORY_BYTES = 1 << 30
"""Address space of a child."""

HEAD = struct.Struct(">Id")
"""The header of a request: its length in bytes, and the seconds of CPU time that it may take."""


def serve() -> None:
    """Answer requests on standard input until it closes. Runs in a child process only."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that a library prints must not reach the pipe
    input_ = os.fdopen(os.dup(0), "rb")
    template_keywords("")  # import transformers now, not during the first render
    gc.collect()
    gc.freeze()  # the libraries' objects, which every later garbage collection would scan
    _limit()
    _write(output, {"ready": True})
    while len(head := input_.read(HEAD.size)) == HEAD.size:
        length, cpu_s = HEAD.unpack(head)
        payload = input_.read(length)
        began = time.process_time()
        with _cpu_limit(cpu_s):
            answer = _answer(json.loads(payload))
        _write(output, answer | {"cpu_s": time.process_time() - began})


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Make the kernel end this process with SIGPROF after this much CPU time, whatever it is doing."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit() -> None:
    import resource

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for what, most in limits.items():
        resource.setrlimit(what, (most, most))


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if request["do"] == "keywords":
            return {"keywords": sorted(template_keywords(request["template"]))}
        if "conversations" in request:
            return {"texts": [_text(request, conversation) for conversation in request["conversations"]]}
        conversation = _conversation(request["conversation"])
        rendered = render(request["template"], conversation, request["special_tokens"], max_chars=MAX_OUTPUT_CHARS)
        _refuse_surrogates(rendered.text)
        return _encoded(rendered)
    except BaseException as error:
        return _reported(error)


def _text(request: Mapping[str, Any], conversation: Any) -> dict[str, Any]:
    asked = request["template"], _conversation(conversation), request["special_tokens"]
    try:
        spans: Sequence[tuple[int, int]] = []
        if request["do"] == "tagged":
            text, spans = render_tagged(*asked)
        else:
            text = (render_plain if request["do"] == "plain_jinja" else render_text)(*asked)
        if len(text) > MAX_OUTPUT_CHARS:
            raise TemplateTooLargeError(f"The chat template wrote {len(text):,} characters.")
        _refuse_surrogates(text)
        return {"text": text, "generation_spans": spans}
    except Exception as error:
        return _reported(error)


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TemplateFailedError(
            f"The chat template wrote half of a surrogate pair ({text[error.start]!a}) at character {error.start}, "
            "which no tokenizer can read."
        ) from error


def _reported(error: BaseException) -> dict[str, Any]:
    """The error as data: the class to raise in the parent, its message, and the template line."""
    from jinja2 import exceptions

    line = _template_line(error)
    at = f" at line {line}" if line is not None else ""
    reason = short(str(error), 2000)
    report: dict[str, Any] = {"line": line}
    if isinstance(error, InspectorError):
        return report | {"error": type(error).__name__, "message": reason}
    if isinstance(error, MemoryError):
        message = f"The chat template used more than {MEMORY_BYTES >> 30} GiB of memory{at} and was stopped."
        return report | {"error": "TemplateMemoryError", "message": message}
    if isinstance(error, RecursionError):
        message = (
            f"The chat template recurses too deeply{at}: a macro or loop calls itself without end, or it is nested too "
            "deeply to be read."
        )
        return report | {"error": "TemplateFailedError", "message": message}
    if isinstance(error, exceptions.SecurityError):
        message = f"The chat template reached for something the sandbox withholds{at}: {reason}"
        return report | {"error": "TemplateForbiddenError", "message": message}
    if isinstance(error, exceptions.TemplateSyntaxError | exceptions.TemplateAssertionError):
        message = f"The chat template does not compile, line {error.lineno}: {reason}"
        return report | {"error": "TemplateSyntaxError", "message": message, "line": error.lineno}
    if type(error) is exceptions.TemplateError:
        message = f"The chat template refuses this conversation{at}: {reason}"
        return report | {"error": "TemplateRefusedError", "message": message, "template_message": reason}
    message = f"The chat template failed{at}: {type(error).__name__}: {reason}"
    return report | {"error": "TemplateFailedError", "message": message}


def _template_line(error: BaseException) -> int | None:
    """The innermost template line in the traceback, as Jinja rewrites it."""
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == TEMPLATE_FILENAME:
            line = step.tb_lineno
        step = step.tb_next
    return line


def _write(output: BinaryIO, message: Mapping[str, Any]) -> None:
    data = frame(message)
    output.write(struct.pack(">I", len(data)) + data)
    output.flush()


def _encoded(rendered: Rendered) -> dict[str, Any]:
    table: list[Origin] = []
    places: dict[int, int] = {}  # by identity: hashing an origin costs more than writing it twice
    runs = []
    for length, origin, offset, turn in rendered.runs:
        place = places.setdefault(id(origin), len(table))
        if place == len(table):
            table.append(origin)
        runs.append((length, place, offset, turn))
    return {
        "text": rendered.text,
        "origins": [[o.kind, o.message_index, o.field, o.line] for o in table],
        "runs": runs,
        "generation_spans": rendered.generation_spans,
        "headers": rendered.headers,
        "prompt_start": rendered.prompt_start,
        "read_off": rendered.read_off,
        "unknown_turns": rendered.unknown_turns,
    }


def _conversation(fields: Mapping[str, Any]) -> Conversation:
    """The conversation that the parent sent, already checked."""
    tools, documents = fields["tools"], fields["documents"]
    return Conversation(
        messages=tuple(fields["messages"]),
        tools=None if tools is None else tuple(tools),
        documents=None if documents is None else tuple(documents),
        keywords=fields["keywords"],
    )


def frame(message: Mapping[str, Any]) -> bytes:
    """A message as bytes, without its length."""
    return json.dumps(message, separators=(",", ":")).encode()
