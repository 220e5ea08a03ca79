"""Images: which texts stand for one, how large it is, and what is refused."""

from __future__ import annotations

import base64
import http.server
import io
import random
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inspector.errors import ImageError
from inspector.files import images
from inspector.files.images import Size, as_json, as_text, images_of, opened, size_of, thumbnail


def encoded(width: int = 30, height: int = 20, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 50).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An address under which an image, a page and more bytes than are read can be had."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/none":
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(encoded() if self.path == "/image.png" else b"x" * 10_000)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as answers:
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{answers.server_port}"
        answers.shutdown()


@pytest.mark.parametrize("kind", images._FORMATS)
def test_size_is_that_of_every_format(kind: str, tmp_path: Path) -> None:
    """By path, by file address, as a URI, as base64 text alone, and as bytes."""
    data = encoded(kind=kind)
    path = tmp_path / "a picture"
    path.write_bytes(data)
    plain = base64.b64encode(data).decode()
    broken = "\n".join(plain[i : i + 76] for i in range(0, len(plain), 76))
    for source in (str(path), path.as_uri().replace("%20", " "), uri(data), plain, broken, as_text(data)):
        assert source is not None
        assert size_of(source) == Size(height=20, width=30)


def test_size_is_that_after_turning() -> None:
    """As transformers turns an image by its EXIF data before a processor sees it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert size_of(uri(encoded(kind="JPEG", exif=exif))) == Size(height=30, width=20)


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded())
    assert size_of(str(path)) == (20, 30)
    path.write_bytes(encoded(width=77))
    assert size_of(str(path)) == (20, 77)


def test_addresses_are_fetched(server: str) -> None:
    assert size_of(f"{server}/image.png") == (20, 30)
    with pytest.raises(ImageError, match=r"cannot be fetched: .*404.* Save it as a file"):
        size_of(f"{server}/none")
    with pytest.raises(ImageError, match="is in no format that is read"):
        size_of(f"{server}/page")
    with pytest.raises(ImageError, match="cannot be fetched"):
        size_of("http://127.0.0.1:1/image.png")


def test_an_address_that_gives_too_much_is_left(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 5_000)
    with pytest.raises(ImageError, match=r"has more than 5,000 bytes\. Make it smaller"):
        size_of(f"{server}/long")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.png", r"There is no image 'nowhere.png'; relative paths begin at '/"),
        ("null\0byte", "There is no image"),
        ("x!" * 150, "There is no image"),
        ("~nobody-of-that-name/x.png", "There is no image"),
        ("/proc/self/mem", r"cannot be read: .*\.$"),
        ("s3://bucket/x.png", r"addresses begin with http:// or https:// here"),
        ("http://" + "a" * 300 + "/x.png", "cannot be fetched"),
        ("HTTP://..", "cannot be fetched"),
        ("y!" * 1000, r"The image y!y!.*… in the row is not base64 text\. Encode"),
        ("data:image/png;base64,%%%", "is not base64 text"),
        ("data:", "is in no format|is not base64"),
        (uri(b"plain text"), r"is in no format that is read\. Convert it to one of: PNG, JPEG"),
        (uri(claiming(60_000, 60_000)), r"is too large: .*3600000000 pixels.*\. Up to 50,000,000 pixels are"),
        (
            uri(claiming(9_000, 9_000)),
            r"is too large: 9,000 x 9,000 pixels\. Up to 50,000,000 pixels are read; make it",
        ),
        (uri(claiming(20, 20)), "is damaged"),
        (uri(encoded(kind="JPEG")[:-300]), r"is damaged: .*truncated.*\. Replace the file"),
        (uri(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "is in no format"),
    ],
)
def test_what_is_no_image_is_said(source: str, says: str) -> None:
    with pytest.raises(ImageError, match=says):
        size_of(source)


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the whole image; the address is not asked again."""
    asked = []

    class Drips(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            for _ in range(500):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    return
                time.sleep(0.02)

        def log_message(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(images, "_TIMEOUT_S", 0.2)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drips) as drips:
        threading.Thread(target=drips.serve_forever, daemon=True).start()
        for _ in range(2):
            with pytest.raises(ImageError, match=r"cannot be fetched: it took more than 0 s\. Save it"):
                size_of(f"http://127.0.0.1:{drips.server_port}/x.png")
        drips.shutdown()
    assert asked == ["/x.png"]


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded(width=300, height=300))
    monkeypatch.setattr(images, "MAX_BYTES", 500)
    with pytest.raises(ImageError, match="has more than 500 bytes"):
        size_of(str(path))


