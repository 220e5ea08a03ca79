"""What an encoder is: how it is recognised, what it loads, and whether message text can become a control token."""

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
    """Where bytes come from, one after another."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer only where there are no more."""
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
        """The path of a file; None where there is none."""
        ...

    def opened(self, file: str, /) -> AbstractContextManager[Stream]:
        """A file as a stream, of which no more is fetched than is read."""
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
    """How the chats of a family of models become ids.

    `name`: in `to_dict`; `title`: on the page. `reads`: whether it is the one for a repository with files of these
    names. `load`: the tokenizer and the templates; raises a ModelError. `prepared`: a conversation as the template is
    given it. `text_becomes_control`: whether a control token that stands in a message's text is encoded as that
    token; where not, only the template writes those.
    `official`: the ids that the vendor's own library gives a conversation, None where it is not installed or does not
    take it; `library`: the name of its package. `template`: the Jinja template that stands for the vendor's code, which
    trainers do not find with the model.
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
        """Whether the vendor's own library is installed."""
        return bool(self.library) and find_spec(self.library.replace("-", "_")) is not None

    def __reduce__(self) -> Any:
        """By name: an encoder is a constant."""
        return _named, (self.name,)


def _named(name: str) -> Encoder:
    from inspector.model.encoders import ENCODERS

    return ENCODERS[name]


JINJA = Encoder(name="jinja", title="Chat template")
"""A Jinja template, whose text the tokenizer reads whole."""


def needs(package: str, files: FilesOf, what: str) -> UnsupportedTokenizerError:
    """The error for a package that has to be installed first. `what`: what it is needed for, as a clause."""
    how = install_command("models", package)
    return UnsupportedTokenizerError(f"{files.name!r} {what}, which needs {package}: {how}")
