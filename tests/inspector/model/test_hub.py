"""inspector.model.hub against a hub that speaks the real protocol, and against folders."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector import errors
from inspector.model import hub as hub_module
from inspector.model.hub import BUILT_IN_TEMPLATES, Source, load
from tests.support.hub_server import Fault, HubServer

TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}{{ eos_token }}{% endfor %}"
TOOL_TEMPLATE = "{{ tools }}" + TEMPLATE
SECRET = "hf_abcdefSECRETSECRETSECRET"
ROOT = Path(__file__).parents[3]
Files = dict[str, bytes]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of a small tokenizer without a chat template, as save_pretrained writes them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("base")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def _no_loaded_tokenizers() -> Iterator[None]:
    """Each test loads for itself."""
    yield
    hub_module._LOADED.clear()


def chat(base: Files, template: Any = TEMPLATE, **config: Any) -> Files:
    """The small tokenizer's files with a chat template, and other settings, in tokenizer_config.json."""
    settings = json.loads(base["tokenizer_config.json"]) | {"chat_template": template} | config
    return base | {"tokenizer_config.json": json.dumps(settings).encode()}


def write(folder: Path, files: Files) -> Path:
    """Write `files` under `folder` and return it."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


# What a model is


def test_hub_model_is_pinned_to_the_full_commit_sha(hub: HubServer, base: Files) -> None:
    """A branch moves; what was inspected must say which commit it was."""
    repo = hub.add("owner/chat", chat(base))
    model = load("owner/chat")
    assert (model.name, model.source, model.revision) == ("owner/chat", Source.HUB, repo.refs["main"])
    assert len(repo.refs["main"]) == 40


def test_hub_model_is_the_object_a_trainer_would_load(hub: HubServer, base: Files) -> None:
    """The same class, vocabulary and template as AutoTokenizer.from_pretrained gives."""
    from transformers import AutoTokenizer

    hub.add("owner/chat", chat(base))
    model, trainers = load("owner/chat"), AutoTokenizer.from_pretrained("owner/chat")
    assert type(model.tokenizer) is type(trainers)
    assert model.tokenizer("Grüße 🙂")["input_ids"] == trainers("Grüße 🙂")["input_ids"]
    assert model.template == trainers.chat_template == TEMPLATE
    assert model.special_tokens == trainers.special_tokens_map == {"bos_token": "<s>", "eos_token": "</s>"}
    assert model.is_fast is True


def test_model_without_an_owner_loads(hub: HubServer, base: Files) -> None:
    """Old canonical ids have one part."""
    hub.add("gpt2", chat(base))
    assert load("gpt2").name == "gpt2"


def test_branch_and_short_history_are_told_apart(hub: HubServer, base: Files) -> None:
    """A revision may be a branch with a slash, or an older commit."""
    repo = hub.add("owner/chat", chat(base))
    first = repo.refs["main"]
    branch = repo.commit(chat(base, "branch {{ messages }}"), branch="refs/pr/1")
    repo.commit(chat(base, "new {{ messages }}"))
    assert load("owner/chat", revision="refs/pr/1").revision == branch
    assert load("owner/chat", revision="refs/pr/1").template == "branch {{ messages }}"
    assert load("owner/chat", revision=first).template == TEMPLATE
    assert load("owner/chat").template == "new {{ messages }}"


def test_weights_are_never_requested(hub: HubServer, base: Files) -> None:
    """Inspecting a 140 GB model must not download it."""
    weights = {"model.safetensors": b"\0" * 9, "pytorch_model.bin": b"\0" * 9, "model-q4.gguf": b"GGUF"}
    config = {"config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'}
    hub.add("owner/chat", chat(base) | weights | config)
    load("owner/chat")
    asked = [path for path in hub.paths() if path.endswith((".safetensors", ".bin", ".gguf"))]
    assert asked == []
    assert any(path.endswith("tokenizer.json") for path in hub.paths())


def test_folder_is_loaded_without_asking_the_hub(hub: HubServer, base: Files, tmp_path: Path) -> None:
    """A folder has no revision and needs no network."""
    model = load(f" {write(tmp_path, chat(base))}/ ")
    assert (model.name, model.source, model.revision) == (str(tmp_path), Source.FOLDER, None)
    assert hub.paths() == []


def test_existing_folder_wins_over_a_hub_id(
    hub: HubServer, base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers prefers a folder called owner/chat to the hub's owner/chat, and so does load."""
    write(tmp_path / "owner" / "chat", chat(base))
    monkeypatch.chdir(tmp_path)
    assert load("owner/chat").source is Source.FOLDER
    assert load("./owner/chat").source is Source.FOLDER


