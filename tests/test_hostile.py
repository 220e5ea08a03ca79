"""Attacks by name, and what their user sees; docs/security.md has them as a table.

Each ends in a named error or is shown safely, soon and in little memory, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import re
import socket
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from inspector import load
from inspector.conversation import Conversation
from inspector.data import files as row_files
from inspector.data.formats import detect
from inspector.data.source import DataSource
from inspector.errors import CorruptFileError, DataError, FormatError, InspectorError, RenderError
from inspector.rendering import sandbox
from inspector.setup import Setup
from tests.support.browser import DataPage, running_app
from tests.support.hub_server import HubServer
from tests.support.waiting import HANG_S
from tests.test_fuzz import whole_file
from ui.inspect_tab.view import boxes_view, inspect_view
from ui.wiring.boxes import Boxes
from ui.wiring.models import LoadedSetup

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from load import Browser  # noqa: E402

HI = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello."}]
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
SOON_S = 8.0
"""Most CPU time of this process that anything here may take; the templates' own processes have their limits."""
SERVED = 8
"""Inspections of one visitor while another one attacks."""
MARKUP = [
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    "'\"><svg onload=hacked=1>",
]

Models = Callable[..., str]


@pytest.fixture(autouse=True)
def served_afterwards() -> Iterator[None]:
    """The next user's chat is shown."""
    load("tiny-chat")
    sandbox.render("", Conversation.parse(HI), {})
    yield
    assert seen()["texts"]


@contextmanager
def soon(seconds: float = SOON_S) -> Iterator[None]:
    """What happens inside takes no more CPU time."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


def seen(**setup: Any) -> dict[str, Any]:
    """What the view shows."""
    with soon():
        view = inspect_view(LoadedSetup(Setup(**{"model": "tiny-chat", "conversation": HI, **setup})))
    assert "<" not in view
    return dict(json.loads(view.encode()))


def refused(**setup: Any) -> str:
    """The title and the words of a view that shows no tokens."""
    failure = seen(**setup)["failure"]
    assert "should not have" not in failure["title"], failure
    return f"{failure['title']}: {failure['detail']}"


# --- templates


def test_an_endless_loop_is_stopped() -> None:
    """After a second and a half of CPU time."""
    said = refused(template=ENDLESS)
    assert said.startswith("The template took too long: The chat template ran for more than 1.5 s of CPU time, the ")


def test_a_range_of_a_billion_is_refused() -> None:
    """At once."""
    assert "The template failed: The chat template failed at line 1: OverflowError: Range too big" in refused(
        template="{% for i in range(10**9) %}{% endfor %}"
    )


def test_a_text_of_a_billion_characters_is_stopped() -> None:
    """By the memory that its process has."""
    for source in ("{{ 'a' * 10**9 }}", "{{ '%1000000000d' % 1 }}", "{{ [0] * 10**9 }}"):
        assert refused(template=source).startswith("The template used too much memory: ")


def test_a_macro_that_calls_itself_is_stopped() -> None:
    """With the template's line."""
    said = refused(template="\n{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")
    assert said.startswith(
        "The template failed: The chat template recurses too deeply at line 2: a macro or loop calls"
    )


def test_python_s_insides_are_withheld() -> None:
    """Classes, globals, the order of classes: forbidden, or not there at all."""
    for source in ("''.__class__.__mro__", "namespace.__init__.__globals__", "cycler.__init__.__globals__.os.environ",
                   "messages.append.__self__.__class__", "''.__class__.mro()"):  # fmt: skip
        said = refused(template="{{ " + source + " }}")
        assert said.startswith(
            "The template was stopped: The chat template reached for something the sandbox withholds"
        )
    for source in ("''|attr('__class__')", "''['__class__']", "lipsum.__globals__", "messages[0]._origin"):
        assert seen(template="a{{ " + source + " }}")["texts"] == ["a"]


