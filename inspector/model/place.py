"""A model's name -> the place of its files: a folder, a .gguf file, or a commit on the hub; and the files themselves.

inspector.model.hub explains what a name means and what is fetched, and loads the files found here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inspector.errors import (
    AccessTokenError,
    CorruptFileError,
    ModelError,
    ModelNameError,
    OfflineError,
    RevisionNotFoundError,
    quoted,
)
from inspector.model.beginnings import opened_on_hub
from inspector.model.encoders.encoder import Stream
from inspector.model.failures import explain, has_vocabulary
from inspector.model.model import Source, Token
from inspector.paths import MODELS

_VOCABULARIES = ("tokenizer_config.json", "tekken.json")
EMBEDDED = {path.parent.name: path.parent for path in MODELS.glob("*/*") if path.name in _VOCABULARIES}
"""The models that come with the package: name -> folder."""
MAX_FILE_BYTES = 100_000_000
"""Largest file of a tokenizer that is fetched or read, in bytes; the largest in use has a third of that."""
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_HUB_URL = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+(?:/[\w.-]+)?)(?:[/?#].*)?", re.ASCII
)
_ENCODER = re.compile(r"(^|/)(encoding/[^/]+|encod(ing|er)[^/]*|chat_encod[^/]*)\.py$")
"""Names of Python files that turn messages into text."""
_MOST_ENCODERS = 4
"""Maximum number of such files to look at."""
_REVISION = re.compile(r"\w[\w./-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of the files: a folder's path, or a hub id at a commit. `offline`: whether only the cache is used."""

    name: str
    source: Source
    path: str
    commit: str | None = None
    files: tuple[str, ...] = ()
    token: Token = field(default=None, repr=False)
    offline: bool = False

    def fetch(self, file: str) -> Path | None:
        """Return the path of a file of the model, or None if there is no such file."""
        path = Path(self.path, file)
        if self.source is Source.HUB and self.files and file not in self.files:
            return None
        if self.source is Source.HUB:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import EntryNotFoundError

            try:
                path = Path(
                    hf_hub_download(
                        self.path, file, revision=self.commit, token=self.token, local_files_only=self.offline
                    )
                )
            except EntryNotFoundError:
                return None
            except OSError as error:
                raise self.explained(error) from None
        return path if path.is_file() else None

    @contextmanager
    def opened(self, file: str) -> Iterator[Stream]:
        """A file of the model as a stream. Raises a ModelError, also during reading."""
        if self.source is not Source.HUB or self.offline:
            path = self.fetch(file)
            if path is None:
                raise CorruptFileError(
                    f"{file} of {self.name!r} is not a plain file. Put the file itself in its place."
                )
            with open(path, "rb") as stream:
                yield stream
            return
        from huggingface_hub.errors import HTTPError

        try:
            with opened_on_hub(self.path, file, self.commit, self.token) as stream:
                yield stream
        except (HTTPError, OSError) as error:
            raise self.explained(error) from None

    def json(self, file: str) -> dict[str, Any] | None:
        """Return the object in a JSON file of the model, or None if there is no such file."""
        path = self.fetch(file)
        if path is None:
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorruptFileError(f"{file} of {self.name!r} cannot be read: {error}. Correct that file.") from None
        if not isinstance(value, dict):
            raise CorruptFileError(f"{file} of {self.name!r} is JSON but not an object. Correct that file.")
        return value

    def explained(self, error: BaseException) -> ModelError:
        """Return the ModelError for an error that was raised while the model was loaded."""
        return explain(
            error, name=self.name, revision=self.commit, folder=self.folder, token=self.token, offline=self.offline
        )

    @property
    def folder(self) -> Path | None:
        """Return the folder that holds the fetched files of the model; None if none was fetched."""
        if self.source is not Source.HUB:
            return Path(self.path)
        from huggingface_hub import try_to_load_from_cache

        for file in ("tokenizer_config.json", "tokenizer.json", "config.json"):
            path = try_to_load_from_cache(self.path, file, revision=self.commit)
            if isinstance(path, str):
                return Path(path).parent
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the known names of the files of the model."""
        return self.files or self.fetched

    @property
    def fetched(self) -> tuple[str, ...]:
        """Return the names of the files next to the fetched ones, or in the folder."""
        folder = self.folder
        return tuple(sorted(os.listdir(folder))) if folder else ()

    @property
    def key(self) -> Hashable:
        """Return a key that changes exactly when the files change: a commit, or the files' sizes and times."""
        if self.source is Source.HUB:
            return self.path, self.commit
        folders = ("*.*", "additional_chat_templates/*", "encoding/*.py")
        paths = (Path(self.path), *(path for folder in folders for path in Path(self.path).glob(folder)))
        stats = [(str(path), path.stat()) for path in sorted(paths)]
        return (
            os.path.abspath(self.path),
            self.files,
            tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats),
        )

    @property
    def python_encoders(self) -> list[str]:
        """The files of a repository that encode chats in Python, as DeepSeek V3.2's `encoding/encoding_dsv32.py`."""
        files, folder = self.files, self.folder
        if folder and (self.source is not Source.HUB or not files):
            files = tuple(file.relative_to(folder).as_posix() for file in sorted(folder.glob("**/*.py")))
        return [file for file in files if _ENCODER.search(file)][:_MOST_ENCODERS]


