"""Plain bytes -> a hub on 127.0.0.1 that huggingface_hub talks to as if it were the real one.

A test registers repositories as dicts (or folders) of files and may make requests fail. Served: repository details,
revisions, tree, refs, paths-info, auth-check, and files by HEAD and GET with the hub's headers and error codes; what
writes is in hub_writes, jobs are in hub_jobs.
Refused, with a plain 404 or 405: everything else, so a test that needs more says so. Standard library only: the server
must be listening before anything imports huggingface_hub, which reads HF_ENDPOINT once.

Access is modelled as the hub does it: a repository that is missing and one that is private look alike; the details of
a gated one are public and its files are not; a token nobody issued is refused everywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_jobs import Job, JobsApi
from tests.support.hub_writes import LFS_SUFFIXES, RefusedError, Writes

KINDS = ("models", "datasets", "spaces")
_NAME = r"(?P<name>[^/]+(?:/[^/]+)??)"
_VERB = r"(?P<verb>revision|tree|refs|paths-info|auth-check)"
_API = re.compile(rf"/api/(?P<kind>{'|'.join(KINDS)})/{_NAME}(?:/{_VERB}(?:/(?P<rest>.*))?)?")
_RESOLVE = re.compile(rf"/(?:(?P<kind>datasets|spaces)/)?{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class Fault(StrEnum):
    """How a request goes wrong."""

    HANG = "hang"
    """No answer until the server is reset."""
    DROP = "drop"
    """The connection is closed without an answer."""
    TRUNCATE = "truncate"
    """Half the body arrives, then the connection is closed."""
    UNAVAILABLE = "unavailable"
    """503, as when the hub is down."""
    SLOW = "slow"
    """The body arrives byte by byte until the server lets it go: no client takes it for a hanging one."""
    TOO_MANY = "too many requests"
    """429, as when the hub limits the rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came in: path without its query, headers in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Repo:
    """A repository: its commits, the branches and tags that point at them, and who may read it."""

    kind: str
    name: str
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    readers: set[str] = field(default_factory=set)

    def commit(self, files: Mapping[str, bytes | str], *, branch: str = "main") -> str:
        """Put `files` on `branch` as a whole new tree; return its commit sha (40 hex digits)."""
        tree = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
        seed = json.dumps([self.kind, self.name, branch, len(self.commits)])
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha] = tree
        self.refs[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """Return the commit sha that a branch, tag or commit stands for, or None."""
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass(slots=True, kw_only=True)
class _Failure:
    fault: Fault
    method: str
    path: str
    left: int | None


class HubServer:
    """The server; `url` is its address, `requests` what was asked of it, in order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.released = threading.Event()
        self._repos: dict[tuple[str, str], Repo] = {}
        self._tokens: set[str] = set()
        self._failures: list[_Failure] = []
        self.users: dict[str, str] = {}
        self.writers: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.jobs: dict[str, Job] = {}
        self.instead: list[str] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str, files: Mapping[str, bytes | str] | Path, *, kind: str = "models", gated: bool = False,
            private: bool = False, readers: tuple[str, ...] = ()) -> Repo:  # fmt: skip
        """Register a repository with one commit on `main`. `readers` are the tokens that may read it if restricted."""
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in sorted(files.rglob("*")) if p.is_file()}
        repo = Repo(kind=kind, name=name, gated=gated, private=private, readers=set(readers))
        repo.commit(files)
        self._repos[kind, name] = repo
        self._tokens |= repo.readers
        return repo

    def issue(self, token: str) -> str:
        """Make `token` a valid one that opens nothing by itself; return it."""
        self._tokens.add(token)
        return token

    def user(self, token: str, name: str, *, writes: bool = True) -> str:
        """Make `token` that of a user, who may write to repositories of that name if `writes`; return it."""
        self.users[token] = name
        self.writers |= {token} if writes else set()
        return self.issue(token)

    def put(self, repo: Repo) -> Repo:
        """Register a repository as it is."""
        self._repos[repo.kind, repo.name] = repo
        return repo

    def fail(self, fault: Fault, *, method: str = "*", path: str = "*", times: int | None = None) -> None:
        """Let the next `times` requests (None: all) whose method and path match these patterns go wrong."""
        self._failures.append(_Failure(fault=fault, method=method, path=path, left=times))

    def let_go(self) -> None:
        """Let what hangs or is slow go on."""
        self.released.set()

    def paths(self) -> list[str]:
        """Return the paths asked for so far."""
        return [request.path for request in self.requests]

    def reset(self) -> None:
        """Forget repositories, tokens, failures and requests; let hanging requests go."""
        self.released.set()
        self._repos.clear()
        self._tokens.clear()
        self._failures.clear()
        self.users.clear()
        self.writers.clear()
        self.blobs.clear()
        for job in self.jobs.values():
            job.end("DELETED", None)
        self.jobs.clear()
        self.instead = []
        self.requests.clear()
        self.released = threading.Event()

    def close(self) -> None:
        """Stop listening."""
        self.reset()
        self._server.shutdown()
        self._server.server_close()

    def find(self, kind: str, name: str) -> Repo | None:
        """Return the repository registered under that kind and name, or None."""
        return self._repos.get((kind, name))

    def knows(self, token: str) -> bool:
        """Tell whether `token` was issued."""
        return token in self._tokens

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return what is to go wrong with this request, and count it."""
        with self._lock:
            for failure in self._failures:
                if failure.left == 0 or not (fnmatchcase(method, failure.method) and fnmatchcase(path, failure.path)):
                    continue
                if failure.left is not None:
                    failure.left -= 1
                return failure.fault
        return None


class _Handler(Writes, JobsApi, BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    # Head and body go out as two packets: waiting for the first one's receipt costs 40 ms a request.
    disable_nagle_algorithm = True
    truncate = is_slow = False

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output quiet."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        headers = {key.lower(): value for key, value in self.headers.items()}
        query = parse_qs(parts.query)
        self.hub.requests.append(Request(method=self.command, path=parts.path, query=query, headers=headers))
        self.truncate = self.is_slow = False
        if self._goes_wrong(parts.path):
            return
        try:
            self._route(parts.path, query, body)
        except RefusedError as refusal:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            body = json.dumps({"error": refusal.message, **refusal.extra}).encode()
            self._send(body, status=refusal.status, headers=headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _goes_wrong(self, path: str) -> bool:
        fault = self.hub.fault_for(self.command, path)
        if fault is Fault.HANG:
            self.hub.released.wait(60)
        if fault in (Fault.HANG, Fault.DROP):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return True
        if fault is Fault.UNAVAILABLE:
            self._send(b"the hub is down", status=503)
            return True
        if fault is Fault.TOO_MANY:
            self._send(b"slow down", status=429)
            return True
        self.truncate, self.is_slow = fault is Fault.TRUNCATE, fault is Fault.SLOW
        return False

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        if match := _API.fullmatch(path):
            self._api(match["kind"], match["name"], match["verb"] or "", match["rest"] or "", query, body)
        elif match := _RESOLVE.fullmatch(path):
            repo = self._readable(match["kind"] or "models", match["name"], files=True)
            self._file(repo, unquote(match["revision"]), unquote(match["path"]))
        elif not (self.serve_jobs(path, query, body) or self.write(path, body)):
            raise RefusedError(404, "", f"this hub does not serve {path}")

    def _api(self, kind: str, name: str, verb: str, rest: str, query: dict[str, list[str]], body: bytes) -> None:
        repo = self._readable(kind, name, files=verb == "auth-check")
        if verb == "auth-check":
            return self._send_json({})
        if verb == "refs":
            return self._send_json(_refs(repo))
        revision, _, folder = rest.partition("/")
        sha = self._commit(repo, unquote(revision) or "main")
        if verb == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() == "true"
            return self._send_json(_tree(repo, sha, unquote(folder), recursive=recursive))
        if verb == "paths-info":
            wanted = json.loads(body)["paths"]
            return self._send_json([_entry(path, data) for path, data in repo.commits[sha].items() if path in wanted])
        return self._send_json(_details(repo, sha))

    def _readable(self, kind: str, name: str, *, files: bool) -> Repo:
        repo = self.hub.find(kind, name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is not None and not self.hub.knows(token):
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        if repo is None or (repo.private and token not in repo.readers):
            status = 401 if token is None else 404
            raise RefusedError(status, "RepoNotFound", "Repository not found")
        if files and repo.gated and token not in repo.readers:
            status = 401 if token is None else 403
            raise RefusedError(status, "GatedRepo", f"Access to {name} is restricted")
        return repo

    def _commit(self, repo: Repo, revision: str) -> str:
        sha = repo.resolve(revision)
        if sha is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def _file(self, repo: Repo, revision: str, path: str) -> None:
        sha = self._commit(repo, revision)
        headers = {"X-Repo-Commit": sha}
        data = repo.commits[sha].get(path)
        if data is None:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self._send(b"Entry not found", status=404, headers=headers)
        headers |= {"ETag": f'"{_blob_id(data)}"', "Accept-Ranges": "none"}
        if path.endswith(LFS_SUFFIXES):
            headers |= {"X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))}
        return self._send(data, headers=headers, content_type="application/octet-stream")

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), content_type="application/json")

    def _send(self, body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None,
              content_type: str = "text/plain") -> None:  # fmt: skip
        self.send_response(status)
        for key, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = 0
        while self.is_slow and sent < len(body) and not self.hub.released.wait(0.2):
            self.wfile.write(body[sent : sent + 1])
            sent += 1
        self.wfile.write(body[: len(body) // 2] if self.truncate else body[sent:])
        self.close_connection = self.close_connection or self.truncate


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _blob_id(data)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _details(repo: Repo, sha: str) -> dict[str, Any]:
    siblings = [{"rfilename": path, "size": len(data)} for path, data in sorted(repo.commits[sha].items())]
    return {"_id": sha[:24], "id": repo.name, "sha": sha, "private": repo.private, "disabled": False, "tags": [],
            "gated": "manual" if repo.gated else False, "downloads": 0, "likes": 0, "siblings": siblings}  # fmt: skip


def _refs(repo: Repo) -> dict[str, Any]:
    branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in repo.refs.items()]
    return {"branches": branches, "tags": [], "converts": []}


def _tree(repo: Repo, sha: str, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    inside = {path: data for path, data in sorted(repo.commits[sha].items()) if path.startswith(prefix)}
    if folder and not inside:
        raise RefusedError(404, "EntryNotFound", f"{folder} does not exist on revision {sha}")
    folders = sorted({prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]})
    files = [_entry(path, data) for path, data in inside.items() if recursive or "/" not in path[len(prefix) :]]
    return [{"type": "directory", "path": path, "size": 0, "oid": sha} for path in folders] + files
