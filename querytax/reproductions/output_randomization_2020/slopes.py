"""Output randomization: its statements about the noisy gradient, slope by slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from querytax import papers
from querytax.figures.style import Panel
from querytax.intervals import mean, share
from querytax.noise import normals, uniforms
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, follows
from querytax.reproductions.measured import Measured, only, select
from querytax.reproductions.output_randomization_2020.gradient import (
    OUTPUTS,
    printed_error,
    probed_answers,
)
from querytax.reproductions.output_randomization_2020.laws import (
    PAPER,
    against,
    by_law,
    draw,
    needs,
    ours,
    stages,
)
from querytax.reproductions.panels import columns
from querytax.theory import finite_difference

__all__ = ["GRADIENT_LEMMAS"]

_REGIME = "images in the second-order regime"
_MEAN = "mean error"
_SPREAD = "variance"
_AVERAGED = "variance of averages"
_WITHOUT = "no logarithm"
_WRONG = "wrong signs"
_REPLICATES = 20


def _lemmas(job: Job, part: Part) -> list[Measured]:
    probed, four = probed_answers(job, part, job["probe"])
    least = np.min([value[:, 0] for value in four.values()], axis=0)
    rows = []
    for variance in job["variances"]:
        inside = share(int((variance**0.5 <= job["weak"] * least).sum()), len(least))
        setting = {"variance": variance}
        rows.append(Measured(_REGIME, inside, "fraction", setting))
        rows += _averaging(job, probed.gradient(rival="fixed"), four, variance)
    _, wide = probed_answers(job, part, job["wide_probe"])
    return rows + _slopes(job, wide)


def _slopes(job: Job, four: dict[str, np.ndarray]) -> list[Measured]:
    """One slope an image: of images spread over the outputs of the rival.

    Read with a wide probe: that of ZOO drowns every mean error in its spread.
    """
    rival = four["rival"][:, 0]
    chosen = sorted({int(np.abs(rival - p).argmin()) for p in job["rivals"]})
    outputs = {name: value[chosen, 0] for name, value in four.items()}
    answers = torch.from_numpy(np.stack([outputs[name] for name in OUTPUTS], 1))
    h, repeats, rows = job["wide_probe"], job["repeats"], []
    for variance in job["variances"]:
        sigma = variance**0.5
        drawn = _Slopes(answers, sigma, h, job.seed)
        spread = finite_difference.log_ratio_sd(probe=h, sigma=sigma, **outputs)
        bias = finite_difference.log_ratio_bias(probe=h, sigma=sigma, **outputs)
        weak = printed_error(outputs, sigma, h)
        kept = np.prod(special.ndtr(answers.numpy() / sigma), axis=1)
        error = drawn.mean_errors(job["n_strata"])
        noise = drawn.normals("slopes", job["n_draws"])
        one, averaged = drawn.squares(noise, 1), drawn.squares(noise, repeats)
        without = drawn.without_logarithm(noise)
        for i, image in enumerate(chosen):
            setting = {"image": image, "rival_output": float(rival[image])}
            setting["variance"] = variance
            rows += [
                Measured(_MEAN, mean(error[:, i]), "1/pixel", setting),
                by_law(_MEAN, "exact", bias[i], setting),
                by_law(_MEAN, "second order", weak[i], setting),
                Measured(_SPREAD, mean(one[:, i]), "1/pixel^2", setting),
                by_law(_SPREAD, "exact", spread[i] ** 2, setting),
                Measured(_AVERAGED, mean(averaged[:, i]), "1/pixel^2", setting),
                by_law(_AVERAGED, "exact", spread[i] ** 2 / repeats, setting),
                Measured(_WITHOUT, share(int(without[i]), len(noise)), "", setting),
                by_law(_WITHOUT, "exact", 1.0 - kept[i], setting),
            ]
    return rows


class _Slopes:
    """Noisy slopes of ln p_c - ln p_o from the four outputs of each row."""

    def __init__(self, answers: Tensor, sigma: float, probe: float, seed: int) -> None:
        self.answers, self.sigma, self.probe, self.seed = answers, sigma, probe, seed

    def normals(self, name: str, n: int) -> Tensor:
        """``(n, rows, 4)``, fresh for every output."""
        rows = torch.arange(len(self.answers))
        key = (self.seed, f"{PAPER}/{name}", rows, torch.zeros_like(rows), (n, 4))
        return normals(*key, dtype=torch.float64).transpose(0, 1)

    def slopes(self, noise: Tensor) -> Tensor:
        """``(n, rows)``, of the outputs' absolute values."""
        logs = (self.answers + self.sigma * noise).abs().log()
        ahead = logs[..., 0] - logs[..., 1]
        return (ahead - logs[..., 2] + logs[..., 3]) / (2.0 * self.probe)

    def mean_errors(self, strata: int) -> np.ndarray:
        """Mean noisy less noiseless slope, stratified: ``(replicates, rows)``.

        A mean asks nothing of how the four noises hang together: all are the same. A
        replicate has one draw in each of as many equally likely strata.
        """
        replicate = torch.arange(_REPLICATES)
        key = (self.seed, f"{PAPER}/strata", replicate, torch.zeros_like(replicate))
        u = uniforms(*key, (strata,), dtype=torch.float64)
        z = torch.special.ndtri((torch.arange(strata) + u) / strata)
        clean = self.slopes(torch.zeros(1, 4))
        found = [
            (self.slopes(each[:, None, None].expand(-1, 1, 4)) - clean).mean(0)
            for each in z
        ]
        return torch.stack(found).numpy()

    def squares(self, noise: Tensor, repeats: int) -> np.ndarray:
        """Half the squared difference of two averages: its mean is their variance."""
        groups = len(noise) // (2 * repeats)
        slopes = self.slopes(noise[: 2 * repeats * groups])
        means = slopes.view(2 * groups, repeats, -1).mean(1)
        return (0.5 * (means[0::2] - means[1::2]).square()).numpy()

    def without_logarithm(self, noise: Tensor) -> np.ndarray:
        """Draws in which one of the four outputs is not positive, a row."""
        noisy = self.answers + self.sigma * noise
        return (noisy.amin(2) <= 0).sum(0).numpy()