def test_format_strings_reach_nothing() -> None:
    """Neither the method nor the filter."""
    for source in (
        "'{0.__class__}'.format(messages)",
        "'{0._origin}'.format(messages[0])",
        "'{x.__init__}'.format(x=cycler)",
    ):
        said = sandbox.texts("{{ " + source + " }}", [Conversation.parse(HI)], {})[0]
        assert said == "" or isinstance(said, RenderError)


def test_a_refusal_carries_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """raise_exception shows the template's own words; the process that says them has no token."""
    from tests.inspector.rendering.test_sandbox import kill_children

    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    kill_children()
    for source in ("environ", "os.environ.HF_TOKEN", "self", "caller", "strftime_now('%Z')", "messages"):
        said = json.dumps(seen(template="{{ raise_exception(" + source + " ~ '') }}"))
        assert "hf_secretsecret" not in said
        assert "failure" in said


def test_files_and_modules_cannot_be_read() -> None:
    """No loader, no import, no open."""
    for source in (
        "{% include '/etc/passwd' %}",
        "{% import 'os' as o %}",
        "{% extends '/etc/passwd' %}",
        "{{ open('x') }}",
    ):
        said = refused(template=source + "{{ 1 }}")
        assert said.startswith("The template failed: ")
        assert "root:" not in said


def test_nothing_of_one_visitor_is_left_for_the_next() -> None:
    """Templates of several visitors run in one process, one behind the other."""
    secret = "{% set ns = namespace(a='SECRET') %}{% set x = 'SECRET' %}{% macro m() %}SECRET{% endmacro %}"
    secret += "{{ m() ~ x ~ ns.a }}"
    conversation = Conversation.parse([{"role": "user", "content": "SECRET"}])
    for _ in range(8):
        sandbox.render(secret, conversation, {"bos_token": "SECRET"})
        assert (
            "SECRET"
            not in sandbox.render(
                "{{ ns }}{{ x }}{{ m }}{{ bos_token }}{{ messages }}", Conversation.parse(HI), {}
            ).text
        )


# --- tokenizer files


@pytest.fixture
def model(tmp_path: Path) -> Models:
    """A function that writes a model's folder: tiny-chat's tokenizer with changes, and files beside it."""

    def folder(files: dict[str, str | bytes] | None = None, **changes: Any) -> str:
        path = tmp_path / "model"
        path.mkdir(exist_ok=True)
        own = json.loads((ROOT / "models/tiny-chat/tokenizer.json").read_text(encoding="utf-8"))
        path.joinpath("tokenizer.json").write_text(json.dumps(own | changes), encoding="utf-8")
        config = ROOT / "models/tiny-chat/tokenizer_config.json"
        path.joinpath("tokenizer_config.json").write_bytes(config.read_bytes())
        for name, data in (files or {}).items():
            path.joinpath(name).write_bytes(data.encode() if isinstance(data, str) else data)
        return str(path)

    return folder


CHATML = "{% for m in messages %}{{ m.content }}{% endfor %}"


