"""Untrusted templates: each attack ends in a named error, soon, and nobody else notices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inspector.conversation import Conversation
from inspector.errors import (
    InspectorError,
    RenderError,
    SandboxError,
    TemplateFailedError,
    TemplateForbiddenError,
    TemplateMemoryError,
    TemplateRefusedError,
    TemplateSyntaxError,
    TemplateTimeoutError,
    TemplateTooLargeError,
    TraceError,
)
from inspector.rendering import sandbox, sandbox_pool
from tests import oracle
from tests.support.corpus import CORPUS, agent_trace
from tests.support.waiting import wait_until

HI = Conversation.parse([{"role": "user", "content": "hi"}])
NORMAL = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
ATTACKS: dict[str, tuple[str, type[InspectorError], str]] = {
    # time
    "nested ranges": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        TemplateTimeoutError,
        r"ran for more than 1\.5 s of CPU time, the limit .* and was stopped\. .* look for a loop that does not end",
    ),
    "huge power": ("{{ (9**(10**8)) is odd }}", TemplateTimeoutError, "ran for more than"),
    "endless words": ("{{ lipsum(n=200000)|length }}", TemplateTimeoutError, "ran for more than"),
    "quadratic wrapping": ("{{ ('a '*2000000)|wordwrap(2)|length }}", TemplateTimeoutError, "ran for more than"),
    "one huge range": ("{% for i in range(10**9) %}{% endfor %}", TemplateFailedError, "OverflowError: Range too big"),
    # memory
    "huge text": ("\n{{ ('a'*(10**9))|length }}", TemplateMemoryError, "1 GiB of memory at line 2 and was st"),
    "doubled text": (
        "{% set n=namespace(s='a'*1000) %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        RenderError,
        "was stopped",  # for its memory, or on a slow machine for its time
    ),
    "huge list": ("{{ ([0]*(10**9))|length }}", TemplateMemoryError, "more than 1 GiB of memory at line 1"),
    "format width": ("{{ '%1000000000d' % 1 }}", TemplateMemoryError, "more than 1 GiB of memory at line 1"),
    "format method": ("{{ '{:>1000000000}'.format(1) }}", TemplateMemoryError, "more than 1 GiB of memory at line 1"),
    "centred text": ("{{ 'a'|center(10**9)|length }}", TemplateMemoryError, "more than 1 GiB of memory at line 1"),
    "joined text": ("{{ (range(99999)|list)|join('x'*99999)|length }}", TemplateMemoryError, "more than 1 GiB"),
    "replaced text": ("{{ ('a'*99999).replace('a', 'b'*99999) }}", TemplateMemoryError, "more than 1 GiB"),
    "huge refusal": ("{{ raise_exception('x'*(10**9)) }}", TemplateMemoryError, "more than 1 GiB of memory at line 1"),
    # depth
    "recursive macro": (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        TemplateFailedError,
        "recurses too deeply at line 1: a macro or loop calls itself without end",
    ),
    "recursive loop": ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", TemplateFailedError, "too deeply at"),
    "deep brackets": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", TemplateFailedError, "too deeply: .* deep"),
    "deep blocks": ("{% if 1 %}" * 3000 + "{% endif %}" * 3000, TemplateFailedError, "recurses too deeply: "),
    # reaching out
    "classes of a text": ("{{ ''.__class__.__mro__ }}", TemplateForbiddenError, r"withholds at line 1: .*'__class__'"),
    "globals of a namespace": ("{{ namespace.__init__.__globals__ }}", TemplateForbiddenError, "withholds at line 1: "),
    "globals of the template": ("{{ self.__init__.__globals__ }}", TemplateForbiddenError, "withholds at line 1: "),
    "environment variables": (
        "{{ cycler.__init__.__globals__.os.environ }}",
        TemplateForbiddenError,
        "withholds at line 1: access to attribute '__init__'",
    ),
    "changing the messages": ("{{ messages.append(1) }}", TemplateForbiddenError, "withholds at line 1: .*'append'"),
    "emptying the messages": ("{{ messages.clear() }}", TemplateForbiddenError, "withholds at line 1: .*'clear'"),
    "a hidden attribute": ("{% set n=namespace(_a=1) %}", TemplateForbiddenError, "underscore-prefixed"),
    "including a file": ("{% include '/etc/hostname' %}", TemplateFailedError, "TypeError: no loader for this"),
    "importing a module": ("{% import 'os' as o %}{{ o }}", TemplateFailedError, "TypeError: no loader for this"),
    # what comes out
    "too much text": ("{{ 'a'*(3*10**6) }}", TemplateTooLargeError, "3,000,000 characters; the limit is 2,000,000"),
    "half a surrogate": ("{{ '\\ud800' }}", TemplateFailedError, r"surrogate pair \('\\ud800'\) at character 0"),
    "other text each time": ("{{ range(99999)|random }}", TraceError, "differently each time"),
}  # fmt: skip

NOTHING_FOUND = {
    "hidden function": "{{ lipsum.__globals__ }}",
    "hidden clock": "{{ strftime_now.__globals__ }}",
    "attr filter": "{{ ''|attr('__class__') }}",
    "subscript": "{{ ''['__class__'] }}",
    "our own runs": "{{ messages[0].content._runs }}{{ messages[0]._origin }}",
    "our own environment": "{{ environment }}{{ caller }}",
    "format of an object": "{{ '{0.__class__}'.format(messages) }}",
}
"""Reaching out that gives an undefined value, which Jinja writes as nothing."""


def children() -> dict[int, Path]:
    """Pid -> /proc folder of the sandbox children of this process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command, status = (folder / "cmdline").read_text(), (folder / "stat").read_text()
            except OSError:  # it has ended in the meantime
                continue
            if "sandbox_child" in command and status.rsplit(")", 1)[1].split()[1] == str(os.getpid()):
                found[int(folder.name)] = folder
    return found


