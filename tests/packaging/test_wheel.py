"""The wheel: what it holds, and that it works where nothing is installed but what it asks for."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client
from packaging.metadata import Metadata

from maskscope import __version__
from maskscope.wheel import build_wheel
from tests.packaging.environment import clean, environment
from tests.support.browser import running_app

ROOT = Path(__file__).parents[2]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
MERGED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\nHello!"}]
OURS = {"tiny-chat", "bytes-bos", "bytes-llama", "bytes-slow", "bytes-tekken", "bytes-vision"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pip builds it from the checkout, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps", "--no-index"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, env=clean(), cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the package alone."""
    return environment(tmp_path_factory.mktemp("base"), wheel)


@pytest.fixture(scope="module")
def page(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with maskscope[app]."""
    return environment(tmp_path_factory.mktemp("page"), wheel, "app")


@pytest.fixture(scope="module")
def trainer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with maskscope[train]."""
    return environment(tmp_path_factory.mktemp("trainer"), wheel, "train")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder outside of the checkout with a chat, rows, and packages that are called like ours."""
    (tmp_path / "chat.json").write_text(json.dumps(MERGED))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in (CHAT, MERGED)))
    for name in ("training", "inspector", "ui", "app"):
        (tmp_path / f"{name}.py").write_text("OWNER = 'user'\n")
    return tmp_path


@pytest.fixture
def shadow(work: Path) -> Path:
    """A folder like `work` with a package called maskscope, as a checkout is: no process may import that."""
    (work / "maskscope").mkdir()
    (work / "maskscope" / "__init__.py").write_text("raise RuntimeError('This is the user's.')\n")
    return work


def run(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command of an environment in a folder."""
    command = [str(python.with_name("maskscope")), *words]
    return subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=False)


def script(python: Path, folder: Path, text: str, name: str = "script.py") -> str:
    """Run a user's script in a folder; what it prints."""
    (folder / name).write_text(text)
    done = subprocess.run([str(python), name], cwd=folder, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what it holds


def test_one_name_is_installed_and_nothing_of_the_tests(wheel: Path) -> None:
    """The whole of it is `maskscope`, of less than 5 MB, the licence with it."""
    assert wheel.name == f"maskscope-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 5_000_000
    names = zipfile.ZipFile(wheel).namelist()
    info = f"maskscope-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"maskscope", info}
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[1] for name in names} - {
        "__init__.py", "__main__.py", "app.py", "requirements.txt", "inspector", "training", "ui", "docs", "examples",
        "models", "licenses", "METADATA", "WHEEL", "RECORD", "entry_points.txt",
    } == set()  # fmt: skip
    assert not [name for name in names if "test" in name.rsplit("/", 1)[-1] or "__pycache__" in name]


def test_the_only_weights_are_those_of_tiny_chat(wheel: Path) -> None:
    """And the only models are ours."""
    names = zipfile.ZipFile(wheel).namelist()
    weights = (".safetensors", ".bin", ".gguf", ".pt", ".npz", ".onnx")
    assert [name for name in names if name.endswith(weights)] == ["maskscope/models/tiny-chat/model.safetensors"]
    assert {name.split("/")[2] for name in names if name.startswith("maskscope/models/")} == OURS
    vocabularies = ("tokenizer.json", "tekken.json", "tokenizer.model", "vocab.json", "added_tokens.json")
    assert {name.split("/")[2] for name in names if Path(name).name in vocabularies} == OURS