def test_damaged_tokenizer_files_are_named(model: Models) -> None:
    """No JSON, cut short, nested without end, another shape: the file, and what is wrong with it."""
    whole = (ROOT / "models/tiny-chat/tokenizer.json").read_bytes()
    for data in (b"{", whole[: len(whole) // 2], b"[" * 200_000, b"[]", b"{}", b'{"model": 3}', b"\xff\xfe", b""):
        said = refused(model=model({"tokenizer.json": data}), template=CHATML)
        assert said.startswith("A file cannot be read: tokenizer.json of "), said


def test_an_enormous_tokenizer_file_is_not_fetched(
    hub: HubServer, model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is asked for first; in a folder it is not opened."""
    monkeypatch.setattr("inspector.model.place.MAX_FILE_BYTES", 20_000)
    hub.add("someone/enormous", Path(model()))
    said = r"tokenizer\.json of .* has [\d,]+ bytes; of a tokenizer's file up to 20,000 are read\. Use a model whose"
    with pytest.raises(CorruptFileError, match=said):
        load("someone/enormous", token=False)
    assert not [
        request.path for request in hub.requests if "/resolve/" in request.path and "tokenizer.json" in request.path
    ]
    with pytest.raises(CorruptFileError, match=said):
        load(model())


def test_a_pattern_that_backtracks_is_given_up(model: Models) -> None:
    """In the normalizer or the pre-tokenizer; the panic of the library is an error like others."""
    evil = {"Regex": "(a|a)*(a|aa)+$"}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": evil, "behavior": "Isolated", "invert": False}
    chat = [{"role": "user", "content": "a" * 2000 + "!"}]
    for changes in (
        {"normalizer": {"type": "Replace", "pattern": evil, "content": "b"}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]}},
    ):
        said = refused(model=model(**changes), template=CHATML, conversation=chat)
        assert said.startswith("The tokens cannot be aligned: The tokenizer of ")
        assert "gave up on the text: Onig: Regex search error: retry-limit-in-match over" in said


def test_code_of_a_repository_is_never_run(model: Models, tmp_path: Path) -> None:
    """auto_map is refused, and the file beside it is not imported."""
    config = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    code = f"open({str(tmp_path / 'run')!r}, 'w')\nclass Own: pass\n"
    said = refused(model=model({"tokenizer_config.json": json.dumps(config), "own.py": code}))
    assert said.startswith(("The tokenizer is code, which is never run: ", "Choose a chat template: ")), said
    (tmp_path / "model" / "tokenizer.json").unlink()
    said = refused(model=str(tmp_path / "model"), template=CHATML)
    assert said.startswith(("The tokenizer is code, which is never run: ", "No tokenizer there: ")), said
    assert not (tmp_path / "run").exists()


# --- messages


def test_any_type_anywhere_is_refused_by_its_place() -> None:
    """In the JSON box, as a visitor would paste it."""
    for text, said in (
        ("3", "A conversation is a list of messages or an object with `messages`, not a number."),
        ('[{"role": 1}]', "message 0: `role` must be text, not a number."),
        (
            '[{"role": "user", "content": "x"}, []]',
            "message 1 must be an object with `role` and `content`, not a list.",
        ),
        ('{"messages": [{"role": "user"}], "tools": {}}', "`tools` must be a list of objects, not an object."),
        ("[" * 100_000, "The conversation is nested too deeply."),
        ("[" + "1" * 5_000 + "]", "The conversation holds a number of thousands of digits: make it a text."),
        ('[{"role": "user", "content": ' + "[" * 80 + "]" * 80 + "}]", "is nested more than 64 levels deep."),
    ):
        view = json.loads(boxes_view(Boxes(model="tiny-chat", conversation=text)))
        assert said in view["failure"]["detail"]
    for content in ({}, [], None, True, 1e308, float("nan"), [{"type": "image"}], {"a": [None]}):
        assert seen(conversation=[{"role": "user", "content": content}])


def test_half_a_surrogate_is_refused() -> None:
    """And the words about it can be sent."""
    for chat in ([{"role": "user", "content": "\ud800"}], [{"role": "\udfff", "content": "x"}], [{"\ud800": 1}]):
        assert "half of a surrogate pair" in refused(conversation=chat)
    assert "half of a surrogate pair" in refused(special_tokens={"pad_token": "\ud800"})


def test_nul_is_a_character_like_others() -> None:
    """Nothing ends there."""
    view = seen(conversation=[{"role": "user", "content": "a\0b"}])
    assert "a\0b" in "".join(view["texts"])


def test_ten_megabytes_are_refused_before_they_are_read() -> None:
    """In a moment."""
    text = json.dumps([{"role": "user", "content": "x" * 10_000_000}])
    with soon(1):
        view = json.loads(boxes_view(Boxes(model="tiny-chat", conversation=text)))
    assert view["failure"]["title"] == "That cannot be read"
    assert view["failure"]["detail"].startswith("The conversation is 10,000,0")
    assert refused(conversation=[{"role": "user", "content": "x" * 10_000_000}]).startswith(
        "Too long: The template and the"
    )


@pytest.mark.browser
def test_markup_never_becomes_markup(page: DataPage) -> None:
    """In contents, roles, names of tools, templates and models; and what would reorder text is shown by its code."""
    found = "[...document.querySelectorAll('img[src=x], svg[onload], script')]"
    elements = f"{found}.filter(e => /hacked/.test(e.outerHTML)).length"
    for payload in MARKUP:
        page.set_json(
            [{"role": payload, "content": payload}, {"role": "assistant", "content": f"\u202e{payload}\U000e0041\0"}]
        )
        page.set_json({"messages": [{"role": "user", "content": payload}], "tools": [{"name": payload}], "x": payload})
        assert payload in "".join(text for text, _ in page.tokens())
        page.set_template("{{ raise_exception('" + payload.replace("'", "") + "') }}")
        assert payload.replace("'", "") in page.failure()
        page.set_model(payload)
        assert "is not a model name" in page.failure()
        page.set_model("tiny-chat")
        assert page.tab.evaluate(elements) == 0
        assert page.tab.evaluate("window.hacked") is None
    page.set_json([{"role": "user", "content": "a\u202eb\U000e0041c"}])
    shown = "".join(text for text, _ in page.tokens())
    assert "\\u202e" in shown
    assert "\\u{e0041}" in shown
    assert "\u202e" not in shown


# --- data sets


def read(path: Path | str, text: str = "") -> list[Any]:
    """The rows of a file."""
    return list(DataSource(name=str(path), text=text).rows(False))


def test_a_gzip_bomb_is_refused_while_it_unpacks(tmp_path: Path) -> None:
    """Long before it is unpacked, whatever it is called, and in little memory."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"[" * 1_000_000) for _ in range(120)) + packer.flush()
    for name in ("x.jsonl.gz", "x.csv.gz"):
        (tmp_path / name).write_bytes(bomb)
        with soon(), pytest.raises(DataError, match=r"unpacks to more than 100 times its size, as no data set does"):
            read(tmp_path / name)
    (tmp_path / "y.jsonl.gz").write_bytes(gzip.compress(b"\n" * 1_100_000))
    (tmp_path / "y.csv.gz").write_bytes(gzip.compress(b"\n" * 1_100_000))
    for name in ("y.jsonl.gz", "y.csv.gz"):
        with soon(), pytest.raises(DataError, match=r"there are more than 1,000,000 blank lines before it\."):
            read(tmp_path / name)
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read(tmp_path / "x.jsonl.gz")
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


def test_packed_json_is_limited_by_what_it_unpacks_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be read whole."""
    monkeypatch.setattr(row_files, "MAX_PACKED_JSON_BYTES", 1_000)
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps([{"text": "x" * 2_000}]).encode()))
    with pytest.raises(DataError, match=r"x\.json\.gz is over 0 MB of JSON in one piece: use JSONL, a row a line\."):
        read(tmp_path / "x.json.gz")


def test_a_zip_is_no_data_file(tmp_path: Path) -> None:
    """Archives are not opened at all."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../../x.jsonl", "{}")
    with pytest.raises(DataError, match=r"x\.zip is not a data file: its name must end in"):
        read(tmp_path / "x.zip")


def test_a_hundred_thousand_columns_are_few_words(tmp_path: Path) -> None:
    """The row is read; what is said about it is short."""
    names = [f"column {i}" for i in range(100_000)]
    (tmp_path / "x.jsonl").write_text(json.dumps(dict.fromkeys(names, "x")) + "\n", encoding="utf-8")
    (tmp_path / "x.csv").write_text(",".join(names) + "\n" + ",".join("x" for _ in names) + "\n", encoding="utf-8")
    for name in ("x.jsonl", "x.csv"):
        with soon():
            (row,) = read(tmp_path / name)
            with pytest.raises(
                FormatError, match=r"No layout fits the columns 'column 0', .*'column 19', \.\.\."
            ) as caught:
                detect([row.value])
        assert len(str(caught.value)) < 1_000


def test_a_damaged_arrow_or_parquet_file_ends_nobody(tmp_path: Path) -> None:
    """Some ended the whole process once."""
    damaged = json.loads((ROOT / "tests/data/fuzz_corpus/file-arrow-damaged.json").read_text())["input"][1]["$bytes"]
    (tmp_path / "x.arrow").write_bytes(base64.b64decode(damaged))
    (tmp_path / "x.parquet").write_bytes(whole_file(".parquet")[:-20] + b"\xff" * 20)
    for name in ("x.arrow", "x.parquet"):
        with pytest.raises(DataError, match=rf"{name} cannot be read: "):
            read(tmp_path / name)


def test_nothing_that_is_saved_is_a_spreadsheet() -> None:
    """What could be run from a cell needs a sheet: reports are JSON and HTML, rows JSONL and Parquet."""
    from inspector.exports.rows import write_rows

    with suppress(TypeError, InspectorError):
        write_rows("x.csv", [])  # type: ignore[call-arg, arg-type]
    assert not Path("x.csv").exists()
    for package in ("inspector", "ui", "training"):
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"csv\.(writer|DictWriter)|to_csv|to_excel", path.read_text(encoding="utf-8")), path


def test_a_report_s_page_holds_no_markup_of_a_data_set() -> None:
    """Of contents, roles, names of files; formulas stay words."""
    from inspector.audit.html import to_html
    from inspector.audit.run import Task, audit

    rows = [{"messages": [{"role": "user", "content": m}, {"role": "assistant", "content": m}]} for m in MARKUP]
    rows += [{"messages": [{"role": m, "content": '=HYPERLINK("http://x")'}]} for m in MARKUP]
    text = "\n".join(json.dumps(row) for row in rows)
    page = to_html(audit(Task(model=load("tiny-chat")), DataSource(text=text), workers=1))
    assert "onerror=window.hacked" not in re.sub(r"&lt;.*?&gt;", "", page)
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "<script>window" not in page


def configured(files: str) -> dict[str, bytes | str]:
    """A data set whose card names its files."""
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {json.dumps(files)}\n---\n"
    return {"README.md": card, "a.jsonl": '{"text": "fine"}\n'}


def test_a_data_set_names_no_file_outside_of_itself(hub: HubServer, tmp_path: Path, no_requests: list[Any]) -> None:
    """Neither of the machine nor at an address; nobody is asked for it."""
    (tmp_path / "own.jsonl").write_text('{"text": "SECRET"}\n')
    outside = [str(tmp_path / "own.jsonl"), "http://169.254.169.254/x.jsonl", "ftp://127.0.0.1/x.jsonl", "file:///etc/x.jsonl",
               "zip://x.jsonl::http://127.0.0.1/x.zip", "~/x.jsonl"]  # fmt: skip
    for number, files in enumerate(outside):
        hub.add(f"someone/rows{number}", configured(files), kind="datasets")
        with pytest.raises(DataError, match=r"it names '.*', which is not one of its files"):
            read(f"someone/rows{number}")
    hub.add("someone/rows", configured("*.jsonl"), kind="datasets")
    assert [row.value for row in read("someone/rows")] == [{"text": "fine"}]
    assert no_requests == []


def test_pictures_of_a_data_set_are_not_opened(hub: HubServer, no_requests: list[Any]) -> None:
    """A row may name any path or address as one."""
    card = "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n---\n"
    for name, path in (("one", "/etc/passwd"), ("other", "http://169.254.169.254/x.png")):
        row = json.dumps({"image": {"path": path, "bytes": None}})
        hub.add(f"pictures/{name}", {"README.md": card, "a.jsonl": row + "\n"}, kind="datasets")
        assert [row.value for row in read(f"pictures/{name}")] == [{"image": {"bytes": None, "path": path}}]
    assert no_requests == []


def test_arrow_files_of_the_hub_are_closed_to_visitors(hub: HubServer) -> None:
    """A damaged one ends the process in a library; uploads are checked."""
    hub.add("someone/arrow", {"a.arrow": whole_file(".arrow")}, kind="datasets")
    with pytest.raises(DataError, match="it holds Arrow files, which are read from an upload only"):
        read("someone/arrow")


# --- names


@pytest.fixture
def no_requests(monkeypatch: pytest.MonkeyPatch, hub: HubServer) -> list[Any]:
    """Every address that was asked for, other than the hub's."""
    asked: list[Any] = []
    connect, port = socket.socket.connect, int(hub.url.rsplit(":", 1)[1])

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[1] != port:
            asked.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    return asked


def test_names_of_models_reach_no_file_and_no_address(
    monkeypatch: pytest.MonkeyPatch, no_requests: list[Any], hub: HubServer
) -> None:
    """On an open page, nothing but a hub id leaves; not even the hub is asked for others."""
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    before = len(hub.requests)
    for name in ("../../etc", "/etc", "~", "~root", "a/../../b", "..\\x", ".", "file:///etc/passwd", "http://127.0.0.1:80/x",
                 "http://169.254.169.254/latest", "https://huggingface.co/../x", "a\0b", "~a\0b", "x" * 5_000,
                 "a--b/c", "", "hf://x", "a/b/c", "\ud800", "models/tiny-chat", "tests"):  # fmt: skip
        said = refused(model=name)
        assert said.startswith(("That is not a model's name: ", "That did not work: ")), said
    assert no_requests == []
    assert hub.requests[before:] == []


def test_names_of_data_sets_reach_no_file_and_no_address(
    monkeypatch: pytest.MonkeyPatch, no_requests: list[Any], hub: HubServer
) -> None:
    """The same on the Data tab."""
    from ui.data_tab.boxes import NAME, DataBoxes
    from ui.data_tab.events import preview_of

    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    before = len(hub.requests)
    boxes = Boxes(model="tiny-chat", conversation=json.dumps(HI))
    for name in ("../x", "/etc/passwd", "~/x.jsonl", "x.jsonl", "http://127.0.0.1/x.jsonl", "file:///etc/passwd",
                 "a\0b", "tests", "s3://x/y", "a::b"):  # fmt: skip
        shown = preview_of(DataBoxes(data_kind=NAME, data_name=name), boxes)["data_preview"]
        assert "Here only data sets of the hub can be named" in shown, (name, shown)
    shown = preview_of(DataBoxes(data_kind=NAME, data_name="x" * 5_000), boxes)["data_preview"]
    assert "is not the name of a data set: File name too long" in shown
    assert no_requests == []
    assert hub.requests[before:] == []


def test_a_session_s_word_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A browser says itself what its session is called; its runs stay in a folder below the others'."""
    from gradio.context import LocalContext

    from ui.visitors import own_runs

    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    monkeypatch.setenv("MASKSCOPE_RUNS", str(tmp_path / "runs"))
    folders = set()
    for word in ("../..", "/etc", ".", "a/../../b", "\ud800", "own"):
        token = LocalContext.request.set(SimpleNamespace(session_hash=word))
        folders.add(own_runs.root())
        LocalContext.request.reset(token)
    assert {folder.parent for folder in folders} == {tmp_path / "runs" / "visitors"}
    assert len(folders) == 6
    assert all(re.fullmatch("[0-9a-f]{20}", folder.name) for folder in folders)


# --- links and YAML


def opened(value: Any) -> dict[str, Any]:
    """The view that a link with any value in it opens."""
    from ui.inspect_tab.events import on_open

    text = (
        value
        if isinstance(value, str)
        else base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode()
    )
    with soon():
        changes = on_open(text.rstrip("="))
    json.dumps(changes["conversation"], ensure_ascii=False).encode()
    return dict(json.loads(changes["view"]))


def test_a_link_with_foreign_fields_is_refused() -> None:
    """Of another version, or somebody else's; the page opens with its example."""
    for name in ("autorun", "__class__", "template_sources", "revision "):
        failure = opened({"model": "tiny-chat", "conversation": "[]", name: "x"})["failure"]
        assert failure["title"] == "This link cannot be opened"
        assert failure["detail"] == f"The link has a field {name!r} that this version does not read."
    for value in ([], {"model": 3}, {"model": "x", "rows": 3}, {"model": "x", "conversation": "["}, "%%%", "eJw"):
        assert opened(value)["failure"]["title"] == "This link cannot be opened"


def test_a_link_s_options_are_no_arguments() -> None:
    """Named like a field of the setup."""
    value = {"model": "tiny-chat", "conversation": json.dumps(HI), "options": {"model": "x"}}
    said = opened(value)["failure"]["detail"]
    assert "The options hold 'model', which is a field of the setup, not an option of a strategy." in said


def test_a_link_that_unpacks_to_megabytes_is_refused() -> None:
    """Without unpacking them."""
    bomb = base64.urlsafe_b64encode(zlib.compress(b"[" * 30_000_000, 9)).decode()
    tracemalloc.start()
    try:
        assert "The link holds more than a page can show" in opened(bomb)["failure"]["detail"]
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert "characters long; the limit is 120,000" in opened("A" * 1_000_000)["failure"]["detail"]


def test_a_link_with_half_a_surrogate_is_refused() -> None:
    """It would be sent back in the boxes, and no answer could hold it."""
    for value in (
        {"model": "\ud800"},
        {"model": "tiny-chat", "conversation": json.dumps(HI), "template_source": "{{ '\ud800' }}"},
    ):
        assert opened(value)["failure"]["detail"].startswith("The link is damaged")


REFERENCES = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
REFERENCES += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
MERGES = ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 40))]
YAML = {
    "references": ("\n".join([*REFERENCES, "model: *a11\n"]), "its references stand for more than 100,000 values"),
    "merges": ("\n".join([*MERGES, ""]), "references"),
    "itself": ("model: &a [*a]\n", "it refers to itself"),
    "nested": ("[" * 5_000 + "\n", "it is nested too deeply"),
    "nested in a mapping": ("a: " + "{b: [" * 101 + "]}" * 101 + "\n", "it is nested too deeply"),
    "no date": ("data: 2001-99-99\n", "a value does not fit its type (ValueError: month must be in 1..12)"),
    "no number": ("a: !!int x\n", "a value does not fit its type (ValueError"),
    "an object": ("a: !!python/object:os.system x\n", "could not determine a constructor"),
    "long": ("a: b\n" * 50_000, "it has 250,000 characters, and up to 100,000 are read"),
}
"""YAML that grows, that has no end, or that PyYAML fails on, and what is said of it."""


