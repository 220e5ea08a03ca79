"""Maskscope's page: `python app.py [--host HOST] [--port PORT] [--open]`. Builds it and serves it; nothing else.

The processes of an audit import this file anew: what only the page needs is imported where it is built.
"""

from __future__ import annotations

import argparse
import os
import threading


def warm_up() -> None:
    """Do the slow imports while the page is being looked at."""
    import inspector
    from inspector import sandbox

    sandbox.warm_up(3)  # so that one visitor's hostile template does not hold up the others
    inspector.load("tiny-chat")


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="Maskscope: see which tokens of a chat example train.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=None, help="default: GRADIO_SERVER_PORT, or 7860 and up")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    options = parser.parse_args()

    from ui.page import build_page, launch_options

    page = build_page()
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    page.launch(server_name=options.host, server_port=options.port, inbrowser=options.open, **launch_options())


if __name__ == "__main__":
    main()
