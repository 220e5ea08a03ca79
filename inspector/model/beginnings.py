"""Streams a file of the hub from its beginning, for files of which only the beginning is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from inspector.model.model import Token


@contextmanager
def opened_on_hub(repository: str, file: str, revision: str | None, token: Token) -> Iterator[Beginning]:
    """The file as a stream, which is closed when the block ends. Raises huggingface_hub's errors."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    url = hf_hub_url(repository, file, revision=revision)
    headers = build_hf_headers(token=token)
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
        hf_raise_for_status(response)
        yield Beginning(response.iter_bytes())


class Beginning:
    """Bytes that arrive in chunks and are read in pieces of other sizes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._at = pieces, b"", 0

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer only at the end."""
        if self._at + size <= len(self._piece):
            self._at += size
            return self._piece[self._at - size : self._at]
        parts = [self._piece[self._at :]]
        missing = size - len(parts[0])
        while missing > 0 and (piece := next(self._pieces, b"")):
            parts.append(piece[:missing])
            self._piece, self._at = piece, len(parts[-1])
            missing -= self._at
        if missing > 0:
            self._piece, self._at = b"", 0
        return b"".join(parts)
