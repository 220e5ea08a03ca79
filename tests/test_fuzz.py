"""Whatever comes in: a result that keeps its word, or an error by name, soon; and the next one is served.

Every failure that was ever found is a file in data/fuzz_corpus: what kind of input, and the input. The examples are
the same each time; `python -m tests.test_fuzz --more 20` makes 20 times as many, other ones.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from inspector.conversation import Conversation
from inspector.errors import InspectorError, TraceError
from inspector.rendering import sandbox
from tests.oracles import fuzz_templates

CORPUS = Path(__file__).parent / "data" / "fuzz_corpus"
MORE = int(os.environ.get("MASKSCOPE_FUZZ", "0"))
"""How many times the examples are made, and each time other ones; 0 for the same ones once."""
CASES: dict[str, tuple[int, int]] = {
    "template": (500, 3),
    "bytes as a template": (20, 25),
    "conversation": (250, 12),
    "text": (70, 24),
    "inspection": (120, 1),
    "file": (150, 12),
    "mapping": (150, 16),
    "link": (120, 25),
    "log": (60, 10),
    "json box": (60, 25),
    "spec": (80, 25),
    "config": (80, 16),
    "inspector's arguments": (40, 10),
    "training's arguments": (40, 10),
}
"""Property -> (examples, inputs in each)."""
MOST_S = 10.0
"""Most CPU time of this process that one batch may take; a template is stopped after 1.5 s of its own."""
ADDRESS = re.compile("0x[0-9a-f]+", re.IGNORECASE)
HI = Conversation.parse([{"role": "user", "content": "hi"}])
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"


def fuzz(name: str) -> settings:
    """The settings of a property."""
    return settings(
        max_examples=CASES[name][0] * max(1, MORE), derandomize=not MORE, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def batch(name: str, one: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """As many inputs as the property takes together."""
    return st.lists(one, min_size=CASES[name][1], max_size=CASES[name][1])


@pytest.fixture(autouse=True, scope="module")
def in_a_folder_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a command writes is written there."""
    check_inspection([CHATS[0], "traced"])  # everything is loaded
    with contextlib.chdir(tmp_path_factory.mktemp("fuzz")):
        yield


@pytest.fixture(autouse=True)
def served_afterwards() -> Iterator[None]:
    """The pool renders for the next user."""
    yield
    assert sandbox.render(PLAIN, HI, {}).text == "user: hi"


@contextlib.contextmanager
def soon(value: Any) -> Iterator[None]:
    """Fail where something takes too long; show the input of what fails, as the corpus has it."""
    started = time.process_time()
    try:
        yield
        assert time.process_time() - started < MOST_S, "it took too long"
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            note(f"input: {json.dumps(value, default=str)[:4000]}")
        raise


def attempt(kind: type[Exception], what: Callable[[], Any]) -> Any:
    """What it gives, or the error of that kind that it ends in."""
    try:
        return what()
    except kind as error:
        return error


# --- what holds for each kind of input


def check_template(value: Any) -> None:
    """The traced text is the plain render; its runs cover it, and name characters that the message has."""
    source, chat = value
    conversation = Conversation.parse(chat)
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    plain = attempt(InspectorError, lambda: sandbox.texts(source, [conversation], special)[0])
    rendered = attempt(InspectorError, lambda: sandbox.render(source, conversation, special))
    if isinstance(rendered, TraceError):
        assert "differently each time" in str(rendered), str(rendered)
        return
    if isinstance(rendered, InspectorError):
        assert isinstance(plain, InspectorError), f"{rendered!r} instead of {plain!r:.200}"
        return
    assert ADDRESS.sub("", rendered.text) == ADDRESS.sub("", str(plain))
    assert sum(run.length for run in rendered.runs) == len(rendered.text)
    for start, end, run in rendered.spans():
        if run.offset is not None and run.origin.message_index is not None:
            own = value_at(conversation.messages[run.origin.message_index], run.origin.field or "")
            assert run.offset + run.length <= len(own), (run, own, rendered.text[start:end])


