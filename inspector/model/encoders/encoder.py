"""The type of encoders: how one is recognised, what it loads, and whether message text can become a control token."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from inspector.conversation import Conversation
from inspector.errors import UnsupportedTokenizerError
from inspector.model.tokenizer import Tokenizer
from inspector.paths import install_command


class Stream(Protocol):
    """A source of bytes, in order."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer only at the end."""
        ...


class FilesOf(Protocol):
    """The files of a model: `inspector.model.place.Place`."""

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        ...

    @property
    def names(self) -> Collection[str]:
        """The names of its files."""
        ...

    def fetch(self, file: str, /) -> Path | None:
        """The path of a file; None if there is no such file."""
        ...

    def opened(self, file: str, /) -> AbstractContextManager[Stream]:
        """A file as a stream; only the bytes that are read are fetched."""
        ...


Loaded = tuple[Any, dict[str, str]]
"""A tokenizer and the model's own templates by name."""


def _no_files(names: Collection[str]) -> bool:
    return False


def _nothing(files: FilesOf) -> Loaded:
    raise NotImplementedError(files.name)


def _as_it_is(tokenizer: Tokenizer, conversation: Conversation) -> Conversation:
    return conversation


def _no_opinion(tokenizer: Tokenizer, conversation: Conversation) -> Sequence[int] | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """Encodes the chats of a family of models.

    `name`: its name in `to_dict`; `title`: its name on the page. `reads`: whether it fits a repository with files of
    these names. `load`: the tokenizer and the templates; raises a ModelError. `prepared`: a conversation as it is
    passed to the template. `text_becomes_control`: whether a control token in a message's text is encoded as that
    token; if not, only the template writes control tokens. `official`: the ids that the vendor's library gives a
    conversation, None if it is not installed or refuses the conversation; `library`: the name of its package.
    `template`: the Jinja template that replaces the vendor's code; trainers do not find it with the model.
    """

    name: str
    title: str
    reads: Callable[[Collection[str]], bool] = _no_files
    load: Callable[[FilesOf], Loaded] = _nothing
    prepared: Callable[[Tokenizer, Conversation], Conversation] = _as_it_is
    text_becomes_control: bool = True
    official: Callable[[Tokenizer, Conversation], Sequence[int] | None] = _no_opinion
    library: str = ""
    template: str = field(default="", repr=False)

    @property
    def has_opinion(self) -> bool:
        """Whether the vendor's library is installed."""
        return bool(self.library) and find_spec(self.library.replace("-", "_")) is not None

    def __reduce__(self) -> Any:
        """Pickle by name: an encoder is a constant."""
        return _named, (self.name,)


def _named(name: str) -> Encoder:
    from inspector.model.encoders import ENCODERS

    return ENCODERS[name]


JINJA = Encoder(name="jinja", title="Chat template")
"""The plain encoder: a Jinja template writes text, and the tokenizer encodes it whole."""


def needs(package: str, files: FilesOf, what: str) -> UnsupportedTokenizerError:
    """The error for a missing package. `what`: the reason it is needed, as a clause."""
    how = install_command("models", package)
    return UnsupportedTokenizerError(f"{files.name!r} {what}, which needs {package}: {how}")