def locate(name: str, revision: str | None, token: Token) -> Place:
    """Return the place of a model's files; a hub model is pinned to a commit. Raises a ModelError."""
    name = name.strip()
    name = name.rstrip("/") or name
    if "\0" in name:
        raise ModelNameError(f"{quoted(name, 120)} is not a model name: it has a character that no name can have.")
    path = str(EMBEDDED[name]) if name in EMBEDDED else os.path.expanduser(name)
    is_gguf = name.endswith(".gguf") and os.path.isfile(path)
    if name in EMBEDDED or name.startswith((".", "/", "~")) or os.path.isdir(path) or is_gguf:
        if not os.path.isdir(path) and not is_gguf:
            kind = "is a file; give the folder it is in" if os.path.isfile(path) else "does not exist on this machine"
            raise ModelNameError(f"The {'file' if name.endswith('.gguf') else 'folder'} {name!r} {kind}.")
        if revision is not None:
            raise RevisionNotFoundError(
                f"{name!r} is a {'file' if is_gguf else 'folder'} and has no revision {revision!r}. "
                "Leave the revision out."
            )
        if is_gguf:
            folder, file = os.path.split(path)
            return Place(name=name, source=Source.FOLDER, path=folder or ".", files=(file,))
        source = Source.EMBEDDED if name in EMBEDDED else Source.FOLDER
        files = {file.name: file.stat().st_size for file in sorted(Path(path).iterdir()) if file.exists()}
        _refuse_enormous(name, files)
        return Place(name=name, source=source, path=path, files=tuple(files))
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


def _pin(name: str, revision: str | None, token: Token) -> Place:
    """Ask the hub for the commit of `revision` and whether its files may be read; fall back on the cache."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, HTTPError, RevisionResolutionError

    api = HfApi()
    place = Place(name=name, source=Source.HUB, path=name, commit=revision, token=token)
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
        if info.sha != known:  # recorded in the cache, so that the branch has a commit without a network
            api.resolve_revision(name, revision=revision, token=token)
    except (HTTPError, OSError, ValueError, KeyError) as error:  # the last two: what answers is not a hub
        failure = explain(error, name=name, revision=revision, folder=None, token=token, offline=True)
        if known is None or not isinstance(failure, OfflineError):
            raise failure from None  # the cause holds the request, and with it the token
        if token is not None:  # a server's cache may hold files that other visitors may read and this one may not
            raise OfflineError(
                f"The hub does not answer, so it is unknown whether {name!r} may be read with this token or without "
                "one; the files in the cache are for this machine's own account. Try again later."
            ) from None
        return replace(place, commit=known, offline=True)
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    _refuse_enormous(name, files)
    return replace(place, commit=info.sha, files=tuple(files))


def _refuse_enormous(name: str, files: Mapping[str, int]) -> None:
    """Raise CorruptFileError for a file to be fetched or read that is larger than any tokenizer's."""
    for file, size in files.items():
        is_read = file.endswith((".json", ".jinja", ".model", ".txt", ".tiktoken")) and has_vocabulary([file])
        is_named = file in ("tokenizer_config.json", "config.json", "tokenization_kimi.py")
        is_looked_at = is_named or _ENCODER.search(file) is not None
        if size > MAX_FILE_BYTES and (is_read or is_looked_at):
            raise CorruptFileError(
                f"{file} of {name!r} has {size:,} bytes; of a tokenizer's file up to {MAX_FILE_BYTES:,} are read. "
                "Use a model whose tokenizer is smaller."
            )
