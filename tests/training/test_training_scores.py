"""Scores are those of one plain forward; an endpoint's answers are taken as they come, its failures named."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch

from training.errors import EndpointError, SpecError
from training.rows.prepare import load_model, prepare
from training.spec import EndpointSpec, RunSpec, parse_spec
from training.weights import scores
from training.weights.endpoint import ask
from training.weights.load import load_weights
from training.weights.scores import score, scored_rows

SPEC = parse_spec({"model": "tiny-chat", "data": "examples/data/multi-turn.jsonl.gz"})


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any, list[Any]]:
    """(model, weights, rows) of tiny-chat."""
    model = load_model(SPEC)
    return model, load_weights(SPEC, model), list(prepare(SPEC, SPEC.data, model, []))[:2]


def test_scores_are_those_of_one_forward(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length of the chunks: the losses of transformers' own labels, and the most probable tokens."""
    _, weights, rows = loaded
    ids = rows[0].input_ids
    with torch.no_grad():
        logits = weights(torch.tensor([ids])).logits[0]
        mean = weights(torch.tensor([ids]), labels=torch.tensor([ids])).loss
    for chunk in (7, 256):
        monkeypatch.setattr(scores, "CHUNK", chunk)
        found = score(weights, ids)
        assert len(found) == len(ids)
        assert found[0].loss is None
        assert sum(one.loss or 0.0 for one in found) / (len(ids) - 1) == pytest.approx(float(mean), rel=1e-4)
        assert [one.guess for one in found[1:]] == logits[:-1].argmax(-1).tolist()
        assert found[1].probability == pytest.approx(float(logits[0].softmax(-1).max()), rel=1e-4)


@pytest.mark.parametrize("ids", [[], [5]])
def test_rows_without_a_prediction_have_empty_scores(loaded: Any, ids: list[int]) -> None:
    """Nothing stands before the first token."""
    assert [one.loss for one in score(loaded[1], ids)] == [None] * len(ids)


def test_scored_rows_are_the_inspected_rows(loaded: Any) -> None:
    """Their texts join to the rendered text, and as many tokens train as the inspector says."""
    model, weights, rows = loaded
    found = scored_rows(weights, model.tokenizer, rows)
    for row, one in zip(rows, found, strict=True):
        assert "".join(one["texts"]) == model.tokenizer.decode(row.input_ids)
        assert sum(one["trained"]) == row.trained
        columns = ("texts", "trained", "losses", "guesses", "probabilities", "right")
        assert {len(one[name]) for name in columns} == {one["tokens"]} == {len(row.input_ids)}
        right = [i for i, bit in enumerate(one["right"]) if bit]
        assert all(one["guesses"][i] == one["texts"][i] for i in right)
        assert 0 < len(right) < len(row.input_ids)
    json.dumps(found)


# --- an endpoint


class _Server(BaseHTTPRequestHandler):
    """Says what it was asked; by its path, fails in one way or another."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = f"{asked['model']} {asked['messages'][-1]['content']} {self.headers.get('Authorization')}"
        answers = {
            "/v1": (200, json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]})),
            "/busy": (503, "try again later"),
            "/html": (200, "<html>"),
            "/other": (200, json.dumps({"error": "no"})),
        }
        status, text = answers[self.path.removesuffix("/chat/completions")]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A loopback server's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


QUESTION = ({"role": "user", "content": "Hi?"},)


def test_endpoint_is_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the key that the named variable holds, or none."""
    monkeypatch.setenv("SOME_KEY", "sesame")
    endpoint = EndpointSpec(url=address + "/v1/", model="m", key_variable="SOME_KEY")
    assert ask(endpoint, QUESTION, 8) == "m Hi? Bearer sesame"
    assert ask(EndpointSpec(url=address + "/v1", model="m"), QUESTION, 8) == "m Hi? None"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/busy", "answered with status 503: try again later"),
        ("/html", "did not answer with JSON"),
        ("/other", r"has no choices\[0\].message.content"),
    ],
)
def test_endpoint_failures_are_named(address: str, path: str, message: str) -> None:
    """With the address and what came back."""
    with pytest.raises(EndpointError, match=message):
        ask(EndpointSpec(url=address + path, model="m"), QUESTION, 8)


def test_unreachable_endpoint_and_missing_key() -> None:
    """Nobody listens; the variable is not set."""
    with pytest.raises(EndpointError, match=r"http://127\.0\.0\.1:9/v1/chat/completions cannot be reached"):
        ask(EndpointSpec(url="http://127.0.0.1:9/v1", model="m"), QUESTION, 8)
    with pytest.raises(EndpointError, match="The variable NO_SUCH_KEY is not set"):
        ask(EndpointSpec(url="http://127.0.0.1:9/v1", model="m", key_variable="NO_SUCH_KEY"), QUESTION, 8)


def test_endpoint_of_a_spec_is_checked() -> None:
    """An address is one of http."""
    value = {"model": "tiny-chat", "data": "x.jsonl", "sampling": {"endpoint": {"url": "ftp://x", "model": "m"}}}
    with pytest.raises(SpecError, match=r"sampling.endpoint.url: .*ftp://x"):
        parse_spec(value)
    assert isinstance(RunSpec.model_validate(value | {"sampling": {}}), RunSpec)
