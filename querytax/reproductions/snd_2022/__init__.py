"""SND: Byun, Go and Kim, WACV 2022, small noise on the input, measured again."""

from __future__ import annotations

from querytax.reproductions.snd_2022.boundary import NEAR
from querytax.reproductions.snd_2022.clean import ACCURACY, FLIPS
from querytax.reproductions.snd_2022.loss import BIAS, SPREAD
from querytax.reproductions.snd_2022.scales import SCALES

__all__ = ["EXPERIMENTS"]

EXPERIMENTS = (ACCURACY, FLIPS, SPREAD, BIAS, SCALES, NEAR)
