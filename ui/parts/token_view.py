"""An Inspection as one JSON string, and the component that draws it.

The string is columnar (one list per property, one entry per token), because that paints fast: 32,000 tokens in a
fraction of a second. User text never passes through an HTML or JavaScript template: the classes in ui/token_view build
the page from the parsed JSON with text nodes only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from inspector.files.images import thumbnail
from inspector.findings.codes import Code, Finding
from inspector.findings.explanations import explanation
from inspector.findings.places import describe
from inspector.inspection import Inspection
from inspector.model.encoders import JINJA
from inspector.model.model import short_hash
from inspector.pictures import sources
from inspector.remedies import Remedy
from inspector.rendering.origins import Origin, OriginKind
from inspector.strategies import REASON_TEXTS, Example, Labelled, Reason
from inspector.trainers.verdict import truth_of, verdict_on
from ui.parts.tokens import Bit, tokens_script

_SCRIPTS = tuple(
    f"token_view/{name}.js"
    for name in ("inspection", "report", "image", "template_pane", "heading", "notes", "token_view")
)
_THUMBNAILS = 8
"""Maximum number of a conversation's images that are shown as small copies."""
_SHELL = '<div class="token-view" data-rev="0"></div>'


def build_token_view(**options: Any) -> gr.HTML:
    """The component; its value is what `pack` or `pack_failure` returns, or an empty string."""
    return gr.HTML(
        value="", html_template=_SHELL, js_on_load=tokens_script(*_SCRIPTS), apply_default_css=False, **options
    )


def pack(
    inspection: Inspection,
    *,
    notices: Sequence[str],
    link: str,
    remedies: Mapping[Code, Iterable[Remedy]] | None = None,
    row: tuple[int, int, str] | None = None,
    repair: Mapping[str, Any] | None = None,
    selected: int | None = None,
    can_undo: bool = False,
) -> str:
    """Everything the view shows of an inspection.

    `link`: the address fragment that opens this view again. `remedies`: the remedies for each finding. `row`: (number,
    count, origin) of the shown one of the open rows. `repair`: the problem that an audit found in them, a message about
    it, and whether the row was saved since. `selected`: the token to open at. `can_undo`: whether the first notice has
    an undo button.
    """
    tokens, labelled, truth = inspection.example.tokens, inspection.labelled, truth_of(inspection)
    origins: dict[Origin, int] = {}
    token_origins = [[origins.setdefault(o, len(origins)) for o in tokens.origins(i)] for i in range(len(tokens))]
    reasons = list(Reason)
    return as_json(
        {
            "model": inspection.model.name,
            "revision": inspection.model.revision,
            "source": inspection.model.source.value,
            "template": _template(inspection),
            "encoder": "" if inspection.model.encoder is JINJA else inspection.model.encoder.title,
            "strategy": inspection.strategy,
            "verdict": verdict_on(inspection, truth).to_dict(),
            "key": key_of(inspection.example, truth),
            "modifiers": _modifiers(inspection),
            "texts": tokens.pieces(),
            "whole": {i: tokens.texts[i] for i in range(len(tokens)) if tokens.is_part(i)},
            "ids": list(tokens.ids),
            "starts": [start for start, _ in tokens.char_spans],
            "ends": [end for _, end in tokens.char_spans],
            "classes": "".join(f"{bits & ~Bit.CUT:x}" for bits in classes_of(inspection)),
            "turns": turns_of(inspection),
            "reasons": [reasons.index(reason) for reason in labelled.reasons],
            "truth": None if truth is labelled else [reasons.index(reason) for reason in truth.reasons],
            "reasonTexts": [REASON_TEXTS[reason] for reason in reasons],
            "reasonTrains": [reason.is_trained for reason in reasons],
            "cut": reasons.index(Reason.CUT),
            "roles": [message["role"] for message in inspection.example.conversation.messages],
            "origins": [_origin(origin) for origin in origins],
            "tokenOrigins": token_origins,
            "images": _images(inspection),
            "findings": [_finding(finding) for finding in inspection.findings],
            "explanations": {f.code.value: explanation(f.code).text for f in inspection.findings},
            "remedies": _remedies(remedies or {}),
            "notices": list(notices),
            "link": link,
            "row": row,
            "repair": repair,
            "selected": selected,
            "canUndo": can_undo,
        }
    )


