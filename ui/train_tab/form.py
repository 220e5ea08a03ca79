"""The settings of a run as widgets next to the spec's YAML: each is one field of it, and the YAML is authoritative."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import yaml

from inspector.data.source import Row, raw_of
from inspector.setup import Setup
from inspector.strategies import STRATEGIES
from inspector.trainers.verdict import title_of
from training.errors import RunFolderError, SpecError
from training.spec import Method, RunSpec, spec_fields
from ui.data_tab.boxes import EXAMPLE, EXAMPLES, FILE, PASTED, DataBoxes, limit_of, mapping_of, source_of
from ui.data_tab.run import Audited
from ui.visitors import own_runs
from ui.visitors.access import hub_token, is_public

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One widget. `path`: its place in the spec. `kind`: text, count, number, share, switch, choice or lines."""

    path: tuple[str, ...]
    label: str
    kind: str
    info: str = ""

    @property
    def default(self) -> Any:
        """The default of the field; None if it depends on other fields."""
        value: Any = _silent_spec()
        for name in self.path:
            value = getattr(value, name, None)
        return value


@cache
def _silent_spec() -> RunSpec:
    """The defaults of a spec; not to be changed."""
    return RunSpec.model_construct(model="", data=None)  # type: ignore[arg-type]


SETTINGS: Mapping[str, Setting] = {
    "model": Setting(path=("model",), label="Model", kind="text", info="A hub id, a folder, or tiny-chat"),
    "data": Setting(path=("data", "name"), label="Data set", kind="text", info="A file, a folder, or a hub id"),
    "method": Setting(path=("method",), label="Method", kind="choice", info="What is learned from a row"),
    "strategy": Setting(
        path=("strategy",), label="Trainer", kind="choice", info="Whose mask decides which tokens are trained"
    ),
    "max_steps": Setting(path=("max_steps",), label="Steps", kind="count", info="Empty = by epochs"),
    "epochs": Setting(path=("epochs",), label="Epochs", kind="number", info="Passes over the rows"),
    "learning_rate": Setting(path=("learning_rate",), label="Learning rate", kind="number", info="LoRA: 2e-4"),
    "micro_batch": Setting(path=("micro_batch",), label="Batch size", kind="count", info="Rows at a time"),
    "accumulation": Setting(
        path=("accumulation",), label="Gradient accumulation", kind="count", info="Batches per step"
    ),
    "rank": Setting(path=("lora", "rank"), label="LoRA rank", kind="count", info="0 = train all weights"),
    "max_length": Setting(
        path=("max_length",), label="Maximum length", kind="count", info="Tokens. Longer rows are cut"
    ),
    "beta": Setting(path=("preference", "beta"), label="Beta", kind="number", info="DPO, ORPO, KTO"),
    "packing": Setting(
        path=("packing",), label="Packing", kind="switch", info="Fill each row up to the maximum length"
    ),
    "held_out": Setting(path=("evaluation", "share"), label="Evaluation split", kind="share", info="Share of the rows"),
    "prompts": Setting(path=("sampling", "prompts"), label="Questions", kind="lines", info="Asked before and after"),
}


CHOICES: Mapping[str, list[Any]] = {
    "strategy": [(title_of(name), name) for name in STRATEGIES],
    "method": [method.value for method in Method],
}
"""The options of a choice."""


WHAT = (("model", "data"), ("method", "strategy"))
"""The settings of what is trained, in rows."""
HOW = (
    ("max_steps", "epochs"), ("learning_rate", "micro_batch", "accumulation"), ("rank", "max_length", "beta"),
    ("packing", "held_out"), ("prompts",),
)  # fmt: skip
"""The other settings."""


