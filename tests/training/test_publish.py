"""An adapter is merged, and the merged model says the same; the hub gets the files, their card, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import inspector
from tests import conftest
from tests.support.hub_server import Fault, HubServer
from tests.support.training_runs import DATA, FAST, ROOT, ended, wait_for
from training.__main__ import main
from training.errors import MergeError, PublishError, RunStateError
from training.launch import runs
from training.publish.merge import merge, stop_ids
from training.publish.upload import publish
from training.run.folder import Phase, RunDir
from training.run.journal import Journal
from training.spec import parse_spec

TOKEN = "hf_ThisIsNobodysToken"


@dataclass(frozen=True)
class Taught:
    """A run, and what its worker has put on the hub."""

    run: RunDir
    files: dict[str, bytes]
    is_private: bool


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    """A run that its worker has merged and published, as its spec says; a token is new to the model."""
    hub = conftest._HUB
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", hub.user(TOKEN, "ann"))
        fields = {"lora": {"merge": True}, "special_tokens": {"additional_special_tokens": ["<|note|>"]}}
        spec = parse_spec({**FAST, **fields, "max_steps": 12, "publish": {"repo": "ann/own", "private": False}})
        run = runs.start(spec, tmp_path_factory.mktemp("runs"))
        status = wait_for(run, ended)
    assert (status.phase, status.notes) == (Phase.SUCCEEDED, ()), run.log_tail()
    repo = hub.find("models", "ann/own")
    assert repo is not None
    yield Taught(run, tree(hub, "ann/own"), repo.private)
    runs.kill(run)
    hub.reset()


@pytest.fixture
def taught(own: Taught) -> RunDir:
    """That run."""
    return own.run


@pytest.fixture
def ann(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The hub, where Ann's token is this machine's."""
    monkeypatch.setenv("HF_TOKEN", hub.user(TOKEN, "ann"))
    return hub


def tree(hub: HubServer, name: str) -> dict[str, bytes]:
    """The files of a repository."""
    repo = hub.find("models", name)
    assert repo is not None
    return repo.commits[repo.refs["main"]]


def changed(run: RunDir, target: Path) -> RunDir:
    """A copy of a run's folder, whose files may be changed."""
    import shutil

    shutil.copytree(run.path, target / run.run_id, ignore=shutil.ignore_patterns("merged", "checkpoints"))
    return RunDir.open(target / run.run_id)


# --- merged