def value_at(message: Any, field: str) -> str:
    """The text at a path such as content[0].text; "" where a key has a dot or a bracket itself."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", field):
        message = message[int(index)] if index else message[name]
    return str(message)


def check_conversation(value: Any) -> None:
    """Refused by name, or the same after the way there and back, and all of it JSON."""
    with contextlib.suppress(InspectorError):
        conversation = Conversation.parse(value)
        assert repr(Conversation.parse(conversation.to_json())) == repr(conversation)
        json.dumps(conversation.to_json(), ensure_ascii=False).encode()
        sandbox._request(PLAIN, conversation, {}) if len(repr(value)) < 100_000 else None


def check_inspection(value: Any) -> None:
    """Labels are the id or -100, counts add up, and the view is JSON that closes no tag."""
    from ui.inspect_tab.view import inspect_view
    from ui.wiring.models import LoadedSetup

    chat, strategy = value
    setup = _setup(model="tiny-chat", conversation=chat, strategy=strategy)
    view = inspect_view(LoadedSetup(setup))
    shown = json.loads(view)
    assert "<" not in view
    view.encode()
    if "failure" in shown:
        assert "should not have" not in shown["failure"]["title"], shown["failure"]
        return
    inspection = setup.inspect()
    labels, trained = inspection.labels, inspection.trained
    assert all(label in (-100, id) for label, id in zip(labels, inspection.ids, strict=True))
    assert [int(label != -100) for label in labels] == trained
    assert shown["ids"] == inspection.ids
    assert [int(int(bits, 16) & 1) for bits in shown["classes"]] == trained
    json.dumps(inspection.to_dict(), ensure_ascii=False).encode()


def check_setup(value: Any) -> None:
    """A setup of any fields is refused by name, or inspected, or refused then."""
    from inspector.setup import Setup

    with contextlib.suppress(InspectorError):
        Setup.from_dict(value).inspect()


def check_file(value: Any) -> None:
    """Rows in their order, each readable or said why not, or one DataError; counting raises nothing at all."""
    from inspector.data.source import BadRow, DataSource, Row
    from inspector.errors import DataError

    name, data = value
    Path(name).unlink(missing_ok=True)  # what still reads the one before goes on with it
    Path(name).write_bytes(data)
    source = DataSource(name=f"./{name}")
    source.count()
    with contextlib.suppress(DataError):
        for number, row in enumerate(source.rows()):
            assert row.number == number
            assert isinstance(row, Row | BadRow)
            assert not isinstance(row, BadRow) or (row.why and len(row.raw) <= 200)


def check_source(value: Any) -> None:
    """Any name of a data set, and any pasted text."""
    from inspector.data.source import DataSource
    from inspector.errors import DataError

    with contextlib.suppress(DataError):
        DataSource(**value).count()
        list(DataSource(**value).rows(False))


def check_mapping(value: Any) -> None:
    """A layout and its conversations, or an error that names the column."""
    from inspector.data.formats import detect, read

    rows, mapping = value
    try:
        layout = detect(rows, mapping)
    except InspectorError:
        return
    json.dumps(layout.to_dict())
    for row in rows:
        with contextlib.suppress(InspectorError):
            sample = read(row, layout)
            assert sample.conversation.messages
            assert 0 <= sample.prompt_messages <= len(sample.conversation.messages)


def check_link(value: str) -> None:
    """A state whose setups are plain values, or a LinkError."""
    from ui.inspect_tab.links import LinkError, decode_link, encode_link

    with contextlib.suppress(LinkError):
        state = decode_link(value)
        json.dumps([setup.to_dict() for setup in state.setups()], ensure_ascii=False).encode()
        encode_link(state)


def check_log(value: str) -> None:
    """Examples with ids of the model, or a LogError."""
    from inspector.trainers.decode import decode_log

    with contextlib.suppress(InspectorError):
        decoded = decode_log(tiny_chat(), value).to_dict()
        json.dumps(decoded)
        assert all(0 <= id < len(tiny_chat().tokenizer) for example in decoded["examples"] for id in example["ids"])


def check_json_box(value: str) -> None:
    """What is typed into the JSON box is read, or said to be none; options are those that were written."""
    from ui.wiring.conversation_json import ConversationJsonError, parse_json, read_options, write_options

    options = read_options(value)
    try:
        parsed = parse_json(value)
        again = json.loads(write_options(value, options))
    except ConversationJsonError:
        return
    own = parsed["messages"] if isinstance(parsed, dict) and "messages" in parsed else parsed
    kept = again["messages"] if isinstance(again, dict) and "messages" in again and own is not again else again
    assert repr(kept) == repr(own) or repr(again) == repr(own)


def check_spec(value: Any) -> None:
    """A spec that says itself again, or a SpecError with every problem named."""
    import yaml

    from training.errors import SpecError
    from training.spec import parse_spec

    spec = attempt(SpecError, lambda: parse_spec(value))
    if isinstance(spec, SpecError):
        assert spec.problems
        assert len(str(spec)) < 100_000
        return
    assert parse_spec(yaml.safe_load(spec.to_yaml())) == spec
    json.dumps(spec.model_dump(mode="json"), allow_nan=False)


def check_config(value: str) -> None:
    """Another trainer's configuration: a spec and its warnings, or a SpecError; the form shows it or nothing."""
    from training.errors import TrainingError
    from training.importers import import_config
    from ui.train_tab.form import SETTINGS, read_values, with_value

    for part in (value, f"{value}\n"):
        with contextlib.suppress(TrainingError):
            found = import_config(part) if "\n" in part else None
            assert found is None or json.dumps(found.to_dict())
    read_values(value)
    with contextlib.suppress(TrainingError):
        with_value(value, next(iter(SETTINGS)), "x")


