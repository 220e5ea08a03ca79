"""Kimi's tiktoken vocabularies against tiktoken itself, on a real vocabulary in their format."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector import errors
from inspector.inspection import inspect
from inspector.model import hub as hub_module
from inspector.model.hub import load
from inspector.model.model import Model
from tests.support.fetch import fetched, real_tokenizer
from tests.support.hub_server import HubServer

RANKS = 60_000
NAMED = ["[BOS]", "[EOS]", "<|im_end|>", "<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>", "[PAD]"]
CODE = r'''
raise SystemExit("the repository's code ran")

class TikTokenTokenizer(PreTrainedTokenizer):
    num_reserved_special_tokens = 256
    pat_str = "|".join([
        r"""[\p{Han}]+""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ])

    def apply_chat_template(self, conversation, tools=None, **kwargs):
        return super().apply_chat_template(conversation, tools=deep_sort_dict(tools), **kwargs)
'''
PATTERN = "|".join(line.strip()[4:-4] for line in CODE.splitlines() if line.strip().startswith('r"""'))
TEMPLATE = (
    "{%- for message in messages -%}<|im_{{ message.role }}|>{{ message.role }}<|im_middle|>{{ message.content }}"
    "<|im_end|>{%- endfor -%}{%- if add_generation_prompt -%}<|im_assistant|>assistant<|im_middle|>{%- endif -%}"
)
PIECES = st.sampled_from(
    [*NAMED, "<think>", f"<|reserved_token_{RANKS + 200}|>", "<|im_", "|>", "中文", "漢字かな", "カタ", "한국어",
     "don't", "HTTPServer", "we'LL", "1234567", "٣٤٥", "४५", " ", "  ", "\n", "\r\n\n", "\t", "\u3000", "\x1c",
     "é", "e\u0301", "ǅ", "👩‍👩‍👧", "🇦🇹", "🙂", "x=[1, 2]\n", "…", "々", "〇", "ｱ", "Straße", "й", "न\u0947"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=6).map(lambda text: text.encode("utf-8", "ignore").decode()), max_size=14)


@pytest.fixture(scope="module")
def tokens() -> list[bytes]:
    """The tokens of a real vocabulary by rank."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    file = fetched(lambda: real_tokenizer("qwen3")) / "tokenizer.json"
    ranks = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    return [bytes(byte_of[c] for c in text) for text in sorted(ranks, key=ranks.__getitem__)[:RANKS]]


def config() -> dict[str, Any]:
    """tokenizer_config.json as Kimi's repositories have it."""
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    added = {str(RANKS + i): {"content": text, "special": True, **flags} for i, text in enumerate(NAMED)}
    added[str(RANKS + 22)] = {"content": "<think>", "special": False, **flags}
    return {
        "added_tokens_decoder": added,
        "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        "bos_token": "[BOS]", "eos_token": "[EOS]", "pad_token": {"content": "[PAD]"}, "unk_token": None,
        "additional_special_tokens": ["<|im_end|>", "<|im_user|>"],
        "model_max_length": 131072, "tokenizer_class": "TikTokenTokenizer",
    }  # fmt: skip


def ranks_file(tokens: list[bytes]) -> bytes:
    """tiktoken.model: base64 and rank, one a line."""
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


@pytest.fixture(scope="module")
def files(tokens: list[bytes]) -> dict[str, bytes]:
    """The files of a repository."""
    return {
        "tiktoken.model": ranks_file(tokens),
        "tokenization_kimi.py": CODE.encode(),
        "tokenizer_config.json": json.dumps(config()).encode(),
        "chat_template.jinja": TEMPLATE.encode(),
    }


@pytest.fixture(scope="module")
def model(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Model:
    """That repository, loaded from a folder."""
    folder = tmp_path_factory.mktemp("kimi")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return load(str(folder))


@pytest.fixture(scope="module")
def kimi(tokens: list[bytes]) -> Any:
    """tiktoken with the same ranks, pattern and special tokens."""
    tiktoken = pytest.importorskip("tiktoken", reason="requirements-dev.txt has it")
    named = {**dict(enumerate(NAMED)), 22: "<think>"}
    special = {named.get(i, f"<|reserved_token_{RANKS + i}|>"): RANKS + i for i in range(256)}
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("kimi", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def ids_of(model: Model, text: str) -> list[int]:
    """What the loaded tokenizer makes of a text."""
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


# What is loaded


@settings(max_examples=2000)
@given(st.data())
def test_ids_are_those_of_tiktoken(model: Model, kimi: Any, data: st.DataObject) -> None:
    """Chinese, other scripts, digits, spaces, emoji, and special tokens in the middle of text."""
    text = "".join(data.draw(TEXTS))
    ids = ids_of(model, text)
    assert ids == kimi.encode(text, allowed_special="all")
    assert model.tokenizer.decode(ids) == text


def slices(text: str) -> Iterator[str]:
    """Kimi's cuts, in plain words: 400,000 characters, and runs of spaces or others no longer than 25,000."""
    for start in range(0, len(text), 400_000):
        cut = ""
        for _, run in groupby(text[start : start + 400_000], str.isspace):
            characters = "".join(run)
            for at in range(0, len(characters), 25_000):
                if at:
                    yield cut
                    cut = ""
                cut += characters[at : at + 25_000]
        yield cut


@pytest.mark.parametrize(
    "text",
    ["a" * 60_001, "a" + " " * 25_001 + "b", "word" * 10 + "\n" * 25_000 + "x", "中文 " + "長" * 50_003,
     "a b " * 150_000, "\x1c" * 25_001 + "x", ("x" * 25_000 + " ") * 3],
    ids=["letters", "spaces", "exactly", "Chinese", "long", "control", "runs"],
)  # fmt: skip
def test_long_text_is_cut_where_kimi_cuts_it(model: Model, kimi: Any, text: str) -> None:
    """A run that is too long for tiktoken is cut first, and no token goes over the cut."""
    expected = [id for part in slices(text) for id in kimi.encode(part, allowed_special="all")]
    assert ids_of(model, text) == expected


def test_chinese_is_split_off(model: Model, kimi: Any) -> None:
    """cl100k's pattern, which transformers takes, joins Chinese with the letters beside it."""
    import tiktoken

    other = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    wrong = tiktoken.Encoding("other", pat_str=other, mergeable_ranks=kimi._mergeable_ranks, special_tokens={})
    text = "请看 的，我们的 API在这里"
    assert ids_of(model, text) == kimi.encode(text) != wrong.encode(text)


def test_what_the_model_is(model: Model) -> None:
    """Names, special tokens and template are those of the repository's files."""
    tokenizer = model.tokenizer
    assert (model.encoder.name, model.encoder.text_becomes_control, model.is_fast) == ("kimi", True, True)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (RANKS, RANKS + 1, RANKS + 7)
    assert tokenizer.unk_token is None
    assert len(tokenizer) == RANKS + 256
    assert tokenizer.convert_ids_to_tokens(RANKS + 255) == f"<|reserved_token_{RANKS + 255}|>"
    assert not tokenizer.added_tokens_decoder[RANKS + 22].special
    assert (model.template, tokenizer.model_max_length) == (TEMPLATE, 131072)


def test_chat_trains_what_tiktoken_gives(model: Model, kimi: Any) -> None:
    """From the conversation to the trained ids."""
    chat = [{"role": "user", "content": "你好 hello"}, {"role": "assistant", "content": "维也纳，1234!"}]
    found = inspect(model, chat)
    text = (
        "<|im_user|>user<|im_middle|>你好 hello<|im_end|><|im_assistant|>assistant<|im_middle|>维也纳，1234!<|im_end|>"
    )
    assert list(found.example.tokens.ids) == kimi.encode(text, allowed_special="all")
    trained = [id for id, bit in zip(found.example.tokens.ids, found.trained, strict=True) if bit]
    assert trained == kimi.encode("维也纳，1234!<|im_end|>", allowed_special="all")


def test_hub_repository_loads_without_a_request_for_its_kind(hub: HubServer, files: dict[str, bytes]) -> None:
    """transformers asks the hub about large vocabularies when it is given a name."""
    hub.add("moonshotai/kimi", {**files, "model.safetensors": b"\0"})
    assert load("moonshotai/kimi").encoder.name == "kimi"
    assert not any(path.endswith(".safetensors") for path in hub.paths())
    assert sum(path.startswith("/api/models/moonshotai/kimi") for path in hub.paths()) <= 2
    hub_module._LOADED.clear()


@pytest.mark.parametrize("kept", [True, False])
def test_template_may_stand_in_the_config(tmp_path: Path, small: dict[str, bytes], kept: bool) -> None:
    """Older repositories have it there; base models have none."""
    small.pop("chat_template.jinja")
    if kept:
        small["tokenizer_config.json"] = json.dumps({"chat_template": TEMPLATE}).encode()
        assert load(write(tmp_path, small)).template == TEMPLATE
        return
    with pytest.raises(errors.NoTemplateError, match="has no chat template"):
        load(write(tmp_path, small))


TOOL_TEMPLATE = (
    "{%- if tools -%}{% if tools_ts_str %}{{ tools_ts_str }}{% else %}{{ tools | tojson }}{% endif %}{%- endif -%}"
    + TEMPLATE
)
PLAIN = CODE.replace("tools=deep_sort_dict(tools), ", "tools=tools, ")
TYPESCRIPT = CODE.replace(
    "        return super()",
    "        kwargs['tools_ts_str'] = encode_tools_to_typescript_style(deep_sort_dict(tools))\n        return super()",
)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SORTED = '[{"function": {"name": "f", "parameters": {"properties": {}, "type": "object"}}, "type": "function"}]'
GIVEN = '[{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]'
DECLARED = "# Tools\n\n## functions\nnamespace functions {\ntype f = (_: {}) => any;\n}\n"


@pytest.mark.parametrize(("code", "text"), [(PLAIN, GIVEN), (CODE, SORTED), (TYPESCRIPT, DECLARED)])
def test_template_is_given_tools_as_the_code_gives_them(
    tmp_path: Path, small: dict[str, bytes], code: str, text: str
) -> None:
    """As they are, with their keys in order, or declared in TypeScript: others tokens each."""
    small |= {"tokenization_kimi.py": code.encode(), "chat_template.jinja": TOOL_TEMPLATE.encode()}
    chat = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}], "tools": [TOOL]}
    found = inspect(load(write(tmp_path, small)), chat)
    assert found.example.rendered.text.startswith(text + "<|im_user|>")
    assert list(found.example.conversation.tools or ()) == [TOOL]


def test_tools_that_cannot_be_declared_are_given_as_they_are(tmp_path: Path, small: dict[str, bytes]) -> None:
    """Kimi's code prints why and goes on without the declarations."""
    small |= {"tokenization_kimi.py": TYPESCRIPT.encode(), "chat_template.jinja": TOOL_TEMPLATE.encode()}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"$ref": "#/none"}}}}}
    chat = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}], "tools": [tool]}
    assert inspect(load(write(tmp_path, small)), chat).example.rendered.text.startswith('[{"function": {"name": "f"')


# What is refused


@pytest.fixture
def small() -> dict[str, bytes]:
    """A repository whose tokens are the 256 bytes."""
    return {
        "tiktoken.model": ranks_file([bytes([byte]) for byte in range(256)]),
        "tokenization_kimi.py": CODE.encode(),
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": TEMPLATE.encode(),
    }


def write(folder: Path, files: dict[str, bytes]) -> str:
    """Write files into a folder and return its path."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return str(folder)


OWN_CHATS = CODE.replace("return super().apply_chat_template(", "return build_chat_segments(")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (CODE.replace("{1,3}", "{1,2}"), "cuts text by another pattern"),
        (CODE.replace('r"""\\s+""",', "*more,"), "cuts text by another pattern"),
        (CODE.replace("= 256", "= 300"), "reserves another number of special tokens than 256"),
        (CODE.replace("pat_str", "pattern"), r"has 0 classes with a pattern \(pat_str\)"),
        (OWN_CHATS, "writes chats itself and renders no template"),
        ("class (", "is not Python that can be read"),
        ("-" * 190_000 + "1", "is not Python that can be read"),
        (CODE + "#" * 200_000, "has more than 200,000 bytes"),
    ],
)
def test_code_that_does_something_else_is_refused(
    tmp_path: Path, small: dict[str, bytes], code: str, text: str
) -> None:
    """The ids would be wrong without a word."""
    small["tokenization_kimi.py"] = code.encode()
    with pytest.raises(errors.UnsupportedTokenizerError, match=text + ".*never run here.*with a tokenizer.json"):
        load(write(tmp_path, small))


def test_enormous_code_is_not_fetched(hub: HubServer, small: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is known before."""
    monkeypatch.setattr("inspector.model.place.MAX_FILE_BYTES", 20_000)
    hub.add("owner/kimi", small | {"tokenization_kimi.py": b"#" * 20_001})
    with pytest.raises(errors.CorruptFileError, match=r"tokenization_kimi\.py of 'owner/kimi' has 20,001 bytes"):
        load("owner/kimi")
    assert not any(path.endswith(".py") for path in hub.paths())


def test_code_elsewhere_is_refused(tmp_path: Path, small: dict[str, bytes]) -> None:
    """What is compared must be what transformers would run."""
    small["tokenizer_config.json"] = b'{"auto_map": {"AutoTokenizer": ["else.TikTokenTokenizer", null]}}'
    with pytest.raises(errors.UnsupportedTokenizerError, match=r"names 'else\.TikTokenTokenizer' as the tokenizer"):
        load(write(tmp_path, small))


@pytest.mark.parametrize(
    ("file", "data", "text"),
    [
        ("tiktoken.model", b"AA== 0\nAQ== 2\n", "line 2 is not the base64 of token 1 and its rank"),
        ("tiktoken.model", b"AA== 0\nA?== 1\n", "line 2 is not"),
        ("tiktoken.model", b"AA==\n", "line 1 is not the base64 of token 0 and its rank"),
        ("tiktoken.model", b"AA== 0\nAA== 1\n", "1 tokens are there twice"),
        ("tiktoken.model", b"AA== 0\n", "255 of the 256 bytes have no token"),
        ("tokenizer_config.json", b"{", "it is not JSON"),
        ("tokenizer_config.json", b"[]", "it is JSON but not an object"),
        ("tokenizer_config.json", b'{"chat_template": 3}', "its chat_template is not text"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": [1]}', "added_tokens_decoder is not an object of ids"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"a": {"content": "x"}}}', "added_tokens_decoder is not"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"9": {"content": "x"}}}', "of id 9; .* 256 to 511"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"256": {"content": "a"}}}', "'a' of id 256 is"),
        ("chat_template.jinja", b"\xff", "it is not UTF-8 at byte 0"),
    ],
)  # fmt: skip
def test_damaged_file_is_named(tmp_path: Path, small: dict[str, bytes], file: str, data: bytes, text: str) -> None:
    """With what is wrong, and what to do."""
    small[file] = data
    if b"chat_template" in data:
        del small["chat_template.jinja"]
    with pytest.raises(errors.CorruptFileError, match=rf"{file} of .* cannot be read: .*{text}.*Fetch it again"):
        load(write(tmp_path, small))
