"""Tool definitions as TypeScript declarations, the form in which Kimi K2.5 and K2.6 get their tools.

The rules are those of tool_declaration_ts.py (moonshotai/Kimi-K2.5), compared with the output of `renderers` 0.1.12.
A schema that those rules do not cover raises various errors; then the template gets no declarations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_STEP = "  "
_LIMITS = {
    "string": ("maxLength", "minLength", "pattern"),
    "number": ("maximum", "minimum"),
    "integer": ("maximum", "minimum"),
    "array": ("maxItems", "minItems"),
}
"""The parts that are written for a value of each type, besides its description."""
_NAMES = {"integer": "number", "object": "{}", "array": "Array<any>"}
"""Other names for types in a list of types."""
_KNOWN = ("string", "number", "integer", "boolean", "null", "object", "array")


def declarations(tools: Iterable[Mapping[str, Any]]) -> str:
    """The declarations of the functions among `tools`, "" where there is none. Raises LookupError, TypeError, ..."""
    functions = [tool["function"] for tool in tools if tool.get("type") == "function"]
    texts = [_Function().declared(function) for function in functions if function]
    if not texts:
        return ""
    return "# Tools\n\n## functions\nnamespace functions {\n" + "\n".join(texts) + "\n}\n"


def _comment(text: str, indent: str = "") -> str:
    return "\n".join(f"{indent}// {line}" if line else "" for line in text.split("\n"))


@dataclass(slots=True)
class _Function:
    """One function. `definitions`: the schemas that others name; `is_recursive`: whether one names the whole."""

    definitions: dict[str, Any] = field(default_factory=dict)
    is_recursive: bool = False

    def declared(self, function: Mapping[str, Any]) -> str:
        schema = function.get("parameters") or {}
        self._look_up(schema)
        whole = self._object(schema, "")
        is_named, parts = self.is_recursive, []  # a definition that refers to the whole comes too late for its rules
        if is_named:
            required = schema.get("required", [])
            fields = ",\n".join(
                self._field(n, s, n in required, _STEP) for n, s in schema.get("properties", {}).items()
            )
            parts.append("interface parameters {" + (f"\n{fields}\n" if fields else "") + "}")
        for name, definition in self.definitions.items():
            description = definition.get("description", "")
            parts += [_comment(description)] if description else []
            parts.append(f"interface {name} {self._type(definition, '')}")
        description = function.get("description")
        parts += [_comment(description)] if description else []
        argument = "parameters" if is_named else whole
        return "\n".join([*filter(None, parts), f"type {function.get('name', 'function')} = (_: {argument}) => any;"])

    def _look_up(self, schema: Any) -> None:
        """Collect the definitions, and find out whether one refers to the whole, in the order in which types are
        read."""
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            self._name_of(schema["$ref"])
            return
        if "anyOf" in schema:
            inner: Sequence[Any] = schema["anyOf"]
        elif "enum" in schema:
            inner = ()
        elif schema.get("type") == "array":
            inner = [schema["items"]] if schema.get("items") else []
        elif schema.get("type", "object") == "object":
            self.definitions |= schema.get("$defs", {})
            inner = [schema.get("additionalProperties"), *schema.get("properties", {}).values()]
        else:
            inner = ()
        for part in inner:
            self._look_up(part)

    def _name_of(self, reference: str) -> str:
        if reference == "#":
            self.is_recursive = True
            return "parameters"
        name = reference.split("/")[-1]
        if not reference.startswith("#/$defs/") or name not in self.definitions:
            raise LookupError(reference)
        return name

    def _type(self, schema: Any, indent: str) -> str:
        if isinstance(schema, bool):
            return "any" if schema else "null"
        if "$ref" in schema:
            return self._name_of(schema["$ref"])
        if "anyOf" in schema:
            return " | ".join(self._type(part, indent) for part in schema["anyOf"])
        if "enum" in schema:
            return " | ".join(f'"{value}"' if isinstance(value, str) else json.dumps(value) for value in schema["enum"])
        if not schema:
            return "any"
        kind = schema["type"]
        if isinstance(kind, list):
            return " | ".join(_NAMES.get(name, _KNOWN[_KNOWN.index(name)]) for name in kind)
        if kind == "object":
            return self._object(schema, indent)
        if kind == "array":
            return self._array(schema, indent)
        return "number" if kind == "integer" else str(kind)

    def _array(self, schema: Mapping[str, Any], indent: str) -> str:
        item = schema.get("items") or {}
        notes = self._notes(item, indent + _STEP)
        if not notes:
            return f"Array<{self._type(item, indent)}>"
        return f"Array<\n{notes}{indent}{_STEP}{self._type(item, indent + _STEP)}\n{indent}>"

    def _object(self, schema: Mapping[str, Any], indent: str) -> str:
        properties, required, inner = schema.get("properties", {}), schema.get("required", []), indent + _STEP
        names = sorted(properties, key=lambda name: (name not in required, name))
        fields = [self._field(name, properties[name], name in required, inner) for name in names]
        others = schema.get("additionalProperties")
        if others is not None:
            kind = "any" if others is True else "never" if others is False else self._type(others, inner)
            fields.append(f"{inner}[k: string]: {kind}")
        return "{\n" + ",\n".join(fields) + f"\n{indent}}}" if fields else "{}"

    def _field(self, name: str, schema: Any, is_required: bool, indent: str) -> str:
        default = schema.get("default") if isinstance(schema, dict) else None
        notes = self._notes(schema, indent)
        if default is not None:
            notes += f"{indent}// Default: {json.dumps(default, ensure_ascii=False)}\n"
        return f"{notes}{indent}{name}{'' if is_required else '?'}: {self._type(schema, indent)}"

    def _notes(self, schema: Any, indent: str) -> str:
        """The comment above a value: its description and its limits."""
        if not isinstance(schema, dict):
            return ""
        lines = [_comment(schema["description"], indent)] if schema.get("description") else []
        is_plain = not {"$ref", "anyOf", "enum"} & schema.keys() and isinstance(schema.get("type"), str)
        limits = _LIMITS.get(schema["type"], ()) if is_plain else ()
        if said := ", ".join(f"{limit}: {schema[limit]}" for limit in limits if limit in schema):
            lines.append(f"{indent}// {said}")
        return "".join(line + "\n" for line in lines)