def check_model(value: Any) -> None:
    """A name, revision, template and special tokens of a model: loaded, or a ModelError."""
    from inspector import load
    from inspector.errors import ModelError

    tokens = value.pop("special_tokens", {})
    with contextlib.suppress(ModelError):
        load(**value).with_special_tokens(tokens)


def check_arguments(value: Any) -> None:
    """Exit status 0, 1 or 2, with a line on standard error for 2."""
    program, words = value
    from inspector.__main__ import main as inspector_main
    from training.__main__ import main as training_main

    main = {"inspector": inspector_main, "training": training_main}[program]
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors), _typed(""):
        try:
            status: Any = main(words)
        except SystemExit as error:
            status = error.code
    assert status in (0, 1, 2), status
    assert status != 2 or errors.getvalue().strip()


@contextlib.contextmanager
def _typed(text: str) -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.StringIO(text)
    try:
        yield
    finally:
        sys.stdin = before


def _setup(**values: Any) -> Any:
    from inspector.setup import Setup

    return Setup(**values)


@cache
def tiny_chat() -> Any:
    """The embedded model."""
    from inspector import load

    return load("tiny-chat")


CHECKS: dict[str, Callable[[Any], None]] = {
    "template": check_template,
    "conversation": check_conversation,
    "inspection": check_inspection,
    "setup": check_setup,
    "file": check_file,
    "source": check_source,
    "mapping": check_mapping,
    "link": check_link,
    "log": check_log,
    "json box": check_json_box,
    "spec": check_spec,
    "config": check_config,
    "model": check_model,
    "arguments": check_arguments,
}


# --- what was found before


