"""How a model's chats become ids, where that is something else than a Jinja template and a tokenizer.json.

In: the files of a repository. Out: a tokenizer that knows its characters, the chat template, and what the vendor's own
library would write. One file per family; a repository is recognised by the files that it holds. Nothing of it is run.
May import: `errors`, `conversation`, `model.tokenizer`.
"""

from __future__ import annotations

from inspector.model.encoders.encoder import JINJA, Encoder, FilesOf
from inspector.model.encoders.gguf import GGUF
from inspector.model.encoders.kimi import KIMI
from inspector.model.encoders.tekken import TEKKEN

__all__ = ["ENCODERS", "JINJA", "Encoder", "FilesOf", "encoder_of"]

ENCODERS = (TEKKEN, KIMI, GGUF)
"""Those beside Jinja, in the order in which they are asked."""


def encoder_of(files: FilesOf) -> Encoder:
    """The encoder of a repository that holds these files."""
    return next((encoder for encoder in ENCODERS if encoder.reads(files.names)), JINJA)
