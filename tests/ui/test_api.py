"""The inspector's functions as endpoints: called as programs call them, and as tools over MCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import inspector
from inspector.__main__ import main
from ui import api
from ui.page import build_page, launch_options

CHAT = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "The capital of France is Paris."},
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page, with its tools."""
    page = build_page()
    _, local, _ = page.launch(prevent_thread_lock=True, quiet=True, **launch_options(mcp=True))
    yield local
    page.close()


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    """A program that calls it."""
    return Client(address, verbose=False)


def test_every_endpoint_has_its_types_and_words(client: Client) -> None:
    """And there are no others: what the page's own widgets call is private."""
    described: Any = client.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {f"/{function.__name__}" for function in api.FUNCTIONS}
    assert described["unnamed_endpoints"] == {}
    for function in api.FUNCTIONS:
        endpoint = described["named_endpoints"][f"/{function.__name__}"]
        assert all(one["python_type"]["type"] != "Any" for one in endpoint["parameters"])
        assert function.__doc__ is not None
        assert all(f"{one['parameter_name']}: " in function.__doc__ for one in endpoint["parameters"])


def test_endpoints_give_what_the_commands_print(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte, as JSON."""
    chat, template = tmp_path / "chat.json", tmp_path / "template.jinja"
    chat.write_text(json.dumps(CHAT))
    template.write_text("{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}")
    pairs = [
        (["inspect", "tiny-chat", str(chat)], "/inspect_chat", {"conversation": CHAT}),
        (
            ["inspect", "tiny-chat", str(chat), "--template", str(template), "--strategy", "full"],
            "/inspect_chat",
            {"conversation": CHAT, "template": template.read_text(), "strategy": "full"},
        ),
        (["compare", "tiny-chat", str(chat)], "/compare_trainers", {"conversation": CHAT}),
        (["markers", "tiny-chat"], "/propose_markers", {}),
        (["template", "tiny-chat"], "/training_template", {}),
    ]
    for command, name, values in pairs:
        main([*command, "--json"])
        expected = json.loads(capsys.readouterr().out)
        assert client.predict(**values, api_name=name) == expected, command


def test_modifiers_and_options_are_taken(client: Client) -> None:
    """As the inspector takes them."""
    values: dict[str, Any] = {"options": {"stop": "never"}, "modifiers": {"max_length": 20}}
    found = client.predict(conversation=CHAT, **values, api_name="/inspect_chat")
    expected = inspector.inspect(inspector.load("tiny-chat"), CHAT, modifiers={"max_length": 20}, stop="never")
    assert found == expected.to_dict()


def test_a_warning_is_decoded(client: Client) -> None:
    """From its ids."""
    ids = inspector.inspect(inspector.load("tiny-chat"), CHAT).ids
    log = f"[{', '.join(map(str, ids))}]\nwarning! example had no assistant response in it!"
    found = client.predict(log=log, api_name="/decode_warning")
    assert "Paris" in json.dumps(found)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("/inspect_chat", {"conversation": CHAT, "strategy": "best"}, "There is no strategy 'best'; there are: traced"),
        ("/inspect_chat", {"conversation": [{"content": "Hi"}]}, "role"),
        ("/inspect_chat", {"conversation": CHAT, "template": "{% for"}, "line 1"),
        ("/propose_markers", {"model": "http://127.0.0.1/x"}, "is not a model name"),
    ],
)
def test_what_is_wrong_is_told(client: Client, name: str, values: dict[str, Any], said: str) -> None:
    """In the words of the page."""
    with pytest.raises(AppError) as caught:
        client.predict(**values, api_name=name)
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_endpoints_are_tools(address: str) -> None:
    """Over MCP: listed with their words, and called."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def talk() -> tuple[dict[str, str], Any]:
        server = streamablehttp_client(f"{address}gradio_api/mcp/")
        async with server as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}
            name = next(name for name in tools if name.endswith("inspect_chat"))
            return tools, await session.call_tool(name, {"conversation": CHAT})

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may have its event loop in this one
        tools, answer = thread.submit(asyncio.run, talk()).result()
    assert sorted(name.removeprefix("Maskscope_") for name in tools) == sorted(f.__name__ for f in api.FUNCTIONS)
    assert all("chat" in words or "trainer" in words for words in tools.values())
    assert "Paris" in answer.content[0].text
    assert not answer.isError
