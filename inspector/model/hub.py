"""A model's name -> Model: the very tokenizer object a trainer would load, and the chat template it would render with.

A name means, in this order: a model that comes with the package, such as `tiny-chat`; a folder, when one of that name
exists (transformers decides so too), or a .gguf file; a hub id such as `owner/name`. A name that starts with `.`, `/`
or `~` always means a folder or such a file. Hub models are pinned to a commit first and only tokenizer files are
fetched, never weights (of a .gguf file only the header). If the hub is unreachable the commit in the local cache is
used, but only for this machine's account. The last four loaded tokenizers are kept, shared and never changed.

Refused are URLs, tokenizers that are Python code in the repository, tokenizers whose chats are encoded by unknown code,
and models without a template unless one is chosen. Importing this file imports neither transformers nor torch.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from inspector.errors import CorruptFileError, ModelError, NoTemplateError, UnsupportedTokenizerError
from inspector.model.encoders import JINJA, Encoder, encoder_of, encoder_with, known_code, opinion_on
from inspector.model.failures import has_vocabulary, is_panic, no_tokenizer
from inspector.model.model import BUILT_IN_TEMPLATES, Alternative, Model, Source, Token, choose_template
from inspector.model.place import EMBEDDED, Place, locate
from inspector.model.processor import Processor, has_processor
from inspector.model.tokenizer import Tokenizer

__all__ = ["BUILT_IN_TEMPLATES", "EMBEDDED", "Model", "Source", "Token", "load", "model_of"]

CACHED_MODELS = 4  # a loaded tokenizer takes 30-100 MB


def load(name: str, *, revision: str | None = None, template: str | None = None, token: Token = None) -> Model:
    """Load the tokenizer and chat template of `name`; see the module's docstring for what a name means.

    `template`: the name of one of the model's templates or of a built-in one, or Jinja source. `token`: a hub access
    token; None uses the token that this machine is logged in with, False uses none. A server passes its visitor's token
    or False, never None.

    Raises:
        ModelError: one of its leaves (see inspector.errors); the message says what to do and never shows the token.
    """
    place = locate(name, revision, token)
    loaded = _LOADED.get(place.key, lambda: _build(place))
    tokenizer, templates = loaded.tokenizer, loaded.templates
    if template is None and not templates and (codes := place.python_encoders):
        raise _unknown_code(place, codes[0])
    template_name, source = choose_template(place.name, templates, template)
    return Model(
        name=place.name, revision=place.commit, source=place.source, tokenizer=tokenizer, templates=templates,
        template=source, template_name=template_name, template_is_chosen=template is not None,
        is_fast=bool(tokenizer.is_fast), encoder=encoder_with(source, loaded.encoder), alternative=loaded.alternative,
        embeddings=loaded.embeddings, processor=loaded.processor,
    )  # fmt: skip


def model_of(tokenizer: Any, *, template: str | None = None, embeddings: int | None = None) -> Model:
    """The model of a tokenizer that is loaded already, or of a processor that has one; it is shared, not copied.

    `template`: as for `load`. `embeddings`: the rows of the model's embedding, where they are known. Raises
    UnsupportedTokenizerError, CorruptFileError, or NoTemplateError.
    """
    from transformers import PreTrainedTokenizerBase

    processor, tokenizer = tokenizer, getattr(tokenizer, "tokenizer", tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise UnsupportedTokenizerError(
            f"{type(tokenizer).__name__} is not a tokenizer of transformers: its characters cannot be traced."
        )
    name = str(tokenizer.name_or_path or type(tokenizer).__name__)
    _refuse_own_encoding(tokenizer, name)
    own = getattr(processor, "chat_template", None) or tokenizer.chat_template
    templates = _checked_templates(own, f"The tokenizer of {name!r}")
    template_name, source = choose_template(name, templates, template)
    return Model(
        name=name, revision=None, source=Source.LOADED, tokenizer=tokenizer, templates=templates, template=source,
        template_name=template_name, template_is_chosen=template is not None, is_fast=bool(tokenizer.is_fast),
        encoder=encoder_with(source, opinion_on(tokenizer)), embeddings=embeddings,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built:
    """The parts of a Model that are loaded once for the same files."""

    tokenizer: Any
    templates: dict[str, str]
    encoder: Encoder
    alternative: Alternative | None = None
    embeddings: int | None = None
    processor: Processor | None = None


def _build(place: Place) -> _Built:
    """Load the parts of a model from the files of `place`."""
    encoder = encoder_of(place)
    if encoder is not JINJA:
        tokenizer, templates = encoder.load(place)
        return _Built(
            tokenizer=tokenizer, templates=templates, encoder=encoder, embeddings=_embeddings(place),
            processor=_processor(place, tokenizer),
        )  # fmt: skip
    if place.files and not has_vocabulary(place.files) and "tokenizer_config.json" not in place.files:
        raise no_tokenizer(place.name, place.files, _base_model(place))
    _refuse_tiktoken(place)
    tokenizer = _auto_tokenizer(place)
    templates, encoder = _own_templates(tokenizer, place), opinion_on(tokenizer)
    codes = [] if templates else place.python_encoders
    if known := next(filter(None, (known_code(place.fetch(code)) for code in codes)), None):
        templates, encoder = {"default": known.template}, known
    return _Built(
        tokenizer=tokenizer, templates=templates, encoder=encoder, alternative=_alternative(place, tokenizer),
        embeddings=_embeddings(place), processor=_processor(place, tokenizer),
    )  # fmt: skip


def _processor(place: Place, tokenizer: Tokenizer) -> Processor | None:
    """The processor that puts images into the model's texts, if there is one."""
    return Processor(place, tokenizer) if has_processor(place) else None