def restored(value: Any) -> Any:
    """A value of the corpus: what JSON cannot hold, or would hold at length, is written as an object of one key."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$repeat"}:
        text, count = value["$repeat"]
        return text * count
    if set(value) == {"$join"}:
        return "".join(restored(value["$join"]))
    if set(value) == {"$power"}:
        base, exponent = value["$power"]
        return base**exponent
    if set(value) == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    if set(value) == {"$gzip"}:
        return gzip.compress(restored(value["$gzip"]).encode(), mtime=0)
    return {key: restored(item) for key, item in value.items()}


@pytest.mark.parametrize("file", sorted(path.name for path in CORPUS.glob("*.json")))
def test_what_failed_once_never_fails_again(file: str) -> None:
    """Each file of the corpus: its kind, its input, and why it failed."""
    case = json.loads((CORPUS / file).read_text(encoding="utf-8"))
    assert set(case) == {"kind", "input", "was"}
    with soon(case["input"]):
        CHECKS[case["kind"]](restored(case["input"]))


def _spec(**fields: Any) -> Any:
    from training.spec import parse_spec

    return parse_spec({"model": "tiny-chat", "data": "a.jsonl", **fields})


def _text_file(name: str) -> str:
    from inspector.files.text_files import read_text

    return read_text(name)


SAID: dict[str, tuple[Callable[[], Any], str]] = {
    "number": (
        lambda: Conversation.parse([{"role": "user", "n": 10**5000}]),
        "message 0, `n` holds a whole number of more than 10,000 bits: make it a text.",
    ),
    "file name": (
        lambda: _text_file("x\0.json"),
        "'x\\x00.json' cannot be read: that is not a file name (embedded null byte).",
    ),
    "model": (
        lambda: _setup(model="~a\0b", conversation=[]).load(),
        "'~a\\x00b' is not a model name: it has a character that no name can have.",
    ),
    "infinite": (lambda: _spec(epochs="1e999"), "epochs: Input should be a finite number; it is '1e999'."),
    "digits": (lambda: _spec(max_steps=-(10**5000)), "it is a number of thousands of digits."),
    "no JSON": (
        lambda: _spec(options={"last_only": float("nan")}),
        "options: holds a value that JSON cannot: Out of range float values are not JSON compliant",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_was_found_has_words(name: str) -> None:
    """What is wrong, where, and what to do, of values that nobody writes by hand."""
    from training.errors import TrainingError

    what, said = SAID[name]
    error = attempt(InspectorError, lambda: attempt(TrainingError, what))
    assert isinstance(error, InspectorError | TrainingError)
    assert said in str(error)


def test_a_template_that_renders_and_cannot_be_traced_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should there be one again: the tracer is to blame, not the template."""
    from inspector.rendering import render as template

    def broken(*_: Any) -> Any:
        raise TypeError("unhashable type: 'slice'")

    monkeypatch.setattr(template, "_trace", broken)
    with pytest.raises(TraceError, match=r"renders this conversation, but the traced render fails.*unhashable type"):
        template.render(PLAIN, HI, {})


def test_there_are_cases_enough() -> None:
    """Twenty thousand inputs in all, and no property without its count."""
    assert sum(examples * inputs for examples, inputs in CASES.values()) >= 20_000


# --- inputs

CHARACTERS = st.characters() | st.sampled_from("\ud800\udfff\x00\u202e\u2066\ufeff<>&\"'\n\r\u2028{}[]%")
TEXT = st.text(CHARACTERS, max_size=12)
NUMBERS = st.integers() | st.floats() | st.sampled_from([float("nan"), float("inf"), 2**63, -1, 10**400])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool", "<b>"]) | TEXT
CLEAN = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x00\u202e<>&\n a"), max_size=20)
MESSAGE = st.fixed_dictionaries(
    {"role": ROLES, "content": TEXT | CLEAN | JSON},
    optional={
        "tool_calls": JSON, "reasoning_content": TEXT | JSON, "name": JSON, "train": JSON, "from": JSON, "value": TEXT,
    },
)  # fmt: skip
CHAT = st.lists(MESSAGE | JSON, max_size=3) | st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=3) | JSON},
    optional={"tools": JSON, "documents": JSON, "chat_template_kwargs": JSON, "add_generation_prompt": JSON, "x": JSON},
)
GOOD_CHAT = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": CLEAN},
        optional={"reasoning_content": CLEAN, "train": st.booleans()},
    ),
    min_size=1,
    max_size=4,
)
CHATS = [
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "a <b> é"},
     {"role": "assistant", "content": "ba\u00df\n\u202e", "reasoning_content": "hm a"}],
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "aXa"}, {"type": "image"}]},
                  {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                  {"role": "tool", "content": "{\"a\": 1}"}],
     "tools": [{"type": "function", "function": {"name": "f"}}], "x": "key a", "add_generation_prompt": True},
    [{"role": "user", "content": ""}, {"role": "assistant", "content": "assistant  a'b\"c\n\n"}],
]  # fmt: skip


