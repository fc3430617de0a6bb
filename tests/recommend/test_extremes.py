"""Numbers of any size end in an answer or in one line: no warning, nothing lost."""

import json
import math

import numpy as np
import pytest
from synthetic_statistics import synthetic

import querytax as qt
from querytax.expect import DomainError
from querytax.recommend import recommend_sigma
from querytax.recommend.price import Price
from querytax.recommend.searches import Searches
from querytax.soundness import unsound

SITES = ("output:probabilities:reflect", "input", "output:logits:raw", "layer1")


def drawn(seed):
    """Statistics and a question, most of whose numbers are ordinary."""
    rng = np.random.default_rng([20_261_201, seed])

    def pick(*options):
        return options[rng.integers(len(options))]

    def size(low, high):
        return float(10 ** rng.uniform(low, high))

    n, site = int(pick(1, 2, 8)), pick(*SITES)
    with np.errstate(all="ignore"):
        stats = synthetic(
            n=n,
            slope=pick(1.0, 0.0, size(-150, 150)),
            noise=pick(2.0, 0.0, size(-200, 200)),
            alignment=pick(1.0, 0.0, 1e-9),
            path=pick(0.3, 0.0, 1e-12, math.inf, np.where(rng.random(n) < 0.5, 9, 0.2)),
            dimension=int(pick(1, 64, 150_528)),
            sigmas=pick((0.0, 1e-3, 10.0), (0.0, 1e-150, 1e150), (0.0, 5e-324)),
            norm=pick("Linf", "L2"),
            eps=pick(0.1, 1.0, 1e-10),
            blind=pick(None, 0.0, 1e-3),
            candidates=int(pick(1, 2, 48)),
            changes=pick(None, (0.0, 0.0), (-0.1, 0.3), (0.0, size(-38, 30))),
            boundary=pick(None, 1.0, 1e200),
            logits=pick(None, np.tile([1e300, -1e300, 0.0], (100, 1))),
            sites=(site,),
        )
    if rng.random() < 0.5:
        stats.sites[site].noise[..., rng.integers(2), :] = 0.0
    asked = {
        "site": site,
        "max_accuracy_loss": pick(0.01, 0.5, 0.0),
        "protect": pick(0.9, 1e-9, 1 - 1e-9),
        "attacker": pick("best", "best", "published", "square", "nes"),
        "base_queries": pick(None, 1e-3, math.inf, rng.random(n) * 100 + 1),
    }
    return stats, pick(1e3, 1.0, 1e-300, 1e300), asked


@pytest.mark.parametrize("part", range(4))
def test_numbers_of_any_size(part):
    answered = 0
    for seed in range(25 * part, 25 * (part + 1)):
        stats, target, asked = drawn(seed)
        if unsound(stats):
            continue
        try:
            rec = recommend_sigma(stats, target, **asked)
        except DomainError:
            continue
        answered += 1
        assert "nan" not in rec.statement()
        shares = (*rec.accuracy_loss, *rec.fraction_interval, rec.fraction_protected)
        assert all(0.0 <= share <= 1.0 for share in shares)
        low, middle, high = rec.predicted_queries
        assert low <= middle <= high
        qt.Recommendation.from_json(json.dumps(rec.to_json()))
    assert answered > 10


@pytest.mark.parametrize("candidates", [2, 3, 48])
@pytest.mark.parametrize("mode", ["stale", "requery", "mean"])
def test_a_stage_without_noise_is_walked_as_without(mode, candidates):
    """As fast as where its noise is too small to matter, but for rounding."""
    found = []
    for quiet in (0.0, 1e-24):
        stats = synthetic(changes=(-0.1, 0.3), candidates=candidates)
        stats.sites[SITES[0]].noise[..., 0, :] *= quiet
        found.append(Searches(stats, SITES[0]).queries("square", mode, 0.01)[0])
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("n", [1, 20, 300])
def test_flips_that_were_never_seen_may_be_three_in_n(n):
    stats = synthetic(n=n)
    images = stats.sites[SITES[0]].correct.shape[1]
    low, loss, high = Price(stats, SITES[0]).at(0.1)
    assert (low, loss) == (0.0, 0.0)
    assert high == pytest.approx(3.0 / images)
    assert Price(stats, SITES[0]).at(0.0) == (0.0, 0.0, 0.0)
    # What is allowed is judged by the estimate, as before.
    assert Price(stats, SITES[0]).largest(0.01, 2.0) == 10.0
