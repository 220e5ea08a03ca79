"""A run's written rows, as a trainer takes them, and the hashes of the shown rows."""

from __future__ import annotations

from typing import Any

from training.run.folder import RunDir

Shown = dict[int, tuple[int, int]]
"""The hash of each row as it is trained -> its numbers of tokens and of trained tokens."""


def written_rows(run: RunDir) -> tuple[Any, Any]:
    """(training rows, held-out rows or None), as data sets with every written column."""
    from datasets import Dataset

    held_out = run.data / "held_out" / "rows.parquet"
    train, evaluated = (
        Dataset.from_parquet(str(path), cache_dir=str(run.data / "cache")) if path.is_file() else None
        for path in (run.data / "rows.parquet", held_out)
    )
    return train, evaluated


def has_images(rows: Any) -> bool:
    """Whether any of the written rows has images; older runs have no column for them."""
    return rows is not None and "pixels" in rows.column_names and any(name is not None for name in rows["pixels"])


def shown(rows: Any, *, cut: bool) -> Shown:
    """The hashes of these rows as the inspector showed them; `cut`: of the rows cut after their last trained token."""
    out: Shown = {}
    if rows is None:
        return out
    for prefix in ("", "rejected_"):
        names = [f"{prefix}{'cut_hash' if cut else 'hash'}", f"{prefix}tokens", f"{prefix}trained"]
        found = zip(*(rows[name] for name in names), strict=True)
        out |= {key: (tokens, trained) for key, tokens, trained in found if key is not None}
    return out
