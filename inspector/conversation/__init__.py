"""A conversation in the one shape that everything else takes.

In: messages, or an object with `messages` and what the template is given with them. Out: a Conversation, the changes
that made it, and the names of a message's fields. May import: `files`, `errors`.
"""

from inspector.conversation.chat import Conversation
from inspector.conversation.checks import MAX_DEPTH, MAX_NUMBER_BITS, PREFILL, RESERVED_KEYWORDS
from inspector.conversation.labelled import IGNORED, LabelledIds, Segment
from inspector.conversation.messages import (
    IMAGE_COLUMNS,
    MEDIA,
    PART_FLAGS,
    REASONING_FIELDS,
    TEXT_ROLE,
    TRAIN_FLAGS,
    JsonValue,
    Message,
    is_flagged,
    is_media,
    string_fields,
    with_image_texts,
    words_of,
)
from inspector.conversation.steps import Change, Step

__all__ = [
    "IGNORED",
    "IMAGE_COLUMNS",
    "MAX_DEPTH",
    "MAX_NUMBER_BITS",
    "MEDIA",
    "PART_FLAGS",
    "PREFILL",
    "REASONING_FIELDS",
    "RESERVED_KEYWORDS",
    "TEXT_ROLE",
    "TRAIN_FLAGS",
    "Change",
    "Conversation",
    "JsonValue",
    "LabelledIds",
    "Message",
    "Segment",
    "Step",
    "is_flagged",
    "is_media",
    "string_fields",
    "with_image_texts",
    "words_of",
]