def test_visitors_have_no_file_and_no_address_opened(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even whether the file is there is said; what the row holds itself is read."""
    path = tmp_path / "image.png"
    path.write_bytes(encoded())
    monkeypatch.setenv("MASKSCOPE_PUBLIC", "1")
    for name in (str(path), str(tmp_path / "none.png"), "~root/x.png", "~nobody-of-that-name/x.png"):
        with pytest.raises(ImageError, match="files of this machine are not open to visitors"):
            size_of(name)
    with pytest.raises(ImageError, match="this page opens no addresses for visitors"):
        size_of(f"{server}/image.png?visitor")
    assert size_of(uri(encoded())) == (20, 30)


def test_columns_of_images_are_texts() -> None:
    """Bytes, Pillow's images, what `datasets` keeps, and lists of them; nothing else."""
    data = encoded()
    image = Image.open(io.BytesIO(data))
    texts = images_of([data, image, {"bytes": data, "path": "x.png"}, {"bytes": None, "path": "x.png"}, "y.png"])
    assert [size_of(text) for text in texts[:3]] == [Size(20, 30)] * 3
    assert texts[3:] == ["x.png", "y.png"]
    assert (images_of(None), images_of([]), images_of("x.png")) == ([], [], ["x.png"])
    for value in (7, [7], [None], {"path": None}, {"url": {"url": 1}}, [[]], ["a.png", 5]):
        with pytest.raises(ImageError, match=r"^Image [01] of the row's column is .*, which is not an image: give"):
            images_of(value)
    assert opened(texts[1]).getpixel((3, 3)) == image.getpixel((3, 3))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "F", "La", "RGBa", "I;16", "1", "P", "RGBA", "LA"])
def test_images_of_pillow_in_any_mode(mode: str) -> None:
    """Some of them no PNG file holds."""
    assert size_of(as_text(Image.new(mode, (30, 20))) or "") == (20, 30)


def test_an_image_of_pillow_that_cannot_be_read_is_none() -> None:
    """Closed, cut off, or no image at all."""
    closed = Image.open(io.BytesIO(encoded()))
    closed.close()
    cut = Image.open(io.BytesIO(encoded()[:200]))
    assert [as_text(value) for value in (closed, cut, Image.Resampling.BOX, object())] == [None] * 4


def test_what_json_cannot_hold_becomes_text() -> None:
    """Other values stay as they are, for templates that read the column by its name."""
    data = encoded()
    assert [size_of(text) for text in as_json([data, Image.open(io.BytesIO(data)), {"bytes": data}])] == [(20, 30)] * 3
    for value in ("a.png", None, ["a.png"], {"url": "u", "alt": "x"}, [{"path": "p", "bytes": None}], 7):
        assert as_json(value) == value


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "GIF"])
def test_damaged_files_are_said(kind: str) -> None:
    """Whatever is broken in them, the header and the EXIF data, too: nothing else than an ImageError comes of it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "about"
    whole = encoded(kind=kind, **({} if kind == "GIF" else {"exif": exif}))
    draw, damaged = random.Random(kind), 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(min(len(data), 400))] = draw.randrange(256)
        source = uri(bytes(data))
        try:
            is_read = bool(size_of(source))
        except ImageError:
            is_read, damaged = False, damaged + 1
        assert bool(thumbnail(source)) is is_read
    assert damaged
