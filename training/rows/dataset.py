"""A run's written rows, as a trainer takes them, and what of them was shown."""

from __future__ import annotations

from typing import Any

from training.run.folder import RunDir

Shown = dict[int, tuple[int, int]]
"""The hash of each row as it is trained -> its tokens, and how many of them train."""


def written_rows(run: RunDir) -> tuple[Any, Any]:
    """(rows that train, held-out ones or None), as data sets with every column that was written."""
    from datasets import Dataset

    held_out = run.data / "held_out" / "rows.parquet"
    train, evaluated = (
        Dataset.from_parquet(str(path), cache_dir=str(run.data / "cache")) if path.is_file() else None
        for path in (run.data / "rows.parquet", held_out)
    )
    return train, evaluated


def has_images(rows: Any) -> bool:
    """Whether any of the written rows has images; those of older runs have no column for them."""
    return rows is not None and "pixels" in rows.column_names and any(name is not None for name in rows["pixels"])


def shown(rows: Any, *, cut: bool) -> Shown:
    """What the inspector showed of these rows; `cut`: they train without what is after their last trained token."""
    out: Shown = {}
    if rows is None:
        return out
    for prefix in ("", "rejected_"):
        names = [f"{prefix}{'cut_hash' if cut else 'hash'}", f"{prefix}tokens", f"{prefix}trained"]
        found = zip(*(rows[name] for name in names), strict=True)
        out |= {key: (tokens, trained) for key, tokens, trained in found if key is not None}
    return out
