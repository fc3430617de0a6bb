"""Attacks with a network of their own: transfer, P-RGF and Subspace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import querytax as qt
from querytax import noise
from querytax.attacks import attack
from querytax.attacks.prgf import PRGFPlan, best_weight
from querytax.attacks.subspace import SubspacePlan
from querytax.attacks.transfer import TransferPlan, surrogate_gradient
from querytax.expect import DomainError

D = 12
LABEL = torch.tensor([0])


def never(x):
    """A model that nothing fools, but not a flat one."""
    score = 0.3 * (x.double() * torch.linspace(-1, 1.3, D)).sum(1)
    return torch.stack((9.0 + score, score.square()), 1)


def weights(classes=2):
    return torch.sin(torch.arange(D * classes) * 1.7).view(D, classes)


def surrogate(x):
    return x @ weights()


def image():
    return torch.linspace(0.1, 0.9, D)[None]


def draws(kind, stream, step, shape):
    draw = getattr(noise, kind)
    at = torch.tensor([0]), torch.tensor([step])
    return draw(0, f"attack/{stream}", *at, shape)[0].double().numpy()


def slope(x, goal=0, targeted=False, loss="ce"):
    """Gradient of the attacker's loss of the linear surrogate, by hand."""
    w = weights().double().numpy()
    if loss == "margin":
        return w[:, 1 - goal] - w[:, goal]
    scores = np.exp(x @ w)
    share = scores / scores.sum()
    share[goal] -= 1.0
    return -(w @ share) if targeted else w @ share


def project(x, origin, eps, norm):
    away = x - origin
    if norm == "Linf":
        away = np.clip(away, -eps, eps)
    else:
        away = away * min(1.0, eps / max(np.linalg.norm(away), 1e-30))
    return np.clip(origin + away, 0.0, 1.0)


def losses(points, loss):
    answers = never(torch.tensor(np.array(points)).float()).numpy()
    if loss == "margin":
        return answers[:, 1] - answers[:, 0]
    return np.log(np.exp(answers - answers[:, :1]).sum(1))


def close(rows, wanted):
    want = torch.tensor(np.array(wanted)).float()
    assert len(want) == len(rows)
    torch.testing.assert_close(rows, want, rtol=0, atol=1e-6)


# -- transfer ---------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 1])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_transfer_is_momentum_iterative_fgsm(asked, norm, target):
    plan = TransferPlan(eps=0.2, norm=norm, steps=4, momentum=0.5, tries=3)
    targets = None if target is None else torch.tensor([target])
    rows = asked(never, image(), LABEL, plan, 3, surrogate=surrogate, targets=targets)
    origin = image()[0].double().numpy()
    wanted = []
    for attempt in range(3):
        x, memory = origin, 0.0
        if attempt and norm == "Linf":
            away = 0.2 * (2 * draws("uniforms", "transfer", attempt, (D,)) - 1)
            x = project(origin + away, origin, 0.2, norm)
        elif attempt:
            away = draws("normals", "transfer", attempt, (D,))
            share = draws("uniforms", "transfer/radius", attempt, (1,)) ** (1 / D)
            away = 0.2 * share * away / np.linalg.norm(away)
            x = project(origin + away, origin, 0.2, norm)
        for _ in range(4):
            g = slope(x, target or 0, target is not None)
            memory = 0.5 * memory + g / np.abs(g).sum()
            move = np.sign(memory)
            if norm == "L2":
                move = memory / np.linalg.norm(memory)
            x = project(x + 0.05 * move, origin, 0.2, norm)
        wanted.append(x)
    close(rows, wanted)


def test_transfer_asks_once_a_try_and_leaves_the_surrogate_as_it_was():
    net = nn.Sequential(nn.Linear(D, 2), nn.Dropout(0.5))
    with torch.no_grad():
        net[0].weight.copy_(weights().T)
    net.train()
    results = [
        attack(never, image(), LABEL, TransferPlan(eps=0.1, tries=t), surrogate=net)
        for t in (1, 1, 5)
    ]
    assert [r.total_queries for r in results] == [1, 1, 5]
    assert net.training
    assert net[0].weight.grad is None


@pytest.mark.parametrize("name", ["transfer", "prgf", "subspace"])
def test_a_surrogate_without_gradients_is_named(name):
    def flat(x):
        return torch.zeros(len(x), 2)

    with pytest.raises(DomainError, match="surrogate to be differentiable"):
        attack(never, image(), LABEL, name, eps=0.1, surrogate=flat)


