"""A conversation in the one shape that everything else takes.

In: messages, or an object with `messages` and what the template is given with them. Out: a Conversation, the changes
that made it, and the names of a message's fields. May import: `files`, `errors`.
"""

from inspector.conversation.chat import (
    IGNORED,
    IMAGE_COLUMNS,
    MAX_DEPTH,
    MAX_NUMBER_BITS,
    MEDIA,
    PART_FLAGS,
    PREFILL,
    REASONING_FIELDS,
    RESERVED_KEYWORDS,
    TEXT_ROLE,
    TRAIN_FLAGS,
    Change,
    Conversation,
    JsonValue,
    LabelledIds,
    Message,
    Segment,
    Step,
    is_flagged,
    is_media,
    listed,
    string_fields,
    with_image_texts,
    words_of,
)

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
    "listed",
    "string_fields",
    "with_image_texts",
    "words_of",
]