def _embeddings(place: Place) -> int | None:
    """The number of rows of the embedding, from config.json."""
    config = place.json("config.json") or {}
    text = config.get("text_config")
    counts = (one.get("vocab_size") for one in (text, config) if isinstance(one, dict))
    return next((count for count in counts if isinstance(count, int)), None)


def _alternative(place: Place, tokenizer: Any) -> Alternative | None:
    """The tokenizer loaded in the other way, if transformers warned: with Mistral's newer pattern, or as Llama's.

    Also None if it does not load in that way.

    transformers records the first warning at the backend, in `fix_mistral_regex`. It gives the second warning if
    tokenizer_config.json names Llama's class and the vocabulary is byte-level, and then uses another class.
    """
    with suppress(ModelError):
        if tokenizer.is_fast and getattr(tokenizer.backend_tokenizer, "fix_mistral_regex", None) is False:
            other = _auto_tokenizer(place, fix_mistral_regex=True)
            return Alternative(setting="fix_mistral_regex=True", tokenizer=other)
        declared = str((place.json("tokenizer_config.json") or {}).get("tokenizer_class"))
        if declared.removesuffix("Fast") == "LlamaTokenizer" and type(tokenizer).__name__ == "TokenizersBackend":
            from transformers import LlamaTokenizer

            other = _auto_tokenizer(place, by=LlamaTokenizer)
            return Alternative(setting="LlamaTokenizer, the class that tokenizer_config.json names", tokenizer=other)
    return None


def _auto_tokenizer(place: Place, by: Any = None, **settings: Any) -> Any:
    """The tokenizer that transformers, and so every trainer, loads. `by`: the class to load it with, if known."""
    from transformers import AutoTokenizer

    try:
        # Without trust_remote_code transformers would ask a question on stdin.
        tokenizer = (by or AutoTokenizer).from_pretrained(
            place.path,
            revision=place.commit,
            token=place.token,
            trust_remote_code=False,
            local_files_only=place.offline,
            # with mistral-common installed it would be preferred to the tokenizer.json next to it
            **({"mistral_format": False} if {"tekken.json", "tokenizer.json"} <= set(place.names) else {}),
            **settings,
        )
    except BaseException as error:  # the tokenizers library raises nothing more precise, and panics
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise place.explained(error) from None
    kind = type(tokenizer)
    # Without a vocabulary some classes load all the same, with three tokens in all.
    if kind.vocab_files_names and not has_vocabulary(place.fetched, kind.vocab_files_names.values()):
        raise no_tokenizer(place.name, place.names, None)
    _refuse_own_encoding(tokenizer, place.name)
    return tokenizer


