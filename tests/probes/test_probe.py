"""The probe on functions whose answers are known, and every way to misuse it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor, nn

from querytax.defenses import OutputNoise
from querytax.expect import DomainError
from querytax.probes import probe
from querytax.probes.response import Points, directions
from querytax.statistics import ModelStatistics
from querytax.theory import snr

DIMENSION = 30
CE, MARGIN = 0, 1


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are tiny: on a busy machine threads would only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Line(nn.Module):
    """Two classes; the margin of class 0 falls linearly along ``weight``."""

    def __init__(self, norm: float = 2.0, offset: float = 1.0) -> None:
        super().__init__()
        weight = torch.linspace(-1.0, 1.3, DIMENSION)
        self.weight = nn.Parameter(weight * norm / weight.norm(), requires_grad=False)
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ self.weight - self.offset
        return torch.stack((-0.5 * score, 0.5 * score), 1)


class Net(nn.Module):
    """A tiny network with an activation in place, dropout, and a module unused."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(DIMENSION, 16)
            self.act = nn.ReLU(inplace=True)
            self.drop = nn.Dropout(0.5)
            self.last = nn.Linear(16, 3)
            self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.last(self.drop(self.act(self.first(x.flatten(1)))))


def images(n: int = 12, spread: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.5 + spread * (torch.rand(n, DIMENSION, generator=generator) - 0.5)


def measured(model, x=None, labels=None, **more):
    x = images() if x is None else x
    if labels is None:
        with torch.no_grad():
            labels = model(x).argmax(1)
    settings = {"eps": 0.1, "n_directions": 8, "betas": (1e-3, 0.01, 0.1), "n_flips": 4}
    return probe(model, x, labels, **{**settings, **more})


# Closed forms


def test_input_noise_on_a_line():
    """Signal 4 beta^2 G^2 without any sampling error; noise 2 sigma^2 G^2.

    96 points, 8 directions and 7 degrees of freedom each: the variance has a standard
    error of 1.9 %, the band is 4 of them; at the 12 levels an error of 16 % is seen.
    """
    sigmas = (0.02, 0.1)
    found = measured(
        Line(), sites=["input"], sigmas={"input": sigmas}, n_draws=8, norm="L2"
    )
    site = found.sites["input"]
    beta = found.betas[None, :, None, None, None]
    signal = np.broadcast_to(4 * beta**2 * 4.0, site.signal[MARGIN].shape)
    np.testing.assert_allclose(site.signal[MARGIN], signal, rtol=2e-3)
    for level, sigma in enumerate(sigmas, 1):
        noise = site.noise[MARGIN, level].mean((1, 2, 3))
        np.testing.assert_allclose(noise, 2 * sigma**2 * 4.0, rtol=0.08)
        share = site.signal[MARGIN, level].mean((1, 2, 3)) / noise
        law = snr.antithetic(2.0, found.betas, 2.0 * sigma)
        np.testing.assert_allclose(share, law, rtol=0.08)
    assert (site.noise[:, 0] == 0).all()


def test_noise_on_logits():
    """Two queries, two noisy logits each: 4 sigma^2. Standard error 1.9 %, band 4."""
    found = measured(
        Line(), sites=["output:logits"], sigmas={"output:logits": [0.3]}, n_draws=8
    )
    site = found.site("output:logits:raw")
    noise = site.noise[MARGIN, 1].mean((1, 2, 3))
    np.testing.assert_allclose(noise, 4 * 0.09, rtol=0.08)
    share = site.signal[MARGIN, 1].mean((1, 2, 3)) / noise
    law = snr.output_logits(4 * found.betas**2 * 4.0, 0.3)
    np.testing.assert_allclose(share, law, rtol=0.08)


@pytest.mark.parametrize("form", ["raw", "reflect"])
def test_output_noise_is_the_theorys(form):
    """Targeted, from a probability of 1e-9 to 0.4, by two routes that share no code."""
    model = Line(norm=30.0, offset=8.0)
    answer = Plain(model)
    x = images(40, 1.0)
    labels = answer(x).argmax(1)
    assert (labels == 0).sum() > 5
    targets = torch.ones_like(labels)
    sigmas = (1e-3, 0.05, 0.4)
    name = f"output:probabilities:{form}"
    found = measured(
        answer,
        x,
        torch.zeros_like(labels),
        targets=targets,
        betas=[1e-5],
        sites=[name],
        sigmas={name: sigmas},
    )
    site = found.sites[name]
    target = found.probabilities[found.probed, 1]
    assert target.min() < 1e-5
    assert target.max() > 0.1
    for level, sigma in enumerate(sigmas, 1):
        place = (CE, slice(None), 0, 0, 0)  # At the images themselves.
        clean = site.signal[place][0]
        share = site.signal[place][level] / site.noise[place][level]
        law = snr.output(
            clean * target**2, sigma, output=target, release=form, reading="log"
        )
        np.testing.assert_allclose(share, law, rtol=2e-3)


def test_the_signal_is_that_of_the_expected_noisy_loss():
    """Noise on the argument of a sine shrinks its mean by exp(-k^2 sigma^2 / 2).

    The signal falls by the square of that. 64 images, both places; four standard
    errors (6e-5); the change of the noiseless loss would be off by a factor of 2.7.
    """

    def wave(x):
        x = x.detach().double()
        score = torch.sin(10 * x.sum(1) / DIMENSION**0.5) - 9
        return torch.stack((-0.5 * score, 0.5 * score), 1)

    found = measured(
        wave,
        images(64, 1.0),
        sites=["input"],
        sigmas={"input": [0.1]},
        betas=[0.01],
        n_draws=8,
        n_directions=32,
    )
    clean, noisy = found.sites["input"].signal[MARGIN, :, 0]
    ratio = noisy.mean() / clean.mean()
    noise = np.hypot(
        noisy.std() / noisy.mean(), clean.std() / clean.mean()
    ) / math.sqrt(noisy.size)
    law = math.exp(-100 * 0.01)
    assert 4 * noise < 0.6
    assert abs(ratio / law - 1) < 4 * noise


def test_alignment_is_one_on_a_line_and_less_on_a_bend():
    found = measured(Line(), sites=["input"], sigmas={"input": [0.1]})
    np.testing.assert_allclose(found.sites["input"].alignment[MARGIN], 1.0, atol=1e-5)

    class Bend(Line):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0.3 * torch.sin(9 * x))

    bent = measured(Bend(), betas=(1e-3, 0.3), sites=["input"], sigmas={"input": []})
    straight, wide = bent.sites["input"].alignment[MARGIN, 0].mean((1, 2, 3))
    assert straight > 0.999
    assert wide < 0.9


