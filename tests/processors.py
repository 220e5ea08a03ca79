"""Images in our texts against the processors of transformers: `python -m tests.processors`.

Prints one line for each family, and exits with 1 on a difference. A processor is transformers' class with the settings
that the family's repositories have; its tokenizer is a real one, with the family's tokens for images where it lacks
them. The conversations have images of odd sizes, one of them or several, in questions and in answers.
"""

from __future__ import annotations

import base64
import io
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import inspector
from inspector.errors import InspectorError
from inspector.files.images import opened
from inspector.findings.codes import Code
from inspector.model.model import Model
from inspector.pictures import sources
from tests.support.fetch import real_tokenizer

TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{%- endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SIZES = ((480, 640), (97, 333), (28, 28), (1, 1), (1000, 50), (700, 2), (333, 517))
"""Height and width of the images, in pixels; some are refused by some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family of models. `image`: what its template writes for an image; `preprocessor`, `processor`: the settings in
    the files of its repositories; `tokens`: of its vocabulary, where the tokenizer lacks them; `named`: the names that
    tokenizer_config.json gives some."""

    tokenizer: str
    image: str
    preprocessor: Mapping[str, Any]
    processor: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)


_QWEN = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
_IDEFICS = (
    "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)  # fmt: skip
_GLM = ("<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>")
FAMILIES = {
    "Qwen2.5-VL": Family(
        tokenizer="qwen2_5", image="<|vision_start|><|image_pad|><|vision_end|>", tokens=_QWEN,
        preprocessor={
            "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor", "patch_size": 14,
            "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": 12845056,
        },
    ),
    "Qwen3-VL": Family(
        tokenizer="qwen3", image="<|vision_start|><|image_pad|><|vision_end|>", tokens=_QWEN,
        preprocessor={
            "image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor",
            "patch_size": 16, "merge_size": 2, "temporal_patch_size": 2,
            "size": {"longest_edge": 16777216, "shortest_edge": 65536},
        },
    ),
    "Gemma 3": Family(
        tokenizer="gemma3", image="<start_of_image>",
        preprocessor={
            "image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor",
            "image_seq_length": 256, "size": {"height": 896, "width": 896},
        },
        processor={"processor_class": "Gemma3Processor", "image_seq_length": 256},
        named={
            "image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
        },
    ),
    "Gemma 4": Family(
        tokenizer="qwen3", image="<|image|>",
        tokens=("<|image|>", "<|image>", "<image|>", "<|audio|>", "<|audio>", "<audio|>", "<|video|>"),
        preprocessor={"image_processor_type": "Gemma4ImageProcessor", "processor_class": "Gemma4Processor"},
        processor={"processor_class": "Gemma4Processor", "image_seq_length": 280},
        named={
            "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
            "boa_token": "<|audio>", "eoa_token": "<audio|>",
        },
    ),
    "Pixtral": Family(
        tokenizer="qwen3", image="[IMG]", tokens=_PIXTRAL,
        preprocessor={
            "image_processor_type": "PixtralImageProcessor", "processor_class": "PixtralProcessor",
            "patch_size": {"height": 16, "width": 16}, "size": {"longest_edge": 1024},
        },
        processor={
            "processor_class": "PixtralProcessor", "patch_size": 16, "image_token": "[IMG]",
            "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]",
        },
    ),
    "Mistral 3": Family(
        tokenizer="qwen3", image="[IMG]", tokens=_PIXTRAL,
        preprocessor={
            "image_processor_type": "PixtralImageProcessor", "processor_class": "PixtralProcessor",
            "patch_size": 14, "size": {"longest_edge": 1540},
        },
        processor={
            "processor_class": "PixtralProcessor", "patch_size": 14, "spatial_merge_size": 2, "image_token": "[IMG]",
            "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]",
        },
    ),
    "Idefics3": Family(
        tokenizer="llama3_2", image="<image>", tokens=_IDEFICS,
        preprocessor={
            "image_processor_type": "Idefics3ImageProcessor", "processor_class": "Idefics3Processor",
            "do_image_splitting": True, "max_image_size": {"longest_edge": 364}, "size": {"longest_edge": 1456},
        },
        processor={"processor_class": "Idefics3Processor", "image_seq_len": 169},
    ),
    "SmolVLM": Family(
        tokenizer="smollm2", image="<image>", tokens=_IDEFICS,
        preprocessor={
            "image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor",
            "do_image_splitting": True, "max_image_size": {"longest_edge": 512}, "size": {"longest_edge": 2048},
        },
        processor={"processor_class": "SmolVLMProcessor", "image_seq_len": 64},
    ),
    "InternVL 3": Family(
        tokenizer="qwen2_5", image="<IMG_CONTEXT>", tokens=("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        preprocessor={
            "image_processor_type": "GotOcr2ImageProcessor", "processor_class": "InternVLProcessor",
            "crop_to_patches": True, "min_patches": 1, "max_patches": 12, "size": {"height": 448, "width": 448},
        },
        processor={"processor_class": "InternVLProcessor", "image_seq_length": 256},
        named={
            "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "GLM-4.1V": Family(
        tokenizer="qwen3", image="<|begin_of_image|><|image|><|end_of_image|>", tokens=_GLM,
        preprocessor={
            "image_processor_type": "Glm4vImageProcessor", "processor_class": "Glm4vProcessor", "patch_size": 14,
            "merge_size": 2, "temporal_patch_size": 2,
        },
    ),
    "LLaVA-OneVision": Family(
        tokenizer="qwen2_5", image="<image>", tokens=("<image>", "<video>"),
        preprocessor={
            "image_processor_type": "LlavaOnevisionImageProcessor", "processor_class": "LlavaOnevisionProcessor",
        },
        processor={
            "processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 729,
            "vision_feature_select_strategy": "full",
        },
    ),
}  # fmt: skip


def image(height: int, width: int) -> str:
    """A picture of noise as a `data:` URI."""
    from PIL import Image

    noise = random.Random(height * 10_000 + width).randbytes(height * width * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def folder_of(family: Family, folder: Path) -> Path:
    """A repository of the family: a real tokenizer, and the family's settings."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_tokenizer(family.tokenizer))
    known = tokenizer.get_vocab()
    tokenizer.add_tokens([token for token in family.tokens if token not in known], special_tokens=True)
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", family.image)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    files: dict[str, Mapping[str, Any]] = {"preprocessor_config": family.preprocessor}
    files |= {"processor_config": family.processor} if family.processor else {}
    files |= {"tokenizer_config": {**settings, **family.named, "extra_special_tokens": dict(family.named)}}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def conversations() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Conversations with images by name."""
    for height, width in SIZES:
        yield f"{height} x {width}", [_asked(image(height, width)), _answer("It is noise.")]
    small, tall = image(97, 333), image(333, 97)
    yield "two in a question", [_asked(small, tall), _answer("Both are noise.")]
    yield "two questions", [_asked(small), _answer("Noise."), _asked(tall), _answer("Noise again.")]
    yield "in an answer", [_asked(), _answer(_part(small), "This is noise.")]


def _asked(*images: str) -> dict[str, Any]:
    return {"role": "user", "content": [*map(_part, images), {"type": "text", "text": "What is it? 図"}]}


def _answer(*parts: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": "assistant", "content": content}


def _part(source: str) -> dict[str, Any]:
    return {"type": "image", "image": source}


def judged(model: Model, conversation: list[dict[str, Any]]) -> str:
    """`same`, `refused` by both, or what differs."""
    inspection = inspector.inspect(model, conversation)
    try:
        encoded = encoded_by(model, conversation)
    except Exception as error:  # each processor raises what its code comes upon
        is_said = any(finding.code is Code.IMAGE_NOT_READ for finding in inspection.findings)
        return "refused" if is_said else f"only transformers refuses it: {error}"
    if list(encoded["input_ids"][0]) != inspection.ids:
        return f"the ids differ: {len(encoded['input_ids'][0])} of transformers, {len(inspection.ids)} here"
    spans = [picture.span for picture in inspection.example.pictures]
    if None in spans or len(spans) != sum(len(message["content"]) - 1 for message in conversation):
        return "an image is not in the text"
    inside = [
        index
        for index, (start, end) in enumerate(inspection.example.tokens.char_spans)
        if any(span is not None and start < span[1] and end > span[0] for span in spans)
    ]
    if any(inspection.trained[index] for index in inside) or not inside:
        return "tokens of an image train"
    bits = zip(inspection.example.tokens.texts, inspection.trained, strict=True)
    trained = "".join(text for text, bit in bits if bit).replace("\n", "")  # the end mark may merge with it
    answers = "".join(message["content"][-1]["text"] + "<|im_end|>" for message in conversation[1::2])
    return "same" if trained == answers else f"other text trains: {trained!r}"


def encoded_by(model: Model, conversation: list[dict[str, Any]], **options: Any) -> Any:
    """What the processor makes of the render and of the images themselves."""
    assert model.processor is not None
    text = model.tokenizer.apply_chat_template(conversation, chat_template=model.template, tokenize=False)
    images = [opened(source) for _, _, source in sources(conversation) if source]
    options = {"return_tensors": None, **options}
    return model.processor.transformers(text=[text], images=[images], add_special_tokens=False, **options)


def main() -> int:
    """Print a line a family. Returns the exit code."""
    failed = False
    for name, family in FAMILIES.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                model = inspector.load(str(folder_of(family, Path(folder))))
                outcomes = {case: judged(model, conversation) for case, conversation in conversations()}
            except InspectorError as error:
                outcomes = {"loading": str(error)}
        wrong = {case: what for case, what in outcomes.items() if what not in ("same", "refused")}
        counts = {what: list(outcomes.values()).count(what) for what in ("same", "refused")}
        print(f"{name:16} {counts['same']:3} same, {counts['refused']:2} refused by both", *wrong.items(), flush=True)
        failed |= bool(wrong) or not counts["same"]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
