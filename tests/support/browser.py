"""The app in its own process, and a real Chromium on it: fixtures for the tests of the page.

conftest.py makes the fixtures known. The page fixture fails its test when the browser asked for anything outside the
app or wrote an error to its console; of a test that fails it leaves a screenshot in tests/screenshots.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
START_S = HANG_S
WINDOW = {"width": 1400, "height": 900}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_FEWER_FRAMES = """(() => {
  const ask = window.requestAnimationFrame.bind(window);
  let links = 0;
  window.requestAnimationFrame = act => {
    const own = links + 1;
    const show = time => { links = own; try { act(time); } finally { links = 0; } };
    return own < 60 ? ask(show) : setTimeout(() => ask(show), 200);
  };
})()"""
"""gradio's first spinner asks for the next frame for ever, also when it is gone: a page that rests costs a tenth of a
core. Here a frame waits when sixty others led to it, each asked for in the one before."""
_CUT_OFF = "Unexpected error Connection errored out"
_SHOWN = "() => ['shown', 'failed'].includes(document.querySelector('.token-view')?.dataset.state)"


def chromium_path() -> str | None:
    """The browser to drive: CHROMIUM, or one on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)


def launch_chromium(playwright: Any, path: str | None) -> Any:
    """A headless Chromium that asks nothing of the network by itself."""
    return playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)


def forget(tab: Any, address: str) -> None:
    """Make the browser forget what it keeps for an address, whichever tab left it."""
    session = tab.context.new_cdp_session(tab)
    session.send("Storage.clearDataForOrigin", {"origin": address, "storageTypes": "local_storage"})
    session.detach()


