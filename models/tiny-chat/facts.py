"""The lists of world.py -> facts: questions in several wordings, each with its answer; one wording is held back."""

import itertools
import random
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from world import (
    ABOUT_CAPITAL,
    ABOUT_COLOUR,
    ABOUT_COUNTRY,
    ABOUT_NEXT,
    ABOUT_OPPOSITE,
    ABOUT_SOUND,
    ABOUT_SUM,
    ABOUT_WEATHER,
    BY_LINE,
    CAPITALS,
    CITIES,
    COLOURS,
    DAYS,
    FAR_COUNTRIES,
    MONTHS,
    MYSTERIES,
    NO_COLOUR,
    NO_OPPOSITE,
    OPPOSITES,
    RIDDLES,
    SEED,
    SMALL_TALK,
    SOUNDS,
    UNKNOWN,
)

# How often each topic comes up, in percent: the harder ones more often.
SHARES = {"small talk": 8, "capitals": 17, "opposites": 14, "colours": 8, "sounds": 7, "sums": 16,
          "days and months": 12, "counting": 12, "unknown": 6}  # fmt: skip


class Fact(NamedTuple):
    """Something to know: all the wordings that ask for it, and the answer, in full and, where possible, in one word.

    Follow-ups ask for it when the question before was about the same topic. `held` is the wording kept from training.
    """

    topic: str
    wordings: tuple[str, ...]
    answer: str
    word: str | None
    follow_ups: tuple[str, ...]
    held: str | None


def capitalised(text: str) -> str:
    """Begin with a capital letter and leave the rest alone."""
    return text[:1].upper() + text[1:]


def fact(
    topic: str,
    wordings: Iterable[str],
    answer: str,
    word: str | None = None,
    follow_ups: Iterable[str] = (),
    **blanks: object,
) -> Fact:
    """Fill the blanks of the wordings; hold back one that depends on the answer, except for small talk."""
    filled = tuple(capitalised(wording.format(**blanks)) for wording in wordings)
    number = zlib.crc32(repr((answer, blanks)).encode())
    held = None if topic == "small talk" else filled[number % len(filled)]
    return Fact(topic, filled, answer, word, tuple(each.format(**blanks) for each in follow_ups), held)


def small_talk() -> Iterator[Fact]:
    """Greetings, thanks, and questions about the model itself."""
    for answer, wordings in SMALL_TALK.items():
        yield fact("small talk", wordings, answer)


def capitals() -> Iterator[Fact]:
    """Capitals of countries, and the way back."""
    for country, city in CAPITALS.items():
        answer = f"The capital of {country} is {city}."
        yield fact("capitals", ABOUT_CAPITAL, answer, city, ("And {x}?", "What about {x}?", "And of {x}?"), x=country)
        yield fact("capitals", ABOUT_COUNTRY, f"{city} is the capital of {country}.", country, x=city)


def opposites() -> Iterator[Fact]:
    """Opposites, in both directions."""
    for pair in OPPOSITES.items():
        for one, other in (pair, pair[::-1]):
            answer = f"The opposite of {one} is {other}."
            yield fact("opposites", ABOUT_OPPOSITE, answer, other, ("And of {x}?", "And {x}?"), x=one)


def colours() -> Iterator[Fact]:
    """Colours of things."""
    for thing, colour in COLOURS.items():
        answer = capitalised(f"{thing} is {colour}.")
        yield fact("colours", ABOUT_COLOUR, answer, colour, ("And {x}?", "What about {x}?"), x=thing)


def sounds() -> Iterator[Fact]:
    """Sounds of animals."""
    for animal, sound in SOUNDS.items():
        answer = capitalised(f"{animal} says {sound}.")
        yield fact("sounds", ABOUT_SOUND, answer, sound, ("And {x}?", "What about {x}?"), x=animal)


def sums() -> Iterator[Fact]:
    """Sums of two digits."""
    for a, b in itertools.product(range(10), repeat=2):
        answer = f"{a} plus {b} is {a + b}."
        yield fact("sums", ABOUT_SUM, answer, str(a + b), ("And {a} plus {b}?", "And {a} + {b}?"), a=a, b=b)


def neighbours() -> Iterator[Fact]:
    """Which day or month comes before or after which."""
    for unit, names in (("day", DAYS), ("month", MONTHS)):
        for first, second in itertools.pairwise((*names, names[0])):
            for way, asked, found in (("after", first, second), ("before", second, first)):
                answer, follow_ups = f"{found} comes {way} {asked}.", ("And {way} {x}?", "What about {way} {x}?")
                yield fact("days and months", ABOUT_NEXT, answer, found, follow_ups, unit=unit, way=way, x=asked)


def counting() -> Iterator[Fact]:
    """Counting up, counting down, and one number per line."""
    for low, high in itertools.combinations(range(1, 11), 2):
        numbers = [str(number) for number in range(low, high + 1)]
        wordings = ["Count from {a} to {b}.", "Count from {a} up to {b}.", "Please count from {a} to {b}."]
        if low == 1:
            wordings += ["Count to {b}.", "Can you count to {b}?", "Please count to {b}."]
            downwards = ("Count down from {b}.", "Count backwards from {b}.", "Please count down from {b}.")
            yield fact("counting", downwards, ", ".join(numbers[::-1]) + ".", b=high)
            if high <= 5:
                yield fact("counting", BY_LINE, "\n".join(numbers), b=high)
        yield fact("counting", wordings, ", ".join(numbers) + ".", a=low, b=high)


def unknowns() -> Iterator[Fact]:
    """What it should admit not to know: things outside its world that are asked for in the same words."""
    rng = random.Random(SEED)
    large = [sorted((rng.randrange(50), rng.randrange(10, 50)), key=lambda _: rng.random()) for _ in range(60)]
    asked = [
        *((RIDDLES, {"x": mystery}) for mystery in MYSTERIES),
        *((ABOUT_CAPITAL, {"x": country}) for country in FAR_COUNTRIES),
        *((ABOUT_OPPOSITE, {"x": word}) for word in NO_OPPOSITE),
        *((ABOUT_COLOUR, {"x": thing}) for thing in NO_COLOUR),
        *((ABOUT_WEATHER, {"x": city}) for city in CITIES),
        *((ABOUT_SUM, {"a": a, "b": b}) for a, b in large),
    ]
    for wordings, blanks in asked:
        yield fact("unknown", wordings, UNKNOWN, "unknown", **blanks)


def world() -> dict[str, list[Fact]]:
    """Collect every fact, by topic."""
    sources = (small_talk, capitals, opposites, colours, sounds, sums, neighbours, counting, unknowns)
    facts = [each for source in sources for each in source()]
    return {topic: [each for each in facts if each.topic == topic] for topic in dict.fromkeys(f.topic for f in facts)}
