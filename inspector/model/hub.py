"""A model's name -> Model: the very tokenizer object a trainer would load, and the chat template it would render with.

A name means, in this order: a model embedded beside the package, such as `tiny-chat`; a folder, when one of that name
exists (transformers decides so too), or a .gguf file; a hub id such as `owner/name`. A name that starts with `.`, `/`
or `~` always means a folder or such a file. Hub models are pinned to a commit first and only tokenizer files are
fetched, never weights, of a .gguf file its header; while the hub is unreachable the commit in the local cache is used,
for this machine's own account only. Loaded tokenizers are kept (four of them), shared and never changed.

Refuses: URLs, tokenizers that are Python code in the repository, tokenizers whose chats are encoded by code that is not
known here, and models without a template unless one is chosen. Importing this file imports neither transformers nor
torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from inspector.errors import (
    AccessTokenError,
    CorruptFileError,
    ModelError,
    ModelNameError,
    NoTemplateError,
    OfflineError,
    RevisionNotFoundError,
    UnsupportedTokenizerError,
    quoted,
)
from inspector.model.beginnings import opened_on_hub
from inspector.model.encoders import JINJA, Encoder, FilesOf, encoder_of, encoder_with, known_code, opinion_on
from inspector.model.encoders.encoder import Stream
from inspector.model.failures import explain, has_vocabulary, is_panic, no_tokenizer
from inspector.model.model import BUILT_IN_TEMPLATES, Alternative, Model, Source, Token, choose_template
from inspector.model.tokenizer import Tokenizer
from inspector.paths import MODELS

__all__ = ["BUILT_IN_TEMPLATES", "Model", "Source", "Token", "load"]

_VOCABULARIES = ("tokenizer_config.json", "tekken.json")
EMBEDDED = {path.parent.name: path.parent for path in MODELS.glob("*/*") if path.name in _VOCABULARIES}
"""The models embedded beside the package: name -> folder."""
MAX_FILE_BYTES = 100_000_000
"""Largest file of a tokenizer that is fetched or read; the largest in use has a third of that."""
CACHED_MODELS = 4  # a loaded tokenizer takes 30-100 MB
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_HUB_URL = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+(?:/[\w.-]+)?)(?:[/?#].*)?", re.ASCII
)
_ENCODER = re.compile(r"(^|/)(encoding/[^/]+|encod(ing|er)[^/]*|chat_encod[^/]*)\.py$")
"""Python that turns messages into text, by its place or name."""
_MOST_ENCODERS = 4
"""Files of that kind that are looked at."""
_REVISION = re.compile(r"\w[\w./-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the files are: a folder's path or a hub id at a commit. `offline`: only what the cache holds."""

    name: str
    source: Source
    path: str
    commit: str | None = None
    files: tuple[str, ...] = ()
    token: Token = field(default=None, repr=False)
    offline: bool = False


def load(name: str, *, revision: str | None = None, template: str | None = None, token: Token = None) -> Model:
    """Load the tokenizer and chat template of `name`; see the module's docstring for what a name means.

    `template`: the name of one of the model's own templates, else of a built-in one, else Jinja source. `token`: a hub
    access token; None uses the one this machine is logged in with, False none at all. A server passes its visitors' own
    token or False, never None.

    Raises:
        ModelError: one of its leaves (see inspector.errors); the message says what to do and never shows the token.
    """
    place = _locate(name, revision, token)
    loaded = _LOADED.get(_key(place), lambda: _build(place))
    tokenizer, templates = loaded.tokenizer, loaded.templates
    if template is None and not templates and (codes := _python_encoders(place)):
        raise _unknown_code(place, codes[0])
    template_name, source = choose_template(place.name, templates, template)
    return Model(
        name=place.name, revision=place.commit, source=place.source, tokenizer=tokenizer, templates=templates,
        template=source, template_name=template_name, template_is_chosen=template is not None,
        is_fast=bool(tokenizer.is_fast), encoder=encoder_with(source, loaded.encoder), alternative=loaded.alternative,
        embeddings=loaded.embeddings,
    )  # fmt: skip