@contextlib.contextmanager
def running_app(
    *arguments: str, command: Sequence[str] = (sys.executable, str(ROOT / "app.py")), folder: str = "/"
) -> Iterator[str]:
    """Start the app in a folder, on a free port and in a process group of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1,localhost"}
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), *arguments],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_served(process, address, Path(log.name))
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_served(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the app ended:\n{log.read_text()[-3000:]}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=60).read()
            return
        if time.monotonic() > until:
            raise RuntimeError(f"the app did not start within {START_S:g} s:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)


class Page:
    """The app in one browser tab, in the words of its user."""

    def __init__(self, tab: Any, address: str) -> None:
        self.tab = tab
        self.address = address
        self.outside: list[str] = []
        self.errors: list[str] = []
        self._is_leaving = False
        self._listeners = {
            "request": self._on_request,
            "pageerror": lambda error: self._on_error(str(error)),
            "console": lambda message: self._on_error(message.text) if message.type == "error" else None,
        }
        for event, listener in self._listeners.items():
            tab.on(event, listener)

    def leave(self) -> None:
        """Go away from the app: the next test has the tab as a new one would be, without the second that one takes."""
        self._is_leaving = True
        self.tab.mouse.move(0, 0)
        self.tab.goto("about:blank")
        for event, listener in self._listeners.items():
            self.tab.remove_listener(event, listener)

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.outside.append(request.url)

    def _on_error(self, text: str) -> None:
        # gradio's own stream, cut off by leaving the page
        if not text.startswith("AbortError") and not (self._is_leaving and text.startswith(_CUT_OFF)):
            self.errors.append(text)

    def open(self, fragment: str = "", *, theme: str = "light") -> None:
        """Open the app and wait for the first view."""
        self._is_leaving = True
        self.tab.goto(f"{self.address}/?__theme={theme}{fragment}")
        self.tab.wait_for_function(_SHOWN)
        self._is_leaving = False

    @property
    def revision(self) -> int:
        """How often the view has been drawn."""
        return int(self.tab.evaluate("+document.querySelector('.token-view').dataset.rev"))

    @contextlib.contextmanager
    def redrawn(self) -> Iterator[None]:
        """Wait until what happens inside has drawn the view anew."""
        before = self.revision
        yield
        self.tab.wait_for_function("n => +document.querySelector('.token-view').dataset.rev > n", arg=before)

    def tokens(self) -> list[tuple[str, set[str]]]:
        """(text, classes) of each token drawn."""
        found = self.tab.evaluate(
            "[...document.querySelectorAll('.tv-body .tv-token')].map(e => [e.textContent, e.className])"
        )
        return [(text, set(names.split())) for text, names in found]

    def trained_text(self) -> str:
        """The text of the tokens that train."""
        return "".join(text for text, classes in self.tokens() if "trained" in classes)

    def count(self) -> str:
        """The heading's count."""
        return self.tab.inner_text(".tv-count")

    def detail(self) -> dict[str, str]:
        """The rows about the token pointed at or selected."""
        rows = self.tab.evaluate(
            "[...document.querySelectorAll('.tv-row')].map(e => [e.children[0].textContent, e.children[1].textContent])"
        )
        return dict(rows)

    def findings(self) -> list[str]:
        """The codes of the findings listed."""
        return list(self.tab.evaluate("[...document.querySelectorAll('.tv-finding code')].map(e => e.textContent)"))

    def failure(self) -> str:
        """The text of a view that shows an error."""
        return str(self.tab.inner_text(".tv-failure"))

    def unfold(self, pane: str) -> None:
        """Open an accordion, where it is not open; that of a tool in its drawer."""
        if self.tab.locator(f"#drawer {pane}").count() and not self.tab.locator("#drawer.open").count():
            self.tab.click("#open-tools")
            self.tab.wait_for_selector("#drawer.open")
        button = self.tab.locator(f"{pane} > button").first
        if "open" not in (button.get_attribute("class") or "").split():
            button.click()

    def share(self, name: str) -> str:
        """Copy something from the menu; what the clipboard holds then."""
        self.tab.evaluate("navigator.clipboard.writeText('')")
        self.tab.click(".tv-menu > summary")
        self.tab.get_by_role("button", name=name).click()
        wait = "await new Promise(go => setTimeout(go, 20))"
        look = f"async () => {{ for (let i = 0; i < 500 && !await navigator.clipboard.readText(); i++) {wait}; }}"
        self.tab.evaluate(look)
        self.tab.keyboard.press("Escape")
        return str(self.tab.evaluate("navigator.clipboard.readText()"))

    def verdict(self) -> str:
        """The sentence above the tokens."""
        return str(self.tab.inner_text(".tv-verdict-title"))

    def compared(self) -> Any:
        """The rows of the other trainers, all of them, once they are about what is shown."""
        self.tab.wait_for_selector(".comparison:not(.stale) .cp-row")
        if self.tab.get_attribute(".cp-all", "aria-expanded") == "false":
            self.tab.click(".cp-all")
        return self.tab.locator(".cp-row")

    def choose(self, dropdown: str, name: str, *, inside: str = "") -> None:
        """Choose from a dropdown by the start of a label and wait for the view; `inside`: an accordion to open."""
        if inside:
            self.unfold(inside)
        self.tab.click(f"{dropdown} input")
        with self.redrawn():
            self.tab.get_by_role("option", name=name).first.click()

    def set_model(self, name: str) -> None:
        """Type a model's name and wait for its view."""
        with self.redrawn():
            self.tab.fill("#model input", name)
            self.tab.keyboard.press("Enter")

    def set_json(self, conversation: Any) -> None:
        """Paste a conversation, or a text, into the JSON tab and wait for its view."""
        text = conversation if isinstance(conversation, str) else json.dumps(conversation, ensure_ascii=False)
        self._show_json()
        with self.redrawn():
            self.tab.fill("#conversation textarea", text)

    def json(self) -> Any:
        """The conversation in the JSON tab."""
        self._show_json()
        return json.loads(self.tab.input_value("#conversation textarea"))

    def _show_json(self) -> None:
        """Go to the JSON tab. On a busy machine gradio may draw its tabs anew under the click, which is lost then."""
        tab = self.tab.get_by_role("tab", name="JSON")
        while not self.tab.is_visible("#conversation textarea"):
            tab.click()
            with contextlib.suppress(PlaywrightTimeout):
                self.tab.wait_for_selector("#conversation textarea", timeout=5_000)

    def set_template(self, source: str) -> None:
        """Edit the template and wait for the view."""
        self.unfold("#template-pane")
        with self.redrawn():
            self.tab.fill("#template-source textarea", source)


