"""The inspector's functions as endpoints of the page's server: for gradio_client, for curl, and as tools over MCP.

Each takes plain values and returns what the command of the same name prints with --json. What cannot be done is said as
an error, with the message that the page shows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from inspector.errors import InspectorError
from inspector.setup import Setup
from inspector.strategies import EXACT
from ui.wiring.models import load_model, model_of

LOG_CHARS = 200_000
"""The longest log that `decode_warning` reads."""


def inspect_chat(
    conversation: list[dict[str, Any]],
    model: str = "tiny-chat",
    strategy: str = EXACT,
    template: str = "",
    revision: str = "",
    options: dict[str, Any] | None = None,
    modifiers: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Say for every token of a chat example whether fine-tuning trains it, whose text it is, and what goes wrong.

    Args:
        conversation: the messages, each with role and content, as in {"role": "user", "content": "Hi"}.
        model: a hub id such as Qwen/Qwen3-0.6B, or tiny-chat.
        strategy: traced for the truth, or what a trainer does: full, trl_assistant_only, responses_only and others.
        template: the name of a chat template, or its source; empty for the model's own.
        revision: a branch, tag or commit of the model.
        options: the strategy's options.
        modifiers: keep, max_length, truncation.

    Returns:
        model, text, ids, tokens, char_spans, trained (1 where a token trains), origins, straddlers and findings.
    """
    setup = Setup(
        model=model, conversation=conversation, strategy=strategy, template=template, revision=revision,
        options=options or {}, modifiers=modifiers or {},
    )  # fmt: skip
    return setup.inspect(model_of).to_dict()


def compare_trainers(
    conversation: list[dict[str, Any]], model: str = "tiny-chat", template: str = "", revision: str = ""
) -> dict[str, Any]:
    """Say what each trainer's own mask would train in a chat example, beside the truth, and where they differ.

    Args:
        conversation: the messages, each with role and content.
        model: a hub id, or tiny-chat.
        template: the name of a chat template, or its source; empty for the model's own.
        revision: a branch, tag or commit of the model.

    Returns:
        strategies, each with trained, count, agreement with the truth, disagreements, warnings and error.
    """
    from inspector.trainers.compare import compare

    loaded = load_model(model, revision, template or None)
    return compare(loaded, conversation).to_dict()


def propose_markers(model: str = "tiny-chat", template: str = "", revision: str = "") -> dict[str, Any]:
    """Propose the prefix and suffix token ids and response templates of a model's chat template, verified over samples.

    Args:
        model: a hub id, or tiny-chat.
        template: the name of a chat template, or its source; empty for the model's own.
        revision: a branch, tag or commit of the model.

    Returns:
        the markers with their ids and texts, and over how many conversations they were verified.
    """
    from inspector.inspection import inspect_rendered
    from inspector.samples import sample_conversations
    from inspector.trainers.markers import propose_markers as propose

    rows = sample_conversations()
    inspections = inspect_rendered(load_model(model, revision, template or None), rows)
    return propose(inspections).to_dict() | {"rows": len(rows), "refused": len(rows) - len(inspections)}


def training_template(model: str = "tiny-chat", template: str = "", revision: str = "") -> dict[str, Any]:
    """Write a model's chat template with generation tags around exactly what should train, and prove it.

    Args:
        model: a hub id, or tiny-chat.
        template: the name of a chat template, or its source; empty for the model's own.
        revision: a branch, tag or commit of the model.

    Returns:
        the template, whether it is proven, why not, and the difference from the original.
    """
    from inspector.tagging.write import write_training_template

    return write_training_template(load_model(model, revision, template or None)).to_dict()


def decode_warning(log: str, model: str = "tiny-chat", revision: str = "") -> dict[str, Any]:
    """Decode a trainer's warning that an example had no assistant response, from the token ids that it printed.

    Args:
        log: the log, with the ids.
        model: the hub id of the model that was trained.
        revision: a branch, tag or commit of the model.

    Returns:
        the examples as text, why nothing was found in them, and the ids to search for instead.
    """
    from inspector.trainers.decode import decode_log

    return decode_log(load_model(model, revision), log[:LOG_CHARS]).to_dict()


FUNCTIONS = (inspect_chat, compare_trainers, propose_markers, training_template, decode_warning)


def connect() -> None:
    """Make the endpoints, inside of a Blocks."""
    for function in FUNCTIONS:
        gr.api(_told(function), api_name=function.__name__, concurrency_id="api", concurrency_limit=2)


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose errors are told to who calls it."""

    @wraps(function)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except InspectorError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return told