def from_file(text: str) -> None:
    """A spec read from a file, as the commands do."""
    from training.spec import read_spec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        path.write_text(text, encoding="utf-8")
        read_spec(str(path))


def doors() -> dict[str, Callable[[str], Any]]:
    """Everything that reads YAML which others wrote."""
    from training.importers import import_config
    from training.spec import parse_text
    from ui.train_tab.form import with_value

    return {
        "a configuration": import_config,
        "the spec's box": parse_text,
        "the spec's settings": lambda text: with_value(text, "steps", 3),
        "a file": from_file,
    }


@pytest.mark.parametrize("yaml", YAML)
@pytest.mark.parametrize("door", ["a configuration", "the spec's box", "the spec's settings", "a file"])
def test_yaml_fails_in_one_way_at_every_door(door: str, yaml: str) -> None:
    """A few lines that stand for billions of values, or for themselves, are a SpecError that says so."""
    from training.errors import SpecError

    text, message = YAML[yaml]
    with soon(), pytest.raises(SpecError, match=re.escape(message)):
        doors()[door](text)


@pytest.mark.parametrize("yaml", YAML)
def test_yaml_of_accelerate_fails_like_any_other(tmp_path: Path, yaml: str) -> None:
    """A configuration of accelerate that cannot be read is not started with."""
    from training.errors import SpecError
    from training.launch.engines import check_machine
    from training.spec import parse_spec

    path = tmp_path / "accelerate.yaml"
    path.write_text(YAML[yaml][0], encoding="utf-8")
    spec = {"model": "tiny-chat", "data": "examples/data/messages.jsonl", "engine": {"accelerate_config": str(path)}}
    with soon(), pytest.raises(SpecError, match="is not a file of `accelerate config`"):
        check_machine(parse_spec(spec))


