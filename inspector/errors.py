"""Everything that can go wrong in the inspector, as one tree.

Each leaf is also the standard-library exception a caller would expect, and each message says what happened, where
(message index, template line, file), and what to do.

InspectorError
├── ConversationError (ValueError)            the conversation is not one; names the message and the field
├── FormatError (ValueError)                  the rows of a data set, or one row, have a different layout
├── ImageError (ValueError)                   an image of a row cannot be read, or the processor refuses it
├── DataError (ValueError)                    a data set cannot be read; names the file and the row
├── ReportError (ValueError)                  an audit report cannot be read, or merged with this one
├── BatchError (ValueError)                   rows that no collator could make a batch of
├── CheckError (ValueError)                   what a trainer trains cannot be read off its batches
│   └── WrongTrainingError                    it was read, and it is wrong: a run that must not start
├── InputFileError (ValueError)               a file given on the command line cannot be used
├── SetupError (ValueError)                   what to inspect is described with fields that do not exist
├── RemedyError (ValueError)                  no such remedy, or it cannot do anything here
├── GalleryError (LookupError)                there is no example of that name
├── ExportError (ValueError)                  no such trainer to export for, or rows that cannot be written
├── LogError (ValueError)                     a pasted log contains nothing to decode
├── StrategyError (ValueError)                no such strategy, or an option it does not have
│   └── StrategyRefusedError                  the trainer itself would refuse this conversation or template
├── ModelError                                a model could not be loaded
│   ├── ModelNameError (ValueError)           neither a hub id, a folder, nor the embedded model
│   ├── RepoNotFoundError (LookupError)       the hub knows no such repository
│   ├── GatedRepoError (PermissionError)      access must be granted first
│   ├── AccessTokenError (PermissionError)    the access token is malformed, expired or revoked
│   ├── RevisionNotFoundError (LookupError)   the repository has no such branch, tag or commit
│   ├── NoTokenizerError (FileNotFoundError)  there are no tokenizer files
│   ├── RemoteCodeError (PermissionError)     the tokenizer is Python code in the repository; it is never run
│   ├── UnsupportedTokenizerError (NotImplementedError)  it encodes chats itself, or needs a package that is missing
│   ├── NoTemplateError (LookupError)         there is no chat template, or none of that name
│   ├── SpecialTokensError (ValueError)       special tokens asked for that no tokenizer has
│   ├── OfflineError (ConnectionError)        the hub cannot be reached and the files are not cached
│   └── CorruptFileError (ValueError)         a file is there and cannot be read
├── RenderError                               the chat template gave no text; `line` is its line where known
│   ├── TemplateSyntaxError (ValueError)      the template does not compile
│   ├── TemplateRefusedError (ValueError)     the template itself refused the conversation (raise_exception)
│   ├── TemplateFailedError (RuntimeError)    the template broke while rendering
│   ├── TemplateForbiddenError (PermissionError)  the template reached for something the sandbox withholds
│   ├── TemplateTimeoutError (TimeoutError)   it ran out of time and was stopped
│   ├── TemplateMemoryError (MemoryError)     it ran out of memory and was stopped
│   ├── TemplateTooLargeError (ValueError)    the input or the rendered text is over the limit
│   └── SandboxError (RuntimeError)           the process that renders templates could not be started
├── TraceError (RuntimeError)                 the traced render differs from the one transformers makes
└── TokenizationError (ValueError)            the text and its tokens cannot be aligned
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice


def short(text: str, limit: int = 60) -> str:
    """A text for an error or a finding: the first `limit` characters, with a mark if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str, limit: int) -> str:
    """As `short`, with every stretch of whitespace as one space."""
    return short(" ".join(text.split()), limit)


def printable(text: str) -> str:
    """The text in one line; characters that are not printable are shown by their code."""
    return "".join(
        c if c.isprintable() else "⏎" if c == "\n" else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
        for c in text
    )


def quoted(value: object, limit: int = 60) -> str:
    """A value for an error, as Python writes it, and no longer than `limit` characters."""
    return short(repr(value), limit)


def listed(names: Iterable[object], most: int = 20) -> str:
    """The names in quotes, for an error: the first `most`, with a mark if there are more."""
    first = [quoted(name) for name in islice(names, most + 1)]
    return ", ".join(first[:most]) + (", ..." if len(first) > most else "")


