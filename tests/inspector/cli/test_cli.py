"""`python -m inspector`: what it prints, and how it says no.

Most of it in this process; in one of its own where the shell, a pipe or the entry point matters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import inspector
from tests import oracle
from tests.support import models
from tests.support.commands import Called
from tests.support.corpus import CORPUS

Run = Callable[..., subprocess.CompletedProcess[str]]
CHATML = oracle.stored_templates()["built in/chatml"]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ChatML model made in the tests."""
    folder = tmp_path_factory.mktemp("model") / "small"
    tokenizer = models.trained_tokenizer(models.SPECIAL["chatml"], eos_token="<|im_end|>")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs the command in an empty folder."""

    def command(*arguments: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
        settings = {**kept, "PYTHONPATH": str(oracle.ROOT), "HF_HUB_OFFLINE": "1", **environment}
        return subprocess.run(
            [sys.executable, "-m", "inspector", *arguments],
            input=text, capture_output=True, text=True, cwd=tmp_path, env=settings, check=False,
        )  # fmt: skip

    return command


@pytest.fixture
def chat(tmp_path: Path) -> str:
    """A file with a conversation."""
    (tmp_path / "chat.json").write_text(json.dumps(CORPUS["answer starts with a line break"]), encoding="utf-8")
    return "chat.json"


EXPECTED = """\
MODEL · folder · template default · strategy traced
8 of 39 tokens are trained (20.5%); «trained», {merged across a boundary}

        0 user │ <|im_start|>user⏎
               │ Which river runs through Vienna?<|im_end|>⏎
   1 assistant │ <|im_start|>assistant«{⏎
               │ ⏎
               │ }The Danube.<|im_end|>»⏎
"""


def test_report_is_readable_without_colour(run: Run, chat: str, model_folder: Path) -> None:
    """Trained text in guillemets, merged tokens in braces, the findings below with what to do."""
    done = run("inspect", str(model_folder), chat)
    assert (done.returncode, done.stderr) == (0, "")
    report, findings = done.stdout.replace(str(model_folder), "MODEL").split("\n\nwarning ")
    lines = report.splitlines()
    assert lines[0] == EXPECTED.splitlines()[0]
    assert lines[2:] == EXPECTED.splitlines()[2:]
    assert lines[1].endswith("«trained», {merged across a boundary}")
    assert findings.startswith("boundary_merge at token ")
    assert "\n    → " in findings
    assert "\x1b" not in done.stdout


def test_colour_comes_when_it_is_asked_for(called: Called, chat: str, model_folder: Path) -> None:
    """Trained text is underlined and green, a merged token inverse, instead of the brackets."""
    done = called("inspect", str(model_folder), chat, "--color", "always")
    assert "\x1b[4;32mThe Danube.<|im_end|>\x1b[0m" in done.stdout
    assert "\x1b[7m" in done.stdout
    assert "\x1b[1;33mwarning\x1b[0m boundary_merge" in done.stdout
    assert "«" not in done.stdout
    assert all(line.count("\x1b[0m") <= line.count("\x1b[") / 2 for line in done.stdout.splitlines())


@pytest.mark.parametrize("choice", ["auto", "never"])
def test_a_pipe_gets_no_colour(called: Called, chat: str, model_folder: Path, choice: str) -> None:
    """Unless it is asked for."""
    assert "\x1b" not in called("inspect", str(model_folder), chat, "--color", choice).stdout


def test_json_is_the_public_form(called: Called, chat: str, model_folder: Path) -> None:
    """Exactly what to_dict gives."""
    done = called("inspect", str(model_folder), chat, "--json")
    model = inspector.load(str(model_folder))
    expected = inspector.inspect(model, CORPUS["answer starts with a line break"]).to_dict()
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))
    assert list(expected) == [
        "model", "revision", "text", "ids", "tokens", "char_spans", "trained", "origins", "straddlers", "findings",
        "changes", "encoder", "images",
    ]  # fmt: skip


def test_options_reach_the_strategy(called: Called, chat: str, model_folder: Path) -> None:
    """As JSON where it is, else as text."""
    done = called(
        "inspect", str(model_folder), chat, "--option", "straddlers=false", "--option", "stop=never", "--json"
    )
    shown = json.loads(done.stdout)
    trained = [token for token, bit in zip(shown["tokens"], shown["trained"], strict=True) if bit]
    assert "".join(trained) == "The Danube."


def test_conversation_comes_from_standard_input(run: Run, model_folder: Path) -> None:
    """`-` reads it."""
    done = run("inspect", str(model_folder), "-", text=json.dumps(CORPUS["one turn"]))
    assert "«The Danube.<|im_end|>»" in done.stdout
    assert done.stdout.endswith("No findings.\n")


def test_template_is_a_name_or_a_file(called: Called, chat: str, model_folder: Path, tmp_path: Path) -> None:
    """A built-in one by name; anything with a path or a Jinja suffix is a file."""
    assert "template zephyr" in called("inspect", str(model_folder), chat, "--template", "zephyr").stdout
    (tmp_path / "own.jinja").write_text("{% for m in messages %}<{{ m.content }}>{% endfor %}", encoding="utf-8")
    done = called("inspect", str(model_folder), chat, "--template", "own.jinja", "--json")
    assert json.loads(done.stdout)["text"] == "<Which river runs through Vienna?><\nThe Danube.>"


def test_control_characters_are_shown_by_their_code(called: Called, model_folder: Path) -> None:
    """A pasted text must not drive the terminal."""
    done = called("inspect", str(model_folder), "-", text=json.dumps(CORPUS["control characters"]))
    assert "\\u001b" in done.stdout
    assert "\\u0007" in done.stdout
    assert not set("\x1b\x07\x00\x7f") & set(done.stdout)


def test_torch_is_not_needed(run: Run, chat: str, model_folder: Path, tmp_path: Path) -> None:
    """Where it is not installed nothing is missing, and nothing is said about it."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None", encoding="utf-8")
    path = f"{tmp_path / 'hidden'}{os.pathsep}{oracle.ROOT}"
    done, usual = (run("inspect", str(model_folder), chat, PYTHONPATH=one) for one in (path, str(oracle.ROOT)))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", usual.stdout)


