"""RND (Qin et al., NeurIPS 2021, its slides), measured again."""

from __future__ import annotations

from querytax.reproductions.experiment import Experiment
from querytax.reproductions.rnd_2021.accuracy import ACCURACY
from querytax.reproductions.rnd_2021.adaptive import EOT, PROBE
from querytax.reproductions.rnd_2021.attack import ATTACK
from querytax.reproductions.rnd_2021.estimate import ANGLE, MOMENT
from querytax.reproductions.rnd_2021.search import FLIPS

__all__ = ["EXPERIMENTS"]

EXPERIMENTS: tuple[Experiment, ...] = (
    ACCURACY,
    ANGLE,
    MOMENT,
    FLIPS,
    PROBE,
    EOT,
    ATTACK,
)
