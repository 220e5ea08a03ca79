"""Images of conversations: which rows have them, where they are put, and what is shown in their place."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.cli.terminal import format_inspection
from inspector.conversation import Conversation, Step
from inspector.errors import ConversationError, ExportError
from inspector.exports.targets import export_all, write_rows
from inspector.files.images import Size
from inspector.findings.codes import Code
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.rendering.origins import PLACEHOLDER
from tests.processors import image

SMALL, WIDE = image(56, 84), image(28, 112)
ASK, REPLY = {"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "Noise."}
PLACES = {SMALL: 6, WIDE: 4}
"""Image -> the tokens that Qwen2.5-VL's processor writes for it: one for 28 x 28 pixels."""


@pytest.fixture(scope="module")
def model() -> Model:
    return inspector.load("bytes-vision")


def shown(inspection: Inspection) -> str:
    """The text, with `#6` for six placeholders in a row."""
    text = inspection.text
    for count in range(12, 0, -1):
        text = text.replace("<|image_pad|>" * count, f"#{count}")
    return text.replace("<|vision_start|>", "[").replace("<|vision_end|>", "]")


def part(source: str | None = None) -> dict[str, Any]:
    return {"type": "image"} if source is None else {"type": "image", "image": source}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


ROWS: dict[str, tuple[Any, str]] = {
    "parts that name them": (
        [{"role": "user", "content": [part(SMALL), text("What is it?")]}, REPLY], "user\n[#6]What is it?",
    ),
    "as OpenAI's chat has them": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": SMALL}}, text("Hm?")]}, REPLY],
        "user\n[#6]Hm?",
    ),
    "as OpenAI's responses have them": (
        [{"role": "user", "content": [{"type": "input_image", "image_url": WIDE}, text("Hm?")]}, REPLY],
        "user\n[#4]Hm?",
    ),
    "a column, as TRL reads it": ({"messages": [ASK, REPLY], "images": [SMALL, WIDE]}, "user\n[#6][#4]What is it?"),
    "a column for parts without one": (
        {"messages": [{"role": "user", "content": [text("A"), part(), text("B"), part()]}, REPLY],
         "images": [WIDE, SMALL]}, "user\nA[#4]B[#6]",
    ),
    "a column beside a part that names one": (
        {"messages": [{"role": "user", "content": [part(SMALL), part()]}, REPLY], "images": [WIDE]}, "user\n[#6][#4]",
    ),
    "a column for tags, as LLaMA-Factory reads it": (
        {"messages": [{"role": "user", "content": "<image>\nA <image>?"}, REPLY], "images": [WIDE, SMALL]},
        "user\n[#4]\nA [#6]?",
    ),
    "LLaVA's": (
        {"conversations": [{"from": "human", "value": "<image>\nA?"}, {"from": "gpt", "value": "B."}], "image": WIDE},
        "user\n[#4]\nA?",
    ),
    "a tag in an answer": (
        {"messages": [ASK, {"role": "assistant", "content": "So: <image>"}], "images": [WIDE]}, "assistant\nSo: [#4]",
    ),
    "prompt and completion": ({"prompt": [ASK], "completion": [REPLY], "images": [WIDE]}, "user\n[#4]What is it?"),
    "question and answer": ({"question": "A?", "answer": "B.", "image": WIDE}, "user\n[#4]A?"),
    "none": ({"messages": [ASK, REPLY], "images": []}, "user\nWhat is it?"),
}  # fmt: skip
"""A row, and what is in its text."""


@pytest.mark.parametrize("name", ROWS)
def test_images_are_in_the_text(model: Model, name: str) -> None:
    """With as many tokens as their sizes ask for; none of them trains, and the row can be given again."""
    row, has = ROWS[name]
    inspection = inspector.inspect(model, row)
    assert has in shown(inspection)
    assert all(picture.span and not picture.why for picture in inspection.example.pictures)
    pads = [
        bit for token, bit in zip(inspection.to_dict()["tokens"], inspection.trained, strict=True) if "_pad" in token
    ]
    assert not any(pads)
    assert len(pads) == sum(PLACES[size] for size in (SMALL, WIDE) for _ in range(str(row).count(size)))
    assert any(inspection.trained)
    conversation = inspection.example.conversation
    assert Conversation.parse(conversation.to_json()) == conversation
    assert inspector.inspect(model, conversation.to_json()).ids == inspection.ids


