"""Findings about the images of a conversation and the tokens that stand for them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from inspector.findings.codes import Code, Finding, Severity
from inspector.pictures import NO_PROCESSOR, NOT_NAMED, Picture
from inspector.strategies import Example, Labelled, Reason


def find_unread_images(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Images that no processor puts into the text, one finding per reason."""
    unread = [picture for picture in example.pictures if picture.why]
    for why, group in groupby(unread, key=lambda picture: picture.why):
        pictures = list(group)
        more = "" if len(pictures) == 1 else f" and {len(pictures) - 1} more"
        is_expected = why in (NO_PROCESSOR, NOT_NAMED)
        yield Finding(
            code=Code.IMAGE_NOT_READ,
            severity=Severity.WARNING if is_expected else Severity.ERROR,
            message_index=pictures[0].message,
            token_span=None,
            detail=f"The image of {pictures[0].where}{more}: {why.rstrip('.')}. The tokens shown are those of the text "
            "alone.",
            remedy="Load the model from the repository that has its processor, and name each image in the row."
            if is_expected
            else "Mend or replace the image; a trainer stops at this row.",
        )


def find_trained_images(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Images whose tokens train."""
    found = [(picture, tokens) for picture, tokens in _tokens(example) if any(labelled.trained[i] for i in tokens)]
    if not found:
        return
    picture, tokens = found[0]
    trained = sum(labelled.trained[i] for _, indices in found for i in indices)
    of = f"the image of {picture.where}" if len(found) == 1 else f"{len(found)} images"
    yield Finding(
        code=Code.IMAGE_PLACEHOLDER_IN_LOSS,
        severity=Severity.ERROR,
        message_index=picture.message,
        token_span=(tokens[0], tokens[-1] + 1),
        detail=f"{trained} trained tokens stand for {of}: the model learns to write placeholders, and these are "
        f"{trained} of {sum(labelled.trained)} trained tokens.",
        remedy="Train the answers alone; a collator has to set the labels of image tokens to -100.",
    )


def find_truncated_images(example: Example, labelled: Labelled) -> Iterator[Finding]:
    """Images that truncation cuts tokens from: the model gets features for tokens that are gone."""
    for picture, tokens in _tokens(example):
        cut = [i for i in tokens if labelled.reasons[i] is Reason.CUT]
        if cut:
            yield Finding(
                code=Code.TRUNCATED_IMAGE,
                severity=Severity.ERROR,
                message_index=picture.message,
                token_span=(cut[0], cut[-1] + 1),
                detail=f"Truncation removes {len(cut)} of the {len(tokens)} tokens of the image of {picture.where}. A "
                "model refuses a row whose image features and image tokens differ in number.",
                remedy=f"Raise max_length (this example needs {len(example)}), or use a smaller image.",
            )


def _tokens(example: Example) -> Iterator[tuple[Picture, list[int]]]:
    """The images that are in the text, with the indices of their tokens."""
    found = ((picture, example.tokens_of(picture)) for picture in example.pictures)
    return ((picture, tokens) for picture, tokens in found if tokens)


IMAGE_FINDERS = (find_unread_images, find_trained_images, find_truncated_images)
"""All of them."""
