"""What a probe says of blind guesses, searches and labels, by the naive way to each."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor, nn

from querytax import noise
from querytax.attacks.block import Block
from querytax.attacks.patterns import MIXED, PatternsPlan, engine
from querytax.attacks.square import SquarePlan, moves
from querytax.defenses import defend
from querytax.losses import attacker_loss
from querytax.probes import probe
from querytax.probes.crossing import LARGEST, OFFSETS, QUERIES, rim_gains
from querytax.probes.path import boundary_path, wander
from querytax.probes.questions import apart
from querytax.probes.restarts import restarted
from querytax.statistics import ModelStatistics

SEED, EPS, N = 3, {"Linf": 0.2, "L2": 2.0}, 6
SHAPE = (2, 7, 6)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Net(nn.Module):
    """Smooth, in double precision: rounding decides no label."""

    def __init__(self, dimension: int = 84) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.first, self.act = nn.Linear(dimension, 12), nn.Tanh()
        self.last = nn.Linear(12, 3)
        for p in self.parameters():
            p.data = torch.from_numpy(rng.normal(size=p.shape))
        self.first.weight.data *= 0.4

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.last(self.act(self.first(x.flatten(1) - 0.5)))


class Line(nn.Module):
    """Two classes; the margin of class 0 falls linearly along ``weight``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1.0, 1.3, 30).double())

    def forward(self, x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ self.weight - 1.0
        return torch.stack((-0.5 * score, 0.5 * score), 1)


def images(n=N, shape=SHAPE):
    x = np.random.default_rng(1).random((n, *shape))
    # Some so near 0 or 1 that a move is cut.
    return torch.from_numpy((1.2 * x - 0.1).clip(0, 1))


def found_in(model, x, *, norm="Linf", targeted=False, eps=None, **more):
    with torch.no_grad():
        labels = model(x).argmax(1)
    settings = {
        "eps": EPS[norm] if eps is None else eps,
        "norm": norm,
        "targets": (labels + 1) % 3 if targeted else None,
        "betas": [0.1],
        "n_directions": 2,
        "n_flips": 5,
        "n_patterns": 40,
        "n_proposals": 6,
        "rng": SEED,
    }
    return probe(model, x, labels, **{**settings, **more}), labels


# -- blind guesses -----------------------------------------------------------------


@pytest.mark.parametrize("shape", [SHAPE, (84,)])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_blind_hits_are_the_attacks_own_first_questions(shape, norm, targeted):
    model, x = Net(), images(shape=shape)
    stats, labels = found_in(model, x, norm=norm, targeted=targeted, batch_size=25)
    plan = PatternsPlan(eps=EPS[norm], norm=norm)
    assert stats.blind_tried == 40
    expected = []
    for i in stats.probed:
        goal = (labels[i] + 1) % 3 if targeted else labels[i]
        key = torch.tensor([i])
        asked = engine(plan, Block(plan, x[i][None], key * 0, key, seed=apart(SEED)))
        said = [int(model(q.x).argmax()) for q in itertools.islice(asked, 40)]
        expected.append([bool(s == goal) == targeted for s in said])
    assert stats.blind_outcomes.tolist() == expected
    assert stats.blind_hits.tolist() == [sum(row) for row in expected]
    assert stats.blind_turn == len(MIXED)
    assert len(stats.blind_kinds) == len(MIXED)
    # What fools the model has taken the margin's whole gap.
    gained = stats.blind_changes - stats.gaps[:, None] > 0
    assert (gained == np.array(expected)).all()
    assert stats.blind_of("rows 2").tolist() == [
        next((k + 1.0 for k, hit in enumerate(row) if hit), np.inf)
        for row in stats.blind_outcomes[:, stats.blind_are("rows 2")]
    ]
    assert 0 < np.mean(expected) < 1


def test_a_probes_draws_are_not_those_of_an_attack():
    assert len({apart(seed) for seed in range(100)} | set(range(100))) == 200
    assert apart(0) == apart(0) < 2**63


# -- searches ----------------------------------------------------------------------


def drawn(kind, name, key, step, shape):
    one = torch.tensor([key]), torch.tensor([step])
    draw = getattr(noise, kind)
    return draw(apart(SEED), f"attack/{name}", *one, shape, dtype=torch.float64)[0]


def candidate(kind, x, origin, key, step, eps, norm):
    """One move, element by element."""
    c, h, w = SHAPE
    new = x.clone()
    if kind == "square":
        side = 2  # A tenth of 42 pixels.
        u = drawn("uniforms", "square/place", key, step, (2,))
        top, left = int(u[0] * (h - side + 1)), int(u[1] * (w - side + 1))
        sign = drawn("signs", "square/sign", key, step, (2, c, 1, 1))[0]
        for k in range(c):
            for i in range(top, top + side):
                for j in range(left, left + side):
                    new[k, i, j] = origin[k, i, j] + eps * sign[k, 0, 0]
        return new.clamp(0, 1)
    sign = float(drawn("signs", f"probe/{kind}", key, step, (1,)))
    u = float(drawn("uniforms", f"probe/{kind}", key, step, (1,)))
    if kind == "pixel":
        chosen = [np.unravel_index(int(u * c * h * w), SHAPE)]
        length = 0.2
    else:
        cell = int(u * c * 4 * 3)  # Cells of 2 x 2: four down, three across.
        k, a, b = cell // 12, cell % 12 // 3, cell % 3
        chosen = [
            (k, i, j)
            for i in range(2 * a, min(2 * a + 2, h))
            for j in range(2 * b, min(2 * b + 2, w))
        ]
        length = 0.5 * eps / 2
    for place in chosen:
        new[place] = (
            origin[place] + sign * eps if norm == "Linf" else new[place] + sign * length
        )
    away = new - origin
    if norm == "L2" and away.norm() > eps:
        away = away * eps / away.norm()
    return (origin + away).clamp(0, 1)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_changes_of_the_loss_move_by_move(norm, targeted):
    model, x = Net(), images(4)
    stats, labels = found_in(model, x, norm=norm, targeted=targeted, batch_size=50)
    eps, goals = EPS[norm], (labels + 1) % 3 if targeted else labels
    assert stats.proposal_kinds == ("square", "coarse", "pixel")
    assert stats.proposals.shape == (3, 2, 4, 4, 6)
    assert stats.proposals.dtype == np.float32

    @torch.no_grad()
    def losses(x, goal):
        z = model(x[None])
        return [
            float(
                attacker_loss(
                    answers, goal[None], loss="margin", answered=kind, targeted=targeted
                )
            )
            for answers, kind in ((z, "logits"), (z.softmax(1), "probabilities"))
        ]

    for place, i in enumerate(stats.probed):
        origin, key = x[i][None], torch.tensor([i])
        way = boundary_path(
            model,
            origin,
            goals[i][None],
            eps=eps,
            norm=norm,
            stages=torch.from_numpy(stats.stages),
            answered="logits",
            targeted=targeted,
            batch_size=1,
        ).points
        astray = wander(way, origin, eps=eps, norm=norm, seed=SEED, rows=key)
        gaps = losses(origin[0], goals[i])
        assert stats.gaps[place] == pytest.approx(-gaps[0])
        assert stats.probability_gaps[place] == pytest.approx(-gaps[1])
        assert stats.gaps[place] > 0
        for p, t in itertools.product(range(2), range(4)):
            point = (way, astray)[p][0, t]
            before = losses(point, goals[i])
            for kind, step in itertools.product(range(3), range(6)):
                word = stats.proposal_kinds[kind]
                number = i * 8 + p * 4 + t
                if norm == "L2" and word == "square":
                    # Square's own; its test has the naive reference.
                    plan, row = SquarePlan(eps=eps, norm=norm), torch.tensor([number])
                    block = Block(plan, origin, row, row, seed=apart(SEED))
                    new = moves(block).proposal(row * 0, point[None], 2, step)[0]
                else:
                    new = candidate(word, point, x[i], number, step, eps, norm)
                after = losses(new, goals[i])
                for scale, array in enumerate(
                    (stats.proposals, stats.probability_proposals)
                ):
                    assert array[kind, p, t, place, step] == pytest.approx(
                        after[scale] - before[scale], rel=1e-5, abs=1e-7
                    )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 84), (84,), (12, 7)])
