"""Rows with images through a run, on SmolVLM's architecture with random weights: proven, and trained as TRL does."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import inspector
from inspector.files.images import opened
from tests.processors import _IDEFICS, TEMPLATE, image
from training.publish.merge import merge
from training.rows.pixels import digest, read_pixels, write_pixels
from training.rows.prepare import load_model, prepare
from training.rows.written import row_hash
from training.run.folder import Phase, RunDir
from training.spec import parse_spec

SIDE = 32
PREPROCESSOR = {
    "image_processor_type": "SmolVLMImageProcessor", "processor_class": "SmolVLMProcessor", "do_image_splitting": False,
    "size": {"longest_edge": SIDE}, "max_image_size": {"longest_edge": SIDE},
}  # fmt: skip
PROCESSOR = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: a token a byte, a vision tower of two layers, a language model of two."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    folder = tmp_path_factory.mktemp("smol")
    tokenizer = inspector.load("bytes-bos").tokenizer
    tokenizer = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    tokenizer.add_tokens(list(_IDEFICS), special_tokens=True)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", "<image>")
    tokenizer.save_pretrained(folder)
    for name, value in (("preprocessor_config", PREPROCESSOR), ("processor_config", PROCESSOR)):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    config = SmolVLMConfig(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), pad_token_id=tokenizer.pad_token_id, scale_factor=2,
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": SIDE, "patch_size": 8,
        },
        text_config={
            "model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
            "max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    return folder


def rows_in(folder: Path, count: int = 6, **more: Any) -> Path:
    """A file of rows: one or two images of noise in files, a question, an answer; the last row has none."""
    rows = []
    for number in range(count):
        names = []
        for which in range(1 + number % 2 if number < count - 1 else 0):
            path = folder / f"{number}-{which}.png"
            opened(image(20 + 7 * number, 40 + which)).save(path)
            names.append(str(path))
        asked = {"role": "user", "content": "<image>" * len(names) + f"Number {number}?"}
        rows.append({"messages": [asked, {"role": "assistant", "content": f"It is {number}."}], "images": names} | more)
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def spec_of(smol: Path, data: Path, **more: Any) -> Any:
    return parse_spec(
        {"model": str(smol), "data": str(data), "max_steps": 3, "learning_rate": 1e-3, "micro_batch": 2,
         "device": "cpu", "sampling": {"max_new_tokens": 4}, **more}
    )  # fmt: skip


def test_rows_keep_their_images(smol: Path, tmp_path: Path) -> None:
    """The arrays are the processor's, and the hash of a row has them in it."""
    spec, unused = spec_of(smol, rows_in(tmp_path)), []
    model = load_model(spec)
    rows = list(prepare(spec, spec.data, model, unused))
    assert not unused
    assert [len(row.pixels["pixel_values"][0]) if row.pixels else 0 for row in rows] == [1, 2, 1, 2, 1, 0]
    assert rows[0].pixels["pixel_values"].shape == (1, 1, 3, SIDE, SIDE)
    name = write_pixels(tmp_path, 0, rows[0].pixels)
    read = read_pixels(tmp_path / "pixels" / str(name))
    assert digest(read) == digest(rows[0].pixels) != digest(rows[2].pixels)
    assert row_hash([1, 2], [1, 2], read) != row_hash([1, 2], [1, 2])
    changed = {key: value.copy() for key, value in read.items()}
    changed["pixel_values"][0, 0, 0, 0, 0] += 1
    assert digest(changed) != digest(read)


