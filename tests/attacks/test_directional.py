"""OPT and Sign-OPT, held against loops over one image."""

from __future__ import annotations

import math

import pytest
import torch

from querytax import demo, noise
from querytax.attacks import attack
from querytax.attacks.opt import OPTPlan
from querytax.attacks.signopt import SignOPTPlan
from querytax.defenses import OutputNoise
from querytax.expect import DomainError

D = 16


def draw(kind, stream, step, shape):
    key, at = torch.tensor([0]), torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", key, at, shape)[0]


class Hand:
    """One image of label 0, and every question about it."""

    def __init__(self, model, x, plan):
        self.model, self.x, self.plan, self.questions = model, x, plan, []
        self.order = math.inf if plan.norm == "Linf" else 2

    def unit(self, theta):
        return theta / theta.norm(p=self.order)

    def holds(self, theta, length):
        self.questions.append((self.x + length * theta).clamp(0, 1))
        return bool(self.model(self.questions[-1][None]).argmax(1) == 1)

    def first(self, name):
        """Random directions, each a bisection if it is any better."""
        drawn = draw("normals", f"{name}/start", 0, (self.plan.tries, D))
        hits = [u for u in drawn if self.holds(u, 1.0)]
        theta, g = None, math.inf
        for u in hits:
            high, low = float(u.norm(p=self.order)), 0.0
            u = self.unit(u)
            if high > g:
                if not self.holds(u, g):
                    continue
                high = g
            while high - low > self.plan.coarse:
                middle = (low + high) / 2
                if self.holds(u, middle):
                    high = middle
                else:
                    low = middle
            if high < g:
                theta, g = u, high
        return theta, g

    def searched(self, theta, guess, tolerance):
        """Strides of 1 % until the answer changes, then a bisection; as a generator,
        since several searches about one image go on side by side."""
        low = high = guess
        if (yield theta, guess):
            low = high * 0.99
            while (yield theta, low):
                high, low = low, low * 0.99
        else:
            high = low * 1.01
            while not (yield theta, high):
                low, high = high, high * 1.01
        while high - low > tolerance:
            middle = (low + high) / 2
            if (yield theta, middle):
                high = middle
            else:
                low = middle
        return high

    def together(self, searches):
        """Each search one question on at a time."""
        found, going = [None] * len(searches), dict(enumerate(searches))
        asks = {i: next(search) for i, search in going.items()}
        while asks:
            answers = {i: self.holds(*ask) for i, ask in asks.items()}
            asks = {}
            for i, answer in answers.items():
                try:
                    asks[i] = going[i].send(answer)
                except StopIteration as end:
                    found[i] = end.value
        return found

    def descend(self, theta, g, gradient, alpha, tolerance):
        best, least = theta, g
        for _ in range(15):
            new = self.unit(theta - alpha * gradient)
            (length,) = self.together([self.searched(new, least, tolerance)])
            alpha *= 2
            if length >= least:
                break
            best, least = new, length
        if least >= g:
            for _ in range(15):
                alpha *= 0.25
                new = self.unit(theta - alpha * gradient)
                (length,) = self.together([self.searched(new, least, tolerance)])
                if length < g:
                    best, least = new, length
                    break
        return best, least, alpha


def signopt(hand, n):
    """Cheng et al. 2020, Algorithm 1."""
    plan = hand.plan
    theta, g = hand.first("signopt")
    alpha, beta, step = plan.alpha, plan.beta, 0
    while len(hand.questions) < n:
        gradient = torch.zeros(D)
        for u in draw("normals", "signopt", step, (plan.directions, D)):
            u = hand.unit(u)
            nearer = hand.holds(hand.unit(theta + beta * u), g)
            gradient += (-u if nearer else u) / plan.directions
        theta, g, alpha = hand.descend(theta, g, gradient, alpha, plan.tolerance * beta)
        step += 1
        if alpha < 1e-4:
            alpha, beta = 1.0, 0.1 * beta
    return torch.stack(hand.questions[:n])