def test_questions_lie_in_the_budget(norm, shape):
    x, asked = images(shape=shape), []

    def model(q):
        asked.append(q.detach())
        return net(q.detach()).detach()

    net = Net()
    stats, _ = found_in(model, x, norm=norm, n_patterns=0, betas=[1e-9], n_probe=1)
    planar = len(shape) == 3
    assert stats.proposal_kinds == ("square", "coarse", "pixel")[0 if planar else 1 :]
    assert stats.shape == shape
    assert stats.proposals.shape == (2 + planar, 2, 1, 1, 6)
    away = (torch.cat(asked) - x[stats.probed[0]]).flatten(1)
    size = away.abs().amax(1) if norm == "Linf" else away.norm(dim=1)
    near = size[size < 1.5 * EPS[norm]]
    assert len(near) > 36
    assert near.max() <= EPS[norm] + 1e-6


def test_a_move_that_changes_nothing_changes_nothing():
    """An image of zeros, at itself: half of the moves go where no image is."""
    model, x = (lambda q: Net()(q.detach()).detach()), torch.zeros(1, *SHAPE).double()
    stats, _ = found_in(model, x, n_proposals=64)
    pixel = stats.proposals[2, 0, 0, 0]
    # 64 fair signs: outside with probability 1e-6.
    assert 14 <= (pixel == 0).sum() <= 50


