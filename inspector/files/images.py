"""Images of rows: the text that stands for one in a message, and how large it is.

An image is given as a path, an address, a `data:` URI or base64 text, as transformers takes it; bytes, Pillow's images
and what `datasets` keeps of one become a `data:` URI. An image is decoded, as a trainer does, but none that claims more
than MAX_PIXELS. Where this process serves visitors, no file of its machine and no address is opened.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from inspector.errors import ImageError, one_line, quoted, short
from inspector.files.access import is_public

MAX_BYTES = 20_000_000
"""Largest file of an image that is read."""
MAX_PIXELS = 50_000_000
"""Most pixels that an image may have: a small file can claim any number of them."""
_TIMEOUT_S = 20.0
"""Longest silence of a server that an image is fetched from."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What Pillow reads by itself: other formats have it start programs, or are none of images alone."""
_LONGEST_PATH, _SHORTEST_IMAGE = 1024, 60
"""Characters: what is longer is no path, and no image is shorter as base64 text."""
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)
"""The field of EXIF that says how to turn an image, and its values that change height and width over."""


class Size(NamedTuple):
    """The size of an image in pixels."""

    height: int
    width: int


def as_text(value: Any) -> str | None:
    """The text that stands for an image in a message; None for what is none."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bytes | bytearray):
        return "data:image;base64," + base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        held = value.get("bytes") or value.get("path") or value.get("url")
        return None if isinstance(held, Mapping) else as_text(held)
    if type(value).__module__.startswith("PIL."):
        file = BytesIO()
        value.save(file, format="PNG")
        return as_text(file.getvalue())
    return None


def images_of(value: Any) -> list[str] | None:
    """The texts that stand for the images of a column: one, or a list; None where something else is among them."""
    if value is None:
        return []
    texts = [as_text(one) for one in value] if isinstance(value, list | tuple) else [as_text(value)]
    return None if None in texts else [text for text in texts if text]


def is_data(source: str) -> bool:
    """Whether a text holds an image itself and does not say where it is."""
    return source.startswith("data:") or len(source) > _LONGEST_PATH


def size_of(source: str) -> Size:
    """The size of an image, turned as its EXIF data says. Raises ImageError."""
    path = None if is_data(source) else _file(source)
    state = path.stat() if path is not None else None
    return _size(source, (state.st_mtime_ns, state.st_size) if state is not None else None)


@lru_cache(maxsize=64)
def _size(source: str, version: tuple[int, int] | None) -> Size:
    """The size of an image. `version`: of a file when it was last written, and its length."""
    image = opened(source)
    height, width = image.height, image.width
    return Size(width, height) if image.getexif().get(_ORIENTATION) in _TURNED else Size(height, width)


@lru_cache(maxsize=64)
def thumbnail(source: str, most: int = 96) -> str:
    """A small copy of an image as a `data:` URI, no side longer than so many pixels; "" of one that is not read."""
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(opened(source)).convert("RGB")
    except ImageError:
        return ""
    image.thumbnail((most, most))
    file = BytesIO()
    image.save(file, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def opened(source: str) -> Any:
    """An image as Pillow has it, decoded. Raises ImageError."""
    from PIL import Image, UnidentifiedImageError

    data = _bytes(source)
    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,} pixels")
        image.load()
    except UnidentifiedImageError:
        raise ImageError(
            f"The image {_named(source)} is in no format that is read. Convert it to one of: {', '.join(_FORMATS)}."
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"The image {_named(source)} is too large: {one_line(str(error), 120)}. Up to {MAX_PIXELS:,} pixels are "
            "read; make it smaller."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"The image {_named(source)} is damaged: {one_line(str(error), 120).rstrip('.')}. Replace the file."
        ) from None
    return image


def _named(source: str) -> str:
    """An image in a message of ours: its place, or that the row holds it."""
    return f"{short(source, 30)} in the row" if is_data(source) else quoted(source, 120)


def _bytes(source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        return _fetched(source)
    if source.startswith("data:"):
        if data := _base64(source.partition(",")[2]):
            return data
        raise ImageError(f"The image {_named(source)} is not base64 text. Encode the file's bytes again.")
    if (path := _file(source)) is None:
        if len(source) >= _SHORTEST_IMAGE and (data := _base64(source)):
            return data
        if is_data(source):
            raise ImageError(f"The image {_named(source)} is not base64 text. Encode the file's bytes again.")
        if is_public():
            raise ImageError(
                f"The image {_named(source)} is not opened: files of this machine are not open to visitors. Put the "
                "image itself into the row, as base64 text after `data:image/png;base64,`."
            )
        raise ImageError(f"There is no image {_named(source)}; relative paths begin at {str(Path.cwd())!r}.")
    if path.stat().st_size > MAX_BYTES:
        raise _too_large(source)
    return path.read_bytes()


def _file(source: str) -> Path | None:
    """The file of that path, where there is one that may be opened."""
    path = Path(source.removeprefix("file://")).expanduser()
    try:
        return path if not is_public() and path.is_file() else None
    except (OSError, ValueError):  # too long to be a name, or with a null byte
        return None


def _base64(text: str) -> bytes | None:
    """What a base64 text holds, however its lines are broken; None for another text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _too_large(source: str) -> ImageError:
    return ImageError(f"The image {_named(source)} has more than {MAX_BYTES:,} bytes. Make it smaller.")


@lru_cache(maxsize=16)
def _fetched(address: str) -> bytes:
    """What an address answers. Raises ImageError."""
    import httpx

    if is_public():
        raise ImageError(
            f"The image {_named(address)} is not fetched: this page opens no addresses for visitors. Put the image "
            "itself into the row, as base64 text after `data:image/png;base64,`."
        )
    data = bytearray()
    try:
        with httpx.stream("GET", address, timeout=_TIMEOUT_S, follow_redirects=True) as answer:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > MAX_BYTES:
                    raise _too_large(address)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ImageError(
            f"The image {_named(address)} cannot be fetched: "
            f"{one_line(str(error) or type(error).__name__, 160)}. Save it as a file and give its path."
        ) from None
    return bytes(data)
