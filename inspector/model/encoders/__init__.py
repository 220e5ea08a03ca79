"""Turns chats into ids for models that need more than a Jinja template and a tokenizer.json.

In: the files of a repository. Out: a tokenizer that knows its characters, the chat template, and the ids of the
vendor's library. One file per family; a repository is recognised by its files. No code of a repository is run. May
import: `errors`, `conversation`, `model.tokenizer`.
"""

from __future__ import annotations

from inspector.model.encoders.deepseek import DEEPSEEK, known_code
from inspector.model.encoders.encoder import JINJA, Encoder, FilesOf
from inspector.model.encoders.gguf import GGUF
from inspector.model.encoders.harmony import HARMONY, speaks_harmony
from inspector.model.encoders.kimi import KIMI
from inspector.model.encoders.tekken import TEKKEN
from inspector.model.tokenizer import Tokenizer

__all__ = ["ENCODERS", "JINJA", "Encoder", "FilesOf", "encoder_of", "encoder_with", "known_code", "opinion_on"]

ENCODERS = {encoder.name: encoder for encoder in (TEKKEN, KIMI, GGUF, *DEEPSEEK, HARMONY, JINJA)}
"""The encoders by name, in the order in which they are tried."""


def encoder_of(files: FilesOf) -> Encoder:
    """The encoder that loads a repository with these files."""
    return next((encoder for encoder in ENCODERS.values() if encoder.reads(files.names)), JINJA)


def opinion_on(tokenizer: Tokenizer) -> Encoder:
    """The encoder of a tokenizer that transformers loaded: the plain one, or one with a vendor's library."""
    return HARMONY if speaks_harmony(tokenizer) else JINJA


def encoder_with(template: str, encoder: Encoder) -> Encoder:
    """The encoder of a model with this template: only the template that replaces a vendor's code has the vendor's."""
    standing = next((known for known in DEEPSEEK if known.template == template), None)
    return standing or (JINJA if encoder.template else encoder)