def _locate(name: str, revision: str | None, token: Token) -> _Place:
    name = name.strip()
    name = name.rstrip("/") or name
    if "\0" in name:
        raise ModelNameError(f"{quoted(name, 120)} is not a model name: it has a character that no name can have.")
    path = str(EMBEDDED[name]) if name in EMBEDDED else os.path.expanduser(name)
    is_gguf = name.endswith(".gguf") and os.path.isfile(path)
    if name in EMBEDDED or name.startswith((".", "/", "~")) or os.path.isdir(path) or is_gguf:
        if not os.path.isdir(path) and not is_gguf:
            kind = "is a file; give the folder it is in" if os.path.isfile(path) else "does not exist on this machine"
            raise ModelNameError(f"The folder {name!r} {kind}.")
        if revision is not None:
            raise RevisionNotFoundError(
                f"{name!r} is a {'file' if is_gguf else 'folder'} and has no revision {revision!r}. "
                "Leave the revision out."
            )
        if is_gguf:
            folder, file = os.path.split(path)
            return _Place(name=name, source=Source.FOLDER, path=folder or ".", files=(file,))
        source = Source.EMBEDDED if name in EMBEDDED else Source.FOLDER
        files = {file.name: file.stat().st_size for file in sorted(Path(path).iterdir()) if file.exists()}
        _refuse_enormous(name, files)
        return _Place(name=name, source=source, path=path, files=tuple(files))
    if match := _HUB_URL.fullmatch(name):
        is_model = match[1].split("/")[0] not in ("datasets", "spaces")
        hint = f"Type {match[1]!r}." if is_model else "It leads to a data set or a Space; give a model."
        raise ModelNameError(f"{name!r} is an address, not a name. {hint}")
    if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name or len(name) > 96:
        raise ModelNameError(
            f"{quoted(name, 120)} is not a model name. Type a hub id such as 'owner/name', or a folder."
        )
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise RevisionNotFoundError(f"{quoted(revision, 120)} cannot be a branch, tag or commit of {name!r}.")
    if isinstance(token, str):
        token = token.strip() or None
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise AccessTokenError("The access token has characters no token has. Copy it again, without quotes or spaces.")
    return _pin(name, revision, token)


