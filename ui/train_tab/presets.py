"""The length of a run as one choice: each preset sets the fields that decide it."""

from __future__ import annotations

from collections.abc import Mapping

from ui.train_tab.form import SETTINGS, Value, read_values, with_value

PRESETS: Mapping[str, Mapping[str, Value]] = {
    "quick": {"max_steps": 40, "held_out": 0.0},
    "balanced": {"max_steps": None, "epochs": 1, "held_out": 0.0},
    "thorough": {"max_steps": None, "epochs": 3, "held_out": 0.1},
}
CHOICES = [
    ("Quick · 40 steps", "quick"),
    ("Balanced · each row once", "balanced"),
    ("Thorough · each row three times, a tenth held out to test", "thorough"),
]
"""(label, name) of the presets."""


def preset_of(text: str) -> str | None:
    """The preset that a spec has; None for any other, and while the text is not a spec."""
    values = read_values(text)
    found = (name for name, preset in PRESETS.items() if values and preset.items() <= values.items())
    return next(found, None)


def with_preset(text: str, name: str) -> str:
    """The spec's YAML with a preset's values; the other settings are kept. Raises SpecError."""
    decided = {setting: SETTINGS[setting].default for preset in PRESETS.values() for setting in preset}
    for setting, value in {**decided, **PRESETS[name]}.items():
        text = with_value(text, setting, value)
    return text
