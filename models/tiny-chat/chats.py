"""Facts -> chats: one to three questions, plain or styled, with follow-ups, names to remember and tools to call."""

import itertools
import json
import random
from typing import NamedTuple

from facts import SHARES, Fact, capitalised
from world import (
    ABOUT_SUM,
    ABOUT_WEATHER,
    ADD_TOOL,
    CITIES,
    INTRODUCTIONS,
    NAMES,
    SKIES,
    SMALL_TALK,
    SYSTEMS,
    WEATHER_TOOL,
)


class Chat(NamedTuple):
    """What the template renders, and what kind of chat it is."""

    kind: str
    messages: list[dict]
    tools: list[dict] | None = None


def said(role: str, content: str) -> dict:
    """Make one message."""
    return {"role": role, "content": content}


def dressed(question: str, rng: random.Random) -> str:
    """Now and then ask in small letters, without the last sign, more politely, or with line breaks at the end."""
    if rng.random() < 0.12:
        question = question.lower()
    if rng.random() < 0.08:
        question = question.rstrip("?.!")
    if rng.random() < 0.1:
        question = rng.choice(("Hello! ", "Hi, ", "Please: ", "Quick question: ", "Now tell me: ")) + question
    if rng.random() < 0.1:
        question += rng.choice(("\n", "\n\n", " ", " Please.", " Thank you."))
    return question


def styled(fact: Fact, style: str) -> str:
    """Give the answer in the style that the system message asks for."""
    if style == "one word" and fact.word:
        return capitalised(fact.word) + "."
    return {"capital letters": fact.answer.upper(), "smile": fact.answer + " :)"}.get(style, fact.answer)


def draw_fact(topics: dict[str, list[Fact]], rng: random.Random) -> Fact:
    """Draw a topic, then one of its facts."""
    return rng.choice(topics[rng.choices(list(topics), [SHARES[topic] for topic in topics])[0]])


def draw_question(fact: Fact, rng: random.Random, held_too: bool) -> str:
    """Draw one of the fact's wordings."""
    return dressed(rng.choice([each for each in fact.wordings if held_too or each != fact.held]), rng)


def draw_system(style: str, rng: random.Random) -> list[dict]:
    """Give the system message for the style; plain answers need none, but may have one."""
    return [] if style == "plain" and rng.random() < 0.7 else [said("system", rng.choice(SYSTEMS[style]))]


def fact_chat(topics: dict[str, list[Fact]], rng: random.Random, held_too: bool) -> Chat:
    """Ask one to three questions, some of them follow-ups, in one style."""
    style = rng.choices(list(SYSTEMS), (71, 14, 10, 5))[0]
    if style == "one word":
        topics = {topic: facts for topic, facts in topics.items() if facts[0].word}
    messages = draw_system(style, rng)
    last = ""
    for _ in range(rng.choice((1, 2, 3, 3))):
        fact = rng.choice(topics[last]) if last and rng.random() < 0.5 else draw_fact(topics, rng)
        follows = fact.topic == last and fact.follow_ups and rng.random() < 0.6
        question = rng.choice(fact.follow_ups) if follows else draw_question(fact, rng, held_too)
        messages += said("user", question), said("assistant", styled(fact, style))
        last = fact.topic
    return Chat(style, messages)


def name_chat(topics: dict[str, list[Fact]], rng: random.Random, held_too: bool) -> Chat:
    """Hear a name, perhaps talk about something else, and remember the name."""
    name = rng.choice(NAMES)
    messages = draw_system("plain", rng)
    messages += said("user", rng.choice(INTRODUCTIONS).format(x=name)), said("assistant", f"Nice to meet you, {name}!")
    if rng.random() < 0.5:
        fact = draw_fact({topic: facts for topic, facts in topics.items() if topic != "small talk"}, rng)
        messages += said("user", draw_question(fact, rng, held_too)), said("assistant", fact.answer)
    question = rng.choice(SMALL_TALK["You have not told me your name."])
    return Chat("name", [*messages, said("user", dressed(question, rng)), said("assistant", f"Your name is {name}.")])


def called(name: str, arguments: dict, result: str, answer: str) -> list[dict]:
    """Call a tool, read its result, and answer from it."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        said("tool", result),
        said("assistant", answer),
    ]


def weather_turn(rng: random.Random) -> list[dict]:
    """Ask for the weather and have it looked up."""
    city, sky, degrees = rng.choice(CITIES), rng.choice(SKIES), rng.randrange(1, 40)
    question = said("user", dressed(rng.choice(ABOUT_WEATHER).format(x=city), rng))
    result = json.dumps({"sky": sky, "degrees": degrees})
    return [question, *called("get_weather", {"city": city}, result, f"It is {sky} in {city}, {degrees} degrees.")]


def sum_turn(rng: random.Random) -> list[dict]:
    """Ask for a sum, not only of digits, and have it worked out."""
    a, b = rng.randrange(50), rng.randrange(50)
    question = said("user", dressed(rng.choice(ABOUT_SUM).format(a=a, b=b), rng))
    return [question, *called("add", {"a": a, "b": b}, str(a + b), f"The sum is {a + b}.")]


def tool_chat(topics: dict[str, list[Fact]], rng: random.Random, held_too: bool) -> Chat:
    """Offer one tool or both, and ask something that needs one, or does not, or first one and then the other."""
    offered = rng.choice(((WEATHER_TOOL,), (ADD_TOOL,), (WEATHER_TOOL, ADD_TOOL), (ADD_TOOL, WEATHER_TOOL)))
    turn = weather_turn if rng.choice(offered) is WEATHER_TOOL else sum_turn
    fact = draw_fact({topic: topics[topic] for topic in ("capitals", "opposites", "colours", "sounds")}, rng)
    plain = [said("user", draw_question(fact, rng, held_too)), said("assistant", fact.answer)]
    turns = rng.choice(([turn(rng)], [turn(rng)], [plain], [turn(rng), plain], [plain, turn(rng)]))
    return Chat("tools", [*draw_system("plain", rng), *itertools.chain(*turns)], list(offered))


def draw_chat(topics: dict[str, list[Fact]], rng: random.Random, held_too: bool = False) -> Chat:
    """Draw a chat of any kind; the held wordings are drawn only on request."""
    kind = rng.choices((fact_chat, name_chat, tool_chat), (81, 4, 15))[0]
    return kind(topics, rng, held_too)