# -- P-RGF ------------------------------------------------------------------------


def expected_distance(weight, known, rest, free, q):
    """Of the gradient to the estimate, scaled at best: Cheng et al. 2019, theorem 1."""
    first = weight * known + (1 - weight) * rest / free
    second = weight**2 * known + (1 - weight) ** 2 * rest / free**2
    return known + rest - first**2 / ((1 - 1 / q) * second + first / q)


@pytest.mark.parametrize("free", [5, 63, 3000])
@pytest.mark.parametrize("q", [2, 10, 50])
def test_the_best_weight_is_the_best_on_a_grid(free, q):
    grid = np.linspace(0.0, 1.0, 20_001)
    middle = 0
    for known in np.geomspace(1e-6, 1e2, 201):
        best = float(best_weight(torch.tensor(known), torch.tensor(1.0), free, q))
        values = expected_distance(grid, known, 1.0, free, q)
        mine = expected_distance(best, known, 1.0, free, q)
        assert mine <= values.min() + 1e-12 * (1.0 + known)
        middle += 0.0 < best < 1.0
        # The formula as it is printed for no data-dependent prior.
        a, n = known / (known + 1.0), free + 1
        if 1 / (n + 2 * q - 2) < a < (2 * q - 1) / (n + 2 * q - 2):
            over = (1 - a) * (a * (n + 2 * q - 2) - 1)
            under = 2 * a * n * q - a**2 * n * (n + 2 * q - 2) - 1
            assert best == pytest.approx(over / under, rel=1e-9)
    assert middle > 3
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    assert float(best_weight(zero, one, free, q)) == 0.0
    assert float(best_weight(one, zero, free, q)) == 1.0
    assert float(best_weight(zero, zero, free, q)) == 0.0


@pytest.mark.parametrize("weight", [None, 0.5])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_prgf_asks_what_the_reference_asks(asked, norm, weight):
    rule = "sign" if norm == "Linf" else "unit"
    plan = PRGFPlan(
        eps=0.2,
        norm=norm,
        loss="margin",
        probe=0.01,
        directions=6,
        gauges=3,
        every=2,
        step=0.03,
        step_rule=rule,
        weight=weight,
        momentum=0.5,
    )
    steps = 4
    x = origin = image()[0].double().numpy()
    wanted, memory, length = [x], 0.0, 0.01 * D**0.5
    value = losses([x], "margin")[0]
    weights_seen = []
    for step in range(steps):
        v = slope(x, loss="margin")
        v = v / np.linalg.norm(v)
        lean = weight
        if weight is None:
            wanted.append(x + length * v)
            along = (losses([wanted[-1]], "margin")[0] - value) / length
            if step % 2 == 0:
                w = draws("normals", "prgf/gauge", step, (3, D))
                w /= np.linalg.norm(w, axis=1, keepdims=True)
                points = list(x + length * w)
                wanted += points
                rises = (losses(points, "margin") - value) / length
                energy = D * np.mean(rises**2)
            v = v if along >= 0 else -v
            known, rest = along**2, max(energy - along**2, 0.0)
            lean = float(best_weight(torch.tensor(known), torch.tensor(rest), D - 1, 6))
        weights_seen.append(lean)
        g = v
        if lean < 1.0:
            u = draws("normals", "prgf", step, (6, D))
            u = u - (u @ v)[:, None] * v
            u /= np.linalg.norm(u, axis=1, keepdims=True)
            u = lean**0.5 * v + (1 - lean) ** 0.5 * u
            points = list(x + length * u)
            wanted += points
            g = ((losses(points, "margin") - value) / length) @ u / 6
        memory = g / np.linalg.norm(g) + 0.5 * memory
        move = np.sign(memory) if norm == "Linf" else memory / np.linalg.norm(memory)
        x = project(x + 0.03 * move, origin, 0.2, norm)
        value = losses([x], "margin")[0]
        wanted.append(x)
    rows = asked(never, image(), LABEL, plan, len(wanted), surrogate=surrogate)
    close(rows, wanted)
    assert any(w < 1.0 for w in weights_seen)


