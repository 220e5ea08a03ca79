"""Images of rows: the text that stands for an image in a message, and its size.

An image is a path, an address, a `data:` URI or base64 text, as in transformers; bytes, Pillow images and images as
`datasets` stores them become a `data:` URI. Images are decoded, as a trainer does, unless they claim more than
MAX_PIXELS. If this process serves visitors, it opens no file of its machine and no address.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from inspector.errors import ImageError, one_line, quoted, short
from inspector.files.access import is_public

MAX_BYTES = 20_000_000
"""Largest image file that is read, in bytes."""
MAX_PIXELS = 50_000_000
"""Maximum number of pixels of an image: a small file can claim any number of them."""
_TIMEOUT_S = 20.0
"""Maximum seconds to fetch an image from its address."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that Pillow reads by itself: for others it starts programs, or they are not only for images."""
_LONGEST_PATH, _SHORTEST_IMAGE = 1024, 60
"""Lengths in characters: a longer text is not a path, and no image is shorter as base64 text."""
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
"""Modes of Pillow images that a PNG file can hold."""
_NEAREST = {"La": "LA", "RGBa": "RGBA"}
"""Other modes that are not converted to RGB, and the modes that they are converted to."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


class Size(NamedTuple):
    """The size of an image in pixels."""

    height: int
    width: int


def as_text(value: Any) -> str | None:
    """The text that stands for an image in a message; None if the value is not an image."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bytes | bytearray):
        return "data:image;base64," + base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        held = value.get("bytes") or value.get("path") or value.get("url")
        return None if isinstance(held, Mapping) else as_text(held)
    return _as_png(value) if _is_pillows(value) else None


def _is_pillows(value: Any) -> bool:
    """Whether a value is a Pillow image; False if nothing has imported Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _as_png(image: Any) -> str | None:
    """A Pillow image as a `data:` URI; None if it can no longer be read."""
    file = BytesIO()
    try:
        own = image.mode if image.mode in _PNG_MODES else _NEAREST.get(image.mode, "RGB")
        image.convert(own).save(file, format="PNG")
    except Exception:  # what a damaged or closed file raises depends on Pillow's reader
        return None
    return as_text(file.getvalue())


def images_of(value: Any) -> list[str]:
    """The texts that stand for the images of a column: of one, or of a list. Raises ImageError for something else."""
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    texts = [as_text(one) for one in values]
    if None in texts:
        at = texts.index(None)
        raise ImageError(
            f"Image {at} of the row's column is {quoted(values[at], 60)}, which is not an image: give a path, an "
            "address, bytes, or base64 text."
        )
    return [text for text in texts if text]


def as_json(value: Any) -> Any:
    """A column in a form that JSON can hold: Pillow images and bytes become texts, other values stay as they are."""
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    is_held = isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes | bytearray)
    is_image = is_held or isinstance(value, bytes | bytearray) or _is_pillows(value)
    return (as_text(value) or value) if is_image else value


def is_data(source: str) -> bool:
    """Whether a text holds an image itself, not the image's place."""
    return source.startswith("data:") or len(source) > _LONGEST_PATH


def size_of(source: str) -> Size:
    """The size of an image, turned as its EXIF data says. Raises ImageError."""
    path = None if is_data(source) else _file(source)
    state = path.stat() if path is not None else None
    return _size(source, (state.st_mtime_ns, state.st_size) if state is not None else None)


@lru_cache(maxsize=64)
def _size(source: str, version: tuple[int, int] | None) -> Size:
    """The size of an image. `version`: for a file, the time of its last change and its length."""
    image = opened(source)
    return Size(image.height, image.width)