def test_merged_folder_is_a_whole_model(taught: RunDir) -> None:
    """Weights, tokenizer with the new token, template, ids that end an answer; it says what the run's answers say."""
    from transformers import AutoModelForCausalLM

    from training.spec import SamplingSpec
    from training.weights.answers import questions, write_answers

    assert not taught.status().notes
    names = {path.name for path in taught.merged.iterdir()}
    expected = {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"}
    assert expected <= names
    assert not any(name.startswith("adapter") for name in names)
    model = inspector.load(str(taught.merged))
    weights = AutoModelForCausalLM.from_pretrained(str(taught.merged))
    assert "<|note|>" in model.tokenizer.get_vocab()
    assert weights.get_input_embeddings().num_embeddings == len(model.tokenizer)
    assert model.template == inspector.load("tiny-chat").template
    after = {s["question"]: s for s in taught.samples() if s["when"] == "after"}
    asked = questions(SamplingSpec(prompts=[s["messages"] for s in after.values()]), [], model)
    assert write_answers(weights, model, asked, 16) == [s["answer"] for s in after.values()]
    assert [path.name for path in taught.path.iterdir() if path.name.startswith(".merged")] == []


def test_code_of_the_merged_card_gives_the_answer_of_the_run(
    taught: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands, in the folder; no peft in it. The card has the losses by step, and whose base it is."""
    text = (taught.merged / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert "peft" not in code[1]
    monkeypatch.chdir(taught.merged)
    exec(compile(code[1], "README.md", "exec"), {})
    after = next(s["answer"] for s in taught.samples() if s["when"] == "after")
    assert capsys.readouterr().out.strip() == after.strip()
    assert yaml.safe_load(text.split("---\n")[1])["library_name"] == "transformers"
    assert "A LoRA adapter merged into tiny-chat" in text
    steps = [int(step) for step in re.findall(r"^\| (\d+) \| [\d.]+ \|$", text, re.MULTILINE)]
    assert (steps[0], steps[-1], len(steps)) == (1, 12, 10)


def test_answers_end_at_what_was_trained_to_end_them(taught: RunDir, tmp_path: Path) -> None:
    """The tokenizer's eos, and the special token that trains last in a row; other last tokens end nothing."""
    from training.rows.written import write_rows

    tokenizer = inspector.load("tiny-chat").tokenizer
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert stop_ids(taught, tokenizer) == [eos]
    run = RunDir.create(tmp_path, parse_spec(FAST))
    conversation = inspector.Conversation.parse([{"role": "user", "content": "?"}])
    from training.rows.prepare import PreparedRow

    rows = [
        PreparedRow(number=n, input_ids=ids, labels=ids, texts=[""] * len(ids), conversation=conversation)
        for n, ids in enumerate(([50, eos], [50, pad], [50, 60]))
    ]
    write_rows(run.data, iter(rows))
    assert stop_ids(run, tokenizer) == [eos, pad]


def test_merged_again_elsewhere_in_another_type(
    taught: RunDir, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line; a folder that is there is not written over."""
    root, folder = str(taught.path.parent), tmp_path / "made" / "half"
    command = ["merge", taught.run_id, "--out", str(folder), "--dtype", "bf16", "--runs", root]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert main(command) == 2
    assert f"{folder} exists already: remove it, or name another folder." in capsys.readouterr().err
    assert [path.name for path in folder.parent.iterdir()] == ["half"]


def test_what_cannot_be_merged_is_said(tmp_path: Path) -> None:
    """All weights trained, nothing trained yet, a base model that is not there."""
    whole = RunDir.create(tmp_path, parse_spec({**FAST, "lora": False}))
    with pytest.raises(RunStateError, match=r"trained all weights: .*adapter is the whole model already"):
        merge(whole)
    with pytest.raises(RunStateError, match="has no adapter yet: let it train first"):
        merge(RunDir.create(tmp_path, parse_spec(FAST)))
    gone = RunDir.create(tmp_path, parse_spec({**FAST, "model": "./gone"}))
    gone.adapter.mkdir()
    (gone.adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(MergeError, match=r"The base model ./gone cannot be loaded: The folder './gone' does not exist"):
        merge(gone)


def test_merged_model_that_says_something_else_is_not_kept(
    taught: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is loaded again: here other weights lie in the folder by then."""
    from transformers import LlamaForCausalLM

    run, save = changed(taught, tmp_path), LlamaForCausalLM.save_pretrained

    def spoil(self: Any, folder: str, **others: Any) -> None:
        self.get_input_embeddings().weight.data.mul_(-1)
        save(self, folder, **others)

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", spoil)
    with pytest.raises(MergeError, match=r"Merged in fp32, the model says .* to '.*\?', and base model and"):
        merge(run)
    assert not run.merged.exists()


def test_rounding_is_told_from_another_answer(taught: RunDir) -> None:
    """The model's own answer is the most probable at each token; another one is far from it at some."""
    from transformers import AutoModelForCausalLM

    from training.publish.merge import TIE_NATS, _falls_behind
    from training.spec import SamplingSpec
    from training.weights.answers import questions, write_ids

    model, weights = inspector.load(str(taught.merged)), AutoModelForCausalLM.from_pretrained(str(taught.merged))
    (asked,) = questions(SamplingSpec(prompts=["What is the capital of France?"]), [], model)
    (own,) = write_ids(weights, model, [asked], 16)
    assert _falls_behind(weights, model.tokenizer, asked.prompt, own) < TIE_NATS["fp32"]
    assert _falls_behind(weights, model.tokenizer, asked.prompt, [*own[:-2], 7]) > TIE_NATS["bf16"]


def test_damaged_adapters_are_not_merged(taught: RunDir, tmp_path: Path) -> None:
    """Numbers that are none, a file that is cut off."""
    from safetensors.torch import load_file, save_file

    run = changed(taught, tmp_path)
    path = run.adapter / "adapter_model.safetensors"
    save_file({name: one * float("nan") for name, one in load_file(path).items()}, path)
    with pytest.raises(MergeError, match=r"The merged weights of .* are not numbers any more"):
        merge(run)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MergeError, match=r"tiny-chat cannot be merged into .*merged: "):
        merge(run)


def test_full_disk_leaves_the_old_folder(taught: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen before anything is written, and when writing it; what was merged before stays."""
    from transformers import LlamaForCausalLM

    run = changed(taught, tmp_path)
    run.merged.mkdir()
    (run.merged / "old").touch()

    def full(self: Any, folder: str, **others: Any) -> None:
        Path(folder).mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(MergeError, match=r"The disk of .* is full: free disk space, then merge again"):
        merge(run)
    monkeypatch.setattr("shutil.disk_usage", lambda path: _Usage())
    with pytest.raises(MergeError, match=r"The merged model takes 0.00\d GB, and .* has 0.000 GB free"):
        merge(run)
    assert [path.name for path in run.merged.iterdir()] == ["old"]
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".merged")] == []


class _Usage:
    free = 0


def test_reward_model_is_merged_by_its_rewards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One number for a conversation, the adapter's own head among the weights; its card's code judges."""
    from training.trainer.fit import fit

    data = str(ROOT / "examples" / "data" / "reward.jsonl")
    fields = {"method": "reward", "data": data, "max_steps": 2, "special_tokens": {"pad_token": "<|pad_here|>"}}
    spec = parse_spec({**FAST, **fields})
    run = RunDir.create(tmp_path, spec)
    fit(run, spec, Journal(run))
    folder = merge(run)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForSequenceClassification"]
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(folder)
    capsys.readouterr()
    exec(compile(code[1], "README.md", "exec"), {})
    after = next(s for s in run.samples() if s["when"] == "after")
    assert float(capsys.readouterr().out) == pytest.approx(after["rewards"][0], abs=2e-3)


# --- published


def test_adapter_is_published_without_paths_or_token(taught: RunDir, ann: HubServer, tmp_path: Path) -> None:
    """Private, the files of the adapter, a card that names the repository; what is there already is not sent again."""
    run = changed(taught, tmp_path)
    done = publish(run, "ann/tuned")
    files = tree(ann, "ann/tuned")
    assert (done.url, done.is_private, done.is_merged) == (f"{ann.url}/ann/tuned", True, False)
    assert ann.find("models", "ann/tuned").private  # type: ignore[union-attr]
    assert {*done.files, ".gitattributes"} == set(files)
    assert files["adapter_model.safetensors"] == (run.adapter / "adapter_model.safetensors").read_bytes()
    for name, data in files.items():
        assert not re.search(rb"/work/|/tmp/|/home/|/root/", data), name
        assert TOKEN.encode() not in data, name
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "tiny-chat"
    assert 'PeftModel.from_pretrained(model, "ann/tuned")' in files["README.md"].decode()
    assert yaml.safe_load(files["spec.yaml"])["data"] == {"name": Path(DATA).name}
    assert (run.adapter / "README.md").read_text() == (taught.adapter / "README.md").read_text()
    assert run.manifest()["published"]["url"] == done.url
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".publish")] == []
    assert not any(TOKEN in path.read_text("utf-8", "replace") for path in run.path.rglob("*") if path.is_file())
    before = len(ann.requests)
    assert publish(run, "ann/tuned").commit == done.commit
    assert not [request for request in ann.requests[before:] if request.method == "PUT" or "/commit/" in request.path]


def test_folder_for_the_hub_cannot_be_made(
    taught: RunDir, ann: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no links and no space; it is not left behind."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    run = changed(taught, tmp_path)
    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(PublishError, match=r"publish-\w+ cannot be written: No space left on device"):
        publish(run, "ann/tuned")
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".publish")] == []