def test_flips_and_accuracy_under_noise_on_logits():
    """Phi(-margin/(sigma sqrt 2)): 12 images, 300 draws, 4 binomial standard errors."""
    x = images()
    labels = torch.zeros(12, dtype=torch.int64)
    labels[0] = 1
    found = measured(
        Line(),
        x,
        labels,
        sites=["output:logits"],
        sigmas={"output:logits": [1.0]},
        n_flips=300,
    )
    site = found.site("output:logits")
    gap = np.abs(found.margins)
    flip = special.ndtr(-gap / math.sqrt(2))
    error = 4 * np.sqrt(flip * (1 - flip) / 300)
    assert (np.abs(site.flips[1] - flip) < error).all()
    np.testing.assert_array_equal(site.flips[0], 0.0)
    np.testing.assert_allclose(site.correct[1, 1:], 1 - site.flips[1, 1:])
    np.testing.assert_allclose(site.correct[1, 0], site.flips[1, 0])
    assert site.correct[0].tolist() == [0.0] + [1.0] * 11
    assert found.accuracy == pytest.approx(11 / 12)
    np.testing.assert_allclose(site.loss_noise[MARGIN, 1], math.sqrt(2), rtol=0.17)
    assert (site.loss_noise[:, 0] == 0).all()


def test_directions_are_normal_and_stratified_along_the_gradient():
    model = Line()
    x = images(200)
    goals = torch.zeros(200, dtype=torch.int64)
    points = Points.at(
        model,
        x,
        goals,
        torch.arange(200),
        answered="logits",
        targeted=False,
        gradient=True,
        batch_size=64,
    )
    u = directions(points, 16, seed=0).double()
    unit = model.weight.double() / model.weight.double().norm()
    along = u @ unit
    np.testing.assert_allclose(along.square().mean(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(along.mean(1), 0.0, atol=1e-6)
    # The strata come in random order: no place in the list has a level of its own.
    assert along.mean(0).abs().max() < 4 / math.sqrt(200)
    rest = u - along[..., None] * unit
    basis = torch.linalg.svd(torch.eye(DIMENSION).double() - torch.outer(unit, unit))[0]
    flat = (rest @ basis[:, : DIMENSION - 1]).flatten().numpy()
    # 92,800 draws: sees a distance of 0.8 % from the normal; fails at 1e-4.
    assert stats.kstest(flat, "norm").pvalue > 1e-4
    cross = (along[..., None] * rest).mean((0, 1)).abs().max()
    assert cross < 5 / math.sqrt(3200)


# Shapes, keys, modes


class Plain:
    """A model without gradients: a plain callable."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def __call__(self, x: Tensor) -> Tensor:
        return self.model(x.detach()).detach()


SITES = ["input", "output", "output:logits", "first", "act"]
ATTACKERS = (
    "blind_hits",
    "blind_outcomes",
    "proposals",
    "probability_proposals",
    "gaps",
    "probability_gaps",
    "label_offsets",
    "boundary_norm",
    "gradient_profile",
)


def assert_close(left, right, rtol):
    np.testing.assert_allclose(left.path_length, right.path_length)
    np.testing.assert_allclose(left.gradient_norm, right.gradient_norm, rtol=rtol)
    assert left.blind_tried == right.blind_tried
    assert left.proposal_kinds == right.proposal_kinds
    for key in ATTACKERS:
        np.testing.assert_allclose(
            getattr(left, key),
            getattr(right, key),
            rtol=max(rtol, 1e-6),
            atol=1e-7,
            err_msg=key,
        )
    for name, site in left.sites.items():
        other = right.sites[name]
        for key, value in vars(site).items():
            np.testing.assert_allclose(
                value, getattr(other, key), rtol=rtol, atol=1e-9, err_msg=key
            )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_shapes_and_the_file(norm, targeted, tmp_path):
    model, x = Net().eval(), images(12, 1.0)
    labels = model(x).argmax(1)
    targets = (labels + 1) % 3 if targeted else None
    found = measured(
        model, x, sites=SITES, norm=norm, targets=targets, eps=0.3, n_probe=5
    )
    assert found.probed.tolist() == [0, 1, 2, 3, 4]
    assert found.path_length.shape == (5,)
    assert (found.path_length > 0).all()
    assert found.stages.shape == found.stage_weights.shape == (4,)
    assert found.stage_weights.sum() == 1
    assert found.logits.shape == (12, 3)
    assert found.dimension == DIMENSION
    assert found.targeted == targeted
    assert np.isfinite(found.gradient_norm).all()
    assert list(found.sites) == [
        "input",
        "output:probabilities:reflect",
        "output:logits:raw",
        "first",
        "act",
    ]
    for site in found.sites.values():
        levels = len(site.sigmas)
        assert site.sigmas[0] == 0.0
        assert (np.diff(site.sigmas) > 0).all()
        for cube in (site.signal, site.signal_error, site.noise, site.alignment):
            assert cube.shape == (2, levels, 3, 2, 4, 5)
            assert np.isfinite(cube).all()
            assert (cube >= 0).all()
        assert (site.noise[:, 1:] > 0).all()
        assert site.alignment.max() <= 1
        assert site.flips.shape == site.correct.shape == (levels, 12)
        assert site.loss_noise.shape == (2, levels, 12)
        offsets = len(found.label_offsets)
        assert site.label_share.shape == (levels, offsets, 5)
        assert site.gradient_norm.shape == (12,)
        assert (site.gradient_norm > 0).all()
    found.save(tmp_path / "stats.npz")
    assert_close(found, ModelStatistics.load(tmp_path / "stats.npz"), 0)


def test_numbers_do_not_depend_on_the_batch(monkeypatch):
    """Up to the rounding of matrix products, which differs between batches."""
    model = Net().eval().double()
    x = images(9, 1.0).double()
    settings = {"sites": SITES, "betas": [0.01, 0.1], "n_directions": 4, "eps": 0.3}
    whole = measured(model, x, **settings)
    assert_close(whole, measured(model, x, batch_size=5, **settings), 1e-5)
    monkeypatch.setattr("querytax.probes.walk._BLOCK", 2)
    assert_close(whole, measured(model, x, **settings), 1e-5)
    # The first images measure the same with others behind them or without.
    part = measured(model, x[:5], **{**settings, "sites": ["input"]})
    np.testing.assert_allclose(
        part.sites["input"].signal,
        whole.sites["input"].signal[..., :5],
        rtol=1e-5,
        atol=1e-12,
    )


def test_a_seed_is_all_that_matters():
    x = images()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = measured(Line(), x, sites=["input"])
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert_close(first, measured(Line(), x, sites=["input"]), 0)
    other = measured(Line(), x, sites=["input"], rng=5)
    assert other.provenance["seed"] == 5
    assert (other.sites["input"].noise != first.sites["input"].noise).any()


@pytest.mark.parametrize("detached", [False, True])
def test_without_gradients(detached):
    """No path and no norms; probes at the images and about them."""
    line = Line().requires_grad_(True)
    model = (lambda x: line(x.detach())) if detached else Plain(line)
    found = measured(model, labels=torch.zeros(12, dtype=torch.int64), sites=["input"])
    assert np.isnan(found.path_length).all()
    assert np.isnan(found.gradient_norm).all()
    site = found.sites["input"]
    assert np.isnan(site.gradient_norm).all()
    assert site.signal.shape[-2:] == (1, 12)
    assert np.isfinite(site.signal).all()
    np.testing.assert_allclose(site.alignment[MARGIN, 0], 1.0, atol=1e-4)


def test_each_module_keeps_its_mode():
    model = Net().train()
    model.drop.eval()
    before = {name: module.training for name, module in model.named_modules()}
    x = images()
    with torch.no_grad():
        labels = Net().eval()(x).argmax(1)
    probe(model, x, labels, n_directions=2, n_flips=2, betas=[0.1])
    assert {n: m.training for n, m in model.named_modules()} == before
    with pytest.raises(DomainError):
        probe(model, x, labels + 3)
    assert {n: m.training for n, m in model.named_modules()} == before
    assert not any(m._forward_hooks for m in model.modules())


def test_an_activation_in_place_does_not_hide_what_came_before_it():
    """Scale and gradient of ``first`` are its own, not those of the ReLU after it."""
    model, x = Net().eval(), images(12, 1.0)
    labels = model(x).argmax(1)
    found = measured(model, x, sites=["first"])
    hidden = model.first(x)
    scale = hidden.square().mean().sqrt().item()
    assert found.sites["first"].sigmas[-1] == pytest.approx(0.8 * scale, rel=1e-5)
    hidden = hidden.detach().requires_grad_(True)
    loss = nn.functional.cross_entropy(
        4 * model.last(hidden.relu()), labels, reduction="sum"
    )
    norms = torch.autograd.grad(loss, hidden)[0].norm(dim=1)
    np.testing.assert_allclose(found.sites["first"].gradient_norm, norms, rtol=1e-4)


def test_what_a_module_is_given_is_probed_as_what_the_one_before_returns():
    model, x = Net(), images(12, 1.0)
    found = measured(model, x, sites=["first", "act:before"])
    here, there = (found.site(name) for name in ("first", "act:before"))
    np.testing.assert_array_equal(here.sigmas, there.sigmas)
    np.testing.assert_array_equal(here.gradient_norm, there.gradient_norm)
    np.testing.assert_array_equal(here.signal[:, 0], there.signal[:, 0])
    # The draws differ; their moments agree.
    ratio = here.noise[:, -1].mean() / there.noise[:, -1].mean()
    assert 0.5 < ratio < 2


def test_noise_levels_of_the_caller():
    found = measured(
        Line(), sites=["input", "output"], sigmas={"input": [0.2, 0.1, 0.1]}
    )
    assert found.sites["input"].sigmas.tolist() == [0.0, 0.1, 0.2]
    assert len(found.site("output").sigmas) > 3


# Bad input

X = images()
Y = torch.zeros(12, dtype=torch.int64)
BAD = {
    "site": ({"model": Net(), "sites": ["frist"]}, "got 'frist'; the closest .*first"),
    "no module": (
        {"model": Plain(Net()), "sites": ["first"]},
        "model to be a torch mod",
    ),
    "word": ({"sites": ["output:logit"]}, "site .*did you mean 'output:logits:raw'"),
    "one of several": (
        {"model": Net(), "sites": ["input+frist"]},
        "got 'frist'; the closest .*first",
    ),
    "several unreached": (
        {"model": Net(), "sites": ["input+unused"]},
        "reached .* got none at 'unu",
    ),
    "string": ({"sites": "input"}, "sites to be words in a list, got 'input'"),
    "none": ({"sites": []}, r"sites to be words in a list, got \[\]"),
    "unreached": ({"model": Net(), "sites": ["unused"]}, "reached .* got none at 'unu"),
    "eps": ({"eps": 0.0}, "eps > 0 and finite, got 0.0"),
    "norm": ({"norm": "l2"}, "norm to be one of 'Linf', 'L2', got 'l2'"),
    "betas": ({"betas": [0.1, -0.1]}, "betas > 0 and finite, got -0.1"),
    "no betas": ({"betas": []}, "betas not empty"),
    "sigmas": ({"sigmas": {"output": [-1.0]}}, "sigmas >= 0 and finite, got -1.0"),
    "level site": ({"sigmas": {"input": [0.1]}}, "sigmas to be one of .* got 'input'"),
    "n_probe": ({"n_probe": 0}, "n_probe a whole number >= 1, got 0"),
    "n_directions": ({"n_directions": 1}, "n_directions a whole number >= 2, got 1"),
    "n_draws": ({"n_draws": 1}, "n_draws a whole number >= 2, got 1"),
    "n_flips": ({"n_flips": 0}, "n_flips a whole number >= 2, got 0"),
    "n_patterns": ({"n_patterns": -1}, "n_patterns a whole number >= 0, got -1"),
    "n_proposals": ({"n_proposals": 0.5}, "n_proposals a whole number >= 0, got 0.5"),
    "batch_size": ({"batch_size": 0}, "batch_size a whole number >= 1, got 0"),
    "rng": ({"rng": "seed"}, "rng to be a whole number"),
    "images": ({"images": X * 3}, r"images in \[0, 1\]"),
    "empty": ({"images": X[:0]}, "N >= 1"),
    "label": ({"labels": Y + 2}, r"labels in 0\.\.1, .*got 2"),
    "number": ({"labels": Y[:3]}, "labels to be 12 whole numbers"),
    "target": ({"targets": Y + 7}, r"targets in 0\.\.1, .*got 7"),
    "all wrong": (
        {"labels": Y + 1},
        "labels that the model gets right, got none of 12",
    ),
    "defended": (
        {"model": OutputNoise(Line(), 0.1)},
        "model without a defence, got Out",
    ),
    "NaN": ({"model": lambda x: x * float("nan")}, "finite numbers, got NaN"),
    "NaN outside": (
        {"model": lambda x: torch.stack((x.sqrt().sum(1) + 9, x.sum(1)), 1)},
        "finite numbers, got NaN",
    ),
    "probabilities": ({"model": lambda x: Line()(x).softmax(1)}, "logits, got prob"),
    "tuple": ({"model": lambda x: (x, x)}, r"one tensor .* say which, .*pick=0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name):
    change, says = BAD[name]
    given = {"model": Line(), "images": X, "labels": Y, "betas": [1.0], **change}
    if isinstance(given["model"], (Net, Plain)):
        with torch.no_grad():
            given["labels"] = Net().eval()(X).argmax(1)
    with pytest.raises(DomainError, match=says) as caught:
        probe(given.pop("model"), given.pop("images"), given.pop("labels"), **given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected ")


def test_a_model_that_answers_probabilities():
    """Promised by ``answers``: measured as the logits behind them would be."""

    class Released(Line):
        answers = "probabilities"

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).softmax(1)

    logits, released = (
        measured(kind(), sites=["output"], sigmas={"output": [0.1]})
        for kind in (Line, Released)
    )
    a, b = logits.site("output"), released.site("output")
    np.testing.assert_allclose(a.signal, b.signal, rtol=2e-3, atol=1e-12)
    np.testing.assert_allclose(a.noise, b.noise, rtol=2e-3)
    np.testing.assert_allclose(logits.probabilities, released.probabilities, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    model, x = Net().eval(), images(12, 1.0)
    here = measured(model, x, sites=SITES)
    labels = model(x).argmax(1)
    there = measured(model.cuda(), x.cuda(), labels, sites=SITES)
    np.testing.assert_allclose(
        here.sites["input"].signal, there.sites["input"].signal, rtol=0.05, atol=1e-8
    )
    assert there.provenance["device"] == "cuda"
