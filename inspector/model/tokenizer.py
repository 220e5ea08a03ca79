"""The protocol of a tokenizer for the rest of the code; transformers' tokenizers satisfy it unchanged.

An encoder of another kind can be used if it has these members. Callers use `ids_alone` and `text_of`; only these two
pass the switches by which transformers adds tokens or cleans up text.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary


class Tokenizer(Protocol):
    """Text to ids and back, with the members that a template and a trainer need.

    `special_tokens_map`: the names that a template reads (`bos_token`, ...). `init_kwargs`: the settings of
    tokenizer_config.json. `added_tokens_decoder`: id -> token, for those matched whole before the rest is split.
    `backend_tokenizer`: the `tokenizers` object, if `is_fast`.
    """

    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    unk_token_id: int | None
    truncation_side: str
    name_or_path: str
    chat_template: Any
    init_kwargs: dict[str, Any]

    @property
    def is_fast(self) -> bool:
        """Whether it reports which characters each token covers."""
        ...

    @property
    def special_tokens_map(self) -> Mapping[str, Any]:
        """The special tokens by name."""
        ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]:
        """The added tokens by id."""
        ...

    @property
    def all_special_ids(self) -> Sequence[int]:
        """The ids of all special tokens."""
        ...

    @property
    def backend_tokenizer(self) -> Any:
        """The `tokenizers` object of a fast tokenizer."""
        ...

    def __len__(self) -> int:
        """The size of the vocabulary, added tokens included."""
        ...

    def __call__(self, text: Any, **switches: Any) -> Any:
        """Encode: a mapping with `input_ids`, and with `offset_mapping` if it is requested and `is_fast`."""
        ...

    def decode(self, token_ids: Any, **switches: Any) -> Any:
        """The text of ids."""
        ...

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The vocabulary's entry of an id, or of each."""
        ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a vocabulary's entry, or of each."""
        ...

    def get_vocab(self) -> Mapping[str, int]:
        """The vocabulary's entries with their ids, added tokens included."""
        ...

    def save_pretrained(self, save_directory: str) -> Any:
        """Write its files into a folder."""
        ...

    def add_special_tokens(self, special_tokens_dict: Any) -> int:
        """Name special tokens; returns how many are new."""
        ...

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens; returns how many are new."""
        ...


_Made = TypeVar("_Made")


def once_per_tokenizer(make: Callable[[Tokenizer], _Made]) -> Callable[[Tokenizer], _Made]:
    """Cache a function's result for a tokenizer while the tokenizer lives and its number of tokens is the same."""
    made: WeakKeyDictionary[Any, tuple[int, _Made]] = WeakKeyDictionary()
    lock = threading.Lock()

    @wraps(make)
    def kept(tokenizer: Tokenizer) -> _Made:
        with lock:
            entry = made.get(tokenizer)
            if entry is None or entry[0] != len(tokenizer):
                entry = made[tokenizer] = len(tokenizer), make(tokenizer)
            return entry[1]

    return kept


def ids_alone(tokenizer: Tokenizer, text: str) -> list[int]:
    """The ids of a text alone, without the tokens that the tokenizer adds around it."""
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def text_of(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of ids, with its spaces as they are."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
