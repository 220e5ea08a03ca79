"""How long until the page is served, beside an empty gradio app: `python benchmarks/serve.py [ROUNDS]`.

Each round starts a fresh process of both, in turns, and asks for the first page until it comes; medians are shown. The
last line is one JSON object: our time divided by that of the empty app.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
EMPTY = """
import sys
import gradio as gr
with gr.Blocks() as demo:
    gr.Markdown("Hello")
demo.launch(server_port=int(sys.argv[1]), ssr_mode=False, enable_monitoring=False)
"""
LONGEST_S = 120


def seconds_to_first_page(command: list[str], port: int) -> float:
    """From the start of a process to its first page, read whole. Raises TimeoutError."""
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "NO_PROXY": "127.0.0.1"}
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.perf_counter() < began + LONGEST_S:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LONGEST_S) as page:
                    page.read()
                return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.01)
        raise TimeoutError(f"{command} served nothing within {LONGEST_S} s.")
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {"an empty gradio app": [], "the page": []}
    for _ in range(rounds):
        for name, own in times.items():
            port = free_port()
            empty = [sys.executable, "-c", EMPTY, str(port)]
            own.append(
                seconds_to_first_page(
                    empty if "empty" in name else [sys.executable, "app.py", "--port", str(port)], port
                )
            )
    for name, own in times.items():
        print(f"  {name:22}{statistics.median(own):6.2f} s  ({min(own):.2f} to {max(own):.2f})")
    empty_s, ours_s = (statistics.median(own) for own in times.values())
    print(json.dumps({"the page / an empty gradio app": round(ours_s / empty_s, 2)}))


if __name__ == "__main__":
    main()