def test_prgf_goes_further_while_it_is_told_nothing(asked):
    def blunt(x):
        score = (x[:, 0] * 50).round() / 50
        return torch.stack((3.0 + 0 * score, score), 1)

    plan = PRGFPlan(eps=0.2, loss="margin", probe=1e-4, directions=2, gauges=2)
    rows = asked(blunt, image(), LABEL, plan, 12, surrogate=surrogate)
    far = (rows[1:12] - rows[0]).norm(dim=1)
    ratio = far[1:] / far[:-1]
    first = (ratio < 1.5).nonzero()[0, 0]
    assert first >= 4
    torch.testing.assert_close(
        ratio[:first], torch.full((int(first),), 2.0), rtol=0, atol=5e-3
    )


# -- Subspace ---------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_subspace_asks_what_the_reference_asks(asked, norm):
    rule = "sign" if norm == "Linf" else "unit"
    plan = SubspacePlan(
        eps=0.2,
        norm=norm,
        probe=0.3,
        exploration=0.7,
        prior_step=0.4,
        step=0.03,
        step_rule=rule,
        dropout=0.2,
        dropout_step=0.2,
        dropout_most=0.5,
    )
    rows = asked(never, image(), LABEL, plan, 12, surrogate=surrogate)
    x = origin = image()[0].double().numpy()
    g, wanted = np.zeros(D), []
    for step in range(4):
        kept = draws("uniforms", "subspace/dropout", step, (D,)) >= min(
            0.2 + 0.2 * step, 0.5
        )
        u = slope(x * kept) * kept
        u /= np.linalg.norm(u)
        plus, minus = g + 0.7 * u, g - 0.7 * u
        points = [
            x + 0.3 * plus / np.linalg.norm(plus),
            x + 0.3 * minus / np.linalg.norm(minus),
        ]
        high, low = losses(points, "ce")
        g = g + 0.4 * (high - low) / (0.7 * 0.3) * u
        move = np.sign(g) if norm == "Linf" else g / max(np.linalg.norm(g), 1e-30)
        x = project(x + 0.03 * move, origin, 0.2, norm)
        wanted += [*points, x]
    close(rows, wanted)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TransferPlan(eps=0.1, steps=0),
        lambda: TransferPlan(eps=0.1, momentum=-1.0),
        lambda: TransferPlan(eps=0.1, tries=0),
        lambda: PRGFPlan(eps=0.1, probe=0.0),
        lambda: PRGFPlan(eps=0.1, directions=0),
        lambda: PRGFPlan(eps=0.1, weight=1.5),
        lambda: PRGFPlan(eps=0.1, step_rule="plain"),
        lambda: PRGFPlan(eps=0.1, momentum=1.0),
        lambda: SubspacePlan(eps=0.1, exploration=0.0),
        lambda: SubspacePlan(eps=0.1, dropout=1.0),
        lambda: SubspacePlan(eps=0.1, dropout_step=-0.1),
        lambda: SubspacePlan(eps=0.1, step=0.0),
    ],
)
def test_a_setting_outside_its_range_is_refused(build):
    with pytest.raises(DomainError, match="expected"):
        build()


# -- what a surrogate answers -------------------------------------------------------


class Chances(nn.Module):
    """The linear surrogate, which answers probabilities and may say so."""

    def __init__(self, said=None):
        super().__init__()
        if said:
            self.answers = said

    def forward(self, x):
        return surrogate(x).softmax(1)


@pytest.mark.parametrize("word", ["transfer", "prgf", "subspace"])
def test_probabilities_of_a_surrogate_are_read_as_such(word):
    plan = qt.plan_of(word, 0.2, "L2", shape=(D,))
    found = [
        attack(never, image(), LABEL, plan, n_queries=60, surrogate=own, votes=1)
        for own in (surrogate, Chances("probabilities"))
    ]
    assert {k: v.tolist() for k, v in found[0].spent.items()} == {
        k: v.tolist() for k, v in found[1].spent.items()
    }
    for said in (None, "logits"):
        with pytest.raises(DomainError, match=r"of the surrogate: .*got probabilities"):
            attack(never, image(), LABEL, plan, n_queries=60, surrogate=Chances(said))


def test_the_slope_of_probabilities_is_that_of_their_logits():
    """The cross-entropy is one number, however the classes are answered."""

    class Block:
        labels, targets, plan = LABEL, None, TransferPlan(eps=0.1)

    slopes = []
    for own in (surrogate, Chances("probabilities")):
        Block.surrogate = own
        slopes.append(surrogate_gradient(Block, image(), torch.tensor([0])))
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-7)
