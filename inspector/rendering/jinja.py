"""Jinja with origins: an environment whose templates know the origin of each character that they write.

The environment copies the settings, filters and globals of transformers' environment. Its code generator makes every
constant an `OriginStr` of its template line. A pass over the syntax tree opens a frame (see `frames`) for every round
of a loop and every call of a macro, so that text knows its writer. Not thread-safe: one render at a time in a process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, operators
from jinja2.compiler import Frame as Scope
from jinja2.environment import Template
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from inspector.conversation import is_media
from inspector.rendering.frames import ROOT, Frame, only_message
from inspector.rendering.origins import (
    CLOCK,
    PLACEHOLDER,
    TEMPLATE,
    UNKNOWN,
    Origin,
    OriginKind,
    OriginStr,
    Run,
    concat,
)
from inspector.rendering.safe_attributes import is_safe_attribute
from inspector.rendering.values import OriginDict, traced_json

if TYPE_CHECKING:
    from jinja2.parser import Parser


class TracingEnvironment(ImmutableSandboxedEnvironment):
    """transformers' template environment, in which text knows its origin.

    State of the current render: `frames`, all opened frames; `frame`, the number of the running one; and `written`, the
    number of characters that the template has yielded. A run's `turn` is the frame that wrote it; text that no frame
    wrote gets the frame that outputs it.
    """

    def __init__(self, model: Any) -> None:
        """Copy the settings of `model`, an environment of transformers."""
        super().__init__(
            trim_blocks=model.trim_blocks,
            lstrip_blocks=model.lstrip_blocks,
            keep_trailing_newline=model.keep_trailing_newline,
            extensions=[_GenerationTag, loopcontrols],
            optimized=False,  # constant folding would join template text of different lines
        )
        self.globals.update(model.globals)
        self.filters.update(model.filters)
        self.filters.update(tojson=_tojson, join=_join, indent=_indent, title=_title, safe=OriginMarkup)
        clock: Callable[[str], str] = model.globals["strftime_now"]
        self.globals["strftime_now"] = lambda format: OriginStr.of(clock(format), CLOCK)
        self.code_generator_class = _TracingCodeGenerator
        setattr(self, "concat", concat)  # noqa: B010  # a class attribute of Jinja's that its code looks up
        self._lines: dict[int, Origin] = {}
        self._places: dict[int, Origin] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the previous render."""
        self.frames = [Frame(parent=ROOT)]
        self.frame = ROOT
        self.around: list[int] = []
        self.written = 0
        self.generation_spans: list[tuple[int, int]] = []

    def run(self, template: Template, variables: dict[str, Any]) -> OriginStr:
        """Render. Afterwards `frames` and `generation_spans` are those of this render."""
        self.reset()
        blocks = []
        for block in template.generate(variables):
            self.written += len(block)
            blocks.append(block)
        return concat(blocks)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As in the sandbox."""
        return is_safe_attribute(self, obj, attr, value)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _OpenFrames().visit(super()._parse(source, name, filename))
        return tree

    # called by compiled templates

    def literal(self, text: str, line: int) -> OriginStr:
        """A string constant of the template, written by the frame that runs."""
        return OriginStr.of(text, self.line(line), turn=self.frame or None)

    def data(self, text: str, line: int) -> OriginStr:
        """Template text between tags; each of its lines has its own origin."""
        runs, at = [], line
        for part in text.splitlines(keepends=True):
            runs.append(Run(len(part), self.line(at), None, self.frame or None))
            at += part.endswith("\n")
        return OriginStr(text, runs)

    def emit(self, value: Any, line: int) -> OriginStr:
        """Text of an output expression.

        Text without a known origin gets the origin of the expression that writes it.
        """
        text = OriginStr(str(value))
        runs = text._runs
        if all(run.turn is not None and run.origin.line is not None for run in runs):
            return text
        return OriginStr(text, [self._placed(run, line, self._frame_of(runs, at)) for at, run in enumerate(runs)])

    def join(self, parts: tuple[Any, ...]) -> OriginStr:
        """Jinja's `~`."""
        return concat([str(part) for part in parts])

    def _frame_of(self, runs: Sequence[Run], at: int) -> int | None:
        """The frame of a run in an output: of several joined frames, the one next to it that is about it."""
        run = runs[at]
        if run.turn is not None:
            return run.turn
        before = next((other.turn for other in reversed(runs[:at]) if other.turn is not None), None)
        after = next((other.turn for other in runs[at + 1 :] if other.turn is not None), None)
        beside = [frame for frame in (before, after) if frame is not None]
        index = run.origin.message_index
        fitting = [frame for frame in beside if index is not None and self.frames[frame].is_about(index)]
        if fitting or (len(beside) == 2 and before == after) or (index is None and before is not None):
            return (fitting or beside)[0]
        return self.frame or None

    def enter(self) -> None:
        """A loop begins."""
        self.around.append(self.frame)

    def begin_round(self, *items: Any) -> None:
        """A round of the innermost loop begins; `items` are the values of its targets."""
        media = any(isinstance(item, OriginDict) and is_media(item) for item in items)
        is_within = self.frames[self.around[-1]].is_media
        self.frames.append(Frame(parent=self.around[-1], item=only_message(items), is_media=media or is_within))
        self.frame = len(self.frames) - 1

    def begin_macro(self, *arguments: Any) -> None:
        """A macro is called."""
        self.enter()
        self.begin_round(*arguments)

    def name(self, value: Any) -> None:
        """A variable was set: `{% set message = messages[i] %}` in a loop over numbers."""
        is_whole = isinstance(value, OriginDict) and value._origin.message_index is not None and not value._origin.field
        if is_whole and self.frame != ROOT:
            self.frames[self.frame].named.append(value._origin.message_index)

    def leave(self) -> None:
        """A loop or a macro has ended: the frame around it continues."""
        self.frame = self.around.pop()

    def recurse(self, loop: Any, *arguments: Any) -> Any:
        """`loop(...)` in a recursive loop: its rounds are inside the round that calls it."""
        self.enter()
        out = loop(*arguments)
        self.leave()
        return out

    def line(self, line: int) -> Origin:
        """The origin of template text on a line; always the same object for the same line and kind of text."""
        if self.frames[self.frame].is_media:
            return self._places.setdefault(line, replace(PLACEHOLDER, line=line))
        return self._lines.setdefault(line, Origin(OriginKind.TEMPLATE, line=line))

    def _placed(self, run: Run, line: int, turn: int | None) -> Run:
        if run.origin is TEMPLATE:
            return run._replace(origin=self.line(line), turn=turn)
        if run.origin is CLOCK:
            return run._replace(origin=replace(CLOCK, line=line), turn=turn)
        if run.origin is UNKNOWN:
            return run._replace(origin=Origin(OriginKind.UNKNOWN, line=line), turn=turn)
        return run._replace(turn=turn)