def test_torch_is_not_imported(run: Run, chat: str, tmp_path: Path) -> None:
    """Where it is installed: importing it takes longer than all the rest."""
    last = "import atexit, sys; atexit.register(lambda: print(sys.modules.get('torch'), file=sys.stderr))"
    (tmp_path / "sitecustomize.py").write_text(last, encoding="utf-8")
    done = run("inspect", "tiny-chat", chat, PYTHONPATH=f"{tmp_path}{os.pathsep}{oracle.ROOT}")
    assert (done.returncode, done.stderr) == (0, "None\n")


def test_reader_that_leaves_early_is_no_error(chat: str, model_folder: Path, tmp_path: Path) -> None:
    """`| head -1` ends quietly."""
    long = [message for _ in range(400) for message in CORPUS["one turn"]]
    (tmp_path / "long.json").write_text(json.dumps(long), encoding="utf-8")
    command = f"{sys.executable} -m inspector inspect {model_folder} long.json --json | head -1"
    environment = {**os.environ, "PYTHONPATH": str(oracle.ROOT)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("{\n", "", 0)


# --- rows of ids and labels


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A file of two rows: the first trains its last token, the second nothing and holds messages, too."""
    lines = [
        {"input_ids": [9, 10, 11], "completion_mask": [0, 0, 1]},
        {"input_ids": [9, 10], "completion_mask": [0, 0], "messages": [{"role": "user", "content": "Hi"}]},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return "rows.jsonl"


def test_labelled_rows_are_shown_by_their_number(called: Called, rows: str) -> None:
    """With and without `--labels`, from a file or from standard input."""
    for words in (["--labels"], ["--row", "0"], []):
        shown = json.loads(called("inspect", "tiny-chat", rows, *words, "--json").stdout)
        assert (shown["ids"], shown["trained"]) == ([9, 10, 11], [0, 0, 1])
    second = json.loads(called("inspect", "tiny-chat", rows, "--labels", "--row", "1", "--json").stdout)
    assert second["ids"] == [9, 10]
    text = json.dumps({"input_ids": [9, 10], "own": [0, 1]})
    mapped = called("inspect", "tiny-chat", "-", "--labels", "--map", "loss_mask=own", "--json", text=text)
    assert json.loads(mapped.stdout)["trained"] == [0, 1]
    done = called("compare", "tiny-chat", rows)
    assert done.stdout.startswith(
        "tiny-chat · template default · 3 tokens, 1 of them should be trained\n"
        "This row: its turns are unknown; 1 of 3 tokens are trained\n"
    )
    assert "The turns of this row are unknown" in done.stdout


def test_any_row_of_a_file_is_shown(called: Called, tmp_path: Path) -> None:
    """`--row` and `--map` read it as an audit does."""
    (tmp_path / "rows.csv").write_text("ask,reply\nQ,A\nMore?,No.\n", encoding="utf-8")
    words = ["--row", "1", "--map", "question=ask", "--map", "answer=reply", "--json"]
    assert "More?" in json.loads(called("inspect", "tiny-chat", "rows.csv", *words).stdout)["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rows.jsonl", "--labels", "--row", "2"], "error: rows.jsonl has no row 2; rows count from 0.\n"),
        (["rows.jsonl", "--row", "x"], "argument --row: 'x' is not a number from 0 on"),
        (
            ["chat.json", "--labels"],
            "error: chat.json holds rows of the kind messages, and --labels is for rows with ids",
        ),
        (["bad.jsonl", "--row", "1"], "error: bad.jsonl, line 2: "),
        (["nothing.jsonl", "--labels"], "nothing.jsonl"),
    ],
)
def test_rows_that_are_not_there_are_refused(
    called: Called, rows: str, tmp_path: Path, words: list[str], said: str
) -> None:
    """In one line, with status 2."""
    (tmp_path / "chat.json").write_text('{"messages": [{"role": "user", "content": "Hi"}]}', encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text('{"input_ids": [9], "labels": [9]}\n{', encoding="utf-8")
    done = called("inspect", "tiny-chat", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


# --- errors: one line on standard error, exit status 2

BAD_CALLS: dict[str, tuple[list[str], str | None, str]] = {
    "no file": (["MODEL", "nothing.json"], None, "error: nothing.json cannot be read: No such file or directory."),
    "a folder": (["MODEL", "empty"], None, "error: The folder empty holds no data file: .jsonl, .ndjson, .json, "),
    "not JSON": (["MODEL", "-"], "hello", "error: - is not JSON: Expecting value: line 1 column 1 (char 0)."),
    "nested": (["MODEL", "-"], "[" * 200_000, "error: - is nested too deeply to be a conversation."),
    "not UTF-8": (["MODEL", "latin.json"], None, "error: latin.json is not UTF-8 text: byte 1 cannot be read."),
    "too large": (["MODEL", "large.json"], None, "error: large.json is over 50 MB: "),
    "no conversation": (["MODEL", "-"], "{}", "error: The conversation has no `messages`; its keys are none."),
    "no model": (["./nowhere", "chat.json"], None, "error: The folder './nowhere' does not exist on this machine."),
    "no template": (["MODEL", "chat.json", "--template", "nope"], None, "has no chat template 'nope'"),
    "no template file": (
        ["MODEL", "chat.json", "--template", "own.jinja"],
        None,
        "error: own.jinja cannot be read: No such file or directory.",
    ),
    "strategy": (["MODEL", "chat.json", "--strategy", "x"], None, "error: There is no strategy 'x'; there are: traced"),
    "option": (["MODEL", "chat.json", "--option", "x=1"], None, "error: Strategy 'traced' has no option 'x'; its "),
    "option value": (["MODEL", "chat.json", "--option", "stop=1"], None, "stop is 1, which is not one of: every, last"),
    "option form": (["MODEL", "chat.json", "--option", "stop"], None, "argument --option: 'stop' is not NAME=VALUE"),
    "revision": (["MODEL", "chat.json", "--revision", "main"], None, "is a folder and has no revision 'main'"),
    "no command": ([], None, "the following arguments are required: COMMAND"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CALLS)
def test_unusable_input_ends_with_one_line_and_status_2(
    called: Called, chat: str, model_folder: Path, tmp_path: Path, name: str
) -> None:
    """What happened, where, and what to do; never a traceback."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with open(tmp_path / "large.json", "wb") as file:
        file.truncate(50_000_001)
    arguments, text, said = BAD_CALLS[name]
    words = [str(model_folder) if word == "MODEL" else word for word in arguments]
    done = called(*(["inspect", *words] if words else []), text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    if done.stderr.startswith("error: "):
        assert done.stderr.count("\n") == 1


def test_status_and_message_reach_the_shell(run: Run, model_folder: Path) -> None:
    """As a script sees them."""
    done = run("inspect", str(model_folder), "nothing.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nothing.json cannot be read: No such file or directory.\n"


def test_refusal_of_a_template_is_explained(called: Called, model_folder: Path, tmp_path: Path) -> None:
    """The template's own words, and below them what was found by trying."""
    (tmp_path / "gemma.jinja").write_text(oracle.stored_templates()["trl/gemma"], encoding="utf-8")
    done = called(
        "inspect", str(model_folder), "-", "--template", "gemma.jinja", text=json.dumps(CORPUS["consecutive users"])
    )  # fmt: skip
    assert done.returncode == 2
    assert "roles must alternate" in done.stderr or "bos_token" in done.stderr
    if "roles must alternate" in done.stderr:
        assert "roles_must_alternate: " in done.stderr


def test_help_says_what_there_is(run: Run) -> None:
    """Every option with a line."""
    done = run("inspect", "--help")
    assert done.returncode == 0
    for option in ("--template", "--revision", "--strategy", "--option", "--json", "--color"):
        assert option in done.stdout


def test_the_package_says_how_it_is_called(run: Run) -> None:
    """`python -m inspector --help` names its commands."""
    assert "inspect" in run("--help").stdout


def test_template_writes_proven_tags(called: Called, tmp_path: Path) -> None:
    """`template` prints a diff and the proof, writes the file, and its status says whether it is proven."""
    out = tmp_path / "out.jinja"
    command = ["template", "tiny-chat", "--template", "chatml"]
    done = called(*command, "--out", str(out))
    assert done.returncode == 0
    assert "Proven:" in done.stdout
    assert "+" in done.stdout
    assert "generation" in out.read_text()
    done = called(*command, "--json")
    data = json.loads(done.stdout)
    assert (done.returncode, sorted(data)) == (0, ["proven", "reason", "template"])
    assert data["template"] == out.read_text()
    refused = called(*command[:-1], "{{ messages[0].content }}")
    assert refused.returncode == 1
    assert "Not proven" in refused.stdout
    failed = called(*command, "--out", str(tmp_path / "no" / "x"))
    assert failed.returncode == 2
    assert "cannot be written" in failed.stderr


def test_modifiers_and_special_tokens_reach_the_inspection(called: Called, chat: str, model_folder: Path) -> None:
    """Truncation leaves nothing that trains; a padding token is one of the model's."""

    def codes(*options: str) -> list[str]:
        found = json.loads(called("inspect", str(model_folder), chat, *options, "--json").stdout)["findings"]
        return [finding["code"] for finding in found]

    assert {"no_trained_tokens", "truncated_away"} <= set(codes("--max-length", "4"))
    assert "pad_is_eos" in codes("--special-tokens", '{"pad_token": "<|im_end|>"}')
    refused = called("inspect", str(model_folder), chat, "--keep", "some")
    assert (refused.returncode, "keep is 'some'" in refused.stderr) == (2, True)
    refused = called("inspect", str(model_folder), chat, "--special-tokens", "[1]")
    assert (refused.returncode, "'[1]' is not a JSON object" in refused.stderr) == (2, True)


def test_what_a_strategy_says_stands_above_the_tokens(tmp_path: Path) -> None:
    """A row that its trainer changes first is not shown as if it were the one given."""
    parts = [{"type": "text", "text": "Hi"}]
    (tmp_path / "chat.json").write_text(
        json.dumps([{"role": "user", "content": parts}, {"role": "assistant", "content": "Ho"}]), encoding="utf-8"
    )
    command = [sys.executable, "-m", "inspector", "inspect", "tiny-chat", str(tmp_path / "chat.json")]
    options = ["--template", "chatml", "--strategy", "content_diff"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=oracle.ROOT, check=True)
    assert done.stdout.splitlines()[2].startswith(
        "content_diff says: The template refuses this row as it is given; what is shown is the row that"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("inspector", "gallery"),
        ("inspector", "inspect", "tiny-chat", "examples/01-two-turns.json", "--json"),
        ("training", "rows", "examples/runs/question-answer.yaml"),
    ],
    ids=" ".join,
)
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...]) -> None:
    """`| head -1`: whatever is left is not written, and nothing is said."""
    command = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    assert b"BrokenPipeError" not in command.stderr.read()
    assert command.wait() == 0
