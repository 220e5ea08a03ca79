"""Write `{% generation %}` tags into a chat template, and prove that nothing else changed.

Turns a model into a `TrainingTemplate`: a template that renders every conversation as the model's own template does,
and whose tags mark exactly the tokens that `traced` trains. Only a template that is proven over all conversations is
offered; otherwise the reason says what failed, and where. Templates are untrusted: they are rendered in the sandbox
only, and a template that is slow for small conversations is given up with a TemplateTimeoutError.

The proof covers text and ids, with and without the generation prompt, the refusals, and the trained tokens. A token
counts as marked if a tag's span overlaps it, as `traced` trains a token that overlaps an answer (a straddler); token 0
counts for neither. transformers looks tokens up in another way; if that gives other tokens, the proof says so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inspector.conversation import RESERVED_KEYWORDS, Conversation
from inspector.errors import (
    InspectorError,
    RenderError,
    SandboxError,
    StrategyRefusedError,
    TemplateMemoryError,
    TemplateRefusedError,
    TemplateTimeoutError,
    excerpt,
)
from inspector.inspection import make_example
from inspector.model.model import Model
from inspector.rendering import sandbox
from inspector.strategies import EXACT, REASON_TEXTS, Example, Labelled, label
from inspector.strategies.tags import overlap_bits
from inspector.tagging.conversations import imitating_conversations, proof_conversations
from inspector.tagging.rewrites import Rewrite, Seam, rewrites, seams
from inspector.tagging.source import TemplateSourceError, keywords_among, without_tags

ALREADY_TAGGED = "none: it has tags"
"""The `rewrite` of a template that has generation tags."""

PATIENCE_S, PATIENCE_PER_RENDER_S = 4.0, 0.25
"""Maximum seconds of CPU time for all renders of a template, before it is given up."""

_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")
_USUAL = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
_FATAL = (TemplateTimeoutError, TemplateMemoryError, SandboxError)
_IMITATED = 6
"""Maximum number of the template's texts that messages imitate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether a patched template behaves like the original. `reason`: the facts shown, or the first difference.

    `conversations`: the number of compared conversations.
    """

    proven: bool
    reason: str
    conversations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTemplate:
    """A template with generation tags, or why there is none.

    `template` is None unless `proven`. `rewrite`: how the tags were written. `diff`: unified, from the original.
    """

    proven: bool
    template: str | None
    reason: str
    rewrite: str = ""
    conversations: int = 0
    diff: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The public, JSON-ready form; its keys are stable."""
        return {"proven": self.proven, "reason": self.reason, "template": self.template}


def has_tags(source: str) -> bool:
    """Whether a template has generation tags, by the pattern that transformers looks for."""
    return _TAG.search(source) is not None


def write_training_template(model: Model) -> TrainingTemplate:
    """Write generation tags into the model's template, the most readable way that can be proven.

    Existing tags are proven instead; if they do not mark what traced trains, they are removed and written again. Raises
    a RenderError, a TraceError or a TokenizationError if the template cannot be tried at all (it does not compile,
    takes too long, ...).
    """
    source = model.template
    given = sandbox.keywords(source) - _USUAL - RESERVED_KEYWORDS - set(model.special_tokens)
    reads = keywords_among(source, given)
    reference = _Reference(model, source)
    reference.add(proof_conversations(reads))
    found = reference.seams()
    if not found:
        return _refused("The template renders no assistant turn in any of the conversations that were tried.")
    reference.add(imitating_conversations(_imitated(found)))
    found = reference.seams()
    preface = ""
    if has_tags(source):
        proof = reference.compare(source)
        preface = "The template has generation tags already. "
        if proof.proven:
            tagged = TrainingTemplate(
                proven=True, template=source, reason=preface + proof.reason, rewrite=ALREADY_TAGGED
            )
            return replace(tagged, conversations=proof.conversations)
        preface += f"They do not mark what traced trains: {proof.reason} "
    try:
        return _written(reference, rewrites(without_tags(source), found), preface)
    except TemplateSourceError as error:
        return _refused(preface + str(error))


