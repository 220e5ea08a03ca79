"""An audit on Ray is the audit: the same report, whatever the blocks, on a cluster of two cores on this machine."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inspector
from inspector.audit.report import AuditReport
from inspector.audit.run import Task, audit
from inspector.data.source import DataSource
from inspector.errors import DataError, FormatError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import ray.data

from inspector import ray_audit
from inspector.ray_audit import audit_dataset

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Ray on this machine alone."""
    folder = tempfile.mkdtemp(prefix="ray-")  # a short path: it holds sockets
    with pytest.MonkeyPatch.context() as patch:  # in a runtime_env it would make the workers useless that have started
        patch.setenv("PYTHONPATH", str(EXAMPLES.parents[1]))
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _temp_dir=folder,
            _node_ip_address="127.0.0.1", object_store_memory=80 * 2**20,
        )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def rows() -> list[dict[str, Any]]:
    """Rows with findings, repeated answers and rows that are none, far more than are shown."""
    out: list[dict[str, Any]] = []
    for i in range(90):
        answer = "\nYes." if i % 3 == 0 else "No." if i % 3 == 1 else f"The answer is {i}."
        out.append(
            {"messages": [{"role": "user", "content": f"Question {i}?"}, {"role": "assistant", "content": answer}]}
        )
    out[5]["messages"][0]["role"] = "narrator"
    out[70]["messages"] = []
    return out


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """The rows in a file that both read."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows()), tmp_path / "rows.parquet", row_group_size=13)
    return tmp_path / "rows.parquet"


@pytest.fixture(scope="module")
def task() -> Task:
    """The embedded model, as trainers take it."""
    return Task(model=inspector.load("tiny-chat"))


def as_json(report: AuditReport) -> Any:
    """What is written to a file."""
    return json.loads(json.dumps(report.to_dict()))


def test_report_equals_that_of_one_process(task: Task, parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, places, examples, answers and all: with the rows' own numbers, in any order, and without."""
    monkeypatch.setattr(ray_audit, "BATCH", 16)
    alone = audit(task, DataSource(name=str(parquet)), workers=1)
    del alone.about["data"]  # a data set of Ray's has no name
    assert alone.findings["boundary_merge"].rows == 30
    numbered = [
        {"messages": row.value["messages"], "row": row.number, "place": row.place}  # type: ignore[union-attr]
        for row in DataSource(name=str(parquet)).rows()
    ]
    shuffled = ray.data.from_items(numbered[50:] + numbered[:50]).repartition(4)
    assert as_json(audit_dataset(task, shuffled, workers=2)) == as_json(alone)
    assert shuffled.context.execution_options.preserve_order is False, "the caller's data set stays as it was"

    unnumbered = audit_dataset(task, ray.data.read_parquet(str(parquet)).repartition(5), workers=2)
    assert as_json(unnumbered) == json.loads(json.dumps(alone.to_dict()).replace("rows.parquet, row", "row"))
    assert [row["place"] for row in unnumbered.bad_rows] == ["row 5", "row 70"]


def test_texts_are_read_as_in_one_process(task: Task) -> None:
    """With the template for texts, and a column that is mapped."""
    texts = ray.data.from_items([{"body": "Hello there."}, {"body": "Good-bye."}])
    report = audit_dataset(task, texts, mapping={"text_column": "body"}, workers=1)
    assert report.about["layout"] == {"format": "text", "columns": {"text": "body"}}
    assert report.findings["no_trained_tokens"].rows == 2


def test_what_cannot_be_audited_says_so(task: Task) -> None:
    """No rows, another layout, a row without a number."""
    chat = [{"role": "user", "content": "Hi"}]
    with pytest.raises(DataError, match="The data set has no rows"):
        audit_dataset(task, ray.data.from_items([{"messages": chat}]).limit(0))
    with pytest.raises(FormatError, match="No layout fits the columns 'a'"):
        audit_dataset(task, ray.data.from_items([{"a": 1}]))
    unnumbered = [{"messages": chat, "row": i if i < 25 else None} for i in range(26)]
    with pytest.raises(DataError, match="The column 'row' numbers the rows from 0; one row has no number"):
        audit_dataset(task, ray.data.from_items(unnumbered), workers=1)