# --- the server


@pytest.fixture(scope="module")
def open_server() -> Iterator[str]:
    """The address of a server that is open to visitors."""
    before = os.environ.get("MASKSCOPE_PUBLIC")
    os.environ["MASKSCOPE_PUBLIC"] = "1"
    try:
        with running_app() as address:
            yield address
    finally:
        del os.environ["MASKSCOPE_PUBLIC"]
        if before is not None:
            os.environ["MASKSCOPE_PUBLIC"] = before


class Client(httpx.AsyncClient):
    """Sends whatever it is given: a lone surrogate, which httpx would refuse to write, as its escape."""

    async def post(self, url: Any, *, json: Any = None, **options: Any) -> httpx.Response:  # type: ignore[override]
        headers = {"content-type": "application/json"}
        return await super().post(url, content=_dumps(json), headers=headers, **options)


_dumps = json.dumps


def visits(address: str, what: Callable[[Browser, Browser], Any]) -> Any:
    """Have two visitors do something: one who attacks, and another one, for whom all is loaded."""

    async def both() -> Any:
        async with Client(base_url=address, timeout=HANG_S, trust_env=False) as client:
            config = (await client.get("/config")).json()
            attacker, other = Browser(client, config, "attacker"), Browser(client, config, "other")
            for browser in (attacker, other):
                browser.set("template-source", "")
                browser.set("conversation", json.dumps(HI))
            await other.trigger("conversation", "input")
            return await what(attacker, other)

    with ThreadPoolExecutor(1) as thread:  # a browser's loop runs in this one
        return thread.submit(asyncio.run, both()).result()


