"""Processors: which model has one, what it writes for images, and what is said where there is none to ask."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.errors import ImageError
from inspector.files.images import Size
from inspector.model.model import Model
from tests.processors import FAMILIES, Family, conversations, folder_of, judged
from tests.support.fetch import fetched, real_tokenizer

QUICK = ("two in a question", "in an answer", "700 x 2", "61 x 2", "28 x 28")


def model_of(family: Family, folder: Path) -> Model:
    fetched(lambda: real_tokenizer(family.tokenizer))
    return inspector.load(str(folder_of(family, folder)))


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_are_those_of_the_processor(name: str, tmp_path: Path) -> None:
    """Of every family, for some of the conversations; `python -m tests.processors` runs all of them."""
    model = model_of(FAMILIES[name], tmp_path)
    outcomes = {case: judged(model, conversation) for case, conversation in conversations() if case in QUICK}
    assert set(outcomes.values()) <= {"same", "refused"}, outcomes
    assert outcomes["two in a question"] == outcomes["in an answer"] == "same"


def test_texts_are_remembered_by_sizes() -> None:
    """The second image of a size costs nothing, and several threads ask at once."""
    model = inspector.load("bytes-vision")
    assert model.processor is not None
    found: list[Any] = []
    text, sizes = "a <|image_pad|> b <|image_pad|>", [Size(56, 84), Size(28, 112)]
    threads = [
        threading.Thread(target=lambda: found.append(model.processor and model.processor.replacements(text, sizes)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[(2, 15, "<|image_pad|>" * 6), (18, 31, "<|image_pad|>" * 4)]] * 4


def vision_folder(tmp_path: Path, **settings: Any) -> Path:
    """bytes-vision with other settings of its processor."""
    from inspector.model.place import EMBEDDED

    folder = tmp_path / "model"
    folder.mkdir()
    for path in EMBEDDED["bytes-vision"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    given = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    (folder / "preprocessor_config.json").write_text(json.dumps({**given, **settings}), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"processor_class": "OursProcessor"},
            r"The processor of '.*' is OursProcessor, which transformers does not have; code of a repository is never",
        ),
        ({"processor_class": None}, r"is not named in its files"),
        (
            {"processor_class": "Llama4Processor", "image_processor_type": "Llama4ImageProcessor"},
            r"Llama4Processor, cannot be loaded: .*; pip install torchvision\. Its placeholders stay",
        ),
        ({"image_processor_type": "OursImageProcessor"}, r"cannot be loaded: Unrecognized image processor"),
        (
            {"processor_class": "BlipProcessor", "image_processor_type": "BlipImageProcessor"},
            r"does not say what stands",
        ),
    ],
)
def test_a_processor_that_cannot_be_asked_is_said(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    """The text is shown with its placeholders, and the finding has the reason."""
    model = inspector.load(str(vision_folder(tmp_path, **settings)))
    assert model.processor is not None
    with pytest.raises(ImageError, match=says):
        _ = model.processor.image_token
    _, conversation = next(conversations())
    inspection = inspector.inspect(model, conversation)
    assert inspection.text.count("<|image_pad|>") == 1
    assert any(re.search(says, finding.detail) for finding in inspection.findings)


def test_settings_of_sounds_are_no_processor_of_images(tmp_path: Path) -> None:
    """Audio models have a preprocessor_config.json, too."""
    folder = vision_folder(tmp_path)
    (folder / "preprocessor_config.json").write_text('{"feature_extractor_type": "WhisperFeatureExtractor"}')
    assert inspector.load(str(folder)).processor is None


def test_a_model_of_texts_loads_whatever_its_settings_of_images_are(tmp_path: Path) -> None:
    """A file that is damaged, and a processor that cannot be made, are no obstacle to rows without images."""
    chat = [{"role": "user", "content": "<|image_pad|>?"}, {"role": "assistant", "content": "No."}]
    folder = vision_folder(tmp_path, processor_class="OursProcessor")
    assert "<|image_pad|>?" in inspector.inspect(inspector.load(str(folder)), chat).text
    (folder / "preprocessor_config.json").write_text("{")
    other = folder.rename(tmp_path / "damaged")
    assert inspector.load(str(other)).processor is None