def kill_children() -> set[int]:
    """Kill every sandbox child of this process, as a machine short of memory would; returns when they have ended."""
    wait_until(lambda: not sandbox._POOL._starting)
    killed = set(children())
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for pid in killed:
        with suppress(ChildProcessError):  # reaped in the meantime
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return killed


@pytest.fixture(autouse=True)
def warm() -> Iterator[None]:
    """A child is ready before each test, and renders normally after it."""
    sandbox.render(NORMAL, HI, {})
    yield
    assert sandbox.render(NORMAL, HI, {}).text == "user: hi"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_in_a_named_error_and_the_next_render_works(name: str) -> None:
    """With the template's line where there is one to blame."""
    source, kind, said = ATTACKS[name]
    with pytest.raises(kind, match=said):
        sandbox.render(source, HI, {})
    assert sandbox.render(NORMAL, HI, {}).text == "user: hi"


@pytest.mark.parametrize("name", NOTHING_FOUND)
def test_reaching_for_what_is_hidden_finds_nothing(name: str) -> None:
    """Not even a name."""
    text = sandbox.render(NOTHING_FOUND[name], HI, {}).text
    assert text == ""


def test_a_crashed_child_is_said_to_have_crashed() -> None:
    """Killed in the middle of a render, as by a machine short of memory: the cause is named, the next render works."""
    caught: list[BaseException] = []

    def attack() -> None:
        try:
            sandbox.render(ATTACKS["nested ranges"][0], HI, {})
        except InspectorError as error:
            caught.append(error)

    thread = threading.Thread(target=attack)
    thread.start()
    while thread.is_alive() and not caught:
        kill_children()
        time.sleep(0.05)
    thread.join()
    assert isinstance(caught[0], TemplateMemoryError)
    assert "crashed the process it ran in, most likely by using more than 1 GiB of memory" in str(caught[0])


def test_a_child_that_died_between_two_renders_is_replaced() -> None:
    """The user whose render comes next is not told that their template crashed."""
    killed = kill_children()
    assert killed
    assert sandbox.render(NORMAL, HI, {}).text == "user: hi"
    assert not killed & set(children())


def test_children_have_no_secrets_and_no_way_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in the parent's environment is not in the child's; its files and memory are limited by the kernel."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    kill_children()
    sandbox.render(NORMAL, HI, {})
    assert children()
    for folder in children().values():
        names = {entry.split(b"=")[0].decode() for entry in (folder / "environ").read_bytes().split(b"\0") if entry}
        assert b"hf_secret" not in (folder / "environ").read_bytes()
        assert names <= {*sandbox_pool._KEPT_ENVIRONMENT, "PYTHONPATH", "PYTHONIOENCODING", "HF_HUB_OFFLINE"} | {
            "TRANSFORMERS_VERBOSITY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LC_CTYPE",
        }  # fmt: skip
        limits = {line[:26].strip(): line[26:].split()[:2] for line in (folder / "limits").read_text().splitlines()}
        assert limits["Max file size"] == ["0", "0"]
        assert limits["Max address space"] == [str(1 << 30)] * 2
        assert limits["Max open files"] == ["64", "64"]
        assert limits["Max core file size"] == ["0", "0"]


