"""Answers of any server that speaks OpenAI's chat completions, for comparison with the run's answers.

The key is read from the environment by its name; it is never stored.
"""

from __future__ import annotations

import json
import os
from typing import Any

import httpx

from inspector.conversation import Message
from inspector.errors import one_line, quoted
from training.errors import EndpointError
from training.spec import EndpointSpec

TIMEOUT_S = 60.0
"""Maximum seconds for an answer."""


def ask(endpoint: EndpointSpec, messages: tuple[Message, ...], max_new_tokens: int) -> str:
    """The server's answer to a conversation, at temperature 0. Raises EndpointError."""
    address = endpoint.url.rstrip("/") + "/chat/completions"
    headers = {}
    if endpoint.key_variable:
        key = os.environ.get(endpoint.key_variable)
        if not key:
            raise EndpointError(f"The variable {endpoint.key_variable} is not set: it has to hold the endpoint's key.")
        headers["Authorization"] = f"Bearer {key}"
    asked = {"model": endpoint.model, "messages": list(messages), "max_tokens": max_new_tokens, "temperature": 0}
    try:
        answer = httpx.post(address, json=asked, headers=headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return _text(answer.json())
    except httpx.HTTPStatusError as error:
        reason = one_line(error.response.text, 300)
        raise EndpointError(f"{address} answered with status {error.response.status_code}: {reason}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EndpointError(f"{address} cannot be reached: {error}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EndpointError(f"{address} did not answer with JSON: {error}.") from error


def _text(answer: Any) -> str:
    try:
        content = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise EndpointError(
            f"The endpoint's answer has no choices[0].message.content: {quoted(answer, 300)}"
        ) from error
    return str(content or "")
