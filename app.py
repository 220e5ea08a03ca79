"""Maskscope's page: `python app.py [--host HOST] [--port PORT] [--password WORD] [--open]`. Builds and serves it.

The processes of an audit import this file anew: what only the page needs is imported where it is built.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence


def warm_up() -> None:
    """Do the slow imports while the page is being looked at."""
    import inspector
    from inspector.audit import server_process
    from inspector.audit.run import warm_up_helper
    from inspector.rendering import sandbox
    from ui.visitors.access import is_public

    sandbox.warm_up(3)  # so that one visitor's hostile template does not hold up the others
    inspector.load("tiny-chat")
    if is_public():
        server_process.warm_up(warm_up_helper)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog=prog, description="Maskscope: see which tokens of a chat example train.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=None, help="default: GRADIO_SERVER_PORT, or 7860 and up")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument(
        "--password", default=os.environ.get("MASKSCOPE_PASSWORD", ""), metavar="WORD",
        help="asked for, with the name maskscope (or MASKSCOPE_PASSWORD, which other users of this machine cannot see)",
    )  # fmt: skip
    parser.add_argument(
        "--mcp", action="store_true", help="serve its functions as tools over MCP, too (pip install mcp)"
    )
    options = parser.parse_args(arguments)

    if os.environ.get("SPACES_ZERO_GPU"):
        from ui.visitors import zero_gpu  # noqa: F401  # before torch, as it has to be

    from ui.page import build_page, launch_options
    from ui.visitors.access import warning_for

    if warning := warning_for(options.host, options.password):
        print(warning, file=sys.stderr)
    page = build_page()
    page.launch(
        server_name=options.host, server_port=options.port, inbrowser=options.open, prevent_thread_lock=True,
        **launch_options(options.password, mcp=options.mcp),
    )  # fmt: skip
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    page.block_thread()


if __name__ == "__main__":
    main()
