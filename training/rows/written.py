"""Writes a run's rows exactly as they will be trained.

The hash of every row is computed here, from the inspection. The worker compares its collator's rows with these hashes.
"""

from __future__ import annotations

import hashlib
import platform
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inspector.data.source import BadRow
from inspector.model.model import Model
from inspector.strategies.base import IGNORED, OWN_LABELS
from inspector.trainers.stops import stop_strings
from training.errors import Problem, SpecError
from training.rows.pixels import Pixels, digest, write_pixels
from training.rows.prepare import SHOWN, PreparedRow
from training.spec import RunSpec


def cut_row(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
    """A row cut after its last trained token. Raises ValueError for one that trains nothing."""
    end = max(i for i, label in enumerate(labels) if label != IGNORED) + 1
    return ids[:end], labels[:end]


def row_hash(ids: Sequence[int], labels: Sequence[int], pixels: Pixels = MappingProxyType({})) -> int:
    """A signed 64-bit hash of a row, as a data set stores it. Nothing before the first token could predict it, so its
    label does not count. `pixels`: the model's inputs for its images."""
    data = array("q", ids).tobytes() + b"|" + array("q", labels[1:]).tobytes() + digest(pixels)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), signed=True)


def write_rows(folder: Path, rows: Iterator[PreparedRow]) -> list[PreparedRow]:
    """Write the rows as Parquet; returns the first of them, for sampling. Raises SpecError if there are none.

    Columns: row, its number in the data set; cut, the number of tokens that a limit has cut off; input_ids, labels;
    tokens and trained, their numbers; hash, and cut_hash, of the row cut after its last trained token. Pairs have the
    same columns again as rejected_..., and answers that are judged alone have is_good; pixels is the file of a row's
    images.
    """
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    lists, number = pyarrow.list_(pyarrow.int64()), pyarrow.int64()
    kinds = {"input_ids": lists, "labels": lists} | dict.fromkeys(("tokens", "trained", "hash", "cut_hash"), number)
    schema = pyarrow.schema(
        [
            ("row", number),
            ("cut", number),
            *kinds.items(),
            *((f"rejected_{name}", kind) for name, kind in kinds.items()),
            ("is_good", pyarrow.bool_()),
            ("pixels", pyarrow.string()),
        ]
    )
    first: list[PreparedRow] = []
    with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
        while batch := list(islice(rows, 256)):
            first += batch[: max(0, SHOWN - len(first))]
            written = [_written(row) | {"pixels": write_pixels(folder, row.number, row.pixels)} for row in batch]
            writer.write_table(pyarrow.Table.from_pylist(written, schema=schema))
    if not first:
        raise SpecError(
            [
                Problem(
                    field="data",
                    severity="error",
                    message="no row of it has a trained token.",
                    remedy="Audit it: it says why.",
                )
            ]
        )
    return first


def _written(row: PreparedRow) -> dict[str, Any]:
    out: dict[str, Any] = {"row": row.number, "cut": sum(one.cut for one in row.answers), "is_good": row.is_good}
    for prefix, one in zip(("", "rejected_"), row.answers, strict=False):
        ids, labels = one.input_ids, one.labels
        counts = {"tokens": len(ids), "trained": sum(label != IGNORED for label in labels)}
        whole = row_hash(ids, labels, one.pixels)
        # a row with images trains whole: cutting it could remove tokens of an image
        hashes = {"hash": whole, "cut_hash": whole if one.pixels else row_hash(*cut_row(ids, labels))}
        columns = {"input_ids": ids, "labels": labels, **counts, **hashes}
        out |= {prefix + name: value for name, value in columns.items()}
    return out


def describe(
    folder: Path, model: Model, spec: RunSpec, unused: Sequence[BadRow], first: Sequence[PreparedRow]
) -> dict[str, Any]:
    """The manifest: the prepared rows, and the libraries used. `first`: some of the written rows."""
    from importlib.metadata import version

    from pyarrow import parquet

    tokens = trained = rows = cut = 0
    digest = hashlib.sha256()
    names = [prefix + name for prefix in ("", "rejected_") for name in ("tokens", "trained", "hash")]
    with parquet.ParquetFile(folder / "rows.parquet") as file:
        for batch in file.iter_batches(4_096, columns=[*names, "cut", "is_good"]):
            for row in batch.to_pylist():
                rows += 1
                tokens += row["tokens"] + (row["rejected_tokens"] or 0)
                trained += row["trained"] + (row["rejected_trained"] or 0)
                cut += row["cut"] > 0
                for name, value in row.items():
                    if name.endswith("hash") and value is not None:
                        digest.update(value.to_bytes(8, signed=True))
                if row["is_good"] is not None:
                    digest.update(bytes([row["is_good"]]))
    return {
        "rows": rows,
        "total_tokens": tokens,
        "trained_tokens": trained,
        "cut_rows": cut,
        "unused": len(unused),
        "unused_rows": [{"row": row.number, "place": row.place, "why": row.why} for row in unused[:20]],
        "data_sha256": digest.hexdigest(),
        "model": model.name,
        "revision": model.revision,
        "template_hash": model.template_hash,
        "method": spec.method.value,
        "strategy": OWN_LABELS if any(row.conversation.labelled for row in first) else spec.trained_by,
        "stop_strings": stop_strings(model),
        "libraries": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")},
        "python": platform.python_version(),
    }