def test_nothing_that_is_read_is_left_out(wheel: Path) -> None:
    """Every file of the packages, but the types of the JavaScript; the examples; the documents."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    folders = ("inspector/", "training/", "ui/", "examples/", "models/")
    wanted = {
        name for name in listed if name.startswith(folders) or (name.startswith("docs/") and name.endswith(".md"))
    }
    held = {name.removeprefix("maskscope/") for name in zipfile.ZipFile(wheel).namelist()}
    left = {name for name in wanted - held if not (name.startswith("models/") and name.endswith(".py"))}
    assert left == {"ui/types.d.ts", "ui/tsconfig.json"}
    assert "docs/board.json" in held


def test_the_wheel_is_valid_and_the_same_each_time(wheel: Path, tmp_path: Path) -> None:
    """Its metadata follow their specification, its record is that of its files, and a second one is equal."""
    with zipfile.ZipFile(wheel) as file:
        info = f"maskscope-{__version__}.dist-info"
        metadata = Metadata.from_email(file.read(f"{info}/METADATA"), validate=True)
        assert (metadata.name, str(metadata.version), metadata.license_files) == ("maskscope", __version__, ["LICENSE"])
        lines = [line.rsplit(",", 2) for line in file.read(f"{info}/RECORD").decode().splitlines()]
        assert [name for name, _, _ in lines] == file.namelist()
        for name, digest, size in lines[:-1]:
            content = file.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={expected}", str(len(content)))
    assert (tmp_path / build_wheel(str(tmp_path))).read_bytes() == wheel.read_bytes()


# --- the base


def test_help_answers_at_once(base: Path, work: Path) -> None:
    """In less than 0.4 s, of several tries the best: other tests share the machine."""
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        done = run(base, work, "--help")
        seconds.append(time.monotonic() - began)
    assert {"inspect", "compare", "audit", "train", "app"} <= set(done.stdout.split())
    assert min(seconds) < 0.4
    assert run(base, work, "--version").stdout == f"maskscope {__version__}\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["inspect", "tiny-chat", "chat.json"], 0),
        (["compare", "tiny-chat", "chat.json"], 0),
        (["audit", "tiny-chat", "rows.jsonl"], 0),
        (["audit", "tiny-chat", "rows.jsonl", "--fail-on", "warning"], 1),
        (["audit", "tiny-chat", "nowhere.jsonl"], 2),
        (["inspect", "tiny-chat", "chat.json", "--json"], 0),
        (["gallery", "boundary_merge"], 0),
    ],
)
def test_commands_do_what_they_do_in_the_checkout(base: Path, work: Path, words: list[str], status: int) -> None:
    """The same output, errors and exit status, with neither torch nor gradio at hand."""
    (work / "inspector.py").unlink()  # `python -m` looks into the folder first
    environment = {**clean(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "inspector", *words]
    expected = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    done = run(base, work, *words)
    assert (done.returncode, done.stderr) == (status, expected.stderr)
    assert expected.returncode == status
    if words[0] == "compare":  # trl lends its twins of templates only where it is installed
        assert done.stdout.splitlines()[:5] == expected.stdout.splitlines()[:5]
    else:
        assert done.stdout == expected.stdout


def test_the_public_names_work_and_leave_the_users_packages_alone(base: Path, work: Path) -> None:
    """One import; nothing called inspector, training, ui or app but what the user has."""
    text = """
import importlib.util, sys
import maskscope
model = maskscope.load("tiny-chat")
chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
print(sum(maskscope.inspect(model, chat).trained), maskscope.audit(model, "rows.jsonl").rows)
print(maskscope.compare(model, chat).entries[0].strategy)
print([name for name in sys.modules if name.split(".")[0] in ("inspector", "training", "ui", "app")])
print([name for name in ("torch", "gradio", "trl", "psutil") if importlib.util.find_spec(name)])
print(len([getattr(maskscope, name) for name in maskscope.__all__]) == len(maskscope.__all__))
import training, inspector, ui, app
print(training.OWNER, inspector.OWNER, ui.OWNER, app.OWNER)
"""
    assert script(base, work, text).splitlines() == ["3 2", "full", "[]", "[]", "True", "user user user user"]


def test_processes_that_an_audit_starts_find_the_package(base: Path, shadow: Path) -> None:
    """Two processes give the report of one, and so does the helper of a server."""
    text = """
import json, maskscope
from maskscope.inspector.audit import run
from maskscope.inspector.audit.server_process import shut_down
from maskscope.inspector.data.source import DataSource

if __name__ == "__main__":
    with open("many.jsonl", "w") as file:
        for i in range(900):
            chat = [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "\\n" * (i % 2) + str(i)}]
            print(json.dumps({"messages": chat}), file=file)
    model, run.ALONE_S = maskscope.load("tiny-chat"), 0.0
    one, two = (maskscope.audit(model, "many.jsonl", workers=workers).to_dict() for workers in (1, 2))
    helped = run.audit(run.Task(model=model), DataSource(name="many.jsonl"), here=False).to_dict()
    print(one["inspected"], one == two == helped)
    shut_down()
