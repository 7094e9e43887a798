"""Puts the stages one after another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bars.conformance._model import (
    ConformanceResult,
    Context,
)
from bars.frame import BarFrame


@dataclass(frozen=True, slots=True)
class ConformancePipeline:
    """Judges frames: the same one in the agents and in the provider."""

    stages: tuple[object, ...] = ()
    """Schema first: the others see a frame only when its columns and types are right."""

    partial_ok: bool = False
    """Report what would raise instead of raising it."""

    def run(
        self, frame: BarFrame | pd.DataFrame | Mapping[str, Any], context: Context
    ) -> ConformanceResult:
        """Return everything that the stages find; never raises for what the data holds."""
        raise NotImplementedError

    def check(
        self, frame: BarFrame | pd.DataFrame | Mapping[str, Any], context: Context
    ) -> ConformanceResult:
        """Return what `run` returns.

        Raises:
            ConformancePipelineError: There are objections, and `partial_ok` is not set.
        """
        raise NotImplementedError
