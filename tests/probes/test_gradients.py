"""Gradient norms and noisy gradients, where the answers are known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor, nn

from querytax.defenses import FeatureNoise
from querytax.expect import DomainError
from querytax.losses import attacker_loss
from querytax.probes.coordinates import probe_coordinates
from querytax.probes.gradients import gradient_norms, margins, signed_step

N, D, HIDDEN, CLASSES = 7, 12, 5, 3
SITES = ("input", "first", "act", "last", "output")


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    )


class Net(nn.Module):
    """Two layers; the activation may write over what it is given."""

    def __init__(self, act: nn.Module | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            self.first = nn.Linear(D, HIDDEN)
            self.act = nn.Identity() if act is None else act
            self.last = nn.Linear(HIDDEN, CLASSES)
            self.unused = nn.Linear(2, 2)
        for seed, p in enumerate(self.parameters()):
            p.data = values(*p.shape, seed=seed)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x.flatten(1))))


@pytest.fixture
def data():
    x = torch.from_numpy(np.random.default_rng(9).random((N, 1, 3, 4))).float()
    return x, torch.arange(N) % CLASSES


def test_a_linear_network_by_hand(data):
    model, (x, y) = Net(), data
    found = gradient_norms(model, x, y, SITES)
    logits = model(x).detach().double()
    others = logits.clone()
    others[range(N), y] = -math.inf
    rival = others.argmax(1)
    v, w = (p.detach().double() for p in (model.last.weight, model.first.weight))
    for i in range(N):
        apart = v[y[i]] - v[rival[i]]
        assert found["first"][i] == pytest.approx(apart.norm().item(), rel=1e-6)
        assert found["act"][i] == found["first"][i]
        through = (apart @ w).norm().item()
        assert found["input"][i] == pytest.approx(through, rel=1e-5)
        assert found["last"][i] == found["output"][i] == pytest.approx(2**0.5)
        lead = logits[i, y[i]] - logits[i, rival[i]]
        assert margins(model, x, y)[i] == pytest.approx(lead.item(), rel=1e-6)


@pytest.mark.parametrize("loss", ["margin", "ce"])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_networks_that_write_in_place_against_autograd(data, loss, batch_size):
    model, (x, y) = Net(nn.ReLU(inplace=True)), data
    found = gradient_norms(model, x, y, SITES, loss=loss, batch_size=batch_size)
    for i in range(N):
        first = model.first(x[i : i + 1].flatten(1)).detach().requires_grad_(True)
        kept = first.relu()
        value = attacker_loss(model.last(kept), y[i : i + 1], loss=loss).sum()
        at_first, at_act = torch.autograd.grad(value, (first, kept))
        assert found["first"][i] == pytest.approx(at_first.norm().item(), rel=1e-5)
        assert found["act"][i] == pytest.approx(at_act.norm().item(), rel=1e-5)


def test_cross_entropy_at_the_output_by_hand(data):
    model, (x, y) = Net(), data
    p = model(x).detach().double().softmax(1)
    p[range(N), y] -= 1.0
    found = gradient_norms(model, x, y, ["output"], loss="ce")["output"]
    np.testing.assert_allclose(found, p.norm(dim=1), rtol=1e-5)


def test_a_norm_is_what_noise_does_to_the_margin(data):
    """RFD's premise: noise s at a site moves the margin by s G, at first order."""
    model, (x, y) = Net(), data
    g = gradient_norms(model, x, y, ["first"])["first"]
    draws, sigma = 4000, 1e-3
    noisy = FeatureNoise(model, sigma, ["first"], experiment_seed=0)
    big, goal = x.repeat_interleave(draws, 0), y.repeat_interleave(draws)
    with torch.no_grad():
        answers = noisy(big)
    moved = -attacker_loss(answers, goal, loss="margin").view(N, draws)
    share = moved.std(1).numpy() / (sigma * g)
    # 5 standard errors of a standard deviation of normal draws, and single precision.
    assert np.abs(share - 1).max() < 5 / math.sqrt(2 * draws) + 1e-3


def test_a_module_visited_twice_counts_both(data):
    model, (x, y) = Net(), data
    shared = nn.Identity()

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.shared = model, shared

        def forward(self, x: Tensor) -> Tensor:
            h = self.shared(self.net.first(x.flatten(1)))
            return self.net.last(self.shared(h))

    once = gradient_norms(model, x, y, ["first"])["first"]
    twice = gradient_norms(Twice(), x, y, ["shared"])["shared"]
    np.testing.assert_allclose(twice, math.sqrt(2) * once, rtol=1e-6)


