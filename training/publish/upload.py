"""A run's adapter or merged model -> a repository on the hub: its files, a card, and nothing about this machine.

Files are compared by their hashes: repeating an upload resumes it. The token is that of HF_TOKEN, or the one this
machine is logged in with; it is never stored and never printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspector.errors import one_line
from inspector.paths import shell_command
from training.errors import PublishError, RunStateError, TrainingError
from training.publish.card import card, portable
from training.publish.merge import merge
from training.run.folder import RunDir
from training.run.journal import Journal

SENT = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt", ".md", ".yaml"})
"""Suffixes of the files that are sent. Weights are safetensors: no file is code or holds paths."""
WRITTEN = ("README.md", "spec.yaml")
"""Files that are written again for the hub."""
REPLACED = ["adapter_*", "model*.safetensors", "model.safetensors.index.json"]
"""Files that an earlier upload may have left: those of an adapter if there is now a whole model, or the reverse."""
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Published:
    """The place of an upload. `files`: its files in the repository; `is_merged`: whether it is the whole model."""

    repo: str
    url: str
    commit: str
    is_private: bool
    is_merged: bool
    files: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def publish(
    run: RunDir, repo: str = "", *, is_merged: bool = False, is_private: bool = True, dtype: str = "",
    token: str | None = None,
) -> Published:  # fmt: skip
    """Send the adapter, or the merged model, which is made if it is missing.

    `repo`: `user/name`, by default the spec's; `token`: by default HF_TOKEN's. Raises RunStateError, MergeError,
    PublishError.
    """
    spec = run.spec()
    repo = repo or (spec.publish.repo if spec.publish is not None else "")
    if not _NAME.fullmatch(repo):
        reason = f"{repo!r} is not the name of a repository" if repo else "It is not said where to"
        raise PublishError(
            f"{reason}: name one as user/name, with --repo or in the spec as publish: {{repo: user/name}}."
        )
    if not run.has_weights:
        raise RunStateError(f"The run {run.run_id} has nothing to publish yet: let it train first.")
    is_merged = is_merged and spec.lora is not None
    user = _User.of(token, repo)
    if is_merged and (dtype or not run.merged.is_dir()):
        merge(run, dtype=dtype)
    with _staged(run, repo, is_merged=is_merged) as folder:
        found = user.send(folder, repo, is_private=is_private)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    done = Published(**found, is_merged=is_merged, files=files)
    run.record(published=done.to_dict())
    return done


def conclude(run: RunDir, journal: Journal) -> None:
    """Merge and publish at the end of a run, as the spec says. A failure is noted, with the command to try again."""
    spec = run.spec()
    if spec.lora is not None and spec.lora.merge:
        with _noted(journal, "Not merged", f"{shell_command('training')} merge {run.run_id}"):
            merge(run)
    if spec.publish is not None:
        with _noted(journal, "Not published", f"{shell_command('training')} publish {run.run_id}"):
            done = publish(run, is_merged=spec.publish.merged, is_private=spec.publish.private)
            print(f"Published: {done.url}")


@contextmanager
def _noted(journal: Journal, what: str, command: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the adapter is complete, whatever happens now
        reason = error if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
        note = f"{what}: {reason} Do it again with: {command}"
        print(note)
        journal.say(notes=(*journal.status.notes, note))


# --- the files that are sent


@contextmanager
def _staged(run: RunDir, repo: str, *, is_merged: bool) -> Iterator[Path]:
    """A folder to send: linked weights, texts without this machine's paths, a card for the hub."""
    source = run.merged if is_merged else run.adapter
    folder = Path(tempfile.mkdtemp(prefix=".publish-", dir=run.path))
    try:
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.suffix in SENT and path.name not in WRITTEN:
                _put(run, path, folder / path.relative_to(source))
        precision = _precision(run, source if is_merged else None)
        text = card(run, precision, is_whole=is_merged, place=repo)
        (folder / "README.md").write_text(_without_paths(run, text), encoding="utf-8")
        (folder / "spec.yaml").write_text(portable(run.spec()).to_yaml(), encoding="utf-8")
        yield folder
    except OSError as error:
        if isinstance(error, TrainingError):
            raise
        raise PublishError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(run: RunDir, path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith("config.json"):
        target.write_text(_without_paths(run, path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    try:
        os.link(path, target)
    except OSError:  # a file system without links
        shutil.copyfile(path, target)


def _without_paths(run: RunDir, text: str) -> str:
    """A text with public names for the model and the data."""
    from inspector.model.hub import EMBEDDED
    from inspector.paths import found_name

    spec = run.spec()
    known = {str(path): name for name, path in EMBEDDED.items()}
    known |= {str(path): run.run_id for path in (run.path.absolute(), run.path.resolve())}
    for name in (spec.model, spec.data.name, found_name(spec.data.name)):
        if Path(name).exists():
            known |= {str(form): Path(name).name for form in (Path(name), Path(name).absolute(), Path(name).resolve())}
    for path in sorted((path for path in known if os.sep in path), key=len, reverse=True):
        text = text.replace(path, known[path])
    return text


def _precision(run: RunDir, merged: Path | None) -> str:
    """The number type: that in the merged model's configuration, or else the one it was trained in."""
    if merged is not None:
        with contextlib.suppress(OSError, ValueError):
            dtype = json.loads((merged / "config.json").read_text(encoding="utf-8")).get("dtype")
            return {"bfloat16": "bf16", "float16": "fp16"}.get(dtype, "fp32")
    return run.facts().precision or "fp32"


# --- the hub


@dataclass(frozen=True, kw_only=True)
class _User:
    """A user of the hub, identified by a token."""

    api: Any
    name: str

    @classmethod
    def of(cls, token: str | None, repo: str) -> _User:
        """The user of the token, or of the token that this machine has. Raises PublishError."""
        from huggingface_hub import HfApi, get_token

        token = (token or get_token() or "").strip()
        if not token:
            raise PublishError(
                "There is no token: make one with write access at https://huggingface.co/settings/tokens, and set "
                "HF_TOKEN to it."
            )
        api = HfApi(token=token)
        with _told(api, repo, ""):
            return cls(api=api, name=str(api.whoami()["name"]))

    def send(self, folder: Path, repo: str, *, is_private: bool) -> dict[str, Any]:
        """Send a folder's files to a repository, which is made if it is missing. Raises PublishError."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with _told(self.api, repo, self.name):
            self.api.create_repo(repo, private=is_private, exist_ok=True)
            try:
                is_open = not self.api.model_info(repo).private
            except RepositoryNotFoundError:
                is_open = False
            if is_private and is_open:
                raise PublishError(
                    f"{repo} is there already, and public: choose another name, or --public if it is yours."
                )
            sent = self.api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message="Trained with Maskscope", delete_patterns=REPLACED
            )
            url = f"{self.api.endpoint}/{repo}"
            return {"repo": repo, "url": url, "commit": str(sent.oid), "is_private": not is_open}


@contextmanager
def _told(api: Any, repo: str, user: str) -> Iterator[None]:
    """Turn errors of the hub's library into a PublishError, without the token."""
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (HTTPError, OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, TrainingError):
            raise
        raise PublishError(
            _said(error, api, repo, user)
        ) from None  # the cause holds the request, and with it the token


def _said(error: BaseException, api: Any, repo: str, user: str) -> str:
    again = "Do it again: files that are there already are not sent again."
    status, link = None, error
    while status is None and link is not None:
        status = getattr(getattr(link, "response", None), "status_code", None)
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    if status == 401:
        return (
            "The hub does not know this token: make one with write access at https://huggingface.co/settings/tokens, "
            "and set HF_TOKEN to it."
        )
    if status in (403, 404):
        return (
            f"{user or 'This token'} may not write to {repo} ({status}): the token needs write access, and what stands "
            "before the slash has to be your name or that of an organisation you are in."
        )
    reason = one_line(str(error).replace(str(api.token), "<token>"), 200)
    if status is not None:
        return f"The hub answered {status} to {repo}: {reason} {again}"
    return f"The hub at {api.endpoint} cannot be reached or broke off: {type(error).__name__}: {reason} {again}"