def build_settings(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The widgets of these settings, by name."""
    widgets: dict[str, Any] = {}
    for row in rows:
        with gr.Row(equal_height=True):
            widgets |= {name: _widget(name, SETTINGS[name]) for name in row}
    return widgets


def _widget(name: str, setting: Setting) -> Any:
    common = {"label": setting.label, "info": setting.info, "elem_id": f"train-set-{name.replace('_', '-')}"}
    if setting.kind == "choice":
        return gr.Dropdown(CHOICES[name], value=setting.default, min_width=110, **common)
    if setting.kind == "switch":
        return gr.Checkbox(value=setting.default, min_width=110, **common)
    if setting.kind in ("count", "number", "share"):
        precision = 0 if setting.kind == "count" else None
        return gr.Number(setting.default, precision=precision, min_width=110, **common)
    return gr.Textbox(lines=3 if setting.kind == "lines" else 1, max_lines=6, min_width=140, **common)


def read_values(text: str) -> dict[str, Value] | None:
    """The value of each widget for a spec; None while the text is not a spec."""
    try:
        spec = spec_fields(text or "{}")
    except SpecError:
        return None
    return {name: _shown(setting, spec) for name, setting in SETTINGS.items()}


def _shown(setting: Setting, spec: Mapping[str, Any]) -> Value:
    value: Any = spec
    for depth, name in enumerate(setting.path):
        if setting.path[0] == "lora" and value is False:
            return 0
        if setting.path == ("data", "name") and depth == 1 and isinstance(value, str):
            break  # `data: name` for short
        value = value.get(name) if isinstance(value, Mapping) else None
    value = setting.default if value is None else value
    if setting.kind == "lines":
        lines = value if isinstance(value, Sequence) and not isinstance(value, str) else []
        return "\n".join(str(line) for line in lines if isinstance(line, str))
    if setting.kind in ("count", "number", "share"):
        return _number(value)
    return value if isinstance(value, str | bool) else setting.default


def _number(value: Any) -> float | int | None:
    """A number from YAML, which reads 5e-3 as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def with_value(text: str, name: str, value: Value) -> str:
    """The spec's YAML with one setting changed; defaults are left out. Raises SpecError."""
    spec, setting = dict(spec_fields(text or "{}")), SETTINGS[name]
    if name == "rank" and value == 0:
        return dump(spec | {"lora": False})
    changed: Any = value
    if setting.kind == "lines":
        before = spec.get(setting.path[0], {}).get(setting.path[1]) or []
        changed = [line.strip() for line in str(value or "").splitlines() if line.strip()]
        changed += [item for item in before if not isinstance(item, str)]  # conversations have no line
    if setting.kind == "number" and isinstance(value, float) and value.is_integer():
        changed = int(value)
    first, *rest = setting.path
    if not rest:
        spec[first] = changed
        if changed == setting.default or changed is None:
            del spec[first]
        return dump(spec)
    inner = spec.get(first)
    inner = {"name": inner} if isinstance(inner, str) else dict(inner) if isinstance(inner, Mapping) else {}
    inner[rest[0]] = changed
    if changed == setting.default or changed is None:
        del inner[rest[0]]
    spec[first] = inner["name"] if first == "data" and set(inner) == {"name"} else inner
    if not inner:
        del spec[first]
    return dump(spec)


def spec_of_tabs(setup: Setup, data: DataBoxes, audited: Audited | None = None) -> str:
    """The spec that trains the Audit tab's rows with the Inspect tab's model, template and training.

    Pasted rows, a visitor's file, and a data set with rows edited since `audited` are written to a file next to the
    runs. Raises DataError, RunFolderError.
    """
    source, mapping, limit = source_of(data), mapping_of(data), limit_of(data)
    named: dict[str, Any] = {"name": source.name, "split": source.split, "config": source.config}
    named |= {"revision": source.revision}
    if audited is not None and audited.source.edits and audited.is_of(source):
        edited = (raw_of(row.value) for row in audited.source.rows(hub_token()) if isinstance(row, Row))
        named = {"name": str(_kept("\n".join(edited).encode(), "edited.jsonl"))}
    elif data.data_kind == EXAMPLE:
        named["name"] = f"examples/data/{Path(source.name).relative_to(EXAMPLES)}"
    elif data.data_kind == PASTED:
        suffix = {"[": ".json", "{": ".jsonl"}.get(source.text.lstrip()[:1], ".csv")
        named["name"] = str(_kept(source.text.encode(), f"pasted{suffix}"))
    elif data.data_kind == FILE and is_public():  # a visitor's run may read only the visitor's own files
        named["name"] = str(_kept(Path(source.name).read_bytes(), Path(source.name).name))
    named |= {"map": mapping, "limit": limit}
    rows = {name: value for name, value in named.items() if value}
    spec = {"model": setup.model, "data": rows["name"] if set(rows) == {"name"} else rows}
    spec |= {name: getattr(setup, name) for name in ("revision", "template", "strategy") if getattr(setup, name)}
    spec |= {name: dict(getattr(setup, name)) for name in ("special_tokens", "options") if getattr(setup, name)}
    if setup.strategy == SETTINGS["strategy"].default:
        del spec["strategy"]
    return dump(spec | dict(setup.modifiers))


def _kept(content: bytes, name: str) -> Path:
    """A file with these rows, in a folder named by its content, so that the same rows are kept only once. Raises
    RunFolderError."""
    path = own_runs.root() / "rows" / hashlib.sha256(content).hexdigest()[:12] / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise RunFolderError(f"The rows cannot be kept in {path}: {error.strerror}.") from error
    return path


def dump(spec: Mapping[str, Any]) -> str:
    """A spec's YAML, its fields in their order."""
    return str(yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=1_000))
