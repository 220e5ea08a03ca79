"""Expands the image placeholders of a conversation into the text that the model's processor writes for them.

The processor is transformers' class with the model's settings, and reports the text that it writes; of an image it
needs only the size. Parts of it that need torchvision are left out: videos are not expanded here.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from inspector.errors import CorruptFileError, ImageError, one_line
from inspector.files.images import Size, opened
from inspector.model.place import Place
from inspector.model.tokenizer import Tokenizer

SETTINGS = ("processor_config.json", "preprocessor_config.json")
"""The files that hold a processor's settings."""
_OF_VIDEOS = "video_preprocessor_config.json"
_KEPT = 512
"""Number of lists of sizes whose texts are cached."""
_MORE_SETTINGS = ("tokenizer_config.json", "config.json")
"""Other files that name the class of the processor."""
_STAYS = "Its placeholders stay as the template writes them."


class Replacement(NamedTuple):
    """`text` replaces the characters `[start, end)`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Built:
    """A processor of transformers, and the texts that it wrote for images of some sizes."""

    processor: Any
    texts: dict[tuple[Size, ...], list[str]]
    lock: threading.Lock


class Processor:
    """The processor of a model; that of transformers is made for the first image."""

    def __init__(self, place: Place, tokenizer: Tokenizer) -> None:
        self._place, self._tokenizer = place, tokenizer
        self._built: _Built | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return Processor, (self._place, self._tokenizer)

    def replacements(self, text: str, sizes: Sequence[Size]) -> list[Replacement]:
        """The replacements for the images in a rendered text, in order. Raises ImageError."""
        built = self._load()
        token = built.processor.image_token
        if (count := text.count(token)) != len(sizes):
            raise ImageError(
                f"The text has {count} placeholder{'' if count == 1 else 's'} {token!r}, and the messages have "
                f"{len(sizes)} image{'' if len(sizes) == 1 else 's'}; the processor refuses that. "
                + ("Remove those in the texts." if count > len(sizes) else "Use a template that writes one an image.")
            )
        _, found = built.processor.get_text_with_replacements([text], self._texts(built, tuple(sizes)))
        return [Replacement(one["span"][0], one["span"][1], one["replacement"]) for one in found[0]]

    def encoded(self, text: str, images: Sequence[str]) -> dict[str, Any]:
        """The model's inputs for a rendered text and its images: arrays by name, each of one row.

        `input_ids`, and other inputs with one entry per token, have the shape [1, tokens]. Raises ImageError.
        """
        processor = self._load().processor
        pictures = [opened(image).convert("RGB") for image in images]
        try:
            out = processor(text=[text], images=[pictures], add_special_tokens=False, return_tensors="np")
        except Exception as error:  # each processor raises its own errors
            raise ImageError(
                f"{type(processor).__name__} refuses the images of a row: {one_line(str(error), 200)}. Leave it out."
            ) from None
        return dict(out)

    def save(self, folder: Path) -> None:
        """Copy the settings to a model's files unchanged, so that the processor is found there."""
        for name in (*SETTINGS, _OF_VIDEOS):
            if (path := self._place.fetch(name)) is not None:
                shutil.copyfile(path, folder / name)

    @property
    def image_token(self) -> str:
        """The placeholder that the template writes for an image.

        Raises ImageError if the processor cannot be loaded.
        """
        return str(self._load().processor.image_token)

    def may_write(self, text: str) -> bool:
        """Whether a text may have a placeholder: whether it holds an added token of the tokenizer that names an image.

        Avoids loading the processor for texts without one.
        """
        return any(token.content in text for token in self._named)

    @cached_property
    def _named(self) -> list[Any]:
        tokens = self._tokenizer.added_tokens_decoder.values()
        return [token for token in tokens if re.search("im(age|g)|media", token.content, re.IGNORECASE)]

    @property
    def transformers(self) -> Any:
        """The processor of transformers. Raises ImageError."""
        return self._load().processor

    def _texts(self, built: _Built, sizes: tuple[Size, ...]) -> list[str]:
        with built.lock:
            if sizes not in built.texts:
                if len(built.texts) >= _KEPT:
                    built.texts.clear()
                built.texts[sizes] = self._expanded(built.processor, sizes)
            return built.texts[sizes]

    def _expanded(self, processor: Any, sizes: tuple[Size, ...]) -> list[str]:
        """The texts that the processor itself writes for blank images of these sizes."""
        from PIL import Image

        blank = [Image.new("RGB", (size.width, size.height)) for size in sizes]
        try:
            out = processor(
                text=[processor.image_token * len(blank)], images=[blank], return_text_replacement_offsets=True,
                add_special_tokens=False, return_tensors=None,
            )  # fmt: skip
        except Exception as error:  # each processor raises its own errors
            raise ImageError(
                f"{type(processor).__name__} refuses images of {_listed(sizes)} pixels (height x width): "
                f"{one_line(str(error), 200)}. Change their sizes."
            ) from None
        return [one["replacement"] for one in out["text_replacement_offsets"][0]]

    def _load(self) -> _Built:
        with self._lock:
            if self._built is None:
                self._built = _Built(_load(self._place, self._tokenizer), {}, threading.Lock())
            return self._built


