"""A page that is open to visitors: no file of the machine, no token of its owner; and what goes with them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from inspector.errors import ModelNameError
from inspector.setup import Setup
from tests.support.waiting import HANG_S, wait_until
from training.errors import SpecError
from training.spec import parse_spec
from ui.page import build_page, launch_options
from ui.visitors import access, sessions
from ui.wiring.models import load_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An open page."""
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    return monkeypatch


def signed_in(name: str, session: str = "one") -> SimpleNamespace:
    """A request as gradio makes it after a sign-in."""
    info = {"oauth_info": {"userinfo": {"preferred_username": name}}}
    return SimpleNamespace(session=info, session_hash=session)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"SPACE_ID": "a/b"}, True),
        ({"SPACE_ID": "a/b", "MASKSCOPE_PUBLIC": "0"}, False),
        ({"MASKSCOPE_PUBLIC": "1"}, True),
        ({"MASKSCOPE_PUBLIC": "yes"}, True),
        ({"MASKSCOPE_PUBLIC": ""}, False),
    ],
)
def test_a_space_is_open_unless_its_owner_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool
) -> None:
    """And what is no Space is not."""
    for name in ("SPACE_ID", "MASKSCOPE_PUBLIC"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert access.is_public() is expected
    assert access.hub_token() is (False if expected else None)


def test_training_is_off_for_visitors_unless_turned_on(public: pytest.MonkeyPatch) -> None:
    """For all of them, or for the owner who has signed in."""
    public.delenv("MASKSCOPE_TRAINING", raising=False)
    assert access.who_trains() == "nobody"
    public.setenv("MASKSCOPE_TRAINING", "1")
    assert access.who_trains() == "all"
    public.setenv("MASKSCOPE_TRAINING", "owner")
    assert access.who_trains() == "owner"
    public.setenv("SPACE_AUTHOR_NAME", "somebody")
    assert access.is_owner(signed_in("somebody"))
    assert not access.is_owner(signed_in("somebody-else"))
    assert not access.is_owner(SimpleNamespace(session={}))
    assert not access.is_owner(None)
    public.delenv("SPACE_AUTHOR_NAME")
    assert not access.is_owner(signed_in(""))
    public.setenv("MASKSCOPE_PUBLIC", "0")
    assert access.who_trains() == "all"


@pytest.mark.parametrize("name", ["/etc", "./models", "models/tiny-chat", "~", "../x", "a/../../etc", "..\\x", "tests"])
def test_folders_are_not_open_to_visitors(public: pytest.MonkeyPatch, name: str) -> None:
    """Not even those that look like a hub id; on one's own machine they are."""
    public.chdir(ROOT)
    with pytest.raises(ModelNameError, match=r"Folders of this machine are not open to visitors\. Type a hub id such"):
        load_model(name, "")
    assert load_model("tiny-chat", "").name == "tiny-chat"
    public.setenv("MASKSCOPE_PUBLIC", "0")
    assert load_model("models/tiny-chat", "").name == "models/tiny-chat"


@pytest.mark.parametrize("name", ["http://127.0.0.1:8000/x", "file:///etc/passwd", "http://169.254.169.254/latest"])
def test_addresses_are_no_models(public: pytest.MonkeyPatch, name: str) -> None:
    """Nothing is asked for them."""
    with pytest.raises(ModelNameError, match=r"is not a model name|is an address"):
        load_model(name, "")


CLOSED: list[tuple[dict[str, Any], str]] = [
    ({"data": "/etc/passwd"}, "data: names a file of this machine, which is not open to visitors. Name a data"),
    ({"data": "examples/../README.md"}, "data: names a file of this machine, which is not open to visitors."),
    ({"evaluation": {"data": {"name": "app.py"}}}, "evaluation.data: names a file of this machine"),
    ({"model": "models/tiny-chat"}, "model: names a folder of this machine, which is not open to visitors. Name a mod"),
    ({"method": "dpo", "preference": {"reference": "models/tiny-chat"}}, "preference.reference: names a folder of thi"),
    ({"sampling": {"endpoint": {"url": "http://x", "model": "y", "key_variable": "HF_TOKEN"}}},
     "sampling.endpoint: would be asked by this machine, which is not open to visitors. Leave it out."),
    ({"publish": {"repo": "a/b"}}, "publish: would use this machine's token, which is not open to visitors. Download"),
    ({"engine": {"processes": 2}}, "engine: would use other machines, which is not open to visitors. Leave it out."),
    ({"report": ["tensorboard"]}, "report: would send the figures elsewhere, which is not open to visitors. Leave it"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), CLOSED, ids=lambda value: str(value)[:40])
def test_runs_of_visitors_reach_nothing_of_the_machine(
    public: pytest.MonkeyPatch, fields: dict[str, Any], said: str
) -> None:
    """Each is refused by its field; examples and the hub are open."""
    public.chdir(ROOT)
    open_to_all = {"model": "tiny-chat", "data": "examples/data/question-answer.csv"}
    access.check_spec(parse_spec(open_to_all))
    access.check_spec(parse_spec({"model": "someone/model", "data": "someone/rows"}))
    spec = parse_spec({**open_to_all, **fields})
    with pytest.raises(SpecError, match=re.escape(said)):
        access.check_spec(spec)
    public.setenv("MASKSCOPE_PUBLIC", "0")
    access.check_spec(spec)


def test_visitors_have_runs_of_their_own(public: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder that nobody else sees and that goes with them; the owner sees all; a name cannot leave the folder."""
    from gradio.context import LocalContext

    from training.errors import RunNotFoundError
    from training.run.folder import RunDir
    from ui.data_tab.boxes import FILE, DataBoxes
    from ui.train_tab import events as train_events
    from ui.train_tab.form import spec_of_tabs
    from ui.visitors import own_runs

    setup = Setup(model="tiny-chat", conversation=[])
    public.setenv("MASKSCOPE_RUNS", str(tmp_path))
    public.setenv("MASKSCOPE_TRAINING", "1")
    public.setenv("SPACE_AUTHOR_NAME", "owner")
    spec = parse_spec({"model": "tiny-chat", "data": "examples/data/question-answer.csv", "max_steps": 1})
    public.setattr("ui.visitors.own_runs.runs.start", lambda spec, folder: RunDir.create(folder, spec))
    found = {}
    for visitor in ("one", "other"):
        token = LocalContext.request.set(SimpleNamespace(session_hash=visitor, session={}))
        try:
            found[visitor] = own_runs.start(spec)
            assert [run.run_id for run in own_runs.runs.list_runs(own_runs.root())] == [found[visitor].run_id]
            with pytest.raises(RunNotFoundError, match=r"There is no run '\.\./one/x'"):
                own_runs.open_run("../one/x")
            shown = train_events.on_rows("model: tiny-chat\ndata: /etc/passwd\n")["train_preview"]
            assert "names a file of this machine" in shown
            uploaded = tmp_path / "upload.jsonl"
            uploaded.write_text(visitor)
            own = parse_spec(yaml.safe_load(spec_of_tabs(setup, DataBoxes(data_kind=FILE, data_file=str(uploaded)))))
            own_runs.check(own)
            assert Path(own.data.name).read_text() == visitor
        finally:
            LocalContext.request.reset(token)
    assert found["one"].path.parent != found["other"].path.parent
    sessions.on_leave(SimpleNamespace(session_hash="one"))
    assert not found["one"].path.exists()
    assert found["other"].path.exists()
    sessions.on_leave(SimpleNamespace(session_hash="other"))
    token = LocalContext.request.set(signed_in("owner"))
    try:
        assert own_runs.root() == tmp_path
        own_runs.check(parse_spec({"model": "tiny-chat", "data": "/etc/passwd"}))
        public.setenv("MASKSCOPE_TRAINING", "owner")
        own_runs.check(spec)
    finally:
        LocalContext.request.reset(token)
    with pytest.raises(SpecError, match=r"training: is for the owner of this page\. Sign in, if you are\."):
        own_runs.check(spec)


def test_uploads_of_visitors_are_limited(public: pytest.MonkeyPatch) -> None:
    """In size, and how long they stay; at home they are not."""
    assert launch_options()["max_file_size"] == access.UPLOAD_BYTES
    assert build_page().delete_cache == (access.KEPT_S, access.KEPT_S)
    public.setenv("MASKSCOPE_PUBLIC", "0")
    assert launch_options()["max_file_size"] is None
    assert build_page().delete_cache in (None, (None, None))


def test_other_machines_are_let_in_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or with a password."""
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("MASKSCOPE_PUBLIC", raising=False)
    said = access.warning_for("0.0.0.0", "")
    assert said.startswith("warning: anyone who can reach 0.0.0.0 can use this page, name files of this machine, and")
    assert "--password" in said
    assert access.warning_for("0.0.0.0", "secret") == access.warning_for("127.0.0.1", "") == ""
    assert launch_options("secret")["auth"] == ("maskscope", "secret")
    assert launch_options()["auth"] is None
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    assert access.warning_for("0.0.0.0", "") == ""


def test_what_a_visitor_leaves_goes_with_them() -> None:
    """Once, and only theirs; outside of a session there is nothing to keep."""
    from gradio.context import LocalContext

    gone: list[str] = []
    sessions.at_the_end(lambda: gone.append("nobody's"))
    for visitor in ("one", "other"):
        token = LocalContext.request.set(SimpleNamespace(session_hash=visitor))
        sessions.at_the_end(lambda visitor=visitor: gone.append(visitor))
        LocalContext.request.reset(token)
    sessions.on_leave(SimpleNamespace(session_hash="one"))
    sessions.on_leave(SimpleNamespace(session_hash="one"))
    assert gone == ["one"]
    sessions.on_leave(SimpleNamespace(session_hash="other"))
    assert gone == ["one", "other"]
    assert sessions.open_sessions() == 0


def test_the_page_asks_for_the_password(tmp_path: Path) -> None:
    """Of the real server: nothing but the login without it."""
    import socket
    import urllib.error
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), "--password", "secret"], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + HANG_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=HANG_S) as answer:
                    raise AssertionError(json.load(answer))
            except urllib.error.HTTPError as error:
                code = error.code
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < until
                time.sleep(0.1)
    finally:
        server.kill()
        server.wait()
    assert code == 401


