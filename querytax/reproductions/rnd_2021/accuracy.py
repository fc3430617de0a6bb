"""What RND costs in clean accuracy, before and after fine-tuning under noise."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from querytax import papers
from querytax.attacks.oracle import answer_in_batches
from querytax.defenses import InputNoise
from querytax.defenses.trained.gaussian import tune_under_noise
from querytax.defenses.trained.preparing import Training
from querytax.figures.style import Panel
from querytax.intervals import LEVEL, Interval, exact, mean
from querytax.probes.gradients import gradient_norms, margins
from querytax.reproductions import zoo
from querytax.reproductions.experiment import Experiment, Job, Part
from querytax.reproductions.judge import Verdict, agrees, beyond, ordered, ranks
from querytax.reproductions.measured import Measured, distinct, only, select
from querytax.reproductions.panels import columns
from querytax.reproductions.rnd_2021.estimate import laws, networks, points, short
from querytax.reproductions.rnd_2021.queries import BATCH
from querytax.theory import margin

__all__ = ["ACCURACY", "Tuning", "tuned"]

# No tuning, and the two readings of the slides' loss.
_TRAININGS = ("original", "inside", "outside")


class Tuning(NamedTuple):
    """How a network is fine-tuned: ``draws`` of noise ``sigma`` an image."""

    sigma: float
    draws: int
    images: int
    epochs: int
    rate: float
    batch: int
    seed: int


@functools.lru_cache(maxsize=16)
def tuned(network: str, reading: str, how: Tuning) -> nn.Module:
    """A network of the zoo after fine-tuning under noise; keyed, so always the same.

    It stays in evaluation mode: batch norm keeps its statistics, or is folded away.
    """
    model = zoo.load(network)
    if reading == "original":
        return model
    x, y = zoo.images(network, how.images, split="train")
    training = Training(
        copy.deepcopy(model).requires_grad_(True),
        x,
        y,
        stream="rnd-2021/tuning",
        seed=how.seed,
        epochs=how.epochs,
        batch=how.batch,
        rate=how.rate,
        # Its tables were made on all threads, which round otherwise.
        alone=False,
    )
    tune_under_noise(training, sigma=how.sigma, reading=reading, draws=how.draws)
    return training.trained()


def _tuning(job: Job) -> Tuning:
    names = (name for name in Tuning._fields if name != "seed")
    return Tuning(**{name: job[f"tuning_{name}"] for name in names}, seed=job.seed)


@functools.lru_cache(maxsize=64)
def _shares(
    network: str, n: int, training: str, nu: float, draws: int, how: Tuning
) -> npt.NDArray[np.float64]:
    """Share of right answers to each test image over its draws."""
    x, y = zoo.images(network, n)
    guarded = InputNoise(tuned(network, training, how), nu, experiment_seed=how.seed)
    rows = torch.arange(n)
    with torch.no_grad():
        said = [
            answer_in_batches(guarded, x, BATCH, rows, torch.full_like(rows, k))
            for k in range(draws if nu else 1)
        ]
    right = [(answers.argmax(1) == y).double() for answers in said]
    return torch.stack(right).mean(0).numpy()


def _right(job: Job, network: str, training: str, nu: float) -> npt.NDArray[np.float64]:
    n = job["networks"][network]
    return _shares(network, n, training, nu, job["draws"], _tuning(job))


def _parts(job: Job) -> list[Part]:
    return [
        {"network": network, "training": training}
        for network in job["networks"]
        for training in _TRAININGS
    ]


def _measure(job: Job, part: Part) -> list[Measured]:
    network, training = part["network"], part["training"]
    model = tuned(network, training, _tuning(job))
    x, y = zoo.images(network, job["networks"][network])
    lead = margins(model, x, y)
    slope = gradient_norms(model, x, y, ["input"])["input"]
    rows = []
    for nu in job["noises"]:
        right = _right(job, network, training, nu)
        setting = {"nu": nu}
        rows.append(Measured("accuracy", mean(right), "fraction", setting))
        if nu > 0.0:
            # Image by image, so that the images' own spread drops out.
            law = margin.accuracy(lead[:, None], slope[:, None], np.full(len(lead), nu))
            rows += [
                Measured("law", exact(law.mean(), len(law)), "fraction", setting),
                Measured("less_law", mean(right - law), "fraction", setting),
            ]
        if training != "original":
            gain = mean(right - _right(job, network, "original", nu))
            rows.append(Measured("gain", gain, "fraction", setting))
        if training == "inside":
            lead_over = mean(right - _right(job, network, "outside", nu))
            rows.append(Measured("over_outside", lead_over, "fraction", setting))
    if training == "original":
        law = float(
            _power(job, *margin.accuracy_loss(lead, slope, job["exponent_noises"]))
        )
        if math.isfinite(law):
            rows += [
                Measured("exponent", _exponent(job, network)),
                Measured("exponent_law", exact(law, len(lead))),
            ]
        nu = _printed_nu("RND")
        loss = mean(
            _right(job, network, training, 0.0) - _right(job, network, training, nu)
        )
        rows.append(Measured("loss", loss, "fraction", {"nu": nu}))
    return rows


def _power(job: Job, few: npt.ArrayLike, many: npt.ArrayLike) -> npt.NDArray[Any]:
    """Exponent of the losses at two noises; NaN where one of them is none."""
    low, high = job["exponent_noises"]
    losses = np.stack([few, many])
    seen = np.where(losses > 0.0, losses, np.nan)
    return np.diff(np.log(seen), axis=0)[0] / math.log(high / low)


def _exponent(job: Job, network: str) -> Interval:
    """Of accuracy's loss in ν, between two noises, with a bootstrap over images."""
    clean = _right(job, network, "original", 0.0)
    losses = [
        clean - _right(job, network, "original", nu) for nu in job["exponent_noises"]
    ]
    rng = np.random.default_rng(job.seed)
    drawn = rng.integers(len(clean), size=(job["resamples"], len(clean)))
    values = _power(job, *(loss[drawn].mean(axis=1) for loss in losses))
    tail = 0.5 * (1.0 - LEVEL)
    # A sample without a loss bounds the exponent on neither side.
    lower, upper = (
        float(np.quantile(np.nan_to_num(values, nan=end), q, method="nearest"))
        for end, q in ((-math.inf, tail), (math.inf, 1.0 - tail))
    )
    value = float(_power(job, *(loss.mean() for loss in losses)))
    return Interval(value, lower, upper, len(clean))


