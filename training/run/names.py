"""Two words for a run without a name: they are easier to say and to tell apart than its id."""

from __future__ import annotations

import hashlib

_FIRST = (
    "amber brave brisk calm clever cosy crisp daring eager early fair fancy fond frank fresh gentle glad golden grand "
    "happy hardy honest humble jolly keen kind lively lucky mellow merry mild modest neat nimble noble patient plain "
    "polite proud quick quiet rapid ready rosy rustic sharp shiny silent silver simple smart snug solid spry steady "
    "sturdy sunny swift tidy vivid warm witty wise young "
)
_SECOND = (
    "badger bat bear beaver bison boar buzzard camel cat cod crane cricket crow deer dolphin dove duck eagle eel "
    "falcon ferret finch fox frog gecko goose hare hawk hedgehog heron hornet ibis jay koala lark lemur lion lizard "
    "lynx magpie marten mole moose moth newt otter owl panda parrot pelican perch pike plover puffin quail rabbit "
    "raven robin salmon seal sparrow squirrel stork swan "
)


def two_words(run_id: str) -> str:
    """The name that belongs to an id, always the same. Two runs in a few thousand share one."""
    first, second = _FIRST.split(), _SECOND.split()
    number = int.from_bytes(hashlib.sha256(run_id.encode("utf-8", "replace")).digest()[:8], "big")
    return f"{first[number % len(first)]}-{second[number // len(first) % len(second)]}"