def _written(reference: _Reference, tries: Iterable[Rewrite], preface: str) -> TrainingTemplate:
    """The first rewrite that is proven, or the reason of the one that went furthest."""
    furthest: tuple[Rewrite, Proof] | None = None
    for rewrite in tries:
        proof = reference.compare(rewrite.source)
        if proof.proven:
            return TrainingTemplate(
                proven=True,
                template=rewrite.source,
                reason=f"{preface}Written anew: {proof.reason}" if preface else proof.reason,
                rewrite=rewrite.name,
                conversations=proof.conversations,
                diff=_diff(reference.source, rewrite.source),
            )
        if furthest is None or proof.conversations > furthest[1].conversations:
            furthest = rewrite, proof
    assert furthest is not None, "there is always one rewrite to try"
    name, proof = furthest[0].name, furthest[1]
    return replace(_refused(preface + proof.reason), rewrite=name, conversations=proof.conversations)


def prove(original: str, patched: str, model: Model, conversations: Mapping[str, Conversation]) -> Proof:
    """Compare two templates over named conversations: text, ids, refusals, and `patched`'s tags with traced's tokens.

    `model`: the tokenizer. Raises TemplateTimeoutError and similar, as `sandbox.render`.
    """
    reference = _Reference(model, original)
    reference.add(conversations)
    return reference.compare(patched)


def _refused(reason: str) -> TrainingTemplate:
    return TrainingTemplate(proven=False, template=None, reason=reason)


def _imitated(found: Sequence[Seam]) -> list[str]:
    """Texts in a message that must not confuse the tags: those that open and close turns."""
    texts = dict.fromkeys(text for seam in found for text in (seam.opening, seam.stop + seam.after) if text.strip())
    return list(texts)[:_IMITATED]


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), "chat_template.jinja", "training_template.jinja", lineterm=""
    )
    return "\n".join(lines)


# --- the proof


class _Reference:
    """The renders of a template with the tokens that traced trains, for comparison with other templates."""

    def __init__(self, model: Model, source: str) -> None:
        self.model, self.source = model, source
        self.rows: dict[str, tuple[Conversation, Example | RenderError, Labelled | None]] = {}
        self.opened: dict[str, str | InspectorError] = {}
        self.spent_s, self.renders = 0.0, 0

    def add(self, conversations: Mapping[str, Conversation]) -> None:
        """Render further conversations."""
        for name, conversation in conversations.items():
            example = self._example(conversation, self.source)
            truth = label(example, EXACT, {}) if isinstance(example, Example) else None
            self.rows[name] = conversation, example, truth
        self.opened |= self._opened(conversations, self.source)

    def seams(self) -> list[Seam]:
        """All assistant turns."""
        return [seam for _, example, _ in self.rows.values() if isinstance(example, Example) for seam in seams(example)]

    def compare(self, patched: str) -> Proof:
        """Render with another template; stops at the first difference."""
        inexact: list[str] = []
        for count, (name, got) in enumerate(self._tagged(patched)):
            _, expected, truth = self.rows[name]
            problem = _difference(expected, got, truth)
            if problem:
                return Proof(proven=False, reason=f"Conversation {name!r}: {problem}", conversations=count)
            if truth is not None and not _is_found_by_transformers(expected, got, truth):
                inexact.append(name)
        shown = {name: conversation for name, (conversation, _, _) in self.rows.items()}
        for name, opened in self._opened(shown, patched).items():
            problem = _text_difference(self.opened[name], opened)
            if problem:
                reason = f"Conversation {name!r} with a generation prompt: {problem}"
                return Proof(proven=False, reason=reason, conversations=len(self.rows))
        refused = sum(isinstance(example, RenderError) for _, example, _ in self.rows.values())
        reason = (
            f"Over {len(self.rows)} conversations ({refused} refused by both) text and ids are the same, with and "
            "without a generation prompt, and the tags mark exactly what traced trains."
        )
        if inexact:
            reason += (
                f" In {len(inexact)} of them ({inexact[0]!r}) transformers' own lookup takes other tokens for the same "
                "characters."
            )
        return Proof(proven=True, reason=reason, conversations=len(self.rows))

    def _example(self, conversation: Conversation, source: str) -> Example | RenderError:
        before = sandbox.spent_s()
        try:
            return make_example(self.model, conversation, source)
        except _FATAL:
            raise
        except RenderError as error:
            return error
        finally:
            self._spend(before, 1)

    def _tagged(self, source: str) -> Iterator[tuple[str, sandbox.Tagged | InspectorError]]:
        """The renders of another template, one conversation at a time, only as far as they are needed."""
        names = list(self.rows)
        for start in range(0, len(names), sandbox.TEXTS_PER_REQUEST):
            some = names[start : start + sandbox.TEXTS_PER_REQUEST]
            before = sandbox.spent_s()
            found = sandbox.tagged(source, [self.rows[name][0] for name in some], self.model.special_tokens)
            self._spend(before, len(found))
            yield from zip(some, found, strict=True)

    def _opened(self, conversations: Mapping[str, Conversation], source: str) -> dict[str, str | InspectorError]:
        """The texts with a generation prompt."""
        asked = [
            replace(conversation, keywords={**conversation.keywords, "add_generation_prompt": True})
            for conversation in conversations.values()
        ]
        before = sandbox.spent_s()
        texts = sandbox.texts(source, asked, self.model.special_tokens)
        self._spend(before, len(texts))
        return dict(zip(conversations, texts, strict=True))

    def _spend(self, before: float, renders: int) -> None:
        self.spent_s += sandbox.spent_s() - before
        self.renders += renders
        if self.spent_s > PATIENCE_S + PATIENCE_PER_RENDER_S * self.renders:
            raise TemplateTimeoutError(
                f"The chat template took {self.spent_s:.0f} s of CPU time for {self.renders} small conversations and "
                "was given up."
            )


