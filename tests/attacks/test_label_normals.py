"""HopSkipJump, PopSkipJump and GeoDA, held against loops over one image."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from querytax import demo, noise
from querytax.attacks import attack, find
from querytax.attacks.geoda import GeoDAPlan, waves
from querytax.attacks.hopskipjump import HopSkipJumpPlan
from querytax.attacks.popskipjump import PopSkipJumpPlan, Sigmoids, alpha
from querytax.defenses import OutputNoise
from querytax.expect import DomainError

D = 6


def drawn(kind, stream, step, shape):
    rows = torch.tensor([0]), torch.tensor([step])
    return getattr(noise, kind)(0, f"attack/{stream}", *rows, shape)[0]


class ByHand:
    """One flat image, and every question about it."""

    def __init__(self, model, norm):
        self.model, self.norm, self.asked = model, norm, []
        self.origin = torch.full((D,), 0.5)

    def fooled(self, x):
        self.asked.append(x.clone())
        return bool(self.model(x[None])[0].argmax() == 1)

    def distance(self, x):
        away = x - self.origin
        return float(away.abs().max() if self.norm == "Linf" else away.norm())

    def between(self, x, share):
        if self.norm == "L2":
            return (1 - share) * self.origin + share * x
        reach = share * self.distance(x)
        return torch.clamp(x, self.origin - reach, self.origin + reach)

    def start(self, name):
        for attempt in itertools.count():
            x = drawn("uniforms", f"{name}/start", attempt, (D,))
            if self.fooled(x):
                return x

    def bisect(self, x, tolerance):
        low, high = 0.0, 1.0
        while high - low > tolerance:
            middle = (low + high) / 2
            if self.fooled(self.between(x, middle)):
                high = middle
            else:
                low = middle
        return self.between(x, high)

    def probe(self, name, turn, i):
        kind = "normals" if self.norm == "L2" else "uniforms"
        u = drawn(kind, f"{name}/probes{i // 64}", turn, (64, D))[i % 64]
        u = u if kind == "normals" else 2 * u - 1
        return u / u.norm()

    def normal(self, x, size, count, directions, baseline=True):
        f, u = [], []
        for i in range(count):
            at = torch.clamp(x + size * directions(i), 0, 1)
            f.append(1.0 if self.fooled(at) else -1.0)
            u.append((at - x) / size)
        mean = sum(f) / count
        if abs(mean) == 1 or not baseline:
            mean = 0.0
        return sum((a - mean) * b for a, b in zip(f, u, strict=True)) / count

    def unit(self, v):
        return v.sign() if self.norm == "Linf" else v / v.norm()


def agree(got, hand, n):
    """The run ends before the first part of a normal that it cannot pay for."""
    assert n - 64 <= len(got) <= n
    hand = torch.stack(hand.asked[: len(got)])
    torch.testing.assert_close(got, hand, rtol=0, atol=1e-5)


def hopskipjump(hand, n, initial, gamma, first):
    power = 1.5 if hand.norm == "L2" else 2.0
    theta = gamma / D**power
    x = hand.start("hopskipjump/0")
    for t in itertools.count(1):
        delta = first if t == 1 else hand.distance(x) * gamma / D
        x = hand.bisect(x, theta)
        count = int(initial * math.sqrt(t))
        v = hand.normal(
            x, delta, count, lambda i, t=t: hand.probe("hopskipjump", t - 1, i)
        )
        step = hand.distance(x) / math.sqrt(t)
        while True:
            at = torch.clamp(x + step * hand.unit(v), 0, 1)
            if len(hand.asked) >= n:
                return
            if hand.fooled(at):
                x = at
                break
            step /= 2


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_hopskipjump_asks_what_its_algorithm_asks(norm, halfspace, asked):
    model = halfspace(D)
    hand = ByHand(model, norm)
    hopskipjump(hand, 400, initial=70, gamma=0.5, first=0.1)
    plan = HopSkipJumpPlan(eps=1e-3, norm=norm, initial=70, gamma=0.5)
    image, label = torch.full((1, D), 0.5), torch.tensor([0])
    got = asked(model, image, label, plan, 400)
    agree(got, hand, 400)


def popskipjump(hand, n, initial, grid, window):
    """Posterior and information by their definitions, in numpy."""
    scales, floors = np.logspace(-1, 2, 10), (0.0, 0.1, 0.2, 0.3)
    places = np.linspace(0, 1, grid + 1)
    cells = list(itertools.product(places, scales, floors))
    centre, scale, floor = np.array(cells).T
    lift = np.tanh(2 * scale * (places[:, None] - centre)) / 2 + 0.5
    chance = floor + (1 - 2 * floor) * lift
    belief_floor = np.full(4, 0.25)
    x = hand.start("popskipjump/0")
    shift = 1 / grid
    spread = shift * (1 if hand.norm == "L2" else math.sqrt(D))
    off = 1 if hand.norm == "L2" else 1 / math.sqrt(D)
    ideal = math.sqrt(2 / math.pi) * math.exp(-off * off / 2)

    def entropy(p):
        return -np.sum(np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0.0), -1)

    for t in itertools.count(1):
        belief = np.tile(belief_floor, (grid + 1) * 10) / ((grid + 1) * 10)
        best, stood = -1, 0
        while stood < window:
            yes, no = belief * chance, belief * (1 - chance)
            said = np.stack([yes.sum(1), no.sum(1)], 1)
            joint = np.concatenate([yes, no], 1)
            gain = entropy(said) + entropy(belief) - entropy(joint)
            j = int(np.argmax(np.round(gain, 9)))
            fooled = hand.fooled(hand.between(x, places[j]))
            if len(hand.asked) >= n:
                return
            belief = np.maximum((yes if fooled else no)[j], 1e-12)
            belief = belief / belief.sum()
            guess = int(np.argmax(np.round(belief / belief.max(), 9)))
            best, stood = guess, (stood + 1 if guess == best else 0)
        belief_floor = belief.reshape(-1, 4).sum(0)
        way, (share, s, e) = hand.distance(x), cells[best]
        x = hand.between(x, share)
        # E[answer X] over a standard normal X, by the trapezoid rule.
        z = np.linspace(-9, 9, 200_001)
        ramp = np.clip(2 * s * (spread * z - shift), -1, 1)
        weight = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        worth = (1 - 2 * e) * np.trapezoid(ramp * z * weight, z)
        count = int(initial * math.sqrt(t) * (ideal / worth) ** 2)
        v = hand.normal(
            x,
            way * spread * math.sqrt(D),
            count,
            lambda i, t=t: hand.probe("popskipjump", t - 1, i),
        )
        step = hand.distance(x) / math.sqrt(t)
        x = torch.clamp(x + step * hand.unit(v), 0, 1)
        x = torch.clamp(x + 0.5 * (x - hand.origin), 0, 1)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_popskipjump_asks_what_its_algorithm_asks(norm, halfspace, asked):
    model = halfspace(D)
    hand = ByHand(model, norm)
    popskipjump(hand, 500, initial=60, grid=12, window=10)
    plan = PopSkipJumpPlan(eps=1e-3, norm=norm, initial=60, grid=12)
    image, label = torch.full((1, D), 0.5), torch.tensor([0])
    got = asked(model, image, label, plan, 500)
    agree(got, hand, 500)


def geoda(hand, n, initial, subspace, probe, tolerance):
    share = tolerance / (math.sqrt(D) if hand.norm == "L2" else 1)
    k, m = torch.arange(subspace), torch.arange(D)
    basis = torch.cos(math.pi * (m[:, None] + 0.5) * k / D) * math.sqrt(2 / D)
    basis[:, 0] = math.sqrt(1 / D)
    x, total = hand.bisect(hand.start("geoda/0"), share), 0.0
    for i in itertools.count():

        def direction(j, i=i):
            z = drawn("normals", f"geoda/probes{j // 64}", i, (64, subspace))
            return basis @ z[j % 64]

        count = round(initial * 0.6 ** (-2 * i / 3))
        total = total + hand.normal(x, probe, count, direction, baseline=False)
        reach = hand.distance(x)
        while True:
            at = torch.clamp(hand.origin + reach * hand.unit(total), 0, 1)
            if len(hand.asked) >= n:
                return
            if hand.fooled(at):
                break
            reach *= 1.25
        x = hand.bisect(at, share)


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_geoda_asks_what_its_algorithm_asks(norm, halfspace, asked):
    model = halfspace(D)
    hand = ByHand(model, norm)
    geoda(hand, 350, initial=50, subspace=5, probe=0.01, tolerance=1e-3)
    plan = GeoDAPlan(
        eps=1e-3, norm=norm, initial=50, subspace=5, probe=0.01, tolerance=1e-3
    )
    image, label = torch.full((1, D), 0.5), torch.tensor([0])
    got = asked(model, image, label, plan, 350)
    agree(got, hand, 350)


def test_waves_are_orthonormal_and_begin_with_the_mean():
    basis = waves(9, 20, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(basis.T @ basis, torch.eye(9, dtype=torch.float64))
    assert waves(9, 4, torch.zeros(1)).shape == (9, 4)
    assert basis[:, 0].std() < 1e-12


def test_an_answer_is_worth_its_ramp():
    """Closed form against the mean over normal draws, by quadrature."""
    z = torch.linspace(-9.0, 9.0, 200_001, dtype=torch.float64)
    density = (-0.5 * z * z).exp() / math.sqrt(2 * math.pi)
    for scale, floor, shift, spread in itertools.product(
        (0.3, 2.0, 60.0), (0.0, 0.2), (0.0, 0.01), (0.01, 0.2)
    ):
        ramp = (2 * scale * (spread * z - shift)).clamp(-1, 1)
        mean = (1 - 2 * floor) * torch.trapezoid(ramp * z * density, z)
        one = torch.tensor([1.0], dtype=torch.float64)
        got = alpha(scale * one, floor * one, shift, spread * one)
        torch.testing.assert_close(got[0], mean, rtol=1e-6, atol=1e-12)


def test_a_posterior_finds_boundary_slope_and_floor():
    """300 answers by the model itself: the centre to 2 cells, in 16 searches of 16."""
    sigmoids = Sigmoids(50)
    belief = sigmoids.prior(torch.full((16, 4), 0.25, dtype=torch.float64))
    for k in range(300):
        place = sigmoids.gain(belief).argmax(1)
        steep = 4 * 20.0 * (sigmoids.places[place] - 0.38)
        chance = 0.1 + 0.8 * steep.sigmoid()
        u = noise.uniforms(7, "answers", torch.arange(16), torch.full((16,), k), (1,))
        belief = sigmoids.learn(belief, place, u[:, 0] < chance)
    assert ((belief @ sigmoids.centre - 0.38).abs() <= 0.04).all()
    assert (belief @ sigmoids.floor).mean() == pytest.approx(0.1, abs=0.05)
    assert (belief @ sigmoids.scale.log10()).mean() == pytest.approx(1.3, abs=0.3)


def test_popskipjump_withstands_noise_that_breaks_hopskipjump():
    x, y = demo.digits().held_out
    guarded = OutputNoise(demo.load_model(), 0.2, experiment_seed=1)
    found = {
        (name, recipe): attack(
            guarded, x[:20], y[:20], name, eps=0.3, recipe=recipe, n_queries=1000
        ).broken.rate()
        for name in ("hopskipjump", "popskipjump", "geoda")
        for recipe in ("published", "adaptive")
    }
    assert found["popskipjump", "published"] >= 0.9
    assert found["hopskipjump", "published"] <= 0.8
    for name in ("hopskipjump", "popskipjump", "geoda"):
        assert found[name, "adaptive"] >= 0.95


def test_starts_are_where_a_targeted_attack_begins(halfspace, asked):
    model, target = halfspace(D), torch.tensor([1])
    image, start = torch.full((1, D), 0.5), torch.linspace(0, 1, D)[None]
    assert model(start).argmax() == 1
    for name in ("hopskipjump", "popskipjump"):
        plan = find(name).recipe("published", 1e-3, "L2", (D,))
        got = asked(
            model,
            image,
            torch.tensor([0]),
            plan,
            30,
            targets=target,
            starts=start,
        )
        # The first question is half the way to the start.
        torch.testing.assert_close(got[0], 0.5 * (image + start)[0])


@pytest.mark.parametrize(
    ("build", "changes", "said"),
    [
        (HopSkipJumpPlan, {"initial": 0}, "initial"),
        (HopSkipJumpPlan, {"asks": 2}, "asks odd"),
        (HopSkipJumpPlan, {"gamma": 0.0}, "gamma"),
        (HopSkipJumpPlan, {"restart": -1}, "restart"),
        (PopSkipJumpPlan, {"grid": 1}, "grid"),
        (PopSkipJumpPlan, {"widest": 0.0}, "widest"),
        (PopSkipJumpPlan, {"spread": -1.0}, "spread"),
        (PopSkipJumpPlan, {"window": 0}, "window"),
        (GeoDAPlan, {"ratio": 1.5}, "ratio"),
        (GeoDAPlan, {"probe": 0.0}, "probe"),
        (GeoDAPlan, {"asks": 4}, "asks odd"),
        (GeoDAPlan, {"tolerance": -1.0}, "tolerance"),
    ],
)
def test_settings_outside_their_range_are_named(build, changes, said):
    with pytest.raises(DomainError, match=said):
        build(eps=0.1, **changes)


def test_questions_grow_as_published():
    plan = HopSkipJumpPlan(eps=0.1, most=190)
    assert [plan.evaluations(t) for t in (1, 2, 4)] == [100, 141, 190]
    assert plan.theta(64) == 64**-2.0
    counts = GeoDAPlan(eps=0.1, horizon=500).allocation()
    assert counts[:3] == [65, 91, 128]
    assert sum(counts) <= 500
    assert GeoDAPlan(eps=0.1, horizon=1).allocation() == [65]