def test_a_site_apart_from_the_loss_has_no_gradient(data):
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.aside = Net(), nn.Linear(D, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x.flatten(1))
            return self.net(x)

    found = gradient_norms(Aside(), *data, ["aside"])
    assert (found["aside"] == 0).all()


def test_what_a_module_is_given_is_a_site(data):
    """Of what also goes past the module, only the way through it counts."""

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(nn.ReLU(inplace=True))
            self.branch = nn.Linear(D, D)
            self.branch.weight.data = values(D, D, seed=7)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            return self.net(x + self.branch(x))

    model, (x, y) = Skip(), data
    names = ["net.act:before", "net.first", "branch:before", "branch", "input"]
    found = gradient_norms(model, x, y, names)
    np.testing.assert_array_equal(found["net.act:before"], found["net.first"])
    for i in range(N):
        own = x[i : i + 1].flatten(1).requires_grad_(True)
        logits = model.net(x[i : i + 1].flatten(1) + model.branch(own))
        value = attacker_loss(logits, y[i : i + 1], loss="margin").sum()
        (through,) = torch.autograd.grad(value, own)
        assert found["branch:before"][i] == pytest.approx(
            through.norm().item(), rel=1e-5
        )
    assert (found["branch:before"] != found["input"]).all()


def test_a_signed_step_lowers_the_margin_at_its_known_rate(data):
    model, (x, y) = Net(), data
    x = 0.25 + 0.5 * x
    step = 1e-3
    after = margins(model, signed_step(model, x, y, step), y)
    v, w = (p.detach().double() for p in (model.last.weight, model.first.weight))
    logits = model(x).detach()
    logits[range(N), y] = -math.inf
    fall = ((v[y] - v[logits.argmax(1)]) @ w).abs().sum(1).numpy() * step
    np.testing.assert_allclose(margins(model, x, y) - after, fall, rtol=1e-3)


def test_a_signed_step_stays_among_images(data):
    model, (x, y) = Net(), data
    assert set(signed_step(model, x, y, 1.0, loss="ce").unique().tolist()) <= {0.0, 1.0}


def test_the_model_is_left_as_it_was(data):
    model = Net(nn.Dropout(0.5)).train()
    first = gradient_norms(model, *data, SITES)
    second = gradient_norms(model, *data, SITES)
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    for site in SITES:
        np.testing.assert_array_equal(first[site], second[site])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sites": ["frist"]}, "the closest are 'first'"),
        ({"sites": ["unused"]}, "expected every site to be reached"),
        ({"sites": ["input+frist"]}, "got 'frist'; the closest"),
        ({"loss": "hinge"}, "expected loss"),
        ({"batch_size": 0}, "expected batch_size"),
        ({"images": torch.full((N, D), 2.0)}, r"expected images in \[0, 1\]"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "expected labels"),
        ({"model": lambda x: Net()(x).detach()}, "expected model to let gradients"),
        ({"model": lambda x: Net()(x), "sites": ["first"]}, "a torch module"),
    ],
)
def test_misuse_is_one_line(data, change, said):
    x, y = data
    given = {"model": Net(), "images": x, "labels": y, "sites": ["input"], **change}
    with pytest.raises(DomainError, match=said) as caught:
        gradient_norms(**given)
    assert "\n" not in str(caught.value)


def test_of_a_pair_the_first_is_measured_and_a_dict_is_named(data):
    class Pair(nn.Module):
        kind: type = tuple

        def forward(self, x: Tensor):
            return {0: x} if self.kind is dict else self.kind((x, None))

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.net = Pair(), Net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.pair(x)[0])

    model = Holder()
    found = gradient_norms(model, *data, ["pair", "input"])
    np.testing.assert_allclose(found["pair"], found["input"], rtol=1e-6)
    model.pair.kind = dict
    with pytest.raises(
        DomainError, match=r"module 'pair' to return a floating .* dict"
    ):
        gradient_norms(model, *data, ["pair"])


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan])
def test_a_step_is_positive(data, step):
    with pytest.raises(DomainError, match="expected step"):
        signed_step(Net(), *data, step)


# -- gradients read from answers, coordinate by coordinate ---------------------------


