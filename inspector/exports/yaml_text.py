"""Settings as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def yaml_text(settings: Mapping[str, Any]) -> str:
    """The settings as YAML, in their order."""
    import yaml

    return str(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))
