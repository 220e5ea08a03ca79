"""Several visitors at once, a few seconds of benchmarks/load.py: each sees what is theirs, and nothing stays behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[3]


def test_visitors_see_their_own_and_leave_nothing() -> None:
    """No error, no text of another visitor, no folder of one who has left."""
    command = [sys.executable, "benchmarks/load.py", "--users", "6", "--audits", "2", "--seconds", "8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "0 errors, 0 of them leaks; 0 folders left by those who are gone" in done.stdout
    assert "audits of 401 rows" in done.stdout