class Softmax(nn.Module):
    """Two classes whose log-ratio is linear: its differences have no curvature."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes = torch.linspace(-0.2, 0.4, D, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        score = x.double().flatten(1) @ self.slopes
        return torch.stack((score, -score), 1)


@pytest.fixture
def probed(data):
    x, _ = data
    model = Softmax()
    y = model(x).argmax(1)
    return probe_coordinates(model, x.double(), y, probe=0.01), y


@pytest.mark.parametrize("rival", ["best", "fixed"])
def test_noiseless_differences_of_a_linear_log_ratio(probed, rival):
    answers, y = probed
    exact = np.where(y[:, None] == 0, 2.0, -2.0) * np.linspace(-0.2, 0.4, D)
    np.testing.assert_allclose(answers.gradient(rival=rival), exact, atol=1e-9)
    assert (answers.errors(0.0, rival=rival, n_draws=1) == 0).all()


def test_errors_have_the_moments_of_four_logarithms(probed):
    """Mean square against quadrature of ln|p + v|, two outputs at either end."""
    answers, _ = probed
    own, other = answers.outputs()
    z, weight = special.roots_hermitenorm(201)
    weight = weight / weight.sum()
    sigma = 1e-2
    assert min(own.min(), other.min()) > 8 * sigma

    def moments(p):
        logs = np.log(np.abs(p[..., None] + sigma * z))
        mean = (logs * weight).sum(-1)
        return mean - np.log(p), ((logs - mean[..., None]) ** 2 * weight).sum(-1)

    (b, v), (c, w) = moments(own), moments(other)
    bias = (b - c)[..., 0] - (b - c)[..., 1]
    whole = (bias**2 + (v + w).sum(-1)).sum(1) / (2 * answers.probe) ** 2
    draws = 2000
    squares = answers.errors(sigma, rival="fixed", n_draws=draws, rng=1) ** 2
    # One interval for the mean over images: false alarms 1e-6, resolves 2 %.
    each = (squares / whole).mean(1)
    half = stats.norm.isf(5e-7) * each.std(ddof=1) / math.sqrt(draws)
    assert half < 0.02
    assert abs(each.mean() - 1) < half


def test_two_classes_have_one_rival(probed):
    answers, _ = probed
    best, fixed = (answers.errors(0.1, rival=r) for r in ("best", "fixed"))
    np.testing.assert_allclose(best, fixed, rtol=1e-12)


def test_draws_repeat_and_follow_their_seed(probed):
    answers, _ = probed
    first, again, other = (answers.errors(0.01, n_draws=2, rng=r) for r in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    assert (first[0] != first[1]).all()


def test_some_coordinates_are_some_of_all(data):
    x, y = data
    model = Net()
    every = probe_coordinates(model, x, y, probe=0.05)
    some = probe_coordinates(model, x, y, probe=0.05, n_coordinates=4, rng=5)
    assert some.probabilities.shape == (N, 4, 2, CLASSES)
    for row, all_of_it, place in zip(
        some.gradient(), every.gradient(), some.coordinates.numpy(), strict=True
    ):
        assert len(set(place)) == 4
        np.testing.assert_allclose(row, all_of_it[place], rtol=1e-4)


def test_probabilities_are_taken_as_they_are(data):
    x, y = data
    model, said = Net(), nn.Sequential(Net(), nn.Softmax(1))
    said.answers = "probabilities"
    logits, shares = (
        probe_coordinates(m, x, y, probe=0.01).probabilities for m in (model, said)
    )
    np.testing.assert_allclose(logits, shares, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probe": 0.0}, "expected probe"),
        ({"n_coordinates": 0}, "expected n_coordinates"),
        ({"n_coordinates": D + 1}, "expected n_coordinates <= 12"),
        ({"labels": torch.full((N,), CLASSES)}, "expected labels in 0..2"),
    ],
)
def test_misuse_of_probes_is_one_line(data, change, said):
    x, y = data
    given = {"model": Net(), "images": x, "labels": y, **change}
    with pytest.raises(DomainError, match=said):
        probe_coordinates(**given)


@pytest.mark.parametrize("change", [{"sigma": -1.0}, {"n_draws": 0}, {"rival": "any"}])
def test_misuse_of_errors_is_one_line(probed, change):
    with pytest.raises(DomainError, match=f"expected {next(iter(change))}"):
        probed[0].errors(**{"sigma": 0.1, **change})
