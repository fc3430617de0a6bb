"""RFD (Nguyen et al., ICLR 2024): what noise on features does, measured again."""

from __future__ import annotations

from querytax.reproductions.rfd_2024.accuracy import ACCURACY
from querytax.reproductions.rfd_2024.gradients import GRADIENT_NORMS, GRADIENT_RATIOS
from querytax.reproductions.rfd_2024.robustness import ROBUSTNESS
from querytax.reproductions.rfd_2024.signs import THEOREM_1

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (
    GRADIENT_RATIOS,
    ROBUSTNESS,
    GRADIENT_NORMS,
    ACCURACY,
    THEOREM_1,
)