# --- the properties


@fuzz("template")
@given(fuzz_templates.templates() | fuzz_templates.templates() | fuzz_templates.attacks())
def test_any_template_is_rendered_as_transformers_does_or_refused(source: str) -> None:
    """Each over three conversations."""
    for chat in CHATS:
        with soon([source, chat]):
            check_template([source, chat])


@fuzz("bytes as a template")
@given(batch("bytes as a template", st.binary(max_size=40)))
def test_bytes_are_a_template_or_none(sources: list[bytes]) -> None:
    """Whatever the characters."""
    for source in sources:
        with soon(source):
            check_template(
                ["{{" + source.decode("latin-1") + "}}" if len(source) % 2 else source.decode("latin-1"), CHATS[2]]
            )


@fuzz("conversation")
@given(batch("conversation", CHAT | JSON))
def test_any_conversation_is_kept_or_refused(values: list[Any]) -> None:
    """By name, wherever the odd value stands."""
    for value in values:
        with soon(value):
            check_conversation(value)


@fuzz("text")
@given(batch("text", GOOD_CHAT))
def test_the_sandbox_writes_the_text_that_jinja_writes(chats: list[Any]) -> None:
    """Many conversations in one request; nothing of one is in another."""
    from inspector.rendering.plain_render import render_text

    conversations = [Conversation.parse(chat) for chat in chats]
    with soon(chats):
        texts = sandbox.texts(PLAIN, conversations, {}, together=len(conversations))
        assert texts == [render_text(PLAIN, conversation, {}) for conversation in conversations]
        assert texts == ["".join(f"{m['role']}: {m['content']}" for m in chat) for chat in chats]


@fuzz("inspection")
@given(
    GOOD_CHAT | CHAT, st.sampled_from(["traced", "traced", "full", "responses_only", "trl_assistant_only", "\ud800"])
)
def test_any_conversation_has_a_view(chat: Any, strategy: str) -> None:
    """Tokens whose labels and counts agree, or what is wrong, in words."""
    with soon([chat, strategy]):
        check_inspection([chat, strategy])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """A file of any kind: whole, cut, with flipped bytes, or of bytes alone."""
    kind = draw(st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".jsonl.gz", ".csv.gz"]))
    if draw(st.integers(0, 4)) == 0:
        return f"x{kind}", draw(st.binary(max_size=60))
    data = bytearray(whole_file(kind))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return f"x{kind}", bytes(data)


@cache
def whole_file(kind: str) -> bytes:
    """A few rows in a file of that kind."""
    import pyarrow
    from pyarrow import parquet

    rows = [{"prompt": f"Q{i} é", "completion": f'A"{i},\n', "n": i} for i in range(30)]
    table = pyarrow.Table.from_pylist(rows)
    out = io.BytesIO()
    if kind.endswith(".gz"):
        return gzip.compress(whole_file(kind.removesuffix(".gz")), mtime=0)
    if kind == ".parquet":
        parquet.write_table(table, out)
    elif kind == ".arrow":
        with pyarrow.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    elif kind == ".jsonl":
        out.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    elif kind == ".json":
        out.write(json.dumps(rows).encode())
    else:
        mark = "\t" if kind == ".tsv" else ","
        out.write(mark.join(rows[0]).encode() + b"\n")
        out.write("".join(f'"{row["prompt"]}"{mark}"x"{mark}{row["n"]}\n' for row in rows).encode())
    return out.getvalue()


@fuzz("file")
@given(batch("file", files()))
def test_any_file_gives_rows_or_says_why_not(values: list[tuple[str, bytes]]) -> None:
    """Whole, cut, flipped, of the wrong name."""
    for value in values:
        with soon([value[0], {"$bytes": base64.b64encode(value[1]).decode()}]):
            check_file(value)