def _images(inspection: Inspection) -> list[dict[str, Any]]:
    """The images in the text: [first, end) of each one's tokens, its size, and a small copy of the first ones."""
    example = inspection.example
    named = {(index, part): source for index, part, source in sources(example.conversation.messages)}
    out = []
    for picture in example.pictures:
        if picture.size is None or not (tokens := example.tokens_of(picture)):
            continue
        source = named.get((picture.message, picture.part)) if len(out) < _THUMBNAILS else None
        out.append(
            {
                "first": tokens[0],
                "end": tokens[-1] + 1,
                "height": picture.size.height,
                "width": picture.size.width,
                "thumbnail": thumbnail(source) if source else "",
            }
        )
    return out


def pack_failure(
    title: str,
    detail: str,
    *,
    line: int | None = None,
    is_template: bool = False,
    is_hint: bool = False,
    finding: Finding | None = None,
    remedies: Mapping[Code, Iterable[Remedy]] | None = None,
    notices: Sequence[str] = (),
    row: tuple[int, int, str] | None = None,
    repair: Mapping[str, Any] | None = None,
    can_undo: bool = False,
) -> str:
    """A view without tokens, only with the reason. `line`: the template line that caused it; `is_template`: whether the
    template failed; `is_hint`: whether nothing failed and there is just nothing to show yet; the others as in
    `pack`."""
    return as_json(
        {
            "failure": {"title": title, "detail": detail, "line": line, "isTemplate": is_template, "isHint": is_hint},
            "findings": [] if finding is None else [_finding(finding)],
            "explanations": {} if finding is None else {finding.code.value: explanation(finding.code).text},
            "remedies": _remedies(remedies or {}),
            "notices": list(notices),
            "row": row,
            "repair": repair,
            "canUndo": can_undo,
        }
    )


def as_json(value: Mapping[str, Any]) -> str:
    """Compact JSON that cannot close a script tag and holds no lone surrogate, which would break the event stream."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return text.encode("utf-8", "replace").decode()


def key_of(example: Example, truth: Labelled) -> str:
    """A key for tokens and their right labels: a comparison is drawn only over those that it was made for."""
    return hashlib.sha256(json.dumps([example.tokens.ids, truth.trained]).encode()).hexdigest()[:16]


def _finding(finding: Finding) -> dict[str, Any]:
    return {**finding.to_dict(), "heading": finding.code.heading}


def _remedies(offered: Mapping[Code, Iterable[Remedy]]) -> dict[str, list[dict[str, str]]]:
    return {
        code.value: [{"name": remedy.name, "label": remedy.label, "what": remedy.what} for remedy in remedies]
        for code, remedies in offered.items()
    }


def _modifiers(inspection: Inspection) -> str:
    """The modifiers in words, such as "keep last_response, max_length 512"; empty without any."""
    return ", ".join(f"{name} {value}" for name, value in inspection.modifiers.to_dict().items())


def _template(inspection: Inspection) -> str:
    """The template's name and hash; if the tools selected another one than the model's default, that one."""
    name, source = inspection.model.template_for(inspection.example.conversation.tools is not None)
    return f"{name} ({short_hash(source)})"


def classes_of(inspection: Inspection) -> list[int]:
    """The bits of each token's class."""
    tokens, labelled, straddlers = inspection.example.tokens, inspection.labelled, set(inspection.straddlers)
    return [
        Bit.TRAINED * labelled.trained[i]
        | Bit.SPECIAL * tokens.special[i]
        | Bit.STRADDLER * (i in straddlers)
        | Bit.PART * tokens.is_part(i)
        | Bit.CUT * (labelled.reasons[i] is Reason.CUT)
        for i in range(len(tokens))
    ]


def turns_of(inspection: Inspection) -> list[int | None]:
    """The turn of each token: the index of its message, None for the template's own text."""
    return list(map(inspection.example.tokens.turn, range(len(inspection.ids))))


def _origin(origin: Origin) -> dict[str, Any]:
    line = origin.line if origin.kind is not OriginKind.MESSAGE else None
    return {"text": describe(origin), "kind": origin.kind.value, "line": line, "message": origin.message_index}
