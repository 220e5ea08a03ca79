"""A model for rendering and tokenizing: a tokenizer and the chat template in use.

The name or source of a template is resolved by one rule: the model's templates, then the built-in ones, then Jinja
source. Unknown names are refused. Loading a tokenizer is the task of inspector.model.hub.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inspector.errors import NoTemplateError, SpecialTokensError, quoted
from inspector.model.encoders import JINJA, Encoder, encoder_with
from inspector.model.tokenizer import Tokenizer

if TYPE_CHECKING:
    from inspector.model.processor import Processor

Token = str | Literal[False] | None
TEMPLATE_FOLDER = Path(__file__).parent / "templates"
BUILT_IN_TEMPLATES = tuple(sorted(path.stem for path in TEMPLATE_FOLDER.glob("*.jinja")))
"""Names of the templates offered for models that have none, such as base models."""


class Source(StrEnum):
    """The kind of place that a model was loaded from."""

    EMBEDDED = "embedded"
    """The small model that comes with the package."""
    FOLDER = "folder"
    """A folder on this machine."""
    HUB = "hub"
    """The hub, or its files in the local cache."""
    LOADED = "loaded"
    """A tokenizer that was loaded elsewhere, such as a trainer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A tokenizer loaded in another way, if transformers warns that its own way may be wrong.

    `setting`: the setting that this way needs.
    """

    setting: str
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A tokenizer and a chat template, which render and tokenize conversations.

    `revision` is the full commit sha of a hub model, None otherwise. `templates` are the model's own (a single unnamed
    one is called "default"); `template` is the Jinja source in use and `template_name` its name among the model's own
    or the built-in ones, or "custom". `template_is_chosen` is False when the model's own rule picked it.
    `changed_tokens`: the special tokens that were changed, as passed to `with_special_tokens`. `encoder`: turns its
    chats into ids. `alternative`: the tokenizer loaded in the other way that a warning of transformers names.
    `embeddings`: the number of rows of the embedding, from config.json; None if unknown. `processor`: puts images into
    its texts; None for a text-only model.
    """

    name: str
    revision: str | None
    source: Source
    tokenizer: Tokenizer
    templates: Mapping[str, str]
    template: str
    template_name: str
    template_is_chosen: bool
    is_fast: bool
    changed_tokens: Mapping[str, Any] = field(default_factory=dict)
    encoder: Encoder = JINJA
    alternative: Alternative | None = None
    embeddings: int | None = None
    processor: Processor | None = None

    @property
    def template_hash(self) -> str:
        """First 12 hex digits of the sha256 of the template in use."""
        return short_hash(self.template)

    @property
    def special_tokens(self) -> dict[str, Any]:
        """The special tokens by name, as `apply_chat_template` passes them to the template."""
        return dict(self.tokenizer.special_tokens_map)

    @property
    def config_variables(self) -> dict[str, Any]:
        """The special tokens by name, including null ones, and the numbers, texts and flags of
        tokenizer_config.json."""
        settings = self.tokenizer.init_kwargs.items()
        return {
            key: value
            for key, value in (*settings, *self.special_tokens.items())
            if value is None or isinstance(value, str | int | float)
        }

    @property
    def is_judged_by_row(self) -> bool:
        """Whether some findings about the model depend on a row's tokens, so that an audit inspects every row whole."""
        lacks = self.embeddings is not None and self.embeddings < len(self.tokenizer)
        return self.encoder.has_opinion or self.alternative is not None or lacks

    def template_for(self, tools: bool) -> tuple[str, str]:
        """Return (name, Jinja source) of the template for a conversation with tools (even an empty list) or without.

        As in `PreTrainedTokenizerBase.get_chat_template`: if no template was chosen, tools select the model's
        "tool_use".
        """
        if tools and not self.template_is_chosen and "tool_use" in self.templates:
            return "tool_use", self.templates["tool_use"]
        return self.template_name, self.template

    def with_template(self, template: str | None) -> Model:
        """Return this model with another template, named or written out as in `load`; the tokenizer is shared.

        Raises:
            NoTemplateError: neither a name that exists nor Jinja source; None, and the model has no default.
        """
        name, source = choose_template(self.name, self.templates, template)
        encoder = encoder_with(source, self.encoder)
        is_chosen = template is not None
        return replace(self, template=source, template_name=name, template_is_chosen=is_chosen, encoder=encoder)

    def with_special_tokens(self, tokens: Mapping[str, Any]) -> Model:
        """Return this model with other special tokens; new tokens are added to the vocabulary.

        `tokens`: `bos_token`, `eos_token`, `pad_token`, ... with their texts, and `additional_special_tokens` with a
        list of texts. The tokenizer is copied; for a new token a trainer has to resize the embeddings.

        Raises:
            SpecialTokensError: a name or value that is none of these.
        """
        if not tokens:
            return self
        _check_special_tokens(tokens)
        tokenizer = copy.deepcopy(self.tokenizer)
        named = {name: text for name, text in tokens.items() if name != ADDITIONAL}
        if named:
            tokenizer.add_special_tokens(named)
        if tokens.get(ADDITIONAL):
            tokenizer.add_tokens(list(tokens[ADDITIONAL]), special_tokens=True)
        changed = {**self.changed_tokens, **tokens}
        return replace(self, tokenizer=tokenizer, changed_tokens=changed, alternative=None, embeddings=None)


ADDITIONAL = "additional_special_tokens"
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


def _check_special_tokens(tokens: Mapping[str, Any]) -> None:
    known = ", ".join((*_NAMED, ADDITIONAL))
    for name, value in tokens.items():
        if name not in (*_NAMED, ADDITIONAL):
            raise SpecialTokensError(f"There is no special token {name!r}; there are: {known}.")
        texts = value if name == ADDITIONAL else [value]
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text for text in texts):
            what = "a list of texts" if name == ADDITIONAL else "a text"
            raise SpecialTokensError(f"{name} is {quoted(value, 80)}, and must be {what}, none of them empty.")
        if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            raise SpecialTokensError(f"{name} has half of a surrogate pair, which no tokenizer can read: remove it.")


def short_hash(source: str) -> str:
    """Return the first 12 hex digits of the sha256 of a template's source."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@cache
def _built_in(name: str) -> str:
    return (TEMPLATE_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def choose_template(model: str, templates: Mapping[str, str], wanted: str | None) -> tuple[str, str]:
    """Return (name, Jinja source) of the template `wanted`, or of the default among `templates` for None.

    Raises:
        NoTemplateError: there is no default, or `wanted` is neither a name that exists nor Jinja source.
    """
    if wanted is None and "default" in templates:
        return "default", templates["default"]
    names = ", ".join(BUILT_IN_TEMPLATES)
    if wanted is None and templates:
        raise NoTemplateError(
            f"{model!r} has no default chat template. Choose one of its own ({', '.join(templates)})."
        )
    if wanted is None:
        raise NoTemplateError(
            f"{model!r} has no chat template: it looks like a base model. "
            f"Choose a built-in one ({names}) or give Jinja source."
        )
    if wanted in templates:
        return wanted, templates[wanted]
    if wanted in BUILT_IN_TEMPLATES:
        return wanted, _built_in(wanted)
    if "{%" in wanted or "{{" in wanted:
        return "custom", wanted
    named = f"its own: {', '.join(templates)}" if templates else "it has none of its own"
    raise NoTemplateError(
        f"{model!r} has no chat template {quoted(wanted, 80)} ({named}; built in: {names}), "
        "and it is not Jinja source, which has {% or {{ in it."
    )
