"""Inspections -> labelled rows in a file, as a trainer takes them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from inspector.errors import ExportError, InspectorError
from inspector.inspection import Inspection
from inspector.strategies import Reason

_BATCH = 1000
"""Rows written to a Parquet file at once."""


def write_rows(inspections: Iterable[Inspection], path: str | Path) -> int:
    """Write labelled rows to a .parquet or .jsonl file, one inspection at a time; returns how many there are.

    Columns: `input_ids` and `labels` (-100 for a token that is not trained) after truncation, their `text`, and the
    names of the `model` and the `strategy`. An existing file is replaced once all rows are written. Raises ExportError
    for another suffix, a file that cannot be written or a row with images, and whatever `inspections` raises.
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise ExportError(f"{path} cannot hold rows: its name must end in {' or '.join(_WRITERS)}.")
    part = path.with_name(f"{path.name}.part")
    try:
        count = _WRITERS[path.suffix](map(_row, inspections), part)
        os.replace(part, path)
    except InspectorError:  # some of these are also an OSError
        raise
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return count


def _row(inspection: Inspection) -> dict[str, Any]:
    if inspection.example.pictures:
        raise ExportError("A row has images, and a file of ids and labels holds no pixels. Leave such rows out.")
    input_ids, labels = inspection.row
    spans = inspection.example.tokens.char_spans
    kept = [span for span, reason in zip(spans, inspection.labelled.reasons, strict=True) if reason is not Reason.CUT]
    text = inspection.text if len(kept) == len(spans) else inspection.text[kept[0][0] : kept[-1][1]]
    return {
        "input_ids": input_ids,
        "labels": labels,
        "text": text,
        "model": inspection.model.name,
        "strategy": inspection.strategy,
    }


def _write_jsonl(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    with path.open("w", encoding="utf-8") as file:
        return sum(bool(file.write(json.dumps(row, ensure_ascii=False) + "\n")) for row in rows)


def _write_parquet(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    ids, text = pyarrow.list_(pyarrow.int64()), pyarrow.string()
    columns = {"input_ids": ids, "labels": ids, "text": text, "model": text, "strategy": text}
    schema = pyarrow.schema(columns.items())
    count = 0
    with ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


_WRITERS = {".parquet": _write_parquet, ".jsonl": _write_jsonl}