def test_a_run_is_one_call_on_zero_gpu(public: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In this process where nothing is lent: all of the run's files are there; its clock stops it in time, saved."""
    from training.errors import RunStateError
    from training.run.folder import ENDED, Phase
    from ui.visitors import own_runs, zero_gpu

    public.setenv("MASKSCOPE_PUBLIC", "0")
    public.setenv("MASKSCOPE_RUNS", str(tmp_path))
    public.setenv("SPACES_ZERO_GPU", "1")
    data = str(ROOT / "examples" / "data" / "question-answer.csv")
    fields = {"model": "tiny-chat", "data": data, "max_steps": 100_000, "sampling": {"max_new_tokens": 4}}
    for seconds in (6, 30, 150):  # enough for some steps, on a machine as busy as it may be
        public.setattr(zero_gpu, "SECONDS", zero_gpu.SAVES_S + seconds)
        run = own_runs.start(parse_spec(fields))
        wait_until(lambda run=run: run.status().phase in ENDED, run.log_tail)
        if run.status().step > 1:
            break
    assert run.status().phase is Phase.STOPPED, run.log_tail()
    assert run.status().step > 1
    assert (run.adapter / "adapter_model.safetensors").is_file()
    wait_until(lambda: "identical to the inspector's" in run.log_file.read_text(), run.log_tail)
    with pytest.raises(
        RunStateError, match=r"On ZeroGPU a run cannot be resumed: its process is gone\. Run it again\."
    ):
        own_runs.resume(run)
