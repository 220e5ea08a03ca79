"""Jobs on the loopback hub: each really runs its command, as a process of this machine, and its output is its log.

As hub_server, whose handler this is a part of. A job gets its environment and secrets, and nothing of the caller's but
the path to this Python and the address of this hub. `instead`: a command that is run in the place of every job's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

HARDWARE = [
    {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB", "ephemeralStorage": "20 GB",
     "accelerator": None, "unitCostMicroUSD": 167, "unitCostUSD": 0.000167, "unitLabel": "minute"},
    {"name": "a10g-small", "prettyName": "Nvidia A10G - small", "cpu": "4 vCPU", "ram": "15 GB",
     "ephemeralStorage": "110 GB", "unitCostMicroUSD": 16667, "unitCostUSD": 0.016667, "unitLabel": "minute",
     "accelerator": {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"}},
]  # fmt: skip
_JOB = re.compile(r"/api/jobs/(?P<owner>[^/]+)(?:/(?P<id>[0-9a-f]{8,})(?:/(?P<verb>logs|cancel))?)?")


@dataclass
class Job:
    """One job: what was asked for, its process, its lines."""

    id: str
    owner: str
    wanted: dict[str, Any]
    stage: str = "RUNNING"
    message: str | None = None
    lines: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)
    ended: float | None = None
    process: subprocess.Popen[str] | None = None
    disk: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    )

    def start(self, command: list[str], address: str) -> None:
        """Run a command, until it ends or its time is up."""
        kept = {name: os.environ[name] for name in ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_PROGRESS_BARS")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        own = {"PATH": path, "HF_ENDPOINT": address, "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1", **kept}
        own |= {"HOME": self.disk.name, "TMPDIR": self.disk.name}
        self.process = subprocess.Popen(
            command, env={**own, **self.wanted["environment"], **self.wanted.get("secrets", {})}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        threading.Timer(self.wanted["timeoutSeconds"], self.end, ("ERROR", "Job timeout")).start()

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
        code = self.process.wait()
        self.end("COMPLETED" if code == 0 else "ERROR", None if code == 0 else f"exit code {code}")

    def end(self, stage: str, message: str | None) -> None:
        """The first end counts; a container takes every process with it."""
        if self.ended is not None:
            return
        self.stage, self.message, self.ended = stage, message, time.time()
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self.process.pid)
            for process in [*family.children(recursive=True), family]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        self.disk.cleanup()

    def to_dict(self) -> dict[str, Any]:
        """As the API describes it."""
        said = _said(self.began)
        ran = int((self.ended or time.time()) - self.began)
        return {
            "id": self.id, "createdAt": said, "startedAt": said, "dockerImage": self.wanted["dockerImage"],
            "command": self.wanted["command"], "arguments": [], "environment": self.wanted["environment"],
            "flavor": self.wanted["flavor"], "labels": self.wanted.get("labels"),
            "status": {"stage": self.stage, "message": self.message},
            "durations": {"schedulingSecs": 0, "runningSecs": ran, "totalSecs": ran},
            "owner": {"id": "1", "name": self.owner, "type": "user"},
        }  # fmt: skip


def _said(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class JobsApi:
    """The part of the handler that knows jobs."""

    hub: Any
    command: str
    close_connection: bool
    caller: Any
    wfile: Any
    _send_json: Any
    send_response: Any
    send_header: Any
    end_headers: Any

    def serve_jobs(self, path: str, query: dict[str, list[str]], body: bytes) -> bool:
        """Serve a request about jobs; False where it is none."""
        if path == "/api/jobs/hardware":
            self._send_json(HARDWARE)
            return True
        match = _JOB.fullmatch(path)
        if match is None:
            return False
        from tests.support.hub_writes import RefusedError

        if self.caller() != match["owner"]:
            raise RefusedError(403, "", "You may not run jobs for somebody else")
        if match["id"] is None:
            self._send_json(self._submit(match["owner"], json.loads(body)) if body else self._list(query))
            return True
        job = self.hub.jobs.get(match["id"])
        if job is None:
            raise RefusedError(404, "", "Job not found")
        if match["verb"] == "logs":
            self._stream(job)
            return True
        if match["verb"] == "cancel":
            job.end("CANCELED", None)
        self._send_json(job.to_dict())
        return True

    def _submit(self, owner: str, wanted: dict[str, Any]) -> dict[str, Any]:
        job = Job(id=f"{len(self.hub.jobs) + 1:024x}", owner=owner, wanted=wanted)
        self.hub.jobs[job.id] = job
        job.start(self.hub.instead or wanted["command"], self.hub.url)
        return job.to_dict()

    def _list(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        labels = dict(label.split("=", 1) for label in query.get("label", []))
        found = [job for job in self.hub.jobs.values() if labels.items() <= (job.wanted.get("labels") or {}).items()]
        return [job.to_dict() for job in found]

    def _stream(self, job: Job) -> None:
        """Server-sent events: the log from its beginning, until the job has ended or the connection is cut."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                is_over = job.ended is not None
                for line in job.lines[sent:]:
                    event = {"data": line, "timestamp": _said(job.began)}
                    self.wfile.write(f"event: log\ndata: {json.dumps(event)}\n\n".encode())
                    sent += 1
                if is_over or self.hub.released.is_set():
                    return
                time.sleep(0.05)