def test_others_render_while_two_attack() -> None:
    """Four users render all the time, and are answered again and again before the attackers are."""
    sandbox.warm_up(3)
    wait_until(lambda: len(sandbox._POOL._idle) >= 3)
    conversation = Conversation.parse(CORPUS["system, two turns"])
    source = oracle.stored_templates()["built in/chatml"]
    answered: list[str] = []
    failed: list[object] = []
    over = threading.Event()

    def user() -> None:
        while not over.is_set():
            try:
                answered.append(sandbox.render(source, conversation, {}).text)
            except InspectorError as error:
                failed.append(error)
            time.sleep(0.01)

    def attacker(name: str) -> None:
        for _ in range(2):
            try:
                sandbox.render(ATTACKS[name][0], HI, {})
            except InspectorError:
                pass
            else:
                failed.append(name)

    users = [threading.Thread(target=user) for _ in range(4)]
    attackers = [threading.Thread(target=attacker, args=(name,)) for name in ("nested ranges", "huge power")]
    for thread in [*users, *attackers]:
        thread.start()
    for thread in attackers:
        thread.join()
    over.set()
    for thread in users:
        thread.join()
    assert failed == []
    assert len(answered) > 20


@contextmanager
def paused_child() -> Iterator[None]:
    """The only child gets no CPU time, as on a machine with other work."""
    kill_children()
    sandbox.render(NORMAL, HI, {})
    wait_until(lambda: len(children()) == 1)
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_time_in_which_a_child_does_not_run_does_not_count() -> None:
    """The limit is one of CPU time: a render that had to wait longer than that for the processor is answered."""
    with paused_child():
        (pid,) = children()
        threading.Timer(sandbox.CPU_S + 1, os.kill, (pid, signal.SIGCONT)).start()
        assert sandbox.render(NORMAL, HI, {}).text == "user: hi"
        assert list(children()) == [pid]


def test_a_child_that_never_runs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other words: it is not the template that took too long."""
    monkeypatch.setattr(sandbox_pool, "WALL_PER_CPU", 0.5)
    said = r"did not end within 0\.75 s, though it used less than the 1\.5 s of CPU time that it may\. This machine is"
    with paused_child(), pytest.raises(TemplateTimeoutError, match=said):
        sandbox.render(NORMAL, HI, {})


def test_limit_grows_with_the_messages() -> None:
    """Work for each message that a few of them may not take together, many may: three times as much."""
    long = Conversation.parse([{"role": "user", "content": "hi"}] * 150)

    def spent_s(rounds: int) -> float:
        before = sandbox.spent_s()
        busy = f"{{% for m in messages %}}{{% for i in range({rounds}) %}}{{% endfor %}}{{% endfor %}}"
        sandbox.render(busy, long, {})
        return sandbox.spent_s() - before

    spent_s(1)
    assert spent_s(round(500 * 3 * sandbox.CPU_S / spent_s(500))) > sandbox.CPU_S
    with pytest.raises(TemplateTimeoutError, match=r"ran for more than 2\.0\d s of CPU time, the limit for an input"):
        sandbox.render(ATTACKS["nested ranges"][0], replace(long, messages=long.messages[:20]), {})


@pytest.mark.parametrize("name", ["trl/gemma4_v5", "trl/idefics3", "trl/gptoss"])
def test_a_trace_of_300_messages_is_far_from_the_limit(name: str) -> None:
    """The templates that take longest for an agent's trace."""
    before = sandbox.spent_s()
    rendered = sandbox.render(oracle.stored_templates()[name], Conversation.parse(agent_trace(150)), {})
    assert len(rendered.headers) == 150
    assert sandbox.spent_s() - before < sandbox.MOST_CPU_S / 3


def test_the_libraries_objects_are_not_looked_through() -> None:
    """The garbage collector of a child leaves out what was there before the first request."""
    script = "import gc; from inspector.rendering.sandbox_child import serve; serve(); print(gc.get_freeze_count())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=oracle.ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert int(done.stderr.split()[-1]) > 10_000


def test_refused_renders_count_as_spent() -> None:
    """A template that works for a while and then refuses has worked."""
    before = sandbox.spent_s()
    with pytest.raises(TemplateRefusedError):
        sandbox.render("{% for i in range(99999) %}{% endfor %}{{ raise_exception('No.') }}", HI, {})
    assert sandbox.spent_s() > before


def test_too_large_input_is_refused_before_it_is_sent() -> None:
    """Conversation and template count together."""
    long = Conversation.parse([{"role": "user", "content": "a" * 1_000_000}])
    with pytest.raises(TemplateTooLargeError, match=r"are 1,000,\d{3} characters together; the limit is 1,000,000\."):
        sandbox.render(NORMAL, long, {})
    with pytest.raises(TemplateTooLargeError, match="characters together"):
        sandbox.keywords("x" * 1_000_000)