COLUMNS = st.sampled_from(
    ["messages", "prompt", "completion", "chosen", "rejected", "label", "text", "system", "tools", "conversations",
     "instruction", "input", "output", "question", "answer", "chat_template_kwargs"]
) | TEXT  # fmt: skip
CELL = JSON | st.lists(MESSAGE, max_size=2) | TEXT | st.sampled_from(['[{"role": "user"', "[{}]", "{}", "true", b"x"])
ROW = st.dictionaries(COLUMNS, CELL, max_size=5)
MAPPING = st.none() | st.dictionaries(
    COLUMNS | st.sampled_from(["format", "text_column", "prompt_text_column", "rejected_text_column"]),
    COLUMNS | st.sampled_from(["messages", "preference", "unpaired", "alpaca_prompt"]),
    max_size=2,
)


@fuzz("mapping")
@given(batch("mapping", st.tuples(st.lists(ROW, max_size=3), MAPPING)))
def test_any_rows_have_a_layout_or_an_error(values: list[Any]) -> None:
    """With any mapping of their columns."""
    for value in values:
        with soon(value):
            check_mapping(value)


STATE = st.fixed_dictionaries(
    {"model": TEXT | st.just("tiny-chat")},
    optional={
        "conversation": TEXT | st.just('[{"role": "user", "content": "x"}]') | JSON, "rows": JSON | st.lists(JSON),
        "row": JSON, "token": JSON, "options": JSON, "policy": JSON, "strategy": JSON, "special_tokens": JSON,
        "new": JSON,
    },
)  # fmt: skip


def packed(value: Any) -> str:
    """A fragment that holds any value."""
    import zlib

    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode(), 1)).decode().rstrip("=")


def flipped(text: str, places: list[tuple[int, str]]) -> str:
    """The text with some characters changed."""
    characters = list(text)
    for place, character in places:
        characters[place % len(characters)] = character
    return "".join(characters)


LINK = st.one_of(
    (STATE | JSON).map(packed),
    st.builds(flipped, STATE.map(packed), st.lists(st.tuples(st.integers(0, 400), CHARACTERS), max_size=2)),
    st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABC0123456789-_=")),
    TEXT,
)


@fuzz("link")
@given(batch("link", LINK))
def test_any_link_opens_or_is_refused(values: list[str]) -> None:
    """Ours with anything in it, damaged ones, no links at all."""
    for value in values:
        with soon(value):
            check_link(value)


IDS = st.lists(st.integers(-1, 600) | st.sampled_from(["007", "\u0663", "1" * 30, ""]), max_size=8).map(
    lambda own: "[" + ", ".join(map(str, own)) + "]"
)
PHRASES = st.sampled_from(
    ["example had no assistant response in it!", "Could not find response key `x` in the following instance: ",
     "--prefix_ids 1,2", "--suffix_ids=\u0663", "This instance will be ignored", "not training-compatible", "\n", "["]
)  # fmt: skip


@fuzz("log")
@given(batch("log", st.lists(IDS | IDS | PHRASES | TEXT, max_size=3).map(" ".join).filter(lambda t: len(t) % 3)))
def test_any_log_is_decoded_or_refused(values: list[str]) -> None:
    """Ids that are none, ids of another model, words around them."""
    for value in values:
        with soon(value):
            check_log(value)


@fuzz("json box")
@given(batch("json box", TEXT | (CHAT | JSON).map(json.dumps)))
def test_any_text_in_the_json_box_is_read_or_refused(values: list[str]) -> None:
    """And the options beside it never raise."""
    for value in values:
        with soon(value):
            check_json_box(value)


def spec_fields() -> st.SearchStrategy[Any]:
    """The fields of a spec, each with a value of its own kind or of another one."""
    from training.spec import RunSpec

    names = [name for name in RunSpec.model_fields if name not in ("model", "data")]
    words = st.sampled_from(
        [
            "sft",
            "dpo",
            "kto",
            "full",
            "traced",
            "all",
            "none",
            "auto",
            "2e-4",
            "1e999",
            "nan",
            ".inf",
            "cosine",
            "keep_end",
        ]
    )
    block = st.dictionaries(
        st.sampled_from(["rank", "share", "data", "beta", "loss", "prompts", "every", "size", "repo", "name", "map"]),
        JSON | words, max_size=2,
    )  # fmt: skip
    return st.fixed_dictionaries(
        {"model": st.just("tiny-chat") | TEXT | JSON, "data": st.just("a.jsonl") | block | JSON},
        optional=dict.fromkeys(names, words | block | JSON | st.integers(0, 9)),
    )


