"""Many visitors at once: `python benchmarks/load.py [--users 50] [--audits 5] [--seconds 180]`.

Starts the app as an open page and does what that many browsers do, each in a session of its own: users edit a chat of
about 1,000 tokens and inspect it anew every few seconds, each under another chat template; others paste rows and audit
them, again and again. Every answer has to hold its own user's marker and nobody else's. Printed are the times from an
edit to its tokens, the errors, and the memory of the server and all its processes. The last line is one JSON object.
The exit status is 1 after any error or leak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent))

from serve import ROOT, free_port

MARKER = re.compile(r"user-\d+-[0-9a-f]{8}")
LEAVES_S = 120.0
"""Within which the server has to clean up after those who have left, however busy the machine is."""
THINKS_S = (2.0, 6.0)
"""What a user takes between two edits."""
WORDS = ["river", "mountain", "answer", "question", "colour", "winter", "summer", "bread", "water", "light", "music"]


@dataclass
class Tally:
    """What was measured: seconds of each inspection and audit, what went wrong, megabytes by the second."""

    inspections: list[float] = field(default_factory=list)
    audits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


class Browser:
    """One session of the page, as its JavaScript speaks to the server."""

    def __init__(self, client: httpx.AsyncClient, config: dict[str, Any], name: str) -> None:
        self.client, self.session = client, f"{name}-{random.randbytes(4).hex()}"
        self.components = {one["id"]: one for one in config["components"]}
        self.dependencies = config["dependencies"]
        self.values = {id: one["props"].get("value") for id, one in self.components.items()}

    def event(self, element: str, kind: str) -> dict[str, Any]:
        """What the page does when this happens to that element."""
        return next(
            one for one in self.dependencies
            if any(k == kind and self.components[i]["props"].get("elem_id") == element for i, k in one["targets"])
        )  # fmt: skip

    def set(self, element: str, value: Any) -> None:
        """Type into an element."""
        (id,) = [id for id, one in self.components.items() if one["props"].get("elem_id") == element]
        self.values[id] = value

    async def stay(self) -> None:
        """Be there until cancelled: a connection that tells the server so."""
        async with self.client.stream("GET", f"/gradio_api/heartbeat/{self.session}", timeout=None) as beats:
            async for _ in beats.aiter_lines():
                pass

    async def trigger(self, element: str, kind: str) -> str:
        """Do it, and wait for the answer; returns all that the server has said. Raises RuntimeError."""
        event = self.event(element, kind)
        said = [await self._answered(event, event["targets"][0][0], f"{element} {kind}")]
        while following := [one for one in self.dependencies if one["trigger_after"] == event["id"]]:
            (event,) = following  # the answer is computed first, and shown then
            said.append(await self._answered(event, None, f"{element} {kind}"))
        return "\n".join(said)

    async def _answered(self, event: dict[str, Any], trigger: int | None, what: str) -> str:
        data = [None if self.components[i]["type"] == "state" else self.values[i] for i in event["inputs"]]
        body = {
            "fn_index": event["id"],
            "data": data,
            "session_hash": self.session,
            "trigger_id": trigger,
        }
        answer = await self.client.post("/gradio_api/queue/join", json=body)
        answer.raise_for_status()
        wanted, said = answer.json()["event_id"], []
        async with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            async for line in lines.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message.get("event_id") not in (wanted, None):
                    continue
                said.append(line)
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(f"{what}: {message['output']}")
                    return "\n".join(said)
                if message["msg"] in ("unexpected_error", "close_stream"):
                    raise RuntimeError(f"{what}: {message}")
        raise RuntimeError(f"{what}: the server said no more.")


def sentence(rng: random.Random, words: int) -> str:
    """So many words."""
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def chat(rng: random.Random, marker: str, words: int) -> list[dict[str, str]]:
    """Four exchanges; the marker is in every message."""
    return [
        {"role": role, "content": f"{marker} {sentence(rng, words // 8)}"}
        for _ in range(4)
        for role in ("user", "assistant")
    ]


def check(said: str, marker: str, tally: Tally) -> None:
    """The answer holds its user's marker and no other one."""
    found = set(MARKER.findall(said))
    if found - {marker}:
        tally.errors.append(f"leak: {marker} was shown {sorted(found - {marker})}")
    if marker not in found:
        tally.errors.append(f"lost: {marker} was not shown what it asked for")


async def inspects(browser: Browser, number: int, until: float, tally: Tally) -> None:
    """A user who edits, looks, and edits again."""
    rng = random.Random(number)
    await asyncio.sleep(rng.uniform(0, THINKS_S[1]))
    edit = 0
    while time.monotonic() < until:
        edit += 1
        marker = f"user-{number}-{rng.randbytes(4).hex()}"
        browser.set("template-source", "")
        browser.set("conversation", json.dumps(chat(rng, marker, 560)))
        began = time.monotonic()
        try:
            check(await browser.trigger("conversation", "input"), marker, tally)
            tally.inspections.append(time.monotonic() - began)
        except (RuntimeError, httpx.HTTPError) as error:
            tally.errors.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(rng.uniform(*THINKS_S))


