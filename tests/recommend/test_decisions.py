"""RayS on a flat boundary: against the attack itself, and by hand."""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic_statistics import OFFSETS, synthetic

from querytax.attacks.rays import ATTACK, RaySPlan
from querytax.attacks.run import attack
from querytax.recommend.decisions import DRAWS, MOST, Decisions, sigmoid_of
from querytax.recommend.rays import RECIPES, VOTES, Sigmoid, rays

EPS, SIDE = 0.05, 8
D = SIDE * SIDE


class Plane(torch.nn.Module):
    """One image's flat boundary; the first class is the image's."""

    def __init__(self, slope, origin):
        super().__init__()
        self.slope, self.origin = torch.tensor(slope), origin

    def forward(self, x):
        margin = (x - self.origin).flatten(1).double() @ self.slope - 1.0
        return torch.stack((3.0 - margin, torch.full_like(margin, 3.0)), 1)


def planes(n=12, seed=0):
    """Slopes whose nearest boundary is at 0.3 to 0.7 of the budget, and their gains."""
    rng = np.random.default_rng(seed)
    slopes = rng.standard_normal((n, D)) + 0.5 * rng.standard_normal((n, 1))
    reach = rng.uniform(0.3, 0.7, (n, 1))
    slopes /= np.abs(slopes).sum(1, keepdims=True) * EPS * reach
    return slopes, np.stack((EPS * slopes, -EPS * slopes), 1)


def quiet(m):
    return Sigmoid(np.zeros(m), np.zeros(m))


def test_the_settings_are_the_attack_s():
    for word, recipe in RECIPES.items():
        changes = ATTACK.adaptive(EPS, "Linf", (1, 8, 8)) if word == "adaptive" else {}
        plan = RaySPlan(eps=EPS, **changes)
        for key, value in dataclasses.asdict(recipe).items():
            assert getattr(plan, key) == value


@pytest.mark.parametrize("word", RECIPES)
def test_question_by_question_as_the_attack(word):
    """Without noise the same count for each of 12 planes, votes included.

    Images lie in the middle of the box, and the budget is small beside it: no radius
    that matters is so large that numbers meet their ends.
    """
    slopes, gains = planes(seed=2)
    found = rays(gains, EPS, RECIPES[word], quiet(len(gains)), most=900)
    assert len(set(found)) > 7
    origin = torch.full((1, 1, SIDE, SIDE), 0.5)
    for slope, count in zip(slopes, found, strict=True):
        result = attack(
            Plane(slope, origin),
            origin,
            torch.zeros(1, dtype=torch.long),
            "rays",
            eps=EPS,
            recipe=word,
            n_queries=900,
            access="labels",
        )
        assert result.broken.success[0] == np.isfinite(count)
        assert result.broken.queries[0] == min(count, 900)


def test_one_number_by_hand():
    """All signs down is asked first, then the budget's radius, then nine votes."""
    gains = np.array([[[-2.0], [2.0]]])
    found = rays(gains, EPS, RECIPES["adaptive"], quiet(1), most=100)
    assert found == 2 + VOTES
    # Too little to gain: never.
    small = rays(0.3 * gains, EPS, RECIPES["adaptive"], quiet(1), most=100)
    assert np.isinf(small).all()


def test_noise_costs_and_is_drawn_anew():
    _, gains = planes(40)
    m = len(gains)

    def counts(width, seed=0):
        noisy = Sigmoid(np.full(m, width), np.zeros(m))
        return rays(gains, 0.3, RECIPES["adaptive"], noisy, most=900, seed=seed)

    assert (counts(0.5, 1) == counts(0.5, 1)).all()
    assert (counts(0.5, 1) != counts(0.5, 2)).any()
    # Labels of a coin: half of the votes agree by chance, and little is learned.
    medians = [np.median(counts(width)) for width in (0.0, 0.5, 1e6)]
    assert medians[0] < medians[1]
    assert 2 * medians[0] < medians[2]


def test_a_sigmoid_is_found_again():
    """300 draws: the width to a sixth and the shift to 0.05, of 30 sigmoids each."""
    rng = np.random.default_rng(4)
    at = np.append(-1.0, OFFSETS)
    for width, shift in ((0.05, 0.0), (0.3, 0.1), (0.8, -0.2)):
        truth = Sigmoid(np.full(30, width), np.full(30, shift))
        rows = np.arange(30)
        share = np.stack([truth.share(np.full(30, o), rows) for o in at])
        heard = rng.binomial(300, share) / 300
        found = sigmoid_of(at, heard, 300)
        assert np.median(found[0]) == pytest.approx(width, rel=1 / 6)
        assert np.median(found[1]) == pytest.approx(shift, abs=0.05)


def measured(n=20, **changes):
    gains = planes(n)[1].astype(np.float32)
    stats = synthetic(n=n, dimension=D, boundary=0.3, eps=EPS, shape=(1, SIDE, SIDE))
    return dataclasses.replace(stats, **{"rim_gains": gains, **changes})


SITE = "output:probabilities:reflect"


def test_readings_are_in_order_and_between_levels():
    decisions = Decisions(measured(), SITE)
    for sigma in (0.0, 0.004, 0.1, 100.0):
        assert decisions.knows(sigma)
        low, middle, high = (
            decisions.counts("adaptive", sigma, place)
            for place in ("lower", "estimate", "upper")
        )
        assert middle.shape == (20, DRAWS)
        assert (low <= middle.min(axis=1)).all()
        assert (middle.max(axis=1) == high).all()
        # The lower end promises nothing from noise, and no more than was counted.
        assert (low <= decisions.rays("adaptive", 0.0).min(axis=1)).all()
        assert (low <= MOST).all()
    ends = [decisions.rays("adaptive", s) for s in (0.01, 0.1)]
    middle = decisions.rays("adaptive", 0.01**0.5 * 0.1**0.5)
    both = np.isfinite(ends[0]) & np.isfinite(ends[1])
    np.testing.assert_array_equal(
        middle[both], np.rint(np.sqrt(ends[0] * ends[1])[both])
    )


def test_what_was_not_measured_is_not_predicted():
    assert not Decisions(synthetic(), SITE).knows(0.0)
    assert not Decisions(measured(targeted=True), SITE).knows(0.0)
    assert not Decisions(measured(norm="L2"), SITE).knows(0.0)
    silent = measured()
    one = dataclasses.replace(silent.sites[SITE], label_share=None)
    silent = dataclasses.replace(silent, sites={SITE: one})
    assert Decisions(silent, SITE).knows(0.0)
    assert not Decisions(silent, SITE).knows(0.1)
    # An image whose way does not cross counts as never, and as little in "lower".
    gains = measured().rim_gains.copy()
    gains[3] = np.nan
    part = Decisions(measured(rim_gains=gains), SITE)
    assert np.isinf(part.counts("adaptive", 0.0, "estimate")[3]).all()
    assert part.counts("adaptive", 0.0, "lower")[3] == MOST - VOTES
