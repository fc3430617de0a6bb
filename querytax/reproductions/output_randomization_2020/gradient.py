"""Output randomization: what its noise does to the gradient that ZOO reads.

The loss is ZOO's, ln p_c - ln p_o, with absolute values under the logarithm. p_c and
p_o are the outputs of the true class and of the best other one, which is fixed at the
image or taken anew from every answer. An error is that of the noisy gradient against
the noiseless one.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from querytax.figures.style import Panel
from querytax.intervals import Interval, mean, quantile
from querytax.probes.coordinates import ProbedAnswers, probe_coordinates
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, beyond, follows
from querytax.reproductions.measured import Measured, select
from querytax.reproductions.output_randomization_2020.laws import (
    PAPER,
    against,
    attacked,
    by_law,
    draw,
    needs,
    ours,
    stages,
)
from querytax.theory import finite_difference
from querytax.theory.law import RegimeWarning

__all__ = ["FINITE_DIFFERENCE", "OUTPUTS", "printed_error", "probed_answers"]

_ERROR = "error of the gradient"
_EXPONENT = "exponent of the error in the variance"
OUTPUTS = ("output", "rival", "output_behind", "rival_behind")


@functools.lru_cache(maxsize=2)
def _probed(
    network: str, n: int, stage: float, eps: float, probe: float, count: int, seed: int
) -> ProbedAnswers:
    # In double precision: the changes are smaller than a float's rounding.
    images, labels = attacked(network, n, stage, eps)
    return probe_coordinates(
        zoo.load(network).double(),
        images.double(),
        labels,
        probe=probe,
        n_coordinates=count,
        batch_size=128,
        rng=seed,
    )


def probed_answers(
    job: Job, part: Part, probe: float
) -> tuple[ProbedAnswers, dict[str, np.ndarray]]:
    """Noiseless answers along coordinates; p_c, p_o, and both behind the probe.

    The four are named as in the laws, each ``(images, coordinates)``.
    """
    network = part["network"]
    found = _probed(
        network,
        job["n_images"],
        part["stage"],
        job["eps"][network],
        probe,
        job["n_coordinates"],
        job.seed,
    )
    own, other = found.outputs()
    ends_of = own[..., 0], other[..., 0], own[..., 1], other[..., 1]
    return found, dict(zip(OUTPUTS, ends_of, strict=True))


def printed_error(four: dict[str, np.ndarray], sigma: float, probe: float) -> Any:
    """The printed mean error, within its regime and beyond."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RegimeWarning)
        return finite_difference.log_ratio_bias_weak(probe=probe, sigma=sigma, **four)


# -- the error of a whole gradient -------------------------------------------------


def _errors(job: Job, part: Part) -> list[Measured]:
    h = job["probe"]
    probed, four = probed_answers(job, part, h)
    norms = np.linalg.norm(probed.gradient(rival="fixed"), axis=1)
    rows = [Measured("norm of the noiseless gradient", quantile(norms, 0.5))]
    last = 0.0
    before: dict[str, np.ndarray] = {}
    for variance in job["variances"]:
        sigma = variance**0.5
        setting = {"variance": variance}
        bias = finite_difference.log_ratio_bias(probe=h, sigma=sigma, **four)
        spread = finite_difference.log_ratio_sd(probe=h, sigma=sigma, **four)
        law = np.linalg.norm(np.hypot(bias, spread), axis=1)
        printed = np.linalg.norm(printed_error(four, sigma, h), axis=1)
        for rival in ("fixed", "best"):
            drawn = probed.errors(
                sigma, rival=rival, n_draws=job["n_draws"], rng=job.seed
            )
            error = np.sqrt(np.mean(np.square(drawn), axis=0))
            here = {"rival": rival, **setting}
            rows.append(Measured(_ERROR, quantile(error, 0.5), "1/pixel", here))
            if rival in before:
                rise = np.log(error / before[rival]) / np.log(variance / last)
                rows.append(Measured(_EXPONENT, mean(rise), "", here))
            before[rival] = error
            if rival == "fixed":
                ratio = Measured("error over the law's", mean(error / law), "", here)
                rows.append(ratio)
        here = {"rival": "fixed", **setting}
        rows += [
            by_law(_ERROR, "bias and spread", float(np.median(law)), here),
            by_law(_ERROR, "printed", float(np.median(printed)), here),
        ]
        last = variance
    return rows


def _judge_errors(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    verdicts = []
    for part in stages(job):
        where = f"{part['network']}, stage {part['stage']:g}"
        ratios = select(rows, "error over the law's", **part)
        rises = select(rows, _EXPONENT, rival="best", **part)
        errors = ours(rows, _ERROR, rival="fixed", **part)
        verdicts += [
            follows(
                f"{where}: the gradient's error is that of the exact bias and spread",
                [1.0] * len(ratios),
                [row.interval for row in ratios],
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b21",
            ),
            follows(
                f"{where}: the error is the printed one, of second order in σ",
                against(rows, errors, "printed"),
                [row.interval for row in errors],
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b20",
                note="The printed one is a mean error; one estimate also has a spread.",
            ),
            follows(
                f"{where}: the error grows as the variance",
                [1.0] * len(rises),
                [row.interval for row in rises],
                tolerance=job["tolerance"],
                claim=f"{PAPER}/b21",
            ),
            beyond(
                f"{where}: from the least noise to the most the error grows "
                f"{job['dramatic']:g} times or more (figure 4)",
                _total_rise(rows, part),
                float(np.log10(job["dramatic"])),
                note="log10 of the growth.",
            ),
        ]
    return verdicts


def _total_rise(rows: Sequence[Measured], part: Part) -> Interval:
    """log10 of the error at the most noise over that at the least.

    The ends of both intervals, as if the two were independent: too wide, if anything.
    """
    errors = ours(rows, _ERROR, rival="best", **part)
    least, most = errors[0].interval, errors[-1].interval
    return Interval(
        float(np.log10(most.value / least.value)),
        float(np.log10(most.lower / least.upper)),
        float(np.log10(most.upper / least.lower)),
        least.n,
    )


def _draw_errors(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "ZOO's gradient: measured (points), law (lines)",
        "variance of the noise, probability²",
        "L2 norm of the error, median image",
    )
    parts = dict.fromkeys((r.setting["network"], r.setting["stage"]) for r in rows)
    for i, (network, stage) in enumerate(parts):
        errors = ours(rows, _ERROR, network=network, stage=stage, rival="fixed")
        label = f"{network}, stage {float(stage):g}"
        draw(panel, label, "variance", rows, errors, "bias and spread", i)
    x = [float(row.setting["variance"]) for row in errors]
    panel.line(f"printed, {label}", x, against(rows, errors, "printed"), like=6)
    # Room for the legend, below.
    panel.limits(y=(1e-12, None))
    panel.legend("lower right", fontsize=6.5)
    return ax


FINITE_DIFFERENCE = Experiment(
    "finite-difference", stages, _errors, _judge_errors, (_draw_errors,), needs
)
