"""A pasted log as the trainer printed it: without colours, and without loggers' prefixes."""

from __future__ import annotations

import re

ANSI = re.compile(r"\x1b\[[0-9;:]*[A-Za-z]|(?<![\w\x1b])\[(?:0|3[0-7]|9[0-7])m")
"""Matches colour codes, even if a copy has lost the escape character."""
_OTHER_CONTROL = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LEVEL = r"(?:DEBUG|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
_STAMP = r"\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_PREFIXES = (
    rf"\[?{_STAMP}\]?\s*[|,:-]?",
    r"\[?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?",
    r"\[?(?:default)?\]?\[?rank\s?_?\d+\]?:",
    r"\[rank:?\s?\d+\]",
    r"\([A-Za-z_][\w.]*(?:\s*pid=\d+)[^)]*\)",
    r"\[?PID:?\s?\d+\]?",
    rf"\[{_LEVEL}\|[^\]]*\](?:\s*[\d:,-]+\s*>>)?",
    rf"\[{_LEVEL}(?::[\w.-]+)?\]",
    rf"{_LEVEL}\s*[|:](?:\s*[\w.]+:\d*:?(?=\s|[A-Z\[]))?",
    r"\[[\w.]+\.[\w.]+:\d+\]",
    r"\[[a-z_]+(?:\.[a-z_]+)*:\d+\]",
    r"[│┃|]\s",
    r">\s",
    r"E\s{2,}",
)
_PREFIX = re.compile(rf"^\s*(?:(?:{'|'.join(_PREFIXES)})\s*)+", re.IGNORECASE)
_QUOTES = str.maketrans("", "", "`'\"\u2018\u2019\u201c\u201d\\│┃")


def plain(log: str) -> str:
    """The log without colours and other control characters."""
    return _OTHER_CONTROL.sub("", ANSI.sub("", log.replace("\r\n", "\n").replace("\r", "\n")))


def unprefixed(log: str) -> str:
    """A plain log without the time, level, rank and process that loggers write before each line."""
    return "\n".join(_PREFIX.sub("", line) for line in log.split("\n"))


def squashed(text: str) -> str:
    """A text without whitespace and quotes, in lower case: it is the same however a terminal wrapped it."""
    return re.sub(r"(?:\\n|\s)+", "", text).translate(_QUOTES).lower()


def phrase(pattern: str) -> re.Pattern[str]:
    """The pattern of a message, for a search in `squashed` text. It may hold groups; its spaces are ignored."""
    return re.compile(re.sub(r"\s+", "", pattern).lower())