def test_ids_are_those_of_a_text_with_the_images(model: Model) -> None:
    """The expanded text is what is tokenized; each character of it has an origin, a turn and a token."""
    inspection = inspector.inspect(model, ROWS["a column, as TRL reads it"][0])
    assert inspection.ids == model.tokenizer(inspection.text, add_special_tokens=False)["input_ids"]
    rendered = inspection.example.rendered
    assert sum(run.length for run in rendered.runs) == len(rendered.text)
    first, second = inspection.example.pictures
    assert (first.size, second.size) == (Size(56, 84), Size(28, 112))
    assert first.span is not None
    assert rendered.text[slice(*first.span)] == "<|image_pad|>" * 6
    inside = [run for start, end, run in rendered.spans() if start < first.span[1] and end > first.span[0]]
    assert {(run.origin.field, run.turn) for run in inside} == {(PLACEHOLDER.field, 0)}
    assert inspection.to_dict()["images"][1] == {
        "message": 0, "part": 1, "size": [28, 112], "char_span": list(second.span or ()), "why": "",
    }  # fmt: skip
    assert inspector.inspect(inspector.load("tiny-chat"), [ASK, REPLY]).to_dict()["images"] == []


def test_what_follows_an_image_keeps_its_places(model: Model) -> None:
    """Headers, generation spans and a generation prompt are where they are without the image, later by its tokens."""
    tagged = model.template.replace(
        "{{- message.content }}",
        "{% if message.role == 'assistant' %}{% generation %}{{- message.content }}{% endgeneration %}"
        "{% else %}{{- message.content }}{% endif %}",
    )
    messages = [{"role": "user", "content": [part(SMALL), text("A?")]}, REPLY, ASK, REPLY]
    conversation = {"messages": messages, "add_generation_prompt": True}
    plain = {**conversation, "messages": [{"role": "user", "content": [text("A?")]}, *messages[1:]]}
    with_image = inspector.inspect(model.with_template(tagged), conversation).example.rendered
    without = inspector.inspect(model.with_template(tagged), plain).example.rendered
    by = len(with_image.text) - len(without.text)
    assert [(start - by, end - by) for start, end in with_image.generation_spans] == list(without.generation_spans)
    assert len(without.generation_spans) == 2
    assert [(one.start - by, one.end - by) for one in with_image.headers] == [
        (one.start, one.end) for one in without.headers
    ]
    assert with_image.prompt_start is not None
    assert with_image.prompt_start - by == without.prompt_start


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([{"role": "user", "content": [part("none.png")]}, REPLY], "There is no image 'none.png'"),
        ([{"role": "user", "content": [part()]}, REPLY], "the row does not say which image it is"),
        (
            [{"role": "user", "content": [part(SMALL), text("<|image_pad|>")]}, REPLY],
            "The text has 2 placeholders '<|image_pad|>', and the messages have 1 image; the processor refuses that",
        ),
        ([{"role": "user", "content": [part(image(1, 400))]}, REPLY], "Qwen2_5_VLProcessor refuses images of 1 x 400"),
    ],
)
def test_an_image_that_is_not_shown_is_said(model: Model, messages: list[dict[str, Any]], why: str) -> None:
    """The placeholder stays as the template writes it, and the finding says why."""
    inspection = inspector.inspect(model, messages)
    assert all(picture.span is None for picture in inspection.example.pictures)
    (finding,) = [finding for finding in inspection.findings if finding.code is Code.IMAGE_NOT_READ]
    assert why in finding.detail
    assert inspection.to_dict()["images"][0]["why"] in finding.detail + "."


def test_a_model_of_texts_reads_a_row_as_before() -> None:
    """A column of images is not read, and a part of content goes out of a template that takes text."""
    tiny = inspector.load("tiny-chat")
    codes = [
        finding.code for finding in inspector.inspect(tiny, {"conversations": [ASK, REPLY], "images": [SMALL]}).findings
    ]
    assert Code.COLUMN_NOT_READ in codes
    inspection = inspector.inspect(tiny, ROWS["parts that name them"][0])
    assert "Images, sounds and videos are left out" in inspection.findings[0].detail


def test_a_template_with_parts_and_no_processor_is_said(model: Model) -> None:
    """It writes a placeholder, and nothing stands for the image."""
    inspection = inspector.inspect(
        inspector.load("tiny-chat", template=model.template), ROWS["parts that name them"][0]
    )
    (finding,) = [finding for finding in inspection.findings if finding.code is Code.IMAGE_NOT_READ]
    assert "this model has no image processor (no preprocessor_config.json)" in finding.detail
    assert finding.severity.value == "warning"


def test_images_and_places_are_as_many(model: Model) -> None:
    with pytest.raises(ConversationError, match=r"The row has 2 images in a column, and its messages have 1 place for"):
        inspector.inspect(model, {"messages": [{"role": "user", "content": "<image>?"}, REPLY], "images": [SMALL] * 2})


def test_a_row_can_be_left_as_it_is(model: Model) -> None:
    """as_given: images puts none of them into a message."""
    row = {"messages": [ASK, REPLY], "images": [SMALL]}
    assert [one.step for one in inspector.inspect(model, row).example.conversation.changes] == [Step.IMAGES]
    assert "_pad" not in inspector.inspect(model, row, modifiers={"as_given": ["images"]}).text


