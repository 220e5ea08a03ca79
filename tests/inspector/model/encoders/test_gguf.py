"""GGUF headers, written from real tokenizers by the format's own package: what is read back has the same ids."""

from __future__ import annotations

import io
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector import errors
from inspector.inspection import inspect
from inspector.model import hub as hub_module
from inspector.model.encoders import gguf_header
from inspector.model.encoders.gguf import CUTS
from inspector.model.hub import load
from inspector.model.model import Model
from tests.support.fetch import fetched, real_tokenizer
from tests.support.hub_server import Fault, HubServer

TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}{{ eos_token }}{% endfor %}"
PRE = {
    "gpt2": "gpt-2", "qwen3": "qwen2", "llama3_1": "llama-bpe", "smollm2": "smollm",
    "gptoss": "gpt-4o", "qwen3_5": "qwen35", "mistral": "tekken",
}  # fmt: skip
"""Real tokenizers, and what llama.cpp calls their cut; qwen3_5 is transformers' with the vocabulary of qwen3."""
PIECES = st.sampled_from(
    ["<|im_start|>", "<|im_end|>", "<|eot_id|>", "<think>", "<tool_call>", "<s>", "</s>", "<unk>", "<0x0A>", "▁",
     "[INST]", "don't", "we'LL", "1234567", "٣٤٥", " ", "  ", "   ", "\n", "\r\n\n", "\t", "\u3000",
     "é", "e\u0301", "A\u030a", "中文", "漢字かな", "한국어", "👩‍👩‍👧", "🇦🇹", "🙂",
     "x=[1, 2]\n", "Straße", "न\u0947", "HTTPServer", "a//\n/b"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=6).map(lambda text: text.encode("utf-8", "ignore").decode()), max_size=14)
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(autouse=True)
def _no_loaded_tokenizers() -> Iterator[None]:
    """Each test loads for itself."""
    yield
    hub_module._LOADED.clear()


def header_of(folder: Path, pre: str | None) -> dict[str, Any]:
    """What convert_hf_to_gguf.py writes for a tokenizer.json: byte-level with a cut, else SentencePiece's."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    ids = dict(tokenizer["model"]["vocab"])
    kinds = {added["content"]: 3 if added["special"] else 4 for added in tokenizer["added_tokens"]}
    ids |= {added["content"]: added["id"] for added in tokenizer["added_tokens"]}
    at = {id: token for token, id in ids.items()}
    size = max(at) + 1 + 7  # models pad their vocabularies
    tokens = [at.get(id, f"[PAD{id}]") for id in range(size)]
    named = {key: token_text(config.get(f"{key}_token")) for key in ("bos", "eos", "pad", "unk")}
    words = {"pad": "padding", "unk": "unknown"}
    header = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2" if pre else "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [kinds.get(token, 1) if id in at else 5 for id, token in enumerate(tokens)],
        "tokenizer.chat_template": TEMPLATE,
        "tokenizer.chat_template.rag": "{{ documents }}",
        **{f"tokenizer.ggml.{words.get(key, key)}_token_id": ids[text] for key, text in named.items() if text},
    }
    if pre:
        merges = tokenizer["model"]["merges"]
        header["tokenizer.ggml.merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
        header["tokenizer.ggml.pre"] = pre
    else:  # as its sentencepiece file has them: a token's score is its place among the merges
        places = {
            pair.replace(" ", ""): place for place, pair in reversed(list(enumerate(tokenizer["model"]["merges"])))
        }
        header["tokenizer.ggml.token_type"][0] = 2
        header["tokenizer.ggml.scores"] = [float(-places.get(token, 0)) for token in tokens]
    return header


def token_text(token: Any) -> str | None:
    """The text of a token in tokenizer_config.json."""
    return token["content"] if isinstance(token, dict) else token


def write(path: Path, header: dict[str, Any], *, tensor_bytes: int = 64) -> Path:
    """Write a GGUF file with this header and one tensor."""
    import numpy
    from gguf import GGUFWriter

    writer = GGUFWriter(path, header.get("general.architecture", "llama"))
    for key, value in header.items():
        if key == "general.architecture":
            continue
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    writer.add_tensor("weights", numpy.zeros(tensor_bytes, dtype=numpy.uint8).view(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def as_qwen3_5(folder: Path) -> Any:
    """Qwen 3.5's tokenizer with the vocabulary of a folder."""
    from transformers import Qwen3_5Tokenizer

    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
    return Qwen3_5Tokenizer(vocab=model["vocab"] | {"<|endoftext|>": len(model["vocab"])}, merges=merges)