def kind_of(value: object) -> str:
    """The kind of a value in words: `null`, `true or false`, `a number`, `text`, `a list`, `an object`, or its type."""
    kinds = (
        (type(None), "null"),
        (bool, "true or false"),
        (int | float, "a number"),
        (str, "text"),
        (list | tuple, "a list"),
        (Mapping, "an object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), f"a value of type {type(value).__name__}")


def excerpt(text: str, start: int, size: int = 20) -> str:
    """The text from `start` on, in ASCII, with a mark if it continues."""
    return ascii(text[start : start + size]) + ("…" if len(text) > start + size else "")


class InspectorError(Exception):
    """Root of every error the inspector raises on purpose."""


class ConversationError(InspectorError, ValueError):
    """The conversation is not one; the message names the message index and the field."""


class FormatError(InspectorError, ValueError):
    """The rows of a data set, or one row, do not have the expected layout."""


class ImageError(InspectorError, ValueError):
    """An image of a row cannot be read, or the model's processor refuses it."""


class DataError(InspectorError, ValueError):
    """A data set cannot be read; the message names the file and the row."""


class ReportError(InspectorError, ValueError):
    """An audit report cannot be read, or cannot be merged with another one."""


class BatchError(InspectorError, ValueError):
    """No collator could make a batch of these rows, or the settings make no sense."""


class CheckError(InspectorError, ValueError):
    """What a trainer trains cannot be read off its batches, or what was given is neither trainer, loader nor rows."""


class WrongTrainingError(CheckError):
    """A checked run trains something else than was meant; the message is the report."""


class InputFileError(InspectorError, ValueError):
    """A file given on the command line cannot be used."""


class SetupError(InspectorError, ValueError):
    """A setup has fields that do not exist, or values of the wrong kind."""


class RemedyError(InspectorError, ValueError):
    """There is no such remedy, or it cannot do anything here."""


class GalleryError(InspectorError, LookupError):
    """There is no example of that name."""


class ExportError(InspectorError, ValueError):
    """There is no such trainer to export for, or labelled rows cannot be written to a file."""


class LogError(InspectorError, ValueError):
    """A pasted log contains nothing to decode."""


class StrategyError(InspectorError, ValueError):
    """No such strategy, or an option it does not have."""


class StrategyRefusedError(StrategyError):
    """The trainer whose rule is reproduced would refuse this conversation, template or tokenizer, and why."""


class ModelError(InspectorError):
    """A model could not be loaded."""


class ModelNameError(ModelError, ValueError):
    """The name is neither a hub id, a folder, nor the embedded model."""


class RepoNotFoundError(ModelError, LookupError):
    """The hub knows no such repository, or hides it."""


class GatedRepoError(ModelError, PermissionError):
    """The repository exists and access to it must be granted first."""


class AccessTokenError(ModelError, PermissionError):
    """The access token is malformed, expired or revoked; the message never shows it."""


class RevisionNotFoundError(ModelError, LookupError):
    """The repository has no such branch, tag or commit."""


class NoTokenizerError(ModelError, FileNotFoundError):
    """There are no tokenizer files to load."""


class RemoteCodeError(ModelError, PermissionError):
    """The tokenizer is Python code in the repository, which is never run."""


class UnsupportedTokenizerError(ModelError, NotImplementedError):
    """The tokenizer encodes chats itself instead of rendering a chat template, or needs a package that is missing."""


class NoTemplateError(ModelError, LookupError):
    """There is no chat template, or none of that name."""


class SpecialTokensError(ModelError, ValueError):
    """Unknown names of special tokens, or values that are not text."""


class OfflineError(ModelError, ConnectionError):
    """The hub cannot be reached and the files are not in the cache."""


class CorruptFileError(ModelError, ValueError):
    """A file exists and cannot be read."""


class RenderError(InspectorError):
    """The chat template gave no text. `line`: the template line (from 1) that caused it, or None if unknown."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class TemplateSyntaxError(RenderError, ValueError):
    """The template does not compile."""


class TemplateRefusedError(RenderError, ValueError):
    """The template called `raise_exception`. `template_message`: its message, word for word."""

    def __init__(self, message: str, *, line: int | None = None, template_message: str = "") -> None:
        super().__init__(message, line=line)
        self.template_message = template_message


class TemplateFailedError(RenderError, RuntimeError):
    """The template broke while rendering: an undefined value, a wrong type, endless recursion.

    `finding`: the reason, if it could be shown.
    """

    finding: object = None


class TemplateForbiddenError(RenderError, PermissionError):
    """The template used something that the sandbox withholds."""


class TemplateTimeoutError(RenderError, TimeoutError):
    """The template ran out of time; its process was stopped."""


class TemplateMemoryError(RenderError, MemoryError):
    """The template ran out of memory; its process was stopped."""


class TemplateTooLargeError(RenderError, ValueError):
    """The input of the render or its output is over the limit."""


class SandboxError(RenderError, RuntimeError):
    """The process that renders templates could not be started: the machine is to blame, not the template."""


class TraceError(InspectorError, RuntimeError):
    """The traced render differs from that of transformers, so the origins of its characters are unknown."""


class TokenizationError(InspectorError, ValueError):
    """The text and its tokens cannot be aligned."""
