"""The best setting is the one that trying them all would find."""

import numpy as np
import pytest
from synthetic_statistics import synthetic

from querytax.recommend import published_plan
from querytax.recommend.prediction import Predictor
from querytax.recommend.tuning import best_settings

STEPS = np.geomspace(1e-3, 1.0, 13)
SHARES = (0.1, 0.5, 0.9)


def all_tried(predictor, place, drift, way, cost):
    levels = []
    for own, path, price in zip(drift, way, cost, strict=True):
        steps = predictor.steps(path, own, STEPS[:, None, None], place)
        counts = np.maximum(np.ceil(steps), 1.0) * price
        levels.append(np.quantile(counts, SHARES, axis=-1, method="lower"))
    # Axes: share, candidate, step.
    flat = np.moveaxis(levels, 1, 0).reshape(len(SHARES), -1)
    found = [int(row.argmin()) for row in flat if np.isfinite(row.min())]
    return [divmod(i, STEPS.size) for i in dict.fromkeys(found)]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("place", ["lower", "upper"])
@pytest.mark.parametrize("strength", [0.5, 0.1, 0.02, 0.003])
def test_no_setting_is_missed(norm, place, strength):
    """Drifts from strong to hopeless; equal candidates, of which the first counts."""
    n, rng = 24, np.random.default_rng(3)
    path = rng.uniform(0.02, 0.8, n)
    path[0] = np.inf
    stats = synthetic(n=n, norm=norm, path=path, wander=0.7 * path)
    predictor = Predictor(stats, next(iter(stats.sites)), published_plan(stats))
    drift = strength * rng.lognormal(0, 0.5, (5, 2, n)).clip(0, 1 / strength)
    drift[3] = drift[1]
    way, cost = np.tile(path, (5, 1)), np.array([3.0, 9.0, 9.0, 9.0, 33.0])
    asked = drift, way, cost
    found = best_settings(
        predictor, place, np.ones(5, dtype=int), *asked, STEPS, SHARES
    )
    assert found == all_tried(predictor, place, *asked)