# -- labels near the boundary ------------------------------------------------------

SITES = ("input", "output", "output:logits", "first")


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_labels_near_the_boundary_one_by_one(norm, targeted):
    model, x = Net(), images(6)
    eps = {"Linf": 0.05, "L2": 0.5}[norm]
    sigmas = {word: [0.05, 0.5] for word in SITES}
    stats, labels = found_in(
        model,
        x,
        norm=norm,
        targeted=targeted,
        eps=eps,
        sites=SITES,
        sigmas=sigmas,
        batch_size=13,
        n_proposals=0,
    )
    goals = (labels + 1) % 3 if targeted else labels
    crosses = np.isfinite(stats.path_length)
    assert 0 < crosses.sum() < len(crosses)
    assert (np.isfinite(stats.boundary_norm) == crosses).all()
    assert stats.label_offsets.tolist() == list(OFFSETS)
    for place, i in enumerate(stats.probed):
        if not crosses[place]:
            for site in stats.sites.values():
                assert np.isnan(site.label_share[..., place]).all()
            continue
        origin = x[i][None]
        way = {
            "eps": eps,
            "norm": norm,
            "stages": torch.ones(1),
            "answered": "logits",
            "targeted": targeted,
            "batch_size": 1,
        }
        goal = goals[i][None]
        path = boundary_path(model, origin, goal, **way)
        key = torch.tensor([i])
        path = restarted(model, path, origin, goal, key, seed=SEED, **way)
        at = path.points[:, 0]
        length = float((at - origin).norm())
        assert stats.boundary_norm[place] == pytest.approx(length)
        for (word, site), o in itertools.product(
            stats.sites.items(), range(len(OFFSETS))
        ):
            point = (origin + (1 + OFFSETS[o]) * (at - origin)).clamp(0, 1)
            row = torch.tensor([i * len(OFFSETS) + o])
            for level, sigma in enumerate(site.sigmas):
                guarded = defend(model, word, float(sigma), experiment_seed=SEED)
                said = [
                    int(guarded(point, row, torch.tensor([QUERIES + k])).argmax())
                    for k in range(5)
                ]
                hits = [s == goals[i] if targeted else s != goals[i] for s in said]
                share = 0.5 if sigma == OFFSETS[o] == 0 else np.mean(hits)
                assert site.label_share[level, o, place] == pytest.approx(share)


def test_labels_near_the_boundary_of_a_line():
    """Phi(offset gap / (sigma sqrt 2)): 12 images, 400 draws, 4.5 binomial errors.

    108 cells: a false alarm in 7e-4. Sees an error of 11 % of a share of a half.
    """
    x = 0.5 + 0.1 * (images(12, (30,)) - 0.5)
    stats, _ = found_in(
        Line(),
        x,
        norm="L2",
        eps=2.0,
        sites=["output:logits"],
        sigmas={"output:logits": [0.2]},
        n_flips=400,
        n_proposals=0,
    )
    weight = Line().weight.detach().numpy()
    np.testing.assert_allclose(
        stats.boundary_norm, stats.gaps / np.linalg.norm(weight), rtol=1e-9
    )
    share = stats.site("output:logits").label_share
    law = special.ndtr(np.outer(OFFSETS, stats.gaps) / (0.2 * math.sqrt(2)))
    error = 4.5 * np.sqrt(law * (1 - law) / 400)
    assert (np.abs(share[1] - law) <= np.maximum(error, 1 / 400)).all()
    sharp = np.heaviside(np.array(OFFSETS), 0.5)
    np.testing.assert_array_equal(share[0], np.repeat(sharp[:, None], 12, 1))
    exact = np.quantile(np.abs(weight), np.linspace(0, 1, 33))
    np.testing.assert_allclose(stats.gradient_profile, np.tile(exact, (12, 1)))


# -- all of them -------------------------------------------------------------------