def _difference(expected: Example | RenderError, got: sandbox.Tagged | InspectorError, truth: Labelled | None) -> str:
    """The difference between two renders of one conversation; "" if there is none. `truth`: traced's labels.

    The same text has the same ids.
    """
    one = expected if isinstance(expected, RenderError) else expected.rendered.text
    problem = _text_difference(one, got if isinstance(got, InspectorError) else got.text)
    if problem or truth is None or isinstance(expected, RenderError) or isinstance(got, InspectorError):
        return problem
    tokens = expected.tokens
    marked = [False, *overlap_bits(tokens.char_spans, got.generation_spans)[1:]]
    pairs = enumerate(zip(truth.trained, marked, strict=True))
    wrong = next((index for index, (ours, tags) in pairs if ours != tags), None)
    if wrong is None:
        return ""
    start, token = tokens.char_spans[wrong][0], tokens.texts[wrong]
    is_marked = "marked" if marked[wrong] else "not marked"
    return f"token {wrong} ({token!a}, character {start}) is {is_marked}; traced: {REASON_TEXTS[truth.reasons[wrong]]}."


def _is_found_by_transformers(
    expected: Example | RenderError, got: sandbox.Tagged | InspectorError, truth: Labelled
) -> bool:
    """Whether transformers' lookup of tokens agrees: it loses parts of a last character that has several tokens."""
    if isinstance(expected, RenderError) or isinstance(got, InspectorError):
        return True
    tagged = replace(expected, rendered=replace(expected.rendered, generation_spans=got.generation_spans))
    try:
        return label(tagged, "generation_tags", {}).trained == truth.trained
    except StrategyRefusedError:
        return False


def _text_difference(one: str | InspectorError, other: str | InspectorError) -> str:
    if isinstance(one, str) and isinstance(other, str):
        if one == other:
            return ""
        pairs = enumerate(zip(one, other, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
        return f"the text differs from character {at} on ({excerpt(other, at)} instead of {excerpt(one, at)})."
    if isinstance(one, InspectorError) and isinstance(other, InspectorError):
        return "" if _refusal(one) == _refusal(other) else f"it is refused otherwise: {other} Before: {one}"
    if isinstance(one, InspectorError):
        return f"the original refuses it ({one}), the patched template does not."
    return f"only the patched template refuses it: {other}"


def _refusal(error: InspectorError) -> tuple[type[InspectorError], str]:
    return type(error), error.template_message if isinstance(error, TemplateRefusedError) else ""
