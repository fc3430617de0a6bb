"""What several questions about walks share, against the laws one at a time."""

import numpy as np
import pytest

from querytax.expect import DomainError
from querytax.theory import convergence
from querytax.theory.walks import Walk, bounds

NORMS = ("Linf", "L2")
pytestmark = pytest.mark.filterwarnings("ignore::querytax.theory.law.RegimeWarning")


def drawn(norm, count=3000, seed=0):
    rng = np.random.default_rng(seed)
    drift, step = 10.0 ** rng.uniform(-4, 0, count), 10.0 ** rng.uniform(-3, 0.5, count)
    top = convergence.plateau(drift, step, norm)
    end = np.minimum(top * rng.uniform(0, 1.3, count), 1.0)
    return end, end * rng.uniform(0, 1, count) * (rng.random(count) < 0.5), drift, step


@pytest.mark.parametrize("norm", NORMS)
def test_a_walk_answers_again_as_it_did_at_first(norm):
    """Ways asked in any order, each as by a walk of its own."""
    end, start, drift, step = drawn(norm)
    walk = Walk(drift, step, norm)
    for way in (0.5, 1.0, 0.01):
        taken = walk.steps(way * end, way * start)
        alone = convergence.steps(way * end, drift, step, start=way * start, norm=norm)
        np.testing.assert_allclose(taken, alone, rtol=1e-9)
        passed = walk.first_passage(way * end, 300, 1.2, way * start)
        way = {"displacement": way * end, "start": way * start}
        alone = convergence.first_passage(
            **way, drift=drift, step=step, dimension=300, gain=1.2, norm=norm
        )
        np.testing.assert_allclose(passed, alone, rtol=1e-9)
        within = np.isfinite(taken)
        got = walk.displacement(np.where(within, taken, 0.0))
        told = np.where(within, way["displacement"], 0.0)
        np.testing.assert_allclose(got[start == 0], told[start == 0], rtol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
def test_bounds_lie_below_and_cut_nobody_off(norm):
    end, start, drift, step = drawn(norm)
    least, about = bounds(end, drift, step, norm, start)
    taken = convergence.steps(end, drift, step, start=start, norm=norm)
    assert (least <= taken * (1 + 1e-12)).all()
    assert (about >= least * (1 - 1e-12)).all()
    # A bound of use: most of what has no end is known to have none.
    endless = np.isinf(taken)
    assert endless.mean() > 0.1
    assert np.isinf(least[endless]).mean() > 0.5


def test_extremes_and_domains():
    least, about = bounds([0.0, 0.5, 1.0], [0.0, 0.0, 1.0], 1e-300)
    np.testing.assert_array_equal(least[:2], [0.0, np.inf])
    assert (about >= least).all()
    assert Walk(np.zeros((0, 3)), 0.1).steps(0.5).shape == (0, 3)
    with pytest.raises(DomainError, match=r"expected drift in \[0, 1\], got 2"):
        Walk(2.0, 0.1)
    with pytest.raises(DomainError, match="expected start at most the displacement"):
        Walk(0.5, 0.1).steps(0.1, 0.2)
