"""The commands that merge, publish, and query Hugging Face Jobs: each returns (JSON-ready value, text)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from training.launch import runs

DTYPES = ("bf16", "fp16", "fp32")


def add_arguments(merge: argparse.ArgumentParser, publish: argparse.ArgumentParser) -> None:
    """The options of `merge` and `publish`."""
    merge.add_argument("--out", type=Path, metavar="FOLDER", help="where to (default: merged/ of the run)")
    for command in (merge, publish):
        command.add_argument("--dtype", choices=DTYPES, default="", help="default: the one it was trained in")
    publish.add_argument("--repo", default="", metavar="USER/NAME", help="default: publish.repo of the spec")
    publish.add_argument(
        "--merged", action=argparse.BooleanOptionalAction, help="the whole model instead of the adapter"
    )
    who = publish.add_mutually_exclusive_group()
    who.add_argument("--public", dest="private", action="store_false", default=None, help="anyone can read it")
    who.add_argument("--private", dest="private", action="store_true", default=None, help="the default")


def flavors(options: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """The machines of Hugging Face Jobs."""
    from training.launch.jobs import Jobs

    found = Jobs().flavors()
    head = ["flavor", "CPU", "memory", "GPU", "GPU memory", "USD an hour"]
    names = ("name", "cpu", "memory", "gpu", "gpu_memory", "usd_per_hour")
    rows = [head, *([str("" if one[name] is None else one[name]) for name in names] for one in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return found, "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def merge(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The adapter merged into its base model."""
    from training.publish.merge import merge

    run = runs.find(options.run_id, options.runs)
    folder = merge(run, options.out, options.dtype)
    return {"run_id": run.run_id, "folder": str(folder)}, f"The whole model is in {folder}"


def publish(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The adapter or the merged model, sent to the hub."""
    from training.publish.upload import publish

    run = runs.find(options.run_id, options.runs)
    asked = run.spec().publish
    is_merged = bool(asked and asked.merged) if options.merged is None else options.merged
    is_private = (asked is None or asked.private) if options.private is None else options.private
    done = publish(run, options.repo, is_merged=is_merged, is_private=is_private, dtype=options.dtype)
    who = "private" if done.is_private else "public"
    return done.to_dict(), f"{len(done.files)} files are at {done.url}, {who}."