def test_a_template_that_reads_images_by_name_gets_them(model: Model) -> None:
    """As they are, with a processor and without; the other column goes into the messages."""
    template = "{{ images if images is string else images | length }}{{ image }}" + model.template
    for named in (model.with_template(template), inspector.load("tiny-chat", template=template)):
        for images, image_, shown_ in ((["a", "b"], "c", "2c"), ("a.png", None, "a.pngNone"), ([{"x": 1}], 7, "17")):
            row = {"messages": [ASK, REPLY], "images": images, "image": image_}
            assert inspector.inspect(named, row).text.startswith(shown_ + "<|im_start|>")
    one = model.with_template("{{ image }}" + model.template)
    assert shown(inspector.inspect(one, {"messages": [ASK, REPLY], "images": [WIDE], "image": "a.png"})).startswith(
        "a.png<|im_start|>user\n[#4]What"
    )


def test_a_column_beside_messages_that_name_their_images_stays(model: Model) -> None:
    """It is said that nothing reads it; so is the second of two columns."""
    named = {"messages": ROWS["parts that name them"][0], "image": "000123"}
    two = {"messages": [ASK, REPLY], "images": [SMALL], "image": WIDE}
    for row, has in ((named, "[#6]What"), (two, "[#6]What")):
        inspection = inspector.inspect(model, row)
        assert has in shown(inspection)
        (finding,) = [one for one in inspection.findings if one.code is Code.KEYWORD_NOT_READ]
        assert "'image'" in finding.detail


@pytest.mark.parametrize("images", [[None], [7], [{"bytes": None, "path": None}], 5])
def test_a_column_without_an_image_is_said(model: Model, images: Any) -> None:
    with pytest.raises(ConversationError, match=r"Image 0 of the row's column is .*, which is not an image: give"):
        inspector.inspect(model, {"messages": [ASK, REPLY], "images": images})


def test_a_placeholder_without_an_image_is_said(model: Model) -> None:
    """A user's, or the template's own: the processor stops at it."""
    typed = inspector.inspect(model, [{"role": "user", "content": "<|image_pad|>?"}, REPLY])
    own = inspector.inspect(model.with_template("<|image_pad|>" + model.template), [ASK, REPLY])
    for inspection in (typed, own):
        (finding,) = [one for one in inspection.findings if one.code is Code.IMAGE_NOT_READ]
        assert "The text has 1 placeholder '<|image_pad|>', and the messages have 0 images" in finding.detail
        assert finding.severity.value == "error"


def test_a_row_has_no_more_images_than_are_drawn(model: Model) -> None:
    """Small files can claim many pixels together, too."""
    many = [{"role": "user", "content": [part(image(28, 28))] * 65}, REPLY]
    (finding,) = [one for one in inspector.inspect(model, many).findings if one.code is Code.IMAGE_NOT_READ]
    assert "the images of one row have more than 50,000,000 pixels, or are more than 64" in finding.detail


def test_the_template_is_not_given_the_image_itself(model: Model) -> None:
    """A large image is no text that a template renders, and does not count as one."""
    large = image(700, 1400)
    assert len(large) > 1_000_000
    inspection = inspector.inspect(model, [{"role": "user", "content": [part(large)]}, REPLY])
    assert inspection.example.pictures[0].size == (700, 1400)
    assert inspection.example.pictures[0].span is not None


def test_an_image_file_is_shown_by_its_path(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths begin at the working folder, as for transformers."""
    from inspector.files.images import opened

    opened(WIDE).save(tmp_path / "wide.png")
    monkeypatch.chdir(tmp_path)
    row = {"messages": [ASK, REPLY], "images": ["wide.png"]}
    assert "[#4]What" in shown(inspector.inspect(model, row))


def test_a_model_with_a_processor_goes_to_other_processes(model: Model) -> None:
    """Audits send models to their helpers."""
    row = ROWS["a column, as TRL reads it"][0]
    assert inspector.inspect(pickle.loads(pickle.dumps(model)), row).ids == inspector.inspect(model, row).ids


def test_a_terminal_shows_an_image_in_words(model: Model) -> None:
    """And its tokens trained where they are."""
    row = ROWS["parts that name them"][0]
    assert "<|vision_start|>[image 56 x 84: 6 tokens]<|vision_end|>What" in format_inspection(
        inspector.inspect(model, row), colour=False
    )
    shown_full = format_inspection(inspector.inspect(model, row, "full"), colour=False)
    assert "<|vision_start|>[image 56 x 84: 6 tokens]<|vision_end|>What is it?<|im_end|>⏎" in shown_full
    assert "«user" in shown_full


def test_settings_for_texts_are_not_exported_for_images(model: Model, tmp_path: Path) -> None:
    """They would give a model image tokens without pixels; so would a file of ids and labels, and a run."""
    inspection = inspector.inspect(model, ROWS["parts that name them"][0])
    for export in export_all(inspection):
        assert export.same is False
        assert "Not possible. The row has images, and these settings are for texts alone" in export.verdict
    with pytest.raises(ExportError, match="a file of ids and labels holds no pixels"):
        write_rows([inspection], tmp_path / "rows.parquet")
    assert not list(tmp_path.iterdir())
