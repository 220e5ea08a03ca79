"""DeepSeek V3.2 and V4: chats are encoded by a Python file of the repository, and there is no chat template.

The file is recognised by its sha256 and never run. A Jinja template with the same rules replaces it, so that origins,
masks and everything else work as for any template; an unknown file, even with the same name, is refused. The tools of a
conversation are put where that code expects them: with the first message if that is the system's, otherwise in a
separate system message before it, as in SGLang. Without `thinking` or `enable_thinking` the mode is "chat", as in vLLM
and SGLang; that code itself has no default. Arguments of calls must be objects: that code also reads JSON text, but no
template can. A result as V3.2's first message is refused; that code searches for its call in the last message.
Source: `encoding/encoding_dsv32.py` of deepseek-ai/DeepSeek-V3.2, `encoding/encoding_dsv4.py` of DeepSeek-V4-Flash,
DeepSeek-V4-Pro and DeepSeek-V4-Flash-0731.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from inspector.model.encoders.encoder import Encoder


def _template(*parts: str) -> str:
    folder = Path(__file__).parent
    return "".join((folder / f"{part}.jinja").read_text(encoding="utf-8") for part in parts)


V32 = Encoder(
    name="deepseek-v3.2", title="DeepSeek's encoding_dsv32.py, as a template", template=_template("deepseek_v32")
)
V4 = Encoder(
    name="deepseek-v4", title="DeepSeek's encoding_dsv4.py, as a template",
    template=_template("deepseek_v4_efforts", "deepseek_v4"),
)  # fmt: skip
V4_0731 = Encoder(
    name="deepseek-v4-0731", title="DeepSeek's encoding_dsv4.py of 0731, as a template",
    template=_template("deepseek_v4_0731_efforts", "deepseek_v4"),
)  # fmt: skip
DEEPSEEK = (V32, V4, V4_0731)
_BY_SHA256 = {
    "5e068c2ba2a6e5ebe37a49bb005650c507e7935d77a32f3f7c11ee071498b370": V32,
    "bdbd57c132a1b3725042323d02b98b9d1df28e5f388f134399555d041f5055e0": V4,
    "abc0d26120250dda0ae077dc64aa28836026e61e970854aaeb792445e6a0dde6": V4_0731,
}
"""Hash of the whole file -> the code in it. The templates were compared with files of these hashes, text by text."""


def known_code(path: Path | None) -> Encoder | None:
    """The encoder that replaces a Python file; None if the file is unknown or missing."""
    return _BY_SHA256.get(hashlib.sha256(path.read_bytes()).hexdigest()) if path else None