def test_broken_upload_goes_on(taught: RunDir, ann: HubServer, tmp_path: Path) -> None:
    """The connection breaks before the commit: the weights are there, and are not sent a second time."""
    run = changed(taught, tmp_path)
    ann.fail(Fault.DROP, path="*/commit/*", times=1)
    with pytest.raises(PublishError, match=r"broke off: .* files that are there already are not sent again"):
        publish(run, "ann/tuned")
    assert "README.md" not in tree(ann, "ann/tuned")
    assert [request.path for request in ann.requests if request.method == "PUT"]
    before = len(ann.requests)
    publish(run, "ann/tuned")
    assert not [request for request in ann.requests[before:] if request.method == "PUT"]
    assert "adapter_model.safetensors" in tree(ann, "ann/tuned")


def test_merged_model_takes_the_place_of_the_adapter(
    taught: RunDir, ann: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the same repository, from the command line, public as the spec says; what is not the run's stays."""
    publish(taught, "ann/tuned", is_private=False)
    repo = ann.find("models", "ann/tuned")
    assert repo is not None
    repo.commit({**tree(ann, "ann/tuned"), "notes.txt": "mine"})
    command = ["publish", taught.run_id, "--repo", "ann/tuned", "--merged", "--runs", str(taught.path.parent)]
    assert main([*command, "--private"]) == 2
    assert "is there already, and public: choose another name, or --public if it is yours" in capsys.readouterr().err
    assert main(command) == 0
    out = capsys.readouterr()
    assert f"files are at {ann.url}/ann/tuned, public." in out.out
    assert TOKEN not in out.out + out.err
    files = tree(ann, "ann/tuned")
    assert {"model.safetensors", "generation_config.json", "notes.txt"} <= set(files)
    assert "adapter_config.json" not in files
    assert 'AutoModelForCausalLM.from_pretrained("ann/tuned"' in files["README.md"].decode()


def test_run_publishes_itself(own: Taught) -> None:
    """As its spec says; what the worker writes and prints holds no token."""
    assert re.search(r"^Published: http://127.0.0.1:\d+/ann/own$", own.run.log_file.read_text(), re.MULTILINE)
    assert not own.is_private
    assert own.files["adapter_model.safetensors"] == (own.run.adapter / "adapter_model.safetensors").read_bytes()
    assert not any(TOKEN in path.read_text("utf-8", "replace") for path in own.run.path.rglob("*") if path.is_file())


def test_what_fails_at_the_end_is_a_note(
    taught: RunDir, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has succeeded: the note says how to do it again."""
    from training.publish.upload import conclude

    monkeypatch.delenv("HF_TOKEN", raising=False)
    run = changed(taught, tmp_path)
    spec = run.spec().model_copy(update={"publish": parse_spec({**FAST, "publish": {"repo": "a/b"}}).publish})
    run.spec_file.write_text(spec.model_copy(update={"model": "./gone"}).to_yaml())
    journal = Journal(run)
    conclude(run, journal)
    merged, published = journal.status.notes
    assert merged.startswith("Not merged: The base model ./gone cannot be loaded")
    assert merged.endswith(f"Do it again with: python -m training merge {run.run_id}")
    assert published.startswith("Not published: There is no token: make one with write access")
    assert published.endswith(f"Do it again with: python -m training publish {run.run_id}")


def test_refusals_of_the_hub_are_explained(
    taught: RunDir, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token, a wrong one, one that may only read, somebody else's name, no hub; none of them shows the token."""
    run = changed(taught, tmp_path)
    run.spec_file.write_text(parse_spec(FAST).to_yaml())

    def refused(repo: str = "ann/tuned", token: str | None = None) -> str:
        with pytest.raises(PublishError) as said:
            publish(run, repo, token=token)
        assert "hf_" not in str(said.value)
        return str(said.value)

    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "There is no token: make one with write access at https://huggingface.co/settings/tokens" in refused()
    assert "The hub does not know this token" in refused(token="hf_unknown12345")
    reader = hub.user("hf_reader12345", "ann", writes=False)
    assert "ann may not write to ann/tuned (403): the token needs write access" in refused(token=reader)
    hub.add("bob/own", {"a": "b"})
    writer = hub.user(TOKEN, "ann")
    assert "ann may not write to bob/new (403)" in refused("bob/new", writer)
    assert "bob/own is there already, and public" in refused("bob/own", writer)
    hub.fail(Fault.UNAVAILABLE, path="/api/repos/create", times=1)
    assert "The hub answered 503 to ann/tuned: " in refused(token=writer)
    hub.fail(Fault.DROP, path="/api/whoami-v2", times=1)
    assert f"The hub at {hub.url} cannot be reached or broke off: " in refused(token=writer)
    assert "It is not said where to: name one as user/name" in refused("", writer)
    assert "'tuned' is not the name of a repository" in refused("tuned", writer)
    nothing = RunDir.create(tmp_path / "other", parse_spec(FAST))
    with pytest.raises(RunStateError, match="has nothing to publish yet: let it train first"):
        publish(nothing, "ann/tuned", token=writer)


# --- the page


def test_page_publishes(taught: RunDir, ann: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The button's handler says that it is at it, and then where it is; what is refused stands in the state."""
    from ui.train_tab.use_pane import PublishBoxes, on_publish
    from ui.train_tab.view import RunBoxes

    def states(repo: str, run_id: str | None = taught.run_id) -> list[str]:
        return [str(c["use_files"]) for c in on_publish(PublishBoxes(train_repo=repo), RunBoxes(train_run=run_id))]

    monkeypatch.setenv("MASKSCOPE_RUNS", str(taught.path.parent))
    first, last = states("ann/paged")
    assert "Publishing to ann/paged" in first
    assert f"Published: {ann.url}/ann/paged" in last
    assert ann.find("models", "ann/paged").private  # type: ignore[union-attr]
    *_, last = states("paged")
    assert "'paged' is not the name of a repository" in last
    *_, last = states("x/y", None)
    assert "There is no run yet" in last
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    *_, last = states("ann/paged")
    assert "Visitors do not publish from here" in last
