"""Every test session stays on this machine: a loopback hub, a fresh cache, no tokens, no telemetry.

huggingface_hub reads its settings once, at import, so they are made here, before any test module is imported. Each
pytest-xdist worker imports this file itself and so has a server and a cache of its own.
"""

from __future__ import annotations

import gc
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.browser import app, app_runs, browser, context, data_page, kept_tabs, page  # noqa: F401  # fixtures
from tests.support.commands import called  # noqa: F401  # a fixture
from tests.support.fetch import ArchiveError, NotFetchedError, real_tokenizer
from tests.support.hub_server import HubServer
from tests.support.scheduling import (  # hooks
    pytest_addoption,  # noqa: F401
    pytest_collection_modifyitems,  # noqa: F401
    pytest_ignore_collect,  # noqa: F401
    pytest_xdist_make_scheduler,  # noqa: F401
)

if "huggingface_hub" in sys.modules:
    raise RuntimeError("huggingface_hub was imported before tests/conftest.py could point it at the loopback hub")

_HUB = HubServer()
_HF_HOME = Path(tempfile.mkdtemp(prefix="maskscope-hf-"))
_SETTINGS = {
    "HF_ENDPOINT": _HUB.url,
    "HF_HOME": str(_HF_HOME),
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_XET": "1",
    # A busy machine must still answer in time; only the tests of a hanging hub wait this long.
    "HF_HUB_ETAG_TIMEOUT": "3",
    "HF_HUB_DOWNLOAD_TIMEOUT": "3",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # a test has one core: threads that wait for each other by spinning take it from the other
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}
_FORGOTTEN = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_HUB_USER_AGENT_ORIGIN",
)  # fmt: skip
for _name in _FORGOTTEN:
    os.environ.pop(_name, None)
os.environ.update(_SETTINGS)

# The libraries' million objects, none of which is garbage, are not looked through while they are imported, and never
# again after that: a fifth of the run's time otherwise.
gc.disable()
gc.set_threshold(10_000, 10, 10)

# The same examples each time in CI; no deadline, since a busy machine is no failure.
hypothesis.settings.register_profile(
    "maskscope", max_examples=60, deadline=None, derandomize=bool(os.environ.get("CI")), database=None
)
hypothesis.settings.load_profile("maskscope")

_connect = socket.socket.connect


def _connect_on_this_machine(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a test tried to leave this machine: {address[0]}")
    _connect(self, address)


socket.socket.connect = _connect_on_this_machine  # type: ignore[method-assign]


def pytest_collection_finish() -> None:
    """All modules are imported."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Stop the hub, let the worker go that waits for the next run, and throw the cache away."""
    if "training.launch.idle" in sys.modules:
        sys.modules["training.launch.idle"].cool_down()
    _HUB.close()
    shutil.rmtree(_HF_HOME, ignore_errors=True)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """The loopback hub without repositories, and an empty cache of downloads; both are emptied again afterwards."""
    yield _HUB
    _HUB.reset()
    shutil.rmtree(_HF_HOME / "hub", ignore_errors=True)


@pytest.fixture(scope="session")
def real_model_dir() -> Callable[[str], Path]:
    """A function from the name of a real tokenizer (a key of fetch.SHA256) to the folder with its files.

    Where it cannot be fetched the test is skipped with the reason; with CI set it fails, so that nothing is missed.
    """

    def folder(name: str) -> Path:
        try:
            return real_tokenizer(name)
        except NotFetchedError as error:
            if os.environ.get("CI") or isinstance(error, ArchiveError):
                pytest.fail(f"the real tokenizer {name!r} is needed: {error}")
            pytest.skip(f"the real tokenizer {name!r} is not here: {error}")

    return folder