def opt(hand, n):
    """Cheng et al. 2019, Algorithm 1."""
    plan = hand.plan
    theta, g = hand.first("opt")
    alpha, beta, step = plan.alpha, plan.beta, 0
    while len(hand.questions) < n:
        us = [hand.unit(u) for u in draw("normals", "opt", step, (plan.directions, D))]
        near = [hand.unit(theta + beta * u) for u in us]
        tolerance = plan.tolerance * beta
        lengths = hand.together([hand.searched(v, g, tolerance) for v in near])
        slopes = [(length - g) / beta for length in lengths]
        gradient = sum(s * u for s, u in zip(slopes, us, strict=True)) / len(us)
        theta, g, alpha = hand.descend(theta, g, gradient, alpha, tolerance)
        if min(lengths) < g:
            theta, g = near[lengths.index(min(lengths))], min(lengths)
        step += 1
        if alpha < 1e-4:
            alpha, beta = 1.0, 0.1 * beta
    return torch.stack(hand.questions[:n])


@pytest.mark.parametrize("norm", ["L2", "Linf"])
@pytest.mark.parametrize(
    ("by_hand", "plan"),
    [
        (signopt, SignOPTPlan(eps=0.01, directions=20, beta=0.1, tolerance=0.02)),
        (opt, OPTPlan(eps=0.01, directions=4, beta=0.1, tolerance=0.02)),
    ],
)
def test_the_questions_are_the_algorithms(asked, halfspace, by_hand, plan, norm):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    plan = plan.replace(norm=norm, tries=20)
    got = asked(model, x, torch.tensor([0]), plan, 400)
    want = by_hand(Hand(model, x[0], plan), len(got))
    # Over the first 300: rounding of a distance is carried on into later steps.
    assert len(got) > 300
    torch.testing.assert_close(got[:300], want[:300], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "plan", [SignOPTPlan(eps=0.01, norm="L2"), OPTPlan(eps=0.01, norm="L2")]
)
def test_the_nearest_point_of_a_halfspace_is_found(asked, halfspace, plan):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    got = asked(model, x, torch.tensor([0]), plan, 6000)
    away = (got - x).norm(dim=1)[model(got).argmax(1) == 1]
    assert 0.2 - 1e-6 < away.min() < 0.205


def test_a_known_start_is_the_first_direction(asked, halfspace):
    model, x = halfspace(D, margin=0.2), torch.full((1, D), 0.5)
    start = (x + 0.4 * model.weight.sign()).clamp(0, 1)
    plan = SignOPTPlan(eps=0.01, norm="L2", coarse=0.01, tries=1)
    got = asked(model, x, torch.tensor([0]), plan, 8, starts=start)
    torch.testing.assert_close(got[0], x[0] + 0.5 * (start[0] - x[0]))


@pytest.mark.parametrize("name", ["opt", "signopt"])
def test_under_noise_the_adaptive_form_is_stronger(name):
    x, y = (part[:40] for part in demo.digits().held_out)
    medians = []
    for recipe in ("published", "adaptive"):
        model = OutputNoise(demo.load_model(), 0.2, experiment_seed=1)
        options = {"eps": 2.0, "norm": "L2", "n_queries": 600, "recipe": recipe}
        medians.append(attack(model, x, y, name, **options).broken.quantile())
    assert medians[1] < medians[0]


@pytest.mark.parametrize("plan", [OPTPlan, SignOPTPlan])
@pytest.mark.parametrize(
    "bad",
    [
        {"alpha": 0.0},
        {"beta": 0.0},
        {"finer": 0.0},
        {"directions": 0},
        {"tries": 0},
        {"trials": 0},
        {"coarse": 0.0},
        {"tolerance": 0.0},
        {"stride": 1.0},
        {"retreat": -1.0},
    ],
)
def test_a_bad_setting_is_named(plan, bad):
    with pytest.raises(DomainError, match=next(iter(bad))):
        plan(eps=0.1, **bad)