"""
    (shadow / "scripts").mkdir()
    assert script(base, shadow, text, "scripts/audit.py") == "900 True\n"


def test_what_an_extra_brings_is_named(base: Path, work: Path) -> None:
    """By the commands, by a model that needs a library, and where Ray is imported."""
    for extra, package in (("app", "gradio"), ("train", "psutil")):
        done = run(base, work, extra)
        how = f"pip install 'maskscope[{extra}]'"
        message = f"error: `maskscope {extra}` needs {package}, which is not installed: {how}\n"
        assert (done.returncode, done.stderr) == (2, message)
    done = run(base, work, "inspect", "bytes-tekken", "chat.json")
    assert (done.returncode, done.stderr) == (
        2,
        "error: 'bytes-tekken' encodes its chats with Mistral's own library, which needs mistral-common: "
        "pip install 'maskscope[models]'\n",
    )
    text = "try:\n    import maskscope.inspector.ray_audit\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    assert script(base, work, text) == "An audit on a Ray cluster needs ray: pip install 'maskscope[ray]'\n"


def test_commands_that_are_printed_are_those_of_the_package(base: Path, work: Path) -> None:
    """And paths are those of the installed files."""
    done = run(base, work, "export", "tiny-chat", "chat.json", "--to", "trl_labels")
    assert "# $ maskscope export tiny-chat data.jsonl --strategy traced --rows rows.parquet\n" in done.stdout
    (folder,) = base.parents[1].glob("lib/python*/site-packages/maskscope")
    assert f"MODEL = '{folder}/models/tiny-chat'\n" in done.stdout
    assert run(base, work, "inspect", "-h").stdout.startswith("usage: maskscope inspect ")


# --- the extras


def test_the_page_is_served(page: Path, shadow: Path) -> None:
    """It answers, its functions too; training says what it lacks."""
    with running_app(command=[str(page.with_name("maskscope")), "app"], folder=str(shadow)) as address:
        answer = Client(address, verbose=False).predict(CHAT, "tiny-chat", api_name="/inspect_chat")
    assert sum(answer["trained"]) == 3
    (shadow / "spec.yaml").write_text("model: tiny-chat\ndata: examples/data/question-answer.csv\n")
    done = run(page, shadow, "train", "run", "spec.yaml")
    assert (done.returncode, done.stderr) == (
        2,
        "error: engine: a run on this machine needs what is not installed: torch, trl, peft, accelerate. "
        "pip install 'maskscope[train]', or train it as a job: engine: {flavor}.\n",
    )


def test_a_run_trains_what_was_shown(trainer: Path, shadow: Path) -> None:
    """Its worker is the package's, with the proof; what it prints to type is, too."""
    (shadow / "spec.yaml").write_text("model: tiny-chat\ndata: examples/data/question-answer.csv\nmax_steps: 2\n")
    done = run(trainer, shadow, "train", "start", "spec.yaml", "--json")
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["run_id"]
    watched = run(trainer, shadow, "train", "watch", run_id)
    assert "111 trained tokens of 314 in 12 different rows, identical to the inspector's" in watched.stdout
    again = run(trainer, shadow, "train", "start", "spec.yaml")
    assert "watch it: maskscope train watch " in again.stdout
    run(trainer, shadow, "train", "stop", "--now", again.stdout.split()[0])


def test_a_job_gets_the_installed_code(trainer: Path, work: Path) -> None:
    """What is sent unpacks to the package, its requirements and the spec, which it checks."""
    text = """
import json
from maskscope.training.launch import bundle
from maskscope.training.spec import parse_spec
spec = parse_spec({"model": "user/name", "data": "examples/data/question-answer.csv", "max_steps": 1})
print(json.dumps([bundle.BOOT, bundle.pack(spec)]))
"""
    boot, sent = json.loads(script(trainer, work, text))
    packed = "".join(sent[f"MASKSCOPE_{i}"] for i in range(int(sent["MASKSCOPE_PARTS"])))
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed)), mode="r:xz") as archive:
        archive.extractall(work / "job", filter="data")
    assert '"-r", "maskscope/requirements.txt"]' in boot
    assert '"-m", "maskscope.training", "run", "spec.yaml"' in boot
    assert (work / "job" / "maskscope" / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()
    command = [sys.executable, "-m", "maskscope.training", "run", "spec.yaml", "--dry-run", "--json"]
    done = subprocess.run(command, cwd=work / "job", env=clean(), capture_output=True, text=True, check=False)
    assert "user/name" in done.stdout, done.stderr