def _averaging(
    job: Job, clean: np.ndarray, four: dict[str, np.ndarray], variance: float
) -> list[Measured]:
    """Share of slopes with the wrong sign after averages of answers; a draw a unit.

    Averages of n answers have noise of the standard deviation σ/√n.
    """
    h = job["probe"]
    side = np.where(clean >= 0, 1.0, -1.0)
    answers = torch.from_numpy(np.stack([four[name] for name in OUTPUTS], -1))
    rows = []
    for count in job["averages"]:
        sigma = (variance / count) ** 0.5
        drawn = _Slopes(answers.flatten(0, 1), sigma, h, job.seed)
        noisy = drawn.slopes(drawn.normals("signs", job["n_signs"])).numpy()
        wrong = np.mean(noisy * side.ravel() < 0, axis=1)
        bias = finite_difference.log_ratio_bias(probe=h, sigma=sigma, **four)
        spread = finite_difference.log_ratio_sd(probe=h, sigma=sigma, **four)
        law = special.ndtr(-side * (clean + bias) / spread)
        setting = {"variance": variance, "averages": count}
        rows += [
            Measured(_WRONG, mean(wrong), "fraction", setting),
            by_law(_WRONG, "normal", float(law.mean()), setting),
        ]
    return rows


def _judge_lemmas(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    effective = papers.text(f"{PAPER}/b27", "noise variance said to be effective")
    most = max(job["averages"])

    def seen(row: Measured) -> bool:
        return only(rows, _WITHOUT, law="exact", **row.setting).value >= job["least"]

    def weak(row: Measured) -> bool:
        sigma = float(row.setting["variance"]) ** 0.5
        return sigma <= job["weak"] * float(row.setting["rival_output"])

    verdicts = []
    for network in job["networks"]:
        means = ours(rows, _MEAN, network=network)
        without = [row for row in ours(rows, _WITHOUT, network=network) if seen(row)]
        tests = (
            ("the mean error is the exact bias", means, "exact", "b17"),
            ("the mean error is as printed at any σ", means, "second order", "b20"),
            (
                "the mean error is the printed one, where σ is small against p_o",
                [row for row in means if weak(row)],
                "second order",
                "b20",
            ),
            (
                "one slope has the variance of the law",
                ours(rows, _SPREAD, network=network),
                "exact",
                "b21",
            ),
            (
                f"averages of {job['repeats']} divide the variance by it",
                ours(rows, _AVERAGED, network=network),
                "exact",
                "b22",
            ),
            ("a logarithm is missing as the law says", without, "exact", "b17"),
            (
                "averages leave the wrong signs that S says",
                ours(rows, _WRONG, network=network),
                "normal",
                "b26",
            ),
        )
        verdicts += [
            follows(
                f"{network}: {statement}",
                against(rows, measured, law),
                [row.interval for row in measured],
                tolerance=job["tolerance"],
                claim=f"{PAPER}/{claim}",
            )
            for statement, measured, law, claim in tests
            if measured
        ]
        for stage in job["stages"]:
            where = {"network": network, "stage": stage, "variance": effective}
            (signs,) = ours(rows, _WRONG, averages=most, **where)
            verdicts.append(
                agrees(
                    f"{network}, stage {stage:g}: averages of {most} leave a sign a "
                    f"coin's toss at a variance of {effective:g}",
                    0.5,
                    signs.interval,
                    tolerance=job["tolerance_signs"],
                    claim=f"{PAPER}/b26",
                )
            )
    return verdicts


def _draw_means(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "Mean error of one slope, over the exact law's",
        "σ over the rival's output p_o",
        "mean error / exact law",
        yscale="linear",
    )
    ax.set_yscale("symlog", linthresh=2.0)
    measured = ours(rows, _MEAN)
    law = np.array(against(rows, measured, "exact"))
    printed = np.array(against(rows, measured, "second order"))
    variance, *ends = columns(measured, "variance")
    x = np.sqrt(variance) / columns(measured, "rival_output")[0]
    relative = np.sort(np.array(ends) / law, axis=0)
    panel.points("measured", x, relative[1], relative[0], relative[2], like=0)
    panel.points("second order, as printed", x, printed / law, like=1)
    panel.legend()
    return ax


def _draw_signs(ax: Any, rows: Sequence[Measured]) -> Any:
    """At the least noise: at more, averages help still less."""
    found = ours(rows, _WRONG)
    least = min(float(row.setting["variance"]) for row in found)
    title = f"Wrong signs at variance {least:g}: measured (points), law (lines)"
    panel = Panel(ax, title, "answers averaged", "share of slopes", yscale="linear")
    groups = dict.fromkeys((r.setting["network"], r.setting["stage"]) for r in found)
    for i, (network, stage) in enumerate(groups):
        some = select(found, network=network, stage=stage, variance=least)
        label = f"{network}, stage {float(stage):g}"
        draw(panel, label, "averages", rows, some, "normal", i)
    panel.limits(y=(0.0, 0.6))
    panel.legend("lower left", fontsize=6.5)
    return ax


GRADIENT_LEMMAS = Experiment(
    "gradient-lemmas",
    stages,
    _lemmas,
    _judge_lemmas,
    (_draw_means, _draw_signs),
    needs,
)