class DataPage(Page):
    """The Data tab, in the words of its user."""

    def open_data(self) -> None:
        """Go to the tab and wait for the first rows, or for what is wrong with them."""
        with self.drawn("#data-preview .rows-view"):
            self.tab.get_by_role("tab", name="Audit").click()

    @contextlib.contextmanager
    def drawn(self, selector: str) -> Iterator[None]:
        """Wait until what happens inside has drawn a component anew."""
        look = "s => +(document.querySelector(s)?.dataset.rev || 0)"
        before = self.tab.evaluate(look, selector)
        yield
        self.tab.wait_for_function(f"([s, n]) => ({look})(s) > n && document.querySelector(s).childElementCount",
                                   arg=[selector, before])  # fmt: skip

    def choose_example(self, name: str) -> None:
        """Choose a small data set and wait for its rows, and for their audit."""
        self.tab.click("#data-example input")
        with self.drawn("#data-preview .rows-view"):
            self.tab.get_by_role("option", name=name, exact=True).click()
        self.rest()

    def choose_kind(self, name: str) -> None:
        """Choose where the rows come from."""
        with self.drawn("#data-preview .rows-view"):
            self.tab.get_by_role("radio", name=name).check()

    def upload(self, path: Path) -> None:
        """Upload a file and wait for its rows, and for their audit where it starts by itself."""
        self.choose_kind("File")
        with self.drawn("#data-preview .rows-view"):
            self.tab.set_input_files("#data-file input[type=file]", str(path))
        self.rest()

    def rest(self) -> None:
        """Wait until no audit works."""
        self.tab.wait_for_function("!document.querySelector('#data-status progress')")

    def run(self) -> None:
        """Run the audit by its button and wait for its end."""
        with self.drawn("#data-status .report"):
            self.tab.click("#data-run")
        self.rest()

    def status(self) -> str:
        """What is said about the job."""
        return str(self.tab.inner_text("#data-status .report"))


@pytest.fixture(scope="session")
def app_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app of the session keeps its runs."""
    return tmp_path_factory.mktemp("app") / "runs"


@pytest.fixture(scope="session")
def app(app_runs: Path) -> Iterator[str]:
    """The app's address; one process for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKSCOPE_RUNS", str(app_runs))
        with running_app() as address:
            patch.undo()
            yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for the whole session."""
    path = chromium_path()
    if path is None:
        pytest.fail("There is no Chromium: run tests/install_browser.sh, or set CHROMIUM.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = launch_chromium(playwright, path)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def context(browser: Any) -> Iterator[Any]:
    """One browser context: the app's files stay in its cache, and the clipboard may be used."""
    made = browser.new_context(viewport=WINDOW)
    made.set_default_timeout(HANG_S * 1000)
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    made.add_init_script(_FEWER_FRAMES)
    yield made
    made.close()


@pytest.fixture(scope="session")
def kept_tabs() -> list[Any]:
    """The tab that the last test left as it found it, if it did."""
    return []


@pytest.fixture
def page(context: Any, app: str, request: pytest.FixtureRequest, kept_tabs: list[Any]) -> Iterator[DataPage]:
    """A tab on the app, opened, in the `theme` and the `width` of a test that has such parameters; checked afterwards
    for requests outside and errors, and photographed when its test has failed.
    """
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    opened = DataPage(kept_tabs.pop() if kept_tabs else context.new_page(), app)
    opened.tab.set_viewport_size({**WINDOW, "width": given.get("width", WINDOW["width"])})
    forget(opened.tab, app)
    opened.open(theme=given.get("theme", "light"))
    failed = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failed or opened.outside or opened.errors:
        SCREENSHOTS.mkdir(exist_ok=True)
        name = re.sub(r"[^0-9a-z]+", "_", request.node.name.lower())[:80]
        opened.tab.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    opened.leave()
    assert opened.outside == [], "the page asked for something outside the app"
    assert opened.errors == [], f"the browser reported errors: {opened.errors}"
    kept_tabs.append(opened.tab)


@pytest.fixture
def data_page(page: DataPage) -> DataPage:
    """As `page`, on the Data tab."""
    page.open_data()
    return page
