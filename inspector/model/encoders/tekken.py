"""Mistral's tekken.json without a tokenizer.json: Small 3, Devstral, Magistral, Ministral, Pixtral, Voxtral.

Mistral encodes chats in mistral-common: each piece of text by itself, control tokens by their ids. transformers reads
the vocabulary into a fast tokenizer, and mistral-common writes the Jinja template of the same version; with control
tokens only where the template writes them, the ids are mistral-common's.
Source: mistral-common 1.13 (`instruct.py`, `tekken.py`, `chat_templates`), transformers 5.23 (`integrations/mistral`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from inspector.conversation import Conversation
from inspector.errors import CorruptFileError, short
from inspector.model.encoders.encoder import Encoder, FilesOf, Loaded, needs
from inspector.model.failures import is_panic, unreadable
from inspector.model.tokenizer import Tokenizer, once_per_tokenizer

FILE = "tekken.json"
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
LIBRARY = "mistral-common"
MAX_TOKENS = 2_000_000
"""Maximum number of tokens that a file may declare: the libraries make as many control tokens as it declares."""


def _reads(names: Collection[str]) -> bool:
    return FILE in names and "tokenizer.json" not in names


def _load(files: FilesOf) -> Loaded:
    from transformers.integrations.mistral.tokenizer import convert_tekken_tokenizer

    path = files.fetch(FILE)
    assert path is not None
    _check(files, path)
    own = next((found for name in _TEMPLATES if name in files.names and (found := files.fetch(name))), None)
    # transformers has its own rule for other files it finds; otherwise it silently asks mistral-common
    template = None if own else _generated(files, path)
    try:
        tokenizer = convert_tekken_tokenizer(str(path), chat_template=template)
    except ImportError:
        raise needs(LIBRARY, files, f"has a {FILE} of the first version") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _corrupt(files, error) from None
    tokenizer.name_or_path = files.name
    return tokenizer, {"default": tokenizer.chat_template}


def _check(files: FilesOf, path: Path) -> None:
    """Raise CorruptFileError for a file of another kind, and for sizes that the libraries would trust."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _corrupt(files, error) from None
    config, vocab = (value.get(key) if isinstance(value, dict) else None for key in ("config", "vocab"))
    if not isinstance(config, dict) or not isinstance(vocab, list):
        raise unreadable(files.name, FILE, 'it is not an object with a "config" and a list "vocab"')
    for name, count in config.items():
        if isinstance(count, int | float) and not 0 <= count <= MAX_TOKENS:
            raise _corrupt(files, ValueError(f"{name} is {short(str(count), 40)}, and up to {MAX_TOKENS:,} are read"))


def _generated(files: FilesOf, path: Path) -> str:
    """The chat template that mistral-common writes for the version and the abilities named in the file."""
    try:
        from mistral_common.integrations.chat_templates.chat_templates import convert_tokenizer_to_chat_template
    except ImportError:
        raise needs(LIBRARY, files, "encodes its chats with Mistral's own library") from None
    try:
        return str(convert_tokenizer_to_chat_template(str(path)))
    except Exception as error:  # errors of pydantic, of the library, and any that a damaged file causes
        raise _corrupt(files, error) from None


def _corrupt(files: FilesOf, error: Exception) -> CorruptFileError:
    text = f"{type(error).__name__}: {error}".replace(str(files.fetch(FILE)), FILE)  # no path of this machine
    what = short(text.splitlines()[0], 300)
    return unreadable(files.name, FILE, what)


def _official(tokenizer: Tokenizer, conversation: Conversation) -> Sequence[int] | None:
    try:
        from mistral_common.protocol.instruct.request import ChatCompletionRequest
    except ImportError:
        return None
    request: Any = ChatCompletionRequest
    row = conversation.to_json()
    try:
        chat = request.from_openai(messages=row["messages"], tools=row.get("tools"))
        return list(_encoder(tokenizer).encode_chat_completion(chat).tokens)
    except BaseException as error:  # it has no opinion on anything it refuses; tiktoken may also panic
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        return None


@once_per_tokenizer
def _encoder(tokenizer: Tokenizer) -> Any:
    from mistral_common.protocol.instruct.validator import ValidationMode
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    return MistralTokenizer.from_file(str(tokenizer.init_kwargs.get("vocab_file")), mode=ValidationMode.finetuning)


TEKKEN = Encoder(
    name="tekken", title="Mistral's tekken", reads=_reads, load=_load, text_becomes_control=False, official=_official,
    library=LIBRARY,
)  # fmt: skip
