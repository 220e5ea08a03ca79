"""The model's inputs for a row's images: arrays of the processor, made once, kept on disk, and hashed.

The arrays are those of the processor for the row alone, under the model's names (`pixel_values`, `image_grid_thw`,
...), unchanged: nothing is resized or rounded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from inspector.errors import ImageError
from inspector.inspection import Inspection
from inspector.pictures import sources
from inspector.strategies import Reason

Pixels: TypeAlias = Mapping[str, np.ndarray]
"""The model's name for an input -> the array of one row; empty for a row without images."""
FOLDER = "pixels"
"""The folder next to a run's rows, with a file for each row that has images."""
TEXT_INPUTS = frozenset({"input_ids", "labels", "attention_mask"})
"""Names of a model's inputs that hold tokens; every other tensor of a batch with images is about its images."""


def pixels_of(inspection: Inspection, *, trains: bool) -> Pixels:
    """The arrays of a row's images. `trains`: whether a run of this kind trains rows with images.

    Raises ImageError for a row with images that cannot be trained: an image cannot be read, truncation cuts it, or the
    processor makes other ids than those shown.
    """
    pictures = inspection.example.pictures
    if not pictures:
        return {}
    if not trains:
        raise ImageError("The row has images, which method sft alone trains, without packing. Leave the row out.")
    if why := next((picture.why for picture in pictures if picture.why), ""):
        raise ImageError(why)
    if any(
        inspection.labelled.reasons[i] is Reason.CUT
        for picture in pictures
        for i in inspection.example.tokens_of(picture)
    ):
        raise ImageError("max_length cuts tokens of an image, and a model refuses such a row. Raise it.")
    processor = inspection.model.processor
    assert processor is not None
    text, end = inspection.text, len(inspection.text)
    for picture in reversed(pictures):
        assert picture.span is not None
        start, end = picture.span
        text = text[:start] + processor.image_token + text[end:]
    named = [source for _, _, source in sources(inspection.example.conversation.messages) if source]
    arrays = processor.encoded(text, named)
    if arrays["input_ids"][0].tolist() != inspection.ids:
        raise ImageError(
            "The processor makes other ids of the row's images than of their sizes. Please report it, with the model."
        )
    kept = len(inspection.row[0])
    return {
        name: array[:, :kept] if array.shape[:2] == (1, len(inspection.ids)) else array
        for name, array in arrays.items()
        if name not in TEXT_INPUTS
    }


def write_pixels(folder: Path, number: int, pixels: Pixels) -> str | None:
    """Write a row's arrays next to the rows; returns the file's name, None for a row without images."""
    if not pixels:
        return None
    (folder / FOLDER).mkdir(exist_ok=True)
    name = f"{number}.npz"
    np.savez(folder / FOLDER / name, allow_pickle=False, **pixels)
    return name


def read_pixels(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `write_pixels` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def digest(pixels: Pixels) -> bytes:
    """A hash of the arrays: names, types, shapes and values; empty without arrays."""
    if not pixels:
        return b""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(pixels):
        array = np.ascontiguousarray(pixels[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.digest()
