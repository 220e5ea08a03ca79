"""The source of a module -> the same for packages that have moved into another one: only its imports differ.

`from inspector.errors import short` becomes `from maskscope.inspector.errors import short`. `import inspector.errors`,
which binds `inspector`, becomes `import maskscope.inspector.errors; from maskscope import inspector`. Statements are
found by the parser and no line is added, so tracebacks name the lines of the checkout. Names in strings stay: code asks
`inspector.paths.module` for those.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

_FROM = re.compile(rb"from[\s\\]+")


def moved(source: bytes, packages: Collection[str], into: str) -> bytes:
    """The source, UTF-8, with the imports of `packages` as those of the same packages in `into`. Raises SyntaxError."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    out, end = [], 0
    for node in sorted(_imports(ast.parse(source)), key=lambda node: (node.lineno, node.col_offset)):
        first, last = starts[node.lineno - 1] + node.col_offset, _end(node, starts)
        out += [source[end:first], _rewritten(node, source[first:last], packages, into)]
        end = last
    return b"".join([*out, source[end:]])


def _imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def _end(node: ast.Import | ast.ImportFrom, starts: list[int]) -> int:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return starts[node.end_lineno - 1] + node.end_col_offset


def _rewritten(node: ast.Import | ast.ImportFrom, text: bytes, packages: Collection[str], into: str) -> bytes:
    if isinstance(node, ast.ImportFrom):
        if node.level or _top(node.module or "") not in packages:
            return text
        return _FROM.sub(lambda found: found[0] + f"{into}.".encode(), text, count=1)
    if not any(_top(alias.name) in packages for alias in node.names):
        return text
    return "; ".join(_statement(alias, packages, into) for alias in node.names).encode()


def _statement(alias: ast.alias, packages: Collection[str], into: str) -> str:
    """One name of an `import`, as a statement that binds the same name."""
    top = _top(alias.name)
    name = f"{into}.{alias.name}" if top in packages else alias.name
    if alias.asname:
        return f"import {name} as {alias.asname}"
    if top not in packages:
        return f"import {name}"
    bound = f"from {into} import {top}"
    return bound if alias.name == top else f"import {name}; {bound}"


def _top(module: str) -> str:
    return module.partition(".")[0]
