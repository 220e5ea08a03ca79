"""What writes to the loopback hub: who one is, new repositories, uploads in two steps, commits. As hub_server, whose
handler this is a part of: with the hub's own status codes, and a plain 404 for what is not served.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".model", ".parquet")
_REPO = r"(?P<repo>[^/]+/[^/]+)"
_PREUPLOAD = re.compile(rf"/api/models/{_REPO}/preupload/main")
_COMMIT = re.compile(rf"/api/models/{_REPO}/commit/main")
_BATCH = re.compile(rf"/{_REPO}\.git/info/lfs/objects/batch")
_BLOB = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})")


class RefusedError(Exception):
    """An answer other than 200; `code` is the hub's X-Error-Code, `extra` what the body has beside the message."""

    def __init__(self, status: int, code: str, message: str, extra: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra or {}


class Writes:
    """The part of the handler that changes something."""

    hub: Any
    headers: Any
    command: str
    _send_json: Any

    def write(self, path: str, body: bytes) -> bool:
        """Serve a request that writes; False where it is none."""
        if path == "/api/whoami-v2":
            self._send_json({"name": self.caller(), "type": "user", "orgs": []})
        elif path == "/api/repos/create":
            self._send_json(self._create(json.loads(body)))
        elif path == "/api/validate-yaml":
            self._send_json({"errors": [], "warnings": []})
        elif match := _PREUPLOAD.fullmatch(path):
            self._send_json(self._modes(self._writable(match["repo"]), json.loads(body)["files"]))
        elif match := _BATCH.fullmatch(path):
            self._writable(match["repo"])
            self._send_json({"transfer": "basic", "objects": [self._slot(one) for one in json.loads(body)["objects"]]})
        elif (match := _BLOB.fullmatch(path)) and self.command == "PUT":
            if hashlib.sha256(body).hexdigest() != match["oid"]:
                raise RefusedError(400, "", "the content has another hash")
            self.hub.blobs[match["oid"]] = body
            self._send_json({})
        elif match := _COMMIT.fullmatch(path):
            self._send_json(self._committed(self._writable(match["repo"]), body))
        else:
            return False
        return True

    def caller(self) -> str:
        """The user who asks."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.hub.users:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return str(self.hub.users[token])

    def _token(self) -> str:
        return str(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def _create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        from tests.support.hub_server import Repo

        user, name = self.caller(), f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != user or self._token() not in self.hub.writers:
            raise RefusedError(403, "", "You don't have the rights to create a model under this namespace")
        if self.hub.find("models", name) is not None:
            raise RefusedError(409, "", "You already created this model repo", {"url": f"{self.hub.url}/{name}"})
        is_private = wanted.get("visibility") == "private"
        repo = self.hub.put(Repo(kind="models", name=name, private=is_private, readers={self._token()}))
        repo.commit({".gitattributes": "*.safetensors filter=lfs\n"})
        return {"url": f"{self.hub.url}/{name}", "name": name}

    def _writable(self, name: str) -> Any:
        user, repo = self.caller(), self.hub.find("models", name)
        if repo is None:
            raise RefusedError(404, "RepoNotFound", "Repository not found")
        if name.split("/")[0] != user or self._token() not in self.hub.writers:
            raise RefusedError(403, "", "You are not authorized to write to this repository")
        return repo

    def _modes(self, repo: Any, files: list[dict[str, Any]]) -> dict[str, Any]:
        tree = repo.commits[repo.refs["main"]]
        out = []
        for file in files:
            is_lfs, known = file["path"].endswith(LFS_SUFFIXES), tree.get(file["path"])
            oid = None
            if known is not None:
                oid = hashlib.sha256(known) if is_lfs else hashlib.sha1(b"blob %d\0" % len(known) + known)
            mode = "lfs" if is_lfs else "regular"
            said = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            out.append(said | {"oid": None if oid is None else oid.hexdigest()})
        return {"files": out}

    def _slot(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.hub.blobs:
            return dict(wanted)
        return wanted | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{wanted['oid']}"}}}

    def _committed(self, repo: Any, body: bytes) -> dict[str, Any]:
        tree = dict(repo.commits[repo.refs["main"]])
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    raise RefusedError(400, "", f"{value['path']} was not uploaded")
                tree[value["path"]] = self.hub.blobs[value["oid"]]
            elif item["key"] == "deletedFile":
                del tree[value["path"]]
        sha = repo.commit(tree)
        return {"commitUrl": f"{self.hub.url}/{repo.name}/commit/{sha}", "commitOid": sha, "hookOutput": ""}