@fuzz("spec")
@given(batch("spec", spec_fields() | st.dictionaries(TEXT | st.integers(), JSON, max_size=3) | JSON))
def test_any_spec_is_one_or_names_its_problems(values: list[Any]) -> None:
    """As YAML could hold it."""
    for value in values:
        with soon(value):
            check_spec(value)


CONFIGS = [
    "task: llm-sft\nbase_model: tiny-chat\nproject_name: x\ndata:\n  path: a.jsonl\nparams:\n  lr: 2e-4\n",
    "task: llm-orpo\nbase_model: a/b\nbackend: local\nparams: {epochs: 1, peft: true}\nhub: {token: x}\n",
    "model: tiny-chat\ndata: examples/data/question-answer.csv\nmax_steps: 3\nlearning_rate: 5e-3\n",
    "a: &a [1, 2]\nb: *a\nc: 2001-12-14\nd: !!int '1'\ne: |\n  x\n",
]
YAML = st.text(st.sampled_from("ab:-[]{}&*!|>#'\"\n %@,?0123456789.~<=") | CHARACTERS, max_size=40)
CONFIG = st.one_of(
    st.builds(flipped, st.sampled_from(CONFIGS), st.lists(st.tuples(st.integers(0, 200), CHARACTERS), max_size=3)),
    st.builds(lambda text, at, more: text[:at] + more + text[at:], st.sampled_from(CONFIGS), st.integers(0, 150), YAML),
    YAML,
)


@fuzz("config")
@given(batch("config", CONFIG))
def test_any_config_is_imported_or_refused(values: list[str]) -> None:
    """AutoTrain's YAML and ours, with anything in it."""
    for value in values:
        with soon(value):
            check_config(value)


WORDS = st.one_of(
    st.sampled_from(
        ["tiny-chat", "nowhere.json", "-", "--json", "--help", "a=b", "0/2", "[]", "{}", "full", "/", "~", ".", "1"]
    ),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8),
)
INSPECTOR = st.tuples(
    st.sampled_from(["inspect", "compare", "markers", "template", "export", "gallery", "audit", "merge", "decode"]),
    st.lists(
        WORDS | st.sampled_from(
            ["--template", "--revision", "--strategy", "--option", "--keep", "--max-length", "--map",
             "--special-tokens",
             "--shard", "--limit", "--fail-on", "--data", "--model", "--to", "--workers"]
        ), max_size=5,
    ),
)  # fmt: skip
TRAINING = st.tuples(
    st.sampled_from(["estimate", "rows", "list", "show", "watch", "stop", "rename", "delete", "compare", "import",
                     "merge",
                     "home-llm --print-spec", "x"]),
    st.lists(WORDS | st.sampled_from(["--limit", "--out", "--now", "train.py", "--model", "--run_name"]), max_size=4),
)  # fmt: skip


@fuzz("inspector's arguments")
@given(batch("inspector's arguments", INSPECTOR))
def test_any_arguments_of_the_inspector_end_in_a_status(values: list[Any]) -> None:
    """Done, something found, or unusable input with one line that says so."""
    for command, words in values:
        with soon([command, words]):
            check_arguments(["inspector", [command, *words]])


@fuzz("training's arguments")
@given(batch("training's arguments", TRAINING))
def test_any_arguments_of_training_end_in_a_status(values: list[Any]) -> None:
    """Of the commands that start nothing."""
    for command, words in values:
        with soon([command, words]):
            check_arguments(["training", [*command.split(), *words]])


def main() -> int:
    """Run the same with other examples, more of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--more", type=int, default=10, metavar="N", help="N times as many examples, other ones")
    os.environ["MASKSCOPE_FUZZ"] = str(parser.parse_args().more)
    return int(pytest.main(["-q", "-x", __file__]))


if __name__ == "__main__":
    sys.exit(main())