def test_tiny_chat_is_the_embedded_model(base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model needs neither network nor path."""
    monkeypatch.setitem(hub_module.EMBEDDED, "tiny-chat", write(tmp_path, chat(base)))
    model = load("tiny-chat")
    assert (model.name, model.source, model.revision) == ("tiny-chat", Source.EMBEDDED, None)


def test_importing_the_hub_module_imports_no_heavy_library() -> None:
    """The page must be up before transformers and torch are."""
    heavy = ("transformers", "torch", "huggingface_hub")
    code = f"import sys, inspector.model.hub; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# Templates


def test_template_files_are_read_and_named(hub: HubServer, base: Files) -> None:
    """chat_template.jinja is the default one; additional_chat_templates/NAME.jinja are the others."""
    extra = {"chat_template.jinja": TEMPLATE.encode(), "additional_chat_templates/rag.jinja": b"rag {{ messages }}"}
    hub.add("owner/chat", base | extra)
    model = load("owner/chat")
    assert model.templates == {"default": TEMPLATE, "rag": "rag {{ messages }}"}
    assert (model.template, model.template_name) == (TEMPLATE, "default")
    assert load("owner/chat", template="rag").template == "rag {{ messages }}"


@pytest.mark.parametrize("tools", [None, [], [{"type": "function"}]])
@pytest.mark.parametrize("own", ["single", "dict", "no tool_use"])
def test_template_for_tools_is_the_one_transformers_picks(
    base: Files, tmp_path: Path, tools: list[Any] | None, own: str
) -> None:
    """Where nothing was chosen, a conversation with tools uses "tool_use" if the model has it."""
    named = {"default": TEMPLATE, "tool_use": TOOL_TEMPLATE, "rag": "rag {{ messages }}"}
    if own == "no tool_use":
        del named["tool_use"]
    template = TEMPLATE if own == "single" else [{"name": k, "template": v} for k, v in named.items()]
    model = load(str(write(tmp_path, chat(base, template))))
    assert model.template_for(tools is not None)[1] == model.tokenizer.get_chat_template(None, tools)
    assert model.templates[model.template_for(tools is not None)[0]] == model.template_for(tools is not None)[1]


def test_chosen_template_is_used_with_and_without_tools(base: Files, tmp_path: Path) -> None:
    """A choice, even of the default, switches the automatic one off."""
    template = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": TOOL_TEMPLATE}]
    model = load(str(write(tmp_path, chat(base, template))))
    chosen = model.with_template("default")
    assert model.template_for(True) == ("tool_use", TOOL_TEMPLATE)
    assert chosen.template_for(True) == chosen.template_for(False) == ("default", TEMPLATE)
    assert model.tokenizer.get_chat_template("default", []) == TEMPLATE
    assert chosen.tokenizer is model.tokenizer


def test_template_argument_is_own_name_then_built_in_then_source(base: Files, tmp_path: Path) -> None:
    """A model's own "chatml" is not shadowed by the built-in one."""
    own = [{"name": "default", "template": TEMPLATE}, {"name": "chatml", "template": "mine {{ messages }}"}]
    folder = str(write(tmp_path, chat(base, own)))
    assert load(folder, template="chatml").template == "mine {{ messages }}"
    built_in = load(folder, template="zephyr")
    assert (built_in.template_name, built_in.template[:2]) == ("zephyr", "{#")
    written = load(folder, template="{{ messages }}")
    assert (written.template_name, written.template) == ("custom", "{{ messages }}")
    assert load(folder, template="{% if messages %}x{% endif %}").template_name == "custom"


def test_template_hash_names_the_source(base: Files, tmp_path: Path) -> None:
    """Twelve hex digits of sha256, the same for the same text wherever it came from."""
    model = load(str(write(tmp_path, chat(base))))
    assert model.with_template(TEMPLATE).template_hash == model.template_hash
    assert (
        load(str(tmp_path), template="{{ 'ü' }}").template_hash == hashlib.sha256("{{ 'ü' }}".encode()).hexdigest()[:12]
    )
    assert len(model.with_template("{{ '\ud800' }}").template_hash) == 12


@pytest.mark.parametrize("place", ["hub", "folder"])
def test_processor_template_is_used_when_the_tokenizer_has_none(
    hub: HubServer, base: Files, tmp_path: Path, place: str
) -> None:
    """Older multimodal models keep their template in chat_template.json."""
    files = base | {"chat_template.json": json.dumps({"chat_template": TEMPLATE}).encode()}
    hub.add("owner/vision", files)
    model = load("owner/vision" if place == "hub" else str(write(tmp_path, files)))
    assert (model.template, model.template_name) == (TEMPLATE, "default")
    assert model.tokenizer.chat_template is None


def test_processor_template_may_be_several(base: Files, tmp_path: Path) -> None:
    """chat_template.json may map names to templates."""
    named = {"default": TEMPLATE, "rag": "rag {{ messages }}"}
    files = base | {"chat_template.json": json.dumps({"chat_template": named}).encode()}
    assert load(str(write(tmp_path, files))).templates == named


def test_tokenizer_template_wins_over_the_processor_template(base: Files, tmp_path: Path) -> None:
    """The trainer uses the tokenizer's, so does the inspector."""
    files = chat(base) | {"chat_template.json": json.dumps({"chat_template": "other {{ messages }}"}).encode()}
    assert load(str(write(tmp_path, files))).template == TEMPLATE


def test_base_model_loads_with_a_built_in_template(hub: HubServer, base: Files) -> None:
    """A base model has no template; each built-in one will do."""
    hub.add("owner/base", base)
    assert {"alpaca", "chatml", "human-assistant", "llama-2", "zephyr"} == set(BUILT_IN_TEMPLATES)
    for name in BUILT_IN_TEMPLATES:
        model = load("owner/base", template=name)
        assert (model.template_name, model.templates) == (name, {})
        assert model.template_for(True) == (name, model.template)


def test_base_model_without_a_template_is_refused_with_the_choices(hub: HubServer, base: Files) -> None:
    """The page offers what the message names."""
    hub.add("owner/base", base)
    with pytest.raises(
        errors.NoTemplateError, match=r"(?s)'owner/base' has no chat template.*alpaca, chatml, human-ass"
    ):
        load("owner/base")


def test_template_without_a_default_must_be_chosen(base: Files, tmp_path: Path) -> None:
    """transformers would raise on every conversation."""
    folder = str(write(tmp_path, chat(base, [{"name": "rag", "template": TEMPLATE}])))
    with pytest.raises(errors.NoTemplateError, match=r"has no default chat template\. Choose one of its own \(rag\)"):
        load(folder)
    assert load(folder, template="rag").template == TEMPLATE


def test_unknown_template_name_lists_the_known_ones(base: Files, tmp_path: Path) -> None:
    """A mistyped name is not rendered as if it were a template."""
    folder = str(write(tmp_path, chat(base)))
    with pytest.raises(
        errors.NoTemplateError, match=r"no chat template 'chatmll' \(its own: default; built in: alpaca"
    ):
        load(folder, template="chatmll")
    with pytest.raises(errors.NoTemplateError, match="it is not Jinja source"):
        load(folder).with_template("")


def test_loading_never_changes_the_tokenizer(base: Files, tmp_path: Path) -> None:
    """Another template is another Model over the same, unchanged tokenizer."""
    model = load(str(write(tmp_path, chat(base))))
    load(str(tmp_path), template="zephyr")
    assert model.with_template("chatml").tokenizer.chat_template == TEMPLATE


# Caching


def test_same_commit_is_loaded_once(hub: HubServer, base: Files) -> None:
    """The second load only asks which commit the branch is at."""
    hub.add("owner/chat", chat(base))
    first = load("owner/chat")
    hub.requests.clear()
    assert load("owner/chat", template="chatml").tokenizer is first.tokenizer
    assert hub.paths() == ["/api/models/owner/chat"]


def test_moved_branch_is_loaded_anew(hub: HubServer, base: Files) -> None:
    """The cache is keyed by commit, not by name."""
    repo = hub.add("owner/chat", chat(base))
    first = load("owner/chat")
    sha = repo.commit(chat(base, "new {{ messages }}"))
    second = load("owner/chat")
    assert (second.revision, second.template) == (sha, "new {{ messages }}")
    assert second.tokenizer is not first.tokenizer


def test_changed_folder_is_loaded_anew(base: Files, tmp_path: Path) -> None:
    """An edited template shows at the next load; an untouched folder is not read again."""
    first = load(str(write(tmp_path, chat(base))))
    assert load(str(tmp_path)).tokenizer is first.tokenizer
    write(tmp_path, {"chat_template.jinja": b"edited {{ messages }}"})
    assert load(str(tmp_path)).template == "edited {{ messages }}"
    os.remove(tmp_path / "chat_template.jinja")
    assert load(str(tmp_path)).template == TEMPLATE


def test_two_threads_load_a_model_once(hub: HubServer, base: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has several workers; a 100 MB tokenizer is not built twice."""
    hub.add("owner/chat", chat(base))
    builds, build, both = [], hub_module._build, threading.Barrier(2)

    def slow_build(place: Any) -> Any:
        builds.append(place)
        time.sleep(0.2)
        return build(place)

    monkeypatch.setattr(hub_module, "_build", slow_build)
    models: list[Any] = []

    def work() -> None:
        both.wait()
        models.append(load("owner/chat"))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert models[0].tokenizer is models[1].tokenizer


def test_only_the_last_few_tokenizers_are_kept() -> None:
    """The least recently used one goes; a failed one is tried again."""
    cache, built = hub_module._Cache(2), []

    def build(name: str) -> Any:
        return lambda: (built.append(name), {})

    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, build(name))
    assert built == ["a", "b", "c", "b"]
    with pytest.raises(ZeroDivisionError):
        cache.get("d", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert cache.get("d", build("d")) == (None, {})


# Offline


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.HANG, Fault.UNAVAILABLE, Fault.TOO_MANY])
def test_cached_commit_is_used_when_the_hub_is_away(hub: HubServer, base: Files, fault: Fault) -> None:
    """A model loaded yesterday loads on a train, and says which commit it is."""
    repo = hub.add(
        "owner/chat", base | {"chat_template.jinja": TEMPLATE.encode(), "additional_chat_templates/rag.jinja": b"rag"}
    )
    online = load("owner/chat")
    hub_module._LOADED.clear()
    hub.fail(fault)
    hub.requests.clear()
    offline = load("owner/chat")
    assert offline.revision == repo.refs["main"]
    assert offline.templates == online.templates
    assert len(hub.requests) == 1


def test_cached_commit_is_used_in_offline_mode(hub: HubServer, base: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE=1 makes no request at all."""
    repo = hub.add("owner/chat", chat(base))
    load("owner/chat")
    hub_module._LOADED.clear()
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load("owner/chat").revision == repo.refs["main"]
    assert load("owner/chat", revision=repo.refs["main"]).revision == repo.refs["main"]
    assert hub.paths() == []


@pytest.mark.parametrize("revision", [None, "0" * 40])
def test_unreachable_hub_without_a_cache_is_said(hub: HubServer, revision: str | None) -> None:
    """Neither network nor cache: try again, or give a folder."""
    hub.fail(Fault.DROP)
    with pytest.raises(errors.OfflineError, match=r"cannot be reached and the files of 'owner/chat' are not all in"):
        load("owner/chat", revision=revision)


@pytest.mark.parametrize("token", [False, "hf_visitor"])
def test_visitors_get_nothing_from_the_cache_while_access_cannot_be_checked(
    hub: HubServer, base: Files, token: Any
) -> None:
    """On a shared server the cache holds what other visitors may read."""
    hub.add("owner/private", chat(base), private=True, readers=(SECRET,))
    load("owner/private", token=SECRET)
    hub.fail(Fault.TOO_MANY)
    with pytest.raises(errors.OfflineError, match="it is unknown whether 'owner/private' may be read"):
        load("owner/private", token=token)


def test_busy_hub_is_said_with_its_answer(hub: HubServer) -> None:
    """503 and 429 are the hub's troubles, not the user's."""
    hub.fail(Fault.TOO_MANY)
    with pytest.raises(errors.OfflineError, match=r"The hub at http://127.0.0.1:\d+ answered 429"):
        load("owner/chat")


def test_half_cached_model_is_offline_not_broken(hub: HubServer, base: Files) -> None:
    """A cache that holds only the settings is no tokenizer."""
    from huggingface_hub import hf_hub_download

    hub.add("owner/chat", chat(base))
    hf_hub_download("owner/chat", "tokenizer_config.json")
    hub.fail(Fault.DROP)
    with pytest.raises(errors.OfflineError, match="are not all in the local cache"):
        load("owner/chat")


def test_download_that_breaks_off_is_taken_up_again(hub: HubServer, base: Files) -> None:
    """A body cut short once is fetched again, and whole."""
    hub.add("owner/chat", chat(base))
    hub.fail(Fault.TRUNCATE, method="GET", path="*/tokenizer.json", times=1)
    assert len(load("owner/chat").tokenizer) == 258


def test_hub_lost_while_downloading_is_said(hub: HubServer, base: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers at first and drops every file."""
    hub.add("owner/chat", chat(base))
    hub.fail(Fault.DROP, method="GET", path="*/resolve/*")
    monkeypatch.setattr(
        "huggingface_hub.file_download.time", type("Quick", (), {"sleep": lambda *_: None, "time": time.time})
    )
    with pytest.raises(errors.OfflineError, match="cannot be reached"):
        load("owner/chat")


def test_something_else_than_a_hub_is_said(hub: HubServer, base: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A captive portal answers 200 with a login page: that is as good as offline."""
    repo = hub.add("owner/cached", chat(base))
    load("owner/cached")
    hub_module._LOADED.clear()
    monkeypatch.setattr(
        "tests.support.hub_server._Handler._route", lambda self, *_: self._send(b"<html>please log in</html>")
    )
    with pytest.raises(errors.OfflineError, match="cannot be reached"):
        load("owner/chat")
    assert load("owner/cached").revision == repo.refs["main"]


# Refusals


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("https://huggingface.co/owner/chat", r"is an address, not a name\. Type 'owner/chat'"),
        ("https://huggingface.co/owner/chat/tree/main", r"is an address, not a name\. Type 'owner/chat'"),
        ("hf.co/gpt2?x=1", r"is an address, not a name\. Type 'gpt2'"),
        ("https://huggingface.co/datasets/owner/rows", "It leads to a data set or a Space; give a model"),
        ("https://example.org/owner/chat", "is not a model name"),
        ("", "is not a model name"),
        ("a/b/c", "is not a model name"),
        ("owner/../chat", "is not a model name"),
        ("owner/chat model", "is not a model name"),
        ("owner/chät", "is not a model name"),
        ("x" * 200, "is not a model name"),
        ("-owner/chat-", "is not a model name"),
        ("null\0byte", "is not a model name"),
        ("./nowhere", r"The folder './nowhere' does not exist on this machine"),
        ("./nowhere.gguf", r"The file './nowhere.gguf' does not exist on this machine"),
        ("/nowhere/at/all", "does not exist on this machine"),
        ("~nobody/chat", "does not exist on this machine"),
    ],
)
def test_bad_names_are_refused_without_a_request(hub: HubServer, name: str, text: str) -> None:
    """A name is a hub id or a folder; the message says what to type."""
    with pytest.raises(errors.ModelNameError, match=text):
        load(name)
    assert hub.paths() == []


def test_file_is_not_a_folder(base: Files, tmp_path: Path) -> None:
    """A path to tokenizer.json is one level too deep."""
    write(tmp_path, chat(base))
    with pytest.raises(errors.ModelNameError, match="is a file; give the folder it is in"):
        load(str(tmp_path / "tokenizer.json"))


def test_unknown_repository_is_said(hub: HubServer) -> None:
    """Missing and private look alike from outside."""
    with pytest.raises(errors.RepoNotFoundError, match="no model 'owner/none', or it is private and needs a token"):
        load("owner/none")


def test_private_repository_needs_its_token(hub: HubServer, base: Files) -> None:
    """The token opens it, for its bearer only, even when the files are loaded and cached already."""
    hub.add("owner/private", chat(base), private=True, readers=(SECRET,))
    other = hub.issue("hf_other")
    assert load("owner/private", token=SECRET).template == TEMPLATE
    for token in (None, False, other, " "):
        with pytest.raises(errors.RepoNotFoundError, match="or it is private and needs a token"):
            load("owner/private", token=token)


@pytest.mark.parametrize("token", [None, "hf_other"])
def test_gated_repository_says_how_to_get_in(hub: HubServer, base: Files, token: str | None) -> None:
    """Its details are public; its files are not, not even those another visitor has just loaded."""
    hub.add("owner/gated", chat(base), gated=True, readers=(SECRET,))
    hub.issue("hf_other")
    assert load("owner/gated", token=SECRET).template == TEMPLATE
    with pytest.raises(
        errors.GatedRepoError, match=r"open http://.*/owner/gated, accept its conditions, then set HF_TOKEN"
    ):
        load("owner/gated", token=token)


def test_expired_token_is_told_from_a_missing_repository(hub: HubServer, base: Files) -> None:
    """The hub refuses a bad token even for public models."""
    hub.add("owner/chat", chat(base))
    with pytest.raises(errors.AccessTokenError, match=r"refused the access token .* \(401\): it is expired, revoked"):
        load("owner/chat", token=SECRET)


@pytest.mark.parametrize("token", [SECRET + "\nx", f"'{SECRET} '", SECRET + "é"])
def test_malformed_token_is_never_sent(hub: HubServer, base: Files, token: str) -> None:
    """The HTTP library would repeat it in its own error."""
    hub.add("owner/chat", chat(base))
    with pytest.raises(errors.AccessTokenError, match="has characters no token has") as caught:
        load("owner/chat", token=token)
    assert "SECRET" not in everything_said(caught.value)
    assert hub.paths() == []


def everything_said(error: BaseException | None) -> str:
    """All texts of an error and of those it comes from."""
    return "" if error is None else f"{error!r} {error} " + everything_said(error.__cause__)


@pytest.mark.parametrize("revision", ["nope", "1" * 40])
def test_unknown_revision_is_said(hub: HubServer, base: Files, revision: str) -> None:
    """A branch and a commit that do not exist are told alike."""
    hub.add("owner/chat", chat(base))
    with pytest.raises(errors.RevisionNotFoundError, match=rf"'owner/chat' has no revision '{revision}'"):
        load("owner/chat", revision=revision)


def test_revision_cannot_leave_the_cache_folder(hub: HubServer, base: Files) -> None:
    """The cache reads refs/REVISION: a path there must not reach other files."""
    hub.add("owner/chat", chat(base))
    with pytest.raises(errors.RevisionNotFoundError, match="cannot be a branch, tag or commit"):
        load("owner/chat", revision="../../../secrets")


def test_folder_has_no_revision(base: Files, tmp_path: Path) -> None:
    """A revision that would be ignored is refused."""
    with pytest.raises(errors.RevisionNotFoundError, match=r"is a folder and has no revision 'main'\. Leave"):
        load(str(write(tmp_path, chat(base))), revision="main")


def test_repository_without_tokenizer_files_lists_what_it_has(hub: HubServer) -> None:
    """So that the mistake is seen."""
    hub.add("owner/onnx", {"README.md": b"", "model.onnx": b"ONNX"})
    with pytest.raises(errors.NoTokenizerError, match=r"only: README.md, model.onnx\. Add a tokenizer.json"):
        load("owner/onnx")


@pytest.mark.parametrize("place", ["hub", "folder"])
def test_adapter_repository_names_its_base_model(hub: HubServer, tmp_path: Path, place: str) -> None:
    """An adapter has no tokenizer of its own; its base model has."""
    files = {"adapter_config.json": b'{"base_model_name_or_path": "owner/base"}', "adapter_model.safetensors": b"\0"}
    hub.add("owner/lora", files)
    with pytest.raises(errors.NoTokenizerError, match="It is an adapter of 'owner/base': load that one"):
        load("owner/lora" if place == "hub" else str(write(tmp_path, files)))
    assert not any(path.endswith(".safetensors") for path in hub.paths())


@pytest.mark.parametrize("kind", ["LlamaTokenizer", "PreTrainedTokenizerFast"])
def test_settings_without_a_vocabulary_are_no_tokenizer(hub: HubServer, kind: str) -> None:
    """transformers makes a LlamaTokenizer of three tokens from them, without a word."""
    hub.add("owner/empty", {"tokenizer_config.json": json.dumps({"tokenizer_class": kind}).encode()})
    with pytest.raises(errors.NoTokenizerError, match=r"no tokenizer files, only: .*Add a tokenizer.json"):
        load("owner/empty")


def test_empty_folder_is_no_tokenizer(tmp_path: Path) -> None:
    """Nothing to list is said too."""
    with pytest.raises(errors.NoTokenizerError, match="only: nothing"):
        load(str(tmp_path))


def test_tokenizer_that_needs_no_vocabulary_loads(tmp_path: Path) -> None:
    """ByT5 counts bytes; its settings are all it has."""
    files = {
        "tokenizer_config.json": json.dumps({"tokenizer_class": "ByT5Tokenizer", "chat_template": TEMPLATE}).encode()
    }
    model = load(str(write(tmp_path, files)))
    assert (type(model.tokenizer).__name__, model.is_fast) == ("ByT5Tokenizer", False)


@pytest.mark.parametrize("place", ["hub", "folder"])
def test_remote_code_is_refused_without_asking(
    hub: HubServer, base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """transformers would ask on stdin; a server has nobody there, and the code is never run."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    config = {"tokenizer_class": "TheirTokenizer", "auto_map": {"AutoTokenizer": ["code.TheirTokenizer", None]}}
    files = chat(base, **config) | {"code.py": b"raise SystemExit('remote code ran')"}
    hub.add("owner/code", files)
    with pytest.raises(errors.RemoteCodeError, match=r"is Python code in the repository .* never run here"):
        load("owner/code" if place == "hub" else str(write(tmp_path, files)))
    assert sys.stdin.read() == "y\n" * 9
    assert not any(path.endswith("code.py") for path in hub.paths())


def test_remote_code_of_the_model_alone_is_no_obstacle(hub: HubServer, base: Files) -> None:
    """Only the tokenizer is loaded, so code for the weights does not matter."""
    config = {"config.json": b'{"model_type": "theirs", "auto_map": {"AutoConfig": "code.Config"}}'}
    hub.add("owner/code", chat(base) | config)
    assert load("owner/code").template == TEMPLATE


def test_tokenizer_that_renders_chats_itself_is_refused(
    base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mistral-common encodes chats without a template; tracing one would show a text nobody trains on."""
    import transformers

    class OwnEncoder(transformers.PreTrainedTokenizerFast):
        def apply_chat_template(self, *_: Any, **__: Any) -> Any:
            return [1, 2, 3]

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", OwnEncoder.from_pretrained)
    with pytest.raises(
        errors.UnsupportedTokenizerError, match="loads as OwnEncoder, which encodes chats with code of its"
    ):
        load(str(write(tmp_path, chat(base))))


@pytest.mark.parametrize("file", ["encoding/encoding_dsv32.py", "encoding_dsv4.py", "chat_encoder.py"])
@pytest.mark.parametrize("place", ["hub", "folder"])
def test_repository_that_encodes_chats_in_python_is_no_base_model(
    hub: HubServer, base: Files, tmp_path: Path, place: str, file: str
) -> None:
    """Its chats have a format, which a built-in template does not write."""
    files = {**base, file: b"def encode_messages(messages): ..."}
    if place == "hub":
        hub.add("owner/model", files)
    name = "owner/model" if place == "hub" else str(write(tmp_path, files))
    with pytest.raises(errors.NoTemplateError, match=rf"Python code in the repository \({file}\) encodes its chats"):
        load(name)
    assert load(name, template="chatml").template_name == "chatml"


@pytest.mark.parametrize("file", ["tiktoken.model", "qwen.tiktoken"])
def test_vocabulary_without_its_pattern_is_refused(base: Files, tmp_path: Path, file: str) -> None:
    """With tiktoken installed transformers would load it, and cut Kimi's Chinese in other places."""
    files = {name: data for name, data in chat(base).items() if name != "tokenizer.json"}
    with pytest.raises(errors.UnsupportedTokenizerError, match=f"has its vocabulary in {file} alone"):
        load(str(write(tmp_path, {**files, file: b"IQ== 0\n"})))


def test_tokenizer_that_needs_a_missing_package_is_refused(tmp_path: Path) -> None:
    """A lone sentencepiece file needs a package to read it; where both are installed, Python is told to miss them."""
    files = {"tokenizer.model": b"spm", "tokenizer_config.json": b'{"tokenizer_class": "LlamaTokenizer"}'}
    code = (
        "import sys; sys.modules.update(sentencepiece=None, tiktoken=None)\n"
        f"from inspector.model.hub import load; load({str(write(tmp_path, files))!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "UnsupportedTokenizerError: The tokenizer of" in done.stderr
    assert "needs a package that is not installed" in done.stderr


@pytest.mark.parametrize("place", ["hub", "folder"])
@pytest.mark.parametrize(
    ("file", "data", "text"),
    [
        ("tokenizer.json", b'{"version": "1.0", "added_to', "is not JSON"),
        ("tokenizer.json", b"[]", "is JSON but not an object"),
        ("tokenizer.json", b'{"added_tokens": [], "model": null}', "is JSON but not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe", "is not UTF-8 at byte 0"),
        ("tokenizer_config.json", b'{"eos_token": ', "is not JSON"),
        ("tokenizer_config.json", b"[]", "is JSON but not an object"),
        ("config.json", b"{", "is not JSON"),
        ("chat_template.jinja", b"{{ m \xff }}", "is not UTF-8 at byte 5"),
        ("additional_chat_templates/rag.jinja", b"\xff", "is not UTF-8 at byte 0"),
    ],
)
def test_damaged_file_is_named(
    hub: HubServer, base: Files, tmp_path: Path, place: str, file: str, data: bytes, text: str
) -> None:
    """One file of many is broken: the message says which, and how."""
    files = chat(base) | {file: data}
    hub.add("owner/broken", files)
    with pytest.raises(errors.CorruptFileError, match=rf"{file} of .* cannot be read: it {text}"):
        load("owner/broken" if place == "hub" else str(write(tmp_path, files)))


def test_files_that_make_no_tokenizer_are_said(base: Files, tmp_path: Path) -> None:
    """Each file is sound by itself and transformers still fails."""
    folder = str(write(tmp_path, chat(base, added_tokens_decoder={"0": 5})))
    with pytest.raises(errors.CorruptFileError, match="make no tokenizer: TypeError: Found a <class 'int'>"):
        load(folder)


@pytest.mark.parametrize("template", [3, {"default": 3}])
def test_template_that_is_not_text_is_corrupt(base: Files, tmp_path: Path, template: Any) -> None:
    """A number where the template should be is not rendered as one."""
    with pytest.raises(
        errors.CorruptFileError, match=r"tokenizer_config.json of .* has a chat template that is not text"
    ):
        load(str(write(tmp_path, chat(base, template))))


@pytest.mark.parametrize(("data", "text"), [(b"{", "cannot be read"), (b"[]", "not an object")])
def test_damaged_processor_template_is_named(base: Files, tmp_path: Path, data: bytes, text: str) -> None:
    """chat_template.json is read by us, so its faults are said by us."""
    with pytest.raises(errors.CorruptFileError, match=rf"chat_template.json of .* {text}"):
        load(str(write(tmp_path, base | {"chat_template.json": data})))


def test_full_disk_is_not_called_a_corrupt_file(base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of this machine is passed on as what it is."""
    import transformers

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(
        errors.ModelError, match=r"could not be loaded: OSError: .*No space left on device.*Check the disk"
    ):
        load(str(write(tmp_path, chat(base))))


@pytest.mark.parametrize("fault", [None, Fault.DROP, Fault.UNAVAILABLE])
def test_no_error_shows_the_token(hub: HubServer, base: Files, fault: Fault | None) -> None:
    """Errors are shown on a page and pasted into bug reports."""
    hub.add("owner/broken", chat(base) | {"tokenizer.json": b"{"}, private=True, readers=(SECRET,))
    hub.add("owner/gated", chat(base), gated=True)
    hub.add("owner/empty", {"README.md": b""})
    if fault:
        hub.fail(fault)
    for name in ("owner/broken", "owner/gated", "owner/empty", "owner/none"):
        with pytest.raises(errors.ModelError) as caught:
            load(name, token=SECRET)
        assert "SECRET" not in everything_said(caught.value)


def test_unknown_failure_is_quoted_without_the_token(
    base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library says, tokens are taken out."""
    import transformers

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"bad header: Bearer {SECRET}\nmore")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(errors.CorruptFileError, match=r"RuntimeError: bad header: Bearer <token>$"):
        load(str(write(tmp_path, chat(base))))


# Real tokenizers


@pytest.mark.parametrize("name", ["llama3_1", "llama3_2", "qwen2_5", "qwen3", "gemma3"])
def test_real_chat_model_loads_with_its_template(real_model_dir: Any, name: str) -> None:
    """The files people train with."""
    model = load(str(real_model_dir(name)))
    assert (model.template_name, model.is_fast) == ("default", True)
    assert model.template == model.tokenizer.chat_template


def test_real_base_model_needs_a_template(real_model_dir: Any) -> None:
    """GPT-2 has none."""
    folder = str(real_model_dir("gpt2"))
    with pytest.raises(errors.NoTemplateError, match="it looks like a base model"):
        load(folder)
    assert load(folder, template="human-assistant").special_tokens["eos_token"] == "<|endoftext|>"
