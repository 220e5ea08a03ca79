"""GGUF without a tokenizer.json: the vocabulary and the chat templates are in the header of each .gguf file.

A header names the way to split text (`tokenizer.ggml.pre`) by a word of llama.cpp, not by a pattern; the words below
stand for the tokenizer.json of their models, and give the same ids. transformers reads GGUF too, but uses GPT-2's split
for an unknown word and ignores what the word implies (Qwen's NFC, Llama 3's whole words). In SentencePiece vocabularies
(`llama`) the merges follow from the scores, and a space is written before each stretch of text between control tokens,
as in llama.cpp and in Llama 2's tokenizer.json. All quantisations of a model have the same header, so the first file
with a vocabulary is used, and no weights are fetched.
Source: convert_hf_to_gguf.py and llama-vocab.cpp of llama.cpp (2026), the tokenizer.json of the models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from inspector.errors import CorruptFileError, NoTokenizerError, UnsupportedTokenizerError, quoted
from inspector.model.encoders.encoder import Encoder, FilesOf, Loaded
from inspector.model.encoders.gguf_header import HeaderError, read_header

SUFFIX = ".gguf"
_READ_FIRST = frozenset({"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"})
"""Files from which transformers reads a tokenizer, if a repository has them too."""
MAX_FILES = 8
"""Maximum number of files that are searched for a vocabulary: those of an image encoder have none."""
_TEMPLATE, _TOKENS = "tokenizer.chat_template", "tokenizer.ggml.tokens"
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""Types of tokens."""
_NAMED = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
_ELSEWHERE = ("gemma", "phi3")
"""SentencePiece models whose tokenizer has rules that the header does not show: another order of merges, or spaces."""
_MADE_FROM = (
    "general.base_model.0.repo_url", "general.source.huggingface.repository", "general.source.repo_url",
    "general.source.url", "general.base_model.0.name",
)  # fmt: skip
"""Keys of a header that name the original model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """The way to split text before merging.

    `pattern`: None for that of GPT-2. `is_whole_first`: known words are not merged.
    """

    pattern: str | None = None
    single_digits: bool = False
    is_composed: bool = False
    is_whole_first: bool = False


_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST_OF_PATHS = _REST.replace(r"[\r\n]*", r"[\r\n/]*")


def _words_by_case(end: str) -> str:
    """Words that begin with a capital letter, each with its possible ending."""
    return rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{end}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{end}"


_GPT_4O = _Cut(
    pattern=_words_by_case(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?") + rf"|\p{{N}}{{1,3}}|{_REST_OF_PATHS}", is_whole_first=True
)
_LLAMA_3 = _Cut(pattern=rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}", is_whole_first=True)
CUTS = {
    "gpt-2": _Cut(),
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "llama-v3": _LLAMA_3,
    "gpt-4o": _GPT_4O,
    "tekken": _Cut(pattern=rf"{_words_by_case('')}|\p{{N}}|{_REST_OF_PATHS}", is_whole_first=True),
    "qwen2": _Cut(pattern=rf"{_WORDS}|\p{{N}}|{_REST}", is_composed=True),
    "qwen35": _Cut(
        pattern=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        is_composed=True,
    ),
    "smollm": _Cut(single_digits=True),
}
"""The known words of `tokenizer.ggml.pre`."""


def _reads(names: Collection[str]) -> bool:
    return any(name.endswith(SUFFIX) for name in names) and not _READ_FIRST & set(names)


def _load(files: FilesOf) -> Loaded:
    from transformers import PreTrainedTokenizerFast

    name, values = _first_with_vocabulary(files)
    header = _Vocabulary(files, name, values)
    core = header.core()
    named = {role: text for word, role in _NAMED.items() if (text := header.named(word)) is not None}
    adds = {
        f"add_{word}_token": values[key]
        for word in ("bos", "eos")
        if isinstance(values.get(key := f"tokenizer.ggml.add_{word}_token"), bool) and f"{word}_token" in named
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, **{role: named.get(role) for role in _NAMED.values()}, **adds
    )
    tokenizer.name_or_path = files.name  # earlier, the hub would be asked whether it is one of Mistral's
    templates = _templates(values)
    tokenizer.chat_template = templates or None
    return tokenizer, templates


def _first_with_vocabulary(files: FilesOf) -> tuple[str, dict[str, Any]]:
    """(the first file with a vocabulary, the values of its header)."""
    found = sorted(name for name in files.names if name.endswith(SUFFIX))
    for name in found[:MAX_FILES]:
        with files.opened(name) as stream:
            try:
                values = read_header(stream)
            except HeaderError as error:
                raise _corrupt(files, name, str(error)) from None
        if _TOKENS in values:
            return name, values
    raise NoTokenizerError(
        f"{files.name!r} has no vocabulary in the headers of its GGUF files ({', '.join(found[:MAX_FILES])}). "
        "Load the model that it was made from."
    )


def _templates(values: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates by name."""
    named = {key.removeprefix(_TEMPLATE + "."): text for key, text in values.items() if key.startswith(_TEMPLATE + ".")}
    default = {"default": values[_TEMPLATE]} if _TEMPLATE in values else {}
    return {name: text for name, text in (default | named).items() if isinstance(text, str)}


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The vocabulary of a header. `file`: for messages."""

    files: FilesOf
    file: str
    values: Mapping[str, Any]

    def core(self) -> Any:
        """The `tokenizers` object. Raises UnsupportedTokenizerError and CorruptFileError."""
        model, tokens = self.values.get("tokenizer.ggml.model"), self._list("tokens", str)
        if len(set(tokens)) != len(tokens):
            raise self._corrupt(f"{len(tokens) - len(set(tokens))} tokens are there twice")
        if model == "gpt2":
            core = self._byte_level(tokens)
        elif model == "llama":
            core = self._sentencepiece(tokens)
        else:
            raise self._unknown("tokenizer.ggml.model", model)
        self._add_tokens(core, tokens)
        return core

    def named(self, word: str) -> str | None:
        """The token with this name in the header: bos, eos, unknown, padding."""
        id, tokens = self.values.get(f"tokenizer.ggml.{word}_token_id"), self.values[_TOKENS]
        if id is None:
            return None
        if not isinstance(id, int) or not 0 <= id < len(tokens):
            raise self._corrupt(f"tokenizer.ggml.{word}_token_id is {id}, and there are {len(tokens):,} tokens")
        return str(tokens[id])

    def _byte_level(self, tokens: list[str]) -> Any:
        from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

        word = self.values.get("tokenizer.ggml.pre")
        cut = CUTS.get(word) if isinstance(word, str) else None
        if cut is None:
            raise self._unknown("tokenizer.ggml.pre", word)
        ids = {token: id for id, token in enumerate(tokens)}
        merges = [tuple(merge.split(" ")) for merge in self._list("merges", str)]
        if wrong := next((pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= ids.keys()), None):
            raise self._corrupt(f"the merge {quoted(' '.join(wrong))} is not of tokens")
        core = Tokenizer(models.BPE(ids, merges, ignore_merges=cut.is_whole_first))
        if cut.is_composed:
            core.normalizer = normalizers.NFC()
        bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut.pattern is None)
        digits = [pre_tokenizers.Digits(individual_digits=True)] if cut.single_digits else []
        words = [pre_tokenizers.Split(Regex(cut.pattern), "isolated")] if cut.pattern is not None else []
        core.pre_tokenizer = pre_tokenizers.Sequence([*digits, *words, bytes_only])
        core.decoder = decoders.ByteLevel()
        return core

    def _sentencepiece(self, tokens: list[str]) -> Any:
        from tokenizers import Tokenizer, decoders, models, normalizers

        architecture = self.values.get("general.architecture")
        if isinstance(architecture, str) and architecture.startswith(_ELSEWHERE):
            raise self._unknown("general.architecture", architecture)
        scores, ids = self._list("scores", float), {token: id for id, token in enumerate(tokens)}
        if len(scores) != len(tokens):
            raise self._corrupt(f"it has {len(tokens):,} tokens and {len(scores):,} scores")
        joins = [
            (token[:at], token[at:])
            for token in tokens
            for at in range(1, len(token))
            if token[:at] in ids and token[at:] in ids
        ]
        merges = sorted(joins, key=lambda pair: (-scores[ids["".join(pair)]], -len(pair[0]), -len(pair[1])))
        unknown = self.named("unknown")
        core = Tokenizer(models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
        has_prefix = self.values.get("tokenizer.ggml.add_space_prefix", True)
        prefix = [normalizers.Prepend("▁")] if has_prefix else []
        core.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
        strip = [decoders.Strip(" ", 1, 0)] if has_prefix else []
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
        return core

    def _add_tokens(self, core: Any, tokens: list[str]) -> None:
        """The tokens that are matched whole in text: control tokens, and those that the model's authors added."""
        from tokenizers import AddedToken

        types = self._list("token_type", int) if "tokenizer.ggml.token_type" in self.values else []
        if types and len(types) != len(tokens):
            raise self._corrupt(f"it has {len(tokens):,} tokens and {len(types):,} types of tokens")
        core.add_tokens(
            [
                AddedToken(token, special=kind != _USER_DEFINED, normalized=False)
                for token, kind in zip(tokens, types, strict=False)
                if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) and token
            ]
        )

    def _list(self, key: str, kind: type) -> list[Any]:
        value = self.values.get(f"tokenizer.ggml.{key}")
        if not isinstance(value, list) or not all(isinstance(element, kind) for element in value):
            raise self._corrupt(f"tokenizer.ggml.{key} is not there, or not a list of {kind.__name__}")
        return value

    def _unknown(self, key: str, value: object) -> UnsupportedTokenizerError:
        named = (self.values.get(key) for key in _MADE_FROM)
        base = next((text for text in named if isinstance(text, str) and text), None)
        hint = "Load the model that it was made from" + (f": {quoted(base, 120)}." if base else ".")
        return UnsupportedTokenizerError(
            f"The header of {self.file} of {self.files.name!r} has {quoted(value, 80)} as {key}, and how such a model "
            f"cuts its text is not known here. {hint}"
        )

    def _corrupt(self, what: str) -> CorruptFileError:
        return _corrupt(self.files, self.file, what)


def _corrupt(files: FilesOf, file: str, what: str) -> CorruptFileError:
    return CorruptFileError(
        f"The header of {file} of {files.name!r} cannot be read: {what}. Fetch it again, or convert the model again."
    )


GGUF = Encoder(name="gguf", title="GGUF header", reads=_reads, load=_load)