async def inspected(browser: Browser, content: str) -> None:
    """Edit, and wait for its tokens."""
    browser.set("conversation", json.dumps([{"role": "user", "content": content}]))
    assert content in await browser.trigger("conversation", "input")


def test_others_are_served_while_one_attacks(open_server: str) -> None:
    """While one endless template after the other runs, another visitor's inspections do not each wait for one."""

    async def attack(attacker: Browser, other: Browser) -> None:
        attacker.set("template-source", ENDLESS)
        said: list[str] = []
        is_over = False

        async def attacks() -> None:
            while not is_over:
                said.append(await attacker.trigger("template-source", "input"))

        running = asyncio.create_task(attacks())
        for i in range(SERVED):
            await inspected(other, f"marker-{i}")
        assert len(said) < SERVED / 2
        is_over = True
        await running
        assert all("The template took too long" in one for one in said)

    visits(open_server, attack)


def test_what_no_page_would_send_is_refused(open_server: str) -> None:
    """Values of other types, halves of surrogate pairs, a path as an upload; then the next is answered."""

    async def attack(attacker: Browser, other: Browser) -> str:
        said = ""
        for element, value in (
            ("conversation", 3), ("conversation", {"a": []}),
            ("template-source", ["x"]), ("template-source", "{{ '\ud800' }}"), ("template-source", "{% if %}\ud800"),
            ("conversation", '"\ud800'), ("data-file", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}),
        ):  # fmt: skip
            kept = attacker.values.copy()
            attacker.set(element, value)
            event = ("data-kind", "input") if element == "data-file" else (element, "input")
            attacker.set("data-kind", "file") if element == "data-file" else None
            with suppress(RuntimeError, httpx.HTTPError):
                said += await asyncio.wait_for(attacker.trigger(*event), HANG_S)
            attacker.values = kept
            await inspected(other, "marker-x")
        return said

    said = visits(open_server, attack)
    assert "root:" not in said


def test_half_a_surrogate_in_a_box_is_answered(open_server: str) -> None:
    """The page echoes what is typed: an answer with it could not be sent."""

    async def attack(attacker: Browser, other: Browser) -> str:
        attacker.set("conversation", '[{"role": "user", "content": "\ud800"}]')
        said = await attacker.trigger("conversation", "input")
        await inspected(other, "marker-y")
        return said

    assert "`content` has half of a surrogate pair" in visits(open_server, attack)


# --- the table


def test_every_attack_is_in_the_table() -> None:
    """docs/security.md names each test of this file, and no other."""
    table = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", table)
    own = re.findall(r"^def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(set(own) - {"test_every_attack_is_in_the_table"})
