"""What the measured figures show: the demo network, probed once a run.

Everything comes from one network and 600 digits that it was not trained on, and is
kept: panels share it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from querytax.intervals import Interval, mean, quantile, share
from querytax.theory import margin

if TYPE_CHECKING:
    from torch import Tensor, nn

    from querytax.probes.coordinates import ProbedAnswers
    from querytax.recommend import Recommendation
    from querytax.statistics import ModelStatistics

__all__ = [
    "DRAWS",
    "LAYERS",
    "LOSS",
    "SITES",
    "Network",
    "accuracy_under",
    "gradient_error",
    "law_of_error",
    "network",
    "noise_of_loss",
    "probed",
    "recommendation",
    "slopes",
    "statistics",
]

Array = npt.NDArray[np.float64]

_SEED = 0
# Of the demo network, input side first: name of the module, and what it is.
LAYERS = {"0": "conv 1", "2": "conv 2", "4": "pooled", "6": "dense 1"}
# Sites for noise with their levels, each in its own unit.
SITES: dict[str, tuple[float, ...]] = {
    "input": (0.003, 0.03, 0.1, 0.2, 0.4),
    "6": (0.03, 0.1, 0.3, 1.0, 3.0),
    "output:probabilities:reflect": (1e-4, 1e-3, 0.01, 0.1, 0.2, 0.4, 0.8),
    "output:probabilities:raw": (0.1, 0.2, 0.4, 0.8),
}
# Noisy answers an image; accuracy that may be lost; queries that an attack shall need,
# and the share of the images that shall need them, as in the demo.
DRAWS, LOSS = 8, 0.01
_TARGET, _PROTECT = 3000.0, 0.5
# Images whose gradients are read from answers.
_IMAGES = 32


class Network(NamedTuple):
    """A model, its images and their labels."""

    model: nn.Module
    images: Tensor
    labels: Tensor


@cache
def network() -> Network:
    """The demo network, and all images that it was not trained on."""
    import torch

    from querytax import demo

    split = demo.digits()
    x, y = (torch.cat(both) for both in zip(split.probe, split.held_out, strict=True))
    return Network(demo.load_model(), x, y)


@cache
def statistics() -> ModelStatistics:
    """A probe of every site, leaner than the demo's to be quick."""
    from querytax.demo import PLAN
    from querytax.probes import probe

    return probe(
        *network(),
        sites=list(SITES),
        sigmas=SITES,
        eps=PLAN.eps,
        norm=PLAN.norm,
        betas=(PLAN.probe, 0.1, 0.2),
        n_probe=40,
        n_directions=4,
        n_flips=DRAWS,
        rng=_SEED,
    )


@cache
def recommendation(site: str, attacker: str) -> Recommendation:
    """The demo's question, for one site and attacker."""
    from querytax.demo import PLAN
    from querytax.recommend import recommend_sigma

    return recommend_sigma(
        statistics(),
        _TARGET,
        site=site,
        protect=_PROTECT,
        attacker=attacker,
        plan=PLAN,
    )


@cache
def slopes(step: float = 0.0) -> tuple[Array, dict[str, Array]]:
    """Margins and their gradients' norms, at the images or one signed step away."""
    from querytax.probes.gradients import gradient_norms, margins, signed_step

    model, x, y = network()
    if step:
        x = signed_step(model, x, y, step)
    return margins(model, x, y), gradient_norms(model, x, y, ["input", *LAYERS])


@cache
def probed(probe: float) -> ProbedAnswers:
    """Answers to probes of one width, along every pixel of a few images."""
    from querytax.probes.coordinates import probe_coordinates

    model, x, y = network()
    return probe_coordinates(model, x[:_IMAGES], y[:_IMAGES], probe=probe)


@cache
def gradient_error(probe: float, sigma: float, rival: str) -> Interval:
    """Error of a noisy gradient over these images, its interval over the noise."""
    errors = probed(probe).errors(sigma, rival=rival, n_draws=DRAWS, rng=_SEED)
    value, lower, upper, n = mean((errors**2).mean(1))
    return Interval(value**0.5, max(lower, 0.0) ** 0.5, upper**0.5, n)


def law_of_error(
    law: Callable[..., Any], probe: float, sigma: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Norm over coordinates of what a law says of each, its mean square over images."""
    own, other = probed(probe).outputs()
    ends = [side[..., end] for end in (0, 1) for side in (own, other)]
    each = law(*ends, probe, np.asarray(sigma)[..., None, None])
    return np.sqrt((each**2).sum(-1).mean(-1))


@cache
def accuracy_under(site: str, sigma: float) -> Interval:
    """Accuracy on these images under fresh noise; the interval is of the noise alone.

    Right answers of different images are not equally likely: Wilson's interval is then
    too wide, not too narrow.
    """
    import torch

    from querytax.defenses import defend

    model, x, y = network()
    noisy = defend(model, site, sigma, experiment_seed=_SEED)
    with torch.no_grad():
        right = sum(int((noisy(x).argmax(1) == y).sum()) for _ in range(DRAWS))
    return share(right, DRAWS * len(x))


@cache
def noise_of_loss(site: str) -> tuple[Interval, Interval]:
    """Noise that costs ``LOSS``: read from the quantile, and solved from (14)."""
    from scipy.optimize import brentq

    m, norms = slopes()
    g = norms[site]
    step = quantile((m / g)[m > 0], LOSS)

    def excess(log: float) -> float:
        return float(margin.accuracy_loss(m, g, np.exp(log))) - LOSS

    guess = np.log(step.value)
    log = brentq(excess, guess - 5.0, guess + 5.0)
    # An error of the loss, over images, is one of the noise by the slope.
    at = np.exp(log)
    slope = (excess(log + 1e-3) - excess(log - 1e-3)) / 2e-3
    each = [float(margin.accuracy_loss(m[[i]], g[[i]], at)) for i in range(len(m))]
    half = (mean(each).upper - mean(each).value) / slope
    return step, Interval(at, at * np.exp(-half), at * np.exp(half), len(m))
