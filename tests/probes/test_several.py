"""Noise at several places at once, where what they do together is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor, nn

from querytax.losses import FLOOR
from querytax.probes import probe
from querytax.probes.gradients import gradient_norms
from querytax.recommend import recommend_sigma
from querytax.recommend.agnostic import smoothed
from querytax.recommend.price import Price

DIMENSION, GAIN = 20, 2.0
CE, MARGIN = 0, 1


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Line(nn.Module):
    """Two classes; the margin is linear, its slope of norm 2, a doubled layer amid."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.linspace(-1.0, 1.3, DIMENSION, dtype=torch.float64)
        self.weight = nn.Parameter(GAIN * weight / weight.norm(), requires_grad=False)
        self.double_ = Doubled()

    def forward(self, x: Tensor) -> Tensor:
        score = self.double_(x - 0.5).flatten(1) @ self.weight / 2.0 - 0.8
        return torch.stack((-0.5 * score, 0.5 * score), 1)


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2.0 * x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(DIMENSION, 16)
            self.act = nn.ReLU(inplace=True)
            self.last = nn.Linear(16, 3)
            self.double()

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.last(self.act(self.first(x.flatten(1))))


def images(n: int = 12, spread: float = 0.3) -> Tensor:
    x = torch.from_numpy(np.random.default_rng(1).random((n, DIMENSION)))
    return 0.5 + spread * (x - 0.5)


def measured(model, sites, sigmas=None, x=None, **more):
    x = images() if x is None else x
    with torch.no_grad():
        labels = model(x).argmax(1)
    settings = {"eps": 0.2, "n_directions": 8, "betas": (0.01, 0.1), "n_flips": 4}
    settings |= {"n_patterns": 0, "n_proposals": 0}
    levels = None if sigmas is None else dict.fromkeys(sites, sigmas)
    found = probe(model, x, labels, sites=sites, sigmas=levels, **{**settings, **more})
    return found, [found.site(site) for site in sites]


MEASURED = ("signal", "noise", "alignment", "flips", "correct", "loss_noise")


@pytest.mark.parametrize("form", ["clip", "raw", "reflect"])
@pytest.mark.parametrize("place", ["input", "double_", "output:logits", "output"])
def test_beside_a_place_without_weight_it_is_the_place(place, form):
    """The noise of a place is that which it draws alone."""
    other = "input" if place == "output" else "output:logits"
    other = "double_" if place == "output:logits" else other
    if place == "output":
        place = f"output:probabilities:{form}"
    _, (alone, beside) = measured(
        Line(), [place, f"{place}+{other}*1e-11"], [0.05, 0.3], n_flips=8
    )
    for name in (*MEASURED, "label_share", "signal_error"):
        np.testing.assert_allclose(
            getattr(beside, name),
            getattr(alone, name),
            rtol=1e-6,
            atol=1e-9,
            err_msg=name,
        )
    np.testing.assert_array_equal(alone.sigmas, beside.sigmas)


def test_one_place_with_a_weight_of_one_is_the_place():
    found, _ = measured(Line(), ["input*1"], [0.1])
    assert list(found.sites) == ["input"]


SUMS = {
    # The margin's variance for a sigma of 1: two logits, the slope, half of it inside.
    "input*0.5+output:logits": 0.25 * GAIN**2 + 2.0,
    "input+double_*3": GAIN**2 + 9.0 * (GAIN / 2) ** 2,
    "double_*2+output:logits+input*0.5": GAIN**2 + 2.0 + 0.25 * GAIN**2,
    "double_:before+double_": GAIN**2 + (GAIN / 2) ** 2,
}


