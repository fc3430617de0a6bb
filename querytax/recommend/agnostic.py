"""A number that holds against any attacker, and that often says nothing."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtri

from querytax.recommend.race import share_bounds
from querytax.sites import Site
from querytax.statistics import ModelStatistics

__all__ = ["smoothed"]


def smoothed(
    stats: ModelStatistics, site: str, sigma: float, alpha: float = 0.05
) -> tuple[float, float, float] | None:
    """Share of images whose majority answer cannot change inside the budget.

    By randomised smoothing (Cohen, Rosenfeld & Kolter 2019): input noise that leaves an
    answer with probability at least p leaves it the most likely one within an L2
    distance of ``sigma * ppf(p)``, at any number of queries. p is bounded below from
    the probe's draws, image by image, at the least probed level not below ``sigma``.
    Noise elsewhere besides makes the answer behind a random one, for which the same
    holds (Salman et al. 2019); the distance is that of the input's own noise.

    Parameters
    ----------
    stats : ModelStatistics
    site : str
    sigma : float
    alpha : float
        Of an image's bound.

    Returns
    -------
    (lower, estimate, upper) or None
        Over the images that the model gets right, with the 95 % interval of a share;
        None where the bound does not apply: no noise on the input, no noise, or noise
        beyond the probed levels.
    """
    found, place = stats.site(site), Site.parse(site)
    weights = [w for part, w in place.parts or ((place, 1.0),) if part.kind == "input"]
    if not weights or not 0.0 < sigma <= found.sigmas[-1]:
        return None
    level = int(np.searchsorted(found.sigmas, sigma * (1 - 1e-12)))
    right = stats.logits.argmax(1) == stats.labels
    kept = np.rint((1.0 - found.flips[level][right]) * found.n_draws)
    n = found.n_draws
    p = betaincinv(np.maximum(kept, 1), n - kept + 1, alpha) * (kept > 0)
    radius = weights[0] * sigma * ndtri(np.clip(p, 0.0, 1.0))
    budget = stats.eps * (stats.dimension**0.5 if stats.norm == "Linf" else 1.0)
    safe = int((radius >= budget).sum())
    low, high = share_bounds(safe, int(right.sum()), 0.025)
    return low, safe / max(int(right.sum()), 1), high
