"""Rounded answers, and output noise of other laws than independent Gaussian."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import nn

from querytax.defenses import defend
from querytax.defenses.common_noise import CommonNoise
from querytax.defenses.quantized import Quantized
from querytax.defenses.random_scale import (
    MixtureNoise,
    ScaledInputNoise,
    ScaledOutputNoise,
)

N = 20_000
LOGITS = torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)
# Two-sided normal quantile of 1e-4: each test below fails that often by chance.
Z = 3.89


class Constant(nn.Module):
    def forward(self, x):
        return LOGITS.expand(len(x), -1)


IMAGES = torch.zeros(N, 1, dtype=torch.float64)


def noise_of(defence):
    exact = LOGITS if defence.answers == "logits" else LOGITS.softmax(0)
    return defence(IMAGES) - exact


# -- rounding --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.01, 0.3, 1.0])
def test_without_dither_each_score_is_the_nearest_multiple(step):
    x = 3 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    exact = x.double().softmax(1)
    said = Quantized(lambda x: x, step)(x.double())
    assert ((said - exact).abs() <= step / 2 + 1e-12).all()
    assert torch.allclose(said / step, (said / step).round(), atol=1e-9)
    logits = Quantized(lambda x: x, 7.0, on="logits")(x)
    assert logits.dtype == x.dtype
    assert torch.equal(logits, (x / 7).round() * 7)


def test_dither_is_right_in_the_mean_and_independent():
    step = 0.1
    said = Quantized(Constant(), step, dither=True)(IMAGES)
    exact = LOGITS.softmax(0)
    part = exact / step - (exact / step).floor()
    spread = step * (part * (1 - part)).sqrt()
    assert ((said.mean(0) - exact).abs() < Z * spread / math.sqrt(N)).all()
    assert ((said - exact).abs() < step).all()
    # A number that is rounded up with chance f has variance f (1 - f).
    assert torch.allclose(said.var(0), spread.square(), rtol=0.1)
    among = torch.corrcoef(said.T) - torch.eye(3)
    assert float(among.abs().max()) < Z / math.sqrt(N)
    after = torch.corrcoef(torch.cat((said[:-1], said[1:]), 1).T)[:3, 3:]
    assert float(after.abs().max()) < Z / math.sqrt(N)


def test_a_step_of_probabilities_is_at_most_1():
    with pytest.raises(ValueError, match="expected step <= 1 of probabilities, got 2"):
        Quantized(Constant(), 2.0)


# -- a common part ---------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.97, 1.0])
@pytest.mark.parametrize("on", ["logits", "probabilities"])
def test_classes_share_the_stated_part(rho, on):
    noise = noise_of(CommonNoise(Constant(), 0.5, rho=rho, on=on))
    assert (noise.mean(0).abs() < Z * 0.5 / math.sqrt(N)).all()
    assert ((noise.var(0) / 0.25 - 1).abs() < Z * math.sqrt(2 / N)).all()
    among = torch.corrcoef(noise.T)[0, 1:]
    # Fisher's transform of a correlation has variance 1 / (n - 3).
    if rho < 1:
        off = torch.atanh(among) - math.atanh(rho)
        assert (off.abs() < Z / math.sqrt(N - 3)).all()
    else:
        assert torch.allclose(noise, noise[:, :1].expand_as(noise), atol=1e-9)
    difference = noise[:, 0] - noise[:, 1]
    want = 2 * (1 - rho) * 0.25
    assert abs(float(difference.var()) - want) <= Z * math.sqrt(2 / N) * want + 1e-9


# -- random scales ---------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_the_scale_is_one_of_beta_for_each_row(a):
    defence = ScaledOutputNoise(Constant(), 0.3, a=a, on="logits")
    noise = noise_of(defence)
    want = 0.09 * (a + 1) / (2 * (2 * a + 1))
    fourth = 0.3**4 * 3 * float(stats.beta(a, a).moment(4))
    # Three classes of a row share their scale: rows are what is independent.
    row = noise.square().mean(1)
    spread = math.sqrt((fourth + 2 * fourth / 3 - 3 * want**2) / 3 / N)
    assert abs(float(row.mean()) - want) < Z * spread
    u = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert stats.kstest(defence.scale(u).numpy(), stats.beta(a, a).cdf).pvalue > 1e-4
    # The scale is common to the classes, and to no two rows.
    size = noise.abs()
    assert float(torch.corrcoef(size.T)[0, 1]) > 0.02
    pairs = torch.corrcoef(torch.stack((size[:-1, 0], size[1:, 0])))[0, 1]
    assert abs(float(pairs)) < Z / math.sqrt(N)


def test_the_input_has_noise_of_a_random_scale():
    seen = []
    model = ScaledInputNoise(lambda x: seen.append(x) or x, 0.2, a=2.0)
    model(torch.zeros(N, 8, dtype=torch.float32))
    noise = seen[0].double()
    want = 0.04 * 0.3
    row = noise.square().mean(1)
    assert abs(float(row.mean()) - want) < Z * float(row.std()) / math.sqrt(N)
    assert model.touches_input
    assert not ScaledInputNoise(len, 0.0).touches_input


def test_rows_are_not_lost_at_a_tiny_scale():
    """A scale near 0 divides the value by it, and must give it back."""
    x = torch.linspace(0, 1, 4000).view(1000, 4)
    same = nn.Identity()
    same.answers = "probabilities"
    for kind in (torch.float32, torch.bfloat16):
        out = ScaledInputNoise(same, 1e-6, a=0.05)(x.to(kind))
        assert torch.allclose(out.float(), x.to(kind).float(), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("scales", ["1/10", "3", "1/2/4"])
def test_a_mixture_has_the_stated_deviation(scales):
    defence = MixtureNoise(Constant(), 0.3, scales=scales, form="raw")
    noise = noise_of(defence)
    row = noise.square().mean(1)
    assert abs(float(row.mean()) - 0.09) < Z * float(row.std()) / math.sqrt(N)
    among = [float(each) for each in scales.split("/")]
    ratios = [k / defence.scales[0] for k in defence.scales]
    assert ratios == pytest.approx([k / among[0] for k in among])
    # Each scale is drawn alike often, one for a row: three classes tell which.
    if scales == "1/10":
        small = (noise.abs().amax(1) < 0.15).double().mean()
        chance = 0.5 * (stats.norm.cdf(0.15 / (0.3 * defence.scales[0])) * 2 - 1) ** 3
        chance += 0.5 * (stats.norm.cdf(0.15 / (0.3 * defence.scales[1])) * 2 - 1) ** 3
        spread = math.sqrt(chance * (1 - chance) / N)
        assert abs(float(small) - chance) < Z * spread


def test_noise_of_random_scale_is_answered_in_the_form_of_the_place():
    for word in ("scaled", "mixture"):
        said = defend(Constant(), word, 0.5)(IMAGES)
        assert ((said >= 0) & (said <= 1)).all()
    raw = defend(Constant(), "mixture:form=raw", 0.5)(IMAGES)
    assert (raw < 0).any()