def has_processor(place: Place) -> bool:
    """Whether a model has settings for images; an unreadable settings file does not count."""
    settings = []
    for name in SETTINGS:
        with suppress(CorruptFileError):
            settings.append(place.json(name) if name in place.names else None)
    return any("image_processor" in one or "image_processor_type" in one for one in settings if one)


def _listed(sizes: Sequence[Size]) -> str:
    return ", ".join(f"{size.height} x {size.width}" for size in dict.fromkeys(sizes))


def _load(place: Place, tokenizer: Tokenizer) -> Any:
    """The processor of a model. Raises ImageError, which says what is missing."""
    kind = _class(place)
    arguments = {"revision": place.commit, "token": place.token, "local_files_only": place.offline}
    try:
        processor = _without_missing_parts(kind, tokenizer).from_pretrained(
            place.path, trust_remote_code=False, **arguments
        )
    except Exception as error:  # the parts raise their own errors
        needs = "; pip install torchvision" if "torchvision" in str(error).lower() else ""
        raise ImageError(
            f"The processor of {place.name!r}, {kind.__name__}, cannot be loaded: "
            f"{one_line(str(error), 200)}{needs}. {_STAYS}"
        ) from None
    if getattr(processor, "image_token", None) is None:
        raise ImageError(
            f"{kind.__name__}, the processor of {place.name!r}, does not say what stands for an image. {_STAYS}"
        )
    return processor


def _class(place: Place) -> Any:
    """The class of a model's processor, found as in transformers. Raises ImageError."""
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES, processor_class_from_name

    settings = [place.json(name) or {} for name in (*SETTINGS, *_MORE_SETTINGS) if name in place.names]
    named = [one.get("processor_class") for one in settings]
    names = [*named, *(PROCESSOR_MAPPING_NAMES.get(one.get("model_type")) for one in settings)]
    names = [name for name in names if isinstance(name, str)]
    kind = next(filter(None, map(processor_class_from_name, names)), None)
    if kind is None:
        what = f"{names[0]}, which transformers does not have" if names else "not named in its files"
        raise ImageError(f"The processor of {place.name!r} is {what}; code of a repository is never run here. {_STAYS}")
    return _for_pillow(kind.__name__) or kind if getattr(kind, "is_dummy", False) else kind


def _for_pillow(name: str) -> Any:
    """A processor that transformers offers only with torchvision, made with its image module for Pillow, if it has one.

    Pixtral's is an example: it needs the module for a function that both modules have.
    """
    for package in find_spec("transformers.models").submodule_search_locations:  # type: ignore[union-attr]
        for path in Path(package).glob("*/processing_*.py"):
            if f"class {name}(" not in path.read_text(encoding="utf-8"):
                continue
            home = f"transformers.models.{path.parent.name}"
            with suppress(ImportError):
                module = import_module(f"{home}.image_processing_pil_{path.parent.name}")
                taken = f"{home}.image_processing_{path.parent.name}"
                with patched_modules({taken: module}):
                    return getattr(import_module(f"{home}.{path.stem}"), name)
    return None


@contextmanager
def patched_modules(modules: Mapping[str, Any]) -> Iterator[None]:
    """Make imports in the block find these modules under other names."""
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _without_missing_parts(kind: Any, tokenizer: Tokenizer) -> Any:
    """The class, made with this tokenizer and without the parts whose libraries are not installed."""
    from transformers import AutoImageProcessor

    class Partial(kind):  # type: ignore[misc]
        @classmethod
        def _get_arguments_from_pretrained(cls, path: str, processor_dict: Any = None, **options: Any) -> list[Any]:
            options.pop("subfolder", None)
            known = {"tokenizer": tokenizer, "image_processor": AutoImageProcessor.from_pretrained(path, **options)}
            return [known.get(name) for name in kind.get_attributes()]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)

    Partial.__name__ = kind.__name__
    return Partial