def as_mistral() -> Any:
    """The tokenizer of the tekken.json that mistral-common brings."""
    import mistral_common
    from transformers.integrations.mistral.tokenizer import convert_tekken_tokenizer

    file = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    return convert_tekken_tokenizer(str(file), chat_template=TEMPLATE)


@pytest.fixture(scope="module", params=[*PRE, "llama2"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Model]:
    """(a real tokenizer, the model of the GGUF file that was written from it)."""
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("original")
    if request.param == "qwen3_5":
        as_qwen3_5(fetched(lambda: real_tokenizer("qwen3"))).save_pretrained(folder)
    elif request.param == "mistral":
        as_mistral().save_pretrained(folder)
    else:
        folder = fetched(lambda: real_tokenizer(request.param))
    header = header_of(folder, PRE.get(request.param))
    path = write(tmp_path_factory.mktemp("gguf") / "model-Q4_0.gguf", header)
    return PreTrainedTokenizerFast.from_pretrained(folder), load(str(path))


# What is loaded


@settings(max_examples=500)
@given(st.data())
def test_ids_are_those_of_the_original(both: tuple[Any, Model], data: st.DataObject) -> None:
    """Other scripts, digits, spaces, accents apart from their letters, and special tokens in the middle of text."""
    original, model = both
    text = "".join(data.draw(TEXTS))
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert ids == original(text, add_special_tokens=False)["input_ids"]
    assert model.tokenizer.decode(ids) == original.decode(ids)


def test_names_and_templates_are_those_of_the_header(both: tuple[Any, Model]) -> None:
    """The special tokens by their ids, the template and the named ones."""
    original, model = both
    tokenizer = model.tokenizer
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(tokenizer, name) == getattr(original, name)
        assert getattr(tokenizer, f"{name}_id") == getattr(original, f"{name}_id")
    assert model.templates == {"default": TEMPLATE, "rag": "{{ documents }}"}
    assert (model.encoder.name, model.encoder.text_becomes_control, model.is_fast) == ("gguf", True, True)
    special = {id for id, token in original.added_tokens_decoder.items() if token.special}
    assert {id for id, token in tokenizer.added_tokens_decoder.items() if token.special} == special


@pytest.fixture
def header() -> dict[str, Any]:
    """A small byte-level vocabulary."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "</s>", *letters, "he", "ll"]
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3, *[1] * (len(tokens) - 2)],
        "tokenizer.ggml.merges": ["h e", "l l"],
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.chat_template": TEMPLATE,
    }


CHAT = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hell"}]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_folder_and_file_are_models(tmp_path: Path, header: dict[str, Any], kind: str) -> None:
    """A file beside a tokenizer.json is the file, not the folder."""
    path = write(tmp_path / "b.gguf", header)
    write(tmp_path / "a-mmproj.gguf", {"general.architecture": "clip"})
    found = inspect(load(str(tmp_path if kind == "folder" else path)), CHAT)
    assert "".join(found.example.tokens.texts) == "[user] hello</s>[assistant] hell</s>"


def test_folder_and_its_file_are_told_apart(tmp_path: Path, header: dict[str, Any]) -> None:
    """They share a path, and what was loaded of one must not be taken for the other."""
    first = write(tmp_path / "a.gguf", header)
    second = write(tmp_path / "b.gguf", header | {"tokenizer.chat_template": "{{ 2 }}"})
    assert [load(str(path)).template for path in (first, second, tmp_path)] == [TEMPLATE, "{{ 2 }}", TEMPLATE]


def test_file_has_no_revision(tmp_path: Path, header: dict[str, Any]) -> None:
    """A revision that would be ignored is refused."""
    with pytest.raises(errors.RevisionNotFoundError, match="is a file and has no revision 'main'"):
        load(str(write(tmp_path / "a.gguf", header)), revision="main")


def test_tokenizer_json_beside_it_is_preferred(tmp_path: Path, header: dict[str, Any]) -> None:
    """The original is there."""
    from tokenizers import Tokenizer, models

    write(tmp_path / "a.gguf", header)
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    assert load(str(tmp_path), template="chatml").encoder.name == "jinja"


def test_of_a_hub_file_only_the_header_is_fetched(hub: HubServer, tmp_path: Path, header: dict[str, Any]) -> None:
    """Files in folders too, after those without a vocabulary; the connection is closed where the header ends."""
    big = write(tmp_path / "big.gguf", header, tensor_bytes=50_000_000).read_bytes()
    none = write(tmp_path / "none.gguf", {"general.architecture": "clip"}).read_bytes()
    hub.add("owner/gguf", {"README.md": b"", "Q4/model.gguf": big, "A/mmproj.gguf": none, "Q8/model.gguf": b"GGUF"})
    began = time.monotonic()
    model = load("owner/gguf")
    assert (model.encoder.name, model.template) == ("gguf", TEMPLATE)
    assert [path for path in hub.paths() if path.endswith("Q8/model.gguf")] == []
    cache = Path(hub_cache())
    assert sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) < 1_000_000
    assert time.monotonic() - began < 30


def hub_cache() -> str:
    """The folder where huggingface_hub keeps files."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.TRUNCATE, Fault.UNAVAILABLE])
def test_hub_that_breaks_off_is_said(hub: HubServer, tmp_path: Path, header: dict[str, Any], fault: Fault) -> None:
    """In the words for a hub that cannot be reached, not for a damaged file."""
    hub.add("owner/gguf", {"a.gguf": write(tmp_path / "a.gguf", header).read_bytes()})
    hub.fail(fault, path="*.gguf")
    with pytest.raises(errors.OfflineError, match=r"The hub at .* and the files of 'owner/gguf' are not all"):
        load("owner/gguf")


# What is refused


def test_nothing_but_headers_without_a_vocabulary(tmp_path: Path) -> None:
    """An encoder of pictures alone."""
    write(tmp_path / "mmproj.gguf", {"general.architecture": "clip"})
    with pytest.raises(errors.NoTokenizerError, match=r"no vocabulary in the headers .*mmproj.gguf.*Load the model"):
        load(str(tmp_path))


def test_model_without_a_template(tmp_path: Path, header: dict[str, Any]) -> None:
    """A base model; a built-in one may be chosen."""
    del header["tokenizer.chat_template"]
    path = write(tmp_path / "a.gguf", header)
    with pytest.raises(errors.NoTemplateError, match="has no chat template"):
        load(str(path))
    assert load(str(path), template="chatml").template_name == "chatml"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tokenizer.ggml.pre": "viking"}, "'viking' as tokenizer.ggml.pre"),
        ({"tokenizer.ggml.model": "bert"}, "'bert' as tokenizer.ggml.model"),
        ({"tokenizer.ggml.model": "llama", "general.architecture": "gemma3"}, "'gemma3' as general.architecture"),
        ({"tokenizer.ggml.model": "llama", "general.architecture": "phi3"}, "'phi3' as general.architecture"),
    ],
)
@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ({}, r"Load the model that it was made from\."),
        (
            {"general.base_model.0.repo_url": "https://huggingface.co/owner/base"},
            r"Load the model that it was made from: 'https://huggingface.co/owner/base'\.",
        ),
    ],
)
def test_unknown_cut_is_refused(
    tmp_path: Path, header: dict[str, Any], change: dict[str, str], text: str, named: dict[str, str], hint: str
) -> None:
    """By name, with the model to load instead where the header says it."""
    path = write(tmp_path / "a.gguf", header | change | named)
    with pytest.raises(errors.UnsupportedTokenizerError, match=f"header of a.gguf of .* has {text}.*{hint}"):
        load(str(path))


