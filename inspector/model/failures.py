"""An error of transformers or huggingface_hub -> the ModelError that says what happened, where, and what to do.

Their texts mention unrelated files and advice that does not apply here, and may repeat a request. So each known failure
has our own text; of the others only the first line is quoted, without anything that looks like a token.
Imports huggingface_hub and tokenizers inside functions only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from inspector.errors import (
    AccessTokenError,
    CorruptFileError,
    GatedRepoError,
    ModelError,
    NoTokenizerError,
    OfflineError,
    RemoteCodeError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UnsupportedTokenizerError,
    short,
)

_JSON_FILES = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "config.json")
_VOCABULARY = re.compile(
    r"(?!tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json)"
    r"[^/]*(tokenizer|vocab|merges|tekken|tiktoken|spiece|sentencepiece|spm|bpe)[^/]*"
)
_LISTED_FILES = 20


def explain(
    error: BaseException, *, name: str, revision: str | None, folder: Path | None, token: object, offline: bool
) -> ModelError:
    """Return what to raise for `error`, which loading `name` raised.

    `folder` holds the files that were fetched, or is None; it is used to tell a damaged file from a missing one.
    `offline` says that only the cache was searched.
    """
    for link in _chain(error):
        if failure := _hub_failure(link, name, revision):
            return failure
    text = _first_line(error, token)
    if "trust_remote_code" in str(error):
        return RemoteCodeError(
            f"The tokenizer of {name!r} is Python code in the repository (auto_map in tokenizer_config.json), "
            "which is never run here. Save it as a tokenizer.json, or use a model that has one."
        )
    if folder is not None and (damage := _damaged_file(folder)):
        return unreadable(name, *damage)
    if isinstance(error, ImportError) or "pip install" in str(error):
        return UnsupportedTokenizerError(f"The tokenizer of {name!r} needs a package that is not installed: {text}")
    if isinstance(error, OSError) and error.errno is not None:
        return ModelError(f"{name!r} could not be loaded: {text}. Check the disk and the rights on the cache folder.")
    files = [path.name for path in folder.iterdir()] if folder is not None else []
    if not has_vocabulary(files):
        return _offline(name, "cannot be reached") if offline or folder is None else no_tokenizer(name, files, None)
    return CorruptFileError(f"The tokenizer files of {name!r} make no tokenizer: {text}")


def unreadable(name: str, file: str, what: str) -> CorruptFileError:
    """Return the error for a file of the model `name`; `what` is wrong with it, as a clause."""
    return CorruptFileError(f"{file} of {name!r} cannot be read: {what}. Fetch it again or correct it.")


def is_panic(error: BaseException) -> bool:
    """Whether the tokenizers library panicked: its panics are not Exceptions, and would end a server."""
    return type(error).__name__ == "PanicException"


def has_vocabulary(files: Iterable[str], names: Iterable[str] = ()) -> bool:
    """Whether one of `files` can hold a vocabulary: one of `names`, or a file with a usual name."""
    wanted = set(names)
    return any(file in wanted or _VOCABULARY.fullmatch(file) for file in files)


def no_tokenizer(name: str, files: Iterable[str], base_model: str | None) -> NoTokenizerError:
    """Return the error for a model without tokenizer files: lists `files`, says what the repository seems to be."""
    found = sorted(files)
    listed = ", ".join(found[:_LISTED_FILES]) + (", ..." if len(found) > _LISTED_FILES else "")
    if base_model is not None:
        hint = f"It is an adapter of {base_model!r}: load that one."
    else:
        hint = "Add a tokenizer.json and tokenizer_config.json, or load the model whose tokenizer it uses."
    return NoTokenizerError(f"{name!r} has no tokenizer files, only: {listed or 'nothing'}. {hint}")


def _hub_failure(error: BaseException, name: str, revision: str | None) -> ModelError | None:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        return GatedRepoError(
            f"Access to {name!r} must be granted first: open {constants.ENDPOINT}/{name}, accept its conditions, then "
            "set HF_TOKEN or pass a token of that account."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return RepoNotFoundError(
            f"The hub has no model {name!r}, or it is private and needs a token. Check the spelling; for a private one "
            "set HF_TOKEN or pass a token that may read it."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return RevisionNotFoundError(
            f"{name!r} has no revision {revision!r}. "
            f"Give a branch, tag or commit: {constants.ENDPOINT}/{name}/commits lists them."
        )
    if isinstance(error, errors.DisabledRepoError):
        return RepoNotFoundError(f"The hub has disabled {name!r}. Use another model.")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return None
    return _refused(error, name) or _unreachable(error, name)


def _refused(error: BaseException, name: str) -> ModelError | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status not in (401, 403):
        return None
    return AccessTokenError(
        f"The hub refused the access token when asked for {name!r} ({status}): it is expired, revoked, or may not read "
        "this. Make a new one with read access, or load public models without any (unset HF_TOKEN)."
    )


def _unreachable(error: BaseException, name: str) -> ModelError | None:
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    broken_off = isinstance(error, OSError) and "Consistency check failed" in str(error)
    # errors.HTTPError is the base class of the HTTP library in use, whose name differs between versions.
    if not (
        broken_off or isinstance(error, (errors.HTTPError, errors.OfflineModeIsEnabled, ConnectionError, TimeoutError))
    ):
        return None
    return _offline(name, f"answered {status}" if status else "cannot be reached")


def _offline(name: str, what: str) -> OfflineError:
    from huggingface_hub import constants

    return OfflineError(
        f"The hub at {constants.ENDPOINT} {what} and the files of {name!r} are not all in the local cache. "
        "Try again with a network connection, or give a folder."
    )


def _damaged_file(folder: Path) -> tuple[str, str] | None:
    """Return (file, what is wrong with it) for the first file that cannot be read, or None."""
    for name in _JSON_FILES:
        if (folder / name).is_file() and (problem := json_problem(folder / name)):
            return name, problem
    for path in (folder / "chat_template.jinja", *sorted((folder / "additional_chat_templates").glob("*.jinja"))):
        try:
            path.read_text(encoding="utf-8") if path.is_file() else ""
        except UnicodeDecodeError as error:
            return path.relative_to(folder).as_posix(), f"it is not UTF-8 at byte {error.start}"
    return None


def json_problem(path: Path) -> str | None:
    """Return what is wrong with a JSON file that holds an object, as a clause; None when nothing is."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return f"it is not JSON ({error})"
    if not isinstance(value, dict):
        return "it is JSON but not an object"
    if path.name != "tokenizer.json":
        return None
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(path))
    except BaseException as error:  # the tokenizers library raises nothing more precise, and may panic
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return f"it is JSON but not a tokenizer ({short(str(error), 200)})"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _first_line(error: BaseException, token: object) -> str:
    text = str(error)
    if isinstance(token, str):
        text = text.replace(token, "<token>")
    text = re.sub(r"hf_\w{8,}", "<token>", text)
    first = next(iter(text.strip().splitlines()), "")
    return f"{type(error).__name__}: {short(first, 300)}" if first else type(error).__name__
