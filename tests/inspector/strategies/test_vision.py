"""TRL's collator for images, live: its ids and labels are those of `trl_vision`."""

from __future__ import annotations

from typing import Any

import pytest

import inspector
from inspector.errors import StrategyRefusedError
from inspector.files.images import opened
from inspector.inspection import Inspection
from inspector.model.model import Model
from inspector.pictures import sources
from inspector.trainers.compare import compare
from tests.processors import FAMILIES, TEMPLATE, conversations, folder_of, image
from tests.support.fetch import fetched, real_tokenizer

CASES = {name: conversation for name, conversation in conversations() if name not in ("480 x 640", "1000 x 50")}
TAGGED = TEMPLATE.replace(
    "{% if message.content is string %}",
    "{% if message.role == 'assistant' %}{% generation %}{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>{% endgeneration %}\n"
    "{% continue %}{% endif %}{% if message.content is string %}",
)


@pytest.fixture(scope="module", params=["Qwen2.5-VL", "Gemma 3", "Idefics3"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    family = FAMILIES[request.param]
    fetched(lambda: real_tokenizer(family.tokenizer))
    loaded = inspector.load(str(folder_of(family, tmp_path_factory.mktemp("model"))))
    return loaded.with_template(TAGGED.replace("IMAGE", family.image))


def collated(model: Model, messages: list[dict[str, Any]], **options: Any) -> tuple[list[int], list[int]]:
    """The ids and labels that TRL's collator makes of a row."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    assert model.processor is not None
    processor = model.processor.transformers
    processor.chat_template = model.template
    processor.tokenizer.pad_token = processor.tokenizer.pad_token or processor.tokenizer.eos_token
    images = [opened(source) for _, _, source in sources(messages) if source]
    bare = [{**message, "content": [_without_image(part) for part in message["content"]]} for message in messages]
    batch = DataCollatorForVisionLanguageModeling(processor, **options)([{"messages": bare, "images": images}])
    return batch["input_ids"][0].tolist(), batch["labels"][0].tolist()


def _without_image(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image"} if part["type"] == "image" else part


def row_of(inspection: Inspection) -> tuple[list[int], list[int]]:
    """Ids and labels as TRL gives them: the first token is labelled, and no loss is taken there."""
    ids, labels = inspection.row
    whole = not inspection.options.get("assistant_only")
    return ids, [ids[0] if whole else labels[0], *labels[1:]]


@pytest.mark.parametrize("assistant_only", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_labels_are_those_of_trl(model: Model, name: str, assistant_only: bool) -> None:
    """Where TRL stops, the strategy refuses."""
    conversation = CASES[name]
    try:
        expected = collated(model, conversation, assistant_only_loss=assistant_only)
    except Exception:
        with pytest.raises(StrategyRefusedError, match="TRL stops at this row"):
            inspector.inspect(model, conversation, "trl_vision", assistant_only=assistant_only)
        return
    inspection = inspector.inspect(model, conversation, "trl_vision", assistant_only=assistant_only)
    assert row_of(inspection) == expected
    assert sum(inspection.trained) > 3


@pytest.mark.parametrize("max_length", [3, 12, 60, 100_000])
def test_truncation_is_trls(model: Model, max_length: int) -> None:
    """It keeps the beginning, and stops where an image is cut."""
    conversation = CASES["28 x 28"]
    conversation = [conversation[0], {"role": "assistant", "content": [{"type": "text", "text": "Noise. " * 40}]}]
    whole = len(inspector.inspect(model, conversation).ids)
    length = max_length if max_length < 60 else whole - 60 if max_length == 60 else max_length
    try:
        expected = collated(model, conversation, max_length=length)
    except Exception:
        with pytest.raises(StrategyRefusedError, match=f"max_length {length} cuts tokens of the image of message 0"):
            inspector.inspect(model, conversation, "trl_vision", max_length=length)
        return
    assert row_of(inspector.inspect(model, conversation, "trl_vision", max_length=length)) == expected


def test_texts_become_parts() -> None:
    """TRL gives a template each text as a list of one part, which this one writes in other words."""
    vision = inspector.load("bytes-vision")
    other = vision.with_template(vision.template.replace("{{- message.content }}", "{{- 'T:' + message.content }}"))
    messages = [*CASES["28 x 28"][:1], {"role": "assistant", "content": "Noise."}]
    assert "T:Noise." in inspector.inspect(other, messages).text
    assert "T:Noise." not in inspector.inspect(other, messages, "trl_vision").text


def test_comparisons_have_it_for_images_alone() -> None:
    """With what it trains wrongly; the trainers that take any row stand beside it."""
    model = inspector.load("bytes-vision")
    (entry,) = [entry for entry in compare(model, CASES["28 x 28"]).entries if entry.strategy == "trl_vision"]
    assert "image placeholder" in entry.verdict.sentence or "image placeholders" in str(entry.verdict)
    assert entry.agreement is not None
    text = [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]
    assert "trl_vision" not in {entry.strategy for entry in compare(model, text).entries}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}], "the row has none"),
        (
            {"prompt": CASES["two questions"][:3], "completion": CASES["two questions"][3:]},
            "prompt and completion of a row with images apart",
        ),
        (
            {
                "messages": [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "B."}],
                "images": [image(28, 28)],
            },
            "TRL reads no <image>: it puts the images before the first text",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "A?"},
                    {"role": "assistant", "content": "B."},
                    {"role": "tool", "content": [{"type": "image"}]},
                    {"role": "assistant", "content": "C."},
                ],
                "images": [image(28, 28)],
            },
            "it fills no images of a column into messages of tools",
        ),
        ([*CASES["28 x 28"], {"role": "critic", "content": "No."}], "TRL stops at the role 'critic': it knows"),
        (
            [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "B."}],
            "TRL stops at this row: the row does not say which image it is",
        ),
    ],
)
def test_what_trl_does_not_take_is_refused(row: Any, says: str) -> None:
    with pytest.raises(StrategyRefusedError, match=says):
        inspector.inspect(inspector.load("bytes-vision"), row, "trl_vision", modifiers={"as_given": ["roles"]})