def test_cut_that_is_missing_is_refused(tmp_path: Path, header: dict[str, Any]) -> None:
    """llama.cpp would take GPT-2's, and say that the ids may be wrong."""
    del header["tokenizer.ggml.pre"]
    with pytest.raises(errors.UnsupportedTokenizerError, match=r"has None as tokenizer\.ggml\.pre"):
        load(str(write(tmp_path / "a.gguf", header)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda h: h.pop("tokenizer.ggml.merges"), "tokenizer.ggml.merges is not there, or not a list of str"),
        (lambda h: h.update({"tokenizer.ggml.merges": ["h e l"]}), "the merge 'h e l' is not of tokens"),
        (lambda h: h.update({"tokenizer.ggml.merges": ["h x"]}), "the merge 'h x' is not of tokens"),
        (lambda h: h["tokenizer.ggml.tokens"].append("he"), "1 tokens are there twice"),
        (lambda h: h["tokenizer.ggml.token_type"].pop(), "260 tokens and 259 types"),
        (lambda h: h.update({"tokenizer.ggml.eos_token_id": 999}), "eos_token_id is 999, and there are 260 tokens"),
        (lambda h: h.update({"tokenizer.ggml.model": "llama"}), "tokenizer.ggml.scores is not there"),
        (
            lambda h: h.update({"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.5]}),
            "260 tokens and 1 scores",
        ),
    ],
)
def test_vocabulary_that_makes_no_sense_is_named(
    tmp_path: Path, header: dict[str, Any], change: Change, text: str
) -> None:
    """With the key."""
    change(header)
    path = write(tmp_path / "a.gguf", header)
    with pytest.raises(errors.CorruptFileError, match=rf"header of a.gguf of .* cannot be read: .*{text}.*convert"):
        load(str(path))


START = b"GGUF" + struct.pack("<IQ", 3, 0)
KEY = struct.pack("<Q", 1) + b"k"


def one(kind: int, data: bytes) -> bytes:
    """A header of one key."""
    return START + struct.pack("<Q", 1) + KEY + struct.pack("<I", kind) + data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it does not begin with GGUF"),
        (b"PK\x03\x04" * 9, "it does not begin with GGUF"),
        (b"GGUF", "it ends within its key-values"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "it is of version 1, and 2 and 3 are read"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "it is of version 50331648"),
        (START + struct.pack("<Q", 2**63), "9,223,372,036,854,775,808 keys; up to 10,000"),
        (START + struct.pack("<QQ", 1, 2**63), "longer than 40,000,000 bytes"),
        (START + struct.pack("<QQ", 1, 1000), "it ends within"),
        (START + struct.pack("<QQ", 1, 1) + b"\xff", "a text that is not UTF-8"),
        (one(13, b""), "a value of type 13, which there is not"),
        (one(8, struct.pack("<Q", 2**40)), "longer than 40,000,000 bytes"),
        (one(9, struct.pack("<IQ", 8, 2**40)), "a list of 1,099,511,627,776 elements; up to 2,000,000"),
        (one(9, struct.pack("<IQ", 12, 2_000_000)), "it ends within"),
        (one(9, struct.pack("<IQ", 9, 1)), "a list of values of type 9, which is not read"),
        (one(9, struct.pack("<IQ", 8, 2_000_000) + b"\0" * 1_000_000), "it ends within"),
    ],
)
def test_hostile_header_is_refused_in_time(tmp_path: Path, data: bytes, text: str) -> None:
    """Counts and lengths are the file's own claims."""
    (tmp_path / "a.gguf").write_bytes(data)
    began = time.monotonic()
    with pytest.raises(errors.CorruptFileError, match=rf"header of a.gguf of .* cannot be read: .*{text}"):
        load(str(tmp_path / "a.gguf"))
    assert time.monotonic() - began < 10


def test_pipe_is_no_file(tmp_path: Path) -> None:
    """Opened, it would be waited for."""
    os.mkfifo(tmp_path / "a.gguf")
    with pytest.raises(errors.CorruptFileError, match=r"a\.gguf of .* is not a plain file\. Put the file itself"):
        load(str(tmp_path))


def test_longest_header_is_refused_in_time() -> None:
    """Lists of empty texts, as many as are allowed, until the bytes are."""
    texts = KEY + struct.pack("<IIQ", 9, 8, 2_000_000) + b"\0" * 16_000_000
    began = time.monotonic()
    with pytest.raises(gguf_header.HeaderError, match="longer than 40,000,000 bytes"):
        gguf_header.read_header(io.BytesIO(START + struct.pack("<Q", 5) + texts * 5))
    assert time.monotonic() - began < 60


def test_every_cut_is_tried() -> None:
    """A word that nobody compares with a real tokenizer is a guess."""
    assert {CUTS[word] for word in PRE.values()} == set(CUTS.values())