class _GenerationTag(Extension):
    """`{% generation %}` as transformers reads it: a span starts where the text already yielded ends.

    That is why a tag inside a macro or a `set` block records a span that does not hold its content.
    """

    tags = {"generation"}  # noqa: RUF012  # Jinja's own interface

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("record"), [], [], body).set_lineno(line)

    def record(self, caller: Callable[[], str]) -> str:
        text = caller()
        environment = self.environment
        assert isinstance(environment, TracingEnvironment)
        environment.generation_spans.append((environment.written, environment.written + len(text)))
        return text


class _OpenFrames(NodeTransformer):
    """Makes compiled templates report the rounds of loops, the calls of macros, and the values that variables are set
    to."""

    def visit_For(self, node: nodes.For) -> list[nodes.Node]:  # noqa: N802
        self.generic_visit(node)
        targets = [node.target] if isinstance(node.target, nodes.Name) else list(node.target.find_all(nodes.Name))
        node.body.insert(0, _call("begin_round", *_loaded(targets, node.lineno), lineno=node.lineno))
        return [_call("enter", lineno=node.lineno), node, _call("leave", lineno=node.lineno)]

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, _call("begin_macro", *_loaded(node.args, node.lineno), lineno=node.lineno))
        node.body.append(_call("leave", lineno=node.lineno))
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            recurse = nodes.EnvironmentAttribute("recurse", lineno=node.lineno)
            node.args.insert(0, node.node)
            node.node = recurse
        return node

    def visit_Assign(self, node: nodes.Assign) -> list[nodes.Node]:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.target, nodes.Name):
            return [node]
        return [node, _call("name", *_loaded([node.target], node.lineno), lineno=node.lineno)]


def _loaded(names: list[nodes.Name], lineno: int) -> list[nodes.Expr]:
    return [nodes.Name(name.name, "load", lineno=lineno) for name in names]


def _call(method: str, *arguments: nodes.Expr, lineno: int) -> nodes.ExprStmt:
    function = nodes.EnvironmentAttribute(method, lineno=lineno)
    return nodes.ExprStmt(nodes.Call(function, list(arguments), [], None, None, lineno=lineno), lineno=lineno)


class _Data(NamedTuple):
    text: str
    line: int


def _is_constant(node: nodes.Expr, frame: Scope) -> bool:
    try:
        node.as_const(frame.eval_ctx)
    except nodes.Impossible:
        return False
    return True