def _pin(name: str, revision: str | None, token: Token) -> _Place:
    """Ask the hub which commit `revision` is at and whether its files may be read; fall back on the cache."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, HTTPError, RevisionResolutionError

    api = HfApi()
    place = _Place(name=name, source=Source.HUB, path=name, commit=revision, token=token)
    try:
        known = api.resolve_revision(name, revision=revision, local_files_only=True).resolved
    except RevisionResolutionError:
        known = None
    except HFValidationError as error:
        raise ModelNameError(f"{name!r} is not a model name: {error}") from None
    try:
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = api.model_info(name, revision=revision, token=token, timeout=timeout, files_metadata=True)
        if info.gated or info.private:  # the details of a gated repository are public; its cached files are not
            api.auth_check(name, token=token)
        if info.sha != known:  # written down in the cache, so that the branch has a commit when there is no network
            api.resolve_revision(name, revision=revision, token=token)
    except (HTTPError, OSError, ValueError, KeyError) as error:  # the last two: what answers is not a hub
        failure = explain(error, name=name, revision=revision, folder=None, token=token, offline=True)
        if known is None or not isinstance(failure, OfflineError):
            raise failure from None  # the cause holds the request, and with it the token
        if token is not None:  # a server's cache holds what other visitors may read and this one perhaps may not
            raise OfflineError(
                f"The hub does not answer, so nobody can say whether {name!r} may be read with this token or without "
                "one; the files in the cache are for this machine's own account. Try again later."
            ) from None
        return replace(place, commit=known, offline=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    _refuse_enormous(name, files)
    return replace(place, commit=info.sha, files=tuple(files))


def _refuse_enormous(name: str, files: Mapping[str, int]) -> None:
    """Raise CorruptFileError for a file that would be fetched or read, and is larger than any tokenizer's."""
    for file, size in files.items():
        is_read = file.endswith((".json", ".jinja", ".model", ".txt", ".tiktoken")) and has_vocabulary([file])
        is_named = file in ("tokenizer_config.json", "config.json", "tokenization_kimi.py")
        is_looked_at = is_named or _ENCODER.search(file) is not None
        if size > MAX_FILE_BYTES and (is_read or is_looked_at):
            raise CorruptFileError(
                f"{file} of {name!r} has {size:,} bytes; of a tokenizer's file up to {MAX_FILE_BYTES:,} are read. "
                "Use a model whose tokenizer is smaller."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """What is loaded once for the same files; the fields are those of Model."""

    tokenizer: Any
    templates: dict[str, str]
    encoder: Encoder
    alternative: Alternative | None = None
    embeddings: int | None = None


def _build(place: _Place) -> _Built:
    """Load what a model consists of from the files of `place`."""
    files = FilesOf(name=place.name, names=_names(place), fetch=partial(_file, place), opened=partial(_opened, place))
    encoder = encoder_of(files)
    if encoder is not JINJA:
        tokenizer, templates = encoder.load(files)
        return _Built(tokenizer=tokenizer, templates=templates, encoder=encoder, embeddings=_embeddings(place))
    if place.files and not has_vocabulary(place.files) and "tokenizer_config.json" not in place.files:
        raise no_tokenizer(place.name, place.files, _base_model(place))
    _refuse_tiktoken(place)
    tokenizer = _auto_tokenizer(place)
    templates, encoder = _own_templates(tokenizer, place), opinion_on(tokenizer)
    codes = [] if templates else _python_encoders(place)
    if known := next(filter(None, (known_code(_file(place, code)) for code in codes)), None):
        templates, encoder = {"default": known.template}, known
    return _Built(
        tokenizer=tokenizer, templates=templates, encoder=encoder, alternative=_alternative(place, tokenizer),
        embeddings=_embeddings(place),
    )  # fmt: skip


def _embeddings(place: _Place) -> int | None:
    """The rows of the embedding that config.json counts."""
    config = _json(place, "config.json") or {}
    text = config.get("text_config")
    counts = (one.get("vocab_size") for one in (text, config) if isinstance(one, dict))
    return next((count for count in counts if isinstance(count, int)), None)


def _alternative(place: _Place, tokenizer: Any) -> Alternative | None:
    """The tokenizer loaded in the other way, where transformers warned: with Mistral's newer pattern, or as Llama's.

    transformers notes the first warning at the backend, in `fix_mistral_regex`; it gives the second one where
    tokenizer_config.json names Llama's class and the vocabulary is byte-level, and takes another class then.
    """
    declared = str((_json(place, "tokenizer_config.json") or {}).get("tokenizer_class"))
    if tokenizer.is_fast and getattr(tokenizer.backend_tokenizer, "fix_mistral_regex", None) is False:
        return Alternative(setting="fix_mistral_regex=True", tokenizer=_auto_tokenizer(place, fix_mistral_regex=True))
    if declared.removesuffix("Fast") == "LlamaTokenizer" and type(tokenizer).__name__ == "TokenizersBackend":
        from transformers import LlamaTokenizer

        return Alternative(
            setting="LlamaTokenizer, the class that tokenizer_config.json names",
            tokenizer=_auto_tokenizer(place, by=LlamaTokenizer),
        )
    return None


def _auto_tokenizer(place: _Place, by: Any = None, **settings: Any) -> Any:
    """The tokenizer that transformers loads, and so every trainer. `by`: the class to load it by, where it is known."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    try:
        # trust_remote_code unset would ask a question on stdin.
        tokenizer = (by or AutoTokenizer).from_pretrained(
            place.path,
            revision=place.commit,
            token=place.token,
            trust_remote_code=False,
            local_files_only=place.offline,
            # with mistral-common installed it would be preferred to the tokenizer.json beside it
            **({"mistral_format": False} if {"tekken.json", "tokenizer.json"} <= set(_names(place)) else {}),
            **settings,
        )
    except BaseException as error:  # the tokenizers library raises nothing more precise, and panics
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise _explain(error, place) from None
    kind = type(tokenizer)
    # Without a vocabulary some classes load all the same, with three tokens in all.
    if kind.vocab_files_names and not has_vocabulary(_fetched(place), kind.vocab_files_names.values()):
        raise no_tokenizer(place.name, _names(place), None)
    if kind.apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        raise UnsupportedTokenizerError(
            f"{place.name!r} loads as {kind.__name__}, which encodes chats with code of its own instead of rendering a "
            "chat template, so its characters cannot be traced. Use a repository with a Jinja chat template."
        )
    return tokenizer


def _python_encoders(place: _Place) -> list[str]:
    """The files of a repository that encode chats in Python, as DeepSeek V3.2's `encoding/encoding_dsv32.py`."""
    files, folder = place.files, _folder(place)
    if folder and (place.source is not Source.HUB or not files):
        files = tuple(file.relative_to(folder).as_posix() for file in sorted(folder.glob("**/*.py")))
    return [file for file in files if _ENCODER.search(file)][:_MOST_ENCODERS]


def _unknown_code(place: _Place, code: str) -> NoTemplateError:
    path = _file(place, code)
    digest = hashlib.sha256(path.read_bytes() if path else b"").hexdigest()[:12]
    return NoTemplateError(
        f"{place.name!r} has no chat template: Python code in the repository ({code}) encodes its chats, and code of "
        f"a repository is never run here. Its sha256 begins with {digest}; that is no code whose rules are known here. "
        "Give a Jinja template that writes what that code writes, such as that of a converted repository; a built-in "
        "template would train other tokens than the model knows."
    )


def _refuse_tiktoken(place: _Place) -> None:
    """Raise UnsupportedTokenizerError for a vocabulary in tiktoken's format alone.

    How its text is cut before merging stands in no file of data: transformers takes one pattern for all, and where the
    model has another (Kimi splits Chinese off) the ids are silently wrong.
    """
    files = _names(place)
    found = [file for file in files if file.endswith((".tiktoken", "tiktoken.model"))]
    if found and "tokenizer.json" not in files:
        raise UnsupportedTokenizerError(
            f"{place.name!r} has its vocabulary in {found[0]} alone, and how text is cut before merging is code in the "
            "repository, which is never run here. transformers would take a pattern of its own, and the ids could be "
            "wrong. Use a repository with a tokenizer.json, such as a converted one."
        )


def _own_templates(tokenizer: Tokenizer, place: _Place) -> dict[str, str]:
    own, file = tokenizer.chat_template, "tokenizer_config.json"
    if own is None:  # a multimodal model saved before chat_template.jinja existed has it beside its processor
        own, file = (_json(place, "chat_template.json") or {}).get("chat_template"), "chat_template.json"
    templates = own if isinstance(own, dict) else {} if own is None else {"default": own}
    if not all(isinstance(text, str) for text in (*templates, *templates.values())):
        raise CorruptFileError(f"{file} of {place.name!r} has a chat template that is not text. Correct that file.")
    return dict(templates)


def _base_model(place: _Place) -> str | None:
    """Return the model that an adapter repository adapts, or None when it is not one."""
    base = (_json(place, "adapter_config.json") or {}).get("base_model_name_or_path")
    return base[:200] if isinstance(base, str) else None


def _file(place: _Place, file: str) -> Path | None:
    """Return the path of a file of `place`, or None when there is no such file."""
    path = Path(place.path, file)
    if place.source is Source.HUB and place.files and file not in place.files:
        return None
    if place.source is Source.HUB:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            path = Path(
                hf_hub_download(
                    place.path, file, revision=place.commit, token=place.token, local_files_only=place.offline
                )
            )
        except EntryNotFoundError:
            return None
        except OSError as error:
            raise _explain(error, place) from None
    return path if path.is_file() else None


@contextmanager
def _opened(place: _Place, file: str) -> Iterator[Stream]:
    """A file of `place` as a stream. Raises a ModelError, also while it is read."""
    if place.source is not Source.HUB or place.offline:
        path = _file(place, file)
        if path is None:
            raise CorruptFileError(f"{file} of {place.name!r} is not a plain file. Put the file itself in its place.")
        with open(path, "rb") as stream:
            yield stream
        return
    from huggingface_hub.errors import HTTPError

    try:
        with opened_on_hub(place.path, file, place.commit, place.token) as stream:
            yield stream
    except (HTTPError, OSError) as error:
        raise _explain(error, place) from None


def _json(place: _Place, file: str) -> dict[str, Any] | None:
    """Return the object in a JSON file of `place`, or None when there is no such file."""
    path = _file(place, file)
    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptFileError(f"{file} of {place.name!r} cannot be read: {error}. Correct that file.") from None
    if not isinstance(value, dict):
        raise CorruptFileError(f"{file} of {place.name!r} is JSON but not an object. Correct that file.")
    return value


def _explain(error: BaseException, place: _Place) -> ModelError:
    return explain(
        error, name=place.name, revision=place.commit, folder=_folder(place), token=place.token, offline=place.offline
    )


def _folder(place: _Place) -> Path | None:
    """Return the folder that holds the files of `place`, as far as they were fetched; None when none was."""
    if place.source is not Source.HUB:
        return Path(place.path)
    from huggingface_hub import try_to_load_from_cache

    for file in ("tokenizer_config.json", "tokenizer.json", "config.json"):
        path = try_to_load_from_cache(place.path, file, revision=place.commit)
        if isinstance(path, str):
            return Path(path).parent
    return None


def _names(place: _Place) -> tuple[str, ...]:
    """Return the names of the files of `place`, as far as they are known."""
    return place.files or _fetched(place)


def _fetched(place: _Place) -> tuple[str, ...]:
    folder = _folder(place)
    return tuple(sorted(os.listdir(folder))) if folder else ()


def _key(place: _Place) -> Hashable:
    """Return what stays the same exactly as long as the files do: a commit, or the files' sizes and times."""
    if place.source is Source.HUB:
        return place.path, place.commit
    folders = ("*.*", "additional_chat_templates/*", "encoding/*.py")
    paths = (Path(place.path), *(path for folder in folders for path in Path(place.path).glob(folder)))
    stats = [(str(path), path.stat()) for path in sorted(paths)]
    return (
        os.path.abspath(place.path),
        place.files,
        tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats),
    )


class _Cache:
    """The last few loaded tokenizers. Whoever asks first for one loads it; others who ask meanwhile wait for that."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, Future[_Built]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], _Built]) -> _Built:
        with self._lock:
            entry = self._entries.get(key)
            is_first = entry is None
            if entry is None:
                entry = self._entries[key] = Future()
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        if is_first:
            self._fill(key, entry, build)
        return entry.result()

    def _fill(self, key: Hashable, entry: Future[Any], build: Callable[[], Any]) -> None:
        try:
            entry.set_result(build())
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            entry.set_exception(error)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


_LOADED = _Cache(CACHED_MODELS)