def test_largest_input_is_rendered() -> None:
    """Just under the limit there is time enough."""
    long = Conversation.parse([{"role": "user", "content": "a " * 499_000}])
    assert len(sandbox.render(NORMAL, long, {}).text) == 998_006


def test_refusal_keeps_the_template_s_own_words() -> None:
    """The page shows them; the line is that of raise_exception."""
    with pytest.raises(TemplateRefusedError, match="refuses this conversation at line 2: No way, hi!") as caught:
        sandbox.render("\n{{ raise_exception('No way, ' ~ messages[0].content ~ '!') }}", HI, {})
    assert caught.value.template_message == "No way, hi!"
    assert caught.value.line == 2


def test_very_long_refusal_is_cut() -> None:
    """A message is for reading."""
    with pytest.raises(TemplateRefusedError) as caught:
        sandbox.render("{{ raise_exception('x'*100000) }}", HI, {})
    assert len(str(caught.value)) < 2100


@pytest.mark.parametrize(
    ("source", "kind", "said", "line"),
    [
        ("\n\n{{ 1 // 0 }}", TemplateFailedError, "failed at line 3: ZeroDivisionError: integer division", 3),
        ("a\n{{ a.b.c }}", TemplateFailedError, "failed at line 2: UndefinedError: 'a' is undefined", 2),
        ("{{ messages[0].content + 1 }}", TemplateFailedError, "failed at line 1: TypeError: ", 1),
        ("a\n\n{% for %}", TemplateSyntaxError, "does not compile, line 3: Expected", 3),
        ("\n{{ 1|nope }}", TemplateSyntaxError, "does not compile, line 2: No filter named 'nope'", 2),
        ("{% if 1 %}\n", TemplateSyntaxError, "does not compile, line 1: Unexpected end of template", 1),
        ("{% generation %}", TemplateSyntaxError, "does not compile, line 1: ", 1),
    ],
)
def test_errors_carry_the_template_line(source: str, kind: type[RenderError], said: str, line: int) -> None:
    """In the message for people and in `line` for the page."""
    with pytest.raises(kind, match=said) as caught:
        sandbox.render(source, HI, {})
    assert caught.value.line == line


def test_keywords_are_the_names_a_template_reads() -> None:
    """What the page offers as switches; what the environment has itself is none."""
    source = "{% set a = 1 %}{{ a }}{{ b }}{% if enable_thinking %}{{ strftime_now('%Y') }}{{ messages }}{% endif %}"
    assert sandbox.keywords(source) == {"b", "enable_thinking", "messages"}
    with pytest.raises(TemplateSyntaxError, match="does not compile, line 1"):
        sandbox.keywords("{% for %}")


def test_warm_up_starts_one_child_in_the_background() -> None:
    """So that the first render of a fresh process does not wait."""
    kill_children()
    sandbox.warm_up()
    wait_until(lambda: len(children()) == 1)
    sandbox.warm_up()
    time.sleep(0.1)
    assert len(children()) == 1


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("STARTUP_S", 0.0, "was not ready within 0 s. It needs 1 GiB of address space"),
        ("sys.executable", "/bin/false", "ended at once"),
        ("sys.executable", "/nowhere/python", "could not be started: .*No such file"),
    ],
)
def test_a_sandbox_that_cannot_start_is_not_the_template_s_fault(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: Any, said: str
) -> None:
    """The machine is named instead."""
    kill_children()
    with monkeypatch.context() as patch:
        patch.setattr(f"inspector.rendering.sandbox_pool.{setting}", value)
        with pytest.raises(SandboxError, match=said):
            sandbox.render(NORMAL, HI, {})


def test_a_server_with_many_open_files_renders_too() -> None:
    """Descriptors from 1024 on, which `select` refuses, are common in a server."""
    script = """
        import os, resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
        from inspector.rendering import sandbox
        from inspector.conversation import Conversation
        print(sandbox.render("{{ messages[0].role }}", Conversation.parse([{"role": "user"}]), {}).text)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=oracle.ROOT, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("user", "")


def test_no_child_outlives_its_parent() -> None:
    """A killed server leaves no process behind: the child ends when its pipe closes."""
    script = """
        import os
        from inspector.rendering import sandbox
        from inspector.conversation import Conversation
        sandbox.render("x", Conversation.parse([{"role": "user"}]), {})
        print(sandbox._POOL._idle[0].process.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=oracle.ROOT, check=False
    )
    child = Path("/proc") / done.stdout.strip()
    wait_until(lambda: not child.exists() or "sandbox_child" not in (child / "cmdline").read_text())