@pytest.mark.parametrize("lora", [True, False])
def test_a_run_is_proven(smol: Path, tmp_path: Path, lora: bool) -> None:
    """Its sentence counts the rows; the vision tower stays as it is, and answers see the images."""
    from training.run.journal import Journal
    from training.trainer.fit import fit

    spec = spec_of(smol, rows_in(tmp_path), **({} if lora else {"lora": None}))
    run = RunDir.create(tmp_path / "runs", spec)
    fit(run, spec, Journal(run))
    facts = run.facts()
    assert run.status().phase is Phase.SUCCEEDED
    assert facts.proof is not None
    assert "identical to the inspector's, id by id and label by label." in facts.proof.sentence
    assert {sample["when"] for sample in run.samples()} >= {"before", "after"}
    card = (run.adapter / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForImageTextToText.from_pretrained" in card
    assert "processor.apply_chat_template(messages, add_generation_prompt=True" in card
    assert (run.adapter / "preprocessor_config.json").is_file()
    if lora:
        merged = merge(run)
        assert inspector.load(str(merged)).processor is not None
        from safetensors.torch import load_file

        names = set(load_file(run.adapter / "adapter_model.safetensors"))
        assert names
        assert all("text_model" in name for name in names)


def test_held_out_rows_have_images_of_their_own(smol: Path, tmp_path: Path) -> None:
    """A data set to evaluate on counts its rows anew: its first row is not that of the others."""
    from training.run.journal import Journal
    from training.trainer.fit import fit

    for name in ("rows", "held"):
        (tmp_path / name).mkdir()
    data, held = rows_in(tmp_path / "rows", 3), rows_in(tmp_path / "held", 5)
    held.write_text("\n".join(held.read_text().splitlines()[1:]))
    spec = spec_of(smol, data, evaluation={"data": {"name": str(held)}, "every": 1})
    run = RunDir.create(tmp_path / "runs", spec)
    fit(run, spec, Journal(run))
    assert run.status().phase is Phase.SUCCEEDED
    assert any("eval_loss" in line for line in run.metrics())


def test_loss_and_gradients_are_those_of_trl(smol: Path, tmp_path: Path) -> None:
    """Of TRL's own collator over the same rows with the same labels."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    from training.trainer.batches import ImageBatcher
    from training.weights.load import load_weights

    data = rows_in(tmp_path)
    spec = spec_of(smol, data)
    model = load_model(spec)
    rows = list(prepare(spec, spec.data, model, []))
    weights = load_weights(spec, model).eval()
    assert model.processor is not None
    processor = model.processor.transformers
    processor.chat_template = model.template
    processor.video_processor = SimpleNamespace(
        num_frames=1, fps=1
    )  # asked for of texts, too; the real one needs torchvision
    for row, line in zip(rows[:-1], data.read_text().splitlines(), strict=False):
        images = [opened(name) for name in json.loads(line)["images"]]
        messages = [
            {**message, "content": [{"type": part["type"], **({"text": part["text"]} if "text" in part else {})}
                                    for part in message["content"]] if isinstance(message["content"], list)
             else message["content"]}
            for message in row.conversation.messages
        ]  # fmt: skip
        batch = dict(DataCollatorForVisionLanguageModeling(processor)([{"messages": messages, "images": images}]))
        assert batch["input_ids"][0].tolist() == row.input_ids
        batch["labels"] = torch.tensor([row.labels])
        expected = weights(**batch).loss
        name = write_pixels(tmp_path, row.number, row.pixels)
        made = ImageBatcher(tmp_path)([{"input_ids": row.input_ids, "labels": row.labels, "pixels": name}])
        found = weights(**made).loss
        assert float(found) == float(expected)
        gradients = [torch.autograd.grad(loss, weights.lm_head.weight)[0] for loss in (found, expected)]
        assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("spec", "row", "says"),
    [
        ({"packing": True}, {}, "which method sft alone trains, without packing"),
        ({"max_length": 9}, {}, "max_length cuts tokens of an image"),
        ({}, {"images": ["none.png"]}, "There is no image 'none.png'"),
    ],
)
def test_rows_that_cannot_train_are_said(
    smol: Path, tmp_path: Path, spec: dict[str, Any], row: dict[str, Any], says: str
) -> None:
    """And left out."""
    given, unused = spec_of(smol, rows_in(tmp_path, 2, **row), **spec), []
    model = load_model(given)
    rows = list(prepare(given, given.data, model, unused))
    assert says in unused[0].why
    assert all(not one.pixels for one in rows)