async def audits(browser: Browser, number: int, until: float, tally: Tally) -> None:
    """A user who audits pasted rows."""
    rng = random.Random(1_000 + number)
    while time.monotonic() < until:
        marker = f"user-{1_000 + number}-{rng.randbytes(4).hex()}"
        rows = [json.dumps({"messages": chat(rng, marker, 120)}) for _ in range(400)]
        rows.append(json.dumps({"messages": [{"role": marker, "content": "nobody knows this role"}]}))
        browser.set("data-kind", "pasted")
        browser.set("data-pasted", "\n".join(rows))
        began = time.monotonic()
        try:
            check(await browser.trigger("data-run", "click"), marker, tally)
            tally.audits.append(time.monotonic() - began)
        except (RuntimeError, httpx.HTTPError) as error:
            tally.errors.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(rng.uniform(*THINKS_S))


async def watches(server: psutil.Process, until: float, tally: Tally) -> None:
    """The memory of the server and all that it has started, every few seconds."""
    began = time.monotonic()
    while time.monotonic() < until:
        tally.memory.append((time.monotonic() - began, megabytes(server)))
        await asyncio.sleep(3)


def megabytes(server: psutil.Process) -> float:
    """Of the whole family, what processes share counted once (PSS)."""
    total = 0
    for process in [server, *server.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def left_in(folder: str) -> list[str]:
    """What visitors have left there."""
    return sorted(path.name for path in Path(folder).glob("maskscope-*"))


async def load(address: str, server: psutil.Process, folder: str, users: int, auditors: int, seconds: float) -> Tally:
    """All of them at once, until the server has cleaned up after them."""
    tally, limits = Tally(), httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits, trust_env=False) as client:
        config = (await client.get("/config")).json()
        first = Browser(client, config, "first")
        first.set("conversation", json.dumps(chat(random.Random(0), "user-0-00000000", 560)))
        await first.trigger("conversation", "input")  # the server has loaded what it loads once
        until = time.monotonic() + seconds
        editors = [Browser(client, config, f"user{i}") for i in range(users)]
        others = [Browser(client, config, f"audit{i}") for i in range(auditors)]
        present = [asyncio.create_task(browser.stay()) for browser in (*editors, *others)]
        await asyncio.gather(
            watches(server, until, tally),
            *(inspects(browser, i, until, tally) for i, browser in enumerate(editors)),
            *(audits(browser, i, until, tally) for i, browser in enumerate(others)),
        )
        for one in present:
            one.cancel()
        await asyncio.gather(*present, return_exceptions=True)
        gone = time.monotonic()
        while left_in(folder) and time.monotonic() < gone + LEAVES_S:
            await asyncio.sleep(0.2)
        tally.memory.append((seconds, megabytes(server)))
    return tally


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--audits", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=180)
    options = parser.parse_args()
    port = free_port()
    environment = {**os.environ, "MASKSCOPE_PUBLIC": "1", "GRADIO_ANALYTICS_ENABLED": "False", "NO_PROXY": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as temporary, open(os.devnull, "w") as nowhere:
        environment |= {"TMPDIR": temporary, "GRADIO_TEMP_DIR": f"{temporary}/gradio"}
        server = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, env=environment, stdout=nowhere, stderr=nowhere,
            start_new_session=True,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_served(address)
            tally = asyncio.run(
                load(address, psutil.Process(server.pid), temporary, options.users, options.audits, options.seconds)
            )
            left = left_in(temporary)
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # its helpers, too
            server.wait()
    return show(tally, options, left)


def wait_until_served(address: str) -> None:
    """Until the page answers. Raises httpx.ConnectError after ten minutes."""
    until = time.monotonic() + 600
    while True:
        try:
            httpx.get(address, timeout=600, trust_env=False)
            return
        except httpx.ConnectError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def show(tally: Tally, options: argparse.Namespace, left: list[str]) -> int:
    """Print the figures; 1 after any error."""
    seconds = sorted(tally.inspections)
    p95 = seconds[int(0.95 * len(seconds))] if seconds else float("nan")
    early = [size for at, size in tally.memory if at < options.seconds / 3]
    late = [size for at, size in tally.memory if at >= 2 * options.seconds / 3]
    growth = statistics.median(late) / statistics.median(early) if early and late else float("nan")
    print(f"{options.users} users and {options.audits} auditors for {options.seconds:.0f} s on {os.cpu_count()} cores")
    typical, worst = statistics.median(seconds), seconds[-1]
    print(f"  {len(seconds):,} inspections: median {typical:.2f} s, p95 {p95:.2f} s, worst {worst:.2f} s")
    if tally.audits:
        print(f"  {len(tally.audits):,} audits of 401 rows: median {statistics.median(tally.audits):.1f} s")
    first, last = tally.memory[0][1], tally.memory[-1][1]
    print(f"  memory {first:,.0f} MB at the start, {last:,.0f} MB at the end; the last third {growth:.2f} of the first")
    leaks = sum(error.startswith("leak") for error in tally.errors)
    print(f"  {len(tally.errors)} errors, {leaks} of them leaks; {len(left)} folders left by those who are gone")
    for error in tally.errors[:5]:
        print(f"    {error[:300]}")
    print(json.dumps({"p95 of an inspection / 1 s": round(p95, 3), "memory, last third / first": round(growth, 3)}))
    return 1 if tally.errors or left else 0


if __name__ == "__main__":
    sys.exit(main())