@lru_cache(maxsize=64)
def thumbnail(source: str, most: int = 96) -> str:
    """A small copy of an image as a `data:` URI, with no side longer than `side` pixels; "" if it cannot be read."""
    try:
        image = opened(source).convert("RGB")
    except ImageError:
        return ""
    image.thumbnail((most, most))
    file = BytesIO()
    image.save(file, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def opened(source: str) -> Any:
    """An image as Pillow decodes it, turned as its EXIF data says. Raises ImageError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    data = _bytes(source)
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,} pixels")
        image.load()
        return ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise ImageError(
            f"The image {_named(source)} is in no format that is read. Convert it to one of: {', '.join(_FORMATS)}."
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The image {_named(source)} is too large: {one_line(str(error), 120)}. Up to {MAX_PIXELS:,} pixels are "
            "read; make it smaller."
        ) from None
    except Exception as error:  # what a damaged file raises depends on its format
        raise ImageError(
            f"The image {_named(source)} is damaged: {one_line(str(error), 120).rstrip('.')}. Replace the file."
        ) from None


def _named(source: str) -> str:
    """An image's name in an error: its place, or that the row holds it."""
    return f"{short(source, 30)} in the row" if is_data(source) else quoted(source, 120)


def _bytes(source: str) -> bytes:
    scheme = _SCHEME.match(source)
    kind = scheme[1].lower() if scheme else ""
    if kind in ("http", "https"):
        return _fetched(source)
    if source[:5].lower() == "data:":
        if data := _base64(source.partition(",")[2]):
            return data
        raise _not_base64(source)
    if kind not in ("", "file"):
        raise ImageError(f"The image {_named(source)} is not opened: addresses begin with http:// or https:// here.")
    if (path := _file(source)) is not None:
        return _read(path, source)
    if len(source) >= _SHORTEST_IMAGE and (data := _base64(source)):
        return data
    if is_data(source):
        raise _not_base64(source)
    if is_public():
        raise ImageError(
            f"The image {_named(source)} is not opened: files of this machine are not open to visitors. Put the "
            "image itself into the row, as base64 text after `data:image/png;base64,`."
        )
    raise ImageError(f"There is no image {_named(source)}; relative paths begin at {str(Path.cwd())!r}.")


def _file(source: str) -> Path | None:
    """The file at this path, if there is one that may be opened."""
    if is_public():
        return None
    try:
        path = Path(source.removeprefix("file://")).expanduser()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, with a null byte, or of an unknown user
        return None


def _read(path: Path, source: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImageError(f"The image {_named(source)} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAX_BYTES:
        raise _too_large(source)
    return data


def _not_base64(source: str) -> ImageError:
    return ImageError(f"The image {_named(source)} is not base64 text. Encode the file's bytes again.")


def _base64(text: str) -> bytes | None:
    """The bytes in a base64 text, with or without line breaks; None for any other text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _too_large(source: str) -> ImageError:
    return ImageError(f"The image {_named(source)} has more than {MAX_BYTES:,} bytes. Make it smaller.")


def _fetched(address: str) -> bytes:
    """The bytes at an address. It is requested once, even if it fails. Raises ImageError."""
    if is_public():
        raise ImageError(
            f"The image {_named(address)} is not fetched: this page opens no addresses for visitors. Put the image "
            "itself into the row, as base64 text after `data:image/png;base64,`."
        )
    answer = _answer(address)
    if isinstance(answer, ImageError):
        raise ImageError(str(answer))
    return answer


@lru_cache(maxsize=16)
def _answer(address: str) -> bytes | ImageError:
    import httpx

    data, end = bytearray(), time.monotonic() + _TIMEOUT_S
    try:
        with httpx.stream("GET", address, timeout=_TIMEOUT_S, follow_redirects=True) as answer:
            if answer.status_code >= 400:
                return _not_fetched(address, f"{answer.status_code} {answer.reason_phrase}")
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    return _too_large(address)
                if time.monotonic() > end:
                    return _not_fetched(address, f"it took more than {_TIMEOUT_S:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return _not_fetched(address, str(error) or type(error).__name__)
    return bytes(data)


def _not_fetched(address: str, why: str) -> ImageError:
    return ImageError(
        f"The image {_named(address)} cannot be fetched: {one_line(why, 160).rstrip('.')}. Save it as a file and give "
        "its path."
    )
