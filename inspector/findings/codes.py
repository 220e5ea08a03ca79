"""The parts of a finding: a code, a severity, a place, a detail, and one remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Reads(StrEnum):
    """The facts that a finding depends on. They decide what an audit may conclude from one row about its shape."""

    SHAPE = "shape"
    """The template, the roles and the fields: all rows of a shape have the finding, or none."""
    COUNTS = "counts"
    """The number of trained tokens, which is computed for each row."""
    TOKENS = "tokens"
    """A row's tokens where texts meet, special tokens and length: rows that differ in these are inspected whole."""
    MODEL = "model"
    """A row's own tokens, for some models alone: every row of those is inspected whole (`Model.is_judged_by_row`)."""
    WORDS = "words"
    """Anything else: while there is such a finding, every row is inspected whole."""


class KindBy(StrEnum):
    """The key by which findings of one code are grouped."""

    TOKEN = "token"
    """The first token, and the template line that wrote it."""
    WORDS = "words"
    """The finding's detail, without its numbers."""
    END = "end"
    """The last clause of its detail."""


class Code(StrEnum):
    """The public names of findings, each with the facts it reads. docs/findings.md has a section for each."""

    heading: str
    reads: Reads
    kind_by: KindBy

    def __new__(cls, name: str, heading: str = "", reads: Reads = Reads.WORDS, kind_by: KindBy = KindBy.TOKEN) -> Self:
        """A code by its public name. A code that does not say what it reads turns off the fast path of an audit.

        `heading`: the problem in a few words; the page and the terminal show it above a finding.
        """
        code = str.__new__(cls, name)
        code._value_, code.heading, code.reads, code.kind_by = name, heading, reads, kind_by
        return code

    BOUNDARY_MERGE = "boundary_merge", "One token spans two texts", Reads.TOKENS
    """A token straddles a boundary: text of a message and of the template in one id."""
    NO_TRAINED_TOKENS = "no_trained_tokens", "Nothing is trained", Reads.SHAPE
    """Nothing in the example is trained."""
    STOP_TOKEN_NOT_TRAINED = "stop_token_not_trained", "The stop token is not trained", Reads.SHAPE
    """A trained turn does not end in a trained stop token."""
    FOREIGN_TEXT_IN_LOSS = "foreign_text_in_loss", "Text of others is trained", Reads.SHAPE, KindBy.WORDS
    """User, system, tool or document text is trained."""
    CONTENT_LOST = "content_lost", "The template drops part of a message", Reads.SHAPE, KindBy.WORDS
    """Text of a message does not survive the render or the tokenizer."""
    TRAILING_GENERATION_PROMPT = "trailing_generation_prompt", "The row ends in an empty assistant header", Reads.SHAPE
    """The example ends in the header of an answer that never comes."""
    SYSTEM_UNSUPPORTED = "system_unsupported", "The template takes no system message", Reads.SHAPE
    """The template refuses or drops the system message."""
    CONTENT_UNSUPPORTED = "content_unsupported", "The template does not take this content", Reads.SHAPE
    """The template refuses the form of a message's content: null, or a list of parts."""
    FIELD_UNSUPPORTED = "field_unsupported", "The template does not take this field", Reads.SHAPE
    """The template fails at the form of a field: a call's arguments, a missing id, a tool without a schema."""
    ROLES_MUST_ALTERNATE = "roles_must_alternate", "The template refuses this order of roles", Reads.SHAPE
    """The template refuses the order of roles."""
    UNREACHABLE_FIRST_TOKEN = "unreachable_first_token", "An answer does not start where the prompt ends", Reads.SHAPE
    """An answer does not begin where the generation prompt ends."""
    HEADER_ASSUMED = "header_assumed", "Some headers are assumed", Reads.SHAPE
    """In a very long conversation, headers past a limit were taken over from the turn before."""
    SLOW_TOKENIZER = "slow_tokenizer", "The tokenizer reports no offsets", Reads.SHAPE
    """The tokenizer reports no offsets: spans were found by decoding."""
    MARKER_NOT_FOUND = "marker_not_found", "A marker is not found", Reads.SHAPE
    """A strategy that searches did not find its marker before an answer."""
    SUFFIX_INCLUDES_NEXT_HEADER = "suffix_includes_next_header", "The suffix ids include the next header", Reads.SHAPE
    """The suffix ids hold the header of the next turn, so they match only where that turn follows."""
    PROMPT_TEXT_IN_LOSS = "prompt_text_in_loss", "Prompt text is trained", Reads.SHAPE
    """Text that the generation prompt supplies is trained."""
    ONLY_STOP_TRAINED = "only_stop_trained", "Only the stop token is trained", Reads.SHAPE
    """A trained turn whose only trained token is the stop token."""
    BOILERPLATE_LOSS_SHARE = "boilerplate_loss_share", "Most of what is trained is template text", Reads.COUNTS
    """Most of what trains is the template's text."""
    TAGS_MISPLACED = "tags_misplaced", "The generation tags are in the wrong place", Reads.SHAPE
    """The template's generation tags record spans that do not hold the answers."""
    TEMPLATE_NOT_PREFIX_STABLE = "template_not_prefix_stable", "The template rewrites earlier messages", Reads.SHAPE
    """The template renders earlier messages differently once later ones follow."""
    CONTROL_TOKEN_IN_CONTENT = "control_token_in_content", "Message text contains a control token", Reads.TOKENS
    """Text of a message becomes a control token."""
    OFFICIAL_ENCODER_DIFFERS = "official_encoder_differs", "The official encoder writes other tokens", Reads.MODEL
    """The vendor's own library gives the conversation other ids."""
    TOKENIZER_IN_DOUBT = "tokenizer_in_doubt", "transformers warns about this tokenizer", Reads.MODEL
    """transformers warns that the tokenizer, as it loads it, may be wrong."""
    ID_WITHOUT_EMBEDDING = "id_without_embedding", "A token has no embedding", Reads.MODEL
    """An id is beyond the rows of the model's embedding."""
    STOP_TOKEN_MISMATCH = "stop_token_mismatch", "Turns do not end in the EOS token", Reads.SHAPE
    """The template ends turns in another token than the tokenizer's eos."""
    STOP_IS_TEXT = "stop_is_text", "The stop marker is plain text", Reads.SHAPE
    """An answer ends in plain text for this tokenizer, not in one special token: generation does not end there."""
    TURN_READ_OFF = "turn_read_off", "Turn boundaries are inferred", Reads.SHAPE
    """The bounds of a turn come from renders of the conversation's beginning, not from the template's loop."""
    TURN_UNKNOWN = "turn_unknown", "Turn boundaries are unknown", Reads.SHAPE
    """The owner of the template's text around an answer is unknown."""
    PAD_IS_EOS = "pad_is_eos", "The padding token equals the stop token", Reads.SHAPE
    """Padding and the stop token are one id: collators that mask by id erase the stop."""
    PAD_ID_ZERO = "pad_id_zero", "The padding id is 0", Reads.SHAPE
    """The padding id is 0, which some code takes for missing."""
    DOUBLE_BOS = "double_bos", "Two BOS tokens start the row", Reads.SHAPE
    """The rendered text tokenized again, with special tokens, begins with two bos tokens."""
    TRUNCATED_RESPONSE = "truncated_response", "An answer is cut off", Reads.TOKENS, KindBy.END
    """Truncation cuts through an answer."""
    TRUNCATED_AWAY = "truncated_away", "Truncation removes everything that is trained", Reads.TOKENS, KindBy.END
    """Truncation leaves nothing that trains."""
    THINKING_DEFAULT = "thinking_default", "The thinking mode is not set", Reads.SHAPE
    """The prompt depends on enable_thinking, which is not set."""
    ROW_CHANGED = "row_changed", "The row was changed before rendering", Reads.SHAPE, KindBy.WORDS
    """The row was changed before the template saw it."""
    PAIR_PROMPTS_DIFFER = "pair_prompts_differ", "The two answers have different prompts", Reads.SHAPE, KindBy.WORDS
    """The two answers of a pair answer different prompts."""
    NO_CONTENT = "no_content", "A message has no content", Reads.SHAPE, KindBy.WORDS
    """A message has no content."""
    NULL_IN_LOSS = "null_in_loss", "The model learns to write null", Reads.SHAPE, KindBy.WORDS
    """The model learns to write null where the row has a null field."""
    PYTHON_IN_TEXT = "python_in_text", "The text contains Python syntax", Reads.SHAPE, KindBy.WORDS
    """The template writes a value in Python's syntax."""
    ENCODED_TWICE = "encoded_twice", "Arguments are encoded twice", Reads.SHAPE, KindBy.WORDS
    """Arguments that are JSON text are written as a JSON string."""
    FLAGS_NOT_OBEYED = "flags_not_obeyed", "Train flags are ignored", Reads.SHAPE, KindBy.WORDS
    """Messages have train flags, and the rule does not go by them."""
    TURNS_NOT_READ = "turns_not_read", "The turns of this row are unknown", Reads.SHAPE, KindBy.WORDS
    """The turns of a row that came with ids are unknown."""
    LABELS_DIFFER = "labels_differ", "The row's labels are not the exact ones", Reads.SHAPE, KindBy.WORDS
    """The labels that a row came with are not those of traced."""
    IDS_DIFFER = "ids_differ", "The row's ids are not the tokenizer's", Reads.SHAPE, KindBy.WORDS
    """The ids that a row came with are not those that the tokenizer gives for their text."""
    IMAGE_NOT_READ = "image_not_read", "An image is not in the text", Reads.SHAPE, KindBy.END
    """No processor puts an image into the text: it cannot be read, or nothing stands for it."""
    IMAGE_PLACEHOLDER_IN_LOSS = "image_placeholder_in_loss", "Image tokens are trained", Reads.SHAPE, KindBy.WORDS
    """Tokens that stand for an image train."""
    TRUNCATED_IMAGE = "truncated_image", "An image is cut off", Reads.SHAPE, KindBy.END
    """Truncation removes tokens of an image."""
    KEYWORD_NOT_READ = "keyword_not_read", "The template ignores a keyword", Reads.SHAPE, KindBy.WORDS
    """A keyword next to the messages matters for training, and the template does not read it."""
    NONDETERMINISTIC_RENDER = "nondeterministic_render", "The text contains today's date", Reads.SHAPE
    """The render holds today's date or time."""
    DUPLICATE_ANSWER = "duplicate_answer", "The same answer is repeated", Reads.COUNTS
    """Several rows of a data set train the same text."""
    COLUMN_NOT_READ = "column_not_read", "A column is not read", Reads.COUNTS
    """A column that carries meaning for training is not read."""
    ONE_LABEL = "one_label", "All rows have the same label", Reads.COUNTS
    """All judged rows have the same label."""
    NEAR_EMPTY_LOSS = "near_empty_loss", "Almost nothing is trained", Reads.COUNTS
    """Rows of a data set train almost nothing."""


def heading_of(code: str) -> str:
    """The heading of a finding with this code; the code itself if it is from another version."""
    return Code(code).heading if code in set(Code) else code


class Severity(StrEnum):
    """The severity of a finding."""

    ERROR = "error"
    """Trains the wrong thing, or nothing."""
    WARNING = "warning"
    """Likely not what was meant."""
    NOTE = "note"
    """Worth knowing."""


SIGNS = {Severity.ERROR: "✕", Severity.WARNING: "▲", Severity.NOTE: "●"}
"""What stands before a finding, so that severities are told apart without colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    `token_span` is half open, and None if it is not about tokens; `message_index` likewise for messages.

    `cause`: a sentence about the field that a template fails at, "" for every other finding.
    """

    code: Code
    severity: Severity
    message_index: int | None
    token_span: tuple[int, int] | None
    detail: str
    remedy: str
    cause: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The public form, with plain values."""
        return {
            "code": self.code.value,
            "severity": self.severity.value,
            "message_index": self.message_index,
            "token_span": None if self.token_span is None else list(self.token_span),
            "detail": self.detail,
            "remedy": self.remedy,
        }
