"""Checks the page's JavaScript and runs it outside a browser: with TypeScript, and with the node that playwright has.

`python -m tests.support.javascript` is the part of `make check`: it checks the types of every script in ui/.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.fetch import NotFetchedError, typescript
from ui.parts.scripts import script
from ui.parts.tokens import bits_script

UI = Path(__file__).parents[2] / "ui"


def type_errors(project: Path) -> str:
    """What TypeScript says of the scripts of a tsconfig.json; empty when it is content. Raises as `typescript`."""
    done = _node(typescript() / "lib" / "tsc.js", "--project", project)
    return done.stdout + done.stderr


def evaluated(expression: str, *names: str) -> Any:
    """The value of a JavaScript expression after component.js, tokens.js and the files `names`: paths in ui/."""
    scripts = [bits_script(), script("parts/component.js", "parts/tokens.js", *names)]
    done = _node("--eval", "\n".join([*scripts, f"console.log(JSON.stringify({expression}) ?? null);"]))
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def _node(*arguments: object) -> subprocess.CompletedProcess[str]:
    from playwright._impl._driver import compute_driver_executable

    command = [compute_driver_executable()[0], *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def main() -> int:
    """Check every script of the page."""
    try:
        errors = type_errors(UI / "tsconfig.json")
    except NotFetchedError as error:
        errors = str(error)
    print(errors or "The scripts' types are right.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