def _refuse_own_encoding(tokenizer: Any, name: str) -> None:
    """Raise UnsupportedTokenizerError for a tokenizer that renders no chat template."""
    from transformers import PreTrainedTokenizerBase

    kind = type(tokenizer)
    if kind.apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template:
        raise UnsupportedTokenizerError(
            f"{name!r} loads as {kind.__name__}, which encodes chats with code of its own instead of rendering a "
            "chat template, so its characters cannot be traced. Use a repository with a Jinja chat template."
        )


def _unknown_code(place: Place, code: str) -> NoTemplateError:
    path = place.fetch(code)
    digest = hashlib.sha256(path.read_bytes() if path else b"").hexdigest()[:12]
    return NoTemplateError(
        f"{place.name!r} has no chat template: Python code in the repository ({code}) encodes its chats, and code of "
        f"a repository is never run here. Its sha256 begins with {digest}; the rules of that code are not known here. "
        "Give a Jinja template that writes what that code writes, such as that of a converted repository; a built-in "
        "template would train other tokens than the model knows."
    )


def _refuse_tiktoken(place: Place) -> None:
    """Raise UnsupportedTokenizerError for a vocabulary in tiktoken's format alone.

    No data file says how its text is split before merging: transformers uses one pattern for all, and if the model has
    another (Kimi splits Chinese off) the ids are silently wrong.
    """
    files = place.names
    found = [file for file in files if file.endswith((".tiktoken", "tiktoken.model"))]
    if found and "tokenizer.json" not in files:
        raise UnsupportedTokenizerError(
            f"{place.name!r} has its vocabulary in {found[0]} alone, and how text is cut before merging is code in the "
            "repository, which is never run here. transformers would use its own pattern, and the ids could be "
            "wrong. Use a repository with a tokenizer.json, such as a converted one."
        )


def _own_templates(tokenizer: Tokenizer, place: Place) -> dict[str, str]:
    own, file = tokenizer.chat_template, "tokenizer_config.json"
    if own is None:  # a multimodal model saved before chat_template.jinja existed has it next to its processor
        own, file = (place.json("chat_template.json") or {}).get("chat_template"), "chat_template.json"
    return _checked_templates(own, f"{file} of {place.name!r}")


def _checked_templates(own: Any, where: str) -> dict[str, str]:
    """The templates by name; a single one is called "default"."""
    templates = own if isinstance(own, dict) else {} if own is None else {"default": own}
    if not all(isinstance(text, str) for text in (*templates, *templates.values())):
        raise CorruptFileError(f"{where} has a chat template that is not text. Correct it.")
    return dict(templates)


def _base_model(place: Place) -> str | None:
    """Return the base model of an adapter repository, or None if it is not an adapter."""
    base = (place.json("adapter_config.json") or {}).get("base_model_name_or_path")
    return base[:200] if isinstance(base, str) else None


class _Cache:
    """The last few loaded tokenizers. The first caller loads one; other callers wait meanwhile."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, Future[_Built]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], _Built]) -> _Built:
        with self._lock:
            entry = self._entries.get(key)
            is_first = entry is None
            if entry is None:
                entry = self._entries[key] = Future()
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        if is_first:
            self._fill(key, entry, build)
        return entry.result()

    def _fill(self, key: Hashable, entry: Future[Any], build: Callable[[], Any]) -> None:
        try:
            entry.set_result(build())
        except BaseException as error:
            with self._lock:
                self._entries.pop(key, None)
            entry.set_exception(error)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


_LOADED = _Cache(CACHED_MODELS)
