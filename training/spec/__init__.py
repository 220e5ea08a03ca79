"""The spec of a run: its model, its data and its settings, strictly checked as a whole before anything starts.

In: YAML or plain values. Out: a RunSpec, or SpecError with every problem.
May import: `training.errors`, `inspector`.
"""

from training.spec.checks import check
from training.spec.methods import Method
from training.spec.parts import (
    BlockSpec,
    DataSpec,
    EndpointSpec,
    EngineSpec,
    EvalSpec,
    LoraSpec,
    ModuleGroup,
    PreferenceSpec,
    PublishSpec,
    SamplingSpec,
    SpeedSpec,
)
from training.spec.read import parse_spec, parse_text, read_spec, spec_fields
from training.spec.run import RunSpec

__all__ = [
    "BlockSpec", "DataSpec", "EndpointSpec", "EngineSpec", "EvalSpec", "LoraSpec", "Method", "ModuleGroup",
    "PreferenceSpec", "PublishSpec", "RunSpec", "SamplingSpec", "SpeedSpec", "check", "parse_spec", "parse_text",
    "read_spec", "spec_fields",
]  # fmt: skip