class _TracingCodeGenerator(CodeGenerator):
    """Jinja's code generator; every string constant and every output is passed through the environment."""

    def visit_Const(self, node: nodes.Const, frame: Scope) -> None:  # noqa: N802
        if isinstance(node.value, str):
            self.write(f"environment.literal({node.value!r}, {node.lineno})")
        else:
            super().visit_Const(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Scope) -> None:  # noqa: N802
        self.write(f"environment.data({node.data!r}, {node.lineno})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Scope) -> None:  # noqa: N802
        if isinstance(node.arg, nodes.Slice) and _is_constant(node, frame):
            self._slice_constant(node, frame)
            return
        if not (isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)):
            super().visit_Getitem(node, frame)
            return
        self.write("environment.getitem(")  # a key is never output: no need to trace it
        self.visit(node.node, frame)
        self.write(f", {node.arg.value!r})")

    def _slice_constant(self, node: nodes.Getitem, frame: Scope) -> None:
        """Jinja's optimizer computes this by `getitem`, which finds nothing in a value without parts."""
        self.write("environment.getitem(")
        self.visit(node.node, frame)
        self.write(", slice(")
        assert isinstance(node.arg, nodes.Slice)
        for part in (node.arg.start, node.arg.stop, node.arg.step):
            self.write("None") if part is None else self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Operand(self, node: nodes.Operand, frame: Scope) -> None:  # noqa: N802
        if isinstance(node.expr, nodes.Const):  # nor is the constant of a comparison
            self.write(f" {operators[node.op]} {node.expr.value!r}")
        else:
            super().visit_Operand(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Scope) -> None:  # noqa: N802
        self.write("environment.join((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_child_to_const(self, node: nodes.Expr, frame: Scope, finalize: Any) -> Any:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return _Data(node.data, node.lineno)

    def _output_const_repr(self, group: Any) -> str:
        parts = [f"environment.data({data.text!r}, {data.line})" for data in group]
        return parts[0] if len(parts) == 1 else f"environment.join(({', '.join(parts)},))"

    def _output_child_pre(self, node: nodes.Expr, frame: Scope, finalize: Any) -> None:
        self.write("environment.emit(")

    def _output_child_post(self, node: nodes.Expr, frame: Scope, finalize: Any) -> None:
        self.write(f", {node.lineno})")


# --- filters whose Jinja versions build a new plain string


class OriginMarkup(Markup):
    """The result of the `safe` filter: markup that is written with its origins; its own operations lose them."""

    __slots__ = ("_runs",)
    _runs: tuple[Run, ...]

    def __new__(cls, base: Any = "", encoding: str | None = None, errors: str = "strict") -> OriginMarkup:
        """The arguments are those of Markup."""
        self = super().__new__(cls, base, encoding, errors)
        known = OriginStr(str(base))
        self._runs = known._runs if known == str.__str__(self) else OriginStr(str.__str__(self))._runs
        return self

    def __str__(self) -> str:
        return OriginStr(str.__str__(self), self._runs)

    def __repr__(self) -> str:
        return f"Markup({str.__repr__(self)})"


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> OriginStr:
    return traced_json(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _join(value: Any, d: str = "", attribute: str | int | None = None) -> OriginStr:
    from jinja2.filters import make_attrgetter

    if attribute is not None:
        value = map(make_attrgetter(tracing_environment(), attribute), value)
    return OriginStr(str(d)).join([str(item) for item in value])


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> OriginStr:
    from jinja2.filters import do_indent

    expected = do_indent(str.__str__(str(value)), width, first, blank)
    pad = OriginStr(width) if isinstance(width, str) else OriginStr.of(" " * width, TEMPLATE)
    newline = OriginStr.of("\n", TEMPLATE)
    text = OriginStr(str(value))
    lines = (text + newline).splitlines() if text or not blank else [text]
    out = concat(
        part
        for i, line in enumerate(lines)
        for part in ((newline if i else ""), (pad if (i and (blank or line)) or (first and not i) else ""), line)
    )
    return out if out == expected else OriginStr(expected)


def _title(value: Any) -> OriginStr:
    from jinja2.filters import do_title

    expected = do_title(str.__str__(str(value)))
    text = OriginStr(str(value))
    return OriginStr(expected, text._runs) if len(expected) == len(text) else OriginStr(expected)


@lru_cache(maxsize=1)
def tracing_environment() -> TracingEnvironment:
    """The environment of this process; it is made on first use, since it needs transformers."""
    from transformers.utils import chat_template_utils

    return TracingEnvironment(chat_template_utils._compile_jinja_template("").environment)


@lru_cache(maxsize=128)
def compiled(source: str) -> Template:
    """The compiled template. Raises Jinja's TemplateSyntaxError."""
    return tracing_environment().from_string(source)
