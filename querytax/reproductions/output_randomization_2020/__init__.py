"""Output randomization (ICLR 2020 submission): its measurements, made again."""

from __future__ import annotations

from querytax.reproductions.experiment import Experiment
from querytax.reproductions.output_randomization_2020.accuracy import (
    UNDEFENDED_ACCURACY,
)
from querytax.reproductions.output_randomization_2020.attack import QUERY_LIMITED
from querytax.reproductions.output_randomization_2020.gradient import FINITE_DIFFERENCE
from querytax.reproductions.output_randomization_2020.rates import MISCLASSIFICATION
from querytax.reproductions.output_randomization_2020.signal import SIGNAL
from querytax.reproductions.output_randomization_2020.slopes import GRADIENT_LEMMAS

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: tuple[Experiment, ...] = (
    MISCLASSIFICATION,
    UNDEFENDED_ACCURACY,
    FINITE_DIFFERENCE,
    GRADIENT_LEMMAS,
    SIGNAL,
    QUERY_LIMITED,
)