@pytest.mark.parametrize("site", SUMS)
def test_variances_add(site):
    """Signal 4 beta^2 G^2, noise twice the sum of the variances.

    96 points, 8 directions and 7 degrees of freedom each: the variance has a standard
    error of 1.9 %, the band is 4 of them. Shares of 400 draws: 5 binomial errors.
    """
    sigma, draws = 0.3, 400
    found, (one,) = measured(Line(), [site], [sigma], n_draws=8, n_flips=draws)
    variance = sigma**2 * SUMS[site]
    noise = one.noise[MARGIN, 1].mean((1, 2, 3))
    np.testing.assert_allclose(noise, 2 * variance, rtol=0.08)
    signal = 4 * found.betas[:, None, None, None] ** 2 * GAIN**2
    # Both ends meet the same noise.
    seen = one.signal[MARGIN, 1]
    np.testing.assert_allclose(seen, np.broadcast_to(signal, seen.shape), rtol=2e-3)
    np.testing.assert_allclose(one.alignment[MARGIN], 1.0, atol=1e-6)
    gap = np.abs(found.margins)
    flip = special.ndtr(-gap / math.sqrt(variance))
    error = 5 * np.sqrt(flip * (1 - flip) / draws) + 1e-9
    assert (np.abs(one.flips[1] - flip) < error).all()
    np.testing.assert_allclose(one.correct[1], 1 - one.flips[1])
    np.testing.assert_allclose(one.loss_noise[MARGIN, 1], variance**0.5, rtol=0.18)
    beyond = found.label_offsets[:, None] * gap[found.probed]
    share = special.ndtr(beyond / math.sqrt(variance))
    error = 5 * np.sqrt(share * (1 - share) / draws) + 1e-9
    assert (np.abs(one.label_share[1] - share) < error).all()
    price = Price(found, site).at(sigma)[1]
    assert price == pytest.approx(flip.mean(), abs=5 * 0.5 / math.sqrt(12 * draws))


@pytest.mark.parametrize("form", ["clip", "reflect"])
@pytest.mark.parametrize("site", ["input+output{}*0.2", "output{}*0.2+output:logits"])
def test_probabilities_behind_other_noise(site, form):
    """The noise on them is integrated over, the other drawn: by quadrature over both.

    At 12 images, 4 directions and 256 draws of the inner noise for each. The bands
    are 5 standard errors, which the quadrature gives too, 36 % at most; twice as much
    of the signal, as one of the directions may have nearly all of it.
    """
    site, draws, sigma, line = site.format(f":probabilities:{form}"), 256, 0.4, Line()
    found, (one,) = measured(
        Plain(line), [site], [sigma], betas=[1e-4], n_draws=draws, n_directions=4
    )
    inner = sigma * (GAIN if "input" in site else 2**0.5)
    z, w = np.polynomial.hermite_e.hermegauss(60)
    w /= w.sum()
    y, apart = np.linspace(-8, 8, 20_001), 1e-3
    density = np.exp(-(y**2) / 2) / np.exp(-(y**2) / 2).sum()

    def moments(score):
        """Of the loss over the outer noise alone, at margins ``(...)``."""
        answer = special.expit(score)[..., None] + 0.2 * sigma * y
        answer = answer.clip(0, 1) if form == "clip" else np.abs(answer).clip(0, 1)
        loss = -np.log(answer.clip(FLOOR))
        mean = loss @ density
        return mean, np.square(loss) @ density - mean**2

    score = found.margins[found.probed][:, None] + inner * z
    mean, own = moments(score)
    spread = own + np.square(mean - (mean @ w)[:, None])
    noise, many = spread @ w, 4 * draws
    error = np.sqrt((np.square(spread) @ w - noise**2) / many)
    seen = one.noise[CE, 1, 0, 0, 0] / 2
    assert (np.abs(seen - noise) < 5 * error + 1e-6 * noise).all()
    slope = (moments(score + apart)[0] - moments(score - apart)[0]) / (2 * apart)
    clean = special.expit(-found.margins[found.probed])
    ratio = np.square(slope @ w / clean)
    error = np.sqrt((np.square(slope) @ w - np.square(slope @ w)) / many)
    error = 2 * np.abs(slope @ w) * error / clean**2
    seen = one.signal[CE, 1, 0, 0, 0] / one.signal[CE, 0, 0, 0, 0]
    assert (np.abs(seen - ratio) < 2 * 5 * error + 1e-4 * ratio).all()


