"""Untrusted YAML -> plain values: every problem is a YAMLError, and the values are limited.

PyYAML raises KeyError, AttributeError and others for invalid tags and dates, and a few lines of references to
references (`&a`, `*a`) stand for billions of values.
"""

from __future__ import annotations

from typing import Any

import yaml

from inspector.errors import short

MAX_CHARS = 100_000
"""Longest text that is read, in characters."""
MAX_VALUES = 100_000
"""Maximum number of values; a reference counts as all the values that it stands for."""
MAX_BRACKETS = 200
"""Deepest nesting of lists and mappings in brackets: PyYAML checks all of them at every character."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= MAX_BRACKETS:
            raise _error("it is nested too deeply")
        super().fetch_flow_collection_start(token_class)


def load_yaml(text: str) -> Any:
    """The value in a text, as `yaml.safe_load`. Raises only yaml.YAMLError."""
    if len(text) > MAX_CHARS:
        raise _error(f"it has {len(text):,} characters, and up to {MAX_CHARS:,} are read")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {}, frozenset())
        return loader.construct_document(node)
    except yaml.YAMLError:
        raise
    except RecursionError:
        raise _error("it is nested too deeply") from None
    except Exception as error:  # invalid dates, numbers and tags
        raise _error(f"a value does not fit its type ({type(error).__name__}: {short(str(error), 200)})") from error
    finally:
        loader.dispose()


def _size(node: Any, known: dict[int, int], inside: frozenset[int]) -> int:
    """The number of values that a node stands for."""
    if id(node) in inside:
        raise _error("it refers to itself", node)
    if id(node) not in known:
        inside |= {id(node)}
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        children = parts if isinstance(node, yaml.CollectionNode) else ()
        known[id(node)] = 1 + sum(_size(part, known, inside) for part in children)
        if known[id(node)] > MAX_VALUES:
            raise _error(f"its references stand for more than {MAX_VALUES:,} values", node)
    return known[id(node)]


def _error(problem: str, node: Any = None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=None if node is None else node.start_mark)
