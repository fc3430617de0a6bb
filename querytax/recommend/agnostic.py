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
        None where the bound does not apply: other sites, no noise, or noise beyond
        the probed levels.
    """
    found = stats.site(site)
    if Site.parse(site).kind != "input" or not 0.0 < sigma <= found.sigmas[-1]:
        return None
    level = int(np.searchsorted(found.sigmas, sigma * (1 - 1e-12)))
    right = stats.logits.argmax(1) == stats.labels
    kept = np.rint((1.0 - found.flips[level][right]) * found.n_draws)
    n = found.n_draws
    p = betaincinv(np.maximum(kept, 1), n - kept + 1, alpha) * (kept > 0)
    radius = sigma * ndtri(np.clip(p, 0.0, 1.0))
    budget = stats.eps * (stats.dimension**0.5 if stats.norm == "Linf" else 1.0)
    safe = int((radius >= budget).sum())
    low, high = share_bounds(safe, int(right.sum()), 0.025)
    return low, safe / max(int(right.sum()), 1), high