def test_nothing_depends_on_batches_or_company(monkeypatch):
    model, x = Net(), images(9)
    settings = {"sites": SITES, "sigmas": {word: [0.1] for word in SITES}}

    def same(one, other, n=9):
        assert one.blind_outcomes[:n].tolist() == other.blind_outcomes.tolist()
        for name in ("proposals", "probability_proposals"):
            np.testing.assert_allclose(
                getattr(one, name)[..., :n, :],
                getattr(other, name),
                rtol=1e-5,
                atol=1e-9,
            )
        for name in ("gaps", "boundary_norm", "gradient_profile", "probability_gaps"):
            np.testing.assert_allclose(getattr(one, name)[:n], getattr(other, name))
        for word, site in one.sites.items():
            np.testing.assert_array_equal(
                site.label_share[..., :n], other.sites[word].label_share
            )

    whole, _ = found_in(model, x, **settings)
    same(whole, found_in(model, x, batch_size=5, **settings)[0])
    same(whole, found_in(model, x[:4], **settings)[0], 4)
    monkeypatch.setattr("querytax.probes.walk._BLOCK", 2)
    same(whole, found_in(model, x, **settings)[0])


def test_without_a_gradient(tmp_path):
    net = Net()
    stats, _ = found_in(lambda x: net(x.detach()).detach(), images())
    assert stats.proposals.shape == (3, 2, 1, N, 6)
    assert np.isfinite(stats.proposals).all()
    assert (stats.blind_hits >= 0).all()
    assert (stats.gaps > 0).all()
    assert np.isnan(stats.boundary_norm).all()
    assert np.isnan(stats.gradient_profile).all()
    for site in stats.sites.values():
        assert np.isnan(site.label_share).all()
    stats.save(tmp_path / "s.npz")
    again = ModelStatistics.load(tmp_path / "s.npz")
    assert again.proposal_kinds == stats.proposal_kinds
    assert again.shape == SHAPE
    assert again.proposals.tobytes() == stats.proposals.tobytes()


def test_none_is_none(tmp_path):
    stats, _ = found_in(Net(), images(), n_patterns=0, n_proposals=0)
    stats.save(tmp_path / "s.npz")
    for one in (stats, ModelStatistics.load(tmp_path / "s.npz")):
        assert (
            one.blind_hits
            is one.blind_outcomes
            is one.proposals
            is one.proposal_kinds
            is None
        )
        assert one.probability_proposals is None
        assert one.blind_tried == 0
        assert (one.gaps > 0).all()


def test_a_model_that_answers_probabilities():
    """At the images: on probabilities the way to the boundary is another."""
    net = Net()

    class Answered:
        answers = "probabilities"

        def __call__(self, x: Tensor) -> Tensor:
            return net(x.detach()).softmax(1).detach()

    logits, _ = found_in(lambda x: net(x.detach()).detach(), images())
    released, _ = found_in(Answered(), images())
    for scale in (released.proposals, released.probability_proposals):
        np.testing.assert_allclose(
            scale, logits.probability_proposals, rtol=1e-5, atol=1e-9
        )
    np.testing.assert_allclose(released.gaps, logits.probability_gaps)
    assert released.blind_hits.tolist() == logits.blind_hits.tolist()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_gains_at_the_rim(norm):
    """Number by number, by the margin's gradient at the crossing and what is left."""
    x = torch.rand(4, 5, dtype=torch.float64)
    weight = torch.tensor([0.5, -1.0, 2.0, 0.0, 1.5], dtype=torch.float64)

    def line(z):
        margin = z.flatten(1) @ weight - 9.0
        return torch.stack((-margin, torch.zeros_like(margin)), 1)

    x[0] = torch.tensor([0.0, 1.0, 0.99, 0.5, 0.02])
    goals = torch.zeros(4, dtype=torch.long)
    crossing = x + (9.0 - x @ weight)[:, None] * weight / (weight @ weight)
    crossing[3] = torch.nan
    found = rim_gains(
        line,
        x,
        goals,
        crossing,
        eps=0.1,
        norm=norm,
        answered="logits",
        targeted=False,
        batch_size=3,
    )
    part = 0.1 if norm == "Linf" else 0.1 / 5**0.5
    for i, j in itertools.product(range(3), range(5)):
        here, slope = float(x[i, j]), float(weight[j] / (9.0 - x[i] @ weight))
        up, down = min(part, 1.0 - here), min(part, here)
        np.testing.assert_allclose(
            found[i, :, j], (slope * up, -slope * down), rtol=1e-6
        )
    assert np.isnan(found[3]).all()
    large = torch.rand(1, LARGEST + 1)
    none = rim_gains(
        line,
        large,
        goals[:1],
        large,
        eps=0.1,
        norm=norm,
        answered="logits",
        targeted=False,
        batch_size=3,
    )
    assert none is None
