"""Gaussian noise of a scale that is drawn afresh for every row.

Both laws are averaged away at the rate of any noise of that variance; only what a
single question tells is another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from querytax import expect
from querytax.defenses.defense import Defense, Keys, Model
from querytax.defenses.input_noise import InputNoise
from querytax.defenses.output_noise import OutputNoise
from querytax.expect import DomainError

__all__ = ["MixtureNoise", "ScaledInputNoise", "ScaledOutputNoise", "scaled"]

# Below this the noise is none, and to divide by it would lose the value.
_LEAST = 1e-6


class _RandomScale(Defense):
    """Noise sigma k z with k by a law of the subclass, one for each row."""

    def scale(self, u: Tensor) -> Tensor:
        """The scales k that uniform draws stand for."""
        raise NotImplementedError

    def _add_noise(
        self, value: Tensor, sigma: float, kind: str, rows: Keys, queries: Keys
    ) -> Tensor:
        if sigma == 0:
            return value
        one = (1,) * (value.dim() - 1)
        u = self._uniforms(one, f"{kind}/scale", value, rows, queries)
        wide = torch.promote_types(value.dtype, torch.float32)
        if kind == "output":
            wide = torch.float64
        k = self.scale(u).clamp_min(_LEAST).to(wide)
        # Noise on value / k, and not k times noise: the rounding of what is answered
        # must not hang on the value.
        noisy = super()._add_noise(value.to(wide) / k, sigma, kind, rows, queries)
        return noisy.mul(k).to(value.dtype)


class _Beta(_RandomScale):
    """Scales of a symmetric Beta law."""

    a: float

    def _settings(self) -> str:
        return f"{super()._settings()}, a={self.a:g}"

    def scale(self, u: Tensor) -> Tensor:
        """Beta(a, a) by the inverse of its distribution function."""
        k = betaincinv(self.a, self.a, u.cpu().numpy())
        return torch.from_numpy(np.asarray(k)).to(u.device)


class ScaledInputNoise(_Beta, InputNoise):
    """Answer f(x + sigma k z) with fresh k of Beta(a, a) for every row of every query.

    Parameters
    ----------
    model, sigma, experiment_seed
        As for `InputNoise`; a pixel's standard deviation, however, is
        sigma sqrt((a + 1) / (4 a + 2)).
    a : float
        > 0. Published 1/2, 1 and 2.

    Raises
    ------
    DomainError
        As `InputNoise`, and for an ``a`` that is not above 0.

    References
    ----------
    Byun, Go & Kim 2022, SND, section 4.7.
    """

    def __init__(
        self, model: Model, sigma: float, *, a: float = 2.0, experiment_seed: Any = None
    ) -> None:
        super().__init__(model, sigma, experiment_seed=experiment_seed)
        self.a = float(expect.positive(a=a))


class ScaledOutputNoise(_Beta, OutputNoise):
    """Answer F(x) + sigma k z with fresh k of Beta(a, a) for every row of every query.

    Parameters
    ----------
    model, sigma, on, form, experiment_seed
        As for `OutputNoise`.
    a : float
        > 0.

    Raises
    ------
    DomainError
        As `OutputNoise`, and for an ``a`` that is not above 0.
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        a: float = 2.0,
        on: str = "probabilities",
        form: str = "raw",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(
            model, sigma, on=on, form=form, experiment_seed=experiment_seed
        )
        self.a = float(expect.positive(a=a))


def scaled(
    model: Model,
    sigma: float,
    *,
    a: float = 2.0,
    at: str = "output",
    experiment_seed: Any = None,
) -> Defense:
    """Noise of random scale at the input, or reflected on the probabilities.

    Raises
    ------
    DomainError
        For an unknown ``at``, and as `ScaledInputNoise` and `ScaledOutputNoise`.
    """
    if expect.one_of(["output", "input"], at=at) == "input":
        return ScaledInputNoise(model, sigma, a=a, experiment_seed=experiment_seed)
    return ScaledOutputNoise(
        model, sigma, a=a, form="reflect", experiment_seed=experiment_seed
    )


class MixtureNoise(_RandomScale, OutputNoise):
    """Answer F(x) + sigma k z with k one of a few scales, drawn afresh for every row.

    Parameters
    ----------
    model : nn.Module or callable
        As for `OutputNoise`.
    sigma : float
        Standard deviation of the noise, over all scales. At 0 the answer is exact.
    scales : str
        Numbers > 0 with slashes between them, drawn alike often; only their ratios
        count.
    on, form, experiment_seed
        As for `OutputNoise`.

    Raises
    ------
    DomainError
        As `OutputNoise`, and for scales that are not numbers above 0.

    Notes
    -----
    The publication draws the mixture's parameters at random too, and does not say from
    what.

    References
    ----------
    "Output Randomization" 2020, appendix, extensions.
    """

    def __init__(
        self,
        model: Model,
        sigma: float,
        *,
        scales: str = "1/10",
        on: str = "probabilities",
        form: str = "reflect",
        experiment_seed: Any = None,
    ) -> None:
        super().__init__(
            model, sigma, on=on, form=form, experiment_seed=experiment_seed
        )
        self.scales = _relative(scales)

    def _settings(self) -> str:
        said = "/".join(f"{k:.3g}" for k in self.scales)
        return f"{super()._settings()}, scales={said}"

    def scale(self, u: Tensor) -> Tensor:
        """One of the scales for each draw."""
        ks = torch.tensor(self.scales, dtype=torch.float64, device=u.device)
        return ks[(u * len(ks)).long()]


def _relative(scales: str) -> tuple[float, ...]:
    """Scales whose squares' mean is 1."""
    try:
        read = [float(each) for each in str(scales).split("/")]
    except ValueError:
        read = []
    if not read or not all(0.0 < k < math.inf for k in read):
        raise DomainError(
            f"expected scales to be numbers > 0 as in 1/10, got {scales!r}"
        )
    mean = math.sqrt(sum((k / max(read)) ** 2 for k in read) / len(read))
    return tuple(k / max(read) / mean for k in read)
