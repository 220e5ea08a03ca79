"""A fixture for tests of one's own data: `def test_data(maskscope): maskscope.audit(...).must_be_clean("error")`.

Installed with the package, pytest finds it by itself; in a checkout `-p` with this module's name loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Audited:
    """A data set's report, to be judged. `report`: an AuditReport."""

    report: Any

    def must_be_clean(self, fail_on: str = "error") -> None:
        """Fail the test with the report for findings of these severities or codes, and for rows that cannot be used.

        `fail_on`: as the command's: error, warning, note, a code, several with commas between them.
        """
        from inspector.audit.summary import failures, levels_of
        from inspector.audit.text import format_report

        failed = failures(self.report, levels_of(fail_on))
        if failed:
            report = "\n".join(format_report(self.report))
            pytest.fail(f"{'; '.join(failed)}.\n\n{report}", pytrace=False)


@dataclass(frozen=True)
class Maskscope:
    """What a test asks for."""

    def audit(
        self, model: str, data: str, *, columns: Mapping[str, str] | None = None, strategy: str = "traced",
        template: str | None = None, split: str = "", limit: int | None = None,
        modifiers: Mapping[str, Any] | None = None, **options: Any,
    ) -> Audited:  # fmt: skip
        """Audit a data set: a file, a folder, a hub id. Arguments as those of the command; `columns`: its `--map`."""
        import inspector
        from inspector.audit.run import Task, audit
        from inspector.data.source import DataSource
        from inspector.strategies import Modifiers, Rule

        rule = Rule(strategy=strategy, options=options, modifiers=Modifiers.parse(modifiers))
        task = Task(model=inspector.load(model, template=template), rule=rule)
        source = DataSource(name=data, split=split)
        return Audited(audit(task, source, mapping=dict(columns or {}), limit=limit, workers=1))

    def check(self, trainer: Any, **settings: Any) -> Any:
        """The report on a trainer's first batches; `.raise_if_wrong()` fails the test."""
        from inspector.live import check

        return check(trainer, **settings)

    def trained(self, model: str, conversation: list[Any] | Mapping[str, Any], **settings: Any) -> str:
        """The text that is trained in a conversation."""
        import inspector

        one = inspector.inspect(inspector.load(model), conversation, **settings)
        pieces = one.example.tokens.pieces()
        return "".join(piece for piece, bit in zip(pieces, one.trained, strict=True) if bit)


@pytest.fixture
def maskscope() -> Maskscope:
    """Audits data sets, checks trainers, and tells the trained text of a conversation."""
    return Maskscope()