class Plain:
    """A model without gradients: a plain callable."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Tensor:
        return self.model(x.detach()).detach()


SITES = ["input*0.5+output", "first+act*2+output:logits", "first:before*0.5+last"]


def test_numbers_do_not_depend_on_the_batch(monkeypatch):
    x = images(9, 1.0)
    _, whole = measured(Net(), SITES, [0.05, 0.3], x=x)
    _, parts = measured(Net(), SITES, [0.05, 0.3], x=x, batch_size=5)
    monkeypatch.setattr("querytax.probes.walk._BLOCK", 2)
    _, blocks = measured(Net(), SITES, [0.05, 0.3], x=x)
    for one, *others in zip(whole, parts, blocks, strict=True):
        for other in others:
            for key, value in vars(one).items():
                np.testing.assert_allclose(
                    value, getattr(other, key), rtol=1e-5, atol=1e-9, err_msg=key
                )


def test_usual_levels():
    """From the first part's least level to the first part's largest."""
    x = images(12, 1.0)
    net = Net()
    scale = net.first(x).square().mean().sqrt().item()
    found, _ = measured(
        net, ["input*0.5+output:logits", "first*2+input", "output+input*100"], x=x
    )
    ends = [(s.sigmas[1], s.sigmas[-1], len(s.sigmas)) for s in found.sites.values()]
    wanted = [
        (0.006, 0.8, 8),
        (min(0.005 * scale, 0.003), min(0.4 * scale, 0.4), 7),
        (3e-5, 0.004, 9),
    ]
    np.testing.assert_allclose(ends, wanted, rtol=1e-9)
    for site in found.sites.values():
        ratio = site.sigmas[2:] / site.sigmas[1:-1]
        np.testing.assert_allclose(ratio, ratio[0])
    net.first.weight.data.zero_()
    net.first.bias.data.zero_()
    with pytest.warns(UserWarning, match="gradient is zero"):
        found, (one,) = measured(net, ["first+input"], x=x, n_probe=1)
    np.testing.assert_allclose(one.sigmas[[1, -1]], [0.003, 0.4])


def test_gradient_norms_add_in_squares():
    x, net = images(12, 1.0), Net()
    labels = net(x).argmax(1)
    _, (one,) = measured(net, ["input*0.5+first*3+output:logits"], [0.1], x=x)
    alone = gradient_norms(net, x, labels, ["input", "first", "output"], loss="ce")
    wanted = np.sqrt(
        (0.5 * alone["input"]) ** 2 + (3 * alone["first"]) ** 2 + alone["output"] ** 2
    )
    np.testing.assert_allclose(one.gradient_norm, wanted, rtol=1e-10)
    # For small noise that times sigma is the spread of the loss: 12 of 200 draws each.
    _, (small,) = measured(
        net, ["input*0.5+first*3+output:logits"], [1e-4], x=x, n_flips=200
    )
    share = small.loss_noise[CE, 1] / (1e-4 * wanted)
    assert np.abs(share - 1).max() < 5 / math.sqrt(2 * 200)


def test_an_answer_and_its_floor():
    x = images(12, 1.0)
    site = "first*0.5+input*0.5"
    found, _ = measured(Net(), [site], x=x)
    answer = recommend_sigma(found, 1e4, site=site, max_accuracy_loss=0.2)
    assert answer.site == site
    # Smoothing counts the input's noise alone; the answer behind it is random too.
    quiet, _ = measured(Net(), ["input*0.5+first*1e-12"], [0.2], x=x, n_flips=50)
    alone, _ = measured(Net(), ["input"], [0.1], x=x, n_flips=50)
    small = 0.02
    for stats in (quiet, alone):
        object.__setattr__(stats, "eps", small)
    both = smoothed(quiet, "input*0.5+first*1e-12", 0.2)
    assert both == smoothed(alone, "input", 0.1)
    assert both[1] > 0
    assert smoothed(found, "first*0.5+input*0.5", 0.0) is None
