"""A run's rows: each inspected, cut as the spec says, and written down exactly as it is to be trained.

The hash of every row is taken here, from the inspection. The worker compares what its collator yields with these.
"""

from __future__ import annotations

import hashlib
import platform
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import inspector
from inspector.audit import DETECTED_FROM, detect_rows
from inspector.conversation import Conversation
from inspector.errors import InspectorError
from inspector.formats import Format, read, text_template
from inspector.model import Model
from inspector.rows import BadRow, DataSource
from training.errors import Problem, SpecError
from training.spec import DataSpec, RunSpec

SHOWN = 3
"""Questions taken from the rows for the answers before and after, where the spec names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRow:
    """A row as it is trained. `number`: of the row in its data set. `texts`: what each of its tokens stands for."""

    number: int
    input_ids: list[int]
    labels: list[int]
    texts: list[str]
    conversation: Conversation

    @property
    def trained(self) -> int:
        """How many tokens carry the loss."""
        return sum(label != -100 for label in self.labels)


def load_model(spec: RunSpec) -> Model:
    """The tokenizer and template that the spec names. Raises what `inspector.load` raises."""
    model = inspector.load(spec.model, revision=spec.revision or None, template=spec.template or None)
    return model.with_special_tokens(spec.special_tokens)


def prepare(spec: RunSpec, data: DataSpec, model: Model, unused: list[BadRow]) -> Iterator[PreparedRow]:
    """Every row that trains, in order; those that cannot be used or train nothing are added to `unused` with why.

    Raises DataError, FormatError.
    """
    source = DataSource(name=found_name(data.name), split=data.split, config=data.config, revision=data.revision)
    rows = islice(source.rows(), data.limit)
    head = list(islice(rows, DETECTED_FROM))
    layout = detect_rows(head, data.map)
    if layout.format is Format.TEXT:
        model = model.with_template(text_template(model.tokenizer))
    for row in chain(head, rows):
        if isinstance(row, BadRow):
            unused.append(row)
            continue
        try:
            conversation = read(row.value, layout).conversation
            inspection = inspector.inspect(model, conversation, spec.strategy, spec.modifiers, **spec.options)
        except InspectorError as error:
            unused.append(BadRow(number=row.number, place=row.place, why=str(error)))
            continue
        ids, labels = inspection.row
        if all(label == -100 for label in labels):
            unused.append(BadRow(number=row.number, place=row.place, why="nothing in it trains"))
            continue
        yield PreparedRow(
            number=row.number, input_ids=ids, labels=labels, texts=inspection.row_texts, conversation=conversation
        )


def found_name(name: str) -> str:
    """A data set's name; the examples are found from any working folder."""
    shipped = Path(__file__).parents[1] / name
    return str(shipped) if name.startswith("examples/") and not Path(name).exists() and shipped.exists() else name


def cut_row(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
    """A row that ends after its last trained token. Raises ValueError for one that trains nothing."""
    end = max(i for i, label in enumerate(labels) if label != -100) + 1
    return ids[:end], labels[:end]


def row_hash(ids: Sequence[int], labels: Sequence[int]) -> int:
    """A 64-bit hash of a row, as a data set stores it: signed. Nothing comes before the first token to predict it
    from, so its label does not count."""
    data = array("q", ids).tobytes() + b"|" + array("q", labels[1:]).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), signed=True)


def write_rows(folder: Path, rows: Iterator[PreparedRow]) -> list[PreparedRow]:
    """Write the rows as Parquet; returns the first of them, for sampling. Raises SpecError when there are none.

    Columns: input_ids, labels; row, its number in the data set; tokens and trained, how many there are; hash, and
    cut_hash of the row that ends after its last trained token.
    """
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    schema = pyarrow.schema(
        [
            ("input_ids", pyarrow.list_(pyarrow.int64())),
            ("labels", pyarrow.list_(pyarrow.int64())),
            ("row", pyarrow.int64()),
            ("tokens", pyarrow.int64()),
            ("trained", pyarrow.int64()),
            ("hash", pyarrow.int64()),
            ("cut_hash", pyarrow.int64()),
        ]
    )
    first: list[PreparedRow] = []
    with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
        while batch := list(islice(rows, 256)):
            first += batch[: max(0, SHOWN - len(first))]
            writer.write_table(pyarrow.Table.from_pylist([_written(row) for row in batch], schema=schema))
    if not first:
        raise SpecError(
            [Problem(field="data", severity="error", message="no row of it trains.", remedy="Audit it: it says why.")]
        )
    return first


def _written(row: PreparedRow) -> dict[str, Any]:
    ids, labels = row.input_ids, row.labels
    hashes = {"hash": row_hash(ids, labels), "cut_hash": row_hash(*cut_row(ids, labels))}
    counts = {"tokens": len(ids), "trained": row.trained}
    return {"input_ids": ids, "labels": labels, "row": row.number, **counts, **hashes}


def describe(folder: Path, model: Model, spec: RunSpec, unused: Sequence[BadRow]) -> dict[str, Any]:
    """The manifest: what was prepared, and with what."""
    from importlib.metadata import version

    from pyarrow import parquet

    tokens = trained = rows = 0
    digest = hashlib.sha256()
    with parquet.ParquetFile(folder / "rows.parquet") as file:
        for batch in file.iter_batches(256):
            for row in batch.to_pylist():
                rows += 1
                tokens += len(row["input_ids"])
                trained += sum(label != -100 for label in row["labels"])
                digest.update(row["hash"].to_bytes(8, signed=True))
    return {
        "rows": rows,
        "total_tokens": tokens,
        "trained_tokens": trained,
        "unused": len(unused),
        "unused_rows": [{"row": row.number, "place": row.place, "why": row.why} for row in unused[:20]],
        "data_sha256": digest.hexdigest(),
        "model": model.name,
        "revision": model.revision,
        "template_hash": model.template_hash,
        "strategy": spec.strategy,
        "libraries": {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")},
        "python": platform.python_version(),
    }