def _printed_nu(method: str) -> float:
    return papers.text("rnd-2021/n28", f"nu of {method}")


def _printed(method: str) -> float:
    """Clean accuracy in table 2, CIFAR-10."""
    where = {"dataset": "CIFAR-10", "method": method, "attack": "none"}
    percent = papers.number("rnd-2021", "table-2", "clean_accuracy_percent", **where)
    return percent / 100.0


def _judge(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    found = []
    tuned_nu = job["tuning_sigma"]
    for network in job["networks"]:
        at = {"network": network}
        original = select(rows, "accuracy", training="original", **at)
        found.append(
            ranks(
                f"{network}: more noise costs clean accuracy",
                [float(row.setting["nu"]) for row in original],
                [row.value for row in original],
                rising=False,
                claim="rnd-2021/n18",
            )
        )
        for row in select(rows, "exponent", **at):
            law = only(rows, "exponent_law", **at).value
            found.append(
                agrees(
                    f"{network}: the loss of accuracy is quadratic in weak noise "
                    "(exponent)",
                    2.0,
                    row.interval,
                    tolerance=job["tolerance_exponent"],
                    claim="rnd-2021/n18",
                    note=f"{law:.3g} by the mean of Φ(m/(ν G)) of these images",
                )
            )
        for row in select(rows, "less_law", training="original", **at):
            if row.setting["nu"] <= tuned_nu:
                found.append(
                    agrees(
                        f"{network}, ν = {row.setting['nu']:g}: accuracy less the mean "
                        "of Φ(m/(ν G))",
                        0.0,
                        row.interval,
                        tolerance=job["tolerance_law"],
                        claim="rnd-2021/n18",
                    )
                )
        for reading in _TRAININGS[1:]:
            gain = only(rows, "gain", training=reading, nu=tuned_nu, **at)
            found.append(
                beyond(
                    f"{network}, ν = {tuned_nu:g}: fine-tuning ({reading} the "
                    "logarithm) keeps accuracy under noise",
                    gain.interval,
                    0.0,
                    claim="rnd-2021/n27",
                )
            )
        found.append(
            agrees(
                f"{network}, ν = {tuned_nu:g}: both readings of the loss give the "
                "same accuracy",
                0.0,
                only(rows, "over_outside", nu=tuned_nu, **at).interval,
                tolerance=job["tolerance_readings"],
                claim="rnd-2021/n27",
            )
        )
    return found + (_against_table(job, rows) if job.scale == "full" else [])


def _against_table(job: Job, rows: Sequence[Measured]) -> list[Verdict]:
    """Table 2's losses of accuracy are about CIFAR-10, and another network."""
    found = []
    note = "WideNet-28 there"
    nu, wide = _printed_nu("RND"), _printed_nu("RND-GF")
    for network in job["networks"]:
        if not network.startswith("cifar10"):
            continue
        loss = only(rows, "loss", network=network, nu=nu)
        found.append(
            agrees(
                f"{network}: accuracy that ν = {nu:g} costs without tuning",
                _printed("Clean Model") - _printed("RND"),
                loss.interval,
                tolerance=job["tolerance_table"],
                note=note,
            )
        )
        clean = only(rows, "accuracy", network=network, training="original", nu=0.0)
        kept = only(rows, "accuracy", network=network, training="inside", nu=wide)
        less = clean.value - kept.value
        half = clean.value - clean.interval.lower + kept.value - kept.interval.lower
        found.append(
            agrees(
                f"{network}: accuracy that ν = {wide:g} costs after tuning",
                _printed("Clean Model") - _printed("RND-GF"),
                Interval(less, less - half, less + half, kept.interval.n),
                tolerance=job["tolerance_table"],
                note=f"{note}; the sum of both intervals",
            )
        )
        bare = only(rows, "accuracy", network=network, training="inside", nu=0.0)
        found.append(
            ordered(
                f"{network}: once tuned, it is more accurate under ν = {wide:g} than "
                "without noise",
                [kept.interval, bare.interval],
                note="so printed on CIFAR-10; the other way on ImageNet",
            )
        )
    return found


def _draw(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "accuracy under noise",
        "noise ν, standard deviation",
        "accuracy",
        yscale="linear",
    )
    rows = [row for row in select(rows, training="original") if row.setting.get("nu")]
    points(panel, select(rows, "accuracy"), "nu")
    laws(panel, select(rows, "law"), "nu", "mean of Φ(m/(ν G))")
    names = distinct(rows, "network")
    if any(name.startswith("cifar10") for name in names):
        for i, method in enumerate(("RND", "RND-GF"), start=len(names)):
            panel.points(
                f"WideNet-28, {method}, printed",
                [_printed_nu(method)],
                [_printed(method)],
                like=i,
            )
    panel.legend(fontsize=7.0)
    return ax


def _draw_gain(ax: Any, rows: Sequence[Measured]) -> Any:
    panel = Panel(
        ax,
        "gain by fine-tuning under noise",
        "noise ν, standard deviation",
        "accuracy, less that without tuning",
        yscale="linear",
    )
    rows = [row for row in select(rows, "gain") if row.setting["nu"] > 0]
    readings: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("inside", "log of mean", {"linestyle": "-"}),
        ("outside", "log in mean", {"linestyle": ":", "markerfacecolor": "white"}),
    )
    for i, name in enumerate(distinct(rows, "network")):
        for reading, words, style in readings:
            found = columns(select(rows, network=name, training=reading), "nu")
            panel.points(f"{short(name)}, {words}", *found, like=i, **style)
    panel.level(0.0)
    panel.legend(fontsize=7.0)
    return ax


ACCURACY = Experiment(
    "clean-accuracy",
    _parts,
    _measure,
    _judge,
    panels=(_draw, _draw_gain),
    needs=networks,
)
